//! The operator's surface: health, metrics, questions about the gateway, and the login for people.
//!
//! Who asks is known by a key with a role, or by the session of a login; what they may is decided in
//! one place, [`allowed`]. What the answers are is not this crate's affair:
//! [`freehold_ports::Administration`] gives them.

mod answers;
mod login;
mod page;
mod session;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Path, Query, Request as HttpRequest, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use freehold_ports::{Administration, Login, Parameters, Question};
use freehold_types::{Actor, Error, ErrorKind, Reach, RequestId, Right};
use http::{HeaderMap, HeaderValue, header};

pub use session::SessionKey;

use crate::gateway::Gateway;
use crate::{admit, health};
use answers::Refusal;

/// What the operator's handlers share.
pub struct Desk {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Answers questions about it.
    pub administration: Arc<dyn Administration>,
    /// How people sign in; `None` when they cannot. Swapped whole when the configuration is reloaded.
    pub door: ArcSwap<Option<Door>>,
    /// Whether everybody who reaches the listener sees the metrics.
    pub open_metrics: bool,
}

/// How people sign in.
pub struct Door {
    /// Asks the login service.
    pub login: Arc<dyn Login>,
    /// How browsers reach the operator's listener: scheme, host and port, without a path.
    pub origin: String,
    /// How long one stays signed in.
    pub session: Duration,
    /// Encrypts what browsers keep.
    pub key: SessionKey,
}

impl Door {
    /// Whether browsers reach the listener over TLS.
    fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

/// The operator's surface, on a listener of its own.
pub fn router(desk: Arc<Desk>) -> Router {
    let health = Router::new()
        .route("/health/liveliness", get(health::liveliness))
        .route("/health/readiness", get(health::readiness))
        .with_state(Arc::clone(&desk.gateway));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/", get(page::home))
        .route("/login", get(login::begin))
        .route(login::CALLBACK, get(login::end))
        .route("/logout", post(login::leave))
        .route("/admin/v1/me", get(me))
        .route("/admin/v1/usage", get(usage))
        .route("/admin/v1/flows", get(flows))
        .route("/admin/v1/keys", get(keys))
        .route("/admin/v1/audit", get(audit))
        .route("/admin/v1/requests/{id}", get(request))
        .route("/admin/v1/requests/{id}/text", get(text))
        .route("/admin/v1/reload", post(reload))
        .fallback(async || Refusal::unknown("there is nothing here; docs/admin.md lists the paths"))
        .with_state(desk)
        .merge(health)
        .layer(from_fn(guarded))
}

/// Nothing of this surface is kept by a browser or shown inside another page.
async fn guarded(request: HttpRequest, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

type Answer = Result<Response, Refusal>;

/// How somebody has shown who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// By a key, which nobody sends by accident.
    Key,
    /// By a browser's session, which goes along with whatever the browser is made to send.
    Session,
}

/// Who asks.
fn known(desk: &Desk, headers: &HeaderMap) -> Result<(Actor, Shown), Refusal> {
    if headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-api-key") {
        let account = admit::identify(&desk.gateway, headers)?;
        if account.is_anonymous() {
            return Err(Refusal::unauthenticated(
                "the gateway has no keys, so none has a role: add one, `freehold keys create NAME`, \
                 with `role: operator` in its entry",
            ));
        }
        let Some(grant) = &account.grant else {
            let message = format!(
                "key `{}` has no role; give it one in the configuration: \
                 role: developer, auditor, operator or admin",
                account.key
            );
            return Err(Refusal::forbidden(message));
        };
        let actor = Actor {
            name: account.key.to_string(),
            grants: vec![grant.clone()],
        };
        return Ok((actor, Shown::Key));
    }
    let door = desk.door.load();
    let Some(door) = door.as_ref() else {
        return Err(Refusal::unauthenticated(
            "send a key that has a role: `Authorization: Bearer KEY`",
        ));
    };
    let Some(person) = session::person(door, headers, desk.gateway.clock.unix_ms()) else {
        return Err(Refusal::unauthenticated(
            "sign in at /login, or send a key that has a role: `Authorization: Bearer KEY`",
        ));
    };
    let actor = Actor {
        grants: door.login.grants(&person),
        name: person.name,
    };
    Ok((actor, Shown::Session))
}

/// Who asks, and how far their right to ask this reaches.
fn allowed(desk: &Desk, headers: &HeaderMap, right: Right) -> Result<(Actor, Reach), Refusal> {
    let (actor, shown) = known(desk, headers)?;
    if right == Right::Reload && shown == Shown::Session {
        login::same_origin(desk, headers)?;
    }
    match actor.reach(right) {
        Reach::Nothing => Err(Refusal::forbidden(format!(
            "{} may not do that: it takes another role (see docs/admin.md)",
            actor.name
        ))),
        reach => Ok((actor, reach)),
    }
}

async fn ask(desk: &Desk, headers: &HeaderMap, question: Question) -> Answer {
    let (actor, reach) = allowed(desk, headers, question.right())?;
    let answer = desk.administration.answer(actor, reach, question).await?;
    Ok(answers::json(&answer))
}

async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Answer {
    if !desk.open_metrics {
        let (actor, reach) = allowed(&desk, &headers, Right::ReadMetrics)?;
        if reach != Reach::Everything {
            let message = format!("the metrics are of all teams, and {} is not", actor.name);
            return Err(Refusal::forbidden(message));
        }
    }
    Ok(health::metrics(State(Arc::clone(&desk.gateway))).await)
}

async fn me(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Answer {
    let (actor, _) = known(&desk, &headers)?;
    Ok(answers::json(&actor))
}

type Asked = Result<Query<Parameters>, axum::extract::rejection::QueryRejection>;

fn parameters(asked: Asked) -> Result<Parameters, Refusal> {
    match asked {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(Refusal::unclear(rejection.body_text())),
    }
}

async fn usage(State(desk): State<Arc<Desk>>, asked: Asked, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Usage(parameters(asked)?)).await
}

async fn flows(State(desk): State<Arc<Desk>>, asked: Asked, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Flows(parameters(asked)?)).await
}

async fn keys(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Keys).await
}

async fn audit(State(desk): State<Arc<Desk>>, asked: Asked, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Audit(parameters(asked)?)).await
}

fn id(text: &str) -> Result<RequestId, Refusal> {
    text.parse().map_err(|_| {
        Refusal::unclear("that is no request's id; answers carry it as `x-request-id`".to_owned())
    })
}

async fn request(State(desk): State<Arc<Desk>>, path: Path<String>, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Request(id(&path)?)).await
}

async fn text(State(desk): State<Arc<Desk>>, path: Path<String>, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Text(id(&path)?)).await
}

async fn reload(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Answer {
    ask(&desk, &headers, Question::Reload).await
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Unauthenticated => Self::unauthenticated(error.message),
            _ => Self::forbidden(error.message),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.response()
    }
}
