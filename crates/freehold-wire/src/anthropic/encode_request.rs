//! Anthropic messages: the canonical request into a request body.

use freehold_types::request::{Request, ResponseFormat, Sampling, Tool, ToolChoice};
use freehold_types::{Dialect, Error};
use serde_json::{Map, Value, json};

use super::encode_content::encode_messages;
use super::reasoning::put_reasoning;
use crate::body::{number, put};
use crate::fields::Path;
use crate::openai_chat::encode_request::drop_fields;
use crate::options::{EncodeOptions, Encoded};
use crate::translate::{ANTHROPIC_FIELDS, Fate, NO_WORD, Splice, Translation, is_empty};

pub(crate) const DIALECT: Dialect = Dialect::AnthropicMessages;

pub(crate) fn encode_request(
    request: &Request,
    options: &EncodeOptions<'_>,
) -> Result<Encoded, Error> {
    if let Some(raw) = request.raw.as_ref().filter(|_| request.dialect == DIALECT) {
        let mut splice = Splice::new(raw, options.model)?;
        let mut gone = options.quirks.drop_fields.clone();
        gone.retain(|key| key != "model" && splice.has(key));
        splice.remove(&gone);
        return Ok(Encoded {
            body: splice.apply(),
            usage_was_added: false,
            left_out: gone,
        });
    }
    let mut translation = Translation::new(request, DIALECT);
    let mut body = build(request, options, &mut translation)?;
    drop_fields(&mut body, options.quirks, &mut translation);
    Ok(Encoded {
        body: Value::Object(body).to_string().into(),
        usage_was_added: false,
        left_out: translation.left_out,
    })
}

/// Builds the body from the canonical request.
pub(crate) fn build(
    request: &Request,
    options: &EncodeOptions<'_>,
    translation: &mut Translation,
) -> Result<Map<String, Value>, Error> {
    if request.prompt.is_some() {
        return Err(Path::ROOT
            .key("prompt")
            .unsupported("is a raw prompt; the model's server takes only chat messages"));
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), options.model.into());
    let bound = request.sampling.max_output_tokens;
    let bound = bound.unwrap_or_else(|| u64::from(options.quirks.default_max_tokens));
    body.insert("max_tokens".to_owned(), bound.into());
    encode_messages(request, translation, &mut body)?;
    put_tools(request, translation, &mut body)?;
    put_sampling(&request.sampling, translation, &mut body)?;
    put_reasoning(request, options.quirks, translation, &mut body);
    put_response_format(&request.response_format, &mut body)?;
    put_metadata(request, translation, &mut body);
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    put_extras(request, translation, &mut body)?;
    Ok(body)
}

/// Puts a field into `output_config`.
pub(crate) fn put_output(body: &mut Map<String, Value>, key: &str, value: Value) {
    let config = body
        .entry("output_config")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(config) = config {
        config.insert(key.to_owned(), value);
    }
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
    let has_tools = !tools.is_empty();
    if has_tools {
        body.insert("tools".to_owned(), tools.into());
    }
    let mut choice = match &request.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(json!({"type": "auto"})),
        Some(ToolChoice::None) => Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => Some(json!({"type": "any"})),
        Some(ToolChoice::Function(name)) => Some(json!({"type": "tool", "name": name})),
        Some(ToolChoice::Unknown { dialect, value }) if *dialect == DIALECT => Some(value.clone()),
        Some(ToolChoice::Unknown { .. }) => {
            return Err(Path::ROOT.key("tool_choice").unsupported(NO_WORD));
        }
    };
    // Parallel calls are the default; without tools there is nothing to say about them.
    let disable = request.parallel_tool_calls.map(|parallel| !parallel);
    let no_calls = request.tool_choice == Some(ToolChoice::None);
    let says_something = translation.same || disable == Some(true);
    if let Some(disable) = disable
        && has_tools
        && !no_calls
        && says_something
    {
        let choice = choice.get_or_insert_with(|| json!({"type": "auto"}));
        if let Value::Object(choice) = choice {
            choice.insert("disable_parallel_tool_use".to_owned(), disable.into());
        }
    }
    // OpenAI takes `tool_choice: none` without tools; Anthropic refuses any choice then.
    let choice = choice.filter(|_| has_tools || !no_calls);
    put(body, "tool_choice", choice);
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
            return Err(path.unsupported("is not a function; the model's server takes only those"));
        }
    };
    let mut encoded = Map::new();
    encoded.insert("name".to_owned(), name.clone().into());
    put(&mut encoded, "description", description.clone());
    // OpenAI leaves the schema out, or empty, for a function without arguments.
    let schema = match parameters {
        Some(schema) if translation.same || !is_empty(schema) => schema.clone(),
        _ => json!({"type": "object", "properties": {}}),
    };
    encoded.insert("input_schema".to_owned(), schema);
    let strict = strict.filter(|strict| translation.same || *strict);
    put(&mut encoded, "strict", strict);
    translation.extras(extra, path, &mut encoded, |key, _| match key {
        // What the function's own object held beside the known fields.
        "function" => Fate::Refuse,
        "strict" | "description" => Fate::Foreign,
        _ => Fate::Pass,
    })?;
    Ok(encoded.into())
}

fn put_sampling(
    sampling: &Sampling,
    translation: &Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    let refuse = |key: &str| Err(Path::ROOT.key(key).unsupported(NO_WORD));
    let says = |value: Option<f64>, nothing: f64| value.is_some_and(|value| value != nothing);
    if let Some(temperature) = sampling.temperature
        && temperature > 1.0
        && !translation.same
    {
        let reason = "must not be greater than 1 in the dialect of the model's server";
        return Err(Path::ROOT.key("temperature").unsupported(reason));
    }
    match sampling {
        Sampling { n: Some(2..), .. } => return refuse("n"),
        Sampling { seed: Some(_), .. } => return refuse("seed"),
        Sampling {
            logprobs: Some(true),
            ..
        } => return refuse("logprobs"),
        Sampling {
            top_logprobs: Some(1..),
            ..
        } => return refuse("top_logprobs"),
        Sampling {
            logit_bias: Some(bias),
            ..
        } if !bias.is_empty() => return refuse("logit_bias"),
        _ => {}
    }
    let numbers = [
        ("frequency_penalty", sampling.frequency_penalty, 0.0),
        ("presence_penalty", sampling.presence_penalty, 0.0),
        ("min_p", sampling.min_p, 0.0),
        ("repetition_penalty", sampling.repetition_penalty, 1.0),
    ];
    for (key, value, nothing) in numbers {
        if says(value, nothing) {
            return refuse(key);
        }
    }
    put(body, "temperature", sampling.temperature.map(number));
    put(body, "top_p", sampling.top_p.map(number));
    put(body, "top_k", sampling.top_k);
    if !sampling.stop.is_empty() {
        body.insert("stop_sequences".to_owned(), sampling.stop.clone().into());
    }
    Ok(())
}

fn put_response_format(
    format: &ResponseFormat,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    match format {
        ResponseFormat::Text => Ok(()),
        ResponseFormat::JsonObject => {
            let path = Path::ROOT.key("response_format");
            Err(path.unsupported(
                "of type `json_object` cannot be expressed in the dialect of the model's server; \
                 give a `json_schema`",
            ))
        }
        ResponseFormat::JsonSchema {
            description,
            schema,
            ..
        } => {
            let mut schema = schema.clone();
            // The name is only a label, but the description is meant for the model; the schema
            // has room for it.
            if let (Some(text), Value::Object(schema)) = (description, &mut schema)
                && !schema.contains_key("description")
            {
                schema.insert("description".to_owned(), text.clone().into());
            }
            let format = json!({"type": "json_schema", "schema": schema});
            put_output(body, "format", format);
            Ok(())
        }
    }
}

fn put_metadata(request: &Request, translation: &mut Translation, body: &mut Map<String, Value>) {
    let mut metadata = Map::new();
    if translation.same {
        metadata.clone_from(&request.metadata);
    } else {
        // Labels for the vendor's own bookkeeping; the dialect knows only the user.
        let path = Path::ROOT.key("metadata");
        for key in request.metadata.keys() {
            translation.leave_out(&path.key(key));
        }
    }
    // OpenAI renamed `user` to `safety_identifier`.
    let identifier = request
        .extra
        .get("safety_identifier")
        .and_then(Value::as_str);
    let identifier = identifier.filter(|_| !translation.same);
    let user = request.user.as_deref().or(identifier);
    if request.user.is_some() && identifier.is_some() {
        translation.leave_out(&Path::ROOT.key("safety_identifier"));
    }
    put(&mut metadata, "user_id", user);
    if !metadata.is_empty() {
        body.insert("metadata".to_owned(), metadata.into());
    }
}

fn put_extras(
    request: &Request,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    let mut extra = request.extra.clone();
    if translation.same {
        // Unknown members of `output_config` go beside the known ones.
        if let Some(Value::Object(rest)) = extra.shift_remove("output_config") {
            for (key, value) in rest {
                put_output(body, &key, value);
            }
        }
    } else if let Some(tier) = extra.get("service_tier") {
        let tier = match tier.as_str() {
            Some("auto") => "auto",
            Some("default") => "standard_only",
            _ => return Err(Path::ROOT.key("service_tier").unsupported(NO_WORD)),
        };
        body.insert("service_tier".to_owned(), tier.into());
    }
    translation.extras(&extra, &Path::ROOT, body, openai_field_fate)
}

/// What becomes of OpenAI's own top-level fields.
fn openai_field_fate(key: &str, value: &Value) -> Fate {
    match key {
        // Written above in Anthropic's words.
        "service_tier" | "safety_identifier" => Fate::Nothing,
        "verbosity" if value == "medium" => Fate::Nothing,
        "modalities" if *value == json!(["text"]) => Fate::Nothing,
        "prediction"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "prompt_cache_options"
        | "store"
        | "stream_options"
        | "audio"
        | "modalities"
        | "moderation"
        | "web_search_options"
        | "verbosity"
        | "functions"
        | "function_call"
            if is_empty(value) && !is_object(value) =>
        {
            Fate::Nothing
        }
        "prediction"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "prompt_cache_options"
        | "store"
        | "stream_options" => Fate::Hint,
        "audio" | "modalities" | "moderation" | "web_search_options" | "verbosity"
        | "functions" | "function_call" => Fate::Refuse,
        _ if ANTHROPIC_FIELDS.contains(&key) => Fate::Foreign,
        _ => Fate::Pass,
    }
}

/// `web_search_options: {}` asks for a search; an empty object says something.
fn is_object(value: &Value) -> bool {
    value.is_object()
}
