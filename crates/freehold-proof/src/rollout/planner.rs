//! What follows from what was seen: wait, go on, or go back. Pure: the same state, evidence and time give the same step.

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Guard};
use super::order::{Autopilot, Order};
use crate::judge::{Judgement, Rule, Standing};
use crate::strata::StratumJudgement;

/// Guards speak after so many samples: a candidate that always fails must not wait for the rule's own minimum.
const GUARD_SAMPLES_MIN: u64 = 5;

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The candidate answers, and nobody sees it.
    Shadow,
    /// The candidate serves the share of this step, counted from 0.
    Canary(usize),
    /// The candidate serves everything, and stays watched.
    Promoted,
    /// The candidate was called back.
    RolledBack,
    /// An operator ended it.
    Aborted,
    /// It was promoted, and an operator has made that permanent in the configuration.
    Finished,
}

impl Stage {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::RolledBack | Self::Aborted | Self::Finished)
    }

    /// The candidate's share of the traffic.
    #[must_use]
    pub fn share(self, order: &Order) -> f64 {
        match self {
            Self::Canary(step) => order.stages.shares.get(step).copied().unwrap_or(0.0),
            Self::Promoted => 1.0,
            Self::Shadow | Self::RolledBack | Self::Aborted | Self::Finished => 0.0,
        }
    }

    /// The share of the traffic that the other side answers too.
    #[must_use]
    pub fn mirror_share(self, order: &Order) -> f64 {
        match self {
            Self::Shadow | Self::Canary(_) => order.mirror.share,
            Self::Promoted => order.mirror.watch_share,
            Self::RolledBack | Self::Aborted | Self::Finished => 0.0,
        }
    }

    fn next(self, order: &Order) -> Option<Self> {
        match self {
            Self::Shadow => Some(Self::Canary(0)),
            Self::Canary(step) if step + 1 < order.stages.shares.len() => {
                Some(Self::Canary(step + 1))
            }
            Self::Canary(_) => Some(Self::Promoted),
            Self::Promoted | Self::RolledBack | Self::Aborted | Self::Finished => None,
        }
    }

    /// In words.
    #[must_use]
    pub fn told(self, order: &Order) -> String {
        match self {
            Self::Shadow => "shadow".to_owned(),
            Self::Canary(_) => format!("canary {} %", percent(self.share(order))),
            Self::Promoted => "promoted".to_owned(),
            Self::RolledBack => "rolled back".to_owned(),
            Self::Aborted => "aborted".to_owned(),
            Self::Finished => "finished".to_owned(),
        }
    }
}

fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub stage: Stage,
    /// Which period it is in: evidence begins anew with each.
    pub period: u64,
    /// When the period began, Unix milliseconds.
    pub entered_unix_ms: u64,
    /// An operator stopped it: nothing goes forward. Going back still happens.
    pub paused: bool,
    /// An operator lets it take the next step.
    pub accepted: bool,
}

impl State {
    /// At the beginning.
    #[must_use]
    pub fn new(now_unix_ms: u64) -> Self {
        Self {
            stage: Stage::Shadow,
            period: 0,
            entered_unix_ms: now_unix_ms,
            paused: false,
            accepted: false,
        }
    }

    /// After a step to this stage.
    #[must_use]
    pub fn moved(&self, stage: Stage, now_unix_ms: u64) -> Self {
        Self {
            stage,
            period: self.period + 1,
            entered_unix_ms: now_unix_ms,
            paused: self.paused,
            accepted: false,
        }
    }
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Nothing yet.
    Wait {
        /// What is missing.
        missing: Vec<String>,
    },
    /// Everything is there, but an operator must accept it.
    Propose {
        /// Where to.
        to: Stage,
        /// Why.
        why: String,
    },
    /// Go on.
    Advance {
        /// Where to.
        to: Stage,
        /// Why.
        why: String,
    },
    /// Look at a new stretch.
    Renew {
        /// Why.
        why: String,
    },
    /// Go back.
    RollBack {
        /// Why.
        why: String,
    },
}

/// What one test says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// A guard, or `scores`.
    pub what: &'static str,
    /// Its margin.
    pub margin: f64,
    /// The incumbent's mean, where there is one.
    pub incumbent: Option<f64>,
    /// The candidate's.
    pub candidate: Option<f64>,
    /// What follows from it.
    pub judgement: Judgement,
}

impl Evidence {
    /// What the scores say. `tests` share the chance to call back wrongly.
    #[must_use]
    pub fn scores(&self, order: &Order) -> StratumJudgement {
        self.pairs.judge(&shared(&order.rule, tests(order)))
    }

    /// What the guards say.
    #[must_use]
    pub fn findings(&self, order: &Order) -> Vec<Finding> {
        let found = Guard::ALL.into_iter().filter_map(|guard| {
            let rule = guard_rule(order, guard)?;
            let seen = self.guards.get(&guard)?;
            Some(Finding {
                what: guard.as_str(),
                margin: rule.margin,
                incumbent: seen.incumbent.get(),
                candidate: seen.candidate.get(),
                judgement: rule.judge(&seen.differences()),
            })
        });
        found.collect()
    }
}

/// How many tests may call a rollout back on its way to the promotion: each guard and the scores, in each stage.
fn tests(order: &Order) -> usize {
    (order.guards.count() + 1) * (order.stages.shares.len() + 1)
}

/// The rule with the chance to call back wrongly shared among all tests (Bonferroni).
fn shared(rule: &Rule, tests: usize) -> Rule {
    Rule {
        wrong_refusal: rule.wrong_refusal / tests.max(1) as f64,
        ..*rule
    }
}

/// By which rule a guard calls back, if it stands.
fn guard_rule(order: &Order, guard: Guard) -> Option<Rule> {
    let rule = order.guards.rule(guard)?;
    Some(Rule {
        margin: rule.margin,
        samples_min: GUARD_SAMPLES_MIN,
        ..shared(&order.rule, tests(order))
    })
}

/// What follows, without words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Follows {
    Wait,
    Forward(Stage),
    Renew,
    Back,
}

pub(super) fn follows(order: &Order, state: &State, seen: &Evidence, now_unix_ms: u64) -> Follows {
    let stage = state.stage;
    if stage.is_over() {
        return Follows::Wait;
    }
    let objects = |guard: &Guard| {
        let rule = guard_rule(order, *guard);
        let judged = rule.zip(seen.guards.get(guard));
        judged
            .is_some_and(|(rule, seen)| rule.standing(&seen.differences(), 1) == Standing::Refuted)
    };
    let scores = seen.pairs.standing(&shared(&order.rule, tests(order)));
    if scores == Standing::Refuted || Guard::ALL.iter().any(objects) {
        return Follows::Back;
    }
    let elapsed_s = elapsed_s(state, now_unix_ms);
    let Some(to) = stage.next(order) else {
        let is_over = elapsed_s >= order.stages.watch_hours.saturating_mul(3_600);
        return if is_over {
            Follows::Renew
        } else {
            Follows::Wait
        };
    };
    let is_ready = match stage {
        Stage::Shadow => scores == Standing::Proven,
        _ => {
            seen.candidate_requests >= order.stages.requests_min
                && elapsed_s >= order.stages.seconds_min
        }
    };
    if is_ready && !state.paused {
        Follows::Forward(to)
    } else {
        Follows::Wait
    }
}

fn elapsed_s(state: &State, now_unix_ms: u64) -> u64 {
    now_unix_ms.saturating_sub(state.entered_unix_ms) / 1_000
}

/// What follows from what was seen in the period under way.
#[must_use]
pub fn next(order: &Order, state: &State, seen: &Evidence, now_unix_ms: u64) -> Step {
    match follows(order, state, seen, now_unix_ms) {
        Follows::Back => Step::RollBack {
            why: called_back(order, seen),
        },
        Follows::Renew => {
            let hours = order.stages.watch_hours;
            let why = format!("{hours} hours are over, and no guard objects");
            Step::Renew { why }
        }
        Follows::Wait => Step::Wait {
            missing: missing(order, state, seen, elapsed_s(state, now_unix_ms)),
        },
        Follows::Forward(to) => {
            let why = why(order, state.stage, seen);
            let may = match order.autopilot {
                Autopilot::Off => false,
                Autopilot::Canary => to != Stage::Promoted,
                Autopilot::Full => true,
            };
            if may || state.accepted {
                Step::Advance { to, why }
            } else {
                Step::Propose { to, why }
            }
        }
    }
}

fn called_back(order: &Order, seen: &Evidence) -> String {
    let tripped = seen
        .findings(order)
        .into_iter()
        .find(|finding| finding.judgement.standing == Standing::Refuted);
    if let Some(finding) = tripped {
        return format!(
            "guard {}: {} of good requests on the candidate, {} on the incumbent, by {} samples; \
             {} less is allowed",
            finding.what,
            told(finding.candidate),
            told(finding.incumbent),
            finding.judgement.samples,
            finding.margin,
        );
    }
    let scores = seen.scores(order);
    let worst = scores
        .strata
        .iter()
        .find(|(_, judgement)| judgement.standing == Standing::Refuted);
    let (stratum, judgement) = worst.map_or(("all", &scores.all), |(name, one)| (name, one));
    format!(
        "scores: {:+.4} in {stratum} by {} pairs (at most {:+.4}); {} less is allowed",
        judgement.difference, judgement.samples, judgement.interval.high, order.rule.margin
    )
}

fn told(mean: Option<f64>) -> String {
    mean.map_or_else(|| "?".to_owned(), |mean| format!("{:.1} %", mean * 100.0))
}

/// What is missing before the next step, in words.
fn missing(order: &Order, state: &State, seen: &Evidence, elapsed_s: u64) -> Vec<String> {
    let mut missing = Vec::new();
    if state.stage.next(order).is_none() {
        return missing;
    }
    if state.paused {
        missing.push("it is paused: `freehold rollout resume` goes on".to_owned());
    }
    if state.stage == Stage::Shadow {
        let scores = seen.scores(order);
        if scores.standing != Standing::Proven {
            let all = &scores.all;
            let more = match (all.more.as_so_far, all.more.if_equal) {
                (Some(more), _) => format!("about {more} more pairs, if it goes on so"),
                (None, Some(more)) => {
                    format!("never as it goes; about {more} more pairs for an equal candidate")
                }
                (None, None) => format!("at least {} pairs", order.rule.samples_min),
            };
            missing.push(format!("the proof: {more}"));
        }
        return missing;
    }
    if seen.candidate_requests < order.stages.requests_min {
        let more = order.stages.requests_min - seen.candidate_requests;
        missing.push(format!("{more} more requests on the candidate"));
    }
    if elapsed_s < order.stages.seconds_min {
        missing.push(format!(
            "{} more seconds",
            order.stages.seconds_min - elapsed_s
        ));
    }
    missing
}

fn why(order: &Order, stage: Stage, seen: &Evidence) -> String {
    if stage == Stage::Shadow {
        let all = seen.scores(order).all;
        return format!(
            "proven by a margin of {} on {} pairs: difference {:+.4} ({:+.4} to {:+.4})",
            order.rule.margin, all.samples, all.difference, all.interval.low, all.interval.high
        );
    }
    format!(
        "{} requests on the candidate, and no guard objects",
        seen.candidate_requests
    )
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
