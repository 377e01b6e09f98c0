//! Listening, bounded and drained: connections have a limit, slow handshakes and headers a timeout,
//! and a stop lets answers under way finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::framing::{FirstFault, Followed};
use crate::tls::Tls;

/// How to listen.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where.
    pub address: SocketAddr,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to shake hands (TLS), and to send a request's head.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests; no longer than `header_timeout` where it was accepted while
    /// more than half of all places were taken.
    pub keep_alive: Duration,
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

/// How long answers that were told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// An open listener.
pub struct Server {
    listener: TcpListener,
    settings: ServerSettings,
    tls: Option<Tls>,
    cut: Option<Box<dyn FnOnce() + Send>>,
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
        Ok(Self {
            listener,
            settings,
            tls: None,
            cut: None,
        })
    }

    /// Called when the drain is over and answers are still under way: whoever makes them should
    /// end them. They get a moment for it before their connections are closed.
    #[must_use]
    pub fn with_cut(mut self, cut: impl FnOnce() + Send + 'static) -> Self {
        self.cut = Some(Box::new(cut));
        self
    }

    /// Speaks TLS from the first byte on.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The address in use (the port is chosen by the kernel when 0 was asked for).
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.settings.address)
    }

    /// Serves until `stop` resolves, then drains. Returns how many connections were cut because
    /// they outlasted the drain.
    pub async fn run(self, router: Router, stop: impl Future<Output = ()>) -> usize {
        let places = Arc::new(Semaphore::new(self.settings.connections_max));
        let over = CancellationToken::new();
        let graceful = GracefulShutdown::new();
        let door = Door {
            roomy: builder(&self.settings, self.settings.keep_alive),
            crowded: builder(&self.settings, self.settings.header_timeout),
            router,
            tls: self.tls,
            patience: self.settings.header_timeout,
        };
        let door = Arc::new(door);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                (stream, place) = accept(&self.listener, &places) => {
                    let (door, watcher) = (Arc::clone(&door), graceful.watcher());
                    let over = over.clone();
                    let is_crowded = places.available_permits() < self.settings.connections_max / 2;
                    tokio::spawn(async move {
                        let serving = door.serve(stream, watcher, is_crowded);
                        over.run_until_cancelled(serving).await;
                        drop(place);
                    });
                }
            }
        }
        drop(self.listener);
        let shut_down = graceful.shutdown();
        tokio::pin!(shut_down);
        if let Ok(()) = tokio::time::timeout(self.settings.drain, &mut shut_down).await {
            return 0;
        }
        let open = self.settings.connections_max - places.available_permits();
        if let Some(cut) = self.cut {
            cut();
            // Whoever does not take even the error loses its connection.
            let _ = tokio::time::timeout(LAST_WORDS, shut_down).await;
        }
        over.cancel();
        open
    }
}

/// What speaks HTTP on a connection that may rest so long.
fn builder(settings: &ServerSettings, keep_alive: Duration) -> auto::Builder<TokioExecutor> {
    let header_timeout = settings.header_timeout;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It runs from the end of the answer before; a head that has begun is `Followed`'s affair.
        .header_read_timeout(keep_alive.max(header_timeout))
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        // A peer that is gone, or that holds a head back, answers no ping.
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout);
    builder
}

/// What every connection goes through.
struct Door {
    roomy: auto::Builder<TokioExecutor>,
    /// For connections that others may be waiting for.
    crowded: auto::Builder<TokioExecutor>,
    router: Router,
    tls: Option<Tls>,
    patience: Duration,
}

impl Door {
    async fn serve(&self, stream: TcpStream, watcher: Watcher, is_crowded: bool) {
        let builder = match is_crowded {
            true => &self.crowded,
            false => &self.roomy,
        };
        let Some(tls) = &self.tls else {
            return self.speak(builder, stream, watcher).await;
        };
        match tokio::time::timeout(self.patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(builder, stream, watcher).await,
            // Scanners and clients without a certificate are the usual ones.
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak<S>(&self, builder: &auto::Builder<TokioExecutor>, stream: S, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let fault = FirstFault::default();
        let stream = Followed::new(stream, fault.clone(), self.patience);
        let service = TowerToHyperService::new(Marked {
            router: self.router.clone(),
            fault,
        });
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        // A client's broken connection is the client's affair.
        let _ = watcher.watch(connection).await;
    }
}

/// The router, which finds the connection's first fault in every request's extensions.
#[derive(Clone)]
struct Marked {
    router: Router,
    fault: FirstFault,
}

impl<B> Service<Request<B>> for Marked
where
    Router: Service<Request<B>>,
{
    type Response = <Router as Service<Request<B>>>::Response;
    type Error = <Router as Service<Request<B>>>::Error;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.fault.clone());
        self.router.call(request)
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
