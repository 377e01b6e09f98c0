//! The wire formats that Freehold speaks, as names only; `freehold-wire` knows what they look like.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A wire format, spoken by clients, by upstreams, or by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `POST /v1/chat/completions` of OpenAI.
    OpenaiChat,
    /// `POST /v1/completions` of OpenAI (legacy).
    OpenaiCompletions,
    /// `POST /v1/messages` of Anthropic.
    AnthropicMessages,
}

impl Dialect {
    /// The dialect's name in configuration, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiCompletions => "openai-completions",
            Self::AnthropicMessages => "anthropic-messages",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
