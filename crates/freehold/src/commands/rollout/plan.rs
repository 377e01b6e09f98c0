//! A plan: written, read, explained.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use freehold_proof::Rule;
use freehold_proof::rollout::{
    Autopilot, Change, Guard, GuardRule, Guards, Mirror, Order, PairScorer, Stage, Stages, Strata,
};

use freehold_proof::scorers::ScorerSpec;

use crate::cli::{Pilot, PlanArgs};
use crate::commands::eval;
use crate::commands::export::Place;

pub(super) fn write(args: &PlanArgs) -> Result<()> {
    let order = order(args)?;
    order.check()?;
    let text = serde_saphyr::to_string(&order).context("the plan cannot be written as YAML")?;
    let text = format!("# A rollout. `freehold rollout start FILE` begins it in shadow.\n{text}");
    let mut err = std::io::stderr().lock();
    match &args.out {
        Some(path) => {
            let place = Place::new(path, true)?;
            let mut writer = place.writer()?;
            let unwritten = || format!("cannot write {}", path.display());
            writer.write_all(text.as_bytes()).with_context(unwritten)?;
            writer.flush().with_context(unwritten)?;
            drop(writer);
            place.keep()?;
            writeln!(err, "{}", told(&order))?;
            writeln!(err, "Begin: freehold rollout start {}", path.display())?;
        }
        None => {
            std::io::stdout().lock().write_all(text.as_bytes())?;
            writeln!(err, "{}", told(&order))?;
        }
    }
    Ok(())
}

/// Reads and checks a plan.
pub(super) fn read(path: &Path) -> Result<Order> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let order: Order = serde_saphyr::from_str(&text)
        .with_context(|| format!("{name} is no plan, which `freehold rollout plan` writes"))?;
    order
        .check()
        .with_context(|| format!("{name} cannot be carried out"))?;
    Ok(order)
}

fn order(args: &PlanArgs) -> Result<Order> {
    let system = match &args.system {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None => None,
    };
    let with_limit = |limit: Option<f64>| {
        limit.map(|limit| GuardRule {
            margin: 0.1,
            limit: Some(limit),
        })
    };
    if args.mirror > 100.0 || args.steps.iter().any(|step| *step > 100.0) {
        bail!("--mirror and --steps are in per cent: at most 100");
    }
    Ok(Order {
        flow: args.flow.clone(),
        incumbent: args.from.clone(),
        candidate: Change {
            model: args.to.clone().unwrap_or_else(|| args.from.clone()),
            system,
            temperature: args.temperature,
        },
        scorer: PairScorer(scorer(args).with_context(|| format!("--scorer {}", args.scorer))?),
        strata: match (args.by_difficulty, args.by_language.is_empty()) {
            (true, true) => Strata::Difficulty,
            (true, false) => Strata::DifficultyAndLanguages(args.by_language.clone()),
            (false, false) => Strata::Languages(args.by_language.clone()),
            (false, true) => Strata::None,
        },
        rule: Rule {
            margin: args.margin,
            ..Rule::default()
        },
        mirror: Mirror {
            share: args.mirror / 100.0,
            usd_max: args.mirror_usd_max,
            ..Mirror::default()
        },
        stages: Stages {
            shares: args.steps.iter().map(|percent| percent / 100.0).collect(),
            requests_min: args.step_requests,
            seconds_min: args.step_seconds,
            ..Stages::default()
        },
        guards: Guards {
            latency: with_limit(args.latency_ms),
            cost: with_limit(args.request_usd),
            ..Guards::default()
        },
        autopilot: match args.autopilot {
            Pilot::Off => Autopilot::Off,
            Pilot::Canary => Autopilot::Canary,
            Pilot::Full => Autopilot::Full,
        },
        saving_usd_per_month: args.saving,
    })
}

/// How answers are scored: by a model, or by what asks nobody.
fn scorer(args: &PlanArgs) -> Result<ScorerSpec> {
    let (name, path) = match args.scorer.split_once('=') {
        Some((name, path)) => (name, Some(path)),
        None => (args.scorer.as_str(), None),
    };
    if !matches!(name, "judge" | "pairwise") {
        if args.judge_model.is_some() {
            bail!("--judge-model says who judges: it goes with --scorer judge=RUBRIC or pairwise");
        }
        return eval::traffic_scorer(&args.scorer);
    }
    let Some(model) = args.judge_model.clone() else {
        bail!("say who judges, as in --judge-model openai/gpt-4o");
    };
    Ok(match (name, path) {
        ("judge", None) => bail!("it needs a file that says what a good answer is: judge=RUBRIC"),
        ("judge", Some(path)) => ScorerSpec::Judge {
            model,
            rubric: eval::rubric(path)?,
        },
        (_, path) => ScorerSpec::Pairwise {
            model,
            criteria: match path {
                Some(path) => eval::rubric(path)?,
                None => eval::CRITERIA.to_owned(),
            },
            incumbent: args.from.clone(),
            candidate: args.to.clone().unwrap_or_else(|| args.from.clone()),
        },
    })
}

/// What a plan would do, in words.
fn told(order: &Order) -> String {
    let mut lines = Vec::new();
    let change = &order.candidate;
    lines.push(format!(
        "Requests of the flow `{}` that name `{}` move to `{}`{}{}.",
        order.flow,
        order.incumbent,
        change.model,
        if change.system.is_some() {
            " with other instructions"
        } else {
            ""
        },
        change
            .temperature
            .map_or_else(String::new, |t| format!(" at temperature {t}")),
    ));
    let how = match &order.scorer.0 {
        ScorerSpec::Judge { model, .. } => format!("grades by `{model}`"),
        ScorerSpec::Pairwise { model, .. } => {
            format!("preferences of `{model}`, asked in both orders")
        }
        _ if order.scorer.measures_agreement() => "agreement with today's answers".to_owned(),
        _ => "each side's answers".to_owned(),
    };
    lines.push(format!(
        "1. shadow: {} % of them are answered by both, for at most ${}, and scored by `{}` ({how}), until it is proven \
         that the candidate is not worse by {}.",
        order.mirror.share * 100.0,
        order.mirror.usd_max,
        order.scorer.0.name(),
        order.rule.margin,
    ));
    for (number, _) in order.stages.shares.iter().enumerate() {
        lines.push(format!(
            "{}. {}: at least {} requests and {} s.",
            number + 2,
            Stage::Canary(number).told(order),
            order.stages.requests_min,
            order.stages.seconds_min,
        ));
    }
    lines.push(format!(
        "{}. promoted, and watched on.",
        order.stages.shares.len() + 2
    ));
    let stand = |guard: &Guard| order.guards.rule(*guard).is_some();
    let guards: Vec<_> = Guard::ALL
        .into_iter()
        .filter(stand)
        .map(Guard::as_str)
        .collect();
    lines.push(format!(
        "Called back by itself when scores or one of these refute it: {}.",
        guards.join(", ")
    ));
    lines.push(match order.autopilot {
        Autopilot::Off => "Every step forward waits for `freehold rollout accept`.".to_owned(),
        Autopilot::Canary => "Only the promotion waits for `freehold rollout accept`.".to_owned(),
        Autopilot::Full => "No step waits for anybody.".to_owned(),
    });
    lines.join("\n")
}
