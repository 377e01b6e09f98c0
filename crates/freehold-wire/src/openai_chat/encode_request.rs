//! OpenAI chat completions: the canonical request into a request body.

use freehold_types::request::{
    Message, Reasoning, Request, ResponseFormat, Role, Sampling, Tool, ToolChoice,
};
use freehold_types::{Dialect, Error};
use serde_json::{Map, Value, json};

use super::encode_message::encode_messages;
use crate::body::{number, put};
use crate::fields::Path;
use crate::options::{EncodeOptions, Encoded, MaxTokensField, Quirks};
use crate::translate::{Fate, NO_WORD, OPENAI_FIELDS, Splice, Translation, is_empty};

const DIALECT: Dialect = Dialect::OpenaiChat;

pub(crate) fn encode_request(
    request: &Request,
    options: &EncodeOptions<'_>,
) -> Result<Encoded, Error> {
    if request.prompt.is_some() {
        return Err(Path::ROOT
            .key("prompt")
            .unsupported("is a raw prompt; the model's server takes only chat messages"));
    }
    if request.dialect == DIALECT
        && let Some(raw) = &request.raw
        && !must_rebuild(request, options.quirks)
    {
        return splice(request, Splice::new(raw, options.model)?, options);
    }
    let mut translation = Translation::new(request, DIALECT);
    let mut body = Map::new();
    body.insert("model".to_owned(), options.model.into());
    let messages = encode_messages(request, options.quirks, &mut translation)?;
    body.insert("messages".to_owned(), messages.into());
    put_tools(request, &mut translation, &mut body)?;
    put_response_format(request, &translation, &mut body);
    put_sampling(&request.sampling, options.quirks, &translation, &mut body)?;
    put_max_tokens(&request.sampling, options.quirks, &mut body);
    put_reasoning(request.reasoning.as_ref(), &mut translation, &mut body)?;
    put(&mut body, "user", request.user.clone());
    if !request.metadata.is_empty() {
        body.insert("metadata".to_owned(), request.metadata.clone().into());
    }
    put_extras(request, &mut translation, &mut body)?;
    let usage_was_added = put_stream(request, options, &mut body);
    drop_fields(&mut body, options.quirks, &mut translation);
    Ok(Encoded {
        body: Value::Object(body).to_string().into(),
        usage_was_added,
        left_out: translation.left_out,
    })
}

/// True when the upstream's quirks need a change that replacing single bytes cannot make.
fn must_rebuild(request: &Request, quirks: &Quirks) -> bool {
    let developer = |message: &Message| message.role == Role::Developer;
    !quirks.developer_role && request.messages.iter().any(developer)
}

/// Passes the client's own bytes on; OpenAI's chat and legacy completions share this.
pub(crate) fn splice(
    request: &Request,
    mut splice: Splice<'_>,
    options: &EncodeOptions<'_>,
) -> Result<Encoded, Error> {
    const NEW: &str = "max_completion_tokens";
    const OLD: &str = "max_tokens";
    let quirks = options.quirks;
    let mut gone: Vec<String> = quirks.drop_fields.clone();
    gone.retain(|key| key != "model" && splice.has(key));
    let left_out = gone.clone();
    let dropped = |gone: &[String], key: &str| gone.iter().any(|other| other == key);
    if quirks.max_tokens_field == MaxTokensField::MaxTokens
        && splice.has(NEW)
        && !dropped(&gone, NEW)
    {
        // Both say the same, or decoding had failed.
        if splice.has(OLD) && !dropped(&gone, OLD) {
            gone.push(NEW.to_owned());
        } else {
            splice.rename(NEW, OLD);
        }
    }
    let usage_was_added = adds_usage(request, options) && !dropped(&gone, "stream_options");
    if usage_was_added {
        splice.include_usage();
    }
    splice.remove(&gone);
    Ok(Encoded {
        body: splice.apply(),
        usage_was_added,
        left_out,
    })
}

fn adds_usage(request: &Request, options: &EncodeOptions<'_>) -> bool {
    let wanted = options.request_usage && !request.include_usage;
    request.stream && wanted && options.quirks.stream_usage
}

/// Writes `stream` and `stream_options`; true when the usage chunk was added.
pub(crate) fn put_stream(
    request: &Request,
    options: &EncodeOptions<'_>,
    body: &mut Map<String, Value>,
) -> bool {
    let usage_was_added = adds_usage(request, options);
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    let include = usage_was_added || (request.include_usage && options.quirks.stream_usage);
    if include {
        let stream_options = body
            .entry("stream_options")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(stream_options) = stream_options {
            stream_options.insert("include_usage".to_owned(), true.into());
        }
    }
    usage_was_added
}

/// Leaves out what the upstream is known to refuse.
pub(crate) fn drop_fields(
    body: &mut Map<String, Value>,
    quirks: &Quirks,
    translation: &mut Translation,
) {
    for key in &quirks.drop_fields {
        if key != "model" && body.shift_remove(key).is_some() {
            translation.leave_out(&Path::ROOT.key(key));
        }
    }
}

/// Writes the sampling fields that chat and legacy completions share.
pub(crate) fn put_common_sampling(
    sampling: &Sampling,
    quirks: &Quirks,
    translation: &Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    put(body, "temperature", sampling.temperature.map(number));
    put(body, "top_p", sampling.top_p.map(number));
    put(
        body,
        "frequency_penalty",
        sampling.frequency_penalty.map(number),
    );
    put(
        body,
        "presence_penalty",
        sampling.presence_penalty.map(number),
    );
    put(body, "seed", sampling.seed);
    put(body, "n", sampling.n);
    put(body, "logit_bias", sampling.logit_bias.clone());
    if !sampling.stop.is_empty() {
        body.insert("stop".to_owned(), sampling.stop.clone().into());
    }
    let extended = [
        ("top_k", sampling.top_k.map(Value::from), 0.0),
        ("min_p", sampling.min_p.map(number), 0.0),
        (
            "repetition_penalty",
            sampling.repetition_penalty.map(number),
            1.0,
        ),
    ];
    for (key, value, nothing) in extended {
        let Some(value) = value else { continue };
        if translation.same || quirks.extended_sampling {
            body.insert(key.to_owned(), value);
        } else if value.as_f64() != Some(nothing) {
            return Err(Path::ROOT.key(key).unsupported(NO_WORD));
        }
    }
    Ok(())
}

fn put_sampling(
    sampling: &Sampling,
    quirks: &Quirks,
    translation: &Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    put_common_sampling(sampling, quirks, translation, body)?;
    put(body, "logprobs", sampling.logprobs);
    put(body, "top_logprobs", sampling.top_logprobs);
    Ok(())
}

fn put_max_tokens(sampling: &Sampling, quirks: &Quirks, body: &mut Map<String, Value>) {
    let key = match quirks.max_tokens_field {
        MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        MaxTokensField::MaxTokens => "max_tokens",
    };
    put(body, key, sampling.max_output_tokens);
}

fn put_tools(
    request: &Request,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    let tools_path = Path::ROOT.key("tools");
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        tools.push(encode_tool(tool, &tools_path.index(index), translation)?);
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), tools.into());
    }
    let choice = match &request.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some("auto".into()),
        Some(ToolChoice::None) => Some("none".into()),
        Some(ToolChoice::Required) => Some("required".into()),
        Some(ToolChoice::Function(name)) => {
            Some(json!({"type": "function", "function": {"name": name}}))
        }
        Some(ToolChoice::Unknown { dialect, value }) if *dialect == DIALECT => Some(value.clone()),
        Some(ToolChoice::Unknown { .. }) => {
            return Err(Path::ROOT.key("tool_choice").unsupported(NO_WORD));
        }
    };
    put(body, "tool_choice", choice);
    put(body, "parallel_tool_calls", request.parallel_tool_calls);
    Ok(())
}

fn encode_tool(
    tool: &Tool,
    path: &Path<'_>,
    translation: &mut Translation,
) -> Result<Value, Error> {
    let (name, description, parameters, strict, extra) = match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            extra,
        } => (name, description, parameters, strict, extra),
        Tool::Unknown { dialect, value } if *dialect == DIALECT => return Ok(value.clone()),
        Tool::Unknown { .. } => {
            return Err(path.unsupported("is a tool that only its own vendor runs"));
        }
    };
    let mut function = Map::new();
    function.insert("name".to_owned(), name.clone().into());
    put(&mut function, "description", description.clone());
    put(&mut function, "parameters", parameters.clone());
    put(&mut function, "strict", *strict);
    let mut extra = extra.clone();
    if translation.same
        && let Some(Value::Object(inner)) = extra.shift_remove("function")
    {
        function.extend(inner);
    }
    let mut encoded = Map::new();
    encoded.insert("type".to_owned(), "function".into());
    encoded.insert("function".to_owned(), function.into());
    translation.extras(&extra, path, &mut encoded, anthropic_tool_fate)?;
    Ok(encoded.into())
}

/// What becomes of the fields that Anthropic's tools have on top.
fn anthropic_tool_fate(key: &str, value: &Value) -> Fate {
    match key {
        "defer_loading" | "input_examples" if is_empty(value) => Fate::Nothing,
        "allowed_callers" if is_empty(value) || *value == json!(["direct"]) => Fate::Nothing,
        "cache_control" | "eager_input_streaming" => Fate::Hint,
        "defer_loading" | "input_examples" | "allowed_callers" => Fate::Refuse,
        _ => Fate::Pass,
    }
}

fn put_response_format(
    request: &Request,
    translation: &Translation,
    body: &mut Map<String, Value>,
) {
    let format = match &request.response_format {
        ResponseFormat::Text => return,
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            let mut inner = Map::new();
            inner.insert("name".to_owned(), name.clone().into());
            put(&mut inner, "description", description.clone());
            inner.insert("schema".to_owned(), schema.clone());
            // Anthropic always enforces the schema; OpenAI only does when it is told to.
            let strict = strict.or_else(|| (!translation.same).then_some(true));
            put(&mut inner, "strict", strict);
            json!({"type": "json_schema", "json_schema": inner})
        }
    };
    body.insert("response_format".to_owned(), format);
}

fn put_reasoning(
    reasoning: Option<&Reasoning>,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    let Some(reasoning) = reasoning else {
        return Ok(());
    };
    // A budget of thinking tokens is a finer word for the same wish. Without either, a model that
    // may think (`adaptive`) or need not (`disabled`) does here what it does by default.
    let from_budget = reasoning.budget_tokens.map(|budget| match budget {
        0..=2_048 => "low",
        2_049..=12_288 => "medium",
        _ => "high",
    });
    let effort = reasoning.effort.as_deref().or(from_budget);
    put(body, "reasoning_effort", effort);
    if reasoning.effort.is_some() && reasoning.budget_tokens.is_some() {
        translation.leave_out(&Path::ROOT.key("thinking").key("budget_tokens"));
    }
    let path = Path::ROOT.key("thinking");
    let mut rest = Map::new();
    translation.extras(&reasoning.extra, &path, &mut rest, |key, _| match key {
        "display" => Fate::Hint,
        _ => Fate::Refuse,
    })
}

fn put_extras(
    request: &Request,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    if !translation.same
        && let Some(tier) = request.extra.get("service_tier")
    {
        let tier = match tier.as_str() {
            Some("auto") => "auto",
            Some("standard_only") => "default",
            _ => return Err(Path::ROOT.key("service_tier").unsupported(NO_WORD)),
        };
        body.insert("service_tier".to_owned(), tier.into());
    }
    translation.extras(&request.extra, &Path::ROOT, body, anthropic_field_fate)
}

/// What becomes of Anthropic's own top-level fields.
fn anthropic_field_fate(key: &str, value: &Value) -> Fate {
    match key {
        // Written above in OpenAI's words.
        "service_tier" => Fate::Nothing,
        "speed" if value == "standard" => Fate::Nothing,
        "cache_control" | "diagnostics" | "speed" | "container" | "mcp_servers"
        | "inference_geo" | "user_profile_id" | "workspace_id" | "context_management"
            if is_empty(value) =>
        {
            Fate::Nothing
        }
        "cache_control" | "diagnostics" | "speed" => Fate::Hint,
        "context_management" if only_clears_thinking(value) => Fate::Hint,
        "container" | "mcp_servers" | "inference_geo" | "user_profile_id" | "workspace_id"
        | "context_management" => Fate::Refuse,
        _ if OPENAI_FIELDS.contains(&key) => Fate::Foreign,
        _ => Fate::Pass,
    }
}

/// Earlier thinking is not sent to OpenAI servers anyway, so asking to clear it asks for nothing.
fn only_clears_thinking(management: &Value) -> bool {
    let edits = management.get("edits").and_then(Value::as_array);
    edits.is_some_and(|edits| {
        edits.iter().all(|edit| {
            let kind = edit.get("type").and_then(Value::as_str);
            kind.is_some_and(|kind| kind.starts_with("clear_thinking"))
        })
    })
}
