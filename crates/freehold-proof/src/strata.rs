//! Judging part by part: a mean over all hides a language in which the candidate fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::differences::{Differences, Score};
use crate::judge::{Judgement, Rule, Standing};

/// Differences by stratum: a language, a difficulty, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stratified {
    strata: BTreeMap<String, Differences>,
}

/// What the evidence says of all strata together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumJudgement {
    /// Proven when every stratum is, refuted when one is.
    pub standing: Standing,
    /// Of all samples, whatever their stratum.
    pub all: Judgement,
    /// Of each stratum.
    pub strata: BTreeMap<String, Judgement>,
}

impl Stratified {
    /// Both models answered the same request of this stratum.
    pub fn pair(&mut self, stratum: &str, incumbent: Score, candidate: Score) {
        let strata = &mut self.strata;
        if let Some(differences) = strata.get_mut(stratum) {
            differences.pair(incumbent, candidate);
            return;
        }
        let mut differences = Differences::default();
        differences.pair(incumbent, candidate);
        strata.insert(stratum.to_owned(), differences);
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (stratum, differences) in &other.strata {
            let strata = &mut self.strata;
            strata
                .entry(stratum.clone())
                .or_default()
                .merge(differences);
        }
    }

    /// The differences of each stratum.
    #[must_use]
    pub fn strata(&self) -> &BTreeMap<String, Differences> {
        &self.strata
    }

    /// Where the candidate stands, as [`Stratified::judge`] says it, without all the figures.
    #[must_use]
    pub fn standing(&self, rule: &Rule) -> Standing {
        let mut together = Differences::default();
        for differences in self.strata.values() {
            together.merge(differences);
        }
        let parts = self.strata.len() + 1;
        let each = self.strata.values().chain([&together]);
        whole(each.map(|differences| rule.standing(differences, parts)))
    }

    /// What the evidence says. Whoever is told that a stratum refutes the whole errs no more often
    /// than the rule allows for all strata together.
    #[must_use]
    pub fn judge(&self, rule: &Rule) -> StratumJudgement {
        let mut together = Differences::default();
        for differences in self.strata.values() {
            together.merge(differences);
        }
        // The whole is judged too, and can refute as well.
        let parts = self.strata.len() + 1;
        let all = rule.judge_among(&together, parts);
        let strata: BTreeMap<_, _> = self
            .strata
            .iter()
            .map(|(name, differences)| (name.clone(), rule.judge_among(differences, parts)))
            .collect();
        let each = strata.values().chain([&all]);
        let standing = whole(each.map(|one| one.standing));
        StratumJudgement {
            standing,
            all,
            strata,
        }
    }
}

/// Proven when every part is, refuted when one is.
fn whole(parts: impl Iterator<Item = Standing>) -> Standing {
    let mut is_proven = true;
    for part in parts {
        match part {
            Standing::Refuted => return Standing::Refuted,
            Standing::NotYet => is_proven = false,
            Standing::Proven => {}
        }
    }
    if is_proven {
        Standing::Proven
    } else {
        Standing::NotYet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(parts: &[(&str, usize, usize)]) -> Stratified {
        let mut seen = Stratified::default();
        for (name, right, wrong) in parts {
            for _ in 0..*right {
                seen.pair(name, Score::of(true), Score::of(true));
            }
            for _ in 0..*wrong {
                seen.pair(name, Score::of(true), Score::of(false));
            }
        }
        seen
    }

    #[test]
    fn a_mean_hides_no_stratum() {
        let rule = Rule::default();
        let judged = seen(&[("en", 5_000, 0), ("de", 40, 60)]).judge(&rule);
        assert_eq!(judged.all.standing, Standing::Proven);
        assert_eq!(judged.strata["en"].standing, Standing::Proven);
        assert_eq!(judged.strata["de"].standing, Standing::Refuted);
        assert_eq!(judged.standing, Standing::Refuted);
    }

    #[test]
    fn a_small_stratum_keeps_the_whole_open() {
        let judged = seen(&[("en", 5_000, 0), ("de", 5, 0)]).judge(&Rule::default());
        assert_eq!(judged.strata["de"].standing, Standing::NotYet);
        assert_eq!(judged.standing, Standing::NotYet);
        assert_eq!(
            Stratified::default().judge(&Rule::default()).standing,
            Standing::NotYet
        );
    }
}
