//! Reads annotated texts, and other products' findings, from JSON lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use freehold_guard::evaluate::{Labelled, Predicted, Sample, Span};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Folders deeper than this below the given one are not looked into.
const DEPTH_MAX: usize = 4;

/// One file of annotated texts.
pub(super) struct Set {
    /// The file's path below the folder, without its endings.
    pub(super) name: String,
    pub(super) texts: Texts,
}

/// What its lines say about a text.
pub(super) enum Texts {
    /// Which parts are sensitive.
    Spans(Vec<Sample>),
    /// Whether it is an injection.
    Labels(Vec<Labelled>),
}

/// Another product's findings: set and id of a text to its spans, in code points.
pub(super) type Foreign = HashMap<(String, String), Vec<Span>>;

#[derive(Deserialize)]
struct ForeignRow {
    set: String,
    id: String,
    spans: Vec<Span>,
}

/// Every `.jsonl` and `.jsonl.gz` file below a folder, by name, or the file itself.
pub(super) fn read(folder: &Path, only: &[String]) -> anyhow::Result<Vec<Set>> {
    let mut files = Vec::new();
    if folder.is_file() {
        files.push(folder.to_owned());
    } else {
        list(folder, 0, &mut files)?;
    }
    files.sort();
    let root = if folder.is_file() {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    let mut sets = Vec::new();
    for file in files {
        let name = name(root, &file);
        if only.is_empty() || only.iter().any(|wanted| name.contains(wanted.as_str())) {
            let texts = texts(&file).with_context(|| format!("in {}", file.display()))?;
            sets.push(Set { name, texts });
        }
    }
    if sets.is_empty() {
        bail!(
            "no annotated texts in {}: it should hold .jsonl or .jsonl.gz files whose lines have `text` \
             and either `spans` (start, end in code points, type) or `label` (injection, benign)",
            folder.display()
        );
    }
    Ok(sets)
}

/// Another product's findings: lines with `set`, `id` and `spans`.
pub(super) fn read_foreign(path: &Path) -> anyhow::Result<Foreign> {
    let rows: Vec<ForeignRow> = lines(path).with_context(|| format!("in {}", path.display()))?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.set, row.id), row.spans))
        .collect())
}

/// Spans in code points as byte ranges; those beyond the text are cut.
pub(super) fn to_bytes(text: &str, spans: &[Span]) -> Vec<Predicted> {
    let mut starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
    starts.push(text.len());
    let at = |point: usize| starts[point.min(starts.len() - 1)];
    spans
        .iter()
        .map(|span| Predicted {
            kind: span.kind.clone(),
            range: at(span.start)..at(span.end),
        })
        .collect()
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                list(&path, depth + 1, files)?;
            }
        } else if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.ends_with(".jsonl") || name.ends_with(".jsonl.gz"))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn name(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap_or(file).to_string_lossy();
    let path = path.strip_suffix(".gz").unwrap_or(&path);
    path.strip_suffix(".jsonl").unwrap_or(path).to_owned()
}

fn texts(path: &Path) -> anyhow::Result<Texts> {
    let rows: Vec<serde_json::Value> = lines(path)?;
    let labelled = rows.iter().any(|row| row.get("label").is_some());
    let rows = serde_json::Value::Array(rows);
    Ok(if labelled {
        Texts::Labels(serde_json::from_value(rows)?)
    } else {
        Texts::Spans(serde_json::from_value(rows)?)
    })
}

fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let file = File::open(path)?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(reader).lines().enumerate() {
        let line = line.with_context(|| format!("line {}", index + 1))?;
        if !line.trim().is_empty() {
            rows.push(serde_json::from_str(&line).with_context(|| format!("line {}", index + 1))?);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn sets_are_read_plain_and_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("pii");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(
            inner.join("a.jsonl"),
            "{\"id\":\"1\",\"text\":\"Zo\u{eb}\",\"spans\":[{\"start\":0,\"end\":3,\"type\":\"PERSON\"}]}\n\n",
        )
        .unwrap();
        let file = File::create(folder.path().join("b.jsonl.gz")).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        file.write_all(b"{\"text\":\"hi\",\"label\":\"benign\"}\n")
            .unwrap();
        file.finish().unwrap();
        let sets = read(folder.path(), &[]).unwrap();
        let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!(names, ["b", "pii/a"]);
        assert!(matches!(&sets[0].texts, Texts::Labels(rows) if rows.len() == 1));
        let Texts::Spans(samples) = &sets[1].texts else {
            panic!("spans were expected");
        };
        assert_eq!(to_bytes(&samples[0].text, &samples[0].spans)[0].range, 0..4);
        assert_eq!(read(folder.path(), &["pii".to_owned()]).unwrap().len(), 1);
    }

    #[test]
    fn errors_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.jsonl");
        std::fs::write(&path, "{\"text\":\"a\"}\nnot json\n").unwrap();
        let error = format!("{:#}", read(folder.path(), &[]).err().unwrap());
        assert!(
            error.contains("bad.jsonl") && error.contains("line 2"),
            "{error}"
        );
        let empty = tempfile::tempdir().unwrap();
        let error = read(empty.path(), &[]).err().unwrap().to_string();
        assert!(error.contains("no annotated texts"), "{error}");
    }
}
