//! `freehold eval ci`: a suite of checks on a model, for a build that must not go on when one fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use freehold_proof::{Rule, Standing, Stratified};
use quick_xml::Writer;
use serde::{Deserialize, Serialize};

use super::bounded::Ended;
use super::record::Results;
use super::send;
use super::{compare, show};
use crate::cli::{EvalCiArgs, EvalRunArgs, ScoringArgs};
use crate::commands::export::Place;
use crate::commands::usage::{printable, table};

/// A suite as it is written. Paths are relative to its file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    dataset: PathBuf,
    model: String,
    url: Option<String>,
    key_env: Option<String>,
    form: Option<String>,
    limit: Option<u64>,
    concurrency: Option<u16>,
    usd_max: Option<f64>,
    price_as: Option<String>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    seed: Option<u64>,
    #[serde(default)]
    plain: bool,
    retries: Option<u32>,
    timeout: Option<u64>,
    judge_model: Option<String>,
    judge_max_tokens: Option<u32>,
    scorer_url: Option<String>,
    scorer_key_env: Option<String>,
    scorer_price_as: Option<String>,
    scorer_timeout: Option<u64>,
    /// So many cases may be without an answer.
    #[serde(default)]
    errors_max: usize,
    checks: Vec<Check>,
}

/// What must hold of one scorer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    scorer: String,
    /// The mean over all cases is at least this.
    mean_min: Option<f64>,
    /// The mean of every stratum is at least this.
    stratum_min: Option<f64>,
    /// It is proven not to be worse than these results.
    baseline: Option<PathBuf>,
    /// By this much.
    margin: Option<f64>,
}

/// How a check ended.
#[derive(Debug, Serialize)]
struct Ran {
    name: String,
    passed: bool,
    found: String,
}

/// Runs a suite. False when a check fails.
pub(super) async fn run(args: &EvalCiArgs) -> Result<bool> {
    let name = args.suite.display().to_string();
    let text =
        std::fs::read_to_string(&args.suite).with_context(|| format!("cannot read {name}"))?;
    let suite: Suite =
        serde_saphyr::from_str(&text).with_context(|| format!("{name} is no suite of checks"))?;
    check(&suite).with_context(|| name.clone())?;
    let folder = args.suite.parent().unwrap_or(Path::new("")).to_owned();
    // Without --out, nothing is left behind and nothing is gone on with.
    let scratch = tempfile::tempdir().context("cannot make a scratch directory")?;
    let out = args.out.clone();
    if let Some(path) = out.as_ref().filter(|path| path.exists()) {
        bail!(
            "{} is there already, and a suite asks afresh: name another file with --out, or remove it",
            path.display()
        );
    }
    let out = out.unwrap_or_else(|| scratch.path().join("results.jsonl"));
    let asked = asked(&suite, args, &folder, out)?;
    let results = match perform(&asked).await {
        Ok(results) => results,
        Err(error) => {
            // Whoever reads only the report shall read why there is nothing else in it.
            if let Some(path) = &args.junit {
                let ended = Ran {
                    name: "every case is asked".to_owned(),
                    passed: false,
                    found: format!("{error:#}"),
                };
                write(path, &junit(&name, &asked.model, &[ended])?)?;
            }
            return Err(error);
        }
    };
    let ran = judged(&suite, &results, &folder)?;
    if let Some(path) = &args.junit {
        write(path, &junit(&name, &results.head.model, &ran)?)?;
    }
    let passed = ran.iter().all(|one| one.passed);
    let mut stdout = std::io::stdout().lock();
    if args.json {
        let summary = show::Summary::of(&results);
        let told = serde_json::json!({"passed": passed, "checks": ran, "summary": summary});
        writeln!(stdout, "{}", serde_json::to_string_pretty(&told)?)?;
        return Ok(passed);
    }
    let mut rows = table(["check", "", "found"]);
    for one in &ran {
        let word = if one.passed { "passed" } else { "FAILED" };
        rows.add_row([printable(&one.name), word.to_owned(), printable(&one.found)]);
    }
    writeln!(stdout, "{}", rows.trim_fmt())?;
    Ok(passed)
}

/// Asks every case.
async fn perform(asked: &EvalRunArgs) -> Result<Results> {
    match send::perform(asked).await? {
        (results, Ended::Asked) => Ok(results),
        (_, Ended::AtCap(left)) => bail!(
            "{left} cases were not asked, as they could bring the cost above usd_max: raise it, or take a `limit`"
        ),
    }
}

/// Whether the suite says something, before anything is asked.
fn check(suite: &Suite) -> Result<()> {
    ensure!(!suite.checks.is_empty(), "it has no `checks`");
    for check in &suite.checks {
        let scorer = &check.scorer;
        for (name, least) in [
            ("mean_min", check.mean_min),
            ("stratum_min", check.stratum_min),
        ] {
            ensure!(
                least.is_none_or(|least| (0.0..=1.0).contains(&least)),
                "`{name}` of {scorer} is no score: scores go from 0 to 1"
            );
        }
        ensure!(
            check.mean_min.is_some() || check.stratum_min.is_some() || check.baseline.is_some(),
            "the check of {scorer} demands nothing: give mean_min, stratum_min or baseline"
        );
        ensure!(
            check.margin.is_none() || check.baseline.is_some(),
            "the `margin` of {scorer} has no `baseline`"
        );
    }
    Ok(())
}

fn asked(suite: &Suite, args: &EvalCiArgs, folder: &Path, out: PathBuf) -> Result<EvalRunArgs> {
    let mut scorer: Vec<String> = Vec::new();
    for check in &suite.checks {
        let name = beside(&check.scorer, folder);
        if !scorer.contains(&name) {
            scorer.push(name);
        }
    }
    let form = suite.form.as_deref().map(str::parse).transpose();
    let url = args.url.clone().or(suite.url.clone());
    Ok(EvalRunArgs {
        dataset: folder.join(&suite.dataset),
        model: args.model.clone().unwrap_or(suite.model.clone()),
        scorer,
        url: url.unwrap_or_else(|| "http://127.0.0.1:4000".to_owned()),
        key_env: args.key_env.clone().or(suite.key_env.clone()),
        out,
        form: form.map_err(anyhow::Error::msg)?,
        skip_bad: false,
        limit: suite.limit,
        concurrency: suite.concurrency.unwrap_or(4).max(1),
        usd_max: suite.usd_max,
        price_as: suite.price_as.clone(),
        max_tokens: suite.max_tokens.unwrap_or(512).max(1),
        temperature: suite.temperature.unwrap_or(0.0),
        seed: suite.seed.unwrap_or(1),
        plain: suite.plain,
        no_answers: false,
        retries: suite.retries.unwrap_or(4),
        timeout: suite.timeout.unwrap_or(120).max(1),
        dry_run: false,
        scoring: ScoringArgs {
            judge_model: suite.judge_model.clone(),
            judge_max_tokens: suite.judge_max_tokens.unwrap_or(512).max(1),
            scorer_url: suite.scorer_url.clone(),
            scorer_key_env: suite.scorer_key_env.clone(),
            scorer_price_as: suite.scorer_price_as.clone(),
            scorer_timeout: suite.scorer_timeout.unwrap_or(10).max(1),
            sandbox: args.sandbox.clone(),
        },
        json: args.json,
    })
}

/// A scorer's file is named relative to the suite, too.
fn beside(scorer: &str, folder: &Path) -> String {
    match scorer.split_once('=') {
        Some((name @ ("json-schema" | "judge" | "command"), path)) => {
            format!("{name}={}", folder.join(path).display())
        }
        _ => scorer.to_owned(),
    }
}

fn judged(suite: &Suite, results: &Results, folder: &Path) -> Result<Vec<Ran>> {
    let summary = show::Summary::of(results);
    let missing = summary.missing();
    let mut ran = vec![Ran {
        name: format!("at most {} cases without an answer", suite.errors_max),
        passed: missing <= suite.errors_max,
        found: missing.to_string(),
    }];
    for check in &suite.checks {
        let scorer = check.scorer.split('=').next().unwrap_or_default();
        let scorer = if scorer == "normalized" {
            "normalised"
        } else {
            scorer
        };
        let parts = summary.means(scorer);
        let failed = summary.failed(scorer);
        ran.push(Ran {
            name: format!("{scorer}: breaks on no answer"),
            passed: failed == 0,
            found: failed.to_string(),
        });
        if let Some(least) = check.mean_min {
            let mean = parts.all;
            ran.push(Ran {
                name: format!("{scorer}: mean at least {least}"),
                passed: mean.is_some_and(|mean| mean >= least),
                found: found(mean),
            });
        }
        if let Some(least) = check.stratum_min {
            for (stratum, mean) in parts.strata {
                ran.push(Ran {
                    name: format!("{scorer}: mean of stratum {stratum} at least {least}"),
                    // A stratum to which the scorer does not apply has nothing to fail.
                    passed: mean.is_none_or(|mean| mean >= least),
                    found: found(mean),
                });
            }
        }
        if let Some(path) = &check.baseline {
            ran.push(baseline(check, scorer, &folder.join(path), results)?);
        }
    }
    Ok(ran)
}

fn found(mean: Option<f64>) -> String {
    mean.map_or_else(|| "no score".to_owned(), |mean| format!("{mean:.4}"))
}

fn baseline(check: &Check, scorer: &str, path: &Path, results: &Results) -> Result<Ran> {
    let rule = Rule {
        margin: check.margin.unwrap_or(Rule::default().margin),
        ..Rule::default()
    };
    rule.check()?;
    let name = path.display();
    let old = Results::read(path)?;
    compare::same(&old, results).with_context(|| format!("the baseline {name}"))?;
    ensure!(
        compare::common(&old, results).contains(&scorer),
        "the baseline {name} has no scorer `{scorer}` that goes by the same"
    );
    let (pairs, missing, _) = compare::pairs(&old, results, scorer);
    let mut seen = Stratified::default();
    for pair in &pairs {
        seen.pair(pair.stratum, pair.incumbent, pair.candidate);
    }
    let judged = seen.judge(&rule);
    let word = match judged.standing {
        Standing::Proven => "proven",
        Standing::Refuted => "refuted",
        Standing::NotYet => "not yet: too few cases to tell",
    };
    let all = &judged.all;
    Ok(Ran {
        name: format!("{scorer}: not worse than {name} by {}", rule.margin),
        passed: judged.standing == Standing::Proven && missing == 0,
        found: format!(
            "{word}; difference {:+.4} ({:+.4} to {:+.4}) on {} pairs, {missing} missing",
            all.difference, all.interval.low, all.interval.high, all.samples
        ),
    })
}

/// What CI systems read. Control characters, which XML cannot hold, are escaped beforehand.
fn junit(suite: &str, model: &str, ran: &[Ran]) -> Result<Vec<u8>> {
    let failures = ran.iter().filter(|one| !one.passed).count().to_string();
    let tests = ran.len().to_string();
    let (suite, model) = (printable(suite), printable(model));
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let counts = [("tests", tests.as_str()), ("failures", failures.as_str())];
    writer
        .create_element("testsuites")
        .with_attributes(counts)
        .write_inner_content(|writer| {
            writer
                .create_element("testsuite")
                .with_attribute(("name", suite.as_str()))
                .with_attributes(counts)
                .write_inner_content(|writer| {
                    for one in ran {
                        let (name, found) = (printable(&one.name), printable(&one.found));
                        let case = writer
                            .create_element("testcase")
                            .with_attribute(("classname", model.as_str()))
                            .with_attribute(("name", name.as_str()));
                        if one.passed {
                            case.write_empty()?;
                        } else {
                            case.write_inner_content(|writer| {
                                let failure = writer.create_element("failure");
                                failure
                                    .with_attribute(("message", found.as_str()))
                                    .write_empty()?;
                                Ok(())
                            })?;
                        }
                    }
                    Ok(())
                })?;
            Ok(())
        })?;
    let mut xml = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec();
    xml.extend(writer.into_inner());
    xml.push(b'\n');
    Ok(xml)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = Place::new(path, true)?;
    let mut writer = place.writer()?;
    let unwritten = || format!("cannot write {}", path.display());
    writer.write_all(bytes).with_context(unwritten)?;
    writer.flush().with_context(unwritten)?;
    place.keep()
}
