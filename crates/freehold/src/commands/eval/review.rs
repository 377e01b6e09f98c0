//! `freehold eval review`: answers for people to score, without the models' names, and their scores read back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use freehold_proof::Score;
use freehold_proof::dataset::{Case, Role};
use freehold_proof::scorers::{Outcome, ScorerSpec, texts};
use freehold_types::audit::HexBytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::pairwise::answers;
use super::record::{Line, Results};
use super::{cases, compare};
use crate::cli::EvalReviewArgs;
use crate::commands::export::Place;
use crate::commands::usage::printable;

/// Wrong rows that are told one by one.
const TOLD_MAX: usize = 5;

/// A row of a queue.
#[derive(Debug, Deserialize, Serialize)]
struct Row {
    /// Says whose answer to what it is, to whoever has the results.
    item: String,
    question: String,
    expected: String,
    answer: String,
    /// From 0 to 1; empty until somebody has given one.
    #[serde(default)]
    score: Option<Given>,
    #[serde(default)]
    comment: Option<String>,
}

/// A score as people write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Given {
    Number(f64),
    Text(String),
}

pub(super) fn run(args: &EvalReviewArgs) -> Result<()> {
    let mut all = vec![(args.results.clone(), answers(&args.results)?)];
    if let Some(other) = &args.other {
        let other = (other.clone(), answers(other)?);
        compare::same(&all[0].1, &other.1)?;
        all.push(other);
    }
    match (&args.out, &args.import) {
        (Some(out), _) => write(args, &all, out),
        (None, Some(queue)) => import(args, all, queue),
        (None, None) => {
            bail!("say where to write the queue with --out, or which to read with --import")
        }
    }
}

/// The same answer of the same run has the same item, in whatever queue it stands.
fn item(results: &Results, line: &Line) -> String {
    let mut digest = Sha256::new();
    let head = &results.head;
    let answer = line.answer.as_deref().unwrap_or_default();
    for text in [&head.version, &head.model, &head.url, &line.id, answer] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let mut digits = HexBytes(digest).to_string();
    digits.truncate(16);
    digits
}

fn rank(seed: u64, name: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(seed.to_be_bytes())
        .chain_update(name)
        .finalize()
        .into()
}

fn write(args: &EvalReviewArgs, all: &[(PathBuf, Results)], out: &Path) -> Result<()> {
    let set = cases::of(&all[0].1, args.dataset.as_deref())?;
    let set = match args.sample {
        Some(count) => set.sample(usize::try_from(count)?, args.seed),
        None => set,
    };
    let mut chosen: Vec<&Case> = set.cases().iter().collect();
    chosen.sort_by_key(|case| rank(args.seed, &case.id));
    let (rows, missing) = rows(args.seed, chosen, all);
    ensure!(!rows.is_empty(), "no case has an answer");
    let place = Place::new(out, args.force)?;
    let mut writer = place.writer()?;
    let unwritten = || format!("cannot write {}", out.display());
    put(&mut writer, &rows, is_lines(out)).with_context(unwritten)?;
    writer.flush().with_context(unwritten)?;
    drop(writer);
    place.keep()?;
    if args.json {
        let told = json!({"answers": rows.len(), "cases": set.cases().len(), "missing": missing});
        writeln!(
            std::io::stdout().lock(),
            "{}",
            serde_json::to_string_pretty(&told)?
        )?;
    } else {
        writeln!(
            std::io::stdout().lock(),
            "{} answers to {} cases are in {}{}; fill in `score`, from 0 (useless) to 1 (as good as can be), and read it \
             back with --import",
            rows.len(),
            set.cases().len(),
            out.display(),
            if missing > 0 {
                format!(" ({missing} cases have no answer)")
            } else {
                String::new()
            }
        )?;
    }
    Ok(())
}

/// The queue, and how many answers are missing in it.
fn rows(seed: u64, chosen: Vec<&Case>, all: &[(PathBuf, Results)]) -> (Vec<Row>, usize) {
    let mut rows = Vec::new();
    let mut missing = 0;
    for case in chosen {
        let mut of_case = BTreeMap::new();
        for (_, results) in all {
            let line = results
                .lines
                .get(&case.id)
                .filter(|line| line.error.is_none());
            let Some((line, answer)) = line.and_then(|line| Some((line, line.answer.as_ref()?)))
            else {
                missing += 1;
                continue;
            };
            let item = item(results, line);
            // Answers to one question stand together, in an order that says nothing.
            of_case.insert(
                rank(seed, &item),
                Row {
                    item,
                    question: question(case),
                    expected: texts(case).join("\n- or -\n"),
                    answer: answer.clone(),
                    score: None,
                    comment: None,
                },
            );
        }
        rows.extend(of_case.into_values());
    }
    (rows, missing)
}

fn put(writer: &mut impl Write, rows: &[Row], as_lines: bool) -> Result<()> {
    if as_lines {
        for row in rows {
            writeln!(writer, "{}", serde_json::to_string(row)?)?;
        }
    } else {
        let mut table = csv::Writer::from_writer(writer);
        table.write_record(["item", "question", "expected", "answer", "score", "comment"])?;
        for row in rows {
            let cells = [&row.question, &row.expected, &row.answer].map(|text| cell(text));
            let [question, expected, answer] = &cells;
            table.write_record([&row.item, question, expected, answer, "", ""])?;
        }
        table.flush()?;
    }
    Ok(())
}

fn is_lines(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| end.eq_ignore_ascii_case("jsonl"))
}

fn question(case: &Case) -> String {
    if let [only] = case.messages.as_slice()
        && only.role == Role::User
    {
        return only.content.clone();
    }
    let lines = case.messages.iter().map(|message| {
        let role = serde_json::to_value(message.role).unwrap_or_default();
        format!("{}: {}", role.as_str().unwrap_or_default(), message.content)
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn import(args: &EvalReviewArgs, all: Vec<(PathBuf, Results)>, queue: &Path) -> Result<()> {
    let given = scores(queue)?;
    let known: BTreeSet<String> = all
        .iter()
        .flat_map(|(_, results)| results.lines.values().map(|line| item(results, line)))
        .collect();
    let strange = given.keys().filter(|item| !known.contains(*item)).count();
    ensure!(
        strange == 0,
        "{strange} of {} items of {} are of other results: name the files that the queue was made of",
        given.len(),
        queue.display()
    );
    let mut told = Vec::new();
    let mut places = Vec::new();
    for (path, mut results) in all {
        let counts = enter(&mut results, &given);
        let out = reviewed(&path);
        let place = Place::new(&out, args.force)?;
        let mut writer = place.writer()?;
        let unwritten = || format!("cannot write {}", out.display());
        writeln!(writer, "{}", serde_json::to_string(&results.head)?).with_context(unwritten)?;
        for line in results.lines.values() {
            writeln!(writer, "{}", serde_json::to_string(line)?).with_context(unwritten)?;
        }
        writer.flush().with_context(unwritten)?;
        drop(writer);
        told.push(json!({"out": out, "scored": counts.0, "open": counts.1}));
        places.push(place);
    }
    // All or nothing: one side alone would be compared with the wrong half.
    for place in places {
        place.keep()?;
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&told)?)?;
    } else {
        for one in &told {
            writeln!(
                stdout,
                "{} has {} scores of people; {} answers are open",
                one["out"].as_str().unwrap_or_default(),
                one["scored"],
                one["open"]
            )?;
        }
    }
    Ok(())
}

/// Enters people's scores: how many have one, and how many wait for one.
fn enter(results: &mut Results, given: &BTreeMap<String, Option<Score>>) -> (u64, u64) {
    let mut counts = (0_u64, 0_u64);
    let items: Vec<(String, Option<Option<Score>>)> = results
        .lines
        .values()
        .map(|line| (line.id.clone(), given.get(&item(results, line)).copied()))
        .collect();
    for (id, score) in items {
        let Some(line) = results.lines.get_mut(&id) else {
            continue;
        };
        let outcome = match score {
            Some(Some(score)) => Outcome::of(score.get(), ""),
            Some(None) => Outcome::skipped("nobody has scored it yet"),
            // What an earlier queue said holds.
            None if line.scores.contains_key("review") => continue,
            None => Outcome::skipped("it was not in the queue"),
        };
        counts.0 += u64::from(outcome.score().is_some());
        counts.1 += u64::from(matches!(score, Some(None)));
        line.scores.insert("review".to_owned(), outcome);
    }
    if !results.head.scorers.contains(&ScorerSpec::Review) {
        results.head.scorers.push(ScorerSpec::Review);
    }
    counts
}

/// `a.jsonl` becomes `a-reviewed.jsonl`.
fn reviewed(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix("-reviewed").unwrap_or(&stem);
    path.with_file_name(format!("{stem}-reviewed.jsonl"))
}

/// By item; nothing where nobody gave a score yet.
fn scores(queue: &Path) -> Result<BTreeMap<String, Option<Score>>> {
    let name = queue.display();
    let text = std::fs::read_to_string(queue).with_context(|| format!("cannot read {name}"))?;
    let rows: Vec<(String, Option<String>)> = if is_lines(queue) {
        let rows = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        rows.map(|(index, line)| {
            let row: Row = serde_json::from_str(line)
                .with_context(|| format!("line {} of {name} is no row of a queue", index + 1))?;
            let score = row.score.map(|score| match score {
                Given::Number(number) => number.to_string(),
                Given::Text(text) => text,
            });
            Ok((row.item, score))
        })
        .collect::<Result<_>>()?
    } else {
        cells(&text).with_context(|| format!("{name} is no queue"))?
    };
    let mut given = BTreeMap::new();
    let mut wrong = Vec::new();
    for (index, (item, text)) in rows.into_iter().enumerate() {
        let text = text.unwrap_or_default();
        let text = text.trim();
        // Where decimals have a comma, spreadsheets write one.
        let number = text.replace(',', ".").parse::<f64>();
        let score = match (text.is_empty(), number.ok().map(Score::new)) {
            (true, _) => None,
            (false, Some(Ok(score))) => Some(score),
            _ => {
                wrong.push(format!(
                    "row {}: `{}` is no score",
                    index + 1,
                    printable(text)
                ));
                continue;
            }
        };
        if let Some(old) = given.insert(item.trim().to_owned(), score)
            && old != score
        {
            wrong.push(format!("row {}: its item has two scores", index + 1));
        }
    }
    if !wrong.is_empty() {
        bail!(
            "{name} has {} rows without a score from 0 to 1:\n  {}",
            wrong.len(),
            wrong[..wrong.len().min(TOLD_MAX)].join("\n  ")
        );
    }
    Ok(given)
}

fn cells(text: &str) -> Result<Vec<(String, Option<String>)>> {
    // Spreadsheets begin with a mark, and some separate by semicolons.
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().next().unwrap_or_default();
    let delimiter = if head.contains(';') && !head.contains(',') {
        b';'
    } else {
        b','
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let place = headers.iter().position(|header| header.trim() == name);
        place.with_context(|| format!("it has no column `{name}`"))
    };
    let (item, score) = (column("item")?, column("score")?);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |place: usize| record.get(place).map(str::to_owned);
        rows.push((cell(item).unwrap_or_default(), cell(score)));
    }
    Ok(rows)
}
