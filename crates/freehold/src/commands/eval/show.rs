//! `freehold eval show`: what a run found, by scorer and stratum.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::Result;
use freehold_proof::scorers::judge::{Preferences, Verdicts};
use freehold_proof::scorers::{Agreement, Confusion, Outcome};
use freehold_proof::{Interval, Score, Tally};
use serde::Serialize;

use super::record::{Line, Results};
use crate::cli::EvalShowArgs;
use crate::commands::usage::{align_right, printable, table};

/// Errors that are shown one by one.
const TOLD_MAX: usize = 10;

pub(super) fn run(args: &EvalShowArgs) -> Result<()> {
    Summary::of(&Results::read(&args.results)?).print(args.json)
}

/// What a run found.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    model: String,
    dataset: String,
    version: String,
    cases: usize,
    answered: usize,
    /// Cases that were asked and have no answer.
    errors: Vec<Told>,
    not_asked: usize,
    /// Answers that ended because they were too long.
    cut: usize,
    input_tokens: u64,
    output_tokens: u64,
    /// What is known of the cost.
    usd: f64,
    /// Answers whose cost nobody knows.
    unpriced: usize,
    /// What is known of the cost of scoring, where judges or embeddings were asked.
    scoring_usd: f64,
    latency_p50_ms: Option<u64>,
    latency_p95_ms: Option<u64>,
    scorers: BTreeMap<String, Scored>,
}

/// Mean scores; none where nothing was scored.
pub(super) struct Means<'a> {
    pub(super) all: Option<f64>,
    pub(super) strata: BTreeMap<&'a str, Option<f64>>,
}

/// What one scorer says.
#[derive(Debug, Default, Serialize)]
struct Scored {
    all: Figures,
    strata: BTreeMap<String, Figures>,
    /// Scorers that broke, and on what.
    failures: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Labels>,
    /// How far it says what people say of the same answers, where they said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<Agreement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferences: Option<Trust>,
}

/// How far a judge of pairs can be trusted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Trust {
    #[serde(flatten)]
    counts: Preferences,
    /// The share of pairs of which both orders say the same.
    agreement: Option<f64>,
    position_bias: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Figures {
    #[serde(flatten)]
    tally: Tally,
    mean: Option<f64>,
    interval: Option<Interval>,
}

#[derive(Debug, Serialize)]
struct Labels {
    accuracy: Option<f64>,
    macro_f1: Option<f64>,
    /// By expected label, then by given label; the empty label stands for none.
    confusion: Confusion,
}

#[derive(Debug, Serialize)]
struct Told {
    id: String,
    reason: String,
}

impl Figures {
    fn add(&mut self, outcome: &Outcome) {
        self.tally.add(outcome);
        self.mean = self.tally.mean();
        self.interval = self.tally.interval();
    }
}

impl Summary {
    pub(super) fn of(results: &Results) -> Self {
        let head = &results.head;
        let lines = || results.lines.values();
        let (failed, answered): (Vec<&Line>, Vec<&Line>) =
            lines().partition(|line| line.error.is_some());
        let mut latencies: Vec<u64> = lines().filter_map(|line| line.latency_ms).collect();
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (latencies.len() as f64 * share).ceil() as usize;
            latencies.get(place.saturating_sub(1)).copied()
        };
        let errors = failed.iter().map(|line| Told {
            id: line.id.clone(),
            reason: line.error.clone().unwrap_or_default(),
        });
        let is_cut = |line: &&&Line| line.finish.as_deref() == Some("length");
        Self {
            model: head.model.clone(),
            dataset: head.dataset.clone(),
            version: head.version.clone(),
            cases: head.cases,
            answered: answered.len(),
            errors: errors.collect(),
            not_asked: head.cases.saturating_sub(results.lines.len()),
            cut: answered.iter().filter(is_cut).count(),
            input_tokens: lines().filter_map(|line| line.input_tokens).sum(),
            output_tokens: lines().filter_map(|line| line.output_tokens).sum(),
            // The sum of nothing is -0.
            usd: 0.0 + lines().filter_map(|line| line.usd).sum::<f64>(),
            unpriced: answered.iter().filter(|line| line.usd.is_none()).count(),
            scoring_usd: 0.0 + lines().filter_map(|line| line.scoring_usd).sum::<f64>(),
            latency_p50_ms: at(0.5),
            latency_p95_ms: at(0.95),
            scorers: scored(results),
        }
    }

    /// How many cases have no answer.
    pub(super) fn missing(&self) -> usize {
        self.cases.saturating_sub(self.answered)
    }

    /// The mean scores of one scorer.
    pub(super) fn means(&self, scorer: &str) -> Means<'_> {
        let scored = self.scorers.get(scorer);
        let strata = scored.into_iter().flat_map(|scored| &scored.strata);
        Means {
            all: scored.and_then(|scored| scored.all.mean),
            strata: strata
                .map(|(name, figures)| (name.as_str(), figures.mean))
                .collect(),
        }
    }

    /// On how many answers a scorer broke.
    pub(super) fn failed(&self, scorer: &str) -> usize {
        let scored = self.scorers.get(scorer);
        scored.map_or(0, |scored| scored.failures.len())
    }

    pub(super) fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
        } else {
            writeln!(out, "{}", self.text())?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} on {} (version {}): {} of {} cases answered, {} errors, {} not asked\n",
            printable(&self.model),
            printable(&self.dataset),
            self.version.get(..12).unwrap_or(&self.version),
            self.answered,
            self.cases,
            self.errors.len(),
            self.not_asked
        );
        let ms = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |ms| ms.to_string());
        text.push_str(&format!(
            "{} tokens in, {} out, ${:.4}{}{}; latency P50 {} ms, P95 {} ms\n",
            self.input_tokens,
            self.output_tokens,
            self.usd,
            match self.unpriced {
                0 => String::new(),
                count => format!(" and {count} answers of unknown cost"),
            },
            if self.scoring_usd > 0.0 {
                format!(" and ${:.4} for scoring", self.scoring_usd)
            } else {
                String::new()
            },
            ms(self.latency_p50_ms),
            ms(self.latency_p95_ms)
        ));
        if self.cut > 0 {
            let cut = self.cut;
            text.push_str(&format!(
                "{cut} answers were cut at --max-tokens: raise it to score them whole\n"
            ));
        }
        text.push_str(&format!("\n{}", self.scores()));
        for (name, scored) in &self.scorers {
            if let Some(labels) = &scored.labels {
                text.push_str(&format!("\n\n{name}: {}", labels.text()));
            }
            if let Some(trust) = &scored.preferences {
                text.push_str(&format!("\n\n{name}: {}", trust.text()));
            }
            if let Some(people) = &scored.people {
                text.push_str(&format!("\n\n{name} against people: {}", agreed(people)));
            }
        }
        let failures = self.scorers.iter().flat_map(|(name, scored)| {
            let failures = scored.failures.iter();
            failures.map(move |told| (format!("{} ({name})", told.id), &told.reason))
        });
        let errors = self
            .errors
            .iter()
            .map(|told| (told.id.clone(), &told.reason));
        let wrong: Vec<(String, &String)> = errors.chain(failures).collect();
        if !wrong.is_empty() {
            text.push_str("\n\nErrors:");
        }
        for (id, reason) in wrong.iter().take(TOLD_MAX) {
            text.push_str(&format!("\n  {}: {}", printable(id), printable(reason)));
        }
        if wrong.len() > TOLD_MAX {
            text.push_str(&format!(
                "\n  and {} more (--json has all)",
                wrong.len() - TOLD_MAX
            ));
        }
        text
    }

    fn scores(&self) -> String {
        let mut rows = table([
            "scorer", "stratum", "scored", "mean", "at least", "at most", "failed", "skipped",
        ]);
        for (name, scored) in &self.scorers {
            let strata = scored.strata.iter();
            let mut parts: Vec<(&str, &Figures)> = strata
                .map(|(stratum, figures)| (stratum.as_str(), figures))
                .collect();
            if parts.len() != 1 {
                parts.push(("together", &scored.all));
            }
            for (stratum, figures) in parts {
                let number = |value: Option<f64>| {
                    value.map_or_else(String::new, |value| format!("{value:.4}"))
                };
                let tally = &figures.tally;
                rows.add_row([
                    name.clone(),
                    printable(stratum),
                    tally.scored.to_string(),
                    number(figures.mean),
                    number(figures.interval.map(|interval| interval.low)),
                    number(figures.interval.map(|interval| interval.high)),
                    tally.failed.to_string(),
                    tally.skipped.to_string(),
                ]);
            }
        }
        align_right(&mut rows, 2..8);
        rows.trim_fmt()
    }
}

impl Trust {
    pub(super) fn add(&mut self, verdicts: Verdicts) {
        self.counts.add(verdicts);
        self.agreement = self.counts.agreement();
        self.position_bias = self.counts.position_bias();
    }

    pub(super) fn text(&self) -> String {
        let counts = &self.counts;
        let number = |value: Option<f64>| {
            value.map_or_else(|| "?".to_owned(), |value| format!("{value:+.2}"))
        };
        format!(
            "of {} pairs, both orders prefer the candidate in {}, the incumbent in {} and neither in {}; they disagree \
             in {} ({} of them prefer the same place), which counts as a tie\nagreement of the orders {}, bias for the \
             first place {}",
            counts.pairs,
            counts.candidate,
            counts.incumbent,
            counts.ties,
            counts.half + counts.contradicted,
            counts.contradicted,
            number(self.agreement).trim_start_matches('+'),
            number(self.position_bias)
        )
    }
}

fn agreed(people: &Agreement) -> String {
    let number =
        |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.2}"));
    format!(
        "{} answers, {:.0} % equal, {:+.3} in the mean, kappa {} (quadratic weights), correlation {}",
        people.answers,
        people.equal * 100.0,
        people.difference,
        number(people.kappa),
        number(people.correlation)
    )
}

impl Labels {
    fn text(&self) -> String {
        let number = |value: Option<f64>| {
            value.map_or_else(|| "?".to_owned(), |value| format!("{value:.4}"))
        };
        let mut rows = table(["expected", "given", "times"]);
        for (expected, given) in self.confusion.counts() {
            for (label, count) in given {
                let label = if label.is_empty() { "(none)" } else { label };
                rows.add_row([printable(expected), printable(label), count.to_string()]);
            }
        }
        align_right(&mut rows, 2..3);
        format!(
            "accuracy {}, macro F1 {}\n{}",
            number(self.accuracy),
            number(self.macro_f1),
            rows.trim_fmt()
        )
    }
}

fn scored(results: &Results) -> BTreeMap<String, Scored> {
    let mut scorers: BTreeMap<String, Scored> = BTreeMap::new();
    let mut confusions: BTreeMap<String, Confusion> = BTreeMap::new();
    let mut with_people: BTreeMap<String, Vec<(Score, Score)>> = BTreeMap::new();
    for spec in &results.head.scorers {
        scorers.insert(spec.name().to_owned(), Scored::default());
    }
    for line in results.lines.values() {
        let review = line.scores.get("review").and_then(Outcome::score);
        let people = review.or(line.expected_score);
        for (name, outcome) in &line.scores {
            if name != "review"
                && let Some(pair) = outcome.score().zip(people)
            {
                with_people.entry(name.clone()).or_default().push(pair);
            }
            let scored = scorers.entry(name.clone()).or_default();
            scored.all.add(outcome);
            scored
                .strata
                .entry(line.stratum.clone())
                .or_default()
                .add(outcome);
            match outcome {
                Outcome::Failed { reason } => scored.failures.push(Told {
                    id: line.id.clone(),
                    reason: reason.clone(),
                }),
                Outcome::Scored {
                    labels: Some(labelled),
                    ..
                } => confusions.entry(name.clone()).or_default().add(labelled),
                Outcome::Scored {
                    verdicts: Some(verdicts),
                    ..
                } => scored.preferences.get_or_insert_default().add(*verdicts),
                _ => {}
            }
        }
    }
    for (name, pairs) in with_people {
        if let Some(scored) = scorers.get_mut(&name) {
            scored.people = Agreement::of(&pairs);
        }
    }
    for (name, confusion) in confusions {
        if let Some(scored) = scorers.get_mut(&name) {
            scored.labels = Some(Labels {
                accuracy: confusion.accuracy(),
                macro_f1: confusion.macro_f1(),
                confusion,
            });
        }
    }
    scorers
}
