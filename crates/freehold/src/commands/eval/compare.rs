//! `freehold eval compare`: two runs of one data set, judged in pairs.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use freehold_proof::scorers::{Outcome, ScorerSpec};
use freehold_proof::{Score, Standing, Stratified, StratumJudgement};
use serde::Serialize;

use super::record::Results;
use crate::cli::CompareArgs;
use crate::commands::export::Place;
use crate::commands::proof::{Found, rule, told};
use crate::commands::usage::printable;

/// One line of the file of pairs, as `freehold proof judge` reads it.
#[derive(Serialize)]
pub(super) struct Pair<'a> {
    id: &'a str,
    pub(super) incumbent: Score,
    pub(super) candidate: Score,
    pub(super) stratum: &'a str,
}

/// What is told as JSON.
#[derive(Serialize)]
struct Compared<'a> {
    incumbent: &'a str,
    candidate: &'a str,
    version: &'a str,
    scorer: &'a str,
    pairs: usize,
    missing: usize,
    not_applicable: usize,
    judgement: &'a StratumJudgement,
}

pub(super) fn run(args: &CompareArgs) -> Result<bool> {
    let rule = rule(args.rule)?;
    let [incumbent, candidate] = [
        Results::read(&args.incumbent)?,
        Results::read(&args.candidate)?,
    ];
    same(&incumbent, &candidate)?;
    let version = &incumbent.head.version;
    let scorer = scorer(args, &incumbent, &candidate)?;
    let (pairs, missing, not_applicable) = pairs(&incumbent, &candidate, &scorer);
    if missing > 0 && !args.allow_missing {
        bail!(
            "{missing} of {} cases have no score on one side: run the evaluations again, which asks what has no answer, or \
             judge the others with --allow-missing (whoever fails on hard cases looks better then)",
            incumbent.head.cases
        );
    }
    ensure!(
        !pairs.is_empty(),
        "no case has a score by `{scorer}` on both sides"
    );
    if let Some(path) = &args.pairs {
        write(path, &pairs, args.force)?;
    }
    let mut seen = Stratified::default();
    for pair in &pairs {
        seen.pair(pair.stratum, pair.incumbent, pair.candidate);
    }
    let judged = seen.judge(&rule);
    if let (Some(path), Some(model)) = (&args.save, &args.model) {
        let found = Found {
            judged: &judged,
            rule: &rule,
            scores: format!(
                "{} against {} by {scorer} on {}, version {}",
                candidate.head.model,
                incumbent.head.model,
                incumbent.head.dataset,
                short(version)
            ),
        };
        found.save(path, model, args.flow.as_deref())?;
    }
    let compared = Compared {
        incumbent: &incumbent.head.model,
        candidate: &candidate.head.model,
        version,
        scorer: &scorer,
        pairs: pairs.len(),
        missing,
        not_applicable,
        judgement: &judged,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&compared)?)?;
    } else {
        writeln!(std::io::stderr().lock(), "{}", compared.text())?;
        writeln!(out, "{}", told(&judged, &rule))?;
    }
    Ok(judged.standing == Standing::Proven)
}

/// Only answers to the same cases can be compared.
pub(super) fn same(incumbent: &Results, candidate: &Results) -> Result<()> {
    let [first, second] = [incumbent, candidate].map(|results| &results.head.version);
    ensure!(
        first == second,
        "the files are of different versions of the data set ({} and {}): run both on the same cases",
        short(first),
        short(second)
    );
    Ok(())
}

/// The names of scorers that both have, going by the same.
pub(super) fn common<'a>(incumbent: &'a Results, candidate: &Results) -> Vec<&'a str> {
    let theirs = &candidate.head.scorers;
    let both = incumbent
        .head
        .scorers
        .iter()
        .filter(|spec| theirs.contains(spec));
    both.map(ScorerSpec::name).collect()
}

pub(super) fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

impl Compared<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "{} in the place of {}, by {} on {} pairs of version {}",
            printable(self.candidate),
            printable(self.incumbent),
            self.scorer,
            self.pairs,
            short(self.version)
        );
        if self.missing > 0 {
            text.push_str(&format!("; {} cases are missing", self.missing));
        }
        if self.not_applicable > 0 {
            text.push_str(&format!(
                "; to {} cases the scorer does not apply",
                self.not_applicable
            ));
        }
        text
    }
}

/// The scorer that is asked for, or the only one of both; it must go by the same.
fn scorer(args: &CompareArgs, incumbent: &Results, candidate: &Results) -> Result<String> {
    let both = common(incumbent, candidate);
    match &args.scorer {
        Some(name) if both.contains(&name.as_str()) => Ok(name.clone()),
        Some(name) => {
            bail!("not both files have a scorer `{name}` that goes by the same: both have {both:?}")
        }
        None => match both.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => bail!("the files have no scorer in common: run both with the same --scorer"),
            _ => bail!(
                "say which --scorer counts: both files have {}",
                both.join(", ")
            ),
        },
    }
}

/// Pairs by case, how many cases are missing, and to how many the scorer does not apply.
pub(super) fn pairs<'a>(
    incumbent: &'a Results,
    candidate: &Results,
    scorer: &str,
) -> (Vec<Pair<'a>>, usize, usize) {
    let mut pairs = Vec::new();
    let mut not_applicable = 0;
    for (id, line) in &incumbent.lines {
        let Some(other) = candidate.lines.get(id) else {
            continue;
        };
        let (first, second) = (line.scores.get(scorer), other.scores.get(scorer));
        let scores = first
            .and_then(Outcome::score)
            .zip(second.and_then(Outcome::score));
        let is_answered = line.error.is_none() && other.error.is_none();
        match scores {
            Some((incumbent, candidate)) => pairs.push(Pair {
                id,
                incumbent,
                candidate,
                stratum: &line.stratum,
            }),
            None if is_answered
                && [first, second]
                    .iter()
                    .all(|outcome| matches!(outcome, Some(Outcome::Skipped { .. }))) =>
            {
                not_applicable += 1;
            }
            None => {}
        }
    }
    let missing = incumbent
        .head
        .cases
        .saturating_sub(pairs.len() + not_applicable);
    (pairs, missing, not_applicable)
}

fn write(path: &Path, pairs: &[Pair], force: bool) -> Result<()> {
    let place = Place::new(path, force)?;
    let mut writer = place.writer()?;
    let unwritten = || format!("cannot write {}", path.display());
    for pair in pairs {
        writeln!(writer, "{}", serde_json::to_string(pair)?).with_context(unwritten)?;
    }
    writer.flush().with_context(unwritten)?;
    place.keep()
}
