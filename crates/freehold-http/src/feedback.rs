//! `POST /v1/feedback`: what users say of answers.

use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use freehold_policy::Claim;
use freehold_ports::{Feedback, NotStored, Wording};
use freehold_types::{Dialect, Error, ErrorKind, RequestId};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admit::{self, Arrival};
use crate::gateway::Gateway;
use crate::respond;

const BODY_BYTES_MAX: usize = 256 << 10;
const NAME_CHARS_MAX: usize = 64;

/// What a caller sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    request_id: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    edited_answer: Option<String>,
}

pub(crate) async fn give(State(gateway): State<Arc<Gateway>>, request: HttpRequest) -> Response {
    let arrival = Arrival::now(&gateway);
    let given = async {
        let account = admit::authenticate(&gateway, request.headers())?;
        let feedbacks = gateway
            .feedbacks
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Unavailable, "this gateway keeps no feedback"))?;
        let (parts, body) = request.into_parts();
        let body = admit::read_body(&gateway, &parts, body).await?;
        if body.len() > BODY_BYTES_MAX {
            let message = format!("feedback may have {BODY_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let claim = admit::claim_in_headers(&parts.headers);
        let told = read(&body, claim, arrival.unix_ms)?;
        let request_id = told.request;
        let given = feedbacks.give(&account, told).await?;
        Ok(json!({
            "object": "feedback",
            "id": given.id,
            "request_id": request_id.to_string(),
            "new": given.is_new,
            "stored": given.stored,
            // Text of users is stored nowhere without a policy that says so.
            "not_stored": given.not_stored.iter().map(left_out).collect::<Vec<_>>(),
        }))
    };
    match given.await {
        Ok(answer) => respond::json(StatusCode::OK, answer.to_string().into()),
        Err(error) => respond::error(&error, None, Dialect::OpenaiChat, arrival.id),
    }
}

/// A text that is not stored, and why.
fn left_out((field, why): &(&'static str, NotStored)) -> Value {
    json!({"field": field, "reason": why.as_str(), "message": why.message()})
}

fn read(body: &[u8], claim: Claim, at_unix_ms: u64) -> Result<Feedback, Error> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        // The message names fields, and would quote values of the wrong kind.
        let what = match error.classify() {
            serde_json::error::Category::Data => {
                "feedback is {\"request_id\": \"req_...\", \"score\": 0 to 1, \"label\": \"...\", \"comment\": \"...\", \
                 \"edited_answer\": \"...\", \"id\": \"...\"}: a score or a label at least, and no other field"
            }
            _ => "the body is no JSON",
        };
        Error::invalid("body", what)
    })?;
    let request: RequestId = body.request_id.parse().map_err(|_| {
        Error::invalid(
            "request_id",
            "send the id of the answer's `x-request-id` header",
        )
    })?;
    if let Some(score) = body.score
        && !(0.0..=1.0).contains(&score)
    {
        return Err(Error::invalid(
            "score",
            "a score goes from 0, bad, to 1, good",
        ));
    }
    for (field, name) in [("label", &body.label), ("id", &body.id)] {
        if name.as_ref().is_some_and(|name| !is_name(name)) {
            let message = format!(
                "letters, digits and `_.:-`, at most {NAME_CHARS_MAX}: sentences belong into `comment`"
            );
            return Err(Error::invalid(field, message));
        }
    }
    if body.score.is_none() && body.label.is_none() {
        return Err(Error::invalid("score", "a score or a label is needed"));
    }
    let words = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Ok(Feedback {
        id: body.id,
        request,
        score: body.score,
        label: body.label,
        wording: Wording {
            comment: words(body.comment),
            edited_answer: words(body.edited_answer),
        },
        claim,
        at_unix_ms,
    })
}

fn is_name(text: &str) -> bool {
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(is_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_feedback_says_what_to_change() {
        let id = RequestId::at(0).to_string();
        let read = |body: Value| super::read(body.to_string().as_bytes(), Claim::None, 0);
        let told =
            read(json!({"request_id": id, "score": 0.5, "label": "late", "comment": "x", "edited_answer": " "})).unwrap();
        assert_eq!(
            (told.score, told.label.as_deref()),
            (Some(0.5), Some("late"))
        );
        assert_eq!(told.wording.comment.as_deref(), Some("x"));
        assert_eq!(told.wording.edited_answer, None, "nothing is said");
        for (param, body) in [
            ("body", json!([])),
            ("body", json!({"request_id": id, "score": 1, "stars": 5})),
            ("body", json!({"request_id": id, "score": "good"})),
            ("request_id", json!({"request_id": "x", "score": 1})),
            ("score", json!({"request_id": id, "score": 1.5})),
            ("score", json!({"request_id": id, "score": -0.1})),
            ("score", json!({"request_id": id, "comment": "nice"})),
            (
                "label",
                json!({"request_id": id, "label": "Ann Smith was angry"}),
            ),
            ("id", json!({"request_id": id, "score": 1, "id": ""})),
        ] {
            let error = read(body.clone()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
        assert!(super::read(b"{", Claim::None, 0).is_err());
    }
}
