//! What a request shows of an agent's work: tools that fail, calls that repeat, loops, retries.

use serde::{Deserialize, Serialize};

/// What a request that an agent sends shows of its work so far. Counts only, no text.
///
/// Tools are run by the client: what became of a call stands in the conversation's next request. So these are about
/// the turns before this request's answer; a conversation that stays with one deployment shows that deployment's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSignals {
    /// Tools' results that are new in this request: those after the model's last turn.
    #[serde(skip_serializing_if = "is_zero")]
    pub tool_results: u32,
    /// Those of them that report an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub tool_errors: u32,
    /// Calls of the model's last turn that it had made before in this conversation, with the same arguments.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated_calls: u32,
    /// How often the conversation's last calls went round in the same circle; 0 below three rounds, which are a loop.
    #[serde(skip_serializing_if = "is_zero")]
    pub loop_rounds: u32,
    /// How often the same key has sent the same messages before, not long ago.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
}

impl AgentSignals {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the work goes as it should; `None` when the request shows no work with tools.
    #[must_use]
    pub const fn is_good(&self) -> Option<bool> {
        if self.tool_results == 0 && self.repeated_calls == 0 && self.loop_rounds == 0 {
            return None;
        }
        Some(self.tool_errors == 0 && self.repeated_calls == 0 && self.loop_rounds == 0)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
