//! The one table from what went wrong to an HTTP status.

use freehold_types::{Error, ErrorKind};
use http::StatusCode;

/// The code of an error about a compressed body.
pub(crate) const UNSUPPORTED_ENCODING: &str = "unsupported_content_encoding";

/// The status of an error's answer. An upstream's own 4xx to the client's request is kept.
#[must_use]
pub fn status(error: &Error) -> StatusCode {
    if let (Some(status), ErrorKind::InvalidRequest | ErrorKind::ContextOverflow) =
        (error.upstream_status, error.kind)
        && (400..500).contains(&status)
        && let Ok(status) = StatusCode::from_u16(status)
    {
        return status;
    }
    match error.kind {
        ErrorKind::InvalidRequest if error.code.as_deref() == Some(UNSUPPORTED_ENCODING) => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        ErrorKind::InvalidRequest
        | ErrorKind::Unsupported
        | ErrorKind::ContextOverflow
        | ErrorKind::ContentFiltered => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::PermissionDenied | ErrorKind::PolicyRefused => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::BadUpstream | ErrorKind::UpstreamAuth => StatusCode::BAD_GATEWAY,
        // Nobody is there to read it; the ledger still wants a number (nginx's convention).
        ErrorKind::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
