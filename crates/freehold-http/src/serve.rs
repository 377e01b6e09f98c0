//! Listening, bounded and drained: connections have a limit, slow headers a timeout, and a stop
//! lets answers under way finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How to listen.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where.
    pub address: SocketAddr,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long answers under way may go on after a stop.
    pub drain: Duration,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ServeError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub reason: std::io::Error,
}

/// An open listener.
pub struct Server {
    listener: TcpListener,
    settings: ServerSettings,
}

impl Server {
    /// Opens the listener; connections are accepted by the kernel from here on.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn bind(settings: ServerSettings) -> Result<Self, ServeError> {
        let address = settings.address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|reason| ServeError { address, reason })?;
        Ok(Self { listener, settings })
    }

    /// The address in use (the port is chosen by the kernel when 0 was asked for).
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.settings.address)
    }

    /// Serves until `stop` resolves, then drains. Returns how many connections were cut because
    /// they outlasted the drain.
    pub async fn run(self, router: Router, stop: impl Future<Output = ()>) -> usize {
        let places = Arc::new(Semaphore::new(self.settings.connections_max));
        let graceful = GracefulShutdown::new();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.header_timeout)
            .keep_alive(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                (stream, place) = accept(&self.listener, &places) => {
                    let service = TowerToHyperService::new(router.clone());
                    let connection = builder
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .into_owned();
                    let connection = graceful.watch(connection);
                    tokio::spawn(async move {
                        // A client's broken connection is the client's affair.
                        let _ = connection.await;
                        drop(place);
                    });
                }
            }
        }
        drop(self.listener);
        let open = graceful.count();
        match tokio::time::timeout(self.settings.drain, graceful.shutdown()).await {
            Ok(()) => 0,
            Err(_) => open,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without this, small chunks of a stream wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                // Out of file descriptors, usually: accepting at once would only spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
