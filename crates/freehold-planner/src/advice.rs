//! The answer, as data: what the reports show and what `--json` prints.

use serde::Serialize;

use crate::assumptions::Assumption;
use crate::break_even::{BreakEven, VolumePoint};
use crate::case::{Rejected, Settings};
use crate::choose::OwnedOption;
use crate::draws::Quantiles;
use crate::interview::Conclusion;
use crate::rates::RateCard;
use crate::tornado::Swing;
use crate::traffic::{FlowTraffic, Profile};
use crate::units::RecordedCost;

/// Rent, own, or some of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Pay by the token.
    Rent,
    /// Run an open model oneself.
    Own,
    /// Own some flows, rent the others.
    Split,
}

impl Decision {
    /// As a person would say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rent => "rent",
            Self::Own => "own",
            Self::Split => "split",
        }
    }
}

/// What is known of an open model's quality on a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "evidence")]
pub enum Quality {
    /// Nobody has shown that it is good enough.
    Unproven,
    /// Shown to be good enough; where.
    Proven(String),
    /// Shown not to be; where.
    Worse(String),
}

/// The cheapest thing to find out next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Experiment {
    /// What it tells.
    pub why: String,
    /// What to type.
    pub command: String,
    /// About what it costs.
    pub cost: String,
}

/// The verdict on all traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// In one sentence.
    pub headline: String,
    /// The rule that decided, by name; docs/advisor.md lists them.
    pub rule: &'static str,
    /// What it rests on.
    pub because: Vec<String>,
    /// What must hold, or be done first.
    pub conditions: Vec<String>,
    /// What is known of the open model's quality.
    pub quality: Quality,
    /// What to find out next.
    pub next: Experiment,
}

/// The verdict on one flow. Money is USD per month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowVerdict {
    /// Its use of a month, at the recorded rate.
    #[serde(flatten)]
    pub traffic: FlowTraffic,
    /// What to do with it.
    pub decision: Decision,
    /// Why.
    pub because: String,
    /// What is known of the open model's quality on it.
    pub quality: Quality,
    /// List price at today's API, recorded volume.
    pub api_usd: f64,
    /// The open model at a usual host, recorded volume.
    pub hosted_usd: Option<f64>,
    /// Saved against the cheaper way of renting if it alone were owned, over the horizon.
    pub alone: Quantiles,
    /// Share of draws in which owning it alone is cheapest.
    pub alone_cheapest: f64,
    /// Times today's volume from which on owning it alone is cheaper than today's API.
    pub break_even_multiple: Option<f64>,
}

/// What renting costs, USD per month at the recorded volume and today's prices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Renting {
    /// Today's API.
    pub api: RateCard,
    /// List price there, as recorded.
    pub api_usd: f64,
    /// What the record itself says that its requests cost.
    pub recorded: Option<RecordedCost>,
    /// The same open model elsewhere; `None` when the price book knows no host.
    pub hosted: Option<HostedRent>,
}

/// The same open model, hosted by others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostedRent {
    /// The model.
    pub model: String,
    /// Hosts with a list price.
    pub hosts: usize,
    /// The cheapest one.
    pub cheapest: String,
    /// The one taken as usual.
    pub usual: String,
    /// List price there for the recorded volume.
    pub usd: f64,
    /// Saved against today's API by moving there, over the horizon and draws.
    pub saving: Quantiles,
    /// Share of draws in which that is cheaper.
    pub cheaper: f64,
    /// Where prices are from.
    pub source: String,
}

/// The traffic, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficSummary {
    /// Requests of the record.
    pub recorded_requests: u64,
    /// How long was looked, hours.
    pub recorded_hours: f64,
    /// Whether requests were made up from parameters.
    pub is_generated: bool,
    /// A month at the recorded rate.
    pub month: FlowTraffic,
    /// Tokens of the busiest span over the mean.
    pub peak_to_mean: f64,
}

/// How full the owned GPUs are over the week, or over the record when that is shorter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Utilisation {
    /// When the traffic comes.
    pub profile: Profile,
    /// Load of the GPUs in each span, of the most that the simulated fleets carry within the service level,
    /// 0 to 1. A GPU with one request is busy and nearly empty, so busy time would not tell it.
    pub full: Vec<f64>,
    /// GPUs that are there.
    pub gpus: u32,
}

/// The whole answer. Same input and seed, same bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// What to do.
    pub verdict: Verdict,
    /// The traffic.
    pub traffic: TrafficSummary,
    /// What renting costs.
    pub renting: Renting,
    /// The best way to own.
    pub best: OwnedOption,
    /// The next best.
    pub runners_up: Vec<OwnedOption>,
    /// What was left out, and why.
    pub rejected: Vec<Rejected>,
    /// Flow by flow, the dearest first.
    pub flows: Vec<FlowVerdict>,
    /// Where owning becomes cheaper.
    pub break_even: Vec<BreakEven>,
    /// What the answer hangs on, the strongest first.
    pub tornado: Vec<Swing>,
    /// Cost over volume.
    pub volumes: Vec<VolumePoint>,
    /// How full the GPUs are.
    pub utilisation: Utilisation,
    /// What the answers of the interview lead to.
    pub conclusions: Vec<Conclusion>,
    /// What was assumed.
    pub assumptions: Vec<Assumption>,
    /// Where prices of GPUs are from.
    pub gpu_price_source: String,
    /// Defaults that were taken, and what the record lacks.
    pub notes: Vec<String>,
    /// What the model leaves out.
    pub not_modelled: Vec<&'static str>,
    /// How chance was looked at.
    pub settings: Settings,
}

/// What the model leaves out, for every report.
pub(crate) const NOT_MODELLED: [&str; 9] = [
    "Quality: a cheaper wrong answer is not cheaper. Only proofs on your own traffic count as evidence.",
    "Inputs are drawn independently; in truth, prices of APIs and of GPUs fall together.",
    "A split is served at its share of the whole traffic's load; its own bursts are not simulated apart.",
    "Slower draws of throughput change the number of GPUs, not the latencies.",
    "Taxes, exchange rates, and the price of a vendor's lock-in or of its outages.",
    "Fine-tuning, embeddings, pictures and sound.",
    "Free tiers, credits, and volume discounts that are not given as an assumption.",
    "Bought hardware is written off evenly over its life; what the horizon leaves is worth its book value.",
    "Prices change smoothly; a new model at a tenth of the price next month is beyond the ranges.",
];
