//! The file of results: a head, then one line a case, in the order in which they were answered.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use freehold_proof::Score;
use freehold_proof::scorers::{Outcome, ScorerSpec};
use serde::{Deserialize, Serialize};

/// The form of the file that this program writes.
const FORM: u32 = 1;

/// What was asked of whom, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) freehold_eval: u32,
    pub(super) dataset: String,
    /// SHA-256 of the cases that are asked.
    pub(super) version: String,
    pub(super) cases: usize,
    pub(super) model: String,
    pub(super) url: String,
    pub(super) scorers: Vec<ScorerSpec>,
    pub(super) settings: Settings,
    pub(super) keeps_answers: bool,
    /// RFC 3339.
    pub(super) began: String,
    pub(super) freehold: String,
}

/// What is sent with every question.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands) struct Settings {
    pub(in crate::commands) max_tokens: u32,
    pub(in crate::commands) temperature: Option<f64>,
    pub(in crate::commands) seed: Option<u64>,
}

/// A case, its answer, and what scorers say of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) stratum: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    /// In the place of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer_sha256: Option<String>,
    /// Why the answer ended, in the server's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finish: Option<String>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) latency_ms: Option<u64>,
    /// What it cost; nothing when nobody can tell.
    pub(super) usd: Option<f64>,
    /// What scoring it cost, where somebody was asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scoring_usd: Option<f64>,
    /// The answer stood in an earlier line: only its scoring was paid for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_rescored: bool,
    pub(super) requests: u32,
    /// What people gave the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expected_score: Option<Score>,
    /// By the scorer's name.
    pub(super) scores: BTreeMap<String, Outcome>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Line {
    /// A scorer that asks somebody had no answer: it can be asked again.
    pub(super) fn wants_scores(&self, scorers: &[ScorerSpec]) -> bool {
        let mut asked = scorers.iter().filter(|spec| spec.is_asked());
        asked.any(|spec| matches!(self.scores.get(spec.name()), Some(Outcome::Failed { .. })))
    }

    /// What was paid for this line.
    fn paid_usd(&self) -> f64 {
        let answer = if self.is_rescored { None } else { self.usd };
        answer.unwrap_or(0.0) + self.scoring_usd.unwrap_or(0.0)
    }
}

impl Head {
    pub(super) const fn form() -> u32 {
        FORM
    }

    /// What differs from another run so that one cannot go on with the other.
    fn differs(&self, other: &Self) -> Option<String> {
        let text = |value: &str, other: &str| format!("`{value}` there, `{other}` now");
        if self.version != other.version {
            return Some("the data set is another version".to_owned());
        }
        if self.model != other.model {
            return Some(format!("the model is {}", text(&self.model, &other.model)));
        }
        if self.url != other.url {
            return Some(format!("the server is {}", text(&self.url, &other.url)));
        }
        if self.scorers != other.scorers {
            return Some("the scorers are others".to_owned());
        }
        if self.settings != other.settings {
            return Some("--max-tokens, --temperature, --seed or --plain differ".to_owned());
        }
        (self.keeps_answers != other.keeps_answers).then(|| "--no-answers differs".to_owned())
    }
}

/// A run as its file has it: the last line of each case counts.
#[derive(Clone, Debug)]
pub(super) struct Results {
    pub(super) head: Head,
    pub(super) lines: BTreeMap<String, Line>,
    /// What every line cost, also of those that were asked again.
    pub(super) spent_usd: f64,
    /// Bytes up to the end of the last whole line.
    whole_bytes: u64,
}

impl Results {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        match Self::parse(&text).with_context(|| format!("{name} cannot be used"))? {
            Some(results) => Ok(results),
            None => bail!("{name} has no results: `freehold eval run --out {name}` writes them"),
        }
    }

    /// A last line without its end was torn by a crash, and is left out. Nothing when there is no whole line.
    fn parse(text: &str) -> Result<Option<Self>> {
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut rows = whole.lines().enumerate();
        let Some((_, head)) = rows.next() else {
            return Ok(None);
        };
        let head: Head = serde_json::from_str(head)
            .context("line 1 is no head of results, which `freehold eval run` writes")?;
        if head.freehold_eval != FORM {
            bail!("it was written by another version of Freehold: run the evaluation again");
        }
        let mut lines = BTreeMap::new();
        let mut spent_usd = 0.0;
        for (index, row) in rows {
            let line: Line = serde_json::from_str(row)
                .with_context(|| format!("line {} is no result", index + 1))?;
            spent_usd += line.paid_usd();
            lines.insert(line.id.clone(), line);
        }
        Ok(Some(Self {
            head,
            lines,
            spent_usd,
            whole_bytes: whole.len() as u64,
        }))
    }
}

/// The file while a run writes it. Nobody else can meanwhile.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
}

/// What stood in the file before.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) results: Results,
    /// Whether the file's last line was torn, and is dropped.
    pub(super) is_torn: bool,
}

impl Writer {
    /// Opens the file, new or of the same run.
    pub(super) fn open(path: &Path, head: &Head) -> Result<Opened> {
        let name = path.display();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options
            .open(path)
            .with_context(|| format!("cannot write {name}"))?;
        if file.try_lock().is_err() {
            bail!("another run writes {name}: wait for it, or name another file with --out");
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .with_context(|| format!("cannot read {name}"))?;
        let found = Results::parse(&text).with_context(|| {
            format!("{name} cannot be gone on with: name another file with --out")
        })?;
        let mut writer = Self {
            file,
            path: path.to_owned(),
        };
        let Some(results) = found else {
            writer.cut(0)?;
            writer.put(head)?;
            let results = Results {
                head: head.clone(),
                lines: BTreeMap::new(),
                spent_usd: 0.0,
                whole_bytes: 0,
            };
            return Ok(Opened {
                writer,
                results,
                is_torn: false,
            });
        };
        if let Some(difference) = results.head.differs(head) {
            bail!(
                "{name} has the results of another run: {difference}. Name another file with --out, or ask as before \
                 to go on with it"
            );
        }
        let is_torn = results.whole_bytes < text.len() as u64;
        writer.cut(results.whole_bytes)?;
        Ok(Opened {
            writer,
            results,
            is_torn,
        })
    }

    fn cut(&mut self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes)?;
        self.file.seek(SeekFrom::Start(bytes))?;
        Ok(())
    }

    /// Writes one line at once, so that a crash tears no more than the last.
    pub(super) fn put(&mut self, line: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(line)? + "\n";
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Answers are nobody else's business.
#[cfg(unix)]
pub(in crate::commands) fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
pub(in crate::commands) fn private(_: &mut OpenOptions) {}
