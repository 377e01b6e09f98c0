//! `freehold rollout`: its arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Move a flow to another model: shadow, canary, promotion, and back by itself.
///
/// A plan says which flow moves to what, by which proof, in which steps, and what calls it back. Started, the gateways of
/// this database carry it out: first the candidate answers unseen beside what serves today, then it serves a growing
/// share. docs/rollout.md has the whole.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold rollout plan --flow support --from gpt-4o --to local/qwen --scorer label=yes,no --out move.yaml
  freehold rollout start move.yaml                  begins in shadow: clients see nothing of it
  freehold rollout status                           where rollouts stand, and what they wait for
  freehold rollout accept r-0192                    takes the step that it proposes
  freehold rollout pause r-0192                     stays where it is; guards still call back
  freehold rollout abort r-0192                     everything goes back to where it was
  freehold rollout finish support                   promoted, and in the configuration by now: the flow can move again
  freehold rollout history --json                   every step of every rollout, and why")]
pub(crate) struct RolloutArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: RolloutCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Write a plan, and say what it would do
    Plan(Box<PlanArgs>),
    /// Start a plan
    Start(StartArgs),
    /// Where rollouts stand
    Status(StatusArgs),
    /// Take the step that a rollout proposes
    Accept(OneArgs),
    /// Go nowhere until `resume`; guards still call back
    Pause(OneArgs),
    /// Go on
    Resume(OneArgs),
    /// End a rollout: everything goes back to where it was, within a second
    Abort(OneArgs),
    /// End a promoted rollout whose candidate the configuration names by now, so that the flow can move again
    Finish(OneArgs),
    /// Every step, and why
    History(HistoryArgs),
}

/// What to plan.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct PlanArgs {
    /// The flow that moves (`freehold flows` lists them)
    #[arg(long)]
    pub(crate) flow: String,
    /// What its clients name in `model` today; `*` is anything
    #[arg(long, value_name = "MODEL")]
    pub(crate) from: String,
    /// What shall serve it: a deployment, a route or an alias [default: what --from names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) to: Option<String>,
    /// Other instructions for the candidate, in the place of the request's own
    #[arg(long, value_name = "FILE")]
    pub(crate) system: Option<PathBuf>,
    /// Another temperature for the candidate
    #[arg(long)]
    pub(crate) temperature: Option<f64>,
    /// How answers are scored, as in `freehold eval run`: json, json-schema=FILE and regex=PATTERN look at each side,
    /// judge=RUBRIC and pairwise[=CRITERIA] have --judge-model look at both; all others measure agreement with what
    /// serves today
    #[arg(long)]
    pub(crate) scorer: String,
    /// The model that judges, as a client would name it; it is asked under the same policy as the flow
    #[arg(long, value_name = "MODEL")]
    pub(crate) judge_model: Option<String>,
    /// How much lower the candidate's mean score may be
    #[arg(long, default_value_t = 0.05)]
    pub(crate) margin: f64,
    /// Judge easy, medium and hard requests by themselves, too
    #[arg(long)]
    pub(crate) by_difficulty: bool,
    /// Judge these languages by themselves, too, and all others together: three letters each, as eng,deu
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub(crate) by_language: Vec<String>,
    /// The share of requests that both sides answer, in per cent
    #[arg(long, default_value_t = 10.0, value_name = "PERCENT")]
    pub(crate) mirror: f64,
    /// What mirroring may cost, in dollars
    #[arg(long, default_value_t = 50.0, value_name = "USD")]
    pub(crate) mirror_usd_max: f64,
    /// The candidate's share, step by step, in per cent
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 5.0, 25.0, 50.0, 100.0], value_name = "PERCENT")]
    pub(crate) steps: Vec<f64>,
    /// Requests that the candidate must have answered before the next step
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    pub(crate) step_requests: u64,
    /// How long a step takes at least, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) step_seconds: u64,
    /// Call back when the candidate takes longer than so many milliseconds more often than --from by 10 %
    #[arg(long, value_name = "MS")]
    pub(crate) latency_ms: Option<f64>,
    /// Call back when requests of the candidate cost more than this more often than those of --from by 10 %
    #[arg(long, value_name = "USD")]
    pub(crate) request_usd: Option<f64>,
    /// Which steps are taken without asking
    #[arg(long, value_enum, default_value_t = Pilot::Off)]
    pub(crate) autopilot: Pilot,
    /// What the advisor says it saves a month, in dollars: held against what it really saves
    #[arg(long, value_name = "USD")]
    pub(crate) saving: Option<f64>,
    /// Write the plan to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Which steps are taken without asking.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Pilot {
    /// None
    Off,
    /// All but the promotion
    Canary,
    /// All
    Full,
}

/// What to start.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The plan, as `freehold rollout plan` writes it
    pub(crate) plan: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which rollout.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Its id, its beginning, or the flow's name
    pub(crate) rollout: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

/// Which rollouts.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Its id, its beginning, or the flow's name [default: all that go on]
    pub(crate) rollout: Option<String>,
    /// Those that are over, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which rollouts.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Its id, its beginning, or the flow's name [default: all]
    pub(crate) rollout: Option<String>,
    /// The latest scored requests, too, so many
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) pairs: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
