//! Signing in and out: to the login service and back.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use freehold_ports::LoginError;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::answers::Refusal;
use super::{Answer, Desk, Door, session};

/// Where the login service sends people back to.
pub(super) const CALLBACK: &str = "/login/callback";
/// How long somebody may take at the login service.
const AT_THE_SERVICE: Duration = Duration::from_secs(600);

/// What the login service sends along with whom it sends back (RFC 6749, 4.1.2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Returned {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

fn no_door() -> Refusal {
    Refusal::unknown("nobody can sign in: `login` is not configured (see docs/admin.md)")
}

fn with_cookies(mut response: Response, cookies: [Option<HeaderValue>; 2]) -> Response {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

pub(super) async fn begin(State(desk): State<Arc<Desk>>) -> Answer {
    let door = desk.door.load_full();
    let door = door.as_ref().as_ref().ok_or_else(no_door)?;
    let invitation = door.login.invite().await?;
    let now_unix_ms = desk.gateway.clock.unix_ms();
    let kept = session::keep(
        door,
        session::LOGIN,
        invitation.keepsake,
        AT_THE_SERVICE,
        now_unix_ms,
    );
    let response = Redirect::to(&invitation.url).into_response();
    Ok(with_cookies(response, [kept, None]))
}

pub(super) async fn end(
    State(desk): State<Arc<Desk>>,
    Query(returned): Query<Returned>,
    headers: HeaderMap,
) -> Answer {
    let door = desk.door.load_full();
    let door = door.as_ref().as_ref().ok_or_else(no_door)?;
    let now_unix_ms = desk.gateway.clock.unix_ms();
    if let Some(error) = returned.error {
        // Codes are words of the specification; what else somebody writes there is not repeated.
        let is_word =
            error.len() <= 64 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let word = if is_word { error.as_str() } else { "an error" };
        let message = format!("the login service answered `{word}`");
        return Err(LoginError::Refused(message).into());
    }
    let (Some(code), Some(state)) = (returned.code, returned.state) else {
        let message = "the login service has sent no code".to_owned();
        return Err(LoginError::Refused(message).into());
    };
    let kept: Option<String> = session::kept(door, session::LOGIN, &headers, now_unix_ms);
    let keepsake = kept.ok_or_else(|| {
        let message = "this browser has not begun it, or too long ago; begin again at /login";
        LoginError::Refused(message.to_owned())
    })?;
    let person = door.login.welcome(&keepsake, &code, &state).await?;
    let is_admitted = !door.login.grants(&person).is_empty();
    desk.administration.signed_in(&person, is_admitted);
    if !is_admitted {
        return Err(Refusal::forbidden(format!(
            "{} is known to the login service, but has no role here: an operator adds one under \
             `login.roles`",
            person.name
        )));
    }
    let signed_in = session::open(door, &person, now_unix_ms);
    let done = session::forget(door, session::LOGIN);
    Ok(with_cookies(
        Redirect::to("/").into_response(),
        [signed_in, done],
    ))
}

pub(super) async fn leave(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Answer {
    let door = desk.door.load_full();
    let door: &Door = door.as_ref().as_ref().ok_or_else(no_door)?;
    same_origin(&desk, &headers)?;
    let response = Redirect::to("/").into_response();
    Ok(with_cookies(response, [session::close(door), None]))
}

/// Whether a browser sends this from one of our own pages: what it is made to send from elsewhere
/// does not count as its user's wish (RFC 6454).
pub(super) fn same_origin(desk: &Desk, headers: &HeaderMap) -> Result<(), Refusal> {
    let door = desk.door.load();
    let ours = door.as_ref().as_ref().map(|door| door.origin.as_bytes());
    let sent = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    if ours.is_some() && sent == ours {
        return Ok(());
    }
    Err(Refusal::forbidden(
        "a browser must send this from the gateway's own page; programs send a key",
    ))
}
