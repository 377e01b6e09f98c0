//! `freehold drift probe`: one run after another.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use freehold_proof::Score;
use freehold_proof::dataset::{Case, DataSet, read};
use freehold_proof::drift::is_refusal;
use freehold_proof::scorers::{Scorer, chrf};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::courses::{self, Found};
use super::embed::Embedder;
use super::record::{self, Asked, FORM, Line, Measured};
use crate::cli::DriftProbeArgs;
use crate::commands::eval::ask::{Answer, Asker, Failure};
use crate::commands::eval::plan::{Prices, input_tokens, spec};
use crate::commands::eval::record::Settings;
use crate::commands::usage::printable;
use crate::commands::{model_server, time_range};

pub(super) async fn run(args: &DriftProbeArgs) -> Result<bool> {
    let watch = courses::watch(&args.watch)?;
    let every = args.every.as_deref().map(every).transpose()?;
    let set = probes(args)?;
    let scorer = scorer(args, &set)?;
    let embedder = Embedder::new(args)?;
    let askers: Vec<(Asker, Asked)> = args
        .models
        .iter()
        .map(|model| asker(args, model, &set, scorer.as_ref(), embedder.as_ref()))
        .collect::<Result<_>>()?;
    state(args, &set, every)?;
    let began = Instant::now();
    let mut told = Vec::new();
    for run in 0..args.times {
        if let Some(every) = every {
            // By the first run's time, so that runs do not drift; one that took too long makes the next one begin at once.
            let run = u32::try_from(run).unwrap_or(u32::MAX);
            tokio::time::sleep_until(began + every.saturating_mul(run)).await;
        }
        for (asker, asked) in &askers {
            let line = ask(
                args,
                (asker, asked),
                &set,
                scorer.as_ref(),
                embedder.as_ref(),
            )
            .await?;
            record::append(&args.record, &line)?;
        }
        let found = Found::of(&record::read(&args.record)?, &args.watch, &watch)?;
        for alert in found.alerts() {
            if !told.contains(&alert) {
                writeln!(std::io::stderr().lock(), "{alert}")?;
                told.push(alert);
            }
        }
    }
    let found = Found::of(&record::read(&args.record)?, &args.watch, &watch)?;
    found.print(args.json)?;
    Ok(!found.has_changed())
}

fn every(text: &str) -> Result<Duration> {
    let span = time_range::ago(text.trim()).and_then(|span| Duration::try_from(span).ok());
    let span = span.filter(|span| !span.is_zero());
    span.with_context(|| format!("--every: `{text}` is no span of time: write 30m, 1h or 1d"))
}

fn probes(args: &DriftProbeArgs) -> Result<DataSet> {
    let name = args.probes.display();
    let text =
        std::fs::read_to_string(&args.probes).with_context(|| format!("cannot read {name}"))?;
    let told = read(&text, None).with_context(|| format!("{name} is no data set"))?;
    if let Some(bad) = told.bad.first() {
        bail!(
            "{name} has {} rows that are no cases: {}: {}",
            told.bad.len(),
            bad.place,
            printable(&bad.reason)
        );
    }
    ensure!(!told.set.cases().is_empty(), "{name} has no cases");
    Ok(told.set)
}

fn scorer(args: &DriftProbeArgs, set: &DataSet) -> Result<Option<Scorer>> {
    let Some(name) = &args.scorer else {
        return Ok(None);
    };
    let asks = ["judge=", "embedding=", "command="];
    ensure!(
        !asks.iter().any(|start| name.starts_with(start)),
        "--scorer {name}: it asks somebody, who may change as well: watch by one that compares with what is expected"
    );
    let spec = spec(name, set).with_context(|| format!("--scorer {name}"))?;
    let scorer = Scorer::new(spec)?;
    if let Some(case) = set.cases().iter().find(|case| scorer.skips(case).is_some()) {
        let why = scorer.skips(case).unwrap_or_default();
        bail!(
            "--scorer {name} does not apply to the probe {}: {why}",
            printable(&case.id)
        );
    }
    Ok(Some(scorer))
}

fn asker(
    args: &DriftProbeArgs,
    model: &str,
    set: &DataSet,
    scorer: Option<&Scorer>,
    embedder: Option<&Embedder>,
) -> Result<(Asker, Asked)> {
    let settings = Settings {
        max_tokens: args.max_tokens,
        temperature: (!args.plain).then_some(0.0),
        seed: (!args.plain).then_some(args.seed),
    };
    let endpoint = model_server::endpoint(&args.url)?;
    let asked = Asked {
        model: model.to_owned(),
        url: endpoint.to_string(),
        probes: set.version()?,
        settings: settings.clone(),
        scorer: scorer.map(|scorer| scorer.spec().clone()),
        embedding: embedder.map(Embedder::name),
    };
    let asker = Asker {
        client: model_server::client()?,
        endpoint,
        model: model.to_owned(),
        key: model_server::key(args.key_env.as_deref())?,
        settings,
        timeout: Duration::from_secs(args.timeout),
        retries: args.retries,
    };
    Ok((asker, asked))
}

/// What will be sent, before it is.
fn state(args: &DriftProbeArgs, set: &DataSet, every: Option<Duration>) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let mut usd = Some(0.0);
    for model in &args.models {
        let prices = Prices::new(model, None, args.max_tokens, now)?;
        let costs = set
            .cases()
            .iter()
            .map(|case| prices.at_most(input_tokens(case)).map(|cost| cost.usd()));
        let cost = costs.sum::<Option<f64>>();
        usd = usd.zip(cost).map(|(usd, cost)| usd + cost);
    }
    let cost = usd.map_or_else(
        || "at a price that is not known".to_owned(),
        |usd| format!("at most about ${usd:.4}"),
    );
    let pace = match (&args.every, every) {
        (Some(text), Some(_)) => format!(", one every {}", printable(text)),
        _ => String::new(),
    };
    writeln!(
        std::io::stderr().lock(),
        "{} runs{pace}: each asks {} models {} probes, {cost}",
        args.times,
        args.models.len(),
        set.cases().len()
    )?;
    Ok(())
}

/// One run of one model. Probes without an answer are counted as that.
async fn ask(
    args: &DriftProbeArgs,
    (asker, asked): (&Asker, &Asked),
    set: &DataSet,
    scorer: Option<&Scorer>,
    embedder: Option<&Embedder>,
) -> Result<Line> {
    let at = OffsetDateTime::now_utc().format(&Rfc3339)?;
    let lines = if args.record.exists() {
        record::read(&args.record)?
    } else {
        Vec::new()
    };
    let first = lines.into_iter().find(|line| line.asked == *asked);
    let is_first = first.is_none();
    let references: HashMap<String, String> = first
        .into_iter()
        .flat_map(|line| line.answers)
        .filter_map(|measured| Some((measured.id, measured.text?)))
        .collect();
    let asker = Arc::new(asker.clone());
    let mut tasks: JoinSet<(usize, Result<Answer, Failure>)> = JoinSet::new();
    let mut answers: Vec<Option<Result<Answer, Failure>>> = Vec::new();
    answers.resize_with(set.cases().len(), || None);
    let mut waiting = set.cases().iter().enumerate();
    loop {
        while tasks.len() < usize::from(args.concurrency) {
            let Some((index, case)) = waiting.next() else {
                break;
            };
            let (asker, case) = (Arc::clone(&asker), case.clone());
            tasks.spawn(async move { (index, asker.ask(&case.messages, None).await) });
        }
        let Some(done) = tasks.join_next().await else {
            break;
        };
        let (index, answer) = done.context("a request of the run broke")?;
        answers[index] = Some(answer);
    }
    let mut measured = Vec::new();
    let mut embedded = Vec::new();
    for (case, answer) in set.cases().iter().zip(answers) {
        measured.push(match answer {
            Some(Ok(answer)) => {
                let reference = references.get(&case.id);
                if let Some(reference) = reference.filter(|_| embedder.is_some()) {
                    embedded.push((case.id.clone(), answer.text.clone(), reference.clone()));
                }
                measure(case, answer, reference, is_first, scorer)
            }
            // A server that is away is not a changed model: the run is recorded without these answers.
            Some(Err(Failure::Case { reason, .. })) => unanswered(case, reason),
            Some(Err(Failure::Run(error))) => unanswered(case, format!("{error:#}")),
            None => unanswered(case, "it was not asked".to_owned()),
        });
    }
    if let Some(embedder) = embedder {
        let mut meanings = embedder.meanings(&embedded).await?;
        for one in &mut measured {
            one.meaning = meanings.remove(&one.id);
        }
    }
    tell(asked, &measured, is_first)?;
    Ok(Line {
        freehold_drift: FORM,
        at,
        asked: asked.clone(),
        answers: measured,
    })
}

/// Says what has no answer.
fn tell(asked: &Asked, measured: &[Measured], is_first: bool) -> Result<()> {
    let errors = measured.iter().filter_map(|one| one.error.as_ref());
    if let Some(error) = errors.clone().next() {
        writeln!(
            std::io::stderr().lock(),
            "{} of {} probes of {} have no answer: {}",
            errors.count(),
            measured.len(),
            printable(&asked.model),
            printable(error)
        )?;
        // The first run is what all others are held against.
        ensure!(
            !is_first,
            "the first run of {} must have all answers: correct that, and begin again",
            printable(&asked.model)
        );
    }
    Ok(())
}

fn unanswered(case: &Case, reason: String) -> Measured {
    Measured {
        id: case.id.clone(),
        error: Some(reason),
        ..Measured::default()
    }
}

fn measure(
    case: &Case,
    answer: Answer,
    reference: Option<&String>,
    is_first: bool,
    scorer: Option<&Scorer>,
) -> Measured {
    let text = answer.text;
    let like = reference.map(|reference| chrf(&text, reference).clamp(0.0, 1.0));
    // Two empty answers have no letters in common, and are the same.
    let like = reference.zip(like).map(
        |(reference, like)| {
            if *reference == text { 1.0 } else { like }
        },
    );
    Measured {
        id: case.id.clone(),
        chars: text.chars().count() as u64,
        latency_ms: u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
        refuses: is_refusal(&text),
        score: scorer.and_then(|scorer| scorer.score(case, &text).score()),
        similarity: like.and_then(|like| Score::new(like).ok()),
        meaning: None,
        is_identical: reference.map(|reference| *reference == text),
        reference_chars: reference.map(|reference| reference.chars().count() as u64),
        text: is_first.then_some(text),
        error: None,
    }
}
