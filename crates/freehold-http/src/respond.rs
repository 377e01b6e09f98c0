//! From what the pipeline answers to HTTP: body, status, headers.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use freehold_pipeline::{Answer, AnswerBody, Head};
use freehold_ports::Standing;
use freehold_types::{Dialect, Error, RequestId, Retry};
use freehold_wire::AnswerContext;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::admit::Arrival;
use crate::status::status;
use crate::stream::EventStreamBody;

/// Clients' libraries wait no longer than this for another try of their own.
const CLIENTS_WAIT_MAX: Duration = Duration::from_secs(60);
const DECISION_CHARS_MAX: usize = 512;
/// What the request cost, in US dollars: a header, or a comment before a stream's end.
pub(crate) const COST: &str = "x-freehold-cost";
const COST_HEADER: HeaderName = HeaderName::from_static(COST);
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-freehold-deployment");
const DECISION: HeaderName = HeaderName::from_static("x-freehold-decision");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-freehold-attempts");
const OVERHEAD: HeaderName = HeaderName::from_static("x-freehold-overhead-ms");
const LEFT_OUT: HeaderName = HeaderName::from_static("x-freehold-left-out");
/// As many as an answer has when everything is on, and the two that hyper adds.
const HEADERS_USUALLY: usize = 18;

/// What the encoder must know of the request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) dialect: Dialect,
    pub(crate) model: String,
    pub(crate) include_usage: bool,
}

/// The answer in the client's dialect.
pub(crate) fn answer(answer: Answer, asked: &Asked, arrival: Arrival) -> Response {
    let head = answer.head;
    let context = AnswerContext {
        id: arrival.id.to_string(),
        model: asked.model.clone(),
        created_s: arrival.unix_ms / 1_000,
        include_usage: asked.include_usage,
    };
    let (body, content_type) = match answer.body {
        AnswerBody::Stream(chunks) => {
            let body = EventStreamBody::new(chunks, asked.dialect, context);
            (Body::new(body), "text/event-stream; charset=utf-8")
        }
        AnswerBody::Whole(chunk) => {
            let bytes = match chunk.raw {
                Some((dialect, raw)) if dialect == asked.dialect => raw,
                _ => {
                    let response = freehold_types::Response::from_events(chunk.events);
                    freehold_wire::encode_response(asked.dialect, &response, &context)
                }
            };
            (Body::from(bytes), "application/json")
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head_headers(headers, arrival.id, &head, asked.dialect);
    response
}

/// An error in the client's dialect.
pub(crate) fn error(
    error: &Error,
    head: Option<&Head>,
    dialect: Dialect,
    id: RequestId,
) -> Response {
    let status = status(error);
    let body = match &error.upstream_body {
        Some((spoken, body))
            if *spoken == dialect && error.upstream_status == Some(status.as_u16()) =>
        {
            body.clone()
        }
        _ => freehold_wire::encode_error(dialect, status.as_u16(), error, &id.to_string()),
    };
    let mut response = json(status, body);
    let headers = response.headers_mut();
    match head {
        Some(head) => head_headers(headers, id, head, dialect),
        None => id_headers(headers, id),
    }
    if let Retry::After(pause) = error.retry {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    // Clients try again by themselves, and do not wait for as long as it takes.
    let is_far = match error.retry {
        Retry::Never => true,
        Retry::After(pause) => pause > CLIENTS_WAIT_MAX,
        Retry::Elsewhere | Retry::Soon => false,
    };
    if status == StatusCode::TOO_MANY_REQUESTS && is_far {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn id_headers(headers: &mut HeaderMap, id: RequestId) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.insert(X_REQUEST_ID, value.clone());
        headers.insert(REQUEST_ID, value);
    }
}

fn head_headers(headers: &mut HeaderMap, id: RequestId, head: &Head, dialect: Dialect) {
    // Grown once: a map that grows is built anew each time.
    headers.reserve(HEADERS_USUALLY);
    id_headers(headers, id);
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if let Some(deployment) = &head.deployment {
        put(DEPLOYMENT, printable(deployment.as_str()));
    }
    put(DECISION, printable(&head.decision));
    put(ATTEMPTS, head.attempts.to_string());
    put(OVERHEAD, milliseconds(head.overhead));
    if let Some(cost) = head.cost {
        put(COST_HEADER, cost.to_string());
    }
    if let Some(standing) = &head.standing {
        limit_headers(standing, dialect, id, &mut put);
    }
    if !head.left_out.is_empty() {
        put(LEFT_OUT, printable(&head.left_out.join(", ")));
    }
}

/// How the limits stand, under the names that the dialect's own clients know; everybody gets OpenAI's.
fn limit_headers(
    standing: &Standing,
    dialect: Dialect,
    id: RequestId,
    mut put: impl FnMut(HeaderName, String),
) {
    const OPENAI: [[HeaderName; 3]; 2] = [
        [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
        [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    ];
    const ANTHROPIC: [[HeaderName; 3]; 2] = [
        [
            HeaderName::from_static("anthropic-ratelimit-requests-limit"),
            HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
            HeaderName::from_static("anthropic-ratelimit-requests-reset"),
        ],
        [
            HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
            HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
            HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
        ],
    ];
    let standings = [standing.requests, standing.tokens];
    for ((remaining, openai), anthropic) in standings.into_iter().zip(OPENAI).zip(ANTHROPIC) {
        let Some(remaining) = remaining else {
            continue;
        };
        let [limit, left] = [remaining.limit, remaining.remaining].map(|count| count.to_string());
        if dialect == Dialect::AnthropicMessages {
            let [limit_name, left_name, reset_name] = anthropic;
            put(limit_name, limit.clone());
            put(left_name, left.clone());
            let at = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(id.unix_ms());
            if let Ok(reset) = (at + remaining.reset).format(&Rfc3339) {
                put(reset_name, reset);
            }
        }
        let [limit_name, left_name, reset_name] = openai;
        put(limit_name, limit);
        put(left_name, left);
        put(reset_name, whole_seconds(remaining.reset));
    }
}

/// As OpenAI writes it: `1s`, `1m30s`.
fn whole_seconds(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// Text that may stand in a header: names from clients and upstreams can hold anything.
fn printable(text: &str) -> String {
    let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.len() <= DECISION_CHARS_MAX && text.bytes().all(is_printable) {
        return text.to_owned();
    }
    text.chars()
        .take(DECISION_CHARS_MAX)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect()
}

fn milliseconds(time: Duration) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{:.3}", time.as_secs_f64() * 1e3);
    text
}
