//! `freehold proof`: judges scores, and plays rollouts to see how often they would end wrongly.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use freehold_planner::Proof;
use freehold_proof::rollout::{
    Autopilot, Change, Guards, Mirror, Order, PairScorer, Stages, Strata, Truth, whole_rollouts,
};
use freehold_proof::scorers::ScorerSpec;
use freehold_proof::{
    Candidate, Judgement, Rates, Rule, Score, Standing, Stratified, StratumJudgement, rollouts,
};
use freehold_types::audit::HexBytes;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::export::Place;
use super::usage::{align_right, printable, table};
use crate::cli::{JudgeArgs, ProofArgs, ProofCommand, RuleArgs, SimulateArgs};

/// Bad lines that are told one by one.
const TOLD_MAX: usize = 5;

/// Runs one of the commands. False when what was judged is not proven.
pub(crate) fn run(args: ProofArgs) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match args.command {
        ProofCommand::Judge(args) => judge(&args, &mut out),
        ProofCommand::Simulate(args) => simulate(&args, &mut out).map(|()| true),
    }
}

pub(super) fn rule(args: RuleArgs) -> Result<Rule> {
    let rule = Rule {
        margin: args.margin,
        wrong_proof: args.wrong_proof,
        wrong_refusal: args.wrong_refusal,
        samples_min: args.samples_min,
    };
    rule.check()?;
    Ok(rule)
}

/// One line of a file of scores.
#[derive(Deserialize)]
struct Pair {
    incumbent: Scored,
    candidate: Scored,
    stratum: Option<String>,
}

/// How good an answer was.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scored {
    Right(bool),
    Score(f64),
}

impl Scored {
    fn score(&self) -> Result<Score> {
        match self {
            Self::Right(is_right) => Ok(Score::of(*is_right)),
            Self::Score(value) => Ok(Score::new(*value)?),
        }
    }
}

fn judge(args: &JudgeArgs, out: &mut impl Write) -> Result<bool> {
    let rule = rule(args.rule)?;
    let (text, name) = if args.pairs == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin().lock());
        (text, "standard input".to_owned())
    } else {
        let name = args.pairs.display().to_string();
        (std::fs::read_to_string(&args.pairs), name)
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let judged = read(text.as_bytes(), &name)?.judge(&rule);
    if let (Some(path), Some(model)) = (&args.save, &args.model) {
        let digest: [u8; 32] = Sha256::digest(&text).into();
        let found = Found {
            judged: &judged,
            rule: &rule,
            scores: format!("{name}, SHA-256 {}", HexBytes(digest)),
        };
        found.save(path, model, args.flow.as_deref())?;
    }
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&judged)?)?;
    } else {
        writeln!(out, "{}", told(&judged, &rule))?;
    }
    Ok(judged.standing == Standing::Proven)
}

/// A judgement, and what it was made from.
pub(super) struct Found<'a> {
    pub(super) judged: &'a StratumJudgement,
    pub(super) rule: &'a Rule,
    pub(super) scores: String,
}

impl Found<'_> {
    /// Puts it into a file of proofs. "Not yet" is no evidence: it takes back what was there.
    pub(super) fn save(&self, path: &Path, model: &str, flow: Option<&str>) -> Result<()> {
        let mut proofs = if path.exists() {
            read_proofs(path)?
        } else {
            Vec::new()
        };
        let is_other = |old: &Proof| old.model != model || old.flow.as_deref() != flow;
        proofs.retain(is_other);
        if self.judged.standing != Standing::NotYet {
            let all = &self.judged.all;
            proofs.push(Proof {
                flow: flow.map(str::to_owned),
                model: model.to_owned(),
                is_good_enough: self.judged.standing == Standing::Proven,
                evidence: format!(
                    "{} by a margin of {} on {} pairs, difference {:+.4} ({:+.4} to {:+.4}); {}",
                    word(self.judged.standing),
                    self.rule.margin,
                    all.samples,
                    all.difference,
                    all.interval.low,
                    all.interval.high,
                    self.scores
                ),
            });
        }
        let text = serde_json::to_string_pretty(&proofs)? + "\n";
        let place = Place::new(path, true)?;
        let unwritten = || format!("cannot write {}", path.display());
        let mut writer = place.writer()?;
        writer.write_all(text.as_bytes()).with_context(unwritten)?;
        writer.flush().with_context(unwritten)?;
        place.keep()
    }
}

/// Reads what `freehold proof judge --save` wrote.
pub(crate) fn read_proofs(path: &Path) -> Result<Vec<Proof>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{name} is no file of proofs, which `freehold proof judge --save` writes: a list of \
             {{flow, model, is_good_enough, evidence}}"
        )
    })
}

/// Reads scores. A line that is none spoils the whole: a judgement of a part would be another one.
fn read(lines: impl BufRead, name: &str) -> Result<Stratified> {
    let mut seen = Stratified::default();
    let mut bad = Vec::new();
    let (mut good, mut bad_lines) = (0_u64, 0_u64);
    for (index, line) in lines.lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {name}"))?;
        if line.trim().is_empty() {
            continue;
        }
        match pair(&line) {
            Ok((stratum, incumbent, candidate)) => {
                good += 1;
                seen.pair(&stratum, incumbent, candidate);
            }
            Err(error) => {
                bad_lines += 1;
                if bad.len() < TOLD_MAX {
                    bad.push(format!("line {}: {error:#}", index + 1));
                }
            }
        }
    }
    if bad_lines > 0 {
        bail!(
            "{name} has {bad_lines} lines that are no scores:\n  {}\na line is {{\"incumbent\": 0.8, \
             \"candidate\": 1, \"stratum\": \"de\"}}, with scores from 0 to 1, or true and false",
            bad.join("\n  ")
        );
    }
    if good == 0 {
        bail!("{name} has no scores: give one JSON object a line");
    }
    Ok(seen)
}

fn pair(line: &str) -> Result<(String, Score, Score)> {
    let pair: Pair = serde_json::from_str(line)?;
    Ok((
        pair.stratum.unwrap_or_else(|| "all".to_owned()),
        pair.incumbent.score().context("incumbent")?,
        pair.candidate.score().context("candidate")?,
    ))
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Proven => "proven",
        Standing::Refuted => "refuted",
        Standing::NotYet => "not yet",
    }
}

pub(super) fn told(judged: &StratumJudgement, rule: &Rule) -> String {
    let first = match judged.standing {
        Standing::Proven => format!(
            "PROVEN: the candidate is not worse by {} or more.",
            rule.margin
        ),
        Standing::Refuted => format!(
            "REFUTED: the candidate is worse by more than {}.",
            rule.margin
        ),
        Standing::NotYet => "NOT YET: there is too little evidence either way.".to_owned(),
    };
    let mut rows = table([
        "stratum",
        "samples",
        "difference",
        "at least",
        "at most",
        "standing",
        "more, as so far",
        "more, if equal",
    ]);
    let strata = judged.strata.iter();
    let mut strata: Vec<_> = strata.map(|(name, one)| (printable(name), one)).collect();
    if strata.len() > 1 {
        strata.push(("together".to_owned(), &judged.all));
    }
    for (name, one) in strata {
        rows.add_row(row(name, one));
    }
    align_right(&mut rows, 1..5);
    align_right(&mut rows, 6..8);
    format!("{first}\n\n{}", rows.trim_fmt())
}

fn row(name: String, judged: &Judgement) -> [String; 8] {
    let more = |samples: Option<u64>| match samples {
        _ if judged.standing != Standing::NotYet => String::new(),
        Some(samples) => format!("about {samples}"),
        None => "never".to_owned(),
    };
    [
        name,
        judged.samples.to_string(),
        format!("{:+.4}", judged.difference),
        format!("{:+.4}", judged.interval.low),
        format!("{:+.4}", judged.interval.high),
        word(judged.standing).to_owned(),
        more(judged.more.as_so_far),
        more(judged.more.if_equal),
    ]
}

/// A candidate that was played, and how its rollouts ended.
#[derive(Serialize)]
struct Played {
    candidate: &'static str,
    true_difference: f64,
    promoted: f64,
    rolled_back: f64,
    samples_mean: f64,
    #[serde(flatten)]
    rates: Rates,
}

/// Candidates whose true quality is known, by how far they are from the incumbent.
fn candidates(margin: f64) -> [(&'static str, f64); 5] {
    [
        ("slightly better", margin / 2.0),
        ("equal", 0.0),
        ("half a margin worse", -margin / 2.0),
        ("worse by the margin", -margin),
        ("worse by two margins", -2.0 * margin),
    ]
}

/// The share of requests on which both sides of a played rollout fail.
const ERRORS: f64 = 0.02;

/// The order of a played rollout: what `freehold rollout plan` writes, but for more mirroring.
fn played_order(rule: Rule) -> Order {
    Order {
        flow: "played".to_owned(),
        incumbent: "incumbent".to_owned(),
        candidate: Change {
            model: "candidate".to_owned(),
            system: None,
            temperature: None,
        },
        scorer: PairScorer(ScorerSpec::Json),
        strata: Strata::None,
        rule,
        mirror: Mirror {
            share: 0.2,
            ..Mirror::default()
        },
        stages: Stages::default(),
        guards: Guards::default(),
        autopilot: Autopilot::Full,
        saving_usd_per_month: None,
    }
}

/// Plays one candidate.
fn play(args: &SimulateArgs, rule: &Rule, candidate: Candidate) -> Rates {
    let mut random = fastrand::Rng::with_seed(args.seed);
    let uniform = || random.f64();
    if args.whole {
        let truth = Truth {
            scores: candidate,
            incumbent_errors: ERRORS,
            candidate_errors: ERRORS,
        };
        whole_rollouts(
            &truth,
            &played_order(*rule),
            args.rollouts,
            args.samples_max,
            uniform,
        )
    } else {
        rollouts(&candidate, rule, args.rollouts, args.samples_max, uniform)
    }
}

fn simulate(args: &SimulateArgs, out: &mut impl Write) -> Result<()> {
    let rule = rule(args.rule)?;
    let disagreement = args.disagreement;
    if !(disagreement > 0.0 && 2.0 * disagreement + 2.0 * rule.margin <= 1.0) {
        bail!(
            "--disagreement {disagreement} leaves no room: twice it and twice the margin together \
             are at most 1"
        );
    }
    let bar = ProgressBar::new(candidates(rule.margin).len() as u64);
    let mut played = Vec::new();
    for (name, difference) in candidates(rule.margin) {
        let candidate = Candidate {
            both: 1.0 - 2.0 * disagreement - difference.abs(),
            only_incumbent: disagreement + (-difference).max(0.0),
            only_candidate: disagreement + difference.max(0.0),
        };
        let rates = play(args, &rule, candidate);
        let share = |count: u64| count as f64 / rates.rollouts as f64;
        played.push(Played {
            candidate: name,
            true_difference: candidate.difference(),
            promoted: share(rates.promoted),
            rolled_back: share(rates.rolled_back),
            samples_mean: rates.samples_mean(),
            rates,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&played)?)?;
        return Ok(());
    }
    let mut rows = table([
        "candidate",
        "true difference",
        "promoted",
        "rolled back",
        "undecided",
        "samples until the end",
    ]);
    for one in &played {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let undecided = one.rates.rollouts - one.rates.promoted - one.rates.rolled_back;
        rows.add_row([
            one.candidate.to_owned(),
            format!("{:+.3}", one.true_difference),
            percent(one.promoted),
            percent(one.rolled_back),
            percent(undecided as f64 / one.rates.rollouts as f64),
            format!("{:.0}", one.samples_mean),
        ]);
    }
    align_right(&mut rows, 1..6);
    writeln!(out, "{}", rows.trim_fmt())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_score_is_told_with_its_place() {
        let good = "{\"incumbent\": true, \"candidate\": 0.5, \"stratum\": \"de\"}\n\n";
        let seen = read(good.as_bytes(), "x").unwrap();
        assert!((seen.strata()["de"].mean() + 0.5).abs() < 1e-9);
        for (bad, told) in [
            (
                "{\"incumbent\": 2, \"candidate\": 0}",
                "line 3: incumbent: 2 is no score",
            ),
            ("{\"incumbent\": 1}", "missing field `candidate`"),
            ("nonsense", "line 3:"),
        ] {
            let error = read(format!("{good}{bad}").as_bytes(), "x").unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        assert!(read("\n".as_bytes(), "x").is_err());
    }

    #[test]
    fn what_is_judged_is_told() {
        let lines = "{\"incumbent\": true, \"candidate\": true}\n".repeat(200);
        let rule = Rule::default();
        let judged = read(lines.as_bytes(), "x").unwrap().judge(&rule);
        let text = told(&judged, &rule);
        assert!(text.starts_with("PROVEN") && text.contains("200"), "{text}");
        let judged = read(&lines.as_bytes()[..400], "x");
        assert!(judged.is_err(), "a line that is cut");
    }

    #[test]
    fn a_simulation_says_how_rollouts_end() {
        let args = SimulateArgs {
            rollouts: 50,
            samples_max: 400,
            disagreement: 0.1,
            whole: false,
            seed: 1,
            rule: RuleArgs {
                margin: 0.1,
                wrong_proof: 0.05,
                wrong_refusal: 0.05,
                samples_min: 30,
            },
            json: true,
        };
        let play = || {
            let mut out = vec![];
            simulate(&args, &mut out).unwrap();
            out
        };
        let out = play();
        assert_eq!(out, play());
        let played: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(played.as_array().unwrap().len(), 5);
        assert!(played[4]["rolled_back"].as_f64().unwrap() > 0.9, "{played}");
    }
}
