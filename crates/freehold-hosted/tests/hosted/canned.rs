//! A server that gives fixed answers by path, in the clear or over TLS, and counts what it saw.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) version: http::Version,
    pub(crate) body: Bytes,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) connections: AtomicUsize,
}

pub(crate) type Answers = BTreeMap<&'static str, Response<Full<Bytes>>>;

pub(crate) struct Canned {
    pub(crate) authority: String,
    pub(crate) log: Arc<Log>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A 200 with this body.
pub(crate) fn json(body: &'static str) -> Response<Full<Bytes>> {
    typed("application/json", body)
}

pub(crate) fn typed(content_type: &'static str, body: &'static str) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", content_type)
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

impl Canned {
    pub(crate) async fn start(
        answers: impl IntoIterator<Item = (&'static str, Response<Full<Bytes>>)>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let answers: Arc<Answers> = Arc::new(answers.into_iter().collect());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Log::default());
        let task = tokio::spawn(accept(listener, answers, Arc::clone(&log), tls));
        Self {
            authority,
            log,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.authority)
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let seen = self.log.seen.lock().unwrap();
        seen.iter().map(|seen| seen.path.clone()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }
}

async fn accept(
    listener: TcpListener,
    answers: Arc<Answers>,
    log: Arc<Log>,
    tls: Option<TlsAcceptor>,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        log.connections.fetch_add(1, Ordering::SeqCst);
        let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                None => serve(stream, answers, log).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answers, log).await;
                    }
                }
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answers: Arc<Answers>,
    log: Arc<Log>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = head.uri.path_and_query().unwrap().to_string();
            let answer = answers.get(path.as_str()).cloned().unwrap_or_else(|| {
                let mut missing = json("{}");
                *missing.status_mut() = http::StatusCode::NOT_FOUND;
                missing
            });
            log.seen.lock().unwrap().push(Seen {
                path,
                version: head.version,
                body,
            });
            Ok::<_, Infallible>(answer)
        }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
