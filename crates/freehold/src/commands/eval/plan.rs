//! What will be asked, by which scorers, and what it will about cost.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use freehold_cost::PriceBook;
use freehold_cost::tokens::estimate_text;
use freehold_proof::dataset::{Case, DataSet, read};
use freehold_proof::scorers::{Scorer, ScorerSpec};
use freehold_types::{NanoUsd, PriceBasis, Usage};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::asked::{Panel, Where};
use super::record::{Head, Settings};
use crate::cli::EvalRunArgs;
use crate::commands::usage::printable;
use crate::money::book_file;

/// Bad rows that are told one by one.
const TOLD_MAX: usize = 5;
/// Tokens around a message: its role, and what separates it from others.
const MESSAGE_TOKENS: u64 = 4;

/// What will be asked.
pub(super) struct Plan {
    pub(super) head: Head,
    pub(super) set: DataSet,
    pub(super) scorers: Vec<Scorer>,
    /// Whom the scorers ask.
    pub(super) panel: Panel,
    pub(super) prices: Prices,
    pub(super) notes: Vec<String>,
}

/// What questions and answers cost by the price book.
#[derive(Clone)]
pub(in crate::commands) struct Prices {
    /// Loading it takes a while; not done for names that it cannot have.
    book: Option<Arc<PriceBook>>,
    basis: PriceBasis,
    output_tokens: u64,
    at_unix_ms: u64,
    /// Whose list price it is; none when nobody knows a price.
    name: Option<String>,
}

impl std::fmt::Debug for Prices {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Prices").field(&self.name).finish()
    }
}

impl Prices {
    /// Of a model, whose answers have at most so many tokens; `price_as` names another whose list price counts.
    pub(in crate::commands) fn new(
        model: &str,
        price_as: Option<&str>,
        output_tokens: u32,
        now: OffsetDateTime,
    ) -> Result<Self> {
        let at_unix_ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let name = price_as.unwrap_or(model);
        let mut prices = Self {
            book: None,
            basis: PriceBasis::Unknown,
            output_tokens: u64::from(output_tokens),
            at_unix_ms,
            name: None,
        };
        if let Some((provider, model)) = name.split_once('/') {
            let book = book_file::load(&book_file::file_in(&crate::home::directory())).book;
            let basis = PriceBasis::Listed {
                provider: provider.to_owned(),
                model: model.to_owned(),
            };
            if book.estimate(&basis, 1, 1, at_unix_ms).is_ok() {
                prices.book = Some(Arc::new(book));
                prices.basis = basis;
                prices.name = Some(name.to_owned());
            }
        }
        if prices.name.is_none() && price_as.is_some() {
            bail!(
                "the price book has no `{name}`; `freehold prices list --model NAME` shows what it has, \
                 written as PROVIDER/MODEL"
            );
        }
        Ok(prices)
    }

    /// Whether anybody knows the price.
    pub(in crate::commands) fn is_known(&self) -> bool {
        self.name.is_some()
    }

    /// Whose list price counts.
    pub(in crate::commands) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The most that a question will about cost.
    pub(in crate::commands) fn at_most(&self, input_tokens: u64) -> Option<NanoUsd> {
        let estimate = self.book.as_ref()?.estimate(
            &self.basis,
            input_tokens,
            self.output_tokens,
            self.at_unix_ms,
        );
        estimate.ok()
    }

    /// What an answer cost by its tokens.
    pub(in crate::commands) fn cost(
        &self,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Option<NanoUsd> {
        let usage = Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        };
        let cost = self
            .book
            .as_ref()?
            .cost(&self.basis, &usage, self.at_unix_ms);
        cost.ok().map(|cost| cost.total)
    }
}

/// A cap is only promised where every price is known.
fn capped(args: &EvalRunArgs, prices: &Prices, panel: &Panel) -> Result<()> {
    if let Some(usd) = args.usd_max {
        ensure!(
            usd.is_finite() && usd > 0.0,
            "--usd-max is an amount above 0"
        );
        ensure!(
            prices.name.is_some(),
            "nobody knows what `{}` costs, so that --usd-max cannot be kept: say whose list price counts with \
             --price-as, or leave --usd-max out",
            args.model
        );
        if let Some(model) = panel.unpriced() {
            bail!(
                "nobody knows what `{model}` costs, which scores, so that --usd-max cannot be kept: say whose list \
                 price counts with --scorer-price-as, or leave --usd-max out"
            );
        }
    }
    Ok(())
}

/// Tokens of a question, estimated.
pub(in crate::commands) fn input_tokens(case: &Case) -> u64 {
    let messages = case.messages.iter();
    messages
        .map(|message| MESSAGE_TOKENS + estimate_text(&message.content))
        .sum()
}

impl Plan {
    pub(super) fn new(args: &EvalRunArgs, url: String) -> Result<Self> {
        let mut notes = Vec::new();
        let set = cases(args, &mut notes)?;
        let mut panel = Panel::default();
        let scorers = scorers(args, &set, &mut panel)?;
        notes.extend(panel.notes());
        for scorer in &scorers {
            let name = scorer.spec().name();
            let skipped: Vec<String> = set
                .cases()
                .iter()
                .filter_map(|case| scorer.skips(case))
                .collect();
            let all = set.cases().len();
            if skipped.len() == all {
                bail!("the scorer `{name}` applies to no case: {}", skipped[0]);
            }
            if !skipped.is_empty() {
                let count = skipped.len();
                notes.push(format!(
                    "{name} applies to {} of {all} cases: {}",
                    all - count,
                    skipped[0]
                ));
            }
        }
        ensure!(
            args.temperature.is_finite() && args.temperature >= 0.0,
            "--temperature is a number of at least 0"
        );
        let now = OffsetDateTime::now_utc();
        let price_as = args.price_as.as_deref();
        let prices =
            Prices::new(&args.model, price_as, args.max_tokens, now).context("--price-as")?;
        capped(args, &prices, &panel)?;
        let head = Head {
            freehold_eval: Head::form(),
            dataset: args.dataset.display().to_string(),
            version: set.version()?,
            cases: set.cases().len(),
            model: args.model.clone(),
            url,
            scorers: scorers.iter().map(|scorer| scorer.spec().clone()).collect(),
            settings: Settings {
                max_tokens: args.max_tokens,
                temperature: (!args.plain).then_some(args.temperature),
                seed: (!args.plain).then_some(args.seed),
            },
            keeps_answers: !args.no_answers,
            began: now.format(&Rfc3339)?,
            freehold: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Self {
            head,
            set,
            scorers,
            panel,
            prices,
            notes,
        })
    }

    /// The most that asking and scoring a case will about cost; only scoring when its answer is there.
    pub(super) fn at_most(&self, case: &Case, has_answer: bool) -> NanoUsd {
        let answer = if has_answer {
            None
        } else {
            self.prices.at_most(input_tokens(case))
        };
        let scoring = self.panel.at_most(case, self.prices.output_tokens);
        answer.unwrap_or_default() + scoring
    }

    /// What will be asked, in words. `asked` are the cases that are still to be asked.
    pub(super) fn stated(&self, asked: &[&Case], out: &Path) -> String {
        let head = &self.head;
        let (cases, strata) = (head.cases, self.set.strata().len());
        let mut text = format!(
            "Asking {} at {}\n  {}: {cases} cases in {strata} strata, version {}\n",
            printable(&head.model),
            printable(&head.url),
            printable(&head.dataset),
            &head.version[..12]
        );
        for note in &self.notes {
            text.push_str(&format!("  {}\n", printable(note)));
        }
        if asked.len() < cases {
            let (done, left, out) = (cases - asked.len(), asked.len(), out.display());
            text.push_str(&format!(
                "  {done} have their answer in {out}, {left} are asked\n"
            ));
        }
        let input: u64 = asked.iter().map(|case| input_tokens(case)).sum();
        let output = asked.len() as u64 * self.prices.output_tokens;
        let costs = asked
            .iter()
            .map(|case| self.prices.at_most(input_tokens(case)));
        let cost = match (costs.sum::<Option<NanoUsd>>(), &self.prices.name) {
            (Some(cost), Some(name)) => {
                format!(
                    "at most about ${:.4} by the list price of {}",
                    cost.usd(),
                    printable(name)
                )
            }
            _ => format!(
                "at a price that is not known: the price book has no `{}` (--price-as names another)",
                printable(&head.model)
            ),
        };
        text.push_str(&format!(
            "  {} requests, about {input} tokens of questions and at most {output} of answers, {cost}\n",
            asked.len()
        ));
        let scoring = asked
            .iter()
            .map(|case| self.panel.at_most(case, self.prices.output_tokens));
        let scoring = scoring.fold(NanoUsd::ZERO, |sum, cost| sum + cost);
        if scoring > NanoUsd::ZERO {
            text.push_str(&format!(
                "  scoring them costs at most about ${:.4}\n",
                scoring.usd()
            ));
        }
        text.push_str(&if head.keeps_answers {
            format!(
                "  answers are kept in {} (--no-answers keeps hashes)",
                out.display()
            )
        } else {
            "  answers are not kept, only their hashes".to_owned()
        });
        text
    }
}

fn cases(args: &EvalRunArgs, notes: &mut Vec<String>) -> Result<DataSet> {
    let (text, name) = if args.dataset == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin().lock());
        (text, "standard input".to_owned())
    } else {
        let name = args.dataset.display().to_string();
        (std::fs::read_to_string(&args.dataset), name)
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let told = read(&text, args.form).with_context(|| format!("{name} is no data set"))?;
    if !told.bad.is_empty() {
        let count = told.bad.len();
        let first = told.bad.iter().take(TOLD_MAX);
        let first: Vec<String> = first
            .map(|bad| format!("{}: {}", bad.place, printable(&bad.reason)))
            .collect();
        let first = first.join("\n  ");
        if !args.skip_bad {
            bail!(
                "{name} has {count} rows of {} that are no cases:\n  {first}\ncorrect them, or leave them out with \
                 --skip-bad",
                told.rows
            );
        }
        notes.push(format!(
            "{count} of {} rows are no cases and are left out",
            told.rows
        ));
    }
    if told.repeated > 0 {
        notes.push(format!(
            "{} rows repeat others and are left out",
            told.repeated
        ));
    }
    ensure!(!told.set.cases().is_empty(), "{name} has no cases");
    Ok(match args.limit {
        Some(limit) => told.set.sample(usize::try_from(limit)?, args.seed),
        None => told.set,
    })
}

fn scorers(args: &EvalRunArgs, set: &DataSet, panel: &mut Panel) -> Result<Vec<Scorer>> {
    let mut scorers: Vec<Scorer> = Vec::new();
    let asked = Where::of(args);
    for name in &args.scorer {
        let taken = panel.take(name, &asked, !args.no_answers);
        let spec = taken.and_then(|taken| taken.map_or_else(|| spec(name, set), Ok));
        let spec = spec.with_context(|| format!("--scorer {name}"))?;
        if scorers
            .iter()
            .any(|other| other.spec().name() == spec.name())
        {
            bail!("--scorer {name}: one `{}` is enough", spec.name());
        }
        scorers.push(Scorer::new(spec)?);
    }
    Ok(scorers)
}

/// A scorer of live traffic, where nothing is expected beforehand: labels must be named.
pub(crate) fn traffic_scorer(text: &str) -> Result<ScorerSpec> {
    if text == "label" {
        bail!("name the labels, as in label=yes,no: traffic does not say which there are");
    }
    spec(text, &DataSet::default())
}

/// `exact`, `number=1%`: a name, and what it goes by.
pub(in crate::commands) fn spec(text: &str, set: &DataSet) -> Result<ScorerSpec> {
    let (name, argument) = match text.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    let spec = match (name, argument) {
        ("exact", None) => ScorerSpec::Exact,
        ("normalised" | "normalized", None) => ScorerSpec::Normalised,
        ("contains", None) => ScorerSpec::Contains,
        ("assert", None) => ScorerSpec::Assert,
        ("json", None) => ScorerSpec::Json,
        ("fields", None) => ScorerSpec::Fields,
        ("chrf", None) => ScorerSpec::Chrf,
        ("rouge-l", None) => ScorerSpec::RougeL,
        ("regex", pattern) => ScorerSpec::Regex {
            pattern: pattern.map(str::to_owned),
        },
        ("json-schema", Some(path)) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            let schema: Value =
                serde_json::from_str(&text).with_context(|| format!("{path} is no JSON"))?;
            ScorerSpec::JsonSchema { schema }
        }
        ("number", tolerance) => number(tolerance)?,
        ("label", labels) => ScorerSpec::Label {
            labels: match labels {
                Some(labels) => labels
                    .split(',')
                    .map(|label| label.trim().to_owned())
                    .collect(),
                None => expected_labels(set),
            },
        },
        ("judge" | "embedding" | "command", _) => bail!(
            "it asks somebody: only `freehold eval run` and `ci` can, and it is written as judge=RUBRIC, \
             embedding=MODEL or command=PROGRAM"
        ),
        _ => bail!(
            "there is no such scorer: there are exact, normalised, contains, regex[=PATTERN], assert, json, \
             json-schema=FILE, fields, number[=TOLERANCE or %], label[=A,B,...], chrf, rouge-l, judge=RUBRIC, \
             embedding=MODEL and command=PROGRAM"
        ),
    };
    Ok(spec)
}

fn number(tolerance: Option<&str>) -> Result<ScorerSpec> {
    let told = "a tolerance is a number such as 0.5, or a share such as 1%";
    let (absolute, relative) = match tolerance {
        None => (0.0, 0.0),
        Some(text) => match text.strip_suffix('%') {
            Some(percent) => (0.0, percent.trim().parse::<f64>().context(told)? / 100.0),
            None => (text.trim().parse().context(told)?, 0.0),
        },
    };
    Ok(ScorerSpec::Number { absolute, relative })
}

/// All texts that any case expects.
fn expected_labels(set: &DataSet) -> Vec<String> {
    let expected = set.cases().iter().flat_map(|case| &case.expected);
    let labels: BTreeSet<&str> = expected.filter_map(Value::as_str).collect();
    labels.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scorers_are_named_with_what_they_go_by() {
        let rows =
            "{\"input\": \"a\", \"expected\": \"no\"}\n{\"input\": \"b\", \"expected\": \"yes\"}";
        let set = read(rows, None).unwrap().set;
        assert_eq!(spec("normalized", &set).unwrap(), ScorerSpec::Normalised);
        let close = spec("number=2%", &set).unwrap();
        assert_eq!(
            close,
            ScorerSpec::Number {
                absolute: 0.0,
                relative: 0.02
            }
        );
        let labels = ["no", "yes"].map(str::to_owned).to_vec();
        assert_eq!(spec("label", &set).unwrap(), ScorerSpec::Label { labels });
        for (bad, told) in [
            ("exact=1", "no such scorer"),
            ("bleu", "no such scorer"),
            ("number=x", "a tolerance is"),
            ("json-schema=/nowhere", "cannot read /nowhere"),
            ("judge", "written as judge=RUBRIC"),
        ] {
            let error = spec(bad, &set).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
