//! Legacy completions: requests, both ways.

use bytes::Bytes;
use freehold_types::request::{Prompt, Request, ResponseFormat, Sampling};
use freehold_types::{Dialect, Error};
use serde_json::{Map, Value};

use crate::body::put;
use crate::fields::{Fields, Path};
use crate::json::{self, Limits};
use crate::openai_chat::decode_request::{
    decode_common_sampling, decode_stream_options, with_stream_rest,
};
use crate::openai_chat::encode_request::{drop_fields, put_common_sampling, put_stream, splice};
use crate::options::{EncodeOptions, Encoded};
use crate::translate::{Fate, Splice, Translation, raw_body};
use crate::validate;

const DIALECT: Dialect = Dialect::OpenaiCompletions;
const PROMPTS_MAX: usize = 2_048;
/// The most alternatives that the legacy dialect tells.
const LOGPROBS_MAX: i64 = 5;

pub(crate) fn decode_request(body: Bytes, limits: &Limits) -> Result<Request, Error> {
    let value = json::parse(&body, limits)?;
    let mut fields = Fields::new(value, Path::ROOT)?;
    let model = validate::model(&mut fields)?;
    let prompt = decode_prompt(&mut fields)?;
    let (stream, include_usage, stream_rest) = decode_stream_options(&mut fields)?;
    let logprobs = fields.integer("logprobs", 0..=LOGPROBS_MAX)?;
    let sampling = Sampling {
        max_output_tokens: validate::max_tokens(&mut fields, "max_tokens", 0)?,
        logprobs: logprobs.map(|_| true),
        top_logprobs: logprobs.and_then(|top| u32::try_from(top).ok()),
        ..decode_common_sampling(&mut fields)?
    };
    Ok(Request {
        dialect: DIALECT,
        model,
        messages: Vec::new(),
        prompt: Some(prompt),
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        response_format: ResponseFormat::Text,
        sampling,
        reasoning: None,
        stream,
        include_usage,
        user: fields.string("user")?,
        metadata: fields.object("metadata")?.unwrap_or_default(),
        extra: with_stream_rest(fields.rest(), stream_rest),
        raw: raw_body(body),
    })
}

fn decode_prompt(fields: &mut Fields<'_>) -> Result<Prompt, Error> {
    let value = fields.require("prompt")?;
    let path = fields.at("prompt");
    let items = match value {
        Value::String(text) => return Ok(Prompt::Text(text)),
        Value::Array(items) => items,
        other => return Err(path.wrong_type("a string or an array", &other)),
    };
    match items.first() {
        None => Err(path.invalid("must not be empty")),
        Some(Value::String(_)) => each(items, &path, |item, path| match item {
            Value::String(text) => Ok(text),
            other => Err(path.wrong_type("a string", &other)),
        })
        .map(Prompt::Texts),
        Some(Value::Array(_)) => each(items, &path, |item, path| match item {
            Value::Array(tokens) => tokens_of(tokens, path),
            other => Err(path.wrong_type("an array of token ids", &other)),
        })
        .map(Prompt::TokenLists),
        Some(_) => tokens_of(items, &path).map(Prompt::Tokens),
    }
}

fn each<T>(
    items: Vec<Value>,
    path: &Path<'_>,
    read: impl Fn(Value, &Path<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    if items.len() > PROMPTS_MAX {
        let rule = format_args!("must not hold more than {PROMPTS_MAX} prompts");
        return Err(path.invalid(rule).with_code("out_of_range"));
    }
    let items = items.into_iter().enumerate();
    items
        .map(|(index, item)| read(item, &path.index(index)))
        .collect()
}

fn tokens_of(tokens: Vec<Value>, path: &Path<'_>) -> Result<Vec<u32>, Error> {
    if tokens.is_empty() {
        return Err(path.invalid("must not be empty"));
    }
    let tokens = tokens.into_iter().enumerate();
    tokens
        .map(|(index, token)| {
            let id = token.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| path.index(index).invalid("must be a token id"))
        })
        .collect()
}

pub(crate) fn encode_request(
    request: &Request,
    options: &EncodeOptions<'_>,
) -> Result<Encoded, Error> {
    let Some(prompt) = &request.prompt else {
        return Err(Path::ROOT
            .key("messages")
            .unsupported("are a conversation; the model's server takes only a raw prompt"));
    };
    if let Some(raw) = request.raw.as_ref().filter(|_| request.dialect == DIALECT) {
        return splice(request, Splice::new(raw, options.model)?, options);
    }
    let mut translation = Translation::new(request, DIALECT);
    let mut body = Map::new();
    body.insert("model".to_owned(), options.model.into());
    let prompt = match prompt {
        Prompt::Text(text) => text.clone().into(),
        Prompt::Texts(texts) => texts.clone().into(),
        Prompt::Tokens(tokens) => tokens.clone().into(),
        Prompt::TokenLists(lists) => lists.clone().into(),
    };
    body.insert("prompt".to_owned(), prompt);
    let sampling = &request.sampling;
    put_common_sampling(sampling, options.quirks, &translation, &mut body)?;
    // The legacy dialect never learned `max_completion_tokens`.
    put(&mut body, "max_tokens", sampling.max_output_tokens);
    let logprobs = sampling.logprobs.unwrap_or(false);
    put(
        &mut body,
        "logprobs",
        logprobs.then(|| sampling.top_logprobs.unwrap_or(0)),
    );
    put(&mut body, "user", request.user.clone());
    if !request.metadata.is_empty() {
        body.insert("metadata".to_owned(), request.metadata.clone().into());
    }
    translation.extras(&request.extra, &Path::ROOT, &mut body, |_, _| Fate::Pass)?;
    let usage_was_added = put_stream(request, options, &mut body);
    drop_fields(&mut body, options.quirks, &mut translation);
    Ok(Encoded {
        body: Value::Object(body).to_string().into(),
        usage_was_added,
        left_out: translation.left_out,
    })
}
