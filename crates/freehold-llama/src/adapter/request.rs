//! Canonical requests in the engine's words, or an error that names the field.

use freehold_types::request::{Prompt, Reasoning, ResponseFormat, Tool, ToolChoice};
use freehold_types::{Dialect, Error, ErrorKind, Request};
use serde_json::{Value, json};

use super::accept::{self, OwnOptions};
use super::conversation;
use super::errors;
use super::model::EmbeddedModel;
use super::parse::ParseOptions;
use crate::chat::literal::Replaced;
use crate::chat::template::Conversation;
use crate::chat::tools::{self, CallFormat, Function};
use crate::engine::request::{
    Constraint, GenerateRequest, Prompt as EnginePrompt, PromptPiece, SamplingOptions,
};

/// Prompts of one legacy completion.
const PROMPTS_MAX: usize = 64;

/// What the engine is asked, and how its answer is to be read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// One per prompt; chats have one.
    pub(crate) requests: Vec<GenerateRequest>,
    pub(crate) parse: ParseOptions,
}

/// Translates a request for `model`.
pub(crate) fn plan(request: &Request, model: &EmbeddedModel) -> Result<Plan, Error> {
    let own = accept::top_level(&request.extra)?;
    match &request.prompt {
        Some(prompt) => plan_completion(request, prompt, &own),
        None => plan_chat(request, model, own),
    }
}

/// The prompts alone, for counting.
pub(crate) fn prompts(
    request: &Request,
    model: &EmbeddedModel,
) -> Result<Vec<EnginePrompt>, Error> {
    let plan = plan(request, model)?;
    Ok(plan
        .requests
        .into_iter()
        .map(|request| request.prompt)
        .collect())
}

fn plan_completion(request: &Request, prompt: &Prompt, own: &OwnOptions) -> Result<Plan, Error> {
    let tokens = |ids: &[u32]| {
        EnginePrompt::Tokens(
            ids.iter()
                .map(|id| i32::try_from(*id).unwrap_or(-1))
                .collect(),
        )
    };
    let prompts: Vec<EnginePrompt> = match prompt {
        Prompt::Text(text) => vec![EnginePrompt::Text(text.clone())],
        Prompt::Texts(texts) => texts.iter().cloned().map(EnginePrompt::Text).collect(),
        Prompt::Tokens(ids) => vec![tokens(ids)],
        Prompt::TokenLists(lists) => lists.iter().map(|ids| tokens(ids)).collect(),
    };
    if prompts.is_empty() || prompts.len() > PROMPTS_MAX {
        return Err(Error::invalid(
            "prompt",
            format!("1 to {PROMPTS_MAX} prompts are accepted"),
        ));
    }
    let base = base_request(request, own)?;
    let requests = prompts
        .into_iter()
        .map(|prompt| GenerateRequest {
            prompt,
            ..base.clone()
        })
        .collect();
    Ok(Plan {
        requests,
        parse: ParseOptions::default(),
    })
}

fn plan_chat(request: &Request, model: &EmbeddedModel, own: OwnOptions) -> Result<Plan, Error> {
    if request.messages.is_empty() {
        return Err(Error::invalid("messages", "must not be empty"));
    }
    let calls = read_tools(request)?;
    let thinks = model.template().mentions("<think>");
    let mut variables = own.template_variables.clone();
    read_reasoning(request, thinks, &mut variables)?;

    let described: Vec<Value> = calls.functions.iter().map(Function::describe).collect();
    let converted = conversation::convert(request, &described, model.template(), variables)?;
    let (mut prompt, rendered_tail) = render(model, converted.conversation)?;
    if let Some(prefill) = converted.prefill {
        prompt.push(PromptPiece {
            text: prefill,
            is_literal: true,
        });
    }
    let format = tools::call_format(model.template());
    let mut generate = base_request(request, &own)?;
    generate.constraint = constraint(request, &calls, format)?;
    generate.show_special = !calls.functions.is_empty()
        && ["[TOOL_CALLS]", "<|python_tag|>"]
            .iter()
            .any(|mark| model.template().mentions(mark));
    generate.prompt = EnginePrompt::Pieces(prompt);
    Ok(Plan {
        requests: vec![generate],
        parse: ParseOptions {
            functions: calls
                .functions
                .into_iter()
                .map(|function| function.name)
                .collect(),
            thinks,
            starts_thinking: thinks && rendered_tail.trim_end().ends_with("<think>"),
        },
    })
}

/// Renders the prompt; what clients wrote cannot become special tokens. Also returns its end.
fn render(
    model: &EmbeddedModel,
    mut conversation: Conversation,
) -> Result<(Vec<PromptPiece>, String), Error> {
    let mut replaced = Replaced::default();
    for value in conversation
        .messages
        .iter_mut()
        .chain(&mut conversation.tools)
    {
        model.special_texts().replace(value, &mut replaced);
    }
    for (_, value) in &mut conversation.variables {
        model.special_texts().replace(value, &mut replaced);
    }
    let rendered = model
        .template()
        .render(&conversation)
        .map_err(errors::from_request)?;
    let pieces = replaced.restore(&rendered);
    let tail = pieces
        .last()
        .map(|piece| piece.text.clone())
        .unwrap_or_default();
    Ok((pieces, tail))
}

fn base_request(request: &Request, own: &OwnOptions) -> Result<GenerateRequest, Error> {
    let sampling = &request.sampling;
    let logprobs = match (sampling.logprobs, sampling.top_logprobs) {
        (Some(true), top) => Some(top.unwrap_or(0)),
        (_, Some(top)) if top > 0 => {
            return Err(Error::invalid(
                "top_logprobs",
                "needs `logprobs` to be true",
            ));
        }
        _ => None,
    };
    let mut logit_bias = std::collections::BTreeMap::new();
    for (token, bias) in sampling.logit_bias.iter().flatten() {
        let (Ok(token), Some(bias)) = (token.parse(), bias.as_f64()) else {
            return Err(Error::invalid(
                "logit_bias",
                "must map token ids to numbers",
            ));
        };
        logit_bias.insert(token, bias);
    }
    Ok(GenerateRequest {
        sampling: SamplingOptions {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            min_p: sampling.min_p,
            frequency_penalty: sampling.frequency_penalty,
            presence_penalty: sampling.presence_penalty,
            repetition_penalty: sampling.repetition_penalty,
            seed: sampling.seed.map(i64::cast_unsigned),
            logit_bias,
        },
        max_tokens: sampling
            .max_output_tokens
            .or(default_max_tokens(request.dialect)),
        stop: sampling.stop.clone(),
        choices: sampling.n.unwrap_or(1),
        logprobs,
        deterministic: own.deterministic,
        ..GenerateRequest::new(EnginePrompt::Text(String::new()))
    })
}

/// Legacy completions are sixteen tokens long unless the client says otherwise.
const fn default_max_tokens(dialect: Dialect) -> Option<u64> {
    match dialect {
        Dialect::OpenaiCompletions => Some(16),
        Dialect::OpenaiChat | Dialect::AnthropicMessages => None,
    }
}

/// The tools that the model is told about, and how free it is.
struct Calls {
    functions: Vec<Function>,
    /// Whether the answer must consist of calls.
    is_forced: bool,
    allows_several: bool,
}

fn read_tools(request: &Request) -> Result<Calls, Error> {
    let mut functions = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        functions.push(read_tool(tool, &format!("tools[{index}]"))?);
    }
    let allows_several = request.parallel_tool_calls.unwrap_or(true);
    let calls = |functions, is_forced, allows_several| Calls {
        functions,
        is_forced,
        allows_several,
    };
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => Ok(calls(functions, false, allows_several)),
        Some(ToolChoice::None) => Ok(calls(Vec::new(), false, false)),
        Some(ToolChoice::Required) if functions.is_empty() => {
            Err(Error::invalid("tool_choice", "needs `tools`"))
        }
        Some(ToolChoice::Required) => Ok(calls(functions, true, allows_several)),
        Some(ToolChoice::Function(name)) => {
            functions.retain(|function| function.name == *name);
            if functions.is_empty() {
                return Err(Error::invalid(
                    "tool_choice",
                    "names a function that `tools` does not have",
                ));
            }
            Ok(calls(functions, true, false))
        }
        Some(ToolChoice::Unknown { .. }) => Err(Error::unsupported(
            "tool_choice",
            "the embedded engine knows `auto`, `none`, `required` and one named function",
        )),
    }
}

fn read_tool(tool: &Tool, path: &str) -> Result<Function, Error> {
    let Tool::Function {
        name,
        description,
        parameters,
        strict,
        extra,
    } = tool
    else {
        return Err(Error::unsupported(
            path,
            "the embedded engine can only call functions",
        ));
    };
    accept::inner(extra, path)?;
    let parameters = match parameters {
        None | Some(Value::Null) => {
            json!({"type": "object", "properties": {}, "additionalProperties": false})
        }
        Some(Value::Object(schema)) if schema.is_empty() => json!({"type": "object"}),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => {
            return Err(Error::invalid(
                format!("{path}.parameters"),
                "must be a JSON Schema object",
            ));
        }
    };
    Ok(Function {
        name: name.clone(),
        description: description.clone(),
        parameters,
        is_strict: *strict == Some(true),
    })
}

fn constraint(
    request: &Request,
    calls: &Calls,
    format: CallFormat,
) -> Result<Option<Constraint>, Error> {
    let in_tools = |error| errors::from_request(error).with_param("tools");
    let functions = &calls.functions;
    if calls.is_forced {
        let grammar = tools::calls_grammar(functions, format, calls.allows_several);
        return Ok(Some(Constraint::Lark(grammar.map_err(in_tools)?)));
    }
    let schema = match &request.response_format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some((json!({"type": "object"}), true)),
        ResponseFormat::JsonSchema { schema, strict, .. } => {
            Some((schema.clone(), *strict != Some(true)))
        }
    };
    Ok(match schema {
        None if functions.is_empty() || format != CallFormat::Tagged => None,
        None => Some(Constraint::LarkAfter {
            triggers: vec!["<tool_call>".into()],
            grammar: tools::rest_of_calls_grammar(functions, calls.allows_several)
                .map_err(in_tools)?,
        }),
        Some((schema, lenient)) if functions.is_empty() => {
            Some(Constraint::JsonSchema { schema, lenient })
        }
        Some((schema, _)) => Some(Constraint::Lark(
            tools::calls_or_answer_grammar(functions, format, calls.allows_several, &schema)
                .map_err(in_tools)?,
        )),
    })
}

/// Thinking can be switched on and off where the template knows how; it cannot be measured out.
fn read_reasoning(
    request: &Request,
    thinks: bool,
    variables: &mut serde_json::Map<String, Value>,
) -> Result<(), Error> {
    let Some(Reasoning {
        effort,
        mode,
        budget_tokens,
        ..
    }) = &request.reasoning
    else {
        return Ok(());
    };
    let is_off = effort.as_deref() == Some("none") || mode.as_deref() == Some("disabled");
    if is_off {
        variables.insert("enable_thinking".into(), json!(false));
        return Ok(());
    }
    let param = match request.dialect {
        Dialect::AnthropicMessages => "thinking",
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => "reasoning_effort",
    };
    if budget_tokens.is_some() {
        return Err(Error::unsupported(
            "thinking.budget_tokens",
            "the embedded engine cannot measure out reasoning; send `thinking.type` `adaptive`",
        ));
    }
    if mode.as_deref() == Some("adaptive") && effort.is_none() {
        return Ok(());
    }
    if !thinks {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this model does not reason before it answers",
        )
        .with_param(param));
    }
    variables.insert("enable_thinking".into(), json!(true));
    if let Some(effort) = effort {
        variables.insert("reasoning_effort".into(), json!(effort));
    }
    Ok(())
}
