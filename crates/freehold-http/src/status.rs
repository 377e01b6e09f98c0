//! The one table from what went wrong to an HTTP status.

use freehold_types::{Error, ErrorKind};
use http::StatusCode;

/// The status of an error's answer. An upstream's own 4xx to the client's request is kept.
pub(crate) fn status(error: &Error) -> StatusCode {
    if let (Some(status), ErrorKind::InvalidRequest | ErrorKind::ContextOverflow) =
        (error.upstream_status, error.kind)
        && (400..500).contains(&status)
        && let Ok(status) = StatusCode::from_u16(status)
    {
        return status;
    }
    match error.kind {
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
