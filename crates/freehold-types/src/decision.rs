//! Why a request went where it went: the router's whole input, and what it made of it.
//!
//! A decision is written to the ledger and can be made again from its inputs: the same inputs give
//! the same ranking. It holds numbers and names, never text of the request. Every number is an
//! integer or a short decimal, so that it survives its JSON form exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Capability, DeploymentId, NanoUsd};

/// What a route asks of the router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The cheapest deployment that is good enough for the request's difficulty.
    #[default]
    Cheapest,
    /// The soonest complete answer.
    Fastest,
    /// The best answer.
    Best,
    /// The deployments in the order in which the route lists them.
    Ordered,
}

impl Objective {
    /// All objectives.
    pub const ALL: [Self; 4] = [Self::Cheapest, Self::Fastest, Self::Best, Self::Ordered];

    /// The objective's name in configuration, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cheapest => "cheapest",
            Self::Fastest => "fastest",
            Self::Best => "best",
            Self::Ordered => "ordered",
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no objective.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an objective: use cheapest, fastest, best or ordered")]
pub struct UnknownObjective(pub String);

impl FromStr for Objective {
    type Err = UnknownObjective;

    fn from_str(text: &str) -> Result<Self, UnknownObjective> {
        Self::ALL
            .into_iter()
            .find(|objective| objective.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| UnknownObjective(text.chars().take(32).collect()))
    }
}

/// How much cost, latency and quality count in a score. Only their ratios matter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Of the expected cost.
    #[serde(default)]
    pub cost: f64,
    /// Of the expected time to the whole answer.
    #[serde(default)]
    pub latency: f64,
    /// Of the expected quality.
    #[serde(default)]
    pub quality: f64,
}

/// What can be observed of a request without keeping any of its text. Shares are in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Features {
    /// Estimated tokens of the whole prompt, tools and media included.
    pub prompt_tokens: u64,
    /// Characters of the last user turn.
    #[serde(skip_serializing_if = "is_zero")]
    pub last_turn_chars: u64,
    /// Turns of the conversation.
    #[serde(skip_serializing_if = "is_zero")]
    pub turns: u64,
    /// Share of the looked-at text that is code.
    #[serde(skip_serializing_if = "is_zero")]
    pub code_permille: u64,
    /// Mathematical signs per thousand characters of the looked-at text.
    #[serde(skip_serializing_if = "is_zero")]
    pub maths_permille: u64,
    /// Question marks.
    #[serde(skip_serializing_if = "is_zero")]
    pub questions: u64,
    /// Words that ask for reasoning: why, prove, compare, design, ...
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning_words: u64,
    /// Words that ask for something simple: list, translate, rephrase, ...
    #[serde(skip_serializing_if = "is_zero")]
    pub simple_words: u64,
    /// Share of letters that are not Latin.
    #[serde(skip_serializing_if = "is_zero")]
    pub non_latin_permille: u64,
    /// Tools on offer.
    #[serde(skip_serializing_if = "is_zero")]
    pub tools: u64,
    /// Nesting of the schema that the answer must fit; 0 when there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub schema_depth: u64,
    /// Pictures.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Upper bound on the answer's tokens that the client asks for; 0 when it does not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_output_tokens: u64,
    /// 1 when the client asks the model to think first.
    #[serde(skip_serializing_if = "is_zero")]
    pub thinking: u64,
    /// One of 65,536 buckets; all turns of one conversation fall into the same one, so that they
    /// find the same prompt cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub affinity_bucket: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Whether a deployment may be tried now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Availability {
    /// Nothing speaks against it.
    #[default]
    Up,
    /// It failed before; one request at a time may find out whether it is back.
    Probing,
    /// It is getting its model ready: slow, not broken.
    Loading,
    /// It failed too often, or asked for a pause.
    Down {
        /// How much longer.
        for_ms: u64,
    },
}

impl Availability {
    fn is_up(&self) -> bool {
        *self == Self::Up
    }
}

/// What the router knows about one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateInput {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Why policy forbids it; `None` when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
    /// A capability that the request needs and the deployment lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Capability>,
    /// Its context window; `None` when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_tokens: Option<u32>,
    /// Expected quality, 0 to 1.
    pub quality: f64,
    /// Expected cost of this request; `None` when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// Expected time to the first token: measured, or the catalogue's belief.
    pub first_token_ms: u32,
    /// Expected tokens per second after that.
    pub tokens_per_second: f64,
    /// Requests it is serving for us.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub in_flight: u32,
    /// Whether it may be tried now.
    #[serde(default, skip_serializing_if = "Availability::is_up")]
    pub availability: Availability,
}

fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

/// The router's whole input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterInputs {
    /// Version of the router's rules and constants: another version may decide otherwise.
    pub version: u32,
    /// The route that the client's name led to.
    pub route: String,
    /// What the route asks for.
    pub objective: Objective,
    /// The route's own weights; `None` takes the objective's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Added to the difficulty to get the quality that is good enough.
    #[serde(default)]
    pub quality_margin: f64,
    /// Attempts that a plan may have.
    pub max_attempts: u32,
    /// What was observed of the request.
    pub features: Features,
    /// What a deployment must be able to do.
    pub needs: Vec<Capability>,
    /// What policy decided, in words.
    pub permit: Vec<String>,
    /// Every deployment that was looked at, in the route's order.
    pub candidates: Vec<CandidateInput>,
}

/// Why the plan was what it was: everything that `freehold explain` needs to decide again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What was asked of the router.
    pub objective: Objective,
    /// Estimated difficulty, 0 (trivial) to 1.
    pub difficulty: f64,
    /// Every deployment that was looked at, in the order of the plan, excluded ones last.
    pub candidates: Vec<CandidateRecord>,
    /// What it was decided from.
    pub inputs: RouterInputs,
}

/// How the router saw one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Place in the ranking, from 0; `None` when excluded. Places beyond the plan's bound are not tried.
    pub rank: Option<u32>,
    /// The objective's score, lower is better; `None` when excluded.
    pub score: Option<f64>,
    /// In words: why this rank, or why excluded.
    pub reason: String,
}
