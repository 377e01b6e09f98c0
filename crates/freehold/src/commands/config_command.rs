//! `freehold config`: whether a configuration can be run, and what it means.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use freehold_config::{Overrides, Settings, Source, schema};
use freehold_store::KeySettings;
use freehold_types::Deployment;
use miette::IntoDiagnostic;
use serde_json::{Value, json};

use super::usage::printable;
use crate::cli::{ConfigArgs, ConfigCommand};
use crate::home;

pub(crate) fn run(args: ConfigArgs, path: Option<&Path>) -> miette::Result<()> {
    let text = match args.command {
        ConfigCommand::Schema => pretty(&schema())?,
        ConfigCommand::Check { json } => {
            let source = Source::read(path)?;
            let meaning = meaning(
                &source.settings(&Overrides::default(), &home::environment())?,
                source.path.as_deref(),
            );
            if json {
                pretty(&meaning)?
            } else {
                text(&meaning)
            }
        }
    };
    writeln!(std::io::stdout().lock(), "{text}").map_err(|error| crate::told(error.into()))
}

fn pretty(value: &Value) -> miette::Result<String> {
    serde_json::to_string_pretty(value).into_diagnostic()
}

/// What the configuration means, without any key or password.
fn meaning(settings: &Settings, file: Option<&Path>) -> Value {
    let hosted = settings.hosted.iter().map(|entry| {
        json!({
            "name": entry.settings.id.as_str(),
            "type": entry.settings.row.id,
            "perimeter": entry.settings.site.perimeter.to_string(),
            "url": without_credentials(&entry.settings.base_url),
            "has_key": entry.settings.key.is_some(),
            "found_by": entry.found_by,
            "models": models(&entry.deployments),
            "any_model": entry.any_model,
            "asks_for_models": entry.discover,
        })
    });
    let embedded = settings.embedded.iter().map(|entry| {
        json!({
            "name": entry.deployment.backend.as_str(),
            "type": freehold_config::EMBEDDED,
            "perimeter": entry.deployment.site.perimeter.to_string(),
            "models": models(std::slice::from_ref(&entry.deployment)),
            "any_model": false,
        })
    });
    let backends: Vec<Value> = embedded.chain(hosted).collect();
    let routes = settings.routes.iter().map(|route| {
        json!({
            "name": route.name,
            "objective": route.settings.objective.as_str(),
            "targets": route.targets,
        })
    });
    json!({
        "file": file,
        "listen": settings.listen.to_string(),
        "admin": settings.admin.map(|address| address.to_string()),
        "outside_up_to": settings.policy.outside_up_to().map(|label| label.as_str()),
        "default_sensitivity": settings.default_sensitivity.as_str(),
        "backends": backends,
        "routes": routes.collect::<Vec<_>>(),
        "keys": settings.keys.iter().map(key).collect::<Vec<_>>(),
        "ledger": settings.ledger.database.to_string(),
        "telemetry": settings.telemetry.as_ref().map(crate::reports::urls),
        "hints": settings.hints,
        "warnings": warnings(settings),
    })
}

/// What in the policy is probably not meant. Demands are compared with the deployments, unless some
/// are known only to a running backend.
fn warnings(settings: &Settings) -> Vec<String> {
    let hosted = settings.hosted.iter();
    let all_known = hosted
        .clone()
        .all(|entry| !entry.deployments.is_empty() && !entry.discover);
    let hosted = hosted.flat_map(|entry| &entry.deployments);
    let embedded = settings.embedded.iter().map(|entry| &entry.deployment);
    let deployments: Vec<_> = hosted.chain(embedded).cloned().map(Arc::new).collect();
    let known = all_known.then_some(&deployments[..]);
    let compiled = settings.policy_source.compile(known);
    let odd = compiled.map(|(_, odd)| odd).unwrap_or_default();
    odd.iter().map(ToString::to_string).collect()
}

fn models(deployments: &[Deployment]) -> Vec<&str> {
    deployments
        .iter()
        .map(|deployment| deployment.model.as_str())
        .collect()
}

fn key(key: &KeySettings) -> Value {
    json!({
        "name": key.name.as_str(),
        "routes": key.routes,
        "flow": key.flow.as_ref().map(|flow| flow.as_str()),
        "sensitivity": key.sensitivity.map(|label| label.as_str()),
    })
}

/// The address without `user:password@`.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The meaning for people.
/// A text value, made safe to print, or what to say when there is none.
fn said(value: &Value, otherwise: &str) -> String {
    value
        .as_str()
        .map_or_else(|| otherwise.to_owned(), printable)
}

/// A backend's perimeter, where it came from and what it serves.
fn backend(backend: &Value) -> String {
    let mut served = strings(&backend["models"]);
    for (flag, words) in [
        ("any_model", "any other model"),
        ("asks_for_models", "what it offers"),
    ] {
        if backend[flag] == true {
            served.push(words.to_owned());
        }
    }
    let found = match backend["found_by"].as_str() {
        Some(variable) => format!(", found by {variable}"),
        None => String::new(),
    };
    format!(
        "({}{found}): {}",
        said(&backend["perimeter"], ""),
        served.join(", ")
    )
}

fn text(meaning: &Value) -> String {
    let mut lines = vec![format!(
        "The configuration can be run ({}).",
        said(
            &meaning["file"],
            "no file: the defaults, and what the environment offers"
        )
    )];
    let mut line = |label: &str, text: String| lines.push(format!("{label:<10} {text}"));
    line("listen", said(&meaning["listen"], ""));
    line("admin", said(&meaning["admin"], "off"));
    line(
        "perimeter",
        match meaning["outside_up_to"].as_str() {
            Some(label) => format!(
                "open: up to {label} may leave; what carries no label is {}",
                said(&meaning["default_sensitivity"], "unknown")
            ),
            None => "sealed: nothing leaves".to_owned(),
        },
    );
    line("ledger", said(&meaning["ledger"], ""));
    for url in strings(&meaning["telemetry"]) {
        line("telemetry", url);
    }
    section(&mut line, "backend", &meaning["backends"], "none", backend);
    section(
        &mut line,
        "route",
        &meaning["routes"],
        "auto only",
        |route| {
            format!(
                "({}): {}",
                said(&route["objective"], ""),
                strings(&route["targets"]).join(", ")
            )
        },
    );
    section(
        &mut line,
        "key",
        &meaning["keys"],
        "none: everybody on this machine may ask",
        |key| {
            let routes = strings(&key["routes"]);
            if routes.is_empty() {
                "may name everything".to_owned()
            } else {
                routes.join(", ")
            }
        },
    );
    for warning in strings(&meaning["warnings"]) {
        line("warning", format!("policy: {warning}"));
    }
    for hint in strings(&meaning["hints"]) {
        line("hint", hint);
    }
    lines.join("\n")
}

fn section(
    line: &mut impl FnMut(&str, String),
    label: &str,
    entries: &Value,
    none: &str,
    describe: impl Fn(&Value) -> String,
) {
    let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        line(label, none.to_owned());
    }
    for entry in entries {
        let name = printable(entry["name"].as_str().unwrap_or_default());
        line(label, format!("{name} {}", describe(entry)));
    }
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().map_or(&[][..], Vec::as_slice);
    values
        .iter()
        .filter_map(Value::as_str)
        .map(printable)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_passwords() {
        for (url, shown) in [
            ("http://a:b@10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1"),
            (
                "https://api.example.com/v1/@x",
                "https://api.example.com/v1/@x",
            ),
            ("http://user@host", "http://host"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn the_meaning_names_keys_and_never_shows_them() {
        let source = Source {
            path: None,
            text: "discover: false\n\
                   keys: [{name: alice, key: sk-0123456789abcdef0123}]\n\
                   routes: {fast: {objective: fastest}}\n\
                   backends:\n  box: {type: vllm, base_url: 'http://127.0.0.1:9/v1', \
                   api_key: very-secret-upstream-key, models: [{name: qwen}]}\n"
                .to_owned(),
        };
        let settings = source
            .settings(&Overrides::default(), &home::environment())
            .unwrap();
        let meaning = meaning(&settings, None);
        let shown = format!("{meaning}\n{}", text(&meaning));
        assert!(
            !shown.contains("sk-0123") && !shown.contains("very-secret"),
            "{shown}"
        );
        for words in [
            "alice may name everything",
            "fast (fastest): *",
            "box (inside): qwen",
        ] {
            assert!(shown.contains(words), "{shown}");
        }
    }

    #[test]
    fn a_sealed_gateway_says_so() {
        let source = Source {
            path: None,
            text: "perimeter: sealed\ndiscover: false\n".to_owned(),
        };
        let settings = source
            .settings(&Overrides::default(), &home::environment())
            .unwrap();
        assert!(text(&meaning(&settings, None)).contains("sealed: nothing leaves"));
    }
}
