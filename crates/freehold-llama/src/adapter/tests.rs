use freehold_types::{Dialect, Message, Request};

/// A chat request of these messages.
pub(crate) fn request(messages: Vec<Message>) -> Request {
    Request::new(Dialect::OpenaiChat, "test", messages)
}
