//! The canonical answer: a sequence of [`Event`]s, and the [`Response`] they add up to.
//!
//! Grammar of a whole answer: `Start (PartStart PartDelta* PartEnd | Finish | Usage | Extra)* End`.
//! Parts of different choices may interleave; parts of one choice may overlap (parallel tool calls).
//! Usage events are cumulative: the last one counts. An answer without `End` was cut short.

use serde_json::Value;

use crate::request::{Extra, Part};
use crate::{Dialect, Usage};

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The upstream has begun.
    Start {
        /// The upstream's id of the answer.
        id: String,
        /// The model's name as the upstream reports it.
        model: String,
        /// Unix seconds, where the upstream says.
        created_s: Option<u64>,
        /// Unknown top-level fields (`system_fingerprint`, `service_tier`).
        extra: Extra,
    },
    /// A part begins.
    PartStart {
        /// Index of the choice.
        choice: u32,
        /// Index of the part within the choice.
        part: u32,
        /// What kind of part.
        kind: PartKind,
    },
    /// A part grows.
    PartDelta {
        /// Index of the choice.
        choice: u32,
        /// Index of the part within the choice.
        part: u32,
        /// What is added.
        delta: Delta,
    },
    /// A part is complete.
    PartEnd {
        /// Index of the choice.
        choice: u32,
        /// Index of the part within the choice.
        part: u32,
    },
    /// A choice is complete.
    Finish {
        /// Index of the choice.
        choice: u32,
        /// Why it ended.
        reason: FinishReason,
        /// The stop text that was hit.
        stop_sequence: Option<String>,
    },
    /// Tokens so far; the last one counts.
    Usage(Usage),
    /// Unknown fields of the answer (`None`) or of one choice's message.
    Extra {
        /// The choice, or the answer as a whole.
        choice: Option<u32>,
        /// The fields.
        fields: Extra,
    },
    /// The answer is complete. Nothing follows.
    End,
}

/// What kind of part begins.
#[derive(Clone, Debug, PartialEq)]
pub enum PartKind {
    /// Text.
    Text,
    /// The model's refusal.
    Refusal,
    /// Visible reasoning.
    Thinking,
    /// Encrypted reasoning, whole.
    RedactedThinking {
        /// Opaque bytes.
        data: String,
    },
    /// A tool call.
    ToolCall {
        /// Joins the call with its result.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A part of a kind this shape does not know, whole as far as the upstream sent it at once.
    Unknown {
        /// The dialect it came in.
        dialect: Dialect,
        /// The part.
        value: Value,
    },
}

/// What is added to a part.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Text, with the log-probabilities of its tokens when they were asked for.
    Text {
        /// The text.
        text: String,
        /// One entry per token of the text.
        logprobs: Vec<TokenLogprob>,
    },
    /// Text of a refusal.
    Refusal(String),
    /// Reasoning.
    Thinking(String),
    /// The signature over the reasoning.
    Signature(String),
    /// A piece of the arguments' JSON text.
    Arguments(String),
    /// A delta this shape does not know.
    Unknown {
        /// The dialect it came in.
        dialect: Dialect,
        /// The delta.
        value: Value,
    },
}

/// A token with its probability, and the likeliest alternatives.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The token's bytes, where known (a token may be part of a character).
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens at this place, best first; their own `top` is empty.
    pub top: Vec<TokenLogprob>,
}

/// Why a choice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// A stop text was hit. OpenAI calls it `stop`, Anthropic `stop_sequence`.
    StopSequence,
    /// The token limit was reached.
    Length,
    /// The model called tools.
    ToolCalls,
    /// The upstream's safety system cut the answer.
    ContentFilter,
    /// The model refused (Anthropic `refusal`).
    Refusal,
    /// The model paused a long turn and can be asked to go on (Anthropic `pause_turn`).
    PauseTurn,
    /// A reason this shape does not know, as the upstream wrote it.
    Other(String),
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The upstream's id of the answer.
    pub id: String,
    /// The model's name as the upstream reports it.
    pub model: String,
    /// Unix seconds.
    pub created_s: Option<u64>,
    /// The answers, by index.
    pub choices: Vec<Choice>,
    /// Tokens, when anybody counted them.
    pub usage: Option<Usage>,
    /// Unknown top-level fields.
    pub extra: Extra,
}

/// One of the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What the model said, in order.
    pub parts: Vec<Part>,
    /// Log-probabilities of the text's tokens, when they were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended; `None` when it was cut short.
    pub finish: Option<FinishReason>,
    /// The stop text that was hit.
    pub stop_sequence: Option<String>,
    /// Unknown fields of the message (`annotations`, `audio`).
    pub extra: Extra,
}

impl Response {
    /// Adds events up to a whole answer.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Self {
        let mut builder = ResponseBuilder::default();
        for event in events {
            builder.push(event);
        }
        builder.build()
    }

    /// The events of a whole answer, `Start` to `End`; each part in one delta.
    pub fn into_events(self) -> Vec<Event> {
        let mut events = vec![Event::Start {
            id: self.id,
            model: self.model,
            created_s: self.created_s,
            extra: self.extra,
        }];
        for (choice, answer) in (0..).zip(self.choices) {
            answer.push_events(choice, &mut events);
        }
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::End);
        events
    }
}

impl Choice {
    fn push_events(self, choice: u32, events: &mut Vec<Event>) {
        let mut logprobs = Some(self.logprobs);
        for (part, content) in (0..).zip(self.parts) {
            let (kind, deltas) = split_part(content, &mut logprobs);
            events.push(Event::PartStart { choice, part, kind });
            events.extend(deltas.into_iter().map(|delta| Event::PartDelta {
                choice,
                part,
                delta,
            }));
            events.push(Event::PartEnd { choice, part });
        }
        if !self.extra.is_empty() {
            events.push(Event::Extra {
                choice: Some(choice),
                fields: self.extra,
            });
        }
        if let Some(reason) = self.finish {
            events.push(Event::Finish {
                choice,
                reason,
                stop_sequence: self.stop_sequence,
            });
        }
    }
}

/// A whole part as its start and its deltas. The choice's log-probabilities go with its first text.
fn split_part(part: Part, logprobs: &mut Option<Vec<TokenLogprob>>) -> (PartKind, Vec<Delta>) {
    match part {
        Part::Text { text, extra: _ } => {
            let logprobs = logprobs.take().unwrap_or_default();
            (PartKind::Text, vec![Delta::Text { text, logprobs }])
        }
        Part::Refusal { text } => (PartKind::Refusal, vec![Delta::Refusal(text)]),
        Part::Thinking {
            text, signature, ..
        } => {
            let signature = signature.map(Delta::Signature);
            (
                PartKind::Thinking,
                std::iter::once(Delta::Thinking(text))
                    .chain(signature)
                    .collect(),
            )
        }
        Part::RedactedThinking { data } => (PartKind::RedactedThinking { data }, vec![]),
        Part::ToolCall {
            id,
            name,
            arguments,
            ..
        } => (
            PartKind::ToolCall { id, name },
            vec![Delta::Arguments(arguments)],
        ),
        Part::Unknown { dialect, value } => (PartKind::Unknown { dialect, value }, vec![]),
        // Models answer with none of these; kept whole rather than lost.
        other @ (Part::Image { .. }
        | Part::Audio { .. }
        | Part::File { .. }
        | Part::ToolResult { .. }) => (
            PartKind::Unknown {
                dialect: Dialect::OpenaiChat,
                value: Value::String(format!("{other:?}")),
            },
            vec![],
        ),
    }
}

/// Where an unknown part's input grows until it is whole.
const PARTIAL_INPUT: &str = "partial_input";

/// Adds events up, one at a time.
#[derive(Clone, Debug, Default)]
pub struct ResponseBuilder {
    response: Response,
    complete: bool,
}

impl ResponseBuilder {
    /// Takes the next event. Parts and choices that were never started are started.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start {
                id,
                model,
                created_s,
                extra,
            } => {
                self.response.id = id;
                self.response.model = model;
                self.response.created_s = created_s;
                self.response.extra.extend(extra);
            }
            Event::PartStart { choice, part, kind } => self.start_part(choice, part, kind),
            Event::PartDelta {
                choice,
                part,
                delta,
            } => self.grow_part(choice, part, delta),
            Event::PartEnd { choice, part } => self.end_part(choice, part),
            Event::Finish {
                choice,
                reason,
                stop_sequence,
            } => {
                let choice = self.choice(choice);
                choice.finish = Some(reason);
                choice.stop_sequence = stop_sequence;
            }
            Event::Usage(usage) => self.response.usage = Some(usage),
            Event::Extra {
                choice: Some(choice),
                fields,
            } => {
                self.choice(choice).extra.extend(fields);
            }
            Event::Extra {
                choice: None,
                fields,
            } => self.response.extra.extend(fields),
            Event::End => self.complete = true,
        }
    }

    /// True once `End` was seen.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the events so far add up to.
    pub fn build(self) -> Response {
        self.response
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        // Decoders bound the number of choices; this bound keeps a defect from eating memory.
        let index = index.min(1_023) as usize;
        if self.response.choices.len() <= index {
            self.response
                .choices
                .resize_with(index + 1, Choice::default);
        }
        &mut self.response.choices[index]
    }

    fn part(&mut self, choice: u32, part: u32) -> &mut Part {
        let parts = &mut self.choice(choice).parts;
        let index = part.min(4_095) as usize;
        if parts.len() <= index {
            parts.resize_with(index + 1, || Part::text(""));
        }
        &mut parts[index]
    }

    fn start_part(&mut self, choice: u32, part: u32, kind: PartKind) {
        *self.part(choice, part) = match kind {
            PartKind::Text => Part::text(""),
            PartKind::Refusal => Part::Refusal {
                text: String::new(),
            },
            PartKind::Thinking => Part::Thinking {
                text: String::new(),
                signature: None,
                extra: Extra::new(),
            },
            PartKind::RedactedThinking { data } => Part::RedactedThinking { data },
            PartKind::ToolCall { id, name } => Part::ToolCall {
                id,
                name,
                arguments: String::new(),
                extra: Extra::new(),
            },
            PartKind::Unknown { dialect, value } => Part::Unknown { dialect, value },
        };
    }

    /// Puts the whole input of a vendor's own tool call in its place.
    fn end_part(&mut self, choice: u32, part: u32) {
        if let Part::Unknown {
            value: Value::Object(map),
            ..
        } = self.part(choice, part)
            && let Some(Value::String(text)) = map.remove(PARTIAL_INPUT)
            && let Ok(input) = serde_json::from_str(&text)
        {
            map.insert("input".to_owned(), input);
        }
    }

    fn grow_part(&mut self, choice: u32, part: u32, delta: Delta) {
        let delta = match delta {
            Delta::Text { text, logprobs } => {
                self.choice(choice).logprobs.extend(logprobs);
                Delta::Text {
                    text,
                    logprobs: vec![],
                }
            }
            other => other,
        };
        match (self.part(choice, part), delta) {
            (Part::Text { text, .. }, Delta::Text { text: more, .. })
            | (Part::Refusal { text }, Delta::Refusal(more))
            | (Part::Thinking { text, .. }, Delta::Thinking(more)) => text.push_str(&more),
            (Part::Thinking { signature, .. }, Delta::Signature(more)) => {
                signature.get_or_insert_default().push_str(&more);
            }
            (Part::ToolCall { arguments, .. }, Delta::Arguments(more)) => {
                arguments.push_str(&more);
            }
            // A vendor's own tool call: its input comes as JSON text, like a tool call's.
            (Part::Unknown { value, .. }, Delta::Arguments(more)) => {
                if let Some(Value::String(text)) = value.get_mut(PARTIAL_INPUT) {
                    text.push_str(&more);
                } else if let Value::Object(map) = value {
                    map.insert(PARTIAL_INPUT.to_owned(), Value::String(more));
                }
            }
            (Part::Text { extra, .. }, Delta::Unknown { mut value, .. }) => {
                // Citations come one at a time.
                if let Some(citation) = value.get_mut("citation").map(Value::take)
                    && let Value::Array(citations) = extra
                        .entry("citations")
                        .or_insert_with(|| Value::Array(Vec::new()))
                {
                    citations.push(citation);
                }
            }
            // A delta that does not fit its part: only the raw passthrough can carry it.
            (_, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UsageBasis;

    #[test]
    fn a_response_survives_its_events() {
        let response = Response {
            id: "x".into(),
            model: "m".into(),
            created_s: Some(7),
            choices: vec![Choice {
                parts: vec![
                    Part::Thinking {
                        text: "hm".into(),
                        signature: Some("sig".into()),
                        extra: Extra::new(),
                    },
                    Part::text("hello"),
                    Part::ToolCall {
                        id: "call_1".into(),
                        name: "f".into(),
                        arguments: "{\"a\":1}".into(),
                        extra: Extra::new(),
                    },
                ],
                logprobs: vec![],
                finish: Some(FinishReason::ToolCalls),
                stop_sequence: None,
                extra: Extra::new(),
            }],
            usage: Some(Usage {
                input_tokens: 3,
                output_tokens: 4,
                basis: UsageBasis::Reported,
                ..Usage::default()
            }),
            extra: Extra::new(),
        };
        assert_eq!(
            Response::from_events(response.clone().into_events()),
            response
        );
    }

    #[test]
    fn a_vendors_own_tool_call_and_citations_add_up() {
        let dialect = Dialect::AnthropicMessages;
        let delta = |part, delta| Event::PartDelta {
            choice: 0,
            part,
            delta,
        };
        let start = |part, kind| Event::PartStart {
            choice: 0,
            part,
            kind,
        };
        let end = |part| Event::PartEnd { choice: 0, part };
        let value = serde_json::json!({"type": "server_tool_use", "input": {}});
        let citation = serde_json::json!({"type": "citations_delta", "citation": {"url": "u"}});
        let response = Response::from_events([
            start(0, PartKind::Unknown { dialect, value }),
            delta(0, Delta::Arguments("{\"q\":".into())),
            delta(0, Delta::Arguments("1}".into())),
            end(0),
            start(1, PartKind::Text),
            delta(
                1,
                Delta::Unknown {
                    dialect,
                    value: citation,
                },
            ),
            end(1),
        ]);
        let Part::Unknown { value, .. } = &response.choices[0].parts[0] else {
            panic!("{response:?}");
        };
        assert_eq!(
            *value,
            serde_json::json!({"type": "server_tool_use", "input": {"q": 1}})
        );
        let Part::Text { extra, .. } = &response.choices[0].parts[1] else {
            panic!("{response:?}");
        };
        assert_eq!(extra["citations"], serde_json::json!([{"url": "u"}]));
    }

    #[test]
    fn an_answer_without_end_is_incomplete() {
        let mut builder = ResponseBuilder::default();
        builder.push(Event::PartDelta {
            choice: 0,
            part: 0,
            delta: Delta::Text {
                text: "cut".into(),
                logprobs: vec![],
            },
        });
        assert!(!builder.is_complete());
        assert_eq!(builder.build().choices[0].parts, vec![Part::text("cut")]);
    }
}
