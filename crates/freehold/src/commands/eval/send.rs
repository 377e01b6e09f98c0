//! `freehold eval run`: asks what is still to be asked, a bounded number at once, within the cost cap.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use freehold_proof::dataset::Case;
use freehold_proof::scorers::{Outcome, Scorer};
use freehold_types::NanoUsd;
use freehold_types::audit::HexBytes;
use sha2::{Digest as _, Sha256};

use super::ask::{Answer, Asker, Failure};
use super::asked::Scored;
use super::bounded::{self, Budget, Ended, Kept};
use super::plan::Plan;
use super::record::{Line, Opened, Results, Writer};
use super::show;
use crate::cli::EvalRunArgs;
use crate::commands::model_server;

pub(super) async fn run(args: &EvalRunArgs) -> Result<bool> {
    if args.dry_run {
        let endpoint = model_server::endpoint(&args.url)?;
        model_server::key(args.key_env.as_deref())?;
        let plan = Plan::new(args, endpoint.to_string())?;
        let all: Vec<&Case> = plan.set.cases().iter().collect();
        writeln!(std::io::stderr().lock(), "{}", plan.stated(&all, &args.out))?;
        return Ok(true);
    }
    let (results, ended) = perform(args).await?;
    let summary = show::Summary::of(&results);
    summary.print(args.json)?;
    match ended {
        Ended::AtCap(left) => {
            writeln!(
                std::io::stderr().lock(),
                "{left} cases were not asked, as they could bring the cost above --usd-max: raise it and run the same \
                 again to go on"
            )?;
            Ok(false)
        }
        Ended::Asked => Ok(summary.missing() == 0),
    }
}

/// Asks what is still to be asked; all that the file has then. What is asked is said on standard error.
pub(super) async fn perform(args: &EvalRunArgs) -> Result<(Results, Ended)> {
    let endpoint = model_server::endpoint(&args.url)?;
    let asker = Asker {
        client: model_server::client()?,
        model: args.model.clone(),
        key: model_server::key(args.key_env.as_deref())?,
        settings: super::record::Settings {
            max_tokens: args.max_tokens,
            temperature: (!args.plain).then_some(args.temperature),
            seed: (!args.plain).then_some(args.seed),
        },
        timeout: Duration::from_secs(args.timeout),
        retries: args.retries,
        endpoint,
    };
    let plan = Plan::new(args, asker.endpoint.to_string())?;
    let Opened {
        writer,
        results,
        is_torn,
    } = Writer::open(&args.out, &plan.head)?;
    let specs = &plan.head.scorers;
    let is_asked = |case: &&Case| {
        let line = results.lines.get(&case.id);
        line.is_none_or(|line| line.error.is_some() || line.wants_scores(specs))
    };
    let asked: Vec<&Case> = plan.set.cases().iter().filter(is_asked).collect();
    let mut told = plan.stated(&asked, &args.out);
    if is_torn {
        told.push_str("\n  the last line of the file was torn and is dropped");
    }
    writeln!(std::io::stderr().lock(), "{told}")?;
    if !asked.is_empty() {
        plan.panel.probe().await?;
    }
    let mut budget = Budget {
        cap: args.usd_max.and_then(NanoUsd::from_usd),
        spent: NanoUsd::from_usd(results.spent_usd).unwrap_or_default(),
    };
    let mut run = Run {
        plan: &plan,
        writer,
        results,
    };
    let ended = run
        .send(&asker, &asked, usize::from(args.concurrency), &mut budget)
        .await;
    let ended = ended.with_context(|| {
        format!(
            "the run ended early; what was answered is in {}",
            args.out.display()
        )
    })?;
    Ok((run.results, ended))
}

struct Run<'a> {
    plan: &'a Plan,
    writer: Writer,
    results: Results,
}

/// What came back for a case.
struct Done {
    answer: Result<Answer, Failure>,
    scored: Scored,
    is_rescored: bool,
}

impl Run<'_> {
    async fn send(
        &mut self,
        asker: &Asker,
        asked: &[&Case],
        at_once: usize,
        budget: &mut Budget,
    ) -> Result<Ended> {
        let plan = self.plan;
        // Answers that are there and have no score of somebody who was asked.
        let old: Vec<Option<Answer>> = asked
            .iter()
            .map(|case| self.results.lines.get(&case.id).and_then(there))
            .collect();
        let costs = asked.iter().zip(&old);
        let costs: Vec<NanoUsd> = costs
            .map(|(case, old)| plan.at_most(case, old.is_some()))
            .collect();
        let together = Arc::new((asker.clone(), plan.panel.clone()));
        let start = |index: usize| {
            let (together, case) = (Arc::clone(&together), asked[index].clone());
            let old = old[index].clone();
            async move {
                let (asker, panel) = &*together;
                let is_rescored = old.is_some();
                let answer = match old {
                    Some(answer) => Ok(answer),
                    None => asker.ask(&case.messages, None).await,
                };
                let scored = match &answer {
                    Ok(answer) => panel.score(&case, &answer.text).await,
                    Err(_) => Scored::default(),
                };
                Done {
                    answer,
                    scored,
                    is_rescored,
                }
            }
        };
        let keep = |index: usize, reserved, done| self.keep(asked[index], reserved, done);
        bounded::each(budget, at_once, &costs, start, keep).await
    }

    /// Scores an answer and writes its line.
    fn keep(&mut self, case: &Case, reserved: NanoUsd, done: Done) -> Result<Kept> {
        let mut kept = Kept::default();
        let line = match done.answer {
            Ok(answer) => {
                let tokens = answer.input_tokens.zip(answer.output_tokens);
                let by_tokens =
                    tokens.and_then(|(input, output)| self.plan.prices.cost(input, output));
                let cost = answer.cost.or(by_tokens);
                let paid = if done.is_rescored {
                    Some(NanoUsd::ZERO)
                } else {
                    cost
                };
                kept.cost =
                    paid.map_or(reserved, |paid| paid + done.scored.cost.unwrap_or_default());
                kept.broken = done.scored.broken;
                let mut line = answered(self.plan, case, answer, cost);
                line.is_rescored = done.is_rescored;
                line.scoring_usd = done.scored.cost.map(NanoUsd::usd);
                for (name, outcome) in done.scored.scores {
                    let keeps = self.plan.head.keeps_answers;
                    let outcome = if keeps { outcome } else { wordless(outcome) };
                    line.scores.insert(name, outcome);
                }
                line
            }
            Err(Failure::Case {
                reason, requests, ..
            }) => failed(&self.plan.scorers, case, reason, requests),
            Err(Failure::Run(error)) => {
                kept.broken = Some(error);
                return Ok(kept);
            }
        };
        self.writer.put(&line)?;
        self.results.lines.insert(line.id.clone(), line);
        Ok(kept)
    }
}

/// The answer that stands in a line.
fn there(line: &Line) -> Option<Answer> {
    if line.error.is_some() {
        return None;
    }
    Some(Answer {
        text: line.answer.clone()?,
        finish: line.finish.clone(),
        input_tokens: line.input_tokens,
        output_tokens: line.output_tokens,
        cost: line.usd.and_then(NanoUsd::from_usd),
        latency: Duration::from_millis(line.latency_ms.unwrap_or(0)),
        requests: line.requests,
    })
}

/// A judge's words may quote the answer.
fn wordless(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Scored { score, .. } => Outcome::of(score.get(), ""),
        other => other,
    }
}

pub(super) fn answered(plan: &Plan, case: &Case, answer: Answer, cost: Option<NanoUsd>) -> Line {
    let computed = plan
        .scorers
        .iter()
        .filter(|scorer| !scorer.spec().is_asked());
    let scores = computed.map(|scorer| {
        let name = scorer.spec().name().to_owned();
        (name, scorer.score(case, &answer.text))
    });
    let scores: BTreeMap<String, Outcome> = scores.collect();
    let digest: [u8; 32] = Sha256::digest(&answer.text).into();
    let keeps = plan.head.keeps_answers;
    Line {
        id: case.id.clone(),
        stratum: case.stratum.clone(),
        answer_sha256: (!keeps).then(|| HexBytes(digest).to_string()),
        answer: keeps.then_some(answer.text),
        finish: answer.finish,
        input_tokens: answer.input_tokens,
        output_tokens: answer.output_tokens,
        latency_ms: Some(u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX)),
        usd: cost.map(NanoUsd::usd),
        scoring_usd: None,
        is_rescored: false,
        requests: answer.requests,
        expected_score: case.expected_score,
        scores,
        error: None,
    }
}

fn failed(scorers: &[Scorer], case: &Case, reason: String, requests: u32) -> Line {
    let skipped = |scorer: &Scorer| {
        let name = scorer.spec().name().to_owned();
        (name, Outcome::skipped("there is no answer"))
    };
    Line {
        id: case.id.clone(),
        stratum: case.stratum.clone(),
        answer: None,
        answer_sha256: None,
        finish: None,
        input_tokens: None,
        output_tokens: None,
        latency_ms: None,
        usd: None,
        scoring_usd: None,
        is_rescored: false,
        requests,
        expected_score: case.expected_score,
        scores: scorers.iter().map(skipped).collect(),
        error: Some(reason),
    }
}
