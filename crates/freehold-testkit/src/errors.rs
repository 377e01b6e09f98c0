//! The vendors' error bodies.

use serde_json::{Value, json};

/// An error as the vendor of a surface writes it.
pub(crate) struct VendorError {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) param: Option<&'static str>,
    /// Anthropic's error type or OpenAI's, where a script wants another than the status implies.
    pub(crate) error_type: Option<String>,
}

impl VendorError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            error_type: None,
        }
    }

    /// The error that a vendor sends with this status.
    pub(crate) fn of_status(status: u16) -> Self {
        Self::new(
            status,
            match status {
                400 => "The request is invalid (scripted).",
                401 => "Incorrect API key provided: sk-fake.",
                403 => "You are not allowed to use this model.",
                404 => "The model does not exist or you do not have access to it.",
                413 => "Request exceeds the maximum size.",
                429 => "Rate limit reached for requests. Please try again later.",
                500 => "The server had an error while processing your request. Sorry about that!",
                503 => "That model is currently overloaded with other requests.",
                529 => "Overloaded",
                _ => "Scripted failure.",
            },
        )
    }

    pub(crate) fn openai(&self) -> Value {
        let (kind, code) = match self.status {
            401 => ("invalid_request_error", Some("invalid_api_key")),
            403 => ("permission_error", Some("insufficient_permissions")),
            404 => ("invalid_request_error", Some("model_not_found")),
            429 => ("requests", Some("rate_limit_exceeded")),
            400..500 => ("invalid_request_error", None),
            503 => ("service_unavailable_error", None),
            _ => ("server_error", None),
        };
        let kind = self.error_type.as_deref().unwrap_or(kind);
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": code } })
    }

    pub(crate) fn anthropic(&self, request_id: &str) -> Value {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        let kind = self.error_type.as_deref().unwrap_or(kind);
        json!({
            "type": "error",
            "error": { "type": kind, "message": self.message },
            "request_id": request_id,
        })
    }

    pub(crate) fn body(&self, anthropic: bool, request_id: &str) -> Value {
        if anthropic {
            self.anthropic(request_id)
        } else {
            self.openai()
        }
    }
}
