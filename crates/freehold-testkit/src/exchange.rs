//! One request from its bytes to a response: which script, which answer, which headers.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
    http::request::Parts,
};
use serde_json::{Value, json};

use crate::{
    TestkitError,
    answer::{self, Answer, Step},
    connection::ConnectionControl,
    control,
    errors::VendorError,
    player::{Player, Reply},
    record::{RecordGuard, RequestEnd, RequestRecord, Shared, UsageCount},
    request::{Ask, Surface},
    script::{Fault, RetryAfter, Script},
    shorthand,
};

/// A response body of the fake.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers one request, to a model or to the control endpoints.
pub(crate) async fn respond(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    control: Arc<ConnectionControl>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return full(400, &json!({}));
    };
    let body = body.to_bytes();
    let path = head.uri.path();
    if path.starts_with("/__") {
        return control::respond(&head, &body, shared).await;
    }
    let surface = Surface::at(path).filter(|_| head.method == "POST");
    let json = serde_json::from_slice::<Value>(&body);
    let guard = shared.begin(record(&head, body, surface, json.as_ref().ok()));
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let exchange = Exchange {
        guard,
        control,
        anthropic: header("anthropic-version").is_some(),
    };
    if let Some(key) = &shared.key {
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer.or(header("x-api-key")) != Some(key.as_str()) {
            return exchange.error(&VendorError::of_status(401));
        }
    }
    let Some(surface) = surface else {
        return exchange.other(&head, shared);
    };
    let anthropic = surface.is_anthropic();
    let exchange = Exchange {
        anthropic,
        ..exchange
    };
    let Ok(json) = json else {
        return exchange.error(&VendorError::new(
            400,
            "We could not parse the JSON body of your request.",
        ));
    };
    if anthropic && header("anthropic-version").is_none() {
        return exchange.error(&VendorError::new(
            400,
            "anthropic-version: header is required",
        ));
    }
    match Ask::new(surface, &json) {
        Ok(ask) => exchange.answer(&ask, header("x-fake-script"), shared).await,
        Err((message, param)) => exchange.error(&VendorError {
            param: Some(param),
            ..VendorError::new(400, message)
        }),
    }
}

/// What the fake remembers of a request before it answers.
fn record(
    head: &Parts,
    body: Bytes,
    surface: Option<Surface>,
    json: Option<&Value>,
) -> RequestRecord {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    RequestRecord {
        id: 0,
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or(head.uri.path(), |path| path.as_str())
            .to_owned(),
        version: format!("{:?}", head.version),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body,
        surface,
        model: json
            .and_then(|body| body["model"].as_str())
            .map(str::to_owned),
        stream: json.is_some_and(|body| body["stream"] == true),
        status: None,
        chunks_sent: 0,
        tokens_sent: 0,
        bytes_sent: 0,
        usage: UsageCount::default(),
        waiting: false,
        end: RequestEnd::InFlight,
    }
}

/// One request on its way to a response.
struct Exchange {
    guard: RecordGuard,
    control: Arc<ConnectionControl>,
    /// Whether errors are written in Anthropic's style.
    anthropic: bool,
}

impl Exchange {
    /// `GET /v1/models` and `/health`; 404 for the rest.
    fn other(mut self, head: &Parts, shared: &Shared) -> Response<Body> {
        let path = head.uri.path();
        let get = head.method == "GET";
        let id = path.rsplit_once("/models/").map(|(_, id)| id);
        let body = match id {
            _ if get && path.ends_with("/models") => models(shared, self.anthropic),
            _ if get && path.ends_with("/health") => json!({ "status": "ok" }),
            Some(id) if get && shared.models.iter().any(|model| model == id) => {
                model(id, self.anthropic)
            }
            _ => {
                return self.error(&VendorError::new(
                    404,
                    format!("Unknown request URL: {} {path}.", head.method),
                ));
            }
        };
        self.guard.update(|record| record.status = Some(200));
        self.guard.end(RequestEnd::Complete);
        full(200, &body)
    }

    fn error(mut self, error: &VendorError) -> Response<Body> {
        let request_id = format!("req_fake{:08x}", self.guard.id());
        self.guard
            .update(|record| record.status = Some(error.status));
        self.guard.end(RequestEnd::Complete);
        let mut response = full(error.status, &error.body(self.anthropic, &request_id));
        self.vendor_headers(&mut response);
        response
    }

    async fn answer(self, ask: &Ask<'_>, header: Option<&str>, shared: &Shared) -> Response<Body> {
        let (script, echo) = match pick_script(ask, header, shared) {
            Ok(picked) => picked,
            Err(error) => return self.error(&VendorError::new(400, error.to_string())),
        };
        if script.gate_headers {
            self.guard.gate().await;
        }
        if script.pace.headers_ms > 0 {
            tokio::time::sleep(Duration::from_millis(script.pace.headers_ms)).await;
        }
        match &script.fault {
            Some(Fault::Status {
                status,
                retry_after,
                body,
            }) => {
                return self.status(*status, retry_after.as_ref(), body.as_deref(), &script);
            }
            Some(Fault::ResetBeforeHeaders) => return self.broken(true).await,
            Some(Fault::CloseBeforeHeaders) => return self.broken(false).await,
            Some(Fault::StallHeaders) => self.guard.stall().await,
            _ => {}
        }
        if ask.surface == Surface::AnthropicCountTokens {
            return self.count_tokens(ask, &script);
        }
        let mut answer = answer::answer(ask, &script, &echo, self.guard.id());
        if let Some(Fault::HugeChunk { at, bytes }) = script.fault
            && let Some(step @ Step::Text(_)) = answer.steps.get_mut(at)
        {
            *step = Step::Text("x".repeat(bytes));
        }
        let reply = Reply::new(ask, &script, &answer, self.guard.id());
        self.guard.update(|record| record.status = Some(200));
        if ask.stream() {
            self.streamed(reply, answer, script)
        } else {
            self.whole(&reply, &answer, script)
        }
    }

    /// A scripted error status. The request counts as faulted: nothing was served.
    fn status(
        mut self,
        status: u16,
        retry_after: Option<&RetryAfter>,
        body: Option<&str>,
        script: &Script,
    ) -> Response<Body> {
        let request_id = format!("req_fake{:08x}", self.guard.id());
        self.guard.update(|record| record.status = Some(status));
        self.guard.end(RequestEnd::Faulted);
        let mut response = match body.map(|text| (text, serde_json::from_str::<Value>(text))) {
            Some((_, Ok(value))) => full(status, &value),
            Some((text, Err(_))) => {
                let mut response = raw(status, Bytes::copy_from_slice(text.as_bytes()));
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
                response
            }
            None => full(
                status,
                &VendorError::of_status(status).body(self.anthropic, &request_id),
            ),
        };
        let retry_after = retry_after.map(|value| match value {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::DateSeconds(s) => {
                httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(*s))
            }
            RetryAfter::Raw(text) => text.clone(),
        });
        if let Some(value) = retry_after.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        self.vendor_headers(&mut response);
        script_headers(script, &mut response);
        response
    }

    async fn broken(mut self, reset: bool) -> Response<Body> {
        self.guard.end(RequestEnd::Faulted);
        if reset {
            self.control.reset()
        } else {
            self.control.close()
        }
        std::future::pending().await
    }

    fn count_tokens(mut self, ask: &Ask<'_>, script: &Script) -> Response<Body> {
        let tokens = script
            .usage
            .prompt_tokens
            .unwrap_or_else(|| ask.prompt_words());
        self.guard.update(|record| record.status = Some(200));
        self.guard.end(RequestEnd::Complete);
        let mut response = full(200, &json!({ "input_tokens": tokens }));
        self.vendor_headers(&mut response);
        response
    }

    fn streamed(self, reply: Reply, answer: Answer, script: Script) -> Response<Body> {
        let mut response = Response::new(empty());
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
        self.finish(response, script, |script, guard, control| {
            Player::streamed(reply, answer, script, guard, control)
        })
    }

    fn whole(self, reply: &Reply, answer: &Answer, script: Script) -> Response<Body> {
        let mut body = reply.body(answer);
        match &script.fault {
            Some(Fault::MalformedJson { .. }) => body.truncate(body.len() / 2),
            Some(Fault::MalformedSse { .. }) => body = b"{\"id\": \"\xff\xfe\"}".to_vec(),
            Some(Fault::ErrorEvent { error_type, .. }) => {
                let error = VendorError {
                    error_type: error_type.clone(),
                    ..VendorError::of_status(529)
                };
                body = error
                    .body(self.anthropic, "req_fake")
                    .to_string()
                    .into_bytes();
            }
            _ => {}
        }
        let mut response = Response::new(empty());
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A promised length would turn these early but clean ends into broken ones.
        if !matches!(
            script.fault,
            Some(Fault::End { .. } | Fault::HalfChunk { clean: true, .. })
        ) {
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, body.len().into());
        }
        let mut script = script;
        let replaced = |fault: &Fault| {
            matches!(
                fault,
                Fault::MalformedJson { .. } | Fault::MalformedSse { .. } | Fault::ErrorEvent { .. }
            )
        };
        script.fault = script.fault.filter(|fault| !replaced(fault));
        self.finish(response, script, |script, guard, control| {
            Player::whole(body, answer, script, guard, control)
        })
    }

    fn finish(
        self,
        mut response: Response<Body>,
        script: Script,
        play: impl FnOnce(Script, RecordGuard, Arc<ConnectionControl>) -> Player,
    ) -> Response<Body> {
        if script.fault == Some(Fault::WrongContentType) {
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            );
        }
        self.vendor_headers(&mut response);
        script_headers(&script, &mut response);
        let frames = play(script, self.guard, self.control)
            .into_stream()
            .map(|piece| piece.map(Frame::data));
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        response
    }

    fn vendor_headers(&self, response: &mut Response<Body>) {
        let name = if self.anthropic {
            "request-id"
        } else {
            "x-request-id"
        };
        let id = HeaderValue::from_str(&format!("req_fake{:08x}", self.guard.id()));
        let headers = response.headers_mut();
        headers.extend(id.ok().map(|id| (HeaderName::from_static(name), id)));
        let limits: &[(&'static str, &'static str)] = if self.anthropic {
            &[
                ("anthropic-ratelimit-requests-limit", "4000"),
                ("anthropic-ratelimit-requests-remaining", "3999"),
            ]
        } else {
            &[
                ("openai-processing-ms", "7"),
                ("openai-version", "2020-10-01"),
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-remaining-requests", "9999"),
            ]
        };
        headers.extend(limits.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        }));
    }
}

/// The script of a request and the text to echo: header first, then the message, the queue, the model's name.
fn pick_script(
    ask: &Ask<'_>,
    header: Option<&str>,
    shared: &Shared,
) -> Result<(Script, String), TestkitError> {
    let text = ask.last_user_text();
    let in_message = shorthand::from_message(&text)?;
    let echo = in_message.as_ref().map_or(text, |(_, rest)| rest.clone());
    let script = match (header, in_message) {
        (Some(header), _) => shorthand::from_text(header)?,
        (None, Some((script, _))) => script,
        (None, None) => {
            let queued = shared.take_script(ask.model());
            queued
                .or_else(|| shorthand::from_model(ask.model()))
                .unwrap_or_default()
        }
    };
    Ok((script, echo))
}

fn script_headers(script: &Script, response: &mut Response<Body>) {
    for (name, value) in &script.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn models(shared: &Shared, anthropic: bool) -> Value {
    let data: Vec<Value> = shared
        .models
        .iter()
        .map(|id| model(id, anthropic))
        .collect();
    if anthropic {
        let (first, last) = (shared.models.first(), shared.models.last());
        json!({ "data": data, "has_more": false, "first_id": first, "last_id": last })
    } else {
        json!({ "object": "list", "data": data })
    }
}

fn model(id: &str, anthropic: bool) -> Value {
    if anthropic {
        json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-10-09T08:53:20Z" })
    } else {
        json!({ "id": id, "object": "model", "created": 1_760_000_000, "owned_by": "fake" })
    }
}

/// A JSON response.
pub(crate) fn full(status: u16, body: &Value) -> Response<Body> {
    let mut response = raw(status, body.to_string().into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn raw(status: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn empty() -> Body {
    Full::default().boxed_unsync()
}
