//! A deployment: one model on one backend, as the catalogue knows it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::price::PriceList;
use crate::{BackendId, DeploymentId, Dialect, NanoUsd, Perimeter, Region, Tag};

/// Where a backend's machines stand and what they are certified for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// On whose machines.
    pub perimeter: Perimeter,
    /// Where; `None` when the operator did not say, which no region rule accepts.
    pub region: Option<Region>,
    /// Compliance tags.
    pub tags: BTreeSet<Tag>,
}

impl Site {
    /// The owner's machines, no region or tag declared.
    pub fn inside() -> Self {
        Self {
            perimeter: Perimeter::Inside,
            region: None,
            tags: BTreeSet::new(),
        }
    }

    /// Somebody else's machines, no region or tag declared.
    pub fn outside() -> Self {
        Self {
            perimeter: Perimeter::Outside,
            region: None,
            tags: BTreeSet::new(),
        }
    }
}

/// Something that not every model or server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Chat messages (as opposed to raw completions only).
    Chat,
    /// Legacy raw completions.
    Completions,
    /// Calls tools.
    Tools,
    /// Reads pictures.
    Images,
    /// Hears sound.
    Audio,
    /// Reads documents.
    Files,
    /// Answers in some JSON object.
    JsonObject,
    /// Answers in JSON that fits a schema.
    JsonSchema,
    /// Tells log-probabilities.
    Logprobs,
    /// Gives several answers at once.
    Choices,
    /// Thinks before it answers.
    Reasoning,
}

/// How the use of a deployment is paid for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum PriceBasis {
    /// By token, at the price book's dated price.
    Listed {
        /// The price book's provider id, e.g. `openai`.
        provider: String,
        /// The price book's model reference.
        model: String,
    },
    /// By token, at the operator's own price per million tokens.
    PerToken {
        /// Fresh input.
        input_per_million: NanoUsd,
        /// Input read from a cache; `None` means as fresh.
        cached_input_per_million: Option<NanoUsd>,
        /// Output.
        output_per_million: NanoUsd,
    },
    /// By token, at the operator's own list: what `PerToken` cannot say.
    List(Box<PriceList>),
    /// By the hour, whether busy or idle (an owned machine).
    Hourly {
        /// Cost of one hour.
        per_hour: NanoUsd,
    },
    /// Nobody said. The cost is recorded as unknown, never as zero.
    Unknown,
}

/// One model on one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// `backend/model`.
    pub id: DeploymentId,
    /// The backend that serves it.
    pub backend: BackendId,
    /// The model's name as the backend knows it.
    pub model: String,
    /// Where it runs.
    pub site: Site,
    /// The wire formats in which it can be asked, preferred first. Empty: canonical (embedded).
    pub dialects: Vec<Dialect>,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Tokens of prompt and answer together; `None` when unknown.
    pub context_window_tokens: Option<u32>,
    /// How its use is paid for.
    pub price: PriceBasis,
    /// Prior belief in its answers' quality, 0 (useless) to 1 (the best there is).
    pub quality: f64,
    /// Prior belief in its speed: generated tokens per second of one stream.
    pub tokens_per_second: f64,
    /// Prior belief in its time to the first token.
    pub first_token_ms: u32,
}
