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
use tokio::task::JoinSet;

use super::ask::{Answer, Asker, Failure};
use super::plan::Plan;
use super::record::{Line, Opened, Results, Writer};
use super::show;
use crate::cli::EvalRunArgs;
use crate::commands::model_server;
use crate::workload_source;

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
    let is_asked = |case: &&Case| {
        let line = results.lines.get(&case.id);
        line.is_none_or(|line| line.error.is_some())
    };
    let asked: Vec<&Case> = plan.set.cases().iter().filter(is_asked).collect();
    let mut told = plan.stated(&asked, &args.out);
    if is_torn {
        told.push_str("\n  the last line of the file was torn and is dropped");
    }
    writeln!(std::io::stderr().lock(), "{told}")?;
    let mut run = Run {
        plan: &plan,
        writer,
        cap: args.usd_max.and_then(NanoUsd::from_usd),
        spent: NanoUsd::from_usd(results.spent_usd).unwrap_or_default(),
        results,
    };
    let ended = run
        .send(&asker, &asked, usize::from(args.concurrency))
        .await;
    let ended = ended.with_context(|| {
        format!(
            "the run ended early; what was answered is in {}",
            args.out.display()
        )
    })?;
    Ok((run.results, ended))
}

pub(super) enum Ended {
    Asked,
    /// So many cases were not asked.
    AtCap(usize),
}

struct Run<'a> {
    plan: &'a Plan,
    writer: Writer,
    cap: Option<NanoUsd>,
    spent: NanoUsd,
    results: Results,
}

/// A case that was asked: what was reserved for it, and what came back.
struct Done {
    index: usize,
    reserved: NanoUsd,
    answer: Result<Answer, Failure>,
}

impl Run<'_> {
    /// Asks. What is under way when the run must end is waited for and kept: it may have cost something.
    async fn send(&mut self, asker: &Asker, asked: &[&Case], at_once: usize) -> Result<Ended> {
        let bar = workload_source::bar(
            Some(asked.len() as u64),
            "{wide_bar} {pos} of {len} cases, {eta} left",
        );
        let asker = Arc::new(asker.clone());
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let (mut next, mut reserved) = (0, NanoUsd::ZERO);
        let (mut broken, mut is_capped) = (None, false);
        loop {
            while tasks.len() < at_once && next < asked.len() && broken.is_none() && !is_capped {
                let cost = self.plan.prices.at_most(asked[next]).unwrap_or_default();
                if self
                    .cap
                    .is_some_and(|cap| self.spent + reserved + cost > cap)
                {
                    // What is under way may cost less than was reserved for it.
                    is_capped = tasks.is_empty();
                    break;
                }
                reserved += cost;
                let (asker, case, index) = (Arc::clone(&asker), asked[next].clone(), next);
                tasks.spawn(async move {
                    Done {
                        index,
                        reserved: cost,
                        answer: asker.ask(&case).await,
                    }
                });
                next += 1;
            }
            let Some(done) = tasks.join_next().await else {
                break;
            };
            let done = done.context("a request of the run broke")?;
            reserved = NanoUsd::from_nanos(reserved.nanos() - done.reserved.nanos());
            match done.answer {
                Ok(answer) => self.keep(asked[done.index], Ok(answer), done.reserved)?,
                Err(Failure::Case { reason, requests }) => {
                    self.keep(asked[done.index], Err((reason, requests)), done.reserved)?;
                }
                Err(Failure::Run(error)) => broken = broken.or(Some(error)),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        match broken {
            Some(error) => Err(error),
            None if next < asked.len() => Ok(Ended::AtCap(asked.len() - next)),
            None => Ok(Ended::Asked),
        }
    }

    /// Scores an answer and writes its line.
    fn keep(
        &mut self,
        case: &Case,
        answer: Result<Answer, (String, u32)>,
        reserved: NanoUsd,
    ) -> Result<()> {
        let line = match answer {
            Ok(answer) => {
                let tokens = answer.input_tokens.zip(answer.output_tokens);
                let by_tokens =
                    tokens.and_then(|(input, output)| self.plan.prices.cost(input, output));
                let cost = answer.cost.or(by_tokens);
                self.spent += cost.unwrap_or(reserved);
                answered(self.plan, case, answer, cost)
            }
            Err((reason, requests)) => failed(&self.plan.scorers, case, reason, requests),
        };
        self.writer.put(&line)?;
        self.results.lines.insert(line.id.clone(), line);
        Ok(())
    }
}

fn answered(plan: &Plan, case: &Case, answer: Answer, cost: Option<NanoUsd>) -> Line {
    let scores = plan.scorers.iter().map(|scorer| {
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
        requests: answer.requests,
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
        requests,
        scores: scorers.iter().map(skipped).collect(),
        error: Some(reason),
    }
}
