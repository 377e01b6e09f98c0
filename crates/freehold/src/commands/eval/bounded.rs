//! Many questions: a bounded number at once, within a cost cap.

use anyhow::{Context, Result};
use freehold_types::NanoUsd;
use tokio::task::JoinSet;

use crate::workload_source;

/// What may be spent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    /// Nothing is sent that could bring what is spent above this.
    pub(super) cap: Option<NanoUsd>,
    pub(super) spent: NanoUsd,
}

/// What one question cost, and whether no further one makes sense.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) cost: NanoUsd,
    pub(super) broken: Option<anyhow::Error>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Asked,
    /// So many were not asked.
    AtCap(usize),
}

/// Starts each question, `costs` being the most that it costs, and keeps each answer. What is under way when it must end
/// is waited for and kept: it may have cost something.
///
/// # Errors
/// The first that `keep` returns, or says breaks the whole.
pub(super) async fn each<T, F>(
    budget: &mut Budget,
    at_once: usize,
    costs: &[NanoUsd],
    start: impl Fn(usize) -> F,
    mut keep: impl FnMut(usize, NanoUsd, T) -> Result<Kept>,
) -> Result<Ended>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let bar = workload_source::bar(
        Some(costs.len() as u64),
        "{wide_bar} {pos} of {len} cases, {eta} left",
    );
    let mut tasks: JoinSet<(usize, T)> = JoinSet::new();
    let (mut next, mut reserved) = (0, NanoUsd::ZERO);
    let mut broken: Option<anyhow::Error> = None;
    let mut is_capped = false;
    loop {
        while tasks.len() < at_once && next < costs.len() && broken.is_none() && !is_capped {
            let cost = costs[next];
            if budget
                .cap
                .is_some_and(|cap| budget.spent + reserved + cost > cap)
            {
                // What is under way may cost less than was reserved for it.
                is_capped = tasks.is_empty();
                break;
            }
            reserved += cost;
            let (index, question) = (next, start(next));
            tasks.spawn(async move { (index, question.await) });
            next += 1;
        }
        let Some(done) = tasks.join_next().await else {
            break;
        };
        let (index, answer) = done.context("a request of the run broke")?;
        reserved = NanoUsd::from_nanos(reserved.nanos() - costs[index].nanos());
        let kept = keep(index, costs[index], answer)?;
        budget.spent += kept.cost;
        broken = broken.or(kept.broken);
        bar.inc(1);
    }
    bar.finish_and_clear();
    match broken {
        Some(error) => Err(error),
        None if next < costs.len() => Ok(Ended::AtCap(costs.len() - next)),
        None => Ok(Ended::Asked),
    }
}
