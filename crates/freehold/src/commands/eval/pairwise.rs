//! `freehold eval judge`: a model says whose answers are better, each pair in both orders.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use freehold_cost::tokens::estimate_text;
use freehold_proof::dataset::{Case, DataSet};
use freehold_proof::scorers::judge::{Verdict, Verdicts, pair_question, read_verdict};
use freehold_proof::scorers::{Outcome, ScorerSpec};
use freehold_proof::{Rule, Score, Standing, Stratified, StratumJudgement};
use freehold_types::NanoUsd;
use freehold_types::audit::HexBytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ask::{Answer, Asker, Failure};
use super::asked::{cut, judged, rubric};
use super::bounded::{self, Budget, Ended, Kept};
use super::plan::{Prices, input_tokens};
use super::record::{Head, Line, Opened, Results, Settings, Writer};
use super::show::Trust;
use super::{cases, compare};
use crate::cli::EvalJudgeArgs;
use crate::commands::model_server;
use crate::commands::proof::{Found, rule, told};
use crate::commands::usage::printable;

/// What a judge is told beside the criteria, the question and the answers.
const INSTRUCTION_TOKENS: u64 = 450;
/// What counts when nobody says.
pub(crate) const CRITERIA: &str = "Which answer helps whoever asked more: it is right, complete, clear, and no longer than needed.";

/// What is told as JSON.
#[derive(Serialize)]
struct Told<'a> {
    incumbent: &'a str,
    candidate: &'a str,
    judge: &'a str,
    version: &'a str,
    pairs: u64,
    /// Cases of which one side has no answer.
    missing: usize,
    /// Pairs on which the judge broke.
    failed: usize,
    /// Pairs of equal texts, which are ties without being asked.
    equal: usize,
    trust: Trust,
    judgement: &'a StratumJudgement,
}

/// A case with both answers.
struct Pair<'a> {
    case: &'a Case,
    incumbent: &'a str,
    candidate: &'a str,
}

/// What a judge said, put together.
struct Counted {
    seen: Stratified,
    trust: Trust,
    failed: usize,
    equal: usize,
}

impl Counted {
    fn of(results: &Results) -> Result<Self> {
        let mut seen = Stratified::default();
        let (mut trust, mut failed, mut equal) = (Trust::default(), 0, 0);
        for line in results.lines.values() {
            match line.scores.get("pairwise") {
                Some(Outcome::Scored {
                    score, verdicts, ..
                }) => {
                    match verdicts {
                        Some(verdicts) => trust.add(*verdicts),
                        None => equal += 1,
                    }
                    let other = Score::new(1.0 - score.get())?;
                    seen.pair(&line.stratum, other, *score);
                }
                _ => failed += 1,
            }
        }
        Ok(Self {
            seen,
            trust,
            failed,
            equal,
        })
    }
}

/// Results that hold answers.
pub(super) fn answers(path: &Path) -> Result<Results> {
    let results = Results::read(path)?;
    ensure!(
        results.head.keeps_answers,
        "{} holds no answers: run the evaluation without --no-answers",
        path.display()
    );
    Ok(results)
}

pub(super) async fn run(args: &EvalJudgeArgs) -> Result<bool> {
    let rule = rule(args.rule)?;
    let [incumbent, candidate] = [answers(&args.incumbent)?, answers(&args.candidate)?];
    compare::same(&incumbent, &candidate)?;
    let set = cases::of(&incumbent, args.dataset.as_deref())?;
    let pairs = pairs(&set, &incumbent, &candidate);
    let missing = set.cases().len() - pairs.len();
    if missing > 0 && !args.allow_missing {
        bail!(
            "{missing} of {} cases have no answer on one side: run the evaluations again, which asks what has no answer, \
             or judge the others with --allow-missing (whoever fails on hard cases looks better then)",
            set.cases().len()
        );
    }
    ensure!(!pairs.is_empty(), "no case has an answer on both sides");
    let bench = Bench::new(args, &incumbent, &candidate)?;
    let (results, ended) = bench.judge(args, &pairs).await?;
    let Counted {
        seen,
        trust,
        failed,
        equal,
    } = Counted::of(&results)?;
    if let Ended::AtCap(left) = ended {
        bail!(
            "{left} pairs were not judged, as they could bring the cost above --usd-max: raise it and run the same again \
             to go on"
        );
    }
    if failed > 0 && !args.allow_missing {
        bail!(
            "the judge gave no verdict on {failed} of {} pairs (`freehold eval show {}` says why): run the same again, \
             which asks for these, or judge the others with --allow-missing",
            pairs.len(),
            args.out.display()
        );
    }
    let judged = seen.judge(&rule);
    if let (Some(path), Some(model)) = (&args.save, &args.model) {
        let found = Found {
            judged: &judged,
            rule: &rule,
            scores: format!(
                "{} against {} by preferences of {} on {}, version {}",
                candidate.head.model,
                incumbent.head.model,
                args.judge_model,
                incumbent.head.dataset,
                compare::short(&incumbent.head.version)
            ),
        };
        found.save(path, model, args.flow.as_deref())?;
    }
    let all = Told {
        incumbent: &incumbent.head.model,
        candidate: &candidate.head.model,
        judge: &args.judge_model,
        version: &incumbent.head.version,
        pairs: judged.all.samples,
        missing,
        failed,
        equal,
        trust,
        judgement: &judged,
    };
    all.print(args.json, &rule)?;
    Ok(judged.standing == Standing::Proven)
}

impl Told<'_> {
    fn print(&self, json: bool, rule: &Rule) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
        } else {
            writeln!(std::io::stderr().lock(), "{}", self.text())?;
            writeln!(out, "{}", told(self.judgement, rule))?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        format!(
            "{} in the place of {}, by preferences of {} on {} pairs of version {}; {} of them are equal texts, {} cases \
             are missing, on {} pairs the judge broke\n{}",
            printable(self.candidate),
            printable(self.incumbent),
            printable(self.judge),
            self.pairs,
            compare::short(self.version),
            self.equal,
            self.missing,
            self.failed,
            self.trust.text()
        )
    }
}

fn pairs<'a>(set: &'a DataSet, incumbent: &'a Results, candidate: &'a Results) -> Vec<Pair<'a>> {
    let answer = |results: &'a Results, case: &Case| {
        let line = results.lines.get(&case.id)?;
        line.error.is_none().then_some(line.answer.as_deref())?
    };
    let pair = |case: &'a Case| {
        Some(Pair {
            case,
            incumbent: answer(incumbent, case)?,
            candidate: answer(candidate, case)?,
        })
    };
    set.cases().iter().filter_map(pair).collect()
}

/// A judge, and what it goes by.
struct Bench {
    asker: Asker,
    criteria: String,
    prices: Prices,
    head: Head,
}

/// What came back for a pair: a verdict for each order.
struct Said {
    answers: [Result<Answer, Failure>; 2],
}

impl Bench {
    fn new(args: &EvalJudgeArgs, incumbent: &Results, candidate: &Results) -> Result<Self> {
        let criteria = match &args.rubric {
            Some(path) => rubric(&path.to_string_lossy())?,
            None => CRITERIA.to_owned(),
        };
        let now = OffsetDateTime::now_utc();
        let price_as = args.price_as.as_deref();
        let prices = Prices::new(&args.judge_model, price_as, args.judge_max_tokens, now)
            .context("--price-as")?;
        if let Some(usd) = args.usd_max {
            ensure!(
                usd.is_finite() && usd > 0.0,
                "--usd-max is an amount above 0"
            );
            ensure!(
                prices.is_known(),
                "nobody knows what `{}` costs, so that --usd-max cannot be kept: say whose list price counts with \
                 --price-as, or leave --usd-max out",
                args.judge_model
            );
        }
        let settings = Settings {
            max_tokens: args.judge_max_tokens,
            temperature: (!args.plain).then_some(0.0),
            seed: (!args.plain).then_some(args.seed),
        };
        let endpoint = model_server::endpoint(&args.url)?;
        let spec = ScorerSpec::Pairwise {
            model: args.judge_model.clone(),
            criteria: criteria.clone(),
            incumbent: named(incumbent),
            candidate: named(candidate),
        };
        let head = Head {
            freehold_eval: Head::form(),
            dataset: incumbent.head.dataset.clone(),
            version: incumbent.head.version.clone(),
            cases: incumbent.head.cases,
            model: format!("{} against {}", candidate.head.model, incumbent.head.model),
            url: endpoint.to_string(),
            scorers: vec![spec],
            settings: settings.clone(),
            keeps_answers: false,
            began: now.format(&Rfc3339)?,
            freehold: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let asker = Asker {
            client: model_server::client()?,
            endpoint,
            model: args.judge_model.clone(),
            key: model_server::key(args.key_env.as_deref())?,
            settings,
            timeout: Duration::from_secs(args.timeout),
            retries: args.retries,
        };
        Ok(Self {
            asker,
            criteria,
            prices,
            head,
        })
    }

    /// The most that judging a pair in both orders will about cost.
    fn at_most(&self, pair: &Pair) -> NanoUsd {
        let texts = [pair.incumbent, pair.candidate, &self.criteria].map(estimate_text);
        let tokens = INSTRUCTION_TOKENS + input_tokens(pair.case) + texts.iter().sum::<u64>();
        let once = self.prices.at_most(tokens).unwrap_or_default();
        once + once
    }

    async fn judge(&self, args: &EvalJudgeArgs, pairs: &[Pair<'_>]) -> Result<(Results, Ended)> {
        let Opened {
            mut writer,
            mut results,
            ..
        } = Writer::open(&args.out, &self.head)?;
        let is_open = |pair: &&Pair| {
            let line = results.lines.get(&pair.case.id);
            line.is_none_or(|line| line.wants_scores(&self.head.scorers))
        };
        let open: Vec<&Pair> = pairs.iter().filter(is_open).collect();
        let costs: Vec<NanoUsd> = open
            .iter()
            .map(|pair| {
                if is_equal(pair) {
                    NanoUsd::ZERO
                } else {
                    self.at_most(pair)
                }
            })
            .collect();
        self.state(args, pairs.len(), &costs)?;
        let mut budget = Budget {
            cap: args.usd_max.and_then(NanoUsd::from_usd),
            spent: NanoUsd::from_usd(results.spent_usd).unwrap_or_default(),
        };
        let asker = Arc::new(self.asker.clone());
        let start = |index: usize| {
            let pair: &Pair = open[index];
            let (asker, case) = (Arc::clone(&asker), pair.case.clone());
            let criteria = self.criteria.clone();
            let (incumbent, candidate) = (pair.incumbent.to_owned(), pair.candidate.to_owned());
            let is_equal = is_equal(pair);
            async move {
                if is_equal {
                    return None;
                }
                let mut answers = Vec::new();
                for [first, second] in [[&incumbent, &candidate], [&candidate, &incumbent]] {
                    let question = pair_question(&criteria, &case, first, second);
                    answers.push(judged(&asker, &question).await);
                }
                let answers: [Result<Answer, Failure>; 2] = answers.try_into().ok()?;
                Some(Said { answers })
            }
        };
        let keep = |index: usize, reserved: NanoUsd, said: Option<Said>| {
            let pair = open[index];
            let (line, kept) = self.line(pair, reserved, said);
            writer.put(&line)?;
            results.lines.insert(line.id.clone(), line);
            Ok(kept)
        };
        let at_once = usize::from(args.concurrency);
        let ended = bounded::each(&mut budget, at_once, &costs, start, keep).await;
        let ended = ended.with_context(|| {
            format!(
                "the judgement ended early; what was judged is in {}",
                args.out.display()
            )
        })?;
        Ok((results, ended))
    }

    fn state(&self, args: &EvalJudgeArgs, pairs: usize, costs: &[NanoUsd]) -> Result<()> {
        let all = costs
            .iter()
            .fold(NanoUsd::ZERO, |sum, cost| sum + *cost)
            .usd();
        let cost = match self.prices.name() {
            Some(name) => format!(
                "at most about ${all:.4} by the list price of {}",
                printable(name)
            ),
            None => "at a price that is not known".to_owned(),
        };
        writeln!(
            std::io::stderr().lock(),
            "Asking {} at {}\n  {pairs} pairs, {} to be judged in both orders, {cost}\n  what it says is kept in {}",
            printable(&args.judge_model),
            self.asker.endpoint,
            costs.len(),
            args.out.display()
        )?;
        Ok(())
    }

    fn line(&self, pair: &Pair, reserved: NanoUsd, said: Option<Said>) -> (Line, Kept) {
        let mut kept = Kept::default();
        let mut cost = None;
        let mut is_unknown = false;
        let outcome = match said {
            None => Outcome::of(0.5, "both answers are the same text"),
            Some(said) => {
                let mut verdicts = Vec::new();
                for answer in said.answers {
                    verdicts.push(match answer {
                        Ok(answer) => {
                            let tokens = answer.input_tokens.zip(answer.output_tokens);
                            let by_tokens =
                                tokens.and_then(|(input, output)| self.prices.cost(input, output));
                            match answer.cost.or(by_tokens) {
                                Some(one) => cost = Some(cost.unwrap_or_default() + one),
                                None => is_unknown = true,
                            }
                            read_verdict(&answer.text).map_err(|reason| reason + cut(&answer))
                        }
                        Err(Failure::Case { reason, .. }) => {
                            Err(format!("the judge gave no answer: {reason}"))
                        }
                        Err(Failure::Run(error)) => {
                            let reason = format!("the judge gave no answer: {error:#}");
                            kept.broken = kept.broken.or(Some(error));
                            Err(reason)
                        }
                    });
                }
                both(verdicts)
            }
        };
        kept.cost = if is_unknown {
            reserved
        } else {
            cost.unwrap_or_default()
        };
        let line = Line {
            id: pair.case.id.clone(),
            stratum: pair.case.stratum.clone(),
            answer: None,
            answer_sha256: None,
            finish: None,
            input_tokens: None,
            output_tokens: None,
            latency_ms: None,
            usd: None,
            scoring_usd: cost.map(NanoUsd::usd),
            is_rescored: false,
            requests: 2,
            expected_score: None,
            scores: [("pairwise".to_owned(), outcome)].into(),
            error: None,
        };
        (line, kept)
    }
}

/// A verdict counts when there is one for each order.
fn both(verdicts: Vec<Result<(Verdict, String), String>>) -> Outcome {
    let verdicts: Result<Vec<(Verdict, String)>, String> = verdicts.into_iter().collect();
    match verdicts.as_deref() {
        Ok([(incumbent_first, why), (candidate_first, also)]) => {
            let verdicts = Verdicts {
                incumbent_first: *incumbent_first,
                candidate_first: *candidate_first,
            };
            Outcome::preferred(verdicts, format!("{why} / {also}"))
        }
        Ok(_) => Outcome::failed("the judge was not asked in both orders"),
        Err(reason) => Outcome::failed(reason.clone()),
    }
}

fn is_equal(pair: &Pair) -> bool {
    pair.incumbent.trim() == pair.candidate.trim()
}

/// Whose answers they are, and which.
fn named(results: &Results) -> String {
    let mut digest = Sha256::new();
    for (id, line) in &results.lines {
        for text in [id.as_str(), line.answer.as_deref().unwrap_or_default()] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
    }
    let digest: [u8; 32] = digest.finalize().into();
    let digits = HexBytes(digest).to_string();
    let digits = digits.get(..16).unwrap_or(&digits);
    format!("{} {digits}", results.head.model)
}
