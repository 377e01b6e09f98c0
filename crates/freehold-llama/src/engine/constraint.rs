//! Output that must follow a schema or a grammar.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::request::Constraint;
use crate::error::{LoadError, RequestError};

/// Output that is remembered to find a trigger in, beyond the trigger's own length.
const TRAIL_BYTES: usize = 256;

/// Makes matchers. Building it walks the whole vocabulary: once per model.
pub(crate) struct ConstraintFactory {
    parsers: ParserFactory,
}

impl ConstraintFactory {
    pub(crate) fn new(model: &LlamaModel) -> Result<Self, LoadError> {
        let vocabulary = vocabulary(model);
        let mut parsers = ParserFactory::new_simple(&vocabulary)
            .map_err(|error| LoadError::Vocabulary(error.to_string()))?;
        parsers.quiet();
        Ok(Self { parsers })
    }

    pub(crate) fn prepare(&self, constraint: &Constraint) -> Result<Guide, RequestError> {
        let matcher = |grammar| self.matcher(grammar);
        Ok(match constraint {
            Constraint::JsonObject => {
                Guide::from(matcher(json_grammar(json!({"type": "object"}), true))?)
            }
            Constraint::JsonSchema { schema, lenient } => {
                Guide::from(matcher(json_grammar(schema.clone(), *lenient))?)
            }
            Constraint::Lark(grammar) => {
                Guide::from(matcher(TopLevelGrammar::from_lark(grammar.clone()))?)
            }
            Constraint::LarkAfter { triggers, grammar } => Guide {
                matcher: matcher(TopLevelGrammar::from_lark(grammar.clone()))?,
                waiting: Some(Waiting {
                    triggers: triggers.clone(),
                    trail: String::new(),
                }),
            },
        })
    }

    fn matcher(&self, grammar: TopLevelGrammar) -> Result<Matcher, RequestError> {
        let parser = self.parsers.create_parser(grammar);
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(RequestError::Constraint(first_lines(&error))),
            None => Ok(matcher),
        }
    }
}

/// The model's vocabulary in llguidance's form: every token's bytes, special tokens marked.
fn vocabulary(model: &LlamaModel) -> TokEnv {
    let vocabulary = model.vocab();
    let end = match vocabulary.eot() {
        LlamaToken(-1) => vocabulary.eos(),
        end => end,
    };
    let mut ends = vec![end.0.cast_unsigned()];
    let mut texts = Vec::new();
    for token in vocabulary.tokens() {
        if vocabulary.is_eog(token) && token != end {
            ends.push(token.0.cast_unsigned());
        }
        let mut bytes = vocabulary.token_to_piece(token, false, None);
        if bytes.is_empty() {
            // A special token: no grammar may spell it by accident.
            bytes = vocabulary.token_to_piece(token, true, None);
            if !bytes.is_empty() {
                bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
            }
        }
        texts.push(bytes);
    }
    let info = TokRxInfo::new(model.n_vocab().cast_unsigned(), end.0.cast_unsigned());
    let trie = TokTrie::from(&info, &texts).with_eos_tokens(&ends);
    Arc::new(ApproximateTokEnv::new(trie))
}

/// A schema as a grammar. Without free white space, which small models get lost in.
fn json_grammar(mut schema: Value, lenient: bool) -> TopLevelGrammar {
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    if let Value::Object(object) = &mut schema {
        object
            .entry("x-guidance")
            .or_insert_with(|| json_options(lenient));
    }
    TopLevelGrammar::from_json_schema(schema)
}

/// How schemas are turned into grammars, wherever they stand.
pub(crate) fn json_options(lenient: bool) -> Value {
    json!({
        "whitespace_flexible": false,
        "item_separator": ", ",
        "key_separator": ": ",
        "coerce_one_of": true,
        "lenient": lenient,
    })
}

/// Follows one answer and says which tokens may come next.
#[derive(Clone)]
pub(crate) struct Guide {
    matcher: Matcher,
    waiting: Option<Waiting>,
}

/// A grammar that is not yet switched on.
#[derive(Clone)]
struct Waiting {
    triggers: Vec<String>,
    trail: String,
}

impl From<Matcher> for Guide {
    fn from(matcher: Matcher) -> Self {
        Self {
            matcher,
            waiting: None,
        }
    }
}

impl Guide {
    /// The tokens that may come next; `None` when any may.
    pub(crate) fn allowed(&mut self) -> Result<Option<SimpleVob>, RequestError> {
        if self.waiting.is_some() {
            return Ok(None);
        }
        let mask = self.matcher.compute_mask_or_eos();
        mask.map(Some)
            .map_err(|error| RequestError::Constraint(first_lines(&error.to_string())))
    }

    /// Follows a drawn token. `bytes` is its text; `tokenize` is asked for the tokens of a text.
    pub(crate) fn accept(
        &mut self,
        token: i32,
        bytes: &[u8],
        tokenize: impl FnOnce(&str) -> Vec<i32>,
    ) -> Result<(), RequestError> {
        let Some(waiting) = &mut self.waiting else {
            return self.consume(&[token]);
        };
        let Some(rest) = waiting.watch(bytes) else {
            return Ok(());
        };
        self.waiting = None;
        if rest.is_empty() {
            return Ok(());
        }
        // The token that completed the trigger may reach beyond it. The grammar works on bytes, so
        // any split of those bytes into tokens will do. What does not fit is not held against it.
        let tokens: Vec<u32> = tokenize(&rest)
            .into_iter()
            .map(i32::cast_unsigned)
            .collect();
        match self.matcher.try_consume_tokens(&tokens) {
            Ok(_) => Ok(()),
            Err(error) => Err(RequestError::Constraint(first_lines(&error.to_string()))),
        }
    }

    /// True when the grammar allows nothing more.
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_none() && self.matcher.is_stopped()
    }

    fn consume(&mut self, tokens: &[i32]) -> Result<(), RequestError> {
        if self.matcher.is_stopped() {
            return Ok(());
        }
        let tokens: Vec<u32> = tokens.iter().copied().map(i32::cast_unsigned).collect();
        self.matcher
            .consume_tokens(&tokens)
            .map_err(|error| RequestError::Constraint(first_lines(&error.to_string())))
    }
}

impl Waiting {
    /// Adds output; once a trigger is in it, returns what stands behind the trigger.
    fn watch(&mut self, bytes: &[u8]) -> Option<String> {
        self.trail.push_str(&String::from_utf8_lossy(bytes));
        let found = self
            .triggers
            .iter()
            .filter_map(|trigger| Some(self.trail.find(trigger.as_str())? + trigger.len()))
            .min();
        if let Some(end) = found {
            return Some(self.trail.split_off(end));
        }
        let mut cut = self.trail.len().saturating_sub(TRAIL_BYTES);
        while !self.trail.is_char_boundary(cut) {
            cut += 1;
        }
        self.trail.drain(..cut);
        None
    }
}

/// llguidance's messages can hold the whole grammar, and with it the client's schema.
fn first_lines(message: &str) -> String {
    message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_found_over_tokens() {
        let mut waiting = Waiting {
            triggers: vec!["<call>".into()],
            trail: String::new(),
        };
        assert_eq!(waiting.watch("text ".repeat(200).as_bytes()), None);
        assert!(waiting.trail.len() <= TRAIL_BYTES);
        assert_eq!(waiting.watch(b"<ca"), None);
        assert_eq!(waiting.watch("ll>\n{".as_bytes()), Some("\n{".into()));
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(
            first_lines(&format!("{}\nsecret", "x".repeat(500))).len(),
            300
        );
    }
}
