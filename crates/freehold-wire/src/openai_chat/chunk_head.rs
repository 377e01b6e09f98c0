//! Writing chunks of an OpenAI stream, chat or legacy. What all chunks of an answer have in common
//! is written once and copied from then on: the embedded engine writes one chunk per token.

use freehold_types::request::Extra;
use serde::Serialize;
use serde_json::{Map, Value};

/// What chunks of an answer begin with, as JSON without its closing brace.
#[derive(Debug)]
pub(crate) struct ChunkHead(String);

/// The `usage` field of a chunk.
#[derive(Clone, Debug)]
pub(crate) enum UsageField {
    /// The client did not ask for it.
    Absent,
    /// The client asked, and it comes later.
    Later,
    /// Here it is.
    Counts(Value),
}

impl ChunkHead {
    /// `object` is the dialect's word for a chunk.
    pub(crate) fn new(object: &str, id: &str, model: &str, created_s: u64, extra: &Extra) -> Self {
        let mut head = Map::new();
        head.insert("id".to_owned(), id.into());
        head.insert("object".to_owned(), object.into());
        head.insert("created".to_owned(), created_s.into());
        head.insert("model".to_owned(), model.into());
        for (key, value) in extra {
            if !matches!(key.as_str(), "choices" | "usage") {
                head.entry(key).or_insert_with(|| value.clone());
            }
        }
        let mut text = Value::Object(head).to_string();
        text.pop();
        Self(text)
    }

    /// Appends a chunk as a server-sent event.
    pub(crate) fn write(&self, out: &mut Vec<u8>, choices: &impl Serialize, usage: &UsageField) {
        let start = out.len();
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b",\"choices\":");
        if serde_json::to_writer(&mut *out, choices).is_err() {
            // Only a map with keys that are not strings fails, and none is ever written; half a
            // frame must not go out all the same.
            out.truncate(start);
            return;
        }
        match usage {
            UsageField::Absent => {}
            UsageField::Later => out.extend_from_slice(b",\"usage\":null"),
            UsageField::Counts(counts) => {
                out.extend_from_slice(b",\"usage\":");
                out.extend_from_slice(counts.to_string().as_bytes());
            }
        }
        out.extend_from_slice(b"}\n\n");
    }
}
