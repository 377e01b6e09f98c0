//! What the operator's surface answers: JSON, also when it refuses.

use axum::response::Response;
use freehold_ports::{AdministrationError, LoginError};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use crate::respond;

/// Why something is not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "unauthenticated",
            message: message.into(),
        }
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "forbidden",
            message: message.into(),
        }
    }

    pub(super) fn unclear(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "invalid_request",
            message: message.into(),
        }
    }

    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "not_found",
            message: message.into(),
        }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "unavailable",
            message: message.into(),
        }
    }

    pub(super) fn response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let mut response = respond::json(self.status, body.to_string().into());
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<AdministrationError> for Refusal {
    fn from(error: AdministrationError) -> Self {
        match error {
            AdministrationError::Unclear(message) => Self::unclear(message),
            AdministrationError::Forbidden(message) => Self::forbidden(message),
            AdministrationError::Unknown(message) => Self::unknown(message),
            AdministrationError::Unavailable(message) => Self::unavailable(message),
        }
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Unavailable => Self::unavailable(error.to_string()),
            LoginError::Refused(_) => Self::forbidden(error.to_string()),
        }
    }
}

pub(super) fn json(answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => respond::json(StatusCode::OK, body.into()),
        // Every answer is made of plain values, whose names are texts.
        Err(error) => Refusal::unavailable(error.to_string()).response(),
    }
}
