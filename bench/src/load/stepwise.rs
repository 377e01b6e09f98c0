//! One request after the other, for counting and not for timing.

use anyhow::anyhow;

use super::Load;

/// What was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    /// Stream events.
    pub(crate) events: u64,
}

/// Sends every request of the load, and stops at the first failure.
pub(crate) async fn run(load: Load, on_frame: &mut dyn FnMut()) -> anyhow::Result<Counted> {
    let mut counted = Counted::default();
    let failed = |failure| anyhow!("request {} failed: {failure:?}", counted.requests + 1);
    let mut connection = load.target.connect().await.map_err(failed)?;
    while counted.requests < load.requests_max {
        let exchange = load
            .target
            .exchange_stepwise(&mut connection, load.timeout, on_frame);
        let failed = |failure| anyhow!("request {} failed: {failure:?}", counted.requests + 1);
        let timing = exchange.await.map_err(failed)?;
        counted.requests += 1;
        counted.events += timing.events;
    }
    Ok(counted)
}
