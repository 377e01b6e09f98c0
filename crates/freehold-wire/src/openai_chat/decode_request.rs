//! OpenAI chat completions: a request body into the canonical request.

use bytes::Bytes;
use freehold_types::request::{
    Extra, Reasoning, Request, ResponseFormat, Sampling, Tool, ToolChoice,
};
use freehold_types::{Dialect, Error};
use serde_json::Value;

use super::decode_message::decode_message;
use crate::fields::{Fields, Path};
use crate::json::{self, Limits};
use crate::translate::raw_body;
use crate::validate;

const DIALECT: Dialect = Dialect::OpenaiChat;

pub(crate) fn decode_request(body: Bytes, limits: &Limits) -> Result<Request, Error> {
    let value = json::parse(&body, limits)?;
    let mut fields = Fields::new(value, Path::ROOT)?;
    let model = validate::model(&mut fields)?;
    let messages = decode_messages(&mut fields)?;
    let (stream, include_usage, stream_rest) = decode_stream_options(&mut fields)?;
    let sampling = decode_sampling(&mut fields)?;
    let reasoning = fields.string("reasoning_effort")?.map(|effort| Reasoning {
        effort: Some(effort),
        ..Reasoning::default()
    });
    let request = Request {
        dialect: DIALECT,
        model,
        messages,
        prompt: None,
        tools: decode_tools(&mut fields)?,
        tool_choice: decode_tool_choice(&mut fields)?,
        parallel_tool_calls: fields.boolean("parallel_tool_calls")?,
        response_format: decode_response_format(&mut fields)?,
        sampling,
        reasoning,
        stream,
        include_usage,
        user: fields.string("user")?,
        metadata: fields.object("metadata")?.unwrap_or_default(),
        extra: with_stream_rest(fields.rest(), stream_rest),
        raw: raw_body(body),
    };
    Ok(request)
}

fn decode_messages(fields: &mut Fields<'_>) -> Result<Vec<freehold_types::Message>, Error> {
    let values = fields.array("messages")?;
    let path = fields.at("messages");
    if values.is_empty() {
        return Err(path.invalid("must hold at least one message"));
    }
    let decode = |(index, value)| decode_message(value, path.index(index));
    values.into_iter().enumerate().map(decode).collect()
}

/// `stream`, `stream_options.include_usage`, and what else `stream_options` holds.
pub(crate) fn decode_stream_options(fields: &mut Fields<'_>) -> Result<(bool, bool, Extra), Error> {
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let Some(options) = fields.take("stream_options") else {
        return Ok((stream, false, Extra::new()));
    };
    let mut options = Fields::new(options, fields.at("stream_options"))?;
    let include_usage = options.boolean("include_usage")?.unwrap_or(false);
    Ok((stream, include_usage, options.rest()))
}

/// Puts unknown members of `stream_options` back where the encoder looks for them.
pub(crate) fn with_stream_rest(mut extra: Extra, rest: Extra) -> Extra {
    if !rest.is_empty() {
        extra.insert("stream_options".to_owned(), Value::Object(rest));
    }
    extra
}

/// The sampling fields that chat and legacy completions share.
pub(crate) fn decode_common_sampling(fields: &mut Fields<'_>) -> Result<Sampling, Error> {
    // llama.cpp's word and vLLM's word for the same penalty.
    let repetition_key = ["repetition_penalty", "repeat_penalty"]
        .into_iter()
        .find(|key| fields.peek(key).is_some())
        .unwrap_or("repetition_penalty");
    Ok(Sampling {
        temperature: validate::temperature(fields)?,
        top_p: validate::share(fields, "top_p")?,
        top_k: validate::top_k(fields)?,
        min_p: validate::share(fields, "min_p")?,
        frequency_penalty: validate::penalty(fields, "frequency_penalty")?,
        presence_penalty: validate::penalty(fields, "presence_penalty")?,
        repetition_penalty: fields.number(repetition_key, 0.0..=100.0)?,
        seed: fields.integer("seed", i64::MIN..=i64::MAX)?,
        stop: validate::stop(fields, "stop")?,
        n: validate::choices(fields)?,
        logit_bias: fields.object("logit_bias")?,
        ..Sampling::default()
    })
}

fn decode_sampling(fields: &mut Fields<'_>) -> Result<Sampling, Error> {
    let old = validate::max_tokens(fields, "max_tokens", 1)?;
    let new = validate::max_tokens(fields, "max_completion_tokens", 1)?;
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        return Err(fields
            .at("max_tokens")
            .invalid("and `max_completion_tokens` disagree; send one of them"));
    }
    Ok(Sampling {
        max_output_tokens: new.or(old),
        logprobs: fields.boolean("logprobs")?,
        top_logprobs: validate::top_logprobs(fields)?,
        ..decode_common_sampling(fields)?
    })
}

fn decode_tools(fields: &mut Fields<'_>) -> Result<Vec<Tool>, Error> {
    let values = fields.array("tools")?;
    let path = fields.at("tools");
    let decode = |(index, value)| decode_tool(value, path.index(index));
    values.into_iter().enumerate().map(decode).collect()
}

fn decode_tool(value: Value, path: Path<'_>) -> Result<Tool, Error> {
    let kind = value.get("type").and_then(Value::as_str);
    if value.is_object() && !matches!(kind, Some("function") | None) {
        return Ok(Tool::Unknown {
            dialect: DIALECT,
            value,
        });
    }
    let mut fields = Fields::new(value, path)?;
    fields.require_string("type")?;
    let function = fields.require("function")?;
    let function_path = fields.at("function");
    let mut function = Fields::new(function, function_path)?;
    let name = validate::name(&mut function, "name")?;
    let description = function.string("description")?;
    let parameters = function.object("parameters")?.map(Value::Object);
    let strict = function.boolean("strict")?;
    let inner = function.rest();
    let mut extra = fields.rest();
    if !inner.is_empty() {
        extra.insert("function".to_owned(), Value::Object(inner));
    }
    Ok(Tool::Function {
        name,
        description,
        parameters,
        strict,
        extra,
    })
}

fn decode_tool_choice(fields: &mut Fields<'_>) -> Result<Option<ToolChoice>, Error> {
    let Some(value) = fields.take("tool_choice") else {
        return Ok(None);
    };
    let path = fields.at("tool_choice");
    let choice = match &value {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(path.invalid("must be `none`, `auto`, `required` or an object")),
        },
        Value::Object(map) if map.get("type").and_then(Value::as_str) == Some("function") => {
            let name = map
                .get("function")
                .and_then(|function| function.get("name"));
            match name.and_then(Value::as_str) {
                Some(name) => ToolChoice::Function(name.to_owned()),
                None => return Err(path.key("function").key("name").invalid("must be a string")),
            }
        }
        Value::Object(_) => ToolChoice::Unknown {
            dialect: DIALECT,
            value,
        },
        other => return Err(path.wrong_type("a string or an object", other)),
    };
    Ok(Some(choice))
}

fn decode_response_format(fields: &mut Fields<'_>) -> Result<ResponseFormat, Error> {
    let Some(value) = fields.take("response_format") else {
        return Ok(ResponseFormat::Text);
    };
    let mut format = Fields::new(value, fields.at("response_format"))?;
    let kind = format.require_string("type")?;
    match kind.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => {
            let inner = format.require("json_schema")?;
            let mut schema = Fields::new(inner, format.at("json_schema"))?;
            Ok(ResponseFormat::JsonSchema {
                name: validate::name(&mut schema, "name")?,
                description: schema.string("description")?,
                schema: Value::Object(schema.object("schema")?.unwrap_or_default()),
                strict: schema.boolean("strict")?,
            })
        }
        _ => Err(format
            .at("type")
            .invalid("must be `text`, `json_object` or `json_schema`")),
    }
}
