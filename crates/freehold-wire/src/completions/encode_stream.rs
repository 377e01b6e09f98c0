//! Legacy completions: canonical events into a stream of chunks.

use std::collections::HashMap;

use freehold_types::request::Extra;
use freehold_types::{Delta, Event, Usage};
use serde_json::{Map, Value, json};

use super::answer::legacy_finish_word;
use super::logprobs;
use crate::openai_chat::usage::encode_usage;
use crate::options::AnswerContext;
use crate::sse;

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Encoder {
    id: String,
    model: String,
    context: AnswerContext,
    extra: Extra,
    /// Characters written so far, by choice.
    offsets: HashMap<u32, usize>,
    usage: Option<Usage>,
}

impl Encoder {
    pub(crate) fn new(context: AnswerContext) -> Self {
        Self {
            id: context.id.clone(),
            model: context.model.clone(),
            context,
            extra: Extra::new(),
            offsets: HashMap::new(),
            usage: None,
        }
    }

    pub(crate) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start {
                id, model, extra, ..
            } => {
                self.id = self.context.shown_id(id).to_owned();
                self.model = self.context.shown_model(model).to_owned();
                self.extra = extra.clone();
            }
            Event::PartDelta { choice, delta, .. } => match delta {
                Delta::Text { text, logprobs } => {
                    let offset = self.offsets.entry(*choice).or_default();
                    let encoded = (!logprobs.is_empty()).then(|| {
                        let (encoded, end) = logprobs::encode(logprobs, *offset);
                        *offset = end;
                        encoded
                    });
                    self.chunk(*choice, text, encoded, None, out);
                }
                Delta::Refusal(text) => self.chunk(*choice, text, None, None, out),
                _ => {}
            },
            Event::Finish { choice, reason, .. } => {
                self.chunk(*choice, "", None, Some(legacy_finish_word(reason)), out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => self.end(out),
            Event::PartStart { .. } | Event::PartEnd { .. } | Event::Extra { .. } => {}
        }
    }

    fn chunk(
        &self,
        choice: u32,
        text: &str,
        logprobs: Option<Value>,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let mut chunk = self.head();
        let choice = json!({
            "index": choice,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": finish,
        });
        chunk.insert("choices".to_owned(), Value::Array(vec![choice]));
        if self.context.include_usage {
            chunk.insert("usage".to_owned(), Value::Null);
        }
        sse::write(out, None, &chunk);
    }

    fn end(&self, out: &mut Vec<u8>) {
        if let Some(usage) = &self.usage
            && self.context.include_usage
        {
            let mut chunk = self.head();
            chunk.insert("choices".to_owned(), Value::Array(Vec::new()));
            chunk.insert("usage".to_owned(), encode_usage(usage));
            sse::write(out, None, &chunk);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn head(&self) -> Map<String, Value> {
        let mut chunk = Map::new();
        chunk.insert("id".to_owned(), self.id.clone().into());
        chunk.insert("object".to_owned(), "text_completion".into());
        chunk.insert("created".to_owned(), self.context.created_s.into());
        chunk.insert("model".to_owned(), self.model.clone().into());
        for (key, value) in &self.extra {
            if !matches!(key.as_str(), "choices" | "usage") {
                chunk.entry(key).or_insert_with(|| value.clone());
            }
        }
        chunk
    }
}
