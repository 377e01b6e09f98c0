//! Counting a prompt's tokens without an answer, where the server can.

use bytes::Bytes;
use freehold_ports::Call;
use freehold_types::{Dialect, Error, ErrorKind, Retry};
use freehold_wire::EncodeOptions;
use http::Method;
use serde_json::{Map, Value, json};

use crate::backend::HostedBackend;
use crate::catalogue::TokenCount;

impl HostedBackend {
    pub(crate) async fn count(&self, call: Call) -> Result<Option<u64>, Error> {
        call.check(
            freehold_ports::Backend::id(self),
            freehold_ports::Backend::site(self),
        )?;
        let Some(style) = &self.row.token_count else {
            return Ok(None);
        };
        let counted = match style {
            TokenCount::AnthropicMessages { .. } => self.count_anthropic(&call).await,
            TokenCount::ChatTokenize { pointer, .. } => self.count_chat(&call, pointer).await,
            TokenCount::TemplateThenTokenize { .. } => self.count_template(&call).await,
        };
        match counted {
            // Older servers do not have the path: the gateway estimates instead.
            Err(error) if matches!(error.upstream_status, Some(404 | 405 | 501)) => Ok(None),
            counted => counted,
        }
    }

    async fn count_anthropic(&self, call: &Call) -> Result<Option<u64>, Error> {
        let model = &call.deployment.model;
        let body = freehold_wire::encode_count_tokens_request(&call.request, model)?;
        let answer = self.count_step(call, 0, body).await?;
        freehold_wire::decode_count_tokens_response(&answer).map(Some)
    }

    async fn count_chat(&self, call: &Call, pointer: &str) -> Result<Option<u64>, Error> {
        let Some(body) = self.conversation(call)? else {
            return Ok(None);
        };
        let answer = self.count_json(call, 0, body).await?;
        match answer.pointer(pointer) {
            Some(Value::Array(tokens)) => Ok(u64::try_from(tokens.len()).ok()),
            Some(Value::Number(count)) => Ok(count.as_u64()),
            _ => Err(self.no_count()),
        }
    }

    async fn count_template(&self, call: &Call) -> Result<Option<u64>, Error> {
        let Some(body) = self.conversation(call)? else {
            return Ok(None);
        };
        let prompt = self.count_json(call, 0, body).await?;
        let Some(prompt) = prompt.get("prompt").and_then(Value::as_str) else {
            return Err(self.no_count());
        };
        let body = json!({ "content": prompt, "add_special": true, "parse_special": true });
        let answer = self.count_json(call, 1, body).await?;
        let tokens = answer.get("tokens").and_then(Value::as_array);
        let tokens = tokens.ok_or_else(|| self.no_count())?;
        Ok(u64::try_from(tokens.len()).ok())
    }

    /// What of a chat request makes its prompt. `None` for raw completions, and for pictures, whose
    /// tokens no tokenizer shows.
    fn conversation(&self, call: &Call) -> Result<Option<Value>, Error> {
        let speaks_chat = self.endpoints.of(Dialect::OpenaiChat).is_some();
        if call.request.prompt.is_some() || !speaks_chat {
            return Ok(None);
        }
        let options = EncodeOptions {
            model: &call.deployment.model,
            request_usage: false,
            quirks: self.row.quirks_of(&call.deployment.model),
        };
        let encoded = freehold_wire::encode_request(Dialect::OpenaiChat, &call.request, &options)?;
        let body: Map<String, Value> = serde_json::from_slice(&encoded.body)
            .map_err(|_| Error::new(ErrorKind::Internal, "an encoded request is no JSON object"))?;
        if has_media(&body) {
            return Ok(None);
        }
        const OF_THE_PROMPT: [&str; 4] = ["model", "messages", "tools", "chat_template_kwargs"];
        let kept = body
            .into_iter()
            .filter(|(field, _)| OF_THE_PROMPT.contains(&field.as_str()));
        Ok(Some(Value::Object(kept.collect())))
    }

    async fn count_json(&self, call: &Call, step: usize, body: Value) -> Result<Value, Error> {
        let answer = self
            .count_step(call, step, Bytes::from(body.to_string()))
            .await?;
        serde_json::from_slice(&answer).map_err(|_| self.no_count())
    }

    async fn count_step(&self, call: &Call, step: usize, body: Bytes) -> Result<Bytes, Error> {
        let uri = self.endpoints.token_count.get(step);
        let uri = uri.ok_or_else(|| self.no_count())?;
        self.ask(Method::POST, uri, body, call.timeouts).await
    }

    fn no_count(&self) -> Error {
        let message = format!("`{}` answered a token count with something else", self.id);
        Error::new(ErrorKind::BadUpstream, message).with_retry(Retry::Elsewhere)
    }
}

/// Whether any message has a part that is not text.
fn has_media(body: &Map<String, Value>) -> bool {
    let messages = body.get("messages").and_then(Value::as_array);
    let parts = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get("content").and_then(Value::as_array))
        .flatten();
    parts
        .filter_map(|part| part.get("type").and_then(Value::as_str))
        .any(|kind| kind != "text" && kind != "refusal")
}
