//! What is asked: traffic, prices, what could be owned, and what is known besides.

use std::collections::BTreeMap;

use freehold_workload::Workload;
use serde::{Deserialize, Serialize};

use crate::assumptions::Assumptions;
use crate::candidate::Candidate;
use crate::error::PlanError;
use crate::interview::Answers;
use crate::rates::RateCard;
use crate::traffic::Traffic;

/// How carefully chance is looked at, and how far ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Draws of the Monte Carlo, 10 to 100,000.
    pub draws: usize,
    /// The same seed gives the same answer.
    pub seed: u64,
    /// Horizon, months, 1 to 120.
    pub months: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            draws: 1_000,
            seed: 1,
            months: 24,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let wrong = |name, value: String, must_be| {
            Err(PlanError::Setting {
                name,
                value,
                must_be,
            })
        };
        if !(10..=100_000).contains(&self.draws) {
            return wrong("draws", self.draws.to_string(), "10 to 100000");
        }
        if !(1..=120).contains(&self.months) {
            return wrong("months", self.months.to_string(), "1 to 120");
        }
        Ok(())
    }
}

/// What decides a flow regardless of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowBound {
    /// The flow.
    pub flow: String,
    /// Where it must be served.
    pub must: Must,
    /// Who says so.
    pub why: String,
}

/// Where a flow must be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Must {
    /// On the owner's machines.
    Own,
    /// At a vendor.
    Rent,
}

/// Statistical evidence on whether an open model is good enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The flow that it is about; `None` for all traffic.
    pub flow: Option<String>,
    /// The open model.
    pub model: String,
    /// Whether it is not worse than today's by more than was allowed.
    pub is_good_enough: bool,
    /// Where it can be looked up.
    pub evidence: String,
}

/// A way to own that was looked at and left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// What it is called.
    pub name: String,
    /// Why it is out, and what would bring it back.
    pub why: String,
}

/// Everything that the verdict rests on.
#[derive(Debug)]
pub struct Case<'a> {
    /// The traffic, request by request.
    pub workload: &'a Workload,
    /// The same, as money sees it.
    pub traffic: &'a Traffic,
    /// What the API used today charges.
    pub api: RateCard,
    /// What hosts charge for each candidate's model, cheapest first.
    pub hosts: BTreeMap<String, Vec<RateCard>>,
    /// What could be owned.
    pub candidates: Vec<Candidate>,
    /// What was left out before, such as models that do not fit.
    pub rejected: Vec<Rejected>,
    /// What is assumed.
    pub assumptions: Assumptions,
    /// What data cannot tell.
    pub answers: Answers,
    /// What decides single flows.
    pub flow_bounds: Vec<FlowBound>,
    /// What is known of quality.
    pub proofs: Vec<Proof>,
    /// How to look at chance.
    pub settings: Settings,
    /// Defaults that somebody took, and what the record lacks.
    pub notes: Vec<String>,
}
