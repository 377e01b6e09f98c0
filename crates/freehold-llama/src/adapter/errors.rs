//! The engine's errors as errors that cross rooms.

use freehold_types::{Error, ErrorKind, ErrorSource, Retry};

use crate::error::RequestError;

/// An engine's refusal or failure, for the client.
pub(crate) fn from_request(error: RequestError) -> Error {
    let message = error.to_string();
    match error {
        RequestError::Invalid { field, message } => Error::invalid(field, message),
        RequestError::ContextOverflow { .. } => Error::new(ErrorKind::ContextOverflow, message)
            .with_param("messages")
            .with_code("context_length_exceeded"),
        RequestError::QueueFull { retry_after, .. } => Error::new(ErrorKind::Overloaded, message)
            .with_code("queue_full")
            .with_retry(Retry::After(retry_after)),
        RequestError::ShutDown => Error::new(ErrorKind::Unavailable, message),
        // Another model's template may accept what this one does not.
        RequestError::Template(_) => {
            Error::invalid("messages", message).with_retry(Retry::Elsewhere)
        }
        RequestError::Constraint(_) => {
            Error::invalid("response_format", message).with_retry(Retry::Elsewhere)
        }
        RequestError::CacheExhausted => {
            Error::new(ErrorKind::Overloaded, message).with_code("cache_exhausted")
        }
        RequestError::Evaluate(_) => {
            Error::new(ErrorKind::Internal, message).on_side(ErrorSource::Upstream)
        }
    }
}
