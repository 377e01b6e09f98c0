//! The handle that tests hold, and the listener behind it.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    TestkitError,
    connection::{BreakableStream, ConnectionControl},
    exchange::respond,
    record::{RequestEnd, RequestRecord, Shared, Totals},
    script::Script,
};

const MODELS: [&str; 4] = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "fake"];

/// Builds a [`FakeUpstream`].
#[derive(Clone, Debug)]
pub struct FakeUpstreamBuilder {
    address: SocketAddr,
    key: Option<String>,
    models: Vec<String>,
}

impl FakeUpstreamBuilder {
    /// Listens on this loopback address; by default on a free port.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Answers 401 unless this key comes as `Authorization: Bearer` or `x-api-key`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The ids listed at `/v1/models`; requests may name any model.
    #[must_use]
    pub fn models(mut self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Starts to listen, on the current Tokio runtime.
    ///
    /// # Errors
    /// The address is taken or is not loopback.
    pub async fn start(self) -> Result<FakeUpstream, TestkitError> {
        if !self.address.ip().is_loopback() {
            return Err(TestkitError::NotLoopback(self.address));
        }
        let listen = |source| TestkitError::Listen {
            address: self.address,
            source,
        };
        let listener = TcpListener::bind(self.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Shared::new(self.key, self.models);
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(FakeUpstream {
            address,
            shared,
            task,
        })
    }
}

/// A running fake. Dropping it closes its socket and all its connections.
pub struct FakeUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl FakeUpstream {
    /// Sets up a fake before it starts.
    #[must_use]
    pub fn builder() -> FakeUpstreamBuilder {
        let models = MODELS.map(str::to_owned).to_vec();
        FakeUpstreamBuilder {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            key: None,
            models,
        }
    }

    /// Starts a fake on a free port of loopback.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::builder().start().await
    }

    /// `http://127.0.0.1:PORT`, without `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues a script for the next request (that it fits).
    pub fn push(&self, script: Script) {
        self.shared.push(script);
    }

    /// Queued scripts that no request has taken yet.
    #[must_use]
    pub fn scripts_left(&self) -> usize {
        self.shared.scripts_left()
    }

    /// All requests since the start or the last reset, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.records()
    }

    /// Sums over these requests.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.totals()
    }

    /// Lets `count` waits at gates pass, now or later.
    pub fn release(&self, count: usize) {
        self.shared.release(count);
    }

    /// Opens the gates for good.
    pub fn release_all(&self) {
        self.shared.release_all();
    }

    /// Forgets requests and scripts, and closes the gates.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Resolves once `condition` holds for the requests so far. Wrap it in a timeout.
    pub async fn wait_until(&self, condition: impl Fn(&[RequestRecord]) -> bool) {
        self.shared.wait_until(condition).await;
    }

    /// Resolves once `count` requests wait at a gate or in a stall at the same time.
    pub async fn wait_for_waiting(&self, count: usize) {
        let waiting = |records: &[RequestRecord]| {
            records.iter().filter(|record| record.waiting).count() >= count
        };
        self.wait_until(waiting).await;
    }

    /// Resolves once `count` requests have been left by their client.
    pub async fn wait_for_abort(&self, count: usize) {
        self.wait_for_end(RequestEnd::ClientAborted, count).await;
    }

    /// Resolves once `count` requests have ended in this way.
    pub async fn wait_for_end(&self, end: RequestEnd, count: usize) {
        let ended = |records: &[RequestRecord]| {
            records.iter().filter(|record| record.end == end).count() >= count
        };
        self.wait_until(ended).await;
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A loopback URL that refuses connections (unless another process takes its port meanwhile).
///
/// # Errors
/// No port is free.
pub fn unreachable_url() -> std::io::Result<String> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(format!("http://{}", listener.local_addr()?))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set with this task aborts the connections.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.count_connection();
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            // Out of file descriptors, mostly: let the others end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Every chunk shall leave at once; without it tests would wait for the kernel.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let control = Arc::new(ConnectionControl::default());
    let io = TokioIo::new(BreakableStream::new(stream, Arc::clone(&control)));
    let service = service_fn(move |request| {
        let (shared, control) = (Arc::clone(&shared), Arc::clone(&control));
        async move { Ok::<_, Infallible>(respond(request, &shared, control).await) }
    });
    // Connections that clients or faults break end in an error; the records tell.
    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .serve_connection(io, service)
        .await;
}
