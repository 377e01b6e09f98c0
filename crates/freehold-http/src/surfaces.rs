//! The paths clients know, each a thin handler.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use freehold_pipeline::{Admission, Door, Failure};
use freehold_ports::Account;
use freehold_types::{Dialect, Error, ErrorKind, RequestId};
use freehold_wire::ModelEntry;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::admit::{self, Arrival};
use crate::framing::FirstFault;
use crate::gateway::Gateway;
use crate::respond::{self, Asked};
use crate::{feedback, health, status};

/// The clients' surfaces.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route("/v1/feedback", post(feedback::give))
        .route("/v1/models", get(models))
        .route("/v1/models/{*model}", get(model))
        .route("/health/liveliness", get(health::liveliness))
        .route("/health/readiness", get(health::readiness))
        .route("/metrics", get(metrics_with_key))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&gateway), unambiguous))
        .with_state(gateway)
}

/// Lets no request through on a connection on which one was ambiguous.
async fn unambiguous(
    State(gateway): State<Arc<Gateway>>,
    request: HttpRequest,
    next: Next,
) -> Response {
    let fault = request.extensions().get::<FirstFault>();
    let Some(fault) = fault.and_then(FirstFault::get) else {
        return next.run(request).await;
    };
    let message = format!("the request's end is ambiguous: {fault}");
    let error = Error::new(ErrorKind::InvalidRequest, message).with_code("ambiguous_request");
    let dialect = dialect_at(request.uri(), request.headers());
    let mut response = respond::error(&error, None, dialect, unused_id(&gateway));
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

async fn chat(State(gateway): State<Arc<Gateway>>, request: HttpRequest) -> Response {
    ask(&gateway, Dialect::OpenaiChat, request).await
}

async fn completions(State(gateway): State<Arc<Gateway>>, request: HttpRequest) -> Response {
    ask(&gateway, Dialect::OpenaiCompletions, request).await
}

async fn messages(State(gateway): State<Arc<Gateway>>, request: HttpRequest) -> Response {
    ask(&gateway, Dialect::AnthropicMessages, request).await
}

/// One request, whatever its dialect.
async fn ask(gateway: &Arc<Gateway>, dialect: Dialect, request: HttpRequest) -> Response {
    let arrival = Arrival::now(gateway);
    // The key comes first, so that strangers' bodies are not even read, and leave no record.
    let account = match admit::authenticate(gateway, request.headers()) {
        Ok(account) => account,
        Err(refusal) => return respond::error(&refusal, None, dialect, arrival.id),
    };
    let door = Door {
        id: arrival.id,
        started_unix_ms: arrival.unix_ms,
        dialect,
        account: Arc::clone(&account),
        traceparent: admit::traceparent(request.headers()),
    };
    let decode = |body, limits: &_| freehold_wire::decode_request(dialect, body, limits);
    let admission = match admission(gateway, arrival, account, request, decode).await {
        Ok(admission) => admission,
        Err(refusal) => {
            let status = status::status(&refusal).as_u16();
            gateway.pipeline.refused(door, &refusal, status);
            return respond::error(&refusal, None, dialect, arrival.id);
        }
    };
    let asked = Asked {
        dialect,
        model: admission.request.model.clone(),
        include_usage: admission.request.include_usage,
    };
    match gateway
        .pipeline
        .serve(admission, |error| status::status(error).as_u16())
        .await
    {
        Ok(answer) => respond::answer(answer, &asked, arrival),
        Err(Failure { error, head }) => respond::error(&error, Some(&head), dialect, arrival.id),
    }
}

/// What a known key asks.
async fn admission(
    gateway: &Gateway,
    arrival: Arrival,
    account: Arc<Account>,
    request: HttpRequest,
    decode: impl FnOnce(bytes::Bytes, &freehold_wire::Limits) -> Result<freehold_types::Request, Error>,
) -> Result<Admission, Error> {
    let (parts, body) = request.into_parts();
    let body = admit::read_body(gateway, &parts, body).await?;
    let request = decode(body, &gateway.settings.decode)?;
    Ok(Admission {
        id: arrival.id,
        started_unix_ms: arrival.unix_ms,
        received: arrival.at,
        claim: admit::claim(&parts.headers, &request),
        conversation: admit::conversation(&parts.headers, &request),
        flow: admit::flow(&parts.headers, &request),
        traceparent: admit::traceparent(&parts.headers),
        betas: admit::betas(&parts.headers),
        account,
        request,
        mirror: None,
    })
}

async fn count_tokens(State(gateway): State<Arc<Gateway>>, request: HttpRequest) -> Response {
    let dialect = Dialect::AnthropicMessages;
    let arrival = Arrival::now(&gateway);
    let counted = async {
        let account = admit::authenticate(&gateway, request.headers())?;
        let decode = freehold_wire::decode_count_tokens;
        let admission = admission(&gateway, arrival, account, request, decode).await?;
        gateway.pipeline.count_tokens(admission).await
    };
    match counted.await {
        Ok(tokens) => respond::json(StatusCode::OK, freehold_wire::encode_count_tokens(tokens)),
        Err(error) => respond::error(&error, None, dialect, arrival.id),
    }
}

/// The shape of an error that no handler made: Anthropic's below its own paths, else the caller's.
fn dialect_at(uri: &Uri, headers: &HeaderMap) -> Dialect {
    if uri.path().starts_with("/v1/messages") {
        Dialect::AnthropicMessages
    } else {
        dialect_of(headers)
    }
}

/// Anthropic's SDKs send `anthropic-version`; everybody else gets OpenAI's shape.
fn dialect_of(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") {
        Dialect::AnthropicMessages
    } else {
        Dialect::OpenaiChat
    }
}

async fn models(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let dialect = dialect_of(&headers);
    match visible_models(&gateway, &headers) {
        Ok(models) => respond::json(
            StatusCode::OK,
            freehold_wire::encode_models(dialect, &models),
        ),
        Err(error) => respond::error(&error, None, dialect, Arrival::now(&gateway).id),
    }
}

async fn model(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = dialect_of(&headers);
    let found = visible_models(&gateway, &headers).and_then(|models| {
        models
            .into_iter()
            .find(|model| model.id == name)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "there is no such model; see GET /v1/models",
                )
                .with_param("model")
                .with_code("model_not_found")
            })
    });
    match found {
        Ok(model) => respond::json(StatusCode::OK, freehold_wire::encode_model(dialect, &model)),
        Err(error) => respond::error(&error, None, dialect, Arrival::now(&gateway).id),
    }
}

fn visible_models(gateway: &Gateway, headers: &HeaderMap) -> Result<Vec<ModelEntry>, Error> {
    let account = admit::authenticate(gateway, headers)?;
    let models = gateway.pipeline.models(&account);
    Ok(models
        .into_iter()
        .map(|model| ModelEntry {
            display_name: model.name.clone(),
            id: model.name,
            created_s: gateway.settings.started_unix_s,
            owned_by: model.owner,
            context_window_tokens: model.context_window_tokens,
        })
        .collect())
}

async fn metrics_with_key(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if let Err(error) = admit::authenticate(&gateway, &headers) {
        return respond::error(&error, None, Dialect::OpenaiChat, Arrival::now(&gateway).id);
    }
    health::metrics(State(gateway)).await
}

async fn unknown_path(
    State(gateway): State<Arc<Gateway>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path: String = uri
        .path()
        .chars()
        .filter(char::is_ascii_graphic)
        .take(128)
        .collect();
    let message = format!(
        "there is no {method} {path} here; clients' paths are /v1/chat/completions, \
         /v1/messages, /v1/messages/count_tokens, /v1/completions and /v1/models"
    );
    let error = Error::new(ErrorKind::NotFound, message);
    let dialect = dialect_at(&uri, &headers);
    respond::error(&error, None, dialect, unused_id(&gateway))
}

async fn wrong_method(
    State(gateway): State<Arc<Gateway>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let error = Error::new(
        ErrorKind::InvalidRequest,
        format!("{method} is not the method of this path"),
    );
    let dialect = dialect_at(&uri, &headers);
    let mut response = respond::error(&error, None, dialect, unused_id(&gateway));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

fn unused_id(gateway: &Gateway) -> RequestId {
    Arrival::now(gateway).id
}
