//! Makes TCP connections to one configured place.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use freehold_ports::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
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
    type Response = Socket;
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
        Box::pin(async move {
            let io = connecting.await?;
            let used = Used::default();
            Ok(Socket { io, used })
        })
    }
}

/// Whether a connection has carried a request before; goes with the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used(Arc<AtomicBool>);

impl Used {
    /// Says whether it has, and that from now on it has.
    pub(crate) fn again(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }
}

/// A TCP connection that knows whether it is new.
#[derive(Debug)]
pub(crate) struct Socket {
    io: TokioIo<TcpStream>,
    used: Used,
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.used.clone())
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}
