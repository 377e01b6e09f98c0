//! The rules by which a request leaves its own dialect.
//!
//! A field that the target has no word for is one of three:
//! - it says nothing (`n: 1`, `logprobs: false`, `null`): left out;
//! - it is a *hint*, which changes cost, speed or bookkeeping but not what the model is asked
//!   (`cache_control`, `prompt_cache_key`, `detail`): left out, and named in `Encoded::left_out`;
//! - anything else: [`Error::unsupported`], naming the field.
//!
//! A field that nobody knows is passed on where it stood; the upstream is the judge of it. A field
//! that only the *target* knows was not read with the target's meaning (nobody checked its range,
//! budgeted for it or looked into it as a message), so it is refused, except for `thinking` and
//! `cache_control`, which OpenAI clients commonly add for Anthropic's models.

use freehold_types::request::{Extra, RawBody, Request};
use freehold_types::{Dialect, Error, ErrorKind};
use serde_json::{Map, Value};

use crate::fields::Path;
use crate::json::{self, Edit};

/// What one translation carries along.
pub(crate) struct Translation {
    /// True when the request already speaks the target's dialect (its raw bytes are stale).
    pub(crate) same: bool,
    /// Hints that were left out.
    pub(crate) left_out: Vec<String>,
}

/// What becomes of an unknown or vendor-specific field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Passed on.
    Pass,
    /// Says nothing: left out.
    Nothing,
    /// A hint: left out, and reported.
    Hint,
    /// The target has no word for it.
    Refuse,
    /// The target's own word, in a request of another dialect.
    Foreign,
}

/// OpenAI's top-level fields that Anthropic's dialect does not have.
pub(crate) const OPENAI_FIELDS: [&str; 36] = [
    "audio",
    "best_of",
    "echo",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "min_p",
    "modalities",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "repeat_penalty",
    "repetition_penalty",
    "response_format",
    "safety_identifier",
    "seed",
    "stop",
    "store",
    "stream_options",
    "suffix",
    "top_logprobs",
    "use_beam_search",
    "user",
    "verbosity",
    "web_search_options",
    "ignore_eos",
];

/// Anthropic's top-level fields that OpenAI's dialect does not have, but for `thinking` and
/// `cache_control`.
pub(crate) const ANTHROPIC_FIELDS: [&str; 14] = [
    "betas",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "output_config",
    "output_format",
    "speed",
    "stop_sequences",
    "system",
    "user_profile_id",
    "workspace_id",
    "anthropic_version",
];

/// Fields of OpenAI's messages that Anthropic's do not have.
pub(crate) const OPENAI_MESSAGE_FIELDS: [&str; 10] = [
    "annotations",
    "audio",
    "function_call",
    "name",
    "reasoning",
    "reasoning_content",
    "refusal",
    "thinking_blocks",
    "tool_call_id",
    "tool_calls",
];

impl Translation {
    pub(crate) fn new(request: &Request, target: Dialect) -> Self {
        Self {
            same: request.dialect == target,
            left_out: Vec::new(),
        }
    }

    /// Notes a hint that was left out.
    pub(crate) fn leave_out(&mut self, path: &Path<'_>) {
        self.left_out.push(path.to_string());
    }

    /// Writes extras into an object under construction, each by its fate.
    pub(crate) fn extras(
        &mut self,
        extra: &Extra,
        path: &Path<'_>,
        out: &mut Map<String, Value>,
        fate: impl Fn(&str, &Value) -> Fate,
    ) -> Result<(), Error> {
        for (key, value) in extra {
            let at = path.key(key);
            let fate = if self.same {
                Fate::Pass
            } else {
                fate(key, value)
            };
            match fate {
                Fate::Nothing => {}
                Fate::Hint => self.leave_out(&at),
                Fate::Refuse => return Err(at.unsupported(NO_WORD)),
                Fate::Foreign => return Err(at.unsupported(FOREIGN)),
                Fate::Pass if out.contains_key(key) => return Err(at.unsupported(FOREIGN)),
                Fate::Pass => {
                    out.insert(key.clone(), value.clone());
                }
            }
        }
        Ok(())
    }
}

/// Why something is refused, when there is no better reason to give.
pub(crate) const NO_WORD: &str = "cannot be expressed in the dialect of the model's server";

const FOREIGN: &str = "belongs to another dialect than the one the request is written in";

/// True for values that a field has when it says nothing.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Finds the place of the model's name in a body that was parsed with success.
pub(crate) fn raw_body(bytes: bytes::Bytes) -> Option<RawBody> {
    let model_span = json::members(&bytes, 0)?
        .into_iter()
        .find(|member| member.key == "model")?
        .value_span;
    Some(RawBody { bytes, model_span })
}

/// Edits of a raw body: the model's name, and whatever else the upstream needs.
pub(crate) struct Splice<'r> {
    raw: &'r RawBody,
    members: Vec<json::Member<'r>>,
    edits: Vec<Edit>,
}

impl<'r> Splice<'r> {
    /// Replaces the model's name.
    pub(crate) fn new(raw: &'r RawBody, model: &str) -> Result<Self, Error> {
        let members = json::members(&raw.bytes, 0).filter(|_| {
            // A span that does not fit the bytes would corrupt the body or panic.
            raw.bytes.get(raw.model_span.clone()).is_some()
        });
        let Some(members) = members else {
            let message = "the stored request body is not a JSON object";
            return Err(Error::new(ErrorKind::Internal, message));
        };
        Ok(Self {
            raw,
            members,
            edits: vec![Edit {
                span: raw.model_span.clone(),
                text: Value::from(model).to_string(),
            }],
        })
    }

    /// The text of a top-level member's value.
    fn value(&self, key: &str) -> Option<(&json::Member<'r>, &'r [u8])> {
        let member = self.members.iter().find(|member| member.key == key)?;
        let value = self.raw.bytes.get(member.value_span.clone())?;
        Some((member, value))
    }

    /// True when the body has the member.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Gives a top-level member another key.
    pub(crate) fn rename(&mut self, key: &str, new_key: &str) {
        let span = self.value(key).map(|(member, _)| member.key_span.clone());
        self.edits.extend(span.map(|span| Edit {
            span,
            text: Value::from(new_key).to_string(),
        }));
    }

    /// Removes top-level members (never `model`), with the commas that belonged to them. To be
    /// called once, and for no member that another edit touches.
    pub(crate) fn remove(&mut self, keys: &[String]) {
        let goes = |member: &json::Member<'_>| {
            member.key != "model" && keys.iter().any(|key| *key == member.key)
        };
        // `model` is always there and stays, so the leading run of members that go ends at one
        // that stays; each later one takes the comma before it.
        let leading = self
            .members
            .iter()
            .take_while(|member| goes(member))
            .count();
        let mut spans = Vec::new();
        if let (1.., Some(first), Some(stays)) =
            (leading, self.members.first(), self.members.get(leading))
        {
            spans.push(first.key_span.start..stays.key_span.start);
        }
        for pair in self.members.get(leading..).unwrap_or_default().windows(2) {
            if goes(&pair[1]) {
                spans.push(pair[0].value_span.end..pair[1].value_span.end);
            }
        }
        self.edits.extend(spans.into_iter().map(|span| Edit {
            span,
            text: String::new(),
        }));
    }

    /// Sets `stream_options.include_usage`.
    pub(crate) fn include_usage(&mut self) {
        let Some((member, value)) = self.value("stream_options") else {
            let start = self
                .members
                .first()
                .map_or(1, |member| member.key_span.start);
            self.edits.push(Edit {
                span: start..start,
                text: r#""stream_options":{"include_usage":true},"#.to_owned(),
            });
            return;
        };
        let span = member.value_span.clone();
        let inner = json::members(&self.raw.bytes, span.start).filter(|_| value.starts_with(b"{"));
        let edit = match inner.as_deref() {
            None | Some([]) => Edit {
                span,
                text: r#"{"include_usage":true}"#.to_owned(),
            },
            Some([first, ..]) => {
                let known = inner.iter().flatten().find(|m| m.key == "include_usage");
                match known {
                    Some(known) => Edit {
                        span: known.value_span.clone(),
                        text: "true".to_owned(),
                    },
                    None => Edit {
                        span: first.key_span.start..first.key_span.start,
                        text: r#""include_usage":true,"#.to_owned(),
                    },
                }
            }
        };
        self.edits.push(edit);
    }

    /// The edited body.
    pub(crate) fn apply(self) -> bytes::Bytes {
        json::apply(&self.raw.bytes, self.edits).into()
    }
}
