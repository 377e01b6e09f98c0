//! `freehold eval replay`: asks a candidate what was asked of a flow, and compares its answers with those that were given.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use freehold_config::Settings;
use freehold_proof::dataset::Case;
use freehold_proof::scorers::{Outcome, texts};

use super::ask::Answer;
use super::bounded::Ended;
use super::plan::Plan;
use super::record::{Opened, Writer};
use super::stored::{self, Expect};
use super::{compare, send};
use crate::cli::{CompareArgs, EvalDatasetArgs, EvalReplayArgs, EvalRunArgs};
use crate::commands::model_server;

/// What answers that were stored are called in results.
const STORED: &str = "stored answers";

/// `freehold eval run` and `compare`, as they are typed.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Run {
    #[command(flatten)]
    args: EvalRunArgs,
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Compare {
    #[command(flatten)]
    args: CompareArgs,
}

pub(super) async fn run(args: EvalReplayArgs, settings: Option<Settings>) -> Result<bool> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let [cases, given, candidate] =
        ["cases.jsonl", "stored.jsonl", "candidate.jsonl"].map(|name| folder.join(name));
    // Who goes on with a replay compares with what was stored then.
    if !cases.exists() {
        let asked = EvalDatasetArgs {
            from_prompts: true,
            only: args.only.clone(),
            limit: args.limit,
            seed: args.seed,
            expect_answers: true,
            out: cases.clone(),
            force: false,
            json: false,
        };
        let told = stored::make(&asked, Expect::Given, settings).await?;
        writeln!(std::io::stderr().lock(), "{told}")?;
    }
    let of = |model: &str, out: &Path| -> Result<EvalRunArgs> {
        let paths = [&cases, out].map(|path| path.to_str().map(str::to_owned));
        let [Some(cases), Some(out)] = paths else {
            bail!("--folder is no UTF-8");
        };
        let scorer = args.scorer.as_str();
        let typed = [&cases, "--model", model, "--out", &out, "--scorer", scorer];
        let typed = typed.map(str::to_owned).into_iter();
        Ok(Run::try_parse_from(typed.chain(args.more.clone()))?.args)
    };
    let (incumbent, challenger) = (of(STORED, &given)?, of(&args.model, &candidate)?);
    given_answers(&incumbent)?;
    for run in [&incumbent, &challenger] {
        let (_, ended) = send::perform(run).await?;
        if let Ended::AtCap(left) = ended {
            bail!(
                "{left} cases were not asked, as they could bring the cost above --usd-max: raise it and run the same again \
                 to go on"
            );
        }
    }
    let margin = args.margin.to_string();
    let mut typed = vec![
        path(&given)?,
        path(&candidate)?,
        "--margin".to_owned(),
        margin,
    ];
    if args.json {
        typed.push("--json".to_owned());
    }
    compare::run(&Compare::try_parse_from(typed)?.args)
}

fn path(path: &Path) -> Result<String> {
    let text = path.to_str().context("--folder is no UTF-8")?;
    Ok(text.to_owned())
}

/// Writes the stored answers as the results of a run. Scorers that ask somebody are asked when that run goes on.
fn given_answers(args: &EvalRunArgs) -> Result<()> {
    let endpoint = model_server::endpoint(&args.url)?;
    let plan = Plan::new(args, endpoint.to_string())?;
    let Opened {
        mut writer,
        results,
        ..
    } = Writer::open(&args.out, &plan.head)?;
    for case in plan.set.cases() {
        if results.lines.contains_key(&case.id) {
            continue;
        }
        let mut line = send::answered(&plan, case, given(case)?, None);
        for spec in plan.head.scorers.iter().filter(|spec| spec.is_asked()) {
            let nobody = Outcome::failed("nobody was asked yet");
            line.scores.insert(spec.name().to_owned(), nobody);
        }
        writer.put(&line)?;
    }
    Ok(())
}

/// What was answered.
fn given(case: &Case) -> Result<Answer> {
    let text = texts(case).into_iter().next();
    ensure!(text.is_some(), "the case {} has no stored answer", case.id);
    Ok(Answer {
        text: text.unwrap_or_default(),
        finish: None,
        input_tokens: None,
        output_tokens: None,
        cost: None,
        latency: Duration::ZERO,
        requests: 0,
    })
}
