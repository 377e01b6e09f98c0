//! `freehold keys`: the gateway's own API keys.

use std::io::Write;

use anyhow::{Context, Result, bail};
use comfy_table::Table;
use freehold_config::{Settings, moment};
use freehold_ports::{ANONYMOUS, Limits, Period, Scope};
use freehold_store::KeySettings;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{KeysArgs, KeysCommand, KeysCreateArgs};

/// Random bytes of a key: 256 bits cannot be guessed.
const KEY_BYTES: usize = 32;
/// So much of a key is shown: enough to tell keys apart, too little to use one.
const PREFIX_CHARS: usize = 11;

pub(crate) fn run(
    args: KeysArgs,
    settings: impl FnOnce() -> miette::Result<Settings>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match args.command {
        KeysCommand::Create(args) => create(&args, &mut out),
        KeysCommand::List(args) => {
            let settings = settings().map_err(|error| anyhow::anyhow!("{error:?}"))?;
            let keys: Vec<_> = settings.keys.iter().map(described).collect();
            if args.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&keys)?)?;
                return Ok(());
            }
            if keys.is_empty() {
                writeln!(
                    out,
                    "no keys: the gateway serves everybody who reaches it, on loopback"
                )?;
                return Ok(());
            }
            writeln!(out, "{}", table(&keys))?;
            Ok(())
        }
    }
}

/// A new key: the only time that it is shown.
fn create(args: &KeysCreateArgs, out: &mut impl Write) -> Result<()> {
    if args.name.trim().is_empty() || args.name == ANONYMOUS {
        bail!("`{}` is no name for a key", args.name);
    }
    if let Some(expires) = &args.expires
        && let Err(complaint) = moment(expires, &["--expires"])
    {
        bail!(
            "{}: write 2027-06-30 or 2027-06-30T18:00:00Z",
            complaint.message
        );
    }
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("the operating system gives no random bytes")?;
    let key = format!("fh-{}", hex::encode(bytes));
    let hash = format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes())));
    let prefix: String = key.chars().take(PREFIX_CHARS).collect();
    let mut entry = json!({"name": args.name, "key": hash, "prefix": prefix});
    if let Some(team) = &args.team {
        entry["team"] = json!(team);
    }
    if let Some(expires) = &args.expires {
        entry["expires"] = json!(expires);
    }
    if args.json {
        let all = json!({"key": key, "entry": entry});
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    writeln!(out, "{key}\n")?;
    writeln!(
        out,
        "This is the only time that it is shown. In freehold.yaml:\n"
    )?;
    // JSON is YAML, and needs no care with quotes.
    writeln!(out, "keys:\n  - {entry}")?;
    Ok(())
}

/// A key without what opens anything.
pub(crate) fn described(key: &KeySettings) -> Value {
    let at = |unix_ms: u64| {
        let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
        let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        at.format(&Rfc3339).ok()
    };
    let previous = key
        .previous
        .iter()
        .map(|previous| previous.until_unix_ms)
        .max();
    let bounds = key.bounds.iter().map(|bound| {
        let scope = match &bound.scope {
            Scope::Key(_) => "key".to_owned(),
            Scope::Team(team) => format!("team {team}"),
            Scope::Flow(flow) => format!("flow {flow}"),
        };
        json!({"of": scope, "limits": limits(&bound.limits)})
    });
    json!({
        "name": key.name.as_str(),
        "prefix": key.prefix,
        "team": key.team.as_ref().map(|team| team.as_str()),
        "tenant": key.tenant,
        "flow": key.flow.as_ref().map(|flow| flow.as_str()),
        "routes": key.routes,
        "sensitivity": key.sensitivity.map(|label| label.as_str()),
        "role": key.grant.as_ref().map(|grant| grant.role.as_str()),
        "expires": key.expires_unix_ms.and_then(at),
        "previous_until": previous.and_then(at),
        "bounds": bounds.collect::<Vec<_>>(),
    })
}

/// Each limit in a few words.
fn limits(limits: &Limits) -> Vec<String> {
    let mut words = vec![];
    let counts = [
        (limits.requests_per_minute, "requests/min"),
        (limits.tokens_per_minute, "tokens/min"),
        (limits.concurrent, "at once"),
    ];
    for (limit, what) in counts {
        words.extend(limit.map(|limit| format!("{limit} {what}")));
    }
    for budget in &limits.budgets {
        let per = match budget.period {
            Period::Day => "/day",
            Period::Month => "/month",
            Period::Total => " in all",
        };
        words.extend(budget.hard.map(|usd| format!("${usd}{per}")));
        words.extend(budget.soft.map(|usd| format!("alert at ${usd}{per}")));
    }
    words
}

fn table(keys: &[Value]) -> Table {
    let mut table = super::usage::table(["key", "prefix", "team", "limits", "until"]);
    for key in keys {
        let text = |field: &str| key[field].as_str().unwrap_or("-").to_owned();
        let bounds = key["bounds"].as_array().into_iter().flatten();
        let bounds = bounds.map(|bound| {
            let limits = bound["limits"].as_array().into_iter().flatten();
            let limits: Vec<_> = limits.filter_map(Value::as_str).collect();
            format!(
                "{}: {}",
                bound["of"].as_str().unwrap_or_default(),
                limits.join(", ")
            )
        });
        let bounds: Vec<_> = bounds.collect();
        let bounds = if bounds.is_empty() {
            "-".to_owned()
        } else {
            bounds.join("\n")
        };
        table.add_row([
            text("name"),
            text("prefix"),
            text("team"),
            bounds,
            text("expires"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_opens_the_entry_that_is_printed() {
        let args = KeysCreateArgs {
            name: "shop".to_owned(),
            team: Some("acme".to_owned()),
            expires: Some("2027-06-30".to_owned()),
            json: true,
        };
        let mut keys = vec![];
        for _ in 0..2 {
            let mut out = vec![];
            create(&args, &mut out).unwrap();
            let made: Value = serde_json::from_slice(&out).unwrap();
            let key = made["key"].as_str().unwrap();
            let digest = hex::encode(Sha256::digest(key.as_bytes()));
            assert_eq!(made["entry"]["key"], format!("sha256:{digest}"));
            assert_eq!(made["entry"]["team"], "acme");
            let prefix = made["entry"]["prefix"].as_str().unwrap();
            assert!(key.starts_with(prefix) && prefix.len() < 12);
            keys.push(key.to_owned());
        }
        assert_ne!(keys[0], keys[1]);
        let mut out = vec![];
        let soon = KeysCreateArgs {
            expires: Some("soon".to_owned()),
            ..args
        };
        let error = create(&soon, &mut out).unwrap_err();
        assert!(error.to_string().contains("2027-06-30"), "{error}");
        assert!(out.is_empty());
    }
}
