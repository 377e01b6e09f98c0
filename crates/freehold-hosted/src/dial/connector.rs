//! Makes TCP connections to one configured place.

use std::error::Error as StdError;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use freehold_ports::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::gate::Gate;
use super::resolver::GatedResolver;

/// A connection that the call which wanted it no longer waits for may still be finished for the
/// pool, but not for longer than this.
const BACKGROUND_CONNECT: Duration = Duration::from_secs(60);
const TCP_KEEPALIVE: Duration = Duration::from_secs(45);

type BoxError = Box<dyn StdError + Send + Sync>;

/// The one way to a socket. Literal addresses bypass resolvers, so the URI is checked as well.
#[derive(Clone, Debug)]
pub(crate) struct GatedConnector {
    gate: Arc<Gate>,
    tcp: HttpConnector<GatedResolver>,
}

impl GatedConnector {
    pub(crate) fn new(gate: Gate) -> Self {
        let gate = Arc::new(gate);
        let mut tcp = HttpConnector::new_with_resolver(GatedResolver::new(Arc::clone(&gate)));
        tcp.enforce_http(false);
        // Requests and tokens are small: Nagle's algorithm would hold them back.
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_connect_timeout(Some(BACKGROUND_CONNECT));
        Self { gate, tcp }
    }
}

impl Service<Uri> for GatedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Err(refusal) = self.gate.check_uri(&uri) {
            tracing::error!(%refusal, "a connection was refused by the gateway itself");
            return Box::pin(std::future::ready(Err(refusal.into())));
        }
        let connecting = self.tcp.call(uri);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}
