//! Anthropic messages: a request body into the canonical request.

use bytes::Bytes;
use freehold_types::request::{
    Extra, Message, Reasoning, Request, ResponseFormat, Role, Sampling, Tool, ToolChoice,
};
use freehold_types::{Dialect, Error};
use serde_json::Value;

use super::decode_content::decode_content;
use crate::fields::{Fields, Path};
use crate::json::{self, Limits};
use crate::translate::raw_body;
use crate::validate;

const DIALECT: Dialect = Dialect::AnthropicMessages;

/// The name of an answer's schema, which OpenAI requires and Anthropic does not have.
const SCHEMA_NAME: &str = "response";

pub(crate) fn decode_request(body: Bytes, limits: &Limits) -> Result<Request, Error> {
    let request = decode_any(body, limits)?;
    if request.sampling.max_output_tokens.is_none() {
        let path = Path::ROOT.key("max_tokens");
        return Err(path
            .invalid("is required")
            .with_code("missing_required_parameter"));
    }
    Ok(request)
}

/// Decodes what messages and token counting have in common.
pub(crate) fn decode_any(body: Bytes, limits: &Limits) -> Result<Request, Error> {
    let value = json::parse(&body, limits)?;
    let mut fields = Fields::new(value, Path::ROOT)?;
    let model = validate::model(&mut fields)?;
    let messages = decode_messages(&mut fields)?;
    let (user, metadata) = decode_metadata(&mut fields)?;
    let (tool_choice, parallel_tool_calls) = decode_tool_choice(&mut fields)?;
    let output = decode_output(&mut fields)?;
    let reasoning = decode_thinking(&mut fields, output.effort)?;
    let sampling = Sampling {
        max_output_tokens: validate::max_tokens(&mut fields, "max_tokens", 1)?,
        temperature: validate::temperature(&mut fields)?,
        top_p: validate::share(&mut fields, "top_p")?,
        top_k: validate::top_k(&mut fields)?,
        stop: validate::stop(&mut fields, "stop_sequences")?,
        ..Sampling::default()
    };
    let tools = decode_tools(&mut fields)?;
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let mut extra = fields.rest();
    if !output.rest.is_empty() {
        extra.insert("output_config".to_owned(), Value::Object(output.rest));
    }
    Ok(Request {
        dialect: DIALECT,
        model,
        messages,
        prompt: None,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format: output.format,
        sampling,
        reasoning,
        stream,
        include_usage: false,
        user,
        metadata,
        extra,
        raw: raw_body(body),
    })
}

fn decode_messages(fields: &mut Fields<'_>) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    if let Some(system) = fields.take("system") {
        messages.push(Message {
            role: Role::System,
            parts: decode_content(system, &fields.at("system"))?,
            name: None,
            extra: Extra::new(),
        });
    }
    let values = fields.array("messages")?;
    let path = fields.at("messages");
    if values.is_empty() {
        return Err(path.invalid("must hold at least one message"));
    }
    for (index, value) in values.into_iter().enumerate() {
        messages.push(decode_message(value, path.index(index))?);
    }
    Ok(messages)
}

fn decode_message(value: Value, path: Path<'_>) -> Result<Message, Error> {
    let mut fields = Fields::new(value, path)?;
    let role = match fields.require_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => {
            let rule = "must be `user`, `assistant` or `system`";
            return Err(fields.at("role").invalid(rule));
        }
    };
    let content = fields.require("content")?;
    Ok(Message {
        role,
        parts: decode_content(content, &fields.at("content"))?,
        name: None,
        extra: fields.rest(),
    })
}

fn decode_metadata(fields: &mut Fields<'_>) -> Result<(Option<String>, Extra), Error> {
    let Some(metadata) = fields.take("metadata") else {
        return Ok((None, Extra::new()));
    };
    let mut metadata = Fields::new(metadata, fields.at("metadata"))?;
    let user = metadata.string("user_id")?;
    Ok((user, metadata.rest()))
}

fn decode_tools(fields: &mut Fields<'_>) -> Result<Vec<Tool>, Error> {
    let values = fields.array("tools")?;
    let path = fields.at("tools");
    let decode = |(index, value)| decode_tool(value, path.index(index));
    values.into_iter().enumerate().map(decode).collect()
}

fn decode_tool(value: Value, path: Path<'_>) -> Result<Tool, Error> {
    match value.get("type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind == "custom" => {}
        // The vendor's own tools have versioned types.
        Some(Value::String(_)) => {
            return Ok(Tool::Unknown {
                dialect: DIALECT,
                value,
            });
        }
        Some(other) => return Err(path.key("type").wrong_type("a string", other)),
    }
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let schema = fields.object("input_schema")?;
    let Some(schema) = schema else {
        return Err(fields.at("input_schema").invalid("is required"));
    };
    Ok(Tool::Function {
        name: validate::name(&mut fields, "name")?,
        description: fields.string("description")?,
        parameters: Some(Value::Object(schema)),
        strict: fields.boolean("strict")?,
        extra: fields.rest(),
    })
}

/// The choice, and whether tools may be called in parallel.
fn decode_tool_choice(
    fields: &mut Fields<'_>,
) -> Result<(Option<ToolChoice>, Option<bool>), Error> {
    let Some(value) = fields.take("tool_choice") else {
        return Ok((None, None));
    };
    let whole = value.clone();
    let mut choice = Fields::new(value, fields.at("tool_choice"))?;
    let disable = choice.boolean("disable_parallel_tool_use")?;
    let decoded = match choice.require_string("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(choice.require_string("name")?),
        _ => ToolChoice::Unknown {
            dialect: DIALECT,
            value: whole,
        },
    };
    Ok((Some(decoded), disable.map(|disable| !disable)))
}

/// What `output_config` says.
struct Output {
    format: ResponseFormat,
    effort: Option<String>,
    rest: Extra,
}

fn decode_output(fields: &mut Fields<'_>) -> Result<Output, Error> {
    let mut output = Output {
        format: ResponseFormat::Text,
        effort: None,
        rest: Extra::new(),
    };
    if let Some(config) = fields.take("output_config") {
        let mut config = Fields::new(config, fields.at("output_config"))?;
        output.effort = config.string("effort")?;
        if let Some(format) = config.take("format") {
            output.format = decode_format(format, config.at("format"))?;
        }
        output.rest = config.rest();
    }
    // The beta's word for `output_config.format`.
    if let Some(format) = fields.take("output_format") {
        output.format = decode_format(format, fields.at("output_format"))?;
    }
    Ok(output)
}

fn decode_format(value: Value, path: Path<'_>) -> Result<ResponseFormat, Error> {
    let mut format = Fields::new(value, path)?;
    match format.require_string("type")?.as_str() {
        "json_schema" => match format.object("schema")? {
            Some(schema) => Ok(ResponseFormat::JsonSchema {
                name: SCHEMA_NAME.to_owned(),
                description: None,
                schema: Value::Object(schema),
                strict: None,
            }),
            None => Err(format.at("schema").invalid("is required")),
        },
        _ => Err(format.at("type").invalid("must be `json_schema`")),
    }
}

fn decode_thinking(
    fields: &mut Fields<'_>,
    effort: Option<String>,
) -> Result<Option<Reasoning>, Error> {
    let Some(value) = fields.take("thinking") else {
        return Ok(effort.map(|effort| Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        }));
    };
    let mut thinking = Fields::new(value, fields.at("thinking"))?;
    let mode = thinking.require_string("type")?;
    let budget = thinking.integer("budget_tokens", 1..=10_000_000)?;
    if mode == "enabled" && budget.is_none() {
        return Err(thinking.at("budget_tokens").invalid("is required"));
    }
    Ok(Some(Reasoning {
        effort,
        mode: Some(mode),
        budget_tokens: budget.and_then(|budget| u64::try_from(budget).ok()),
        extra: thinking.rest(),
    }))
}
