//! From figures to a decision. Every rule has a name; docs/advisor.md lists them.

use crate::advice::{Decision, Experiment, FlowVerdict, HostedRent, Quality, Verdict};
use crate::case::{Case, Must};
use crate::choose::{Looked, OwnedOption};
use crate::units::Unit;

/// Owning must be cheapest in this share of draws.
pub(crate) const SURE: f64 = 0.8;
/// Its median saving must be this part of the rent that it replaces.
pub(crate) const WORTH_IT: f64 = 0.1;
/// Below this share of draws, nobody should think about it any more.
const HOPELESS: f64 = 0.2;

/// Whether money says to own.
pub(crate) fn pays(option: &OwnedOption) -> bool {
    let rent = option.own_usd.p50 + option.saving.p50;
    option.cheapest >= SURE && option.saving.p50 >= WORTH_IT * rent.max(0.0)
}

/// What is known of a model on a flow; a proof of the flow is stronger than one of all traffic.
pub(crate) fn quality(case: &Case<'_>, model: &str, flow: Option<&str>) -> Quality {
    let of_model = case.proofs.iter().filter(|proof| proof.model == model);
    let mut found: Vec<_> = of_model
        .filter(|proof| proof.flow.is_none() || proof.flow.as_deref() == flow)
        .collect();
    found.sort_by_key(|proof| proof.flow.is_none());
    match found.first() {
        None => Quality::Unproven,
        Some(proof) if proof.is_good_enough => Quality::Proven(proof.evidence.clone()),
        Some(proof) => Quality::Worse(proof.evidence.clone()),
    }
}

/// Quality of all flows of an option: proven only when it is on each.
pub(crate) fn quality_of_all(case: &Case<'_>, option: &OwnedOption) -> Quality {
    let each = option
        .flows
        .iter()
        .map(|flow| quality(case, &option.model, Some(flow)));
    let mut all = None;
    for one in each {
        all = match (all, one) {
            (_, worse @ Quality::Worse(_)) => return worse,
            (Some(Quality::Unproven), _) | (_, Quality::Unproven) => Some(Quality::Unproven),
            (_, proven) => Some(proven),
        };
    }
    all.unwrap_or(Quality::Unproven)
}

/// What was found out, for the verdict.
pub(crate) struct Findings<'a> {
    pub(crate) case: &'a Case<'a>,
    pub(crate) units: &'a [Unit],
    pub(crate) best: &'a Looked<'a>,
    pub(crate) hosted: Option<&'a HostedRent>,
    pub(crate) api_usd: f64,
}

impl Findings<'_> {
    fn bound(&self, must: Must) -> Option<&str> {
        let mut bound = self.units.iter().filter_map(|unit| unit.must.as_ref());
        bound
            .find(|(other, _)| *other == must)
            .map(|(_, why)| why.as_str())
    }

    /// What to do, and the rule that says so.
    fn decide(&self) -> (Decision, &'static str) {
        let bound = |must: Must| {
            let units = self.units.iter();
            units
                .filter(|unit| unit.must.as_ref().is_some_and(|(bound, _)| *bound == must))
                .count()
        };
        let (own, rent) = (bound(Must::Own), bound(Must::Rent));
        let told = &self.best.told;
        let all_or_some = if told.is_all {
            Decision::Own
        } else {
            Decision::Split
        };
        let quality = quality_of_all(self.case, told);
        if own == self.units.len() {
            (Decision::Own, "must-own")
        } else if rent == self.units.len() {
            (Decision::Rent, "must-rent")
        } else if own > 0 {
            (all_or_some, "must-own-some")
        } else if let Quality::Worse(_) = quality {
            (Decision::Rent, "quality-worse")
        } else if pays(told) {
            (all_or_some, "owning-pays")
        } else if told.cheapest < HOPELESS {
            (Decision::Rent, "renting-pays")
        } else {
            (Decision::Rent, "too-close-to-call")
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let (decision, rule) = self.decide();
        let told = &self.best.told;
        let quality = quality_of_all(self.case, told);
        Verdict {
            decision,
            headline: self.headline(decision, rule),
            rule,
            because: self.because(),
            conditions: self.conditions(decision, rule, &quality),
            next: self.next(decision, &quality),
            quality,
        }
    }

    fn headline(&self, decision: Decision, rule: &str) -> String {
        let told = &self.best.told;
        let saving = told.saving.p50;
        match (decision, rule) {
            (Decision::Rent, "must-rent") => {
                format!(
                    "Keep renting: {} decides.",
                    self.bound(Must::Rent).unwrap_or("a rule")
                )
            }
            (Decision::Rent, "quality-worse") => {
                "Keep renting: the open model was shown to be worse.".to_owned()
            }
            (Decision::Rent, "too-close-to-call") => format!(
                "Keep renting for now: owning is the cheapest in {} of 100 draws only.",
                percent(told.cheapest)
            ),
            (Decision::Rent, _) => match self.hosted.filter(|hosted| hosted.cheaper >= SURE) {
                Some(hosted) => format!(
                    "Keep renting; the same open model at a host would save about {} a month.",
                    usd(hosted.saving.p50)
                ),
                None => format!(
                    "Keep renting: owning would cost about {} a month more.",
                    usd(-saving)
                ),
            },
            (_, "must-own" | "must-own-some") if saving < 0.0 => format!(
                "Own {}: {} decides. It costs about {} a month more than renting would.",
                self.what(),
                self.bound(Must::Own).unwrap_or("a rule"),
                usd(-saving)
            ),
            (_, "must-own" | "must-own-some") => format!(
                "Own {}: {} decides. It saves about {} a month as well.",
                self.what(),
                self.bound(Must::Own).unwrap_or("a rule"),
                usd(saving)
            ),
            _ => format!(
                "Own {}: it saves about {} a month.",
                self.what(),
                usd(saving)
            ),
        }
    }

    fn what(&self) -> String {
        let told = &self.best.told;
        match told.flows.as_slice() {
            _ if told.is_all => "it all".to_owned(),
            [one] => format!("{one} and rent the rest"),
            several => format!(
                "{} of {} flows and rent the rest",
                several.len(),
                self.units.len()
            ),
        }
    }

    fn because(&self) -> Vec<String> {
        let told = &self.best.told;
        let mut because = vec![format!(
            "Today's API costs {} a month at list price. The best way to own {}: {}; {} a month (P10 {}, P90 \
             {}) over {} months, building included.",
            usd(self.api_usd),
            if told.is_all { "it" } else { "a part" },
            told.name,
            usd(told.own_usd.p50),
            usd(told.own_usd.p10),
            usd(told.own_usd.p90),
            self.case.settings.months,
        )];
        because.push(match self.hosted {
            Some(hosted) => format!(
                "The same open model at {} costs {} a month; moving there beats today's API in {} of 100 draws.",
                hosted.usual,
                usd(hosted.usd),
                percent(hosted.cheaper)
            ),
            None => "The price book knows no host of this open model: that comparison is missing.".to_owned(),
        });
        because.push(format!(
            "Owning is cheaper than today's API in {} of 100 draws, and cheaper than both ways of renting in {}.",
            percent(told.cheaper_than_api),
            percent(told.cheapest)
        ));
        let people = told.month.people_usd;
        if people > told.month.gpus_usd {
            because.push(format!(
                "People cost more than GPUs: {} against {} a month.",
                usd(people),
                usd(told.month.gpus_usd)
            ));
        }
        if told.busy < 0.3 && told.gpus_peak > 0 {
            because.push(format!(
                "{} {} would be busy {} % of the time.",
                told.gpus_peak,
                if told.gpus_peak == 1 { "GPU" } else { "GPUs" },
                percent(told.busy)
            ));
        }
        because
    }

    fn conditions(&self, decision: Decision, rule: &str, quality: &Quality) -> Vec<String> {
        let mut conditions = Vec::new();
        let told = &self.best.told;
        let moves = decision != Decision::Rent;
        let would_move = self.hosted.is_some_and(|hosted| hosted.cheaper >= SURE);
        if (moves || would_move) && *quality == Quality::Unproven {
            conditions.push(format!(
                "{} has not been shown to be good enough on this traffic: prove that first \
                 (`freehold eval compare ... --save proofs.json`).",
                told.model
            ));
        }
        if let (true, Quality::Worse(evidence)) = (moves, quality) {
            conditions.push(format!(
                "{} was shown to be worse ({evidence}): find a better one, or change the task.",
                told.model
            ));
        }
        if moves && self.case.answers.bounds().must_rent.is_some() && rule.starts_with("must-own") {
            conditions
                .push("The answers of the interview conflict: see the conclusions.".to_owned());
        }
        if moves && told.keeps_slo < 0.9 {
            conditions.push(format!(
                "The service level holds in {} of 100 draws only: plan for spare GPUs.",
                percent(told.keeps_slo)
            ));
        }
        if moves && told.extrapolates {
            conditions.push(
                "The traffic grows beyond what was simulated: look again on the way.".to_owned(),
            );
        }
        if moves && self.case.traffic.recorded_hours < 168.0 {
            conditions.push(
                "The record is shorter than a week: nights and weekends may halve the use."
                    .to_owned(),
            );
        }
        conditions
    }

    /// The flow to begin with: the largest of the plan, else the largest of all.
    fn flow_to_move(&self) -> &str {
        let planned = &self.best.told.flows;
        let of = |only_planned: bool| {
            let units = self.units.iter().map(|unit| &unit.traffic);
            units
                .filter(|traffic| !only_planned || planned.contains(&traffic.flow))
                .max_by(|one, other| one.requests.total_cmp(&other.requests))
        };
        of(true)
            .or_else(|| of(false))
            .map_or("FLOW", |traffic| traffic.flow.as_str())
    }

    fn next(&self, decision: Decision, quality: &Quality) -> Experiment {
        let told = &self.best.told;
        if self.case.traffic.is_generated || self.case.traffic.recorded_hours < 168.0 {
            return Experiment {
                why: "A real week tells nights, weekends and bursts; all that follows hangs on it.".to_owned(),
                command: "freehold serve   # a week in front of your API, then: freehold advise --ledger --since 7d"
                    .to_owned(),
                cost: "nothing but the API bill that you pay anyway".to_owned(),
            };
        }
        let flow = quoted(self.flow_to_move());
        if let (Quality::Proven(evidence), true) = (quality, decision != Decision::Rent) {
            return Experiment {
                why: format!(
                    "{} is proven ({evidence}): move `{flow}` to it step by step, and back by itself.",
                    told.model
                ),
                command: format!(
                    "freehold rollout plan --flow {flow} --from '*' --to BACKEND/{} --scorer SCORER --saving {:.0} \
                     --out move.yaml",
                    told.model,
                    told.saving.p50.max(0.0)
                ),
                cost: "the servers, and nothing that cannot be taken back within a second"
                    .to_owned(),
            };
        }
        if *quality == Quality::Unproven
            && let Some(hosted) = self.hosted
        {
            let month = self.case.traffic.total();
            let per_request = hosted.usd / month.requests.max(1.0);
            return Experiment {
                why: format!(
                    "Whether {} is good enough, unseen beside what serves `{flow}` today, before any GPU is rented.",
                    told.model
                ),
                command: format!(
                    "freehold rollout plan --flow {flow} --from '*' --to {} --scorer SCORER --out move.yaml",
                    hosted.usual
                ),
                cost: format!(
                    "about {} for 1,000 mirrored requests, of which a proof usually takes fewer",
                    small_usd(per_request * 1_000.0)
                ),
            };
        }
        Experiment {
            why: "The input that the answer hangs on most: replace its range with your own figure."
                .to_owned(),
            command: "freehold advise ... --assumptions own.yaml".to_owned(),
            cost: "an hour of somebody who knows it".to_owned(),
        }
    }

    /// The verdict on one flow.
    pub(crate) fn flow(&self, unit: &Unit, alone: FlowVerdict, decision: Decision) -> FlowVerdict {
        let told = &self.best.told;
        let in_plan = decision != Decision::Rent && told.flows.contains(&unit.traffic.flow);
        let because = match (&unit.must, in_plan) {
            (Some((Must::Own, why)), _) => format!("{why} keeps it inside"),
            (Some((Must::Rent, why)), _) => format!("{why} keeps it rented"),
            (None, true) => "it pays together with the others of the plan".to_owned(),
            (None, false) if alone.alone_cheapest >= HOPELESS => {
                format!(
                    "owning it alone is the cheapest in {} of 100 draws only",
                    percent(alone.alone_cheapest)
                )
            }
            (None, false) => "owning it would cost more".to_owned(),
        };
        let owned = match &unit.must {
            Some((Must::Own, _)) => true,
            Some((Must::Rent, _)) => false,
            None => in_plan,
        };
        FlowVerdict {
            decision: if owned { Decision::Own } else { Decision::Rent },
            because,
            ..alone
        }
    }
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

/// Dollars as a person would say them: three digits that matter.
pub(crate) fn usd(amount: f64) -> String {
    let size = amount.abs();
    let text = match size {
        _ if size >= 1e9 => format!("{:.2} billion", size / 1e9),
        _ if size >= 999_500.0 => format!("{:.2} million", size / 1e6),
        _ if size >= 1e5 => format!("{:.0},000", size / 1e3),
        _ if size >= 1e3 => {
            let tens = (size / 10.0).round() * 10.0;
            format!("{:.0},{:03.0}", (tens / 1e3).floor(), tens % 1e3)
        }
        _ => format!("{size:.0}"),
    };
    let sign = if amount <= -0.5 { "-" } else { "" };
    format!("{sign}${text}")
}

fn small_usd(amount: f64) -> String {
    if amount < 10.0 {
        format!("${amount:.2}")
    } else {
        usd(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_read_well() {
        for (amount, text) in [
            (0.0, "$0"),
            (-0.2, "$0"),
            (42.4, "$42"),
            (-950.0, "-$950"),
            (1_234.0, "$1,230"),
            (10_049.0, "$10,050"),
            (123_456.0, "$123,000"),
            (2_345_678.0, "$2.35 million"),
            (999_995.0, "$1.00 million"),
        ] {
            assert_eq!(usd(amount), text);
        }
    }
}
