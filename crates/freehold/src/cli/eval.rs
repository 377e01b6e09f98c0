//! `freehold eval`: its arguments.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use freehold_proof::dataset::Form;

use super::{RuleArgs, StoredArgs};

/// Ask a model a data set's questions, score the answers, and compare two models.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval run support.jsonl --model openai/gpt-4o-mini --scorer exact --out rented.jsonl
  freehold eval run support.jsonl --model local/qwen --scorer exact --out owned.jsonl
  freehold eval show owned.jsonl
  freehold eval compare rented.jsonl owned.jsonl --margin 0.03
  freehold eval judge rented.jsonl owned.jsonl --judge-model openai/gpt-4o-mini
  freehold eval review owned.jsonl --sample 50 --out queue.csv
  freehold eval dataset --from-prompts --flow support --since 7d --limit 300 --out support.jsonl
  freehold eval ci suite.yaml --junit report.xml

docs/eval.md describes data sets, scorers and results.")]
pub(crate) struct EvalArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: EvalCommand,
}

impl EvalArgs {
    /// Whether it reads stored prompts, and needs a configuration for that.
    pub(crate) const fn reads_prompts(&self) -> bool {
        matches!(
            self.command,
            EvalCommand::Dataset(_) | EvalCommand::Replay(_)
        )
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Ask a model, and write answers and scores to a file
    ///
    /// Says first how many cases and tokens that will be and what it will about cost. A run that was broken off goes on
    /// where it ended when it is started again; cases without an answer are asked again.
    /// Exit status: 0 when every case has an answer, 1 when not.
    Run(EvalRunArgs),
    /// Show what a run found, by stratum and scorer
    Show(EvalShowArgs),
    /// Judge whether a candidate's answers are not worse than the incumbent's
    ///
    /// Both files must be of the same version of the data set. Scores are put into pairs by case and judged as
    /// `freehold proof judge` does. Exit status: 0 when it is proven, 1 when not.
    Compare(CompareArgs),
    /// Run a suite of checks, for a build that must not go on when one fails
    ///
    /// Asks afresh each time. Exit status: 0 when every check passes, 1 when one fails or the run ends early.
    Ci(EvalCiArgs),
    /// Let a model say, pair by pair, whose answers are better
    ///
    /// Each pair is asked twice, with the order swapped; where the orders disagree it is a tie. The candidate's scores
    /// (win 1, tie 0.5, loss 0) against the incumbent's are judged as `freehold proof judge` does. A judgement that was
    /// broken off goes on when it is started again. Exit status: 0 when it is proven, 1 when not.
    Judge(EvalJudgeArgs),
    /// Write answers for people to score, without the models' names, or read their scores back
    ///
    /// The queue is CSV or, by its name's end, JSONL. Whose answer a row is follows from its item and the results only.
    Review(EvalReviewArgs),
    /// Make a data set of stored prompts; that goes into the audit trail
    ///
    /// Texts are as they are stored: masked, unless a rule lets the original be stored.
    Dataset(EvalDatasetArgs),
    /// Ask a candidate what was asked of a flow, and judge its answers against those that were given
    ///
    /// Makes a data set of stored prompts with their answers (that goes into the audit trail), asks the candidate, scores
    /// both, and judges as `freehold proof judge` does. Started again with the same folder it goes on where it ended.
    /// Exit status: 0 when the candidate is proven not to be worse, 1 when not.
    Replay(Box<EvalReplayArgs>),
}

/// What to ask whom.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval run qa.jsonl --model local/qwen --scorer normalised --scorer rouge-l
  freehold eval run evals.jsonl --model openai/gpt-4o-mini --scorer label=yes,no --usd-max 2
  freehold eval run promptfoo.yaml --model m --url http://127.0.0.1:8000 --scorer assert --limit 200
  freehold eval run extract.jsonl --model m --scorer json-schema=schema.json --scorer fields
  freehold eval run qa.jsonl --model m --scorer number=1% --dry-run     say what would be sent
  freehold eval run mails.jsonl --model m --scorer judge=rubric.md --judge-model openai/gpt-4o-mini
  freehold eval run code.jsonl --model m --scorer command=./check.sh
  freehold eval run code.jsonl --model m --scorer command=./check.py --scorer-read cases/

Scorers: exact, normalised, contains, regex[=PATTERN], assert, json, json-schema=FILE, fields,
number[=TOLERANCE or %], label[=A,B,...], chrf, rouge-l, judge=RUBRIC, embedding=MODEL, command=PROGRAM")]
pub(crate) struct EvalRunArgs {
    /// The data set: our own JSONL, OpenAI's evals, or a promptfoo configuration; `-` for standard input
    pub(crate) dataset: PathBuf,
    /// The model as the server names it
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// A scorer; several may be given
    #[arg(long, value_name = "SCORER", required = true)]
    pub(crate) scorer: Vec<String>,
    /// The server that has it, with or without /v1
    #[arg(long, env = "FREEHOLD_URL", default_value = "http://127.0.0.1:4000")]
    pub(crate) url: String,
    /// The environment variable that holds the server's API key
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key_env: Option<String>,
    /// The results; a run of the same that stands there goes on
    #[arg(long, value_name = "FILE", default_value = "results.jsonl")]
    pub(crate) out: PathBuf,
    /// How the data set is written: freehold, openai-evals or promptfoo [default: found out from its content]
    #[arg(long, value_name = "FORM")]
    pub(crate) form: Option<Form>,
    /// Leave out rows that are no cases; without it, they end the command
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// Ask so many of the cases, of each stratum its share, chosen by --seed
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Requests at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// Send nothing that could bring the file's cost above this
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) usd_max: Option<f64>,
    /// Whose list price counts, as PROVIDER/MODEL [default: the model's own name]
    #[arg(long, value_name = "NAME")]
    pub(crate) price_as: Option<String>,
    /// Tokens of the longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    /// The temperature that is sent
    #[arg(long, default_value_t = 0.0)]
    pub(crate) temperature: f64,
    /// The seed that is sent, and that chooses the sample
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Send neither temperature nor seed, for models that refuse them
    #[arg(long)]
    pub(crate) plain: bool,
    /// Keep hashes in the place of answers
    #[arg(long)]
    pub(crate) no_answers: bool,
    /// Ask again so often when a server is busy or out of reach
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) retries: u32,
    /// Give a request up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Say what would be sent, and end
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Whom scorers ask.
    #[command(flatten)]
    pub(crate) scoring: ScoringArgs,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whom scorers ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScoringArgs {
    /// The model that judges
    #[arg(long, value_name = "MODEL")]
    pub(crate) judge_model: Option<String>,
    /// Tokens of a judge's longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) judge_max_tokens: u32,
    /// The server that has the models that judge and embed [default: --url]
    #[arg(long, value_name = "URL")]
    pub(crate) scorer_url: Option<String>,
    /// The environment variable that holds that server's API key [default: --key-env, unless --scorer-url is given]
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) scorer_key_env: Option<String>,
    /// Whose list price counts for scorers' models that the price book does not have, as PROVIDER/MODEL
    #[arg(long, value_name = "NAME")]
    pub(crate) scorer_price_as: Option<String>,
    /// End a program that scores after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) scorer_timeout: u64,
    /// How a program that scores is kept from everything else.
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
}

/// How a program that scores is kept from everything else. A suite cannot say it, only who runs it.
#[derive(Clone, Debug, Args)]
pub(crate) struct SandboxArgs {
    /// What a program that scores may read besides itself and the system's programs; again for more
    #[arg(long, value_name = "PATH")]
    pub(crate) scorer_read: Vec<PathBuf>,
    /// Memory that each process of a program that scores may map
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) scorer_memory: u32,
    /// Run a program that scores with your user's rights, files and network; only for programs and answers you trust
    #[arg(long, conflicts_with_all = ["scorer_read", "scorer_memory"])]
    pub(crate) scorer_unsandboxed: bool,
}

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct EvalShowArgs {
    /// What `freehold eval run` wrote
    pub(crate) results: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to ask again, and whom.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval replay --flow support --since 7d --model local/qwen --scorer label=yes,no
  freehold eval replay --flow support --since 7d --model local/qwen --scorer chrf --limit 500 --folder support-qwen
  freehold eval replay --flow support --model local/qwen --scorer judge=rubric.md -- --judge-model openai/gpt-4o
                                                     what stands after -- goes to freehold eval run")]
pub(crate) struct EvalReplayArgs {
    /// The candidate, as the server names it
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// By which scorer; those that need an expected text take the stored answer, and measure agreement
    #[arg(long, value_name = "SCORER")]
    pub(crate) scorer: String,
    /// Which stored prompts.
    #[command(flatten)]
    pub(crate) only: StoredArgs,
    /// So many of them, of each stratum its share
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) limit: u64,
    /// Chooses the sample
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How much lower the candidate's mean score may be
    #[arg(long, default_value_t = 0.05)]
    pub(crate) margin: f64,
    /// Holds cases, stored answers and the candidate's; a replay that stands there goes on
    #[arg(long, value_name = "FOLDER", default_value = "replay")]
    pub(crate) folder: PathBuf,
    /// Print the comparison as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Further arguments of `freehold eval run`, for both
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) more: Vec<String>,
}

/// What to compare.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval compare rented.jsonl owned.jsonl --margin 0.03
  freehold eval compare rented.jsonl owned.jsonl --scorer exact --pairs pairs.jsonl
  freehold eval compare rented.jsonl owned.jsonl --model gpt-oss-120b --flow support --save proofs.json
                                                     keeps it for freehold advise --proofs")]
pub(crate) struct CompareArgs {
    /// The results of the model that is in use
    pub(crate) incumbent: PathBuf,
    /// The results of the one that may take its place
    pub(crate) candidate: PathBuf,
    /// By which scorer [default: the only one that both have]
    #[arg(long, value_name = "SCORER")]
    pub(crate) scorer: Option<String>,
    /// Judge although answers are missing; without it, they end the command
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Write the pairs there, for `freehold proof judge`
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// The candidate's model, as `freehold advise --model` calls it
    #[arg(long, requires = "save")]
    pub(crate) model: Option<String>,
    /// The flow that the data set is of [default: all traffic]
    #[arg(long, requires = "save")]
    pub(crate) flow: Option<String>,
    /// Keep what was proven or refuted in this file, for `freehold advise --proofs`; what it said before of the same
    /// flow and model is replaced
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) save: Option<PathBuf>,
    /// Replace the file of pairs
    #[arg(long)]
    pub(crate) force: bool,
    /// By which rule.
    #[command(flatten)]
    pub(crate) rule: RuleArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval ci suite.yaml --junit report.xml
  freehold eval ci suite.yaml --model local/qwen-q4 --json      the same of another model

A suite:
  dataset: support.jsonl
  model: local/qwen
  checks:
    - {scorer: exact, mean_min: 0.9, stratum_min: 0.8}
    - {scorer: chrf, baseline: rented.jsonl, margin: 0.05}")]
pub(crate) struct EvalCiArgs {
    /// The suite, as YAML; paths in it are relative to it
    pub(crate) suite: PathBuf,
    /// The model, in the place of the suite's
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// The server, in the place of the suite's [default: http://127.0.0.1:4000]
    #[arg(long, env = "FREEHOLD_URL")]
    pub(crate) url: Option<String>,
    /// The environment variable that holds the server's API key, in the place of the suite's
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key_env: Option<String>,
    /// Keep the results there, for a later baseline [default: they are not kept]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write how the checks ended there, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// How a program that scores is kept from everything else.
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which answers a model compares.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval judge rented.jsonl owned.jsonl --judge-model openai/gpt-4o-mini --usd-max 2
  freehold eval judge rented.jsonl owned.jsonl --judge-model m --rubric criteria.md --out judged.jsonl
  freehold eval show judged.jsonl                    by stratum, with agreement and bias")]
pub(crate) struct EvalJudgeArgs {
    /// The results of the model that is in use, with answers
    pub(crate) incumbent: PathBuf,
    /// The results of the one that may take its place
    pub(crate) candidate: PathBuf,
    /// The criteria, as text [default: which helps whoever asked more: right, complete, clear, no longer than needed]
    #[arg(long, value_name = "FILE")]
    pub(crate) rubric: Option<PathBuf>,
    /// The data set [default: the file that the results name]
    #[arg(long, value_name = "FILE")]
    pub(crate) dataset: Option<PathBuf>,
    /// What the judge said; a judgement of the same that stands there goes on
    #[arg(long, value_name = "FILE", default_value = "judged.jsonl")]
    pub(crate) out: PathBuf,
    /// The server that has the judge, with or without /v1
    #[arg(long, env = "FREEHOLD_URL", default_value = "http://127.0.0.1:4000")]
    pub(crate) url: String,
    /// The environment variable that holds the server's API key
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key_env: Option<String>,
    /// The model that judges
    #[arg(long, value_name = "MODEL")]
    pub(crate) judge_model: String,
    /// Tokens of its longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) judge_max_tokens: u32,
    /// Whose list price counts, as PROVIDER/MODEL [default: the judge's own name]
    #[arg(long, value_name = "NAME")]
    pub(crate) price_as: Option<String>,
    /// Send nothing that could bring the file's cost above this
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) usd_max: Option<f64>,
    /// Pairs at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// The seed that is sent
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Send neither temperature nor seed, for models that refuse them
    #[arg(long)]
    pub(crate) plain: bool,
    /// Ask again so often when the server is busy or out of reach
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) retries: u32,
    /// Give a request up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Judge although answers are missing; without it, they end the command
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// The candidate's model, as `freehold advise --model` calls it
    #[arg(long, requires = "save")]
    pub(crate) model: Option<String>,
    /// The flow that the data set is of [default: all traffic]
    #[arg(long, requires = "save")]
    pub(crate) flow: Option<String>,
    /// Keep what was proven or refuted in this file, for `freehold advise --proofs`
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) save: Option<PathBuf>,
    /// By which rule.
    #[command(flatten)]
    pub(crate) rule: RuleArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What people are asked.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("way").required(true).args(["out", "import"]))]
#[command(after_help = "\
Examples:
  freehold eval review owned.jsonl --sample 50 --out queue.csv
  freehold eval review rented.jsonl owned.jsonl --sample 50 --out queue.csv      both answers, in no order
  (people fill in the column `score`, from 0 to 1)
  freehold eval review rented.jsonl owned.jsonl --import queue.csv
  freehold eval compare rented-reviewed.jsonl owned-reviewed.jsonl --scorer review")]
pub(crate) struct EvalReviewArgs {
    /// The results, with answers
    pub(crate) results: PathBuf,
    /// Results of another model on the same cases
    pub(crate) other: Option<PathBuf>,
    /// Write the queue there
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Read a queue with scores; results with them are written beside the old ones, as NAME-reviewed.jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,
    /// The data set [default: the file that the results name]
    #[arg(long, value_name = "FILE")]
    pub(crate) dataset: Option<PathBuf>,
    /// So many of the cases, of each stratum its share [default: all]
    #[arg(long, value_name = "COUNT", requires = "out", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sample: Option<u64>,
    /// Chooses the sample and the order
    #[arg(long, default_value_t = 1, requires = "out")]
    pub(crate) seed: u64,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of which stored prompts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold eval dataset --from-prompts --flow support --since 7d --limit 300 --out support.jsonl
  freehold eval dataset --from-prompts --since 24h --limit 100 --out all.jsonl --expect-answers --json

Cases are sampled by --seed and stratified by language and difficulty; what repeats is left out.")]
pub(crate) struct EvalDatasetArgs {
    /// Take stored prompts
    #[arg(long, required = true)]
    pub(crate) from_prompts: bool,
    /// Which.
    #[command(flatten)]
    pub(crate) only: StoredArgs,
    /// So many cases, of each stratum its share
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) limit: u64,
    /// Chooses the sample
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Expect what was answered, as a model's answers to hold others against; what has no whole answer is left out
    #[arg(long)]
    pub(crate) expect_answers: bool,
    /// The data set
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
