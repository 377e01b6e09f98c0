//! Legacy completions: canonical events into a stream of chunks.

use std::collections::HashMap;

use freehold_types::request::Extra;
use freehold_types::{Delta, Event, Usage};
use serde_json::{Value, json};

use super::answer::legacy_finish_word;
use super::logprobs;
use crate::openai_chat::chunk_head::{ChunkHead, UsageField};
use crate::openai_chat::usage::encode_usage;
use crate::options::AnswerContext;

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Encoder {
    id: String,
    model: String,
    context: AnswerContext,
    extra: Extra,
    head: ChunkHead,
    /// Characters written so far, by choice.
    offsets: HashMap<u32, usize>,
    usage: Option<Usage>,
}

impl Encoder {
    pub(crate) fn new(context: AnswerContext) -> Self {
        Self {
            id: context.id.clone(),
            model: context.model.clone(),
            extra: Extra::new(),
            head: new_head(&context, &context.id, &context.model, &Extra::new()),
            context,
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
                self.renew_head();
            }
            Event::Extra {
                choice: None,
                fields,
            } => {
                self.extra.extend(fields.clone());
                self.renew_head();
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
        let choice = json!({
            "index": choice,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": finish,
        });
        let usage = if self.context.include_usage {
            UsageField::Later
        } else {
            UsageField::Absent
        };
        self.head.write(out, &[choice], &usage);
    }

    fn end(&self, out: &mut Vec<u8>) {
        if let Some(usage) = &self.usage
            && self.context.include_usage
        {
            let counts = UsageField::Counts(encode_usage(usage));
            self.head.write(out, &[(); 0], &counts);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn renew_head(&mut self) {
        self.head = new_head(&self.context, &self.id, &self.model, &self.extra);
    }
}

fn new_head(context: &AnswerContext, id: &str, model: &str, extra: &Extra) -> ChunkHead {
    ChunkHead::new("text_completion", id, model, context.created_s, extra)
}
