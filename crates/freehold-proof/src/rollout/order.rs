//! What an operator orders: which flow moves, to what, in which steps, and what calls it back.

use serde::{Deserialize, Serialize};

use super::evidence::Guard;
use crate::judge::{BadRule, Rule};
use crate::scorers::{BadScorer, Scorer, ScorerSpec};

/// Longest name of a flow or a model, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Longest instructions, in bytes.
const SYSTEM_BYTES_MAX: usize = 256 << 10;
/// Most steps of a canary.
const STEPS_MAX: usize = 32;

/// A rollout as it is ordered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The flow that moves.
    pub flow: String,
    /// What serves it today: the model that candidates are held against, once they serve.
    pub incumbent: String,
    /// What shall serve it.
    pub candidate: Change,
    /// How answers are scored.
    pub scorer: PairScorer,
    /// Parts that are judged by themselves.
    #[serde(default)]
    pub strata: Strata,
    /// When the candidate counts as not worse.
    #[serde(default)]
    pub rule: Rule,
    /// Traffic that the other side answers too, unseen by the client.
    #[serde(default)]
    pub mirror: Mirror,
    /// The steps.
    #[serde(default)]
    pub stages: Stages,
    /// What calls the candidate back.
    #[serde(default)]
    pub guards: Guards,
    /// Which steps are taken without asking.
    #[serde(default)]
    pub autopilot: Autopilot,
    /// What the advisor says it saves, in dollars a month; held against what it really saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saving_usd_per_month: Option<f64>,
}

/// What is different for the candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The model, as a client would name it: `backend/model`, a route, an alias.
    pub model: String,
    /// Other instructions, in the place of the request's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Another temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// How the answers of both sides are scored. A scorer that needs an expected text takes the incumbent's answer: it
/// measures agreement, and the incumbent has all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PairScorer(pub ScorerSpec);

impl PairScorer {
    /// Whether the incumbent's answer stands for what is right. A judge looks at both.
    #[must_use]
    pub fn measures_agreement(&self) -> bool {
        !matches!(
            self.0,
            ScorerSpec::Json
                | ScorerSpec::JsonSchema { .. }
                | ScorerSpec::Judge { .. }
                | ScorerSpec::Pairwise { .. }
                | ScorerSpec::Regex { pattern: Some(_) }
        )
    }
}

/// Parts of the traffic that are judged by themselves, so that a mean hides none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strata {
    /// All together.
    #[default]
    None,
    /// Easy, medium and hard requests, by the router's difficulty.
    Difficulty,
    /// These languages, by their three letters (ISO 639-3), and all others together.
    Languages(Vec<String>),
    /// Both at once, as `eng/hard`.
    DifficultyAndLanguages(Vec<String>),
}

impl Strata {
    /// The languages that are told apart; none when they are not.
    #[must_use]
    pub fn languages(&self) -> Option<&[String]> {
        match self {
            Self::None | Self::Difficulty => None,
            Self::Languages(languages) | Self::DifficultyAndLanguages(languages) => Some(languages),
        }
    }
}

/// How much traffic is mirrored, and what that may cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// The share of requests that the other side answers too, above 0, at most 1.
    pub share: f64,
    /// The same once the candidate is promoted.
    pub watch_share: f64,
    /// What all of it may cost, in dollars; nothing is mirrored beyond.
    pub usd_max: f64,
    /// So many are under way at once.
    pub concurrency: u32,
    /// So many may wait; further ones are counted and left out.
    pub queue: u32,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            share: 0.1,
            watch_share: 0.02,
            usd_max: 50.0,
            concurrency: 2,
            queue: 64,
        }
    }
}

/// The steps of a canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stages {
    /// The candidate's share of the traffic, step by step, rising, the last one 1.
    pub shares: Vec<f64>,
    /// So many requests the candidate must have answered before the next step.
    pub requests_min: u64,
    /// So long a step takes at least, in seconds.
    pub seconds_min: u64,
    /// After the promotion, guards look at stretches of so many hours.
    pub watch_hours: u64,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            shares: vec![0.01, 0.05, 0.25, 0.5, 1.0],
            requests_min: 50,
            seconds_min: 300,
            watch_hours: 24,
        }
    }
}

/// What calls the candidate back, beside scores that refute it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Requests that end without an error.
    pub errors: Option<GuardRule>,
    /// Requests that take at most `limit` milliseconds.
    pub latency: Option<GuardRule>,
    /// Answers that are valid by the schema that the request asks for.
    pub schema: Option<GuardRule>,
    /// Answers that are no refusals.
    pub refusals: Option<GuardRule>,
    /// Scores that users give.
    pub feedback: Option<GuardRule>,
    /// Requests that cost at most `limit` dollars.
    pub cost: Option<GuardRule>,
    /// Requests that show no failed tool, no repeated call and no circle, among those that show an agent's work.
    pub agents: Option<GuardRule>,
}

/// How much worse the candidate may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardRule {
    /// The share of good requests (or the mean score) may be so much lower than the incumbent's.
    pub margin: f64,
    /// What counts as good, where that is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

impl Default for Guards {
    fn default() -> Self {
        let within = |margin| {
            Some(GuardRule {
                margin,
                limit: None,
            })
        };
        Self {
            errors: within(0.05),
            latency: None,
            schema: within(0.05),
            refusals: within(0.05),
            feedback: within(0.1),
            cost: None,
            agents: within(0.1),
        }
    }
}

impl Guards {
    /// The rule of a guard, if it stands.
    #[must_use]
    pub fn rule(&self, guard: Guard) -> Option<&GuardRule> {
        match guard {
            Guard::Errors => self.errors.as_ref(),
            Guard::Latency => self.latency.as_ref(),
            Guard::Schema => self.schema.as_ref(),
            Guard::Refusals => self.refusals.as_ref(),
            Guard::Feedback => self.feedback.as_ref(),
            Guard::Cost => self.cost.as_ref(),
            Guard::Agents => self.agents.as_ref(),
        }
    }

    /// How many stand.
    #[must_use]
    pub fn count(&self) -> usize {
        let stand = |guard: &&Guard| self.rule(**guard).is_some();
        Guard::ALL.iter().filter(stand).count()
    }
}

/// Which steps are taken without asking. Going back never asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autopilot {
    /// None: every step forward waits for `freehold rollout accept`.
    #[default]
    Off,
    /// All but the promotion.
    Canary,
    /// All.
    Full,
}

/// An order that cannot be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadOrder {
    /// A name that is none.
    #[error("`{0}` is empty, longer than {NAME_BYTES_MAX} bytes, or has control characters")]
    Name(&'static str),
    /// Nothing changes.
    #[error(
        "the candidate is the incumbent: change the model, the instructions or the temperature"
    )]
    NothingChanges,
    /// A number out of its range.
    #[error("`{what}` is {value}: it must be {must}")]
    Number {
        /// Which.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// Steps that do not rise to 1.
    #[error(
        "`stages.shares` must rise from above 0 to 1, in at most {STEPS_MAX} steps, as in [0.01, 0.05, 0.25, 1]"
    )]
    Shares,
    /// Instructions that are too long.
    #[error("`candidate.system` is longer than {SYSTEM_BYTES_MAX} bytes")]
    System,
    /// A guard without what it goes by.
    #[error("`guards.{0}` needs a `limit`: {1}")]
    NoLimit(&'static str, &'static str),
    /// Languages that are none.
    #[error(
        "`strata.languages` are one to 16 languages by their three small letters, as in [eng, deu]"
    )]
    Languages,
    /// A scorer that needs the case's own assertions, which traffic has not.
    #[error("the scorer `assert` needs a data set: live traffic asserts nothing")]
    Assertions,
    /// A scorer that cannot be asked here.
    #[error(
        "the scorer `{0}` does not score live traffic: a judge does (`judge`, `pairwise`), and those that ask nobody"
    )]
    Asked(&'static str),
    /// A judge without a name, or without what it goes by.
    #[error("the judge needs a `model`, and at most 64 KiB of text that it goes by")]
    Judge,
    /// A scorer that cannot be made.
    #[error(transparent)]
    Scorer(#[from] BadScorer),
    /// A rule that says nothing.
    #[error("`rule`: {0}")]
    Rule(#[from] BadRule),
}

impl Order {
    /// Whether it can be carried out, as far as can be told without a gateway.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), BadOrder> {
        for (what, name) in [
            ("flow", &self.flow),
            ("incumbent", &self.incumbent),
            ("candidate.model", &self.candidate.model),
        ] {
            if !is_name(name) {
                return Err(BadOrder::Name(what));
            }
        }
        let Change {
            model,
            system,
            temperature,
        } = &self.candidate;
        if *model == self.incumbent && system.is_none() && temperature.is_none() {
            return Err(BadOrder::NothingChanges);
        }
        if system
            .as_ref()
            .is_some_and(|text| text.len() > SYSTEM_BYTES_MAX)
        {
            return Err(BadOrder::System);
        }
        if let Some(value) = *temperature {
            within("candidate.temperature", value, "from 0 to 2", 0.0..=2.0)?;
        }
        self.scorer.check()?;
        if let Some(languages) = self.strata.languages() {
            let is_code = |code: &String| {
                code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_lowercase())
            };
            if languages.is_empty() || languages.len() > 16 || !languages.iter().all(is_code) {
                return Err(BadOrder::Languages);
            }
        }
        self.rule.check()?;
        self.mirror.check()?;
        self.stages.check()?;
        self.guards.check()
    }
}

/// What a judge goes by is at most so long, in bytes.
const RUBRIC_BYTES_MAX: usize = 64 << 10;

impl PairScorer {
    fn check(&self) -> Result<(), BadOrder> {
        match &self.0 {
            ScorerSpec::Assert => Err(BadOrder::Assertions),
            ScorerSpec::Judge {
                model,
                rubric: text,
            }
            | ScorerSpec::Pairwise {
                model,
                criteria: text,
                ..
            } => {
                let is_sound =
                    is_name(model) && !text.trim().is_empty() && text.len() <= RUBRIC_BYTES_MAX;
                is_sound.then_some(()).ok_or(BadOrder::Judge)
            }
            spec if spec.is_asked() => Err(BadOrder::Asked(spec.name())),
            spec => {
                Scorer::new(spec.clone())?;
                Ok(())
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

impl Mirror {
    fn check(&self) -> Result<(), BadOrder> {
        if self.share <= 0.0 {
            return Err(BadOrder::Number {
                what: "mirror.share",
                value: self.share,
                must: "above 0 and at most 1: without pairs nothing can be proven",
            });
        }
        within(
            "mirror.share",
            self.share,
            "above 0 and at most 1",
            0.0..=1.0,
        )?;
        within(
            "mirror.watch_share",
            self.watch_share,
            "from 0 to 1",
            0.0..=1.0,
        )?;
        within(
            "mirror.usd_max",
            self.usd_max,
            "from 0 to a million",
            0.0..=1e6,
        )?;
        let concurrency = f64::from(self.concurrency);
        within(
            "mirror.concurrency",
            concurrency,
            "from 1 to 64",
            1.0..=64.0,
        )?;
        let queue = f64::from(self.queue);
        within("mirror.queue", queue, "from 1 to 4096", 1.0..=4096.0)
    }
}

impl Stages {
    fn check(&self) -> Result<(), BadOrder> {
        let rises = self.shares.windows(2).all(|pair| pair[0] < pair[1]);
        let ends = self.shares.first().is_some_and(|first| *first > 0.0)
            && self.shares.last() == Some(&1.0);
        if !(rises && ends && self.shares.len() <= STEPS_MAX) {
            return Err(BadOrder::Shares);
        }
        let number = |count: u64| count as f64;
        within(
            "stages.requests_min",
            number(self.requests_min),
            "from 1 to a billion",
            1.0..=1e9,
        )?;
        within(
            "stages.seconds_min",
            number(self.seconds_min),
            "at most a year",
            0.0..=31_536_000.0,
        )?;
        within(
            "stages.watch_hours",
            number(self.watch_hours),
            "from 1 to 8760",
            1.0..=8_760.0,
        )
    }
}

impl Guards {
    fn check(&self) -> Result<(), BadOrder> {
        for guard in Guard::ALL {
            let Some(rule) = self.rule(guard) else {
                continue;
            };
            if !(rule.margin > 0.0 && rule.margin < 1.0) {
                return Err(BadOrder::Number {
                    what: guard.margin_name(),
                    value: rule.margin,
                    must: "above 0 and below 1",
                });
            }
            let is_limit = |limit: f64| limit.is_finite() && limit > 0.0;
            match (guard, rule.limit) {
                (Guard::Latency, None) => {
                    return Err(BadOrder::NoLimit(
                        "latency",
                        "milliseconds that are good enough",
                    ));
                }
                (Guard::Cost, None) => {
                    return Err(BadOrder::NoLimit("cost", "dollars that a request may cost"));
                }
                (_, Some(limit)) if !is_limit(limit) => {
                    return Err(BadOrder::Number {
                        what: "guards.limit",
                        value: limit,
                        must: "above 0",
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn within(
    what: &'static str,
    value: f64,
    must: &'static str,
    range: std::ops::RangeInclusive<f64>,
) -> Result<(), BadOrder> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(BadOrder::Number { what, value, must })
}
