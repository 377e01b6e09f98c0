//! The mock upstream: canned answers, so that what is measured is the gateway in front of it.

use std::{
    convert::Infallible,
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
    header::{CONTENT_TYPE, HeaderValue},
};
use memchr::memmem;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Sleep};

use crate::{
    answers::{Canned, Dialect},
    serve,
};

/// Options of `mock-upstream`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) listen: serve::ListenOptions,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// How fast and how much it answers.
#[derive(Clone, Copy, Debug, clap::Args)]
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
    pace: Pace,
    /// Tells when the next token of the only stream may be sent, in place of the clock.
    steps: Option<Mutex<UnboundedReceiver<()>>>,
    stats: Stats,
}

/// Serves until interrupted.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mock = Mock::new(options.pace);
    serve::run(options.listen, move |request| {
        respond(Arc::clone(&mock), request)
    })
    .await
}

impl Mock {
    pub(crate) fn new(pace: Pace) -> Arc<Self> {
        Self::with_steps(pace, None)
    }

    /// A mock that sends each further token when told so. For one stream at a time.
    pub(crate) fn stepwise(tokens: usize, steps: UnboundedReceiver<()>) -> Arc<Self> {
        let pace = Pace {
            tokens,
            latency_ms: 0,
            first_token_ms: 0,
            inter_token_ms: 0,
        };
        Self::with_steps(pace, Some(Mutex::new(steps)))
    }

    fn with_steps(pace: Pace, steps: Option<Mutex<UnboundedReceiver<()>>>) -> Arc<Self> {
        let canned = |dialect| Canned::new(dialect, pace.tokens);
        let (openai, anthropic) = (canned(Dialect::Openai), canned(Dialect::Anthropic));
        Arc::new(Self {
            openai,
            anthropic,
            pace,
            steps,
            stats: Stats::default(),
        })
    }

    fn stats(&self) -> Response<MockBody> {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let body = serde_json::json!({
            "requests": count(&self.stats.requests), "served": count(&self.stats.served),
            "aborted": count(&self.stats.aborted), "events": count(&self.stats.events),
        });
        json(StatusCode::OK, body.to_string().into())
    }
}

type MockBody = Either<Full<Bytes>, Events>;

/// Answers one request.
pub(crate) async fn respond(mock: Arc<Mock>, request: Request<Incoming>) -> Response<MockBody> {
    let path = request.uri().path();
    let dialect = match path {
        path if path.ends_with("/chat/completions") => Dialect::Openai,
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
    let Ok(body) = request.into_body().collect().await else {
        mock.stats.aborted.fetch_add(1, Relaxed);
        return json(StatusCode::BAD_REQUEST, Bytes::new());
    };
    let body = body.to_bytes();
    if is_set(&body, b"\"stream\"") {
        let usage = is_set(&body, b"\"include_usage\"");
        let mut response = Response::new(Either::Right(Events::new(mock, dialect, usage)));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        return response;
    }
    if mock.pace.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(mock.pace.latency_ms)).await;
    }
    mock.stats.served.fetch_add(1, Relaxed);
    json(StatusCode::OK, mock.canned(dialect).body.clone())
}

impl Mock {
    fn canned(&self, dialect: Dialect) -> &Canned {
        match dialect {
            Dialect::Openai => &self.openai,
            Dialect::Anthropic => &self.anthropic,
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

/// The events of one stream, each written at its time.
pub(crate) struct Events {
    mock: Arc<Mock>,
    dialect: Dialect,
    usage: bool,
    /// Tokens sent; after the last comes the close.
    sent: usize,
    ended: bool,
    timer: Option<Pin<Box<Sleep>>>,
    next_at: Instant,
}

impl Events {
    fn new(mock: Arc<Mock>, dialect: Dialect, usage: bool) -> Self {
        mock.forget_steps();
        let delay = Duration::from_millis(mock.pace.first_token_ms);
        let next_at = Instant::now() + delay;
        let timer = (!delay.is_zero()).then(|| Box::pin(tokio::time::sleep_until(next_at)));
        Self {
            mock,
            dialect,
            usage,
            sent: 0,
            ended: false,
            timer,
            next_at,
        }
    }

    fn next(&mut self) -> Bytes {
        let canned = self.mock.canned(self.dialect);
        let (bytes, events) = if self.sent == 0 {
            (canned.first.clone(), canned.first_events)
        } else if self.sent < self.mock.pace.tokens {
            (canned.token.clone(), 1)
        } else if self.usage {
            (
                canned.close_with_usage.clone(),
                canned.close_events + u64::from(self.dialect == Dialect::Openai),
            )
        } else {
            (canned.close.clone(), canned.close_events)
        };
        self.ended = self.sent > 0 && self.sent >= self.mock.pace.tokens;
        self.sent += 1;
        let stats = &self.mock.stats;
        stats.events.fetch_add(events, Relaxed);
        if self.ended {
            stats.served.fetch_add(1, Relaxed);
        } else {
            // The close comes with the last token, as vendors send it.
            let gap = if self.sent >= self.mock.pace.tokens {
                0
            } else {
                self.mock.pace.inter_token_ms
            };
            self.arm(gap);
        }
        bytes
    }

    fn arm(&mut self, gap_ms: u64) {
        self.next_at += Duration::from_millis(gap_ms);
        if gap_ms == 0 {
            self.timer = None;
        } else if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(self.next_at);
        } else {
            self.timer = Some(Box::pin(tokio::time::sleep_until(self.next_at)));
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        if self.mock.poll_step(self.sent, cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(self.next()))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.ended {
            self.mock.stats.aborted.fetch_add(1, Relaxed);
        }
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
