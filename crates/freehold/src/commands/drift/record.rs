//! The record: a line for each run of each model.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use freehold_proof::Score;
use freehold_proof::scorers::ScorerSpec;
use serde::{Deserialize, Serialize};

use crate::commands::eval::record::{Settings, private};

/// The form of the lines that this program writes.
pub(super) const FORM: u32 = 1;

/// What is asked of whom, and how: runs that differ in it are not held against each other.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) url: String,
    /// SHA-256 of the probes.
    pub(super) probes: String,
    pub(super) settings: Settings,
    pub(super) scorer: Option<ScorerSpec>,
    /// Who embeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) embedding: Option<String>,
}

/// One run of one model.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) freehold_drift: u32,
    /// When it began, RFC 3339.
    pub(super) at: String,
    pub(super) asked: Asked,
    pub(super) answers: Vec<Measured>,
}

/// What was measured of the answer to one probe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measured {
    /// The probe.
    pub(super) id: String,
    /// The answer itself; only in the run that others are held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    pub(super) chars: u64,
    pub(super) latency_ms: u64,
    pub(super) refuses: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<Score>,
    /// chrF against the first run's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) similarity: Option<Score>,
    /// The cosine of its embedding and that of the first run's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meaning: Option<Score>,
    /// Whether it is the first run's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) is_identical: Option<bool>,
    /// The first run's length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reference_chars: Option<u64>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// All lines, the oldest first. A last line without its end was torn by a crash, and is left out.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    parse(&text).with_context(|| format!("{name} cannot be used"))
}

fn parse(text: &str) -> Result<Vec<Line>> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut lines = Vec::new();
    for (index, line) in whole.lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| {
            format!(
                "line {} is no run of probes, which `freehold drift probe` writes",
                index + 1
            )
        })?;
        ensure!(
            line.freehold_drift == FORM,
            "it was written by another version of Freehold: begin another record"
        );
        lines.push(line);
    }
    Ok(lines)
}

/// Appends a line after the last whole one. Nobody else can meanwhile.
pub(super) fn append(path: &Path, line: &Line) -> Result<()> {
    let name = path.display();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options);
    let mut file = options
        .open(path)
        .with_context(|| format!("cannot write {name}"))?;
    if file.try_lock().is_err() {
        bail!("another run writes {name}: wait for it, or name another file with --record");
    }
    let mut text = String::new();
    file.read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    let whole = text.rfind('\n').map_or(0, |end| end as u64 + 1);
    file.set_len(whole)?;
    file.seek(SeekFrom::Start(whole))?;
    let line = serde_json::to_string(line)? + "\n";
    file.write_all(line.as_bytes())
        .with_context(|| format!("cannot write {name}"))
}
