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
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert("x-request-id", value.clone());
        headers.insert("request-id", value);
    }
}

fn head_headers(headers: &mut HeaderMap, id: RequestId, head: &Head, dialect: Dialect) {
    id_headers(headers, id);
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    if let Some(deployment) = &head.deployment {
        put("x-freehold-deployment", &printable(deployment.as_str()));
    }
    put("x-freehold-decision", &printable(&head.decision));
    put("x-freehold-attempts", &head.attempts.to_string());
    put("x-freehold-overhead-ms", &milliseconds(head.overhead));
    if let Some(cost) = head.cost {
        put(COST, &cost.to_string());
    }
    if let Some(standing) = &head.standing {
        limit_headers(standing, dialect, id, &mut put);
    }
    if !head.left_out.is_empty() {
        put("x-freehold-left-out", &printable(&head.left_out.join(", ")));
    }
}

/// How the limits stand, under the names that the dialect's own clients know; everybody gets OpenAI's.
fn limit_headers(
    standing: &Standing,
    dialect: Dialect,
    id: RequestId,
    mut put: impl FnMut(&'static str, &str),
) {
    const OPENAI: [[&str; 3]; 2] = [
        [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
        [
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        ],
    ];
    const ANTHROPIC: [[&str; 3]; 2] = [
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ];
    for (index, remaining) in [standing.requests, standing.tokens].into_iter().enumerate() {
        let Some(remaining) = remaining else {
            continue;
        };
        let [limit, left] = [remaining.limit, remaining.remaining].map(|count| count.to_string());
        put(OPENAI[index][0], &limit);
        put(OPENAI[index][1], &left);
        put(OPENAI[index][2], &whole_seconds(remaining.reset));
        if dialect == Dialect::AnthropicMessages {
            put(ANTHROPIC[index][0], &limit);
            put(ANTHROPIC[index][1], &left);
            let at = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(id.unix_ms());
            if let Ok(reset) = (at + remaining.reset).format(&Rfc3339) {
                put(ANTHROPIC[index][2], &reset);
            }
        }
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
