//! `freehold audit`: the trail of decisions, checked, shown and handed on.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use freehold_store::audit::{
    Anchor, AuditFilter, AuditSettings, Edge, Progress, PublicKey, Report, Span, VerifyOptions,
    export, show, verify, verify_export,
};
use freehold_types::audit::{AuditEvent, AuditName, AuditRecord};
use indicatif::ProgressBar;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::time_range;
use super::usage::table;
use crate::cli::{AuditArgs, AuditCommand, AuditShowArgs};

/// The settings of a trail that lies in this directory, as an auditor needs them: no configuration
/// need be there, or be right.
pub(crate) fn settings_of(dir: &Path) -> AuditSettings {
    let data_dir = dir.parent().unwrap_or_else(|| Path::new(""));
    AuditSettings {
        dir: dir.to_owned(),
        ..AuditSettings::new(data_dir)
    }
}

/// Runs one of the audit's commands on the trail of the configuration. False when something was
/// changed.
pub(crate) fn run(args: AuditArgs, settings: &AuditSettings) -> anyhow::Result<bool> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let intact = match args.command {
        AuditCommand::Verify {
            public_key,
            anchor,
            export,
            json,
        } => {
            let report = check(settings, &public_key, anchor.as_deref(), export.as_deref())?;
            if json {
                writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            } else {
                writeln!(out, "{report}")?;
            }
            report.is_intact()
        }
        AuditCommand::Export { since, until } => {
            let span = Span {
                from: edge(since.as_deref(), "--since")?,
                to: edge(until.as_deref(), "--until")?,
            };
            let summary = export(&settings.dir, span, &mut out)?;
            writeln!(
                std::io::stderr(),
                "exported {} records, {} to {}{}",
                summary.records,
                summary.first,
                summary.last,
                if summary.signed {
                    ""
                } else {
                    "; the last ones are not signed yet"
                }
            )?;
            true
        }
        AuditCommand::Show(args) => {
            print(&args, settings, &mut out)?;
            true
        }
        AuditCommand::Anchor => {
            let anchor = Anchor::of_trail(&settings.dir)?;
            writeln!(out, "{anchor}")?;
            true
        }
        AuditCommand::PublicKey => {
            let path = public_key_file(settings);
            write!(out, "{}", PublicKey::read(&path)?.to_pem())?;
            true
        }
    };
    out.flush()?;
    Ok(intact)
}

/// The public key lies beside the private one.
fn public_key_file(settings: &AuditSettings) -> PathBuf {
    let mut path = settings.key_file.clone().into_os_string();
    path.push(".pub");
    path.into()
}

fn check(
    settings: &AuditSettings,
    keys: &[PathBuf],
    anchor: Option<&Path>,
    exported: Option<&Path>,
) -> anyhow::Result<Report> {
    let options = VerifyOptions {
        public_keys: keys
            .iter()
            .map(|path| PublicKey::read(path))
            .collect::<Result<_, _>>()?,
        anchor: anchor.map(Anchor::read).transpose()?,
    };
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(0)
    } else {
        ProgressBar::hidden()
    };
    let mut progress = |progress: Progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.bytes);
    };
    let report = match exported {
        Some(path) => {
            let file =
                File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            verify_export(BufReader::new(file), &options, &mut progress)?
        }
        None => verify(&settings.dir, &options, &mut progress)?,
    };
    bar.finish_and_clear();
    Ok(report)
}

fn edge(text: Option<&str>, flag: &'static str) -> anyhow::Result<Option<Edge>> {
    Ok(moment(text, flag)?.map(Edge::UnixMs))
}

fn moment(text: Option<&str>, flag: &'static str) -> anyhow::Result<Option<u64>> {
    text.map(|text| time_range::parse(text, OffsetDateTime::now_utc()).context(flag))
        .transpose()
}

/// The records that are asked for, the oldest first.
pub(crate) fn records(
    args: &AuditShowArgs,
    settings: &AuditSettings,
) -> anyhow::Result<Vec<AuditRecord>> {
    let request = args.request.as_deref().map(str::parse).transpose();
    let Ok(request) = request else {
        bail!("--request wants a request's id, as in the x-request-id header");
    };
    let filter = AuditFilter {
        from_unix_ms: moment(args.since.as_deref(), "--since")?,
        to_unix_ms: moment(args.until.as_deref(), "--until")?,
        request,
        tenant: args.tenant.as_deref().map(AuditName::new),
        key: args.key.as_deref().map(AuditName::new),
        kind: args.kind,
        limit: None,
        last: Some(args.last),
    };
    let records: Result<_, _> = show(&settings.dir, filter)?.collect();
    Ok(records?)
}

fn print(
    args: &AuditShowArgs,
    settings: &AuditSettings,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut rows = table([
        "sequence",
        "time",
        "what",
        "who",
        "sensitivity",
        "where",
        "how",
    ]);
    for record in records(args, settings)? {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&record)?)?;
        } else {
            rows.add_row(cells(&record));
        }
    }
    if args.json {
        return Ok(());
    }
    if rows.row_count() == 0 {
        writeln!(out, "No record fits.")?;
    } else {
        writeln!(out, "{}", rows.trim_fmt())?;
    }
    Ok(())
}

/// The name that JSON has for it.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    let word = value.as_ref().and_then(|value| value.as_str());
    word.unwrap_or_default().to_owned()
}

fn cells(record: &AuditRecord) -> [String; 7] {
    let nanos = i128::from(record.time_unix_ms) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default();
    let [what, who, label, place, how] = match &record.event {
        AuditEvent::Decision(decision) => {
            let places: Vec<_> = decision
                .attempts
                .iter()
                .map(|attempt| format!("{} ({})", attempt.deployment, attempt.perimeter))
                .collect();
            let mut how = word(&decision.status);
            if let Some(refusal) = &decision.refusal {
                how = format!("{how}: {refusal}");
            }
            if !decision.rules.is_empty() {
                let rules: Vec<_> = decision.rules.iter().map(ToString::to_string).collect();
                how = format!("{how}; rules {}", rules.join(", "));
            }
            let findings: Vec<_> = decision
                .findings
                .iter()
                .map(|(entity, count)| format!("{count} {entity}"))
                .collect();
            if !findings.is_empty() {
                how = format!("{how}; saw {}", findings.join(", "));
            }
            [
                decision.request.to_string(),
                decision.key.to_string(),
                decision.sensitivity.to_string(),
                places.join(", "),
                how,
            ]
        }
        AuditEvent::Administration(act) => [
            word(&act.act),
            act.actor.to_string(),
            String::new(),
            act.object.to_string(),
            String::new(),
        ],
        AuditEvent::Checkpoint(_) => [
            "checkpoint".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            "signed".to_owned(),
        ],
    };
    [
        record.sequence.to_string(),
        time,
        what,
        who,
        label,
        place,
        how,
    ]
}
