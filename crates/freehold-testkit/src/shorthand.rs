//! Scripts in a word, for what passes through every gateway: the model name or the message text.
//!
//! `fake-stall-3+tokens-20` as a model, `[[fake:stall-3+tokens-20]]` or `[[fake:{"tokens":20}]]` in the message.

use crate::{
    TestkitError,
    script::{Fault, ReportedUsage, RetryAfter, Script, ScriptedCall},
};

const MESSAGE_OPEN: &str = "[[fake:";
const MESSAGE_CLOSE: &str = "]]";

/// The script in a model name such as `fake-429` or `openai/fake-stall-3`; `None` where there is none (a name that
/// merely starts with `fake-` is an ordinary model).
pub(crate) fn from_model(model: &str) -> Option<Script> {
    let name = model.rsplit('/').next().unwrap_or(model);
    parse(name.strip_prefix("fake-")?).ok()
}

/// The script in a message, and the message without it.
pub(crate) fn from_message(text: &str) -> Result<Option<(Script, String)>, TestkitError> {
    let Some(start) = text.find(MESSAGE_OPEN) else {
        return Ok(None);
    };
    let inner_start = start + MESSAGE_OPEN.len();
    let Some(length) = text[inner_start..].rfind(MESSAGE_CLOSE) else {
        return Ok(None);
    };
    let inner = text[inner_start..inner_start + length].trim();
    let rest = format!(
        "{}{}",
        &text[..start],
        &text[inner_start + length + MESSAGE_CLOSE.len()..]
    );
    Ok(Some((from_text(inner)?, rest.trim().to_owned())))
}

/// A script as JSON or as directives joined by `+`.
pub(crate) fn from_text(text: &str) -> Result<Script, TestkitError> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| TestkitError::Script(error.to_string()));
    }
    parse(text.strip_prefix("fake-").unwrap_or(text))
}

fn parse(directives: &str) -> Result<Script, TestkitError> {
    let mut script = Script::default();
    for directive in directives.split('+') {
        let (name, number) = match directive.rsplit_once('-') {
            Some((name, digits)) if digits.parse::<u64>().is_ok() => (name, digits.parse().ok()),
            _ => (directive, None),
        };
        apply(&mut script, name, number)
            .ok_or_else(|| TestkitError::Script(format!("unknown directive `{directive}`")))?;
    }
    Ok(script)
}

fn apply(script: &mut Script, name: &str, number: Option<u64>) -> Option<()> {
    if let Some(fault) = fault(name, number) {
        script.fault = Some(fault);
        return Some(());
    }
    let count = number.and_then(|number| usize::try_from(number).ok());
    match name {
        "retry-after" | "retry-date" => {
            let Some(Fault::Status { retry_after, .. }) = &mut script.fault else {
                return None;
            };
            let seconds = number.unwrap_or(1);
            *retry_after = Some(if name == "retry-after" {
                RetryAfter::Seconds(seconds)
            } else {
                RetryAfter::DateSeconds(seconds)
            });
        }
        "tokens" => script.tokens = Some(count?),
        "tool" | "tools" => script.tool_calls = vec![ScriptedCall::default(); count.unwrap_or(1)],
        "thinking" => script.thinking = Some("Let me think about it.".to_owned()),
        "refusal" => script.refusal = Some("I cannot help with that.".to_owned()),
        "gate" => script.gates.push(count.unwrap_or(0)),
        "gate-headers" => script.gate_headers = true,
        "slow-headers" => script.pace.headers_ms = number.unwrap_or(1_000),
        "first-token" => script.pace.first_token_ms = number?,
        "slow-body" => script.pace.inter_token_ms = number.unwrap_or(100),
        "write-bytes" => script.write_bytes = Some(count?),
        "prompt-tokens" => script.usage.prompt_tokens = Some(number?),
        "cached" => script.usage.cached_tokens = number?,
        "cache-write" => script.usage.cache_write_tokens = number?,
        "reasoning" => script.usage.reasoning_tokens = number?,
        "no-usage" => script.usage.report = ReportedUsage::Missing,
        "zero-usage" => script.usage.report = ReportedUsage::Zero,
        "wrong-usage" => {
            script.usage.report = ReportedUsage::Wrong {
                prompt_tokens: 999_999,
                completion_tokens: 999_999,
            };
        }
        "ok" => {}
        _ => return None,
    }
    Some(())
}

fn fault(name: &str, number: Option<u64>) -> Option<Fault> {
    let at = number.and_then(|number| usize::try_from(number).ok());
    Some(match (name, at) {
        ("status", Some(status)) => status_fault(u16::try_from(status).ok()?)?,
        (digits, None) if digits.len() == 3 => status_fault(digits.parse().ok()?)?,
        ("reset", None) => Fault::ResetBeforeHeaders,
        ("reset", Some(at)) => Fault::Reset { at },
        ("close", None) => Fault::CloseBeforeHeaders,
        ("close", Some(at)) => Fault::Close { at },
        ("end", at) => Fault::End {
            at: at.unwrap_or(1),
        },
        ("half", at) => Fault::HalfChunk {
            at: at.unwrap_or(1),
            clean: false,
        },
        ("half-clean", at) => Fault::HalfChunk {
            at: at.unwrap_or(1),
            clean: true,
        },
        ("stall", None) => Fault::StallHeaders,
        ("stall", Some(at)) => Fault::Stall { at },
        ("malformed-sse", at) => Fault::MalformedSse {
            at: at.unwrap_or(1),
        },
        ("malformed-json", at) => Fault::MalformedJson {
            at: at.unwrap_or(1),
        },
        ("error-event", at) => Fault::ErrorEvent {
            at: at.unwrap_or(1),
            error_type: None,
        },
        ("huge-chunk", bytes) => Fault::HugeChunk {
            at: 1,
            bytes: bytes.unwrap_or(1 << 20),
        },
        ("no-done", None) => Fault::MissingDone,
        ("wrong-type", None) => Fault::WrongContentType,
        ("truncated", None) => Fault::TruncatedBody,
        _ => return None,
    })
}

fn status_fault(status: u16) -> Option<Fault> {
    (400..600).contains(&status).then_some(Fault::Status {
        status,
        retry_after: None,
        body: None,
    })
}
