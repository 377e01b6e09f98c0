//! Resolves one configured name, and gives away only addresses that passed the gate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use freehold_ports::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::gate::{DialError, Gate};

/// Why a name gave no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// The gate is closed.
    #[error(transparent)]
    Refused(#[from] DialError),
    /// The system could not resolve it.
    #[error("the name does not resolve")]
    System(#[source] std::io::Error),
}

/// The system's resolver behind a gate.
#[derive(Clone, Debug)]
pub(crate) struct GatedResolver {
    gate: Arc<Gate>,
}

impl GatedResolver {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

async fn resolve(gate: &Gate, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    gate.check_name(name)?;
    // The port is the connector's affair.
    let found = tokio::net::lookup_host((name, 0)).await;
    let found: Vec<SocketAddr> = found.map_err(ResolveError::System)?.collect();
    let addresses: Vec<_> = found.iter().map(SocketAddr::ip).collect();
    gate.check_answers(&addresses)?;
    Ok(found)
}

impl Service<Name> for GatedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = BoxFuture<'static, Result<Self::Response, ResolveError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let found = resolve(&gate, name.as_str()).await;
            if let Err(ResolveError::Refused(refusal)) = &found {
                tracing::warn!(%refusal, "a connection was refused by the gateway itself");
            }
            found.map(Vec::into_iter)
        })
    }
}
