//! `freehold demo`: two real models, one gateway, two rollouts. It runs the program's own commands, and shows them.

mod stage;
mod traffic;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::stage::Theatre;
use crate::cli::DemoArgs;

/// Where the default model's place in the store is known.
const MODEL: &str = "smollm2-135m-instruct";

/// One rollout of the demo, and how it must end.
struct Act {
    flow: &'static str,
    told: &'static str,
    plan: &'static [&'static str],
    ends: &'static str,
}

const ACTS: [Act; 2] = [
    Act {
        flow: "tickets",
        told: "the same model with 4-bit instead of 8-bit weights, a third smaller",
        plan: &["--to", "small/model"],
        ends: "promoted",
    },
    Act {
        flow: "tickets-damaged",
        told: "the same, damaged: temperature 2 and instructions for another task",
        plan: &[
            "--to",
            "small/model",
            "--temperature",
            "2",
            "--system",
            "wrong.txt",
        ],
        ends: "rolled back",
    },
];

/// What every plan of the demo has in common.
const PLAN: [&str; 16] = [
    "--from",
    "large/model",
    "--scorer",
    "fields",
    "--margin",
    "0.25",
    "--mirror",
    "100",
    "--steps",
    "25,100",
    "--step-requests",
    "10",
    "--step-seconds",
    "0",
    "--autopilot",
    "full",
];

/// False when a rollout did not end as it must.
pub(crate) async fn run(args: DemoArgs) -> Result<bool> {
    say("This is a demo: real models on this machine, made-up traffic.\n")?;
    let folder = Folder::new(args.keep.as_deref())?;
    let model = stage::model(MODEL).await?;
    say("Making a copy of the model with 8-bit weights ...\n")?;
    let large = folder.path().join("large.gguf");
    stage::requantised(&model, &large).await?;
    let theatre = Theatre::open(folder.path(), &model, &large).await?;
    let mut trails = Vec::new();
    let mut is_as_it_must = true;
    for act in ACTS {
        let (trail, ended) = play(&theatre, &act, args.questions_max).await?;
        is_as_it_must &= ended == act.ends;
        trails.push(
            json!({"candidate": act.told, "ended": ended, "expected": act.ends, "trail": trail}),
        );
    }
    say("\nThe trail of decisions\n")?;
    if args.json {
        let text = serde_json::to_string_pretty(&json!({"demo": true, "rollouts": trails}))?;
        writeln!(std::io::stdout().lock(), "{text}")?;
    } else {
        let history = theatre.command(&["rollout", "history"]).await?;
        write!(std::io::stdout().lock(), "{history}")?;
    }
    drop(theatre);
    if args.keep.is_some() {
        say(&format!(
            "\nEverything is in {}.\n",
            folder.path().display()
        ))?;
    }
    Ok(is_as_it_must)
}

/// Plays one rollout to its end; its trail, and how it ended.
async fn play(theatre: &Theatre, act: &Act, questions_max: usize) -> Result<(Value, String)> {
    let plan = format!("{}.yaml", act.flow);
    let base = ["rollout", "plan", "--flow", act.flow, "--out", &plan];
    say(&format!("\nCandidate: {}.\n", act.told))?;
    theatre
        .shown(&[&base[..], act.plan, &PLAN].concat())
        .await?;
    theatre.shown(&["rollout", "start", &plan]).await?;
    let mut last = String::new();
    for number in 0..questions_max {
        let answered = theatre.ask(act.flow, number).await?;
        // A look at every fifth question is often enough.
        if number % 5 != 4 {
            continue;
        }
        let status = theatre
            .command(&["rollout", "status", act.flow, "--json"])
            .await?;
        let status: Value = serde_json::from_str(&status).context("rollout status --json")?;
        let status = &status[0];
        let stage = status["stage"].as_str().unwrap_or("?").to_owned();
        if stage != last {
            say(&format!("  after {:>3} questions: {stage}\n", number + 1))?;
            last.clone_from(&stage);
        } else if number % 25 == 24 {
            let seen = &status["seen"];
            say(&format!(
                "  {:>3} questions, {} scored by pairs; the last answer was {answered}\n",
                number + 1,
                seen["scored"]
            ))?;
        }
        if matches!(stage.as_str(), "promoted" | "rolled back") {
            let trail = theatre
                .command(&["rollout", "history", act.flow, "--json"])
                .await?;
            let trail: Value = serde_json::from_str(&trail).context("rollout history --json")?;
            return Ok((trail[0]["history"].clone(), stage));
        }
    }
    bail!(
        "after {questions_max} questions the rollout of `{}` is still at {last}",
        act.flow
    )
}

/// Progress: on standard error, so that standard output holds the result alone.
fn say(text: &str) -> Result<()> {
    let mut err = std::io::stderr().lock();
    err.write_all(text.as_bytes())?;
    Ok(err.flush()?)
}

/// Where everything lies.
enum Folder {
    Kept(std::path::PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Self> {
        let Some(path) = keep else {
            let made = tempfile::tempdir().context("cannot make a temporary directory")?;
            return Ok(Self::Temporary(made));
        };
        let name = path.display();
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {name}"))?;
        let mut entries = std::fs::read_dir(path).with_context(|| format!("cannot read {name}"))?;
        if entries.next().is_some() {
            bail!("{name} is not empty: name a new directory");
        }
        let whole = path
            .canonicalize()
            .with_context(|| format!("cannot find {name}"))?;
        Ok(Self::Kept(whole))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(made) => made.path(),
        }
    }
}
