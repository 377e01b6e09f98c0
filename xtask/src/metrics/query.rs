//! Reads of a PromQL query which metrics and labels it names. It is no parser of the language: what it does not know
//! it refuses, so that no name is overlooked.

use std::collections::BTreeSet;

/// Functions and aggregations that queries may use.
const FUNCTIONS: [&str; 12] = [
    "rate",
    "increase",
    "irate",
    "delta",
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "topk",
    "histogram_quantile",
    "absent",
];

/// Words before a list of labels.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Words between operands.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// What a query names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    /// Metrics, as they are written.
    pub(crate) metrics: BTreeSet<String>,
    /// Labels that are matched or grouped by.
    pub(crate) labels: BTreeSet<String>,
}

/// Reads a query.
///
/// # Errors
/// What cannot be read.
pub(crate) fn read(text: &str) -> Result<Query, String> {
    let mut query = Query::default();
    let mut rest = text;
    let mut open = 0_usize;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphabetic() || first == '_' {
            let (word, after) = split(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            rest = word_of(word, after, &mut query)?;
            continue;
        }
        rest = match first {
            '{' => matchers(rest, &mut query)?,
            '[' => behind(rest, ']')?,
            '0'..='9' => split(rest, |c| c.is_ascii_alphanumeric() || c == '.').1,
            '(' => {
                open += 1;
                &rest[1..]
            }
            ')' => {
                open = open.checked_sub(1).ok_or("a `)` too many")?;
                &rest[1..]
            }
            '+' | '-' | '*' | '/' | '>' | '<' | '=' | '!' | ',' | ' ' => &rest[1..],
            other => return Err(format!("an unexpected `{other}`")),
        };
    }
    if open > 0 {
        return Err("a `(` that is not closed".to_owned());
    }
    Ok(query)
}

/// Takes a word; what follows what belongs to it.
fn word_of<'a>(word: &str, after: &'a str, query: &mut Query) -> Result<&'a str, String> {
    let next = after.trim_start();
    if BEFORE_LABELS.contains(&word) {
        let list = next
            .strip_prefix('(')
            .ok_or(format!("no list behind `{word}`"))?;
        let (labels, after) = list.split_once(')').ok_or("a list without an end")?;
        let labels = labels.split(',').map(str::trim);
        query
            .labels
            .extend(labels.filter(|label| !label.is_empty()).map(str::to_owned));
        return Ok(after);
    }
    let is_called = next.starts_with('(') || next.starts_with("by ") || next.starts_with("by(");
    match (FUNCTIONS.contains(&word), is_called) {
        (true, true) => {}
        (false, true) => return Err(format!("an unknown function `{word}`")),
        _ if OPERATORS.contains(&word) => {}
        _ => {
            query.metrics.insert(word.to_owned());
        }
    }
    Ok(after)
}

/// Takes `{label="value", ...}`.
fn matchers<'a>(text: &'a str, query: &mut Query) -> Result<&'a str, String> {
    let mut rest = text[1..].trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (label, after) = split(rest, |c| c.is_ascii_alphanumeric() || c == '_');
        let after = after.trim_start_matches(['=', '!', '~', ' ']);
        let value = after
            .strip_prefix('"')
            .ok_or(format!("no value for `{label}`"))?;
        query.labels.insert(label.to_owned());
        rest = behind(value, '"')?.trim_start_matches([',', ' ']);
    }
}

/// What follows the first such character.
fn behind(text: &str, end: char) -> Result<&str, String> {
    let (_, after) = text.split_once(end).ok_or(format!("no `{end}`"))?;
    Ok(after)
}

fn split(text: &str, is_inside: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|letter| !is_inside(letter)).unwrap_or(text.len());
    text.split_at(end)
}
