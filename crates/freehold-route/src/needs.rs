//! What a deployment must be able to do for a request, and which field asks for it.

use std::collections::BTreeSet;

use freehold_types::request::{ResponseFormat, ToolChoice};
use freehold_types::{Capability, Dialect, Part, Request};

/// The capabilities that a request needs.
pub(crate) fn needs(request: &Request) -> BTreeSet<Capability> {
    let mut needs = BTreeSet::new();
    let mut need = |needed: bool, capability: Capability| {
        if needed {
            needs.insert(capability);
        }
    };
    let sampling = &request.sampling;
    need(request.prompt.is_some(), Capability::Completions);
    need(request.prompt.is_none(), Capability::Chat);
    let may_call = !matches!(request.tool_choice, Some(ToolChoice::None));
    need(!request.tools.is_empty() && may_call, Capability::Tools);
    need(sampling.logprobs == Some(true), Capability::Logprobs);
    need(sampling.n.is_some_and(|n| n > 1), Capability::Choices);
    need(wants_thinking(request), Capability::Reasoning);
    match request.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => need(true, Capability::JsonObject),
        ResponseFormat::JsonSchema { .. } => need(true, Capability::JsonSchema),
    }
    for message in &request.messages {
        for part in &message.parts {
            media(part, &mut needs);
        }
    }
    needs
}

/// A part's own capability, and those of what a tool answered.
fn media(part: &Part, needs: &mut BTreeSet<Capability>) {
    if let Some(capability) = capability_of(part) {
        needs.insert(capability);
    }
    if let Part::ToolResult { parts, .. } = part {
        needs.extend(parts.iter().filter_map(capability_of));
    }
}

fn capability_of(part: &Part) -> Option<Capability> {
    match part {
        Part::Image { .. } => Some(Capability::Images),
        Part::Audio { .. } => Some(Capability::Audio),
        Part::File { .. } => Some(Capability::Files),
        _ => None,
    }
}

/// True when the client asks the model to think before it answers.
pub(crate) fn wants_thinking(request: &Request) -> bool {
    let Some(reasoning) = &request.reasoning else {
        return false;
    };
    let effort = reasoning.effort.as_deref();
    let mode = reasoning.mode.as_deref();
    effort.is_some_and(|effort| effort != "none" && effort != "minimal")
        || mode.is_some_and(|mode| mode != "disabled")
}

/// True when a deployment with these capabilities meets the need.
pub(crate) fn met(need: Capability, capabilities: &BTreeSet<Capability>) -> bool {
    capabilities.contains(&need)
        // Who can fit a schema can write some JSON.
        || need == Capability::JsonObject && capabilities.contains(&Capability::JsonSchema)
}

/// The field that asks for a capability, as a path in the client's dialect.
pub(crate) fn param(request: &Request, capability: Capability) -> String {
    let anthropic = request.dialect == Dialect::AnthropicMessages;
    let fixed = match capability {
        Capability::Chat => "messages",
        Capability::Completions => "prompt",
        Capability::Tools => "tools",
        Capability::JsonObject | Capability::JsonSchema if anthropic => "output_config.format",
        Capability::JsonObject | Capability::JsonSchema => "response_format",
        Capability::Logprobs => "logprobs",
        Capability::Choices => "n",
        Capability::Reasoning if anthropic => "thinking",
        Capability::Reasoning => "reasoning_effort",
        Capability::Images | Capability::Audio | Capability::Files => {
            return media_param(request, capability);
        }
    };
    fixed.to_owned()
}

fn media_param(request: &Request, capability: Capability) -> String {
    for (message_index, message) in request.messages.iter().enumerate() {
        for (part_index, part) in message.parts.iter().enumerate() {
            let inner = match part {
                Part::ToolResult { parts, .. } => parts.as_slice(),
                _ => std::slice::from_ref(part),
            };
            if inner.iter().any(|p| capability_of(p) == Some(capability)) {
                return format!("messages[{message_index}].content[{part_index}]");
            }
        }
    }
    "messages".to_owned()
}

/// A capability in words, for messages.
pub(crate) fn words(capability: Capability) -> &'static str {
    match capability {
        Capability::Chat => "chat messages",
        Capability::Completions => "raw completions",
        Capability::Tools => "tools",
        Capability::Images => "images",
        Capability::Audio => "audio",
        Capability::Files => "files",
        Capability::JsonObject => "JSON output",
        Capability::JsonSchema => "JSON that fits a schema",
        Capability::Logprobs => "log-probabilities",
        Capability::Choices => "several choices",
        Capability::Reasoning => "reasoning",
    }
}
