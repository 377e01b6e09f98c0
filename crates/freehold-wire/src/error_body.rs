//! Error bodies of the dialects, both ways.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use freehold_types::{Dialect, Error, ErrorKind, ErrorSource, Retry};
use serde_json::{Value, json};

/// The longest upstream message that is repeated to a client.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Writes an error in the client's dialect. `status` is the HTTP status it is sent with.
///
/// An upstream's own body goes to a client of the same dialect unchanged, unless it is about the
/// gateway's credentials.
pub fn encode_error(dialect: Dialect, status: u16, error: &Error, request_id: &str) -> Bytes {
    if let Some((spoken, body)) = &error.upstream_body
        && error.kind != ErrorKind::UpstreamAuth
        && speaks(dialect, *spoken)
        && is_error_body(body)
    {
        return body.clone();
    }
    error_value(dialect, Some(status), error, Some(request_id))
        .to_string()
        .into()
}

/// True when both dialects have the same error bodies.
fn speaks(client: Dialect, upstream: Dialect) -> bool {
    let anthropic = |dialect| dialect == Dialect::AnthropicMessages;
    anthropic(client) == anthropic(upstream)
}

/// True for a body that reads as an error and repeats no key.
fn is_error_body(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else {
        return false;
    };
    let value: Result<Value, _> = serde_json::from_str(text);
    let is_error = value.is_ok_and(|value| value.get("error").is_some_and(Value::is_object));
    is_error && matches!(without_keys(text), Cow::Borrowed(_))
}

pub(crate) fn error_value(
    dialect: Dialect,
    status: Option<u16>,
    error: &Error,
    request_id: Option<&str>,
) -> Value {
    let status = status.unwrap_or_else(|| usual_status(error.kind));
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
            let code = error.code.as_deref().or(openai_code(error.kind));
            json!({"error": {
                "message": error.message,
                "type": openai_type(error.kind, status),
                "param": error.param,
                "code": code,
            }})
        }
        Dialect::AnthropicMessages => {
            let message = match &error.param {
                // The dialect has no field for the place, so the message must name it.
                Some(param) if !param.is_empty() && !error.message.contains(param.as_str()) => {
                    format!("{param}: {}", error.message)
                }
                _ => error.message.clone(),
            };
            let mut body = json!({
                "type": "error",
                "error": {"type": anthropic_type(error.kind, status), "message": message},
            });
            if let Some(id) = request_id.filter(|id| !id.is_empty()) {
                body["request_id"] = id.into();
            }
            body
        }
    }
}

/// The status an error inside a stream would have had; a stream has none of its own.
const fn usual_status(kind: ErrorKind) -> u16 {
    use ErrorKind as K;
    match kind {
        K::InvalidRequest | K::Unsupported | K::ContextOverflow | K::ContentFiltered => 400,
        K::Unauthenticated => 401,
        K::PermissionDenied | K::PolicyRefused => 403,
        K::NotFound => 404,
        K::TooLarge => 413,
        K::RateLimited => 429,
        K::Cancelled => 499,
        K::Internal => 500,
        K::BadUpstream | K::UpstreamAuth => 502,
        K::Unavailable => 503,
        K::Timeout => 504,
        K::Overloaded => 529,
    }
}

fn openai_type(kind: ErrorKind, status: u16) -> &'static str {
    match (kind, status) {
        (ErrorKind::RateLimited, _) | (_, 429) => "rate_limit_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 400..=499) => "invalid_request_error",
        _ => "server_error",
    }
}

const fn openai_code(kind: ErrorKind) -> Option<&'static str> {
    use ErrorKind as K;
    match kind {
        K::InvalidRequest => None,
        K::Unsupported => Some("unsupported_parameter"),
        K::ContextOverflow => Some("context_length_exceeded"),
        K::TooLarge => Some("request_too_large"),
        K::Unauthenticated => Some("invalid_api_key"),
        K::PermissionDenied => Some("permission_denied"),
        K::PolicyRefused => Some("policy_refused"),
        K::NotFound => Some("not_found"),
        K::RateLimited => Some("rate_limit_exceeded"),
        K::Overloaded => Some("overloaded"),
        K::Timeout => Some("timeout"),
        K::Unavailable => Some("unavailable"),
        K::BadUpstream => Some("bad_upstream"),
        K::UpstreamAuth => Some("upstream_auth"),
        K::ContentFiltered => Some("content_filter"),
        K::Cancelled => Some("cancelled"),
        K::Internal => Some("internal_error"),
    }
}

fn anthropic_type(kind: ErrorKind, status: u16) -> &'static str {
    match (kind, status) {
        (ErrorKind::Overloaded, _) | (_, 529) => "overloaded_error",
        (ErrorKind::RateLimited, _) | (_, 429) => "rate_limit_error",
        (ErrorKind::Timeout, _) | (_, 504) => "timeout_error",
        (_, 401) => "authentication_error",
        (_, 402) => "billing_error",
        (_, 403) => "permission_error",
        (_, 404) => "not_found_error",
        (_, 413) => "request_too_large",
        (_, 400..=499) => "invalid_request_error",
        _ => "api_error",
    }
}

/// Reads an upstream's error answer.
///
/// `retry_after` is the answer's Retry-After header. The body may be anything; what does not read
/// as the dialect's error is kept only in `upstream_body`.
pub fn decode_error(
    dialect: Dialect,
    status: u16,
    retry_after: Option<Duration>,
    body: Bytes,
) -> Error {
    let said: Said = serde_json::from_slice(&body)
        .map(|value| Said::read(&value))
        .unwrap_or_default();
    let (kind, retry) = classify(status, &said);
    let mut error = Error::new(kind, message(kind, status, &said)).on_side(side(kind));
    error.retry = match (retry, retry_after) {
        (Retry::Soon, Some(pause)) => Retry::After(pause),
        (retry, _) => retry,
    };
    error.param = said.param.filter(|_| kind != ErrorKind::UpstreamAuth);
    error.code = match kind {
        // The usual code of our kind says more than the vendor's.
        ErrorKind::ContextOverflow | ErrorKind::UpstreamAuth => None,
        _ => said.code,
    };
    error.upstream_status = Some(status);
    error.upstream_body = Some((dialect, body));
    error
}

/// An error that an upstream sent inside a stream or with status 200.
pub(crate) fn error_in_answer(dialect: Dialect, body: &Value, raw: &[u8]) -> Error {
    let said = Said::read(body);
    let status = said.status.unwrap_or(0);
    let (kind, retry) = classify(status, &said);
    let mut error = Error::new(kind, message(kind, status, &said)).on_side(side(kind));
    error.retry = retry;
    error.code = said.code;
    error.upstream_body = Some((dialect, Bytes::copy_from_slice(raw)));
    error
}

/// The upstream's answer was not what its dialect promises.
pub(crate) fn garbled(what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::BadUpstream,
        format!("the upstream's answer cannot be read: {what}"),
    )
}

fn side(kind: ErrorKind) -> ErrorSource {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextOverflow
        | ErrorKind::TooLarge
        | ErrorKind::Unsupported => ErrorSource::Client,
        _ => ErrorSource::Upstream,
    }
}

/// What an error body says, in whichever of the known shapes.
#[derive(Debug, Default)]
struct Said {
    message: Option<String>,
    kind: String,
    code: Option<String>,
    param: Option<String>,
    status: Option<u16>,
}

impl Said {
    /// `{"error": {...}}` (OpenAI, Anthropic), `{"error": "..."}` (Ollama, TGI),
    /// `{"message": ...}` (vLLM, Mistral) or `{"detail": ...}` (FastAPI servers).
    fn read(body: &Value) -> Self {
        let inner = match body.get("error") {
            Some(error @ Value::Object(_)) => error,
            _ => body,
        };
        let text = |key: &str| inner.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = text("message")
            .or_else(|| body.get("error").and_then(Value::as_str).map(str::to_owned))
            .or_else(
                || match inner.get("detail").or_else(|| inner.get("message")) {
                    Some(Value::String(detail)) => Some(detail.clone()),
                    Some(detail) if !detail.is_null() => Some(detail.to_string()),
                    _ => None,
                },
            );
        let number = |key: &str| inner.get(key).and_then(Value::as_u64);
        let status = number("status").or_else(|| number("code"));
        Self {
            message,
            kind: text("type")
                .or_else(|| text("error_type"))
                .unwrap_or_default(),
            code: text("code"),
            param: text("param"),
            status: status.and_then(|status| u16::try_from(status).ok()),
        }
    }

    /// True when the code or the type is one of these.
    fn is(&self, words: &[&str]) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        words.contains(&code) || words.contains(&self.kind.as_str())
    }

    /// True when the message contains one of these (lower case).
    fn mentions(&self, phrases: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    fn overflows(&self) -> bool {
        const PHRASES: [&str; 8] = [
            "maximum context length",
            "context length exceeded",
            "prompt is too long",
            "available context size",
            "exceeds the context window",
            "exceed context limit",
            "context window",
            "`inputs` tokens + `max_new_tokens` must be",
        ];
        self.is(&["context_length_exceeded", "exceed_context_size_error"])
            || self.mentions(&PHRASES)
    }

    fn is_filtered(&self) -> bool {
        self.is(&[
            "content_filter",
            "content_policy_violation",
            "ResponsibleAIPolicyViolation",
        ])
    }

    fn is_out_of_credit(&self) -> bool {
        self.is(&[
            "insufficient_quota",
            "billing_error",
            "billing_hard_limit_reached",
        ]) || self.mentions(&["credit balance is too low", "insufficient balance"])
    }
}

fn classify(status: u16, said: &Said) -> (ErrorKind, Retry) {
    use ErrorKind as K;
    let status = if status == 0 {
        implied_status(said)
    } else {
        status
    };
    match status {
        // Credit runs out at one vendor; the same request does not help there, but elsewhere.
        400 | 402 | 403 | 429 if status == 402 || said.is_out_of_credit() => {
            (K::RateLimited, Retry::Elsewhere)
        }
        400 | 413 | 422 | 500 if said.overflows() => (K::ContextOverflow, Retry::Elsewhere),
        400 | 403 | 422 if said.is_filtered() => (K::ContentFiltered, Retry::Never),
        400 | 404 if said.is(&["model_not_found", "not_found_error"]) => {
            (K::NotFound, Retry::Elsewhere)
        }
        401 | 403 => (K::UpstreamAuth, Retry::Elsewhere),
        404 | 405 | 410 => (K::NotFound, Retry::Elsewhere),
        408 | 504 | 524 => (K::Timeout, Retry::Soon),
        413 => (K::TooLarge, Retry::Elsewhere),
        409 | 425 => (K::Unavailable, Retry::Soon),
        429 => (K::RateLimited, Retry::Soon),
        400..=499 => (K::InvalidRequest, Retry::Never),
        529 => (K::Overloaded, Retry::Soon),
        503 if said.is(&["overloaded_error"]) || said.mentions(&["overloaded"]) => {
            (K::Overloaded, Retry::Soon)
        }
        500..=599 => (K::Unavailable, Retry::Soon),
        _ => (K::BadUpstream, Retry::Soon),
    }
}

/// The status that goes with a type or code where the answer carries none.
fn implied_status(said: &Said) -> u16 {
    match () {
        () if said.is(&["overloaded_error"]) => 529,
        () if said.is(&["rate_limit_error", "rate_limit_exceeded"]) => 429,
        () if said.is(&["timeout_error"]) => 504,
        () if said.is(&[
            "authentication_error",
            "permission_error",
            "invalid_api_key",
        ]) =>
        {
            401
        }
        () if said.is(&["billing_error", "insufficient_quota"]) => 402,
        () if said.is(&["not_found_error", "model_not_found"]) => 404,
        () if said.overflows() || said.is_filtered() => 400,
        () if said.is(&["invalid_request_error", "BadRequestError"]) => 400,
        () => 500,
    }
}

fn message(kind: ErrorKind, status: u16, said: &Said) -> String {
    let answered = if status == 0 {
        String::new()
    } else {
        format!(" (status {status})")
    };
    match (&said.message, kind) {
        // Vendors repeat parts of the key in these.
        (_, ErrorKind::UpstreamAuth) => {
            format!("the upstream refused the gateway's credentials{answered}")
        }
        (Some(message), _) if !message.is_empty() => {
            let shown: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
            format!("the upstream answered{answered}: {}", without_keys(&shown))
        }
        _ => format!("the upstream failed without saying why{answered}"),
    }
}

/// Blots out what looks like an API key, or follows `Bearer`. Borrowed when there was none.
fn without_keys(text: &str) -> Cow<'_, str> {
    const PREFIXES: [&str; 7] = ["sk-", "sk_", "gsk_", "hf_", "xai-", "AIza", "key-"];
    const KEY_BYTES_MIN: usize = 12;
    let is_key_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=*".contains(&byte);
    let bytes = text.as_bytes();
    let mut cleaned = String::new();
    let mut done = 0;
    let mut at = 0;
    let mut after_bearer = false;
    while at < bytes.len() {
        let length = bytes[at..]
            .iter()
            .take_while(|byte| is_key_byte(**byte))
            .count();
        if length == 0 {
            at += 1;
            continue;
        }
        // Key bytes are ASCII, so both ends are character boundaries.
        let word = &text[at..at + length];
        let is_key = PREFIXES.iter().any(|prefix| word.starts_with(prefix));
        if (is_key || after_bearer) && length >= KEY_BYTES_MIN {
            cleaned.push_str(&text[done..at]);
            cleaned.push_str("[redacted]");
            done = at + length;
        }
        after_bearer = word.eq_ignore_ascii_case("bearer");
        at += length;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    cleaned.push_str(&text[done..]);
    Cow::Owned(cleaned)
}
