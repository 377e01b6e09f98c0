//! Legacy completions: whole answers, both ways.

use freehold_types::answer::Choice;
use freehold_types::request::{Extra, Part};
use freehold_types::{Dialect, Error, FinishReason, Response};
use serde_json::{Map, Value, json};

use super::logprobs::{self, LegacyLogprobs};
use crate::error_body::garbled;
use crate::members::Members;
use crate::openai_chat::chunk::{finish_reason, finish_word};
use crate::openai_chat::decode_response::{decode_envelope, decode_head, place};
use crate::openai_chat::usage::encode_usage;
use crate::options::AnswerContext;

pub(crate) fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let (mut members, choices) = decode_envelope(Dialect::OpenaiCompletions, body)?;
    let mut response = decode_head(&mut members)?;
    for choice in choices {
        let Some(mut choice) = Members::within(choice)? else {
            return Err(garbled("a choice is not an object"));
        };
        let index = choice.count("index").unwrap_or(0);
        let Some(text) = choice.text("text")? else {
            return Err(garbled("a choice has no `text`"));
        };
        let stop_sequence = choice.text("stop_reason")?;
        let finish = choice.text("finish_reason")?;
        let logprobs = choice.take("logprobs");
        let logprobs =
            logprobs.and_then(|text| serde_json::from_str::<Option<LegacyLogprobs>>(text).ok());
        let decoded = Choice {
            parts: vec![Part::text(text)],
            logprobs: logprobs.flatten().unwrap_or_default().into_canonical(),
            finish: finish.map(|word| finish_reason(&word, stop_sequence.as_deref())),
            stop_sequence,
            extra: Extra::new(),
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        place(&mut response.choices, index, decoded)?;
    }
    response.extra = members.rest()?;
    Ok(response)
}

pub(crate) fn encode_response(response: &Response, context: &AnswerContext) -> Value {
    let choices = (0_u32..).zip(&response.choices);
    let choices: Vec<Value> = choices
        .map(|(index, choice)| encode_choice(index, choice))
        .collect();
    let mut body = Map::new();
    body.insert("id".to_owned(), context.shown_id(&response.id).into());
    body.insert("object".to_owned(), "text_completion".into());
    body.insert("created".to_owned(), context.created_s.into());
    body.insert(
        "model".to_owned(),
        context.shown_model(&response.model).into(),
    );
    body.insert("choices".to_owned(), choices.into());
    if let Some(usage) = &response.usage {
        body.insert("usage".to_owned(), encode_usage(usage));
    }
    for (key, value) in &response.extra {
        body.entry(key).or_insert_with(|| value.clone());
    }
    body.into()
}

fn encode_choice(index: u32, choice: &Choice) -> Value {
    let mut text = String::new();
    for part in &choice.parts {
        if let Part::Text { text: more, .. } | Part::Refusal { text: more } = part {
            text.push_str(more);
        }
    }
    let logprobs = (!choice.logprobs.is_empty()).then(|| logprobs::encode(&choice.logprobs, 0).0);
    // An answer that was cut short has no reason; `length` is the only word for "there is more".
    let finish = choice.finish.as_ref().unwrap_or(&FinishReason::Length);
    json!({
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": legacy_finish_word(finish),
    })
}

/// The legacy dialect has no word for tool calls.
pub(crate) fn legacy_finish_word(reason: &FinishReason) -> &str {
    match finish_word(reason) {
        "tool_calls" => "stop",
        word => word,
    }
}
