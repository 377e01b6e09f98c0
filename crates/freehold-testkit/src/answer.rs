//! Decides the answer: request + script -> steps of one token each, finish reason and the true usage.

use serde_json::{Value, json};

use crate::{
    record::UsageCount,
    request::{Ask, Format, Surface},
    schema,
    script::{Script, ScriptedCall},
};

/// More tokens than this are cut off, so that a careless script cannot fill memory.
const TOKENS_MAX: usize = 1_000_000;
const FRAGMENT_CHARS: usize = 8;

/// One chunk of an answer. All but `Open` and `Close` carry exactly one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    Thinking(String),
    Text(String),
    Refusal(String),
    ToolOpen {
        index: usize,
        id: String,
        name: String,
    },
    ToolArguments {
        index: usize,
        fragment: String,
    },
    Close,
}

impl Step {
    pub(crate) fn is_token(&self) -> bool {
        !matches!(self, Self::Open | Self::Close)
    }
}

/// Why the answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    StopSequence(String),
    Tools,
    Refusal,
    Scripted(String),
}

/// A complete answer.
pub(crate) struct Answer {
    pub(crate) steps: Vec<Step>,
    pub(crate) finish: Finish,
    /// What is counted before the first token: prompt, cache and hidden reasoning.
    pub(crate) usage_before: UsageCount,
    /// Usage of the complete answer.
    pub(crate) usage: UsageCount,
}

/// Answers `ask` as `script` says; `echo` is the text to repeat, `serial` makes ids unique.
pub(crate) fn answer(ask: &Ask<'_>, script: &Script, echo: &str, serial: u64) -> Answer {
    let mut finish;
    let mut tokens = Vec::new();
    thinking(ask, script, &mut tokens);
    let thinking_tokens = tokens.len() as u64;
    let calls = calls(ask, script);
    if let Some(refusal) = &script.refusal {
        tokens.extend(words(refusal).map(Step::Refusal));
        finish = Finish::Refusal;
    } else if calls.is_empty() {
        let (text, reason) = text(ask, script, echo);
        tokens.extend(text.into_iter().map(Step::Text));
        finish = reason;
    } else {
        if let Some(preface) = &script.text {
            tokens.extend(words(preface).map(Step::Text));
        }
        for (index, call) in calls.iter().enumerate() {
            call_steps(ask, script, call, (index, echo, serial), &mut tokens);
        }
        finish = Finish::Tools;
    }
    if let Some(limit) = ask.max_tokens()
        && tokens.len() > limit
    {
        tokens.truncate(limit);
        finish = Finish::Length;
    }
    if let Some(scripted) = &script.finish {
        finish = Finish::Scripted(scripted.clone());
    }
    let usage_before = usage_before(ask, script);
    let mut usage = usage_before;
    usage.completion_tokens += (tokens.len() * ask.choices()) as u64;
    usage.reasoning_tokens += thinking_tokens.min(tokens.len() as u64) * ask.choices() as u64;
    let steps = std::iter::once(Step::Open)
        .chain(tokens)
        .chain([Step::Close])
        .collect();
    Answer {
        steps,
        finish,
        usage_before,
        usage,
    }
}

fn usage_before(ask: &Ask<'_>, script: &Script) -> UsageCount {
    let scripted = &script.usage;
    let prompt_tokens = scripted.prompt_tokens.unwrap_or_else(|| ask.prompt_words());
    UsageCount {
        prompt_tokens: prompt_tokens.max(scripted.cached_tokens + scripted.cache_write_tokens),
        cached_tokens: scripted.cached_tokens,
        cache_write_tokens: scripted.cache_write_tokens,
        completion_tokens: scripted.reasoning_tokens,
        reasoning_tokens: scripted.reasoning_tokens,
    }
}

fn thinking(ask: &Ask<'_>, script: &Script, tokens: &mut Vec<Step>) {
    let by_default = ask.wants_thinking().then_some("The user wants an echo.");
    if let Some(text) = script.thinking.as_deref().or(by_default)
        && ask.surface != Surface::OpenAiCompletions
    {
        tokens.extend(words(text).map(Step::Thinking));
    }
}

/// The tool calls to make: the scripted ones, or the one that the caller insists on.
fn calls(ask: &Ask<'_>, script: &Script) -> Vec<ScriptedCall> {
    if !script.tool_calls.is_empty() {
        return script.tool_calls.clone();
    }
    let otherwise = script.text.is_some() || script.json.is_some() || script.tokens.is_some();
    let forced = ask.forced_tool().filter(|_| !otherwise);
    let call = forced.map(|name| ScriptedCall {
        name: Some(name.to_owned()),
        ..ScriptedCall::default()
    });
    call.into_iter().collect()
}

fn call_steps(
    ask: &Ask<'_>,
    script: &Script,
    call: &ScriptedCall,
    (index, echo, serial): (usize, &str, u64),
    tokens: &mut Vec<Step>,
) {
    let tools = ask.tools();
    let by_position = tools.get(index.min(tools.len().saturating_sub(1)));
    let name = call
        .name
        .clone()
        .or_else(|| by_position.map(|tool| tool.0.to_owned()));
    let name = name.unwrap_or_else(|| "tool".to_owned());
    let schema = tools
        .iter()
        .find(|tool| tool.0 == name)
        .map_or(&Value::Null, |tool| tool.1);
    let value = call.arguments.clone().unwrap_or_else(|| match schema {
        Value::Null => json!({}),
        schema => schema::instance(schema, first_word(echo)),
    });
    let arguments = call
        .raw_arguments
        .clone()
        .unwrap_or_else(|| value.to_string());
    let prefix = if ask.surface.is_anthropic() {
        "toolu_01fake"
    } else {
        "call_fake"
    };
    let id = call
        .id
        .clone()
        .unwrap_or_else(|| format!("{prefix}{serial:08x}{index:04x}"));
    tokens.push(Step::ToolOpen { index, id, name });
    let size = script.fragment_chars.unwrap_or(FRAGMENT_CHARS).max(1);
    let chars: Vec<char> = arguments.chars().collect();
    let fragments = chars.chunks(size).map(|fragment| fragment.iter().collect());
    tokens.extend(fragments.map(|fragment| Step::ToolArguments { index, fragment }));
}

fn text(ask: &Ask<'_>, script: &Script, echo: &str) -> (Vec<String>, Finish) {
    let structured = match (&script.json, ask.format()) {
        (Some(value), _) => Some(value.to_string()),
        (None, Format::JsonSchema) => {
            Some(schema::instance(ask.schema(), first_word(echo)).to_string())
        }
        (None, Format::JsonObject) => Some(json!({ "answer": echo }).to_string()),
        (None, Format::Text) => None,
    };
    let mut tokens: Vec<String> = match (&script.text, structured) {
        (Some(text), _) => words(text).collect(),
        (None, Some(text)) => words(&text).collect(),
        (None, None) => {
            let count = script
                .tokens
                .unwrap_or_else(|| echo.split_whitespace().count().max(1));
            let source = if echo.trim().is_empty() { "echo" } else { echo };
            let cycle = source
                .split_whitespace()
                .cycle()
                .take(count.min(TOKENS_MAX));
            cycle.enumerate().map(spaced).collect()
        }
    };
    let finish = apply_stop(&mut tokens, &ask.stop());
    (tokens, finish)
}

/// Cuts the answer before the first stop sequence.
fn apply_stop(tokens: &mut Vec<String>, stops: &[&str]) -> Finish {
    let text = tokens.concat();
    let found = stops.iter().filter(|stop| !stop.is_empty());
    let found = found
        .filter_map(|stop| text.find(stop).map(|at| (at, *stop)))
        .min();
    let Some((at, stop)) = found else {
        return Finish::Stop;
    };
    let mut left = at;
    for index in 0..tokens.len() {
        if tokens[index].len() >= left {
            tokens[index].truncate(left);
            tokens.truncate(if left == 0 { index } else { index + 1 });
            break;
        }
        left -= tokens[index].len();
    }
    Finish::StopSequence(stop.to_owned())
}

/// Splits a text into tokens that, joined, give the text again.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut after_space = true;
    for character in text.chars() {
        let starts_word = character.is_whitespace() && !after_space;
        match tokens.last_mut() {
            Some(token) if !starts_word => token.push(character),
            _ => tokens.push(character.to_string()),
        }
        after_space = character.is_whitespace();
    }
    tokens.into_iter()
}

fn spaced((index, word): (usize, &str)) -> String {
    if index == 0 {
        word.to_owned()
    } else {
        format!(" {word}")
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("echo")
}
