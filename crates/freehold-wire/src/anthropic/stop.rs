//! Anthropic's `stop_reason`, both ways.

use freehold_types::FinishReason;

/// Reads a `stop_reason`.
pub(crate) fn finish_reason(word: &str) -> FinishReason {
    match word {
        "end_turn" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence,
        "max_tokens" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::Refusal,
        "pause_turn" => FinishReason::PauseTurn,
        other => FinishReason::Other(other.to_owned()),
    }
}

/// Writes a `stop_reason`. `refused`: the answer holds a refusal.
pub(crate) fn stop_reason(reason: &FinishReason, refused: bool) -> &str {
    match reason {
        FinishReason::Stop if refused => "refusal",
        FinishReason::Stop => "end_turn",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter | FinishReason::Refusal => "refusal",
        FinishReason::PauseTurn => "pause_turn",
        FinishReason::Other(word) if word == "model_context_window_exceeded" => word,
        // Clients know only the words above.
        FinishReason::Other(_) => "end_turn",
    }
}
