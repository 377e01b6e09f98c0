//! Metrics: what the code counts, what docs/metrics.md lists and what the board and the alert rules in deploy/ ask
//! for are the same names and labels.

mod query;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use serde_json::Value;

use crate::metrics::query::{Query, read};
use crate::source::sources;
use crate::tree::Tree;

const PAGE: &str = "docs/metrics.md";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
const BOARDS: &str = "deploy/grafana/";

/// What every target has that Prometheus scrapes.
const SCRAPED: [&str; 1] = ["up"];
/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// Names of metrics, and the labels of each.
type Listed = BTreeMap<String, BTreeSet<String>>;

/// Compares code, page, alert rules and boards.
pub(crate) fn check(tree: &Tree) -> Result<Vec<String>> {
    let listed = listed(&tree.read_text(PAGE)?);
    let mut counted = BTreeSet::new();
    for source in sources(tree, "crates/")? {
        counted_in(source.file.to_token_stream(), &mut counted);
    }
    let mut findings = compare(&counted, &listed);
    let mut queries = alerts(&tree.read_text(ALERTS)?);
    for path in tree.paths() {
        if path.starts_with(BOARDS) && path.ends_with(".json") {
            let board = serde_json::from_str(&tree.read_text(path)?);
            let board: Value = board.with_context(|| format!("parsing {path}"))?;
            expressions(&board, path, &mut queries);
        }
    }
    for (place, query) in &queries {
        findings.extend(check_query(place, query, &listed));
    }
    if queries.is_empty() {
        findings.push(format!("{ALERTS} and {BOARDS} ask for nothing"));
    }
    Ok(findings)
}

fn compare(counted: &BTreeSet<String>, listed: &Listed) -> Vec<String> {
    let unlisted = counted.iter().filter(|name| !listed.contains_key(*name));
    let unlisted = unlisted.map(|name| format!("{PAGE} does not list {name}: add it"));
    let uncounted = listed.keys().filter(|name| !counted.contains(*name));
    let uncounted = uncounted.map(|name| format!("{PAGE} lists {name}, which nothing counts"));
    unlisted.chain(uncounted).collect()
}

/// The first string in each `counter!`, `gauge!` and `histogram!`.
fn counted_in(tokens: TokenStream, counted: &mut BTreeSet<String>) {
    let mut before: [Option<String>; 2] = [None, None];
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            let is_macro = matches!(
                &before,
                [Some(name), Some(mark)]
                    if mark == "!" && ["counter", "gauge", "histogram"].contains(&name.as_str())
            );
            if is_macro && let Some(name) = first_text(group.stream()) {
                counted.insert(name);
            }
            counted_in(group.stream(), counted);
        }
        before = [before[1].take(), Some(token.to_string())];
    }
}

fn first_text(tokens: TokenStream) -> Option<String> {
    let first = tokens.into_iter().next()?.to_string();
    Some(first.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// The page's table: name, type, labels, meaning.
fn listed(page: &str) -> Listed {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (name, rest) = row.split_once("` |")?;
        let labels = rest.split('|').nth(1)?.split(',');
        let labels = labels.map(str::trim).filter(|label| !label.is_empty());
        Some((name.to_owned(), labels.map(str::to_owned).collect()))
    })
    .collect()
}

/// The rules' expressions, each in one line, with their names.
fn alerts(rules: &str) -> Vec<(String, String)> {
    let mut name = "";
    let mut queries = Vec::new();
    for line in rules.lines().map(str::trim_start) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            name = alert;
        } else if let Some(query) = line.strip_prefix("expr: ") {
            queries.push((format!("{ALERTS}: {name}"), query.to_owned()));
        }
    }
    queries
}

fn expressions(value: &Value, place: &str, queries: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            let title = fields.get("title").and_then(Value::as_str);
            let place = title.map_or_else(|| place.to_owned(), |title| format!("{place}: {title}"));
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr", Value::String(query)) => queries.push((place.clone(), query.clone())),
                    _ => expressions(value, &place, queries),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                expressions(item, place, queries);
            }
        }
        _ => {}
    }
}

fn check_query(place: &str, text: &str, listed: &Listed) -> Vec<String> {
    let query = match read(text) {
        Ok(query) => query,
        Err(why) => return vec![format!("{place}: {why} in `{text}`")],
    };
    let Query { metrics, labels } = query;
    let mut findings = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into_iter().collect();
    for metric in &metrics {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let whole = parts.filter_map(|part| metric.strip_suffix(part)).next();
        let labels = listed.get(metric).or_else(|| listed.get(whole?));
        match labels {
            Some(labels) => known.extend(labels.iter().map(String::as_str)),
            None if SCRAPED.contains(&metric.as_str()) => {}
            None => findings.push(format!("{place}: {PAGE} lists no {metric}")),
        }
    }
    if metrics.is_empty() {
        findings.push(format!("{place}: `{text}` asks for no metric"));
    }
    let strange = labels
        .iter()
        .filter(|label| !known.contains(label.as_str()));
    findings.extend(strange.map(|label| format!("{place}: its metrics have no label {label}")));
    findings
}

#[cfg(test)]
mod tests;
