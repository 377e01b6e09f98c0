//! Building a JSON object field by field, and naming the client's fields while doing so.

use freehold_types::Dialect;
use freehold_types::request::{Message, Part, Request, Role};
use serde_json::{Map, Value};

use crate::fields::Path;

/// Puts a field when there is something to put.
pub(crate) fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

/// A number as a client would write it: `1`, not `1.0`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the float is whole and within the range in which f64 is exact"
)]
pub(crate) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

/// Names places in the request as the client wrote it, which is not always where they stand in
/// the canonical one.
pub(crate) struct Places {
    dialect: Dialect,
    /// Canonical messages that stand before the client's `messages[0]`.
    before: usize,
}

impl Places {
    pub(crate) fn new(request: &Request) -> Self {
        let leads = request
            .messages
            .first()
            .is_some_and(|m| m.role == Role::System);
        let anthropic = request.dialect == Dialect::AnthropicMessages;
        Self {
            dialect: request.dialect,
            before: usize::from(anthropic && leads),
        }
    }

    /// Calls with the place of a message.
    pub(crate) fn message<R>(&self, index: usize, call: impl FnOnce(&Path<'_>) -> R) -> R {
        match index.checked_sub(self.before) {
            Some(index) => call(&Path::ROOT.key("messages").index(index)),
            None => call(&Path::ROOT.key("system")),
        }
    }

    /// Calls with the place of a part of a message.
    pub(crate) fn part<R>(
        &self,
        path: &Path<'_>,
        message: &Message,
        index: usize,
        call: impl FnOnce(&Path<'_>) -> R,
    ) -> R {
        if self.dialect != Dialect::OpenaiChat {
            return call(&path.key("content").index(index));
        }
        let earlier = message.parts.get(..index).unwrap_or_default();
        let count = |is: fn(&Part) -> bool| earlier.iter().filter(|part| is(part)).count();
        match message.parts.get(index) {
            Some(part) if is_call(part) => {
                let calls = count(is_call);
                call(&path.key("tool_calls").index(calls))
            }
            Some(Part::Thinking { .. } | Part::RedactedThinking { .. }) => {
                call(&path.key("reasoning_content"))
            }
            _ => {
                let thoughts = count(|part| {
                    matches!(part, Part::Thinking { .. } | Part::RedactedThinking { .. })
                });
                call(&path.key("content").index(index - thoughts))
            }
        }
    }
}

/// True for what OpenAI writes into `tool_calls`; a custom tool's call has a type that no content
/// part has.
pub(crate) fn is_call(part: &Part) -> bool {
    match part {
        Part::ToolCall { .. } => true,
        Part::Unknown {
            dialect: Dialect::OpenaiChat,
            value,
        } => value.get("type").is_some_and(|kind| kind == "custom"),
        _ => false,
    }
}
