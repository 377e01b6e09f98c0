use freehold_types::request::{ResponseFormat, Sampling};
use freehold_types::{Dialect, Extra, Message, Request};

/// A chat request of these messages.
pub(crate) fn request(messages: Vec<Message>) -> Request {
    Request {
        dialect: Dialect::OpenaiChat,
        model: "test".into(),
        messages,
        prompt: None,
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        response_format: ResponseFormat::Text,
        sampling: Sampling::default(),
        reasoning: None,
        stream: false,
        include_usage: false,
        user: None,
        metadata: Extra::new(),
        extra: Extra::new(),
        raw: None,
    }
}
