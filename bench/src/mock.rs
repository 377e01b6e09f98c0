//! The mock upstream: canned answers, so that what is measured is the gateway in front of it, and faults on demand.

mod events;
mod fault;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use memchr::memmem;
use tokio::{sync::mpsc::UnboundedReceiver, time::Sleep};

use self::{
    events::{Events, FLUSH},
    fault::{Fault, FaultOptions, Faults},
};
use crate::{
    answers::{Canned, Dialect, embedding},
    serve,
};

pub(crate) use fault::Reset;

/// Options of `mock-upstream`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) listen: serve::ListenOptions,
    #[command(flatten)]
    pub(crate) pace: Pace,
    #[command(flatten)]
    pub(crate) faults: FaultOptions,
}

/// How fast and how much it answers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Pace {
    /// Tokens per answer.
    #[arg(long, default_value_t = 64)]
    pub(crate) tokens: usize,
    /// Milliseconds until the headers of an answer that is not streamed.
    #[arg(long, default_value_t = 0)]
    pub(crate) latency_ms: u64,
    /// Milliseconds until the first token of a stream.
    #[arg(long, default_value_t = 0)]
    pub(crate) first_token_ms: u64,
    /// Milliseconds between the later tokens of a stream.
    #[arg(long, default_value_t = 10)]
    pub(crate) inter_token_ms: u64,
    /// A script instead: milliseconds between the later tokens, in turn and again from the first, e.g. `5,5,500`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) gaps_ms: Vec<u64>,
}

impl Pace {
    /// The pause after so many tokens.
    fn gap_ms(&self, sent: usize) -> u64 {
        match self.gaps_ms.len() {
            0 => self.inter_token_ms,
            count => self.gaps_ms[sent.saturating_sub(1) % count],
        }
    }
}

/// What has been served, at `GET /__stats`.
#[derive(Default)]
struct Stats {
    requests: AtomicU64,
    served: AtomicU64,
    aborted: AtomicU64,
    events: AtomicU64,
}

/// The server's state.
pub(crate) struct Mock {
    openai: Canned,
    anthropic: Canned,
    /// The same with usage that is wrong.
    wrong: [Canned; 2],
    embedding: Bytes,
    pace: Pace,
    /// Tells when the next token of the only stream may be sent, in place of the clock.
    steps: Option<Mutex<UnboundedReceiver<()>>>,
    faults: Faults,
    stats: Stats,
}

/// Serves until interrupted.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mock = Mock::new(options.pace, options.faults)?;
    serve::run(options.listen, move |request, reset| {
        respond(Arc::clone(&mock), request, Arc::clone(reset))
    })
    .await
}

impl Mock {
    fn new(pace: Pace, faults: FaultOptions) -> anyhow::Result<Arc<Self>> {
        Ok(Self::with_steps(pace, Faults::new(faults)?, None))
    }

    /// A mock that sends each further token when told so. For one stream at a time.
    pub(crate) fn stepwise(tokens: usize, steps: UnboundedReceiver<()>) -> Arc<Self> {
        let pace = Pace {
            tokens,
            latency_ms: 0,
            first_token_ms: 0,
            inter_token_ms: 0,
            gaps_ms: Vec::new(),
        };
        Self::with_steps(pace, Faults::none(), Some(Mutex::new(steps)))
    }

    fn with_steps(
        pace: Pace,
        faults: Faults,
        steps: Option<Mutex<UnboundedReceiver<()>>>,
    ) -> Arc<Self> {
        let canned = |dialect, factor| Canned::new(dialect, pace.tokens, pace.tokens * factor);
        Arc::new(Self {
            openai: canned(Dialect::Openai, 1),
            anthropic: canned(Dialect::Anthropic, 1),
            wrong: [Dialect::Openai, Dialect::Anthropic].map(|dialect| canned(dialect, 1_000)),
            embedding: embedding(),
            faults,
            steps,
            stats: Stats::default(),
            pace,
        })
    }

    fn stats(&self) -> Response<MockBody> {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let body = serde_json::json!({
            "requests": count(&self.stats.requests), "served": count(&self.stats.served),
            "aborted": count(&self.stats.aborted), "events": count(&self.stats.events),
            "faults": self.faults.counts(),
        });
        json(StatusCode::OK, body.to_string().into())
    }

    fn canned(&self, dialect: Dialect, fault: Option<Fault>) -> &Canned {
        match (dialect, fault) {
            (Dialect::Openai, Some(Fault::Usage)) => &self.wrong[0],
            (Dialect::Anthropic, Some(Fault::Usage)) => &self.wrong[1],
            (Dialect::Openai, _) => &self.openai,
            (Dialect::Anthropic, _) => &self.anthropic,
        }
    }
}

type MockBody = Either<Full<Bytes>, Either<Events, Broken>>;

/// Answers one request.
pub(crate) async fn respond(
    mock: Arc<Mock>,
    request: Request<Incoming>,
    reset: Reset,
) -> Response<MockBody> {
    let path = request.uri().path();
    let is_embedding = path.ends_with("/embeddings");
    let dialect = match path {
        path if path.ends_with("/chat/completions") || is_embedding => Dialect::Openai,
        path if path.ends_with("/messages") => Dialect::Anthropic,
        "/__stats" => return mock.stats(),
        path if path.ends_with("/models") => {
            let models = r#"{"object":"list","data":[{"id":"mock","object":"model","created":0,"owned_by":"mock"}]}"#;
            return json(StatusCode::OK, Bytes::from_static(models.as_bytes()));
        }
        "/health" => return json(StatusCode::OK, Bytes::from_static(b"{}")),
        _ => {
            return json(
                StatusCode::NOT_FOUND,
                Bytes::from_static(b"{\"error\":{\"message\":\"no such path\"}}"),
            );
        }
    };
    mock.stats.requests.fetch_add(1, Relaxed);
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        mock.stats.aborted.fetch_add(1, Relaxed);
        return json(StatusCode::BAD_REQUEST, Bytes::new());
    };
    let body = body.to_bytes();
    let fault = mock.faults.of(&parts.headers, &body);
    if fault == Some(Fault::Slow) {
        tokio::time::sleep(Duration::from_millis(mock.faults.options.slow_ms)).await;
    }
    if let Some(refusal) = fault.and_then(|fault| refusal(&mock, dialect, fault)) {
        mock.stats.served.fetch_add(1, Relaxed);
        return refusal;
    }
    if !is_embedding && is_set(&body, b"\"stream\"") {
        let usage = is_set(&body, b"\"include_usage\"");
        let events = Events::new(mock, dialect, usage, fault, reset);
        let mut response = Response::new(Either::Right(Either::Left(events)));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        return response;
    }
    let whole = if is_embedding {
        mock.embedding.clone()
    } else {
        mock.canned(dialect, fault).body.clone()
    };
    if mock.pace.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(mock.pace.latency_ms)).await;
    }
    at_once(&mock, whole, fault, &reset).await
}

/// An answer that is not streamed.
async fn at_once(
    mock: &Arc<Mock>,
    whole: Bytes,
    fault: Option<Fault>,
    reset: &Reset,
) -> Response<MockBody> {
    let cut = || {
        mock.stats.aborted.fetch_add(1, Relaxed);
        let half = whole.slice(..whole.len() / 2);
        let mut response = Response::new(Either::Right(Either::Right(Broken::new(half))));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    };
    match fault {
        Some(Fault::Stall) => {
            // The client that leaves ends it.
            let _aborted = Aborted(Arc::clone(mock));
            std::future::pending().await
        }
        Some(Fault::Half) => cut(),
        Some(Fault::Reset) => {
            reset.store(true, Relaxed);
            cut()
        }
        Some(Fault::Malformed) => {
            mock.stats.served.fetch_add(1, Relaxed);
            json(
                StatusCode::OK,
                Bytes::from_static(b"{\"id\": \"chatcmpl-\"oops}"),
            )
        }
        _ => {
            mock.stats.served.fetch_add(1, Relaxed);
            json(StatusCode::OK, whole)
        }
    }
}

impl Mock {
    /// Steps that an earlier stream left over are not this one's.
    fn forget_steps(&self) {
        if let Some(steps) = &self.steps {
            let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
            while steps.try_recv().is_ok() {}
        }
    }

    /// Whether the token after `sent` others may go. The first needs no step, nor does the close, which goes with the
    /// last token.
    fn poll_step(&self, sent: usize, cx: &mut Context<'_>) -> Poll<()> {
        match &self.steps {
            Some(steps) if (1..self.pace.tokens).contains(&sent) => {
                let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
                steps.poll_recv(cx).map(drop)
            }
            _ => Poll::Ready(()),
        }
    }
}

/// Counts an answer that nobody waited for.
struct Aborted(Arc<Mock>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.stats.aborted.fetch_add(1, Relaxed);
    }
}

/// The error of a fault that is a status.
fn refusal(mock: &Mock, dialect: Dialect, fault: Fault) -> Option<Response<MockBody>> {
    let (status, kind) = match fault {
        Fault::TooMany => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "overloaded_error"),
        _ => return None,
    };
    let error = serde_json::json!({ "type": kind, "message": "a fault of the mock upstream" });
    let body = match dialect {
        Dialect::Openai => serde_json::json!({ "error": error }),
        Dialect::Anthropic => serde_json::json!({ "type": "error", "error": error }),
    };
    let mut response = json(status, body.to_string().into());
    if fault == Fault::TooMany {
        let seconds = HeaderValue::from(mock.faults.options.retry_after_s);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    Some(response)
}

/// Whether the body has `name: true`, without parsing it: the mock must stay cheaper than what it measures.
fn is_set(body: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(body, name).any(|at| {
        let rest = body[at + name.len()..].trim_ascii_start();
        rest.strip_prefix(b":")
            .is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
    })
}

fn json(status: StatusCode, body: Bytes) -> Response<MockBody> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The connection ends in the middle of an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
pub(crate) struct Cut;

/// A part of a body, then the end of the connection.
pub(crate) struct Broken {
    part: Option<Bytes>,
    timer: Pin<Box<Sleep>>,
}

impl Broken {
    fn new(part: Bytes) -> Self {
        Self {
            part: Some(part),
            timer: Box::pin(tokio::time::sleep(FLUSH)),
        }
    }
}

impl Body for Broken {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(part) = self.part.take() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        self.timer.as_mut().poll(cx).map(|()| Some(Err(Cut)))
    }
}

#[cfg(test)]
mod tests {
    use super::is_set;

    #[test]
    fn flags_are_found_however_they_are_spaced() {
        assert!(is_set(br#"{"stream":true}"#, b"\"stream\""));
        assert!(is_set(
            br#"{"a":"\"stream\"","stream" : true}"#,
            b"\"stream\""
        ));
        assert!(!is_set(
            br#"{"stream":false,"text":"\"stream\""}"#,
            b"\"stream\""
        ));
        assert!(!is_set(br#"{"stream_options":{"x":true}}"#, b"\"stream\""));
    }
}
