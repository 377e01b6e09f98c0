//! The engine's outputs as canonical events.

use std::collections::BTreeMap;

use freehold_types::{Delta, Event, FinishReason, PartKind, TokenLogprob, Usage, UsageBasis};

use super::parse::{Found, OutputParser, ParseOptions};
use crate::engine::output::{self, EndReason, Output, TokenCounts};

/// Reads the answer to one prompt.
#[derive(Debug)]
pub(crate) struct Translator {
    parse: ParseOptions,
    /// Added to the indices of choices: legacy completions can have several prompts.
    first_choice: u32,
    /// Makes the ids of calls unique.
    call_prefix: String,
    choices: BTreeMap<u32, ChoiceState>,
    counts: TokenCounts,
    reasoning_tokens: u32,
}

#[derive(Debug)]
struct ChoiceState {
    parser: OutputParser,
    parts: u32,
    open: Option<Open>,
    calls: u32,
    /// Log-probabilities of text that is held back.
    logprobs: Vec<TokenLogprob>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call,
}

impl Translator {
    pub(crate) fn new(parse: ParseOptions, first_choice: u32, call_prefix: String) -> Self {
        Self {
            parse,
            first_choice,
            call_prefix,
            choices: BTreeMap::new(),
            counts: TokenCounts::default(),
            reasoning_tokens: 0,
        }
    }

    /// The events of one step. Failures are the caller's.
    pub(crate) fn push(&mut self, output: Output, events: &mut Vec<Event>) {
        match output {
            Output::Started {
                prompt_tokens,
                cached_tokens,
            } => {
                self.counts.prompt = prompt_tokens;
                self.counts.cached = cached_tokens;
            }
            Output::Text {
                choice,
                text,
                logprobs,
                completion_tokens,
            } => {
                let tokens = completion_tokens.saturating_sub(self.counts.completion);
                self.counts.completion = completion_tokens;
                let state = self.choice(choice);
                state.logprobs.extend(logprobs.into_iter().map(canonical));
                let found = state.parser.push(&text);
                let is_reasoning = !found.is_empty()
                    && found
                        .iter()
                        .all(|found| matches!(found, Found::Thinking(_)));
                if is_reasoning {
                    self.reasoning_tokens += tokens;
                }
                self.emit(choice, found, events);
            }
            Output::Finished { choice, reason } => self.finish(choice, reason, events),
            Output::Done(counts) => self.counts = counts,
            Output::Failed(_) => {}
        }
    }

    /// The tokens so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.counts.prompt.into(),
            cached_input_tokens: self.counts.cached.into(),
            output_tokens: self.counts.completion.into(),
            reasoning_tokens: self.reasoning_tokens.into(),
            basis: UsageBasis::Counted,
            ..Usage::default()
        }
    }

    fn choice(&mut self, choice: u32) -> &mut ChoiceState {
        let parse = &self.parse;
        self.choices.entry(choice).or_insert_with(|| ChoiceState {
            parser: OutputParser::new(parse.clone()),
            parts: 0,
            open: None,
            calls: 0,
            logprobs: Vec::new(),
        })
    }

    fn emit(&mut self, choice: u32, found: Vec<Found>, events: &mut Vec<Event>) {
        let index = self.first_choice + choice;
        let prefix = self.call_prefix.clone();
        let state = self.choice(choice);
        for found in found {
            match found {
                Found::Text(text) => {
                    let logprobs = std::mem::take(&mut state.logprobs);
                    let part = state.open_part(index, Open::Text, || PartKind::Text, events);
                    let delta = Delta::Text { text, logprobs };
                    events.push(Event::PartDelta {
                        choice: index,
                        part,
                        delta,
                    });
                }
                Found::Thinking(text) => {
                    state.logprobs.clear();
                    let part =
                        state.open_part(index, Open::Thinking, || PartKind::Thinking, events);
                    let delta = Delta::Thinking(text);
                    events.push(Event::PartDelta {
                        choice: index,
                        part,
                        delta,
                    });
                }
                Found::Call { name } => {
                    state.logprobs.clear();
                    state.close(index, events);
                    let id = format!("call_{prefix}{index:02x}{:02x}", state.calls);
                    state.calls += 1;
                    state.open_part(
                        index,
                        Open::Call,
                        || PartKind::ToolCall { id, name },
                        events,
                    );
                }
                Found::Arguments(text) => {
                    let part = state.parts.saturating_sub(1);
                    let delta = Delta::Arguments(text);
                    events.push(Event::PartDelta {
                        choice: index,
                        part,
                        delta,
                    });
                }
                Found::CallEnd => state.close(index, events),
            }
        }
    }

    fn finish(&mut self, choice: u32, reason: EndReason, events: &mut Vec<Event>) {
        let index = self.first_choice + choice;
        let found = self.choice(choice).parser.finish();
        self.emit(choice, found, events);
        let state = self.choice(choice);
        let logprobs = std::mem::take(&mut state.logprobs);
        let is_text = state.parser.is_plain();
        if state.parts == 0 || (is_text && !logprobs.is_empty()) {
            // An empty answer is an empty text, not none.
            let part = state.open_part(index, Open::Text, || PartKind::Text, events);
            if !logprobs.is_empty() {
                let delta = Delta::Text {
                    text: String::new(),
                    logprobs,
                };
                events.push(Event::PartDelta {
                    choice: index,
                    part,
                    delta,
                });
            }
        }
        state.close(index, events);
        let (reason, stop_sequence) = match reason {
            EndReason::StopText(stop) => (FinishReason::StopSequence, Some(stop)),
            EndReason::Length => (FinishReason::Length, None),
            EndReason::Stop if state.parser.has_called() => (FinishReason::ToolCalls, None),
            EndReason::Stop => (FinishReason::Stop, None),
        };
        events.push(Event::Finish {
            choice: index,
            reason,
            stop_sequence,
        });
    }
}

impl ChoiceState {
    /// The open part of this kind; opens one if need be.
    fn open_part(
        &mut self,
        choice: u32,
        kind: Open,
        start: impl FnOnce() -> PartKind,
        events: &mut Vec<Event>,
    ) -> u32 {
        if self.open != Some(kind) {
            self.close(choice, events);
            events.push(Event::PartStart {
                choice,
                part: self.parts,
                kind: start(),
            });
            self.parts += 1;
            self.open = Some(kind);
        }
        self.parts - 1
    }

    fn close(&mut self, choice: u32, events: &mut Vec<Event>) {
        if self.open.take().is_some() {
            events.push(Event::PartEnd {
                choice,
                part: self.parts - 1,
            });
        }
    }
}

fn canonical(token: output::TokenLogprob) -> TokenLogprob {
    let entry = |bytes: Vec<u8>, logprob: f64, top: Vec<TokenLogprob>| TokenLogprob {
        token: String::from_utf8_lossy(&bytes).into_owned(),
        logprob,
        bytes: Some(bytes),
        top,
    };
    let top = token
        .top
        .into_iter()
        .map(|(bytes, logprob)| entry(bytes, logprob, Vec::new()));
    let top = top.collect();
    entry(token.bytes, token.logprob, top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_types::{Part, Response};

    fn answer(parse: ParseOptions, texts: &[&str], reason: EndReason) -> Response {
        let mut translator = Translator::new(parse, 0, "x".into());
        let mut events = Vec::new();
        translator.push(
            Output::Started {
                prompt_tokens: 3,
                cached_tokens: 1,
            },
            &mut events,
        );
        for (text, completion_tokens) in texts.iter().zip(1..) {
            let output = Output::Text {
                choice: 0,
                text: (*text).to_owned(),
                logprobs: Vec::new(),
                completion_tokens,
            };
            translator.push(output, &mut events);
        }
        translator.push(Output::Finished { choice: 0, reason }, &mut events);
        events.push(Event::Usage(translator.usage()));
        Response::from_events(events)
    }

    #[test]
    fn text_reasoning_and_calls_become_parts() {
        let parse = ParseOptions {
            functions: ["f".to_owned()].into(),
            thinks: true,
            ..ParseOptions::default()
        };
        let response = answer(
            parse,
            &[
                "<think>hm",
                " so</think>",
                "Sure.",
                "<tool_call>{\"name\": \"f\", ",
                "\"arguments\": {\"a\": 1}}</tool_call>",
            ],
            EndReason::Stop,
        );
        let choice = &response.choices[0];
        assert_eq!(choice.finish, Some(FinishReason::ToolCalls));
        assert!(matches!(&choice.parts[0], Part::Thinking { text, .. } if text == "hm so"));
        assert_eq!(choice.parts[1], Part::text("Sure."));
        assert!(
            matches!(&choice.parts[2], Part::ToolCall { id, name, arguments, .. }
            if id == "call_x0000" && name == "f" && arguments == "{\"a\": 1}")
        );
        let usage = response.usage.expect("counted");
        assert_eq!((usage.input_tokens, usage.cached_input_tokens), (3, 1));
        assert_eq!((usage.output_tokens, usage.reasoning_tokens), (5, 2));
    }

    #[test]
    fn ends_are_told_apart_and_nothing_is_an_empty_text() {
        let stopped = answer(
            ParseOptions::default(),
            &["a"],
            EndReason::StopText("END".into()),
        );
        assert_eq!(stopped.choices[0].finish, Some(FinishReason::StopSequence));
        assert_eq!(stopped.choices[0].stop_sequence.as_deref(), Some("END"));
        let empty = answer(ParseOptions::default(), &[], EndReason::Length);
        assert_eq!(empty.choices[0].parts, [Part::text("")]);
        assert_eq!(empty.choices[0].finish, Some(FinishReason::Length));
    }
}
