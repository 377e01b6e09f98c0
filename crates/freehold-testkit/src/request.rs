//! Reads of a request what decides the answer.

use serde::Serialize;
use serde_json::Value;

/// Which protocol a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/completions`.
    OpenAiCompletions,
    /// `POST /v1/messages`.
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`.
    AnthropicCountTokens,
}

impl Surface {
    /// The surface at a path, with or without a version prefix such as `/v1` or `/openai/v1`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path {
            path if path.ends_with("/chat/completions") => Self::OpenAiChat,
            path if path.ends_with("/completions") => Self::OpenAiCompletions,
            path if path.ends_with("/messages/count_tokens") => Self::AnthropicCountTokens,
            path if path.ends_with("/messages") => Self::AnthropicMessages,
            _ => return None,
        })
    }

    pub(crate) fn is_anthropic(self) -> bool {
        matches!(self, Self::AnthropicMessages | Self::AnthropicCountTokens)
    }
}

/// What the answer has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    JsonObject,
    JsonSchema,
}

/// A view of a request body.
pub(crate) struct Ask<'a> {
    pub(crate) surface: Surface,
    body: &'a Value,
}

impl<'a> Ask<'a> {
    /// Checks what every real vendor checks; the error is a message and the field it is about.
    pub(crate) fn new(surface: Surface, body: &'a Value) -> Result<Self, (String, &'static str)> {
        let missing = |field: &'static str| (format!("{field}: Field required"), field);
        if !body["model"].is_string() {
            return Err(missing("model"));
        }
        match surface {
            Surface::OpenAiCompletions if body.get("prompt").is_none() => {
                return Err(missing("prompt"));
            }
            Surface::OpenAiCompletions => {}
            _ if !body["messages"].is_array() => return Err(missing("messages")),
            Surface::AnthropicMessages if !body["max_tokens"].is_u64() => {
                return Err(missing("max_tokens"));
            }
            _ => {}
        }
        Ok(Self { surface, body })
    }

    pub(crate) fn model(&self) -> &'a str {
        self.body["model"].as_str().unwrap_or_default()
    }

    pub(crate) fn stream(&self) -> bool {
        self.body["stream"].as_bool().unwrap_or(false)
    }

    /// OpenAI: whether the stream ends with a usage chunk.
    pub(crate) fn include_usage(&self) -> bool {
        self.body["stream_options"]["include_usage"]
            .as_bool()
            .unwrap_or(false)
    }

    pub(crate) fn choices(&self) -> usize {
        let count = self.body["n"].as_u64().unwrap_or(1).clamp(1, 128);
        usize::try_from(count).unwrap_or(1)
    }

    pub(crate) fn logprobs(&self) -> bool {
        self.body["logprobs"]
            .as_bool()
            .unwrap_or(self.body["logprobs"].is_u64())
    }

    pub(crate) fn max_tokens(&self) -> Option<usize> {
        let limit = ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| self.body[*name].as_u64())?;
        usize::try_from(limit).ok()
    }

    pub(crate) fn stop(&self) -> Vec<&'a str> {
        match (&self.body["stop"], &self.body["stop_sequences"]) {
            (Value::String(stop), _) => vec![stop],
            (Value::Array(stops), _) | (_, Value::Array(stops)) => {
                stops.iter().filter_map(Value::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Anthropic: whether the caller asked for thinking blocks.
    pub(crate) fn wants_thinking(&self) -> bool {
        matches!(
            self.body["thinking"]["type"].as_str(),
            Some("enabled" | "adaptive")
        )
    }

    pub(crate) fn format(&self) -> Format {
        let anthropic = [
            &self.body["output_format"],
            &self.body["output_config"]["format"],
        ];
        let kinds = std::iter::once(&self.body["response_format"]).chain(anthropic);
        match kinds.filter_map(|format| format["type"].as_str()).next() {
            Some("json_object") => Format::JsonObject,
            Some("json_schema") => Format::JsonSchema,
            _ => Format::Text,
        }
    }

    /// The JSON schema the answer must fit.
    pub(crate) fn schema(&self) -> &'a Value {
        let candidates = [
            &self.body["response_format"]["json_schema"]["schema"],
            &self.body["output_format"]["schema"],
            &self.body["output_config"]["format"]["schema"],
        ];
        candidates
            .into_iter()
            .find(|schema| !schema.is_null())
            .unwrap_or(&Value::Null)
    }

    /// The request's tools as name and argument schema.
    pub(crate) fn tools(&self) -> Vec<(&'a str, &'a Value)> {
        let tools = self.body["tools"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let read = |tool: &'a Value| match tool["function"]["name"].as_str() {
            Some(name) => Some((name, &tool["function"]["parameters"])),
            None => tool["name"]
                .as_str()
                .map(|name| (name, &tool["input_schema"])),
        };
        tools.iter().filter_map(read).collect()
    }

    /// The tool the caller insists on; any of them if it only insists on a call.
    pub(crate) fn forced_tool(&self) -> Option<&'a str> {
        let choice = &self.body["tool_choice"];
        let named = choice["function"]["name"]
            .as_str()
            .or(choice["name"].as_str());
        let any = matches!(choice.as_str(), Some("required"))
            || matches!(choice["type"].as_str(), Some("any"));
        named.or_else(|| {
            any.then(|| self.tools().first().map(|tool| tool.0))
                .flatten()
        })
    }

    /// The text of the last user message, or of the prompt.
    pub(crate) fn last_user_text(&self) -> String {
        if self.surface == Surface::OpenAiCompletions {
            return text_of(&self.body["prompt"]);
        }
        let messages = self.body["messages"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let user = messages
            .iter()
            .rev()
            .find(|message| message["role"] == "user");
        user.map(|message| text_of(&message["content"]))
            .unwrap_or_default()
    }

    /// Words in all texts of the request: messages, system prompt, prompt and tools.
    pub(crate) fn prompt_words(&self) -> u64 {
        let fields = ["messages", "system", "prompt", "tools"];
        fields
            .iter()
            .map(|field| words_in(&self.body[*field]))
            .sum::<u64>()
            .max(1)
    }
}

/// The text of a content value: a string, or an array of strings and text parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts
                .iter()
                .filter_map(|part| part.as_str().or(part["text"].as_str()));
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

fn words_in(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(items) => items.iter().map(words_in).sum(),
        Value::Object(fields) => fields
            .iter()
            // Labels and binary data are not prose.
            .filter(|(name, _)| !matches!(name.as_str(), "role" | "type" | "data" | "url"))
            .map(|(_, item)| words_in(item))
            .sum(),
        _ => 0,
    }
}
