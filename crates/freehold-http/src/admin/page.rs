//! The one page that the operator's surface shows to browsers.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use freehold_types::Actor;
use http::HeaderMap;

use super::{Desk, known};

/// Who is signed in, what they are, and where to look; or how to sign in.
pub(super) async fn home(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let body = match known(&desk, &headers) {
        Ok((actor, _)) => signed_in(&actor),
        Err(_) if desk.door.load().is_some() => {
            "<p>You are not signed in.</p><p><a href=\"/login\">Sign in</a></p>".to_owned()
        }
        Err(_) => "<p>Programs ask here with a key that has a role. People can sign in when \
                   <code>login</code> is configured.</p>"
            .to_owned(),
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Freehold</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}\
         </style><h1>Freehold</h1>{body}</html>"
    );
    Html(page).into_response()
}

fn signed_in(actor: &Actor) -> String {
    let mut page = format!("<p>You are {}.</p><ul>", escaped(&actor.name));
    for grant in &actor.grants {
        let teams: Vec<_> = grant.teams.iter().map(|team| team.as_str()).collect();
        let whom = match teams.as_slice() {
            [] => "the whole gateway".to_owned(),
            teams => teams.join(", "),
        };
        // Writing to a string cannot fail.
        let _ = write!(page, "<li>{} of {}</li>", grant.role, escaped(&whom));
    }
    page.push_str("</ul><p>");
    for (path, name) in [
        ("usage?by=model", "Usage"),
        ("flows", "Flows"),
        ("keys", "Keys"),
        ("audit", "Audit trail"),
    ] {
        let _ = write!(page, "<a href=\"/admin/v1/{path}\">{name}</a> ");
    }
    page.push_str("</p><form method=\"post\" action=\"/logout\"><button>Sign out</button></form>");
    page
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        let actor = Actor {
            name: "<script>alert(\"1\")</script>".to_owned(),
            grants: vec![],
        };
        let page = signed_in(&actor);
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;1&quot;)"),
            "{page}"
        );
    }
}
