//! Anthropic messages: how much the model may think, into `thinking` and `output_config.effort`.

use freehold_types::request::{Reasoning, Request};
use serde_json::{Map, Value, json};

use super::encode_request::put_output;
use crate::fields::Path;
use crate::options::{Quirks, ThinkingStyle};
use crate::translate::Translation;

/// Anthropic's least `budget_tokens`.
const BUDGET_MIN: u64 = 1_024;

pub(crate) fn put_reasoning(
    request: &Request,
    quirks: &Quirks,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) {
    let Some(reasoning) = &request.reasoning else {
        return;
    };
    if translation.same {
        put_own(reasoning, body);
        return;
    }
    let Some(effort) = reasoning.effort.as_deref() else {
        return;
    };
    if effort == "none" {
        body.insert("thinking".to_owned(), json!({"type": "disabled"}));
        return;
    }
    match quirks.thinking {
        ThinkingStyle::Adaptive => {
            // The nearest word that Anthropic has.
            let effort = if effort == "minimal" { "low" } else { effort };
            body.insert("thinking".to_owned(), json!({"type": "adaptive"}));
            put_output(body, "effort", effort.into());
        }
        ThinkingStyle::Budget => put_budget(request, effort, translation, body),
    }
}

fn put_own(reasoning: &Reasoning, body: &mut Map<String, Value>) {
    if let Some(mode) = &reasoning.mode {
        let mut thinking = Map::new();
        thinking.insert("type".to_owned(), mode.clone().into());
        if let Some(budget) = reasoning.budget_tokens {
            thinking.insert("budget_tokens".to_owned(), budget.into());
        }
        thinking.extend(reasoning.extra.clone());
        body.insert("thinking".to_owned(), thinking.into());
    }
    if let Some(effort) = &reasoning.effort {
        put_output(body, "effort", effort.clone().into());
    }
}

/// A budget must be smaller than `max_tokens`, which bounds thinking and answer together.
fn put_budget(
    request: &Request,
    effort: &str,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) {
    let wanted: u64 = match effort {
        "minimal" => 1_024,
        "low" => 2_048,
        "medium" => 8_192,
        "high" => 16_384,
        _ => 32_768,
    };
    let bound = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(0);
    let budget = match request.sampling.max_output_tokens {
        Some(bound) => wanted.min(bound.saturating_sub(1)),
        None => {
            // The default bound is ours: room for thinking comes on top of it.
            body.insert("max_tokens".to_owned(), bound.saturating_add(wanted).into());
            wanted
        }
    };
    if budget < BUDGET_MIN {
        translation.leave_out(&Path::ROOT.key("reasoning_effort"));
        return;
    }
    let thinking = json!({"type": "enabled", "budget_tokens": budget});
    body.insert("thinking".to_owned(), thinking);
}
