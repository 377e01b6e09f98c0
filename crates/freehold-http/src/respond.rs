//! From what the pipeline answers to HTTP: body, status, headers.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use freehold_pipeline::{Answer, AnswerBody, Head};
use freehold_types::{Dialect, Error, RequestId, Retry};
use freehold_wire::AnswerContext;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::admit::Arrival;
use crate::status::status;
use crate::stream::EventStreamBody;

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
    head_headers(headers, arrival.id, &head);
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
        Some(head) => head_headers(headers, id, head),
        None => id_headers(headers, id),
    }
    if let Retry::After(pause) = error.retry {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
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

fn head_headers(headers: &mut HeaderMap, id: RequestId, head: &Head) {
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
    if !head.left_out.is_empty() {
        put("x-freehold-left-out", &printable(&head.left_out.join(", ")));
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
