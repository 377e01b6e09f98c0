//! Annotated texts, gzip of JSON lines, as `freehold guard eval --data` reads them too.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde::Deserialize;

/// One annotated text.
#[derive(Deserialize)]
pub(crate) struct Row {
    pub(crate) text: String,
    #[serde(default)]
    spans: Vec<RawSpan>,
    /// What the text was made from, when it was made.
    pub(crate) template: Option<String>,
    /// `injection` or `benign`.
    pub(crate) label: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) lang: Option<String>,
    pub(crate) id: Option<String>,
}

/// Offsets count characters.
#[derive(Deserialize)]
struct RawSpan {
    start: usize,
    end: usize,
    r#type: String,
}

impl Row {
    /// The annotations, in bytes.
    pub(crate) fn spans(&self) -> Vec<(Range<usize>, &str)> {
        let mut bytes: Vec<usize> = self.text.char_indices().map(|(at, _)| at).collect();
        bytes.push(self.text.len());
        let at = |character: usize| bytes.get(character).copied().unwrap_or(self.text.len());
        self.spans
            .iter()
            .map(|span| (at(span.start)..at(span.end), span.r#type.as_str()))
            .collect()
    }
}

/// A whole file, unpacked when its name ends in `.gz`.
pub(crate) fn read(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut text = String::new();
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let read = if packed {
        GzDecoder::new(file).read_to_string(&mut text)
    } else {
        BufReader::new(file).read_to_string(&mut text)
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// The rows of a file of JSON lines.
pub(crate) fn rows(path: &Path) -> Result<Vec<Row>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines
        .map(|line| {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&line).with_context(|| format!("a bad row in {}", path.display()))
        })
        .collect()
}

/// One column of a CSV file with a header; quotes are doubled inside quoted fields.
pub(crate) fn column(path: &Path, name: &str) -> Result<Vec<String>> {
    let text = read(path)?;
    let mut records = records(&text).into_iter();
    let header = records.next().context("an empty file")?;
    let at = header
        .iter()
        .position(|field| field == name)
        .with_context(|| format!("no column {name} in {}", path.display()))?;
    Ok(records
        .filter_map(|record| record.into_iter().nth(at))
        .collect())
}

fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (vec![], vec![], String::new());
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

/// A list of values with a grade and locales; see `lists/README.md`.
pub(crate) struct Listed {
    pub(crate) value: String,
    pub(crate) grade: u8,
    pub(crate) locales: Vec<String>,
}

/// Reads one of the lists that lie beside this program.
pub(crate) fn list(name: &str) -> Result<Vec<Listed>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("lists")
        .join(format!("{name}.tsv.gz"));
    let rows = read(&path)?;
    Ok(rows
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let value = fields.next()?.to_owned();
            let grade = fields.next()?.parse().ok()?;
            let locales = fields
                .next()
                .unwrap_or_default()
                .split(',')
                .map(str::to_owned)
                .collect();
            Some(Listed {
                value,
                grade,
                locales,
            })
        })
        .collect())
}

/// The intents' questions: `{"train": [[text, intent], ...], ...}`.
pub(crate) fn questions(path: &Path) -> Result<Vec<String>> {
    let parts: HashMap<String, Vec<(String, String)>> =
        serde_json::from_str(&read(path)?).with_context(|| format!("a bad {}", path.display()))?;
    let mut names: Vec<&String> = parts.keys().collect();
    names.sort();
    Ok(names
        .into_iter()
        .flat_map(|name| &parts[name])
        .map(|(text, _)| text.clone())
        .collect())
}

/// Reads one of the lists of texts that lie beside this program.
pub(crate) fn texts(name: &str) -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("lists")
        .join(format!("{name}.txt.gz"));
    Ok(read(&path)?
        .lines()
        .map(|line| line.replace("\\n", "\n"))
        .collect())
}
