//! Whether the gateway lives, and whether it can take work.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::gateway::Gateway;
use crate::respond;

/// The process answers.
pub(crate) async fn liveliness() -> Response {
    respond::json(
        StatusCode::OK,
        bytes::Bytes::from_static(br#"{"status":"alive"}"#),
    )
}

/// The gateway takes work: it is not draining, and outcomes can be recorded. A dead database alone
/// does not make it unready, nor does a dead upstream.
pub(crate) async fn readiness(State(gateway): State<Arc<Gateway>>) -> Response {
    let (status, body) = match gateway.pipeline.ready() {
        Ok(deployments) => {
            let body = serde_json::json!({"status": "ready", "deployments": deployments});
            (StatusCode::OK, body)
        }
        Err(error) => {
            let body = serde_json::json!({"status": "unready", "reason": error.to_string()});
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    };
    respond::json(status, body.to_string().into())
}

/// Prometheus text.
pub(crate) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    match &gateway.metrics {
        Some(handle) => {
            let tasks = tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks();
            #[expect(clippy::cast_precision_loss, reason = "nobody counts so many tasks")]
            metrics::gauge!("freehold_tasks").set(tasks as f64);
            let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (content_type, handle.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
