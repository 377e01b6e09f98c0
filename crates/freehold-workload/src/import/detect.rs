//! Finds out from its content what a file is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ImportOptions;
use super::columns::{Field, normalised};
use super::input::Head;
use super::json;
use super::names::Format;
use super::report::ImportError;

/// How the rows of a file follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Csv {
        delimiter: u8,
    },
    /// One JSON value a line.
    JsonLines,
    /// One list, or an object with a list, over any number of lines.
    JsonDocument,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detected {
    pub(super) container: Container,
    pub(super) format: Format,
}

pub(super) fn detect(
    head: &Head,
    name: &str,
    options: &ImportOptions,
) -> Result<Detected, ImportError> {
    let unknown = |what: &str| {
        Err(ImportError::Unknown {
            file: name.to_owned(),
            what: what.to_owned(),
        })
    };
    let bytes = &head.bytes;
    if bytes.starts_with(b"PAR1") {
        return unknown("is Parquet, which cannot be read from a stream: name it as a file");
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return unknown("is a ZIP archive: unpack it, and name the files in it");
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return unknown("is UTF-16: save it as UTF-8");
    }
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return unknown("is Zstandard: unpack it (`zstd -d`) or use gzip");
    }
    let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Err(ImportError::EmptyFile {
            file: name.to_owned(),
        });
    };
    match first {
        b'[' => of_json(head, Container::JsonDocument, name, options),
        b'{' => of_json(head, json_container(head), name, options),
        _ => of_csv(bytes, name, options),
    }
}

/// Whether objects stand one a line, or one object over several lines.
fn json_container(head: &Head) -> Container {
    let mut lines = head.bytes.split(|byte| *byte == b'\n');
    let is_object =
        |line: &[u8]| serde_json::from_slice::<Value>(line).is_ok_and(|value| value.is_object());
    let first = lines.find(|line| !line.trim_ascii().is_empty());
    if first.is_some_and(is_object) {
        return Container::JsonLines;
    }
    // The first line may be the one that is broken. Objects within a document end with a comma, or
    // are parts of it, and no line of it is an object by itself but an only element.
    let others = lines.take(50).filter(|line| is_object(line)).count();
    if others >= 2 || (first.is_some_and(|line| line.len() == head.bytes.len()) && !head.is_whole) {
        Container::JsonLines
    } else {
        Container::JsonDocument
    }
}

fn of_json(
    head: &Head,
    container: Container,
    name: &str,
    options: &ImportOptions,
) -> Result<Detected, ImportError> {
    let found = |format| Detected { container, format };
    if let Some(format) = options.format {
        return Ok(found(format));
    }
    let Some(row) = json::first_row(&head.bytes, container == Container::JsonLines) else {
        if serde_json::from_slice::<Value>(&head.bytes).is_ok() {
            return Err(ImportError::NoRequests {
                why: format!("the list of records in {name} is empty; export a longer time"),
            });
        }
        return Err(ImportError::Unknown {
            file: name.to_owned(),
            what: "is no JSON that holds records: it must be one object a line, a list of \
                   objects, or an object with a list in `data`"
                .to_owned(),
        });
    };
    let keys: Vec<String> = match &row {
        Value::Object(row) => row.keys().cloned().collect(),
        _ => Vec::new(),
    };
    if keys.iter().any(|key| key == "freehold_workload") {
        return Ok(found(Format::Freehold));
    }
    if row.get("results").is_some_and(Value::is_array) {
        if row.get("start_time").is_some() {
            return Ok(found(Format::OpenaiUsage));
        }
        if row.get("starting_at").is_some() {
            return Ok(found(Format::AnthropicUsage));
        }
    }
    let has = |key: &str| row.get(key).is_some();
    if has("client") && has("window_s") && row.get("output_tokens").is_some_and(Value::is_object) {
        return Ok(found(Format::ServegenLengths));
    }
    let mut keys = keys;
    if let Some(usage) = row.get("usage").and_then(Value::as_object) {
        keys.extend(usage.keys().map(|key| format!("usage.{key}")));
    }
    of_columns(&keys, name, options).map(found)
}

fn of_csv(bytes: &[u8], name: &str, options: &ImportOptions) -> Result<Detected, ImportError> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or(&[]);
    if first.starts_with(super::canonical::CSV_MARK.as_bytes()) {
        return Ok(Detected {
            container: Container::Csv { delimiter: b',' },
            format: Format::Freehold,
        });
    }
    let header = if first.starts_with(b"#") {
        let mut rest = lines;
        rest.find(|line| !line.starts_with(b"#")).unwrap_or(&[])
    } else {
        first
    };
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    // The last of equals wins: a comma.
    let delimiters = [b'|', b'\t', b';', b','];
    let delimiter = delimiters
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter));
    let delimiter = delimiter.unwrap_or(b',');
    let header = String::from_utf8_lossy(header);
    let columns: Vec<String> = header
        .split(char::from(delimiter))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .collect();
    let format = of_columns(&columns, name, options)?;
    Ok(Detected {
        container: Container::Csv { delimiter },
        format,
    })
}

/// Columns that only one format has: any of these sets.
const KNOWN: [(Format, &[&[&str]]); 9] = [
    (
        Format::ServegenRates,
        &[&["client", "window_s", "rate", "pattern"]],
    ),
    (
        Format::FreeholdExport,
        &[&["request_id", "started_at", "is_final", "overhead_us"]],
    ),
    (
        Format::OpenaiUsage,
        &[
            &["num_model_requests", "input_tokens"],
            &["start_time", "end_time", "start_time_iso", "end_time_iso"],
        ],
    ),
    (
        Format::AnthropicUsage,
        &[
            &["usage_date_utc", "usage_output_tokens"],
            &["starting_at", "ending_at", "output_tokens"],
        ],
    ),
    (
        Format::Litellm,
        &[
            &["start_time", "prompt_tokens", "completion_tokens", "spend"],
            &["start_time", "call_type", "prompt_tokens"],
        ],
    ),
    (
        Format::Langfuse,
        &[
            &["trace_id", "start_time", "type"],
            &["trace_id", "start_time", "usage_details"],
            &["trace_id", "start_time", "usage"],
        ],
    ),
    (
        Format::Helicone,
        &[
            &["request_created_at", "prompt_tokens"],
            &["response_id", "request_created_at"],
        ],
    ),
    (
        Format::AzureTrace,
        &[&["timestamp", "context_tokens", "generated_tokens"]],
    ),
    (
        Format::Mooncake,
        &[&["timestamp", "input_length", "output_length"]],
    ),
];

/// The format whose columns these are.
pub(super) fn of_columns(
    columns: &[String],
    name: &str,
    options: &ImportOptions,
) -> Result<Format, ImportError> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    let names: BTreeSet<String> = columns.iter().map(|name| normalised(name)).collect();
    let has = |wanted: &[&str]| wanted.iter().all(|name| names.contains(*name));
    let found = KNOWN
        .into_iter()
        .find(|(_, sets)| sets.iter().any(|set| has(set)));
    if let Some((format, _)) = found {
        return Ok(format);
    }
    let listed = || {
        columns
            .iter()
            .take(40)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    let is_mapped = |field: Field| options.map.iter().any(|(mapped, _)| *mapped == field);
    let looks_like_a_table = columns.len() > 1 || !options.map.is_empty();
    if looks_like_a_table || is_mapped(Field::Time) {
        return Ok(Format::Generic);
    }
    Err(ImportError::Unknown {
        file: name.to_owned(),
        what: format!(
            "is none of the known formats, nor a table with a header; it begins with: {}. Export it \
             as CSV or JSON, or say what it is with --format",
            cut(&listed())
        ),
    })
}

/// The beginning of what may be anything.
fn cut(text: &str) -> String {
    let printable = text.chars().filter(|character| !character.is_control());
    printable.take(60).collect()
}
