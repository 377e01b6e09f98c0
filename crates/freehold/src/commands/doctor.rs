//! `freehold doctor`: what is there, what is missing, and what to do about it.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use freehold_config::{EmbeddedEntry, Overrides, Settings, Source};
use freehold_hosted::HostedBackend;
use freehold_ports::Backend;
use freehold_store::meter::{SharedSettings, Stance};
use freehold_store::{Database, Reader};
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::home;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    Note,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    grade: Grade,
    found: String,
}

impl Check {
    fn new(what: impl Into<String>, grade: Grade, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            grade,
            found: found.into(),
        }
    }
}

pub(crate) async fn run(args: DoctorArgs, config: Option<&Path>) -> Result<()> {
    let mut checks = vec![machine()];
    match Source::read(config).and_then(|source| {
        let settings = source.settings(&Overrides::default(), &home::environment())?;
        Ok((source.name(), settings))
    }) {
        Ok((name, settings)) => {
            checks.push(Check::new("configuration", Grade::Ok, name));
            checks.extend(ledger(&settings).await);
            if let Some(shared) = &settings.accounts {
                checks.push(accounts(shared).await);
            }
            checks.push(port(&settings));
            for entry in &settings.embedded {
                checks.push(model(entry).await);
            }
            for hint in &settings.hints {
                checks.push(Check::new("note", Grade::Note, hint));
            }
            for entry in &settings.hosted {
                checks.push(backend(entry, args.offline).await);
            }
            if let Some(telemetry) = &settings.telemetry {
                checks.extend(collector(telemetry, args.offline).await);
            }
        }
        Err(error) => {
            let report = format!("{:?}", miette::Report::new(error));
            checks.push(Check::new("configuration", Grade::Bad, report));
        }
    }
    print(&checks, args.json)?;
    match checks
        .iter()
        .filter(|check| check.grade == Grade::Bad)
        .count()
    {
        0 => Ok(()),
        bad => bail!("{bad} of {} checks failed", checks.len()),
    }
}

fn print(checks: &[Check], json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(checks)?)?;
        return Ok(());
    }
    for check in checks {
        let mark = match check.grade {
            Grade::Ok => "ok  ",
            Grade::Note => "note",
            Grade::Bad => "BAD ",
        };
        writeln!(out, "{mark}  {:<28} {}", check.what, check.found)?;
    }
    Ok(())
}

fn machine() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let memory = available_memory_bytes().map_or("unknown memory".to_owned(), |bytes| {
        format!("{} of memory available", size(bytes))
    });
    Check::new(
        "machine",
        Grade::Ok,
        format!("{cores} cores, {memory}, {}", std::env::consts::ARCH),
    )
}

#[cfg(feature = "embedded")]
fn available_memory_bytes() -> Option<u64> {
    freehold_llama::available_memory_bytes()
}

#[cfg(not(feature = "embedded"))]
fn available_memory_bytes() -> Option<u64> {
    None
}

/// The directory of the spool, and the database behind it.
async fn ledger(settings: &Settings) -> Vec<Check> {
    let what = "ledger";
    let spool = &settings.ledger.spool.dir;
    let mut folders = vec![spool.parent().unwrap_or(Path::new("."))];
    let mut checks = Vec::new();
    match &settings.ledger.database {
        Database::Sqlite(file) => {
            let folder = file.parent().unwrap_or(Path::new("."));
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        database @ Database::Postgres(_) => {
            let reached = Reader::open(database, spool).reach().await;
            checks.push(match reached {
                Ok(()) => Check::new(what, Grade::Ok, format!("{database} answers")),
                Err(error) => Check::new(
                    what,
                    Grade::Bad,
                    format!(
                        "{database}: {}; a gateway starts all the same, and keeps outcomes in its \
                         spool until it answers",
                        error.chain()
                    ),
                ),
            });
        }
    }
    checks.extend(folders.into_iter().map(|folder| {
        let made = std::fs::create_dir_all(folder);
        match made.and_then(|()| tempfile_in(folder)) {
            Ok(()) => Check::new(what, Grade::Ok, format!("{} is writable", folder.display())),
            Err(error) => Check::new(what, Grade::Bad, format!("{}: {error}", folder.display())),
        }
    }));
    checks
}

/// The server where limits and budgets are counted together with other gateways.
async fn accounts(settings: &SharedSettings) -> Check {
    let what = "accounts";
    let namespace = &settings.namespace;
    match settings.reach().await {
        Ok(()) => Check::new(
            what,
            Grade::Ok,
            format!("the shared accounts answer, namespace {namespace}"),
        ),
        Err(error) => {
            let meanwhile = match settings.stance {
                Stance::Deny => "nothing that is limited is admitted until they do",
                Stance::Allow { .. } => "until they do, this gateway admits what `outage` allows",
            };
            let found = format!(
                "the shared accounts (accounts.redis_url or $REDIS_URL) do not answer: {error}; {meanwhile}"
            );
            Check::new(what, Grade::Bad, found)
        }
    }
}

/// Writes and removes a file of our own name.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&path, b"writable")?;
    std::fs::remove_file(path)
}

fn port(settings: &Settings) -> Check {
    let what = "port";
    match std::net::TcpListener::bind(settings.listen) {
        Ok(_) => Check::new(what, Grade::Ok, format!("{} is free", settings.listen)),
        Err(error) => Check::new(
            what,
            Grade::Note,
            format!(
                "{} is in use ({error}); a gateway may be running there",
                settings.listen
            ),
        ),
    }
}

/// A model of the engine: is it there, unchanged, and does it fit?
async fn model(entry: &EmbeddedEntry) -> Check {
    let what = format!("model {}", entry.deployment.model);
    if !cfg!(feature = "embedded") {
        return Check::new(what, Grade::Bad, "this build has no embedded engine");
    }
    let path = match &entry.file {
        Some(file) => file.clone(),
        None => match verified(&entry.deployment.model).await {
            Ok(path) => path,
            Err(error) => return Check::new(what, Grade::Bad, error),
        },
    };
    fit(what, &path, entry)
}

async fn verified(name: &str) -> Result<std::path::PathBuf, String> {
    let told = |error: freehold_models::ModelError| format!("{error}. {}", error.advice());
    let store = freehold_models::Store::from_environment().map_err(told)?;
    let name = name.parse().map_err(told)?;
    let quiet = std::sync::Arc::new(freehold_models::NoProgress);
    let model = store.open_verified(&name, quiet).await.map_err(told)?;
    Ok(model.path)
}

#[cfg(feature = "embedded")]
fn fit(what: String, path: &Path, entry: &EmbeddedEntry) -> Check {
    let info = match freehold_llama::ModelInfo::read(path) {
        Ok(info) => info,
        Err(error) => return Check::new(what, Grade::Bad, error.to_string()),
    };
    let context = entry
        .context_tokens
        .unwrap_or(info.context_tokens_trained.min(8_192));
    let needed = info.memory(context, 512).total_bytes();
    let found = format!("needs {} with a context of {context} tokens", size(needed));
    match available_memory_bytes() {
        Some(available) if needed > available => Check::new(
            what,
            Grade::Bad,
            format!("{found}; {} are available", size(available)),
        ),
        _ => Check::new(what, Grade::Ok, format!("unchanged; {found}")),
    }
}

#[cfg(not(feature = "embedded"))]
fn fit(what: String, _: &Path, _: &EmbeddedEntry) -> Check {
    Check::new(what, Grade::Bad, "this build has no embedded engine")
}

/// A backend: its key, and whether it answers.
async fn backend(entry: &freehold_config::HostedEntry, offline: bool) -> Check {
    let settings = &entry.settings;
    let what = format!("backend {} ({})", settings.id, settings.site.perimeter);
    let key = match (&entry.found_by, &settings.key) {
        (Some(variable), _) => format!("key from {variable}"),
        (None, Some(_)) => "key configured".to_owned(),
        (None, None) => "no key".to_owned(),
    };
    let backend = match HostedBackend::new(settings.clone()) {
        Ok(backend) => backend,
        Err(error) => return Check::new(what, Grade::Bad, error.to_string()),
    };
    if offline {
        return Check::new(what, Grade::Note, format!("{key}; not asked (--offline)"));
    }
    match backend.probe().await {
        Ok(probe) => {
            let models = probe.models.len();
            Check::new(
                what,
                Grade::Ok,
                format!("{key}; {models} models. {}", probe.detail),
            )
        }
        Err(error) => Check::new(what, Grade::Bad, format!("{key}; {error}")),
    }
}

/// The collector: whether it takes reports. A gateway serves without it, too.
async fn collector(telemetry: &freehold_telemetry::Settings, offline: bool) -> Vec<Check> {
    let urls = crate::reports::urls(telemetry).into_iter();
    if offline {
        let note = |url| {
            Check::new(
                "telemetry",
                Grade::Note,
                format!("{url}; not asked (--offline)"),
            )
        };
        return urls.map(note).collect();
    }
    let told = freehold_telemetry::knock(telemetry).await.into_iter();
    told.zip(urls)
        .map(|((signal, answered), url)| match answered {
            Ok(()) => Check::new("telemetry", Grade::Ok, format!("{url} takes {signal}")),
            Err(why) => Check::new(
                "telemetry",
                Grade::Bad,
                format!("{url} does not take {signal}: {why}; a gateway starts all the same"),
            ),
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / 1024.0 / 1024.0;
    if mib >= 1024.0 {
        format!("{:.1} GiB", mib / 1024.0)
    } else {
        format!("{mib:.0} MiB")
    }
}

#[cfg(test)]
mod tests {
    use freehold_testkit::redis::{Persistence, Server};

    use super::*;

    #[tokio::test]
    async fn shared_accounts_are_asked() {
        let server = Server::start(Persistence::None).unwrap();
        let mut settings = SharedSettings::new(server.url());
        let check = accounts(&settings).await;
        assert_eq!(check.grade, Grade::Ok, "{check:?}");
        server.kill();
        let check = accounts(&settings).await;
        assert_eq!(check.grade, Grade::Bad);
        assert!(check.found.contains("nothing that is limited"), "{check:?}");
        // A password in the address is not told.
        settings.url = format!("redis://me:hunter2@127.0.0.1:{}", server.port()).into();
        let check = accounts(&settings).await;
        assert_eq!(check.grade, Grade::Bad);
        assert!(!check.found.contains("hunter2"), "{check:?}");
    }
}
