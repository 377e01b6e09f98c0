//! From HTTP to an admission: who asks, what they claim, and the body within its bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use freehold_policy::Claim;
use freehold_ports::Account;
use freehold_types::{Error, ErrorKind, FlowName, Request, RequestId, TraceParent};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Limited};

use crate::gateway::Gateway;

/// The headers by which a caller says how sensitive its request is and which workload it is of.
const SENSITIVITY_HEADER: &str = "x-freehold-sensitivity";
const FLOW_HEADER: &str = "x-freehold-flow";
/// The same in the body's `metadata`, for clients that cannot set headers.
const SENSITIVITY_KEY: &str = "freehold_sensitivity";
const FLOW_KEY: &str = "freehold_flow";
const FLOW_CHARS_MAX: usize = 128;
/// Names the conversation, whose label can only rise.
const CONVERSATION_HEADER: &str = "x-freehold-conversation";
const CONVERSATION_KEY: &str = "freehold_conversation";
const CONVERSATION_CHARS_MAX: usize = 256;

/// A request at the door: its id, and the time it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) at: Duration,
    pub(crate) unix_ms: u64,
}

impl Arrival {
    pub(crate) fn now(gateway: &Gateway) -> Self {
        let unix_ms = gateway.clock.unix_ms();
        Self {
            id: RequestId::at(unix_ms),
            at: gateway.clock.monotonic(),
            unix_ms,
        }
    }
}

/// Who asks: `Authorization: Bearer` or `x-api-key`.
pub(crate) fn identify(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Account>, Error> {
    gateway
        .accounts
        .load()
        .authenticate(presented_key(headers)?)
}

/// Who asks a model.
pub(crate) fn authenticate(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Account>, Error> {
    let account = identify(gateway, headers)?;
    match &account.grant {
        Some(grant) if !grant.role.may_ask() => Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "key `{}` is for the operator's surface (role {}) and asks no models: use another",
                account.key, grant.role
            ),
        )
        .with_code("operator_key")),
        _ => Ok(account),
    }
}

fn presented_key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let unreadable = || {
        Error::new(
            ErrorKind::Unauthenticated,
            "the API key has characters no key has",
        )
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| unreadable())?;
        let (scheme, key) = value.split_once(' ').unwrap_or(("", value));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "send the API key as `Authorization: Bearer KEY` or `x-api-key: KEY`",
            ));
        }
        return Ok(Some(key.trim()).filter(|key| !key.is_empty()));
    }
    headers
        .get("x-api-key")
        .map(|value| value.to_str().map_err(|_| unreadable()))
        .transpose()
}

/// The whole body, within the gateway's bounds on size and time.
pub(crate) async fn read_body(
    gateway: &Gateway,
    parts: &Parts,
    body: Body,
) -> Result<Bytes, Error> {
    let limit_bytes = gateway.settings.decode.body_bytes;
    let too_large = || {
        Error::new(
            ErrorKind::TooLarge,
            format!("the body exceeds the limit of {limit_bytes} bytes"),
        )
    };
    // A few compressed bytes can stand for gigabytes, so that none are unpacked.
    let encodings = parts.headers.get_all(header::CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !is_identity(encoding)) {
        return Err(Error::invalid(
            "content-encoding",
            "compressed bodies are not accepted: send the JSON as it is",
        )
        .with_code(crate::status::UNSUPPORTED_ENCODING));
    }
    let declared = http_body::Body::size_hint(&body).lower();
    if usize::try_from(declared).is_ok_and(|declared| declared > limit_bytes) {
        return Err(too_large());
    }
    let limited = Limited::new(body, limit_bytes);
    let timeout = gateway.settings.body_timeout;
    match tokio::time::timeout(timeout, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Error::new(ErrorKind::Cancelled, "the body ended early")),
        Err(_) => Err(Error::new(
            ErrorKind::InvalidRequest,
            format!("the body did not arrive within {} s", timeout.as_secs()),
        )),
    }
}

fn is_identity(encoding: &HeaderValue) -> bool {
    let encoding = encoding.as_bytes().trim_ascii();
    encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
}

/// How sensitive the caller says the request is. Header and metadata both count: the higher wins,
/// and a word that is no label counts as `restricted`.
pub(crate) fn claim(headers: &HeaderMap, request: &Request) -> Claim {
    let from_metadata = request
        .metadata
        .get(SENSITIVITY_KEY)
        .map(|value| value.as_str().unwrap_or("?"));
    highest(said_in(headers).chain(from_metadata))
}

/// The same of what is no request of its own.
pub(crate) fn claim_in_headers(headers: &HeaderMap) -> Claim {
    highest(said_in(headers))
}

fn said_in(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SENSITIVITY_HEADER).iter();
    values.map(|value| value.to_str().unwrap_or("?"))
}

fn highest<'a>(words: impl Iterator<Item = &'a str>) -> Claim {
    let mut claim = Claim::None;
    for word in words {
        claim = match (claim, word.parse()) {
            (_, Err(_)) | (Claim::Unreadable, _) => Claim::Unreadable,
            (Claim::None, Ok(label)) => Claim::Label(label),
            (Claim::Label(earlier), Ok(label)) => Claim::Label(earlier.max(label)),
        };
    }
    claim
}

/// The workload the caller names.
pub(crate) fn flow(headers: &HeaderMap, request: &Request) -> Option<FlowName> {
    let header = headers
        .get(FLOW_HEADER)
        .and_then(|value| value.to_str().ok());
    let name = header.or_else(|| request.metadata.get(FLOW_KEY)?.as_str())?;
    let name: String = name
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(FLOW_CHARS_MAX)
        .collect();
    (!name.is_empty()).then(|| FlowName::from(name))
}

/// The conversation that the caller names.
pub(crate) fn conversation(headers: &HeaderMap, request: &Request) -> Option<String> {
    let header = headers
        .get(CONVERSATION_HEADER)
        .and_then(|value| value.to_str().ok());
    let name = header.or_else(|| request.metadata.get(CONVERSATION_KEY)?.as_str())?;
    let name: String = name.trim().chars().take(CONVERSATION_CHARS_MAX).collect();
    (!name.is_empty()).then_some(name)
}

/// The caller's trace context. What is none stays behind.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    TraceParent::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// The names in `anthropic-beta`, to hand on to upstreams of that dialect: what is no name stays
/// behind.
pub(crate) fn betas(headers: &HeaderMap) -> Option<Arc<str>> {
    const NAMES_MAX: usize = 16;
    const NAME_BYTES_MAX: usize = 64;
    let is_name = |name: &&str| {
        (1..=NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let lines = headers.get_all("anthropic-beta").iter();
    let names: Vec<_> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(is_name)
        .take(NAMES_MAX)
        .collect();
    (!names.is_empty()).then(|| Arc::from(names.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_types::{Dialect, Sensitivity};

    fn request(metadata: serde_json::Value) -> Request {
        let body = serde_json::json!({
            "model": "auto",
            "messages": [{"role": "user", "content": "hi"}],
            "metadata": metadata,
        });
        let bytes = Bytes::from(body.to_string());
        freehold_wire::decode_request(
            Dialect::OpenaiChat,
            bytes,
            &freehold_wire::Limits::default(),
        )
        .unwrap()
    }

    #[test]
    fn the_higher_claim_wins_and_nonsense_is_restricted() {
        let mut headers = HeaderMap::new();
        let plain = request(serde_json::json!({}));
        assert_eq!(claim(&headers, &plain), Claim::None);
        headers.insert(SENSITIVITY_HEADER, "public".parse().unwrap());
        let confidential = request(serde_json::json!({"freehold_sensitivity": "confidential"}));
        assert_eq!(
            claim(&headers, &confidential),
            Claim::Label(Sensitivity::Confidential)
        );
        headers.append(SENSITIVITY_HEADER, "top-secret".parse().unwrap());
        assert_eq!(claim(&headers, &confidential), Claim::Unreadable);
    }

    #[test]
    fn keys_come_by_either_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(presented_key(&headers).unwrap(), None);
        headers.insert("x-api-key", "fh-1".parse().unwrap());
        assert_eq!(presented_key(&headers).unwrap(), Some("fh-1"));
        headers.insert(header::AUTHORIZATION, "bearer fh-2".parse().unwrap());
        assert_eq!(presented_key(&headers).unwrap(), Some("fh-2"));
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert!(presented_key(&headers).is_err());
    }

    #[test]
    fn only_a_trace_context_is_handed_on() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (value, handed_on) in [
            (GOOD, true),
            ("", false),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                false,
            ),
            (&format!("{GOOD}-more"), false),
            (&GOOD.to_uppercase(), false),
            ("my card is 4111 1111 1111 1111", false),
            (
                "00-Jane Doe, born 1984-03-04 zzzzz-00f067aa0ba902b7-01",
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value.parse().unwrap());
            let found = traceparent(&headers).map(|trace| trace.to_string());
            assert_eq!(found.as_deref(), handed_on.then_some(value), "{value}");
        }
    }

    #[test]
    fn only_names_of_betas_are_handed_on() {
        let mut headers = HeaderMap::new();
        assert_eq!(betas(&headers), None);
        headers.append("anthropic-beta", " ,a b,x\ty".parse().unwrap());
        assert_eq!(betas(&headers), None);
        headers.append(
            "anthropic-beta",
            "files-api-2025-04-14, c_1".parse().unwrap(),
        );
        headers.append("anthropic-beta", "d".repeat(65).parse().unwrap());
        headers.append("anthropic-beta", "e.2".parse().unwrap());
        assert_eq!(
            betas(&headers).as_deref(),
            Some("files-api-2025-04-14,c_1,e.2")
        );
        headers.append("anthropic-beta", "f,".repeat(100).parse().unwrap());
        assert_eq!(betas(&headers).unwrap().split(',').count(), 16);
    }

    #[test]
    fn a_flow_name_is_cut_and_cleaned() {
        let mut headers = HeaderMap::new();
        headers.insert(FLOW_HEADER, " support-triage ".parse().unwrap());
        let flow = flow(&headers, &request(serde_json::json!({}))).unwrap();
        assert_eq!(flow.as_str(), "support-triage");
    }
}
