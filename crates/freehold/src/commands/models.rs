//! `freehold models`: the embedded engine's models on this machine.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use freehold_models::{
    FileState, ListReport, ModelCard, ModelError, ModelName, ModelReference, ModelState, ModelUse,
    Progress, ProgressEvent, PullOptions, PullReport, PullStatus, Store, VerifyReport,
};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::usage::{align_right, printable, table};
use crate::cli::{ModelsArgs, ModelsCommand};

/// How often a long step is mentioned where there is no terminal.
const MENTION_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: ModelsArgs) -> anyhow::Result<()> {
    let store = Store::from_environment().map_err(|error| told(&error))?;
    match args.command {
        ModelsCommand::List { json } => list(&store, json),
        ModelsCommand::Pull {
            model,
            name,
            accept_licence,
            update,
            json,
        } => {
            let name = name.map(|name| parsed::<ModelName>(&name)).transpose()?;
            let options = PullOptions {
                name,
                accept_licence,
                update,
            };
            pull(&store, &model, options, json).await
        }
        ModelsCommand::Verify { model, json } => verify(&store, model.as_deref(), json).await,
        ModelsCommand::Remove { model } => remove(&store, &model).await,
        ModelsCommand::Path { model } => path(&store, &model).await,
    }
}

fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    let report = store.list().map_err(|error| told(&error))?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "{}", list_text(&report))?;
    }
    Ok(())
}

async fn pull(store: &Store, model: &str, options: PullOptions, json: bool) -> anyhow::Result<()> {
    let reference: ModelReference = parsed(model)?;
    let card = store.describe(&reference).map_err(|error| told(&error))?;
    {
        let mut notes = std::io::stderr().lock();
        match &card.licence {
            Some(licence) => writeln!(notes, "licence: {licence}")?,
            None => writeln!(notes, "licence: unknown; look it up at {}", card.source)?,
        }
    }
    let reporter = Arc::new(Reporter::new());
    let pulled = store
        .pull(&reference, options, Arc::clone(&reporter) as _)
        .await;
    reporter.finish();
    let report = pulled.map_err(|error| told(&error))?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "{}", pull_text(&report))?;
    }
    Ok(())
}

async fn verify(store: &Store, model: Option<&str>, json: bool) -> anyhow::Result<()> {
    let name = model.map(parsed::<ModelName>).transpose()?;
    let reporter = Arc::new(Reporter::new());
    let verified = store
        .verify(name.as_ref(), Arc::clone(&reporter) as _)
        .await;
    reporter.finish();
    let report = verified.map_err(|error| told(&error))?;
    {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            writeln!(out, "{}", verify_text(&report))?;
        }
    }
    if !report.is_intact {
        let damaged = report.models.iter().filter(|model| !model.is_intact);
        let names: Vec<_> = damaged.map(|model| model.name.as_str()).collect();
        bail!("not intact: {}; pull again, or remove", names.join(", "));
    }
    Ok(())
}

async fn remove(store: &Store, model: &str) -> anyhow::Result<()> {
    let report = store
        .remove(&parsed(model)?)
        .await
        .map_err(|error| told(&error))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "removed {}, {} are free again",
        report.name,
        HumanBytes(report.freed_bytes)
    )?;
    for kept in &report.kept {
        let users: Vec<_> = kept.used_by.iter().map(ModelName::as_str).collect();
        writeln!(
            out,
            "kept {}, which is also used by {}",
            kept.name,
            users.join(", ")
        )?;
    }
    Ok(())
}

/// Standard output gets the path alone, so that it can be put into another command.
async fn path(store: &Store, model: &str) -> anyhow::Result<()> {
    let path = verified(store, model).await?;
    writeln!(std::io::stdout().lock(), "{}", path.display())?;
    Ok(())
}

/// Where a model of the store lies, once its file is verified.
pub(crate) async fn verified_path(model: &str) -> anyhow::Result<PathBuf> {
    let store = Store::from_environment().map_err(|error| told(&error))?;
    verified(&store, model).await
}

async fn verified(store: &Store, model: &str) -> anyhow::Result<PathBuf> {
    let reporter = Arc::new(Reporter::new());
    let opened = store
        .open_verified(&parsed(model)?, Arc::clone(&reporter) as _)
        .await;
    reporter.finish();
    Ok(opened.map_err(|error| told(&error))?.path)
}

fn parsed<T: std::str::FromStr<Err = ModelError>>(text: &str) -> anyhow::Result<T> {
    text.parse().map_err(|error| told(&error))
}

/// What happened, why, and what to do next.
fn told(error: &ModelError) -> anyhow::Error {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let reason = source.to_string();
        // Some messages quote their cause already.
        if !message.contains(&reason) {
            message = format!("{message}: {reason}");
        }
        cause = source.source();
    }
    anyhow!("{message}\n{}", error.advice())
}

fn list_text(report: &ListReport) -> String {
    let mut table = table(["name", "state", "size", "use", "context", "licence"]);
    for card in &report.models {
        let default = if card.is_default { " (default)" } else { "" };
        table.add_row(vec![
            format!("{}{default}", card.name),
            state(card.state).to_owned(),
            size(card),
            match card.model_use {
                Some(ModelUse::Chat) => "chat",
                Some(ModelUse::Base) => "base",
                None => "-",
            }
            .to_owned(),
            card.context_tokens
                .map_or_else(|| "-".to_owned(), |tokens| tokens.to_string()),
            licence(card),
        ]);
    }
    align_right(&mut table, [2, 4]);
    format!("{}\n\nstore: {}", table.trim_fmt(), report.root.display())
}

fn state(state: ModelState) -> &'static str {
    match state {
        ModelState::Installed => "installed",
        ModelState::Damaged => "damaged",
        ModelState::Available => "available",
    }
}

fn size(card: &ModelCard) -> String {
    let about = if card.size_is_exact { "" } else { "~" };
    card.size_bytes.map_or_else(
        || "-".to_owned(),
        |bytes| format!("{about}{}", HumanBytes(bytes)),
    )
}

fn licence(card: &ModelCard) -> String {
    match &card.licence {
        Some(licence) if licence.must_accept && !card.licence_accepted => {
            format!("{} (must be accepted)", printable(&licence.name))
        }
        Some(licence) => printable(&licence.name),
        None => "unknown".to_owned(),
    }
}

fn pull_text(report: &PullReport) -> String {
    let what = match report.status {
        PullStatus::AlreadyPresent => "is there already, and intact",
        PullStatus::Pulled => "was pulled",
        PullStatus::Replaced => "was replaced",
    };
    let model = &report.model;
    let mut lines = vec![
        format!("{} {what} ({})", model.name, HumanBytes(model.size_bytes())),
        format!("path    {}", report.path.display()),
    ];
    for file in &model.files {
        lines.push(format!(
            "sha256  {}  {}",
            file.sha256,
            printable(&file.name)
        ));
    }
    lines.extend(
        report
            .notices
            .iter()
            .map(|notice| format!("note    {}", printable(notice))),
    );
    lines.join("\n")
}

fn verify_text(report: &VerifyReport) -> String {
    if report.models.is_empty() {
        return "There are no models in the store.".to_owned();
    }
    let mut lines = Vec::new();
    for model in &report.models {
        let word = if model.is_intact {
            "intact"
        } else {
            "NOT INTACT"
        };
        lines.push(format!("{}: {word}", model.name));
        for file in &model.files {
            match file.state {
                FileState::Intact => {}
                FileState::Missing => lines.push(format!("  missing: {}", file.path.display())),
                FileState::Tampered => {
                    lines.push(format!("  other bytes: {}", file.path.display()));
                    lines.push(format!("    expected {}", file.expected));
                    if let Some(found) = file.found {
                        lines.push(format!("    found    {found}"));
                    }
                }
            }
        }
    }
    lines.join("\n")
}

/// One step of a pull or a check, as it is shown.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Something to read once.
    Note(String),
    /// Bytes that move.
    Moving {
        label: String,
        done: u64,
        size: Option<u64>,
    },
}

fn step(event: &ProgressEvent) -> Option<Step> {
    let moving = |verb: &str, file: &str, done: u64, size: Option<u64>| {
        Some(Step::Moving {
            label: format!("{verb} {}", printable(file)),
            done,
            size,
        })
    };
    match event {
        ProgressEvent::Waiting { source } => Some(Step::Note(format!(
            "waiting: another process pulls {}",
            printable(source)
        ))),
        ProgressEvent::Started {
            file_name,
            resumed_bytes,
            size_bytes,
            ..
        } => moving("fetching", file_name, *resumed_bytes, *size_bytes),
        ProgressEvent::Advanced {
            file_name,
            received_bytes,
            size_bytes,
        } => moving("fetching", file_name, *received_bytes, *size_bytes),
        ProgressEvent::Retrying {
            file_name,
            attempt,
            wait_ms,
            reason,
        } => Some(Step::Note(printable(&format!(
            "{file_name}: attempt {attempt} failed ({reason}); again in {wait_ms} ms"
        )))),
        ProgressEvent::Restarted { file_name, reason } => Some(Step::Note(printable(&format!(
            "{file_name}: from the beginning, {reason}"
        )))),
        ProgressEvent::Unpacking {
            file_name,
            done_bytes,
            size_bytes,
        } => moving("unpacking", file_name, *done_bytes, *size_bytes),
        ProgressEvent::Verifying {
            file_name,
            done_bytes,
            size_bytes,
            ..
        } => moving("checking", file_name, *done_bytes, Some(*size_bytes)),
        _ => None,
    }
}

/// A bar on a terminal; a line now and then elsewhere. Both on standard error.
struct Reporter {
    bar: Option<ProgressBar>,
    mentioned: Mutex<Mentioned>,
}

/// What was shown last, and when.
#[derive(Default)]
struct Mentioned {
    label: String,
    at: Option<Instant>,
}

impl Mentioned {
    /// Whether this is a new step (`true`) and whether it is to be mentioned now.
    fn advance(&mut self, label: &str, now: Instant) -> (bool, bool) {
        let is_new = self.label != label;
        let is_due = is_new
            || self
                .at
                .is_none_or(|at| now.duration_since(at) >= MENTION_EVERY);
        if is_new {
            label.clone_into(&mut self.label);
        }
        if is_due {
            self.at = Some(now);
        }
        (is_new, is_due)
    }
}

impl Reporter {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        Self {
            bar,
            mentioned: Mutex::default(),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn moving(&self, label: &str, done: u64, size: Option<u64>) {
        let mut mentioned = self
            .mentioned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (is_new, is_due) = mentioned.advance(label, Instant::now());
        match &self.bar {
            Some(bar) => {
                if is_new {
                    bar.reset();
                    bar.set_style(style(size.is_some()));
                    bar.set_message(label.to_owned());
                }
                if let Some(size) = size {
                    bar.set_length(size);
                }
                bar.set_position(done);
            }
            None if is_due => say(&moving_line(label, done, size)),
            None => {}
        }
    }
}

impl Progress for Reporter {
    fn event(&self, event: &ProgressEvent) {
        match (step(event), &self.bar) {
            (Some(Step::Moving { label, done, size }), _) => self.moving(&label, done, size),
            (Some(Step::Note(text)), Some(bar)) => bar.suspend(|| say(&text)),
            (Some(Step::Note(text)), None) => say(&text),
            (None, _) => {}
        }
    }
}

fn say(text: &str) {
    // A pull goes on when nobody reads about it any more.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn moving_line(label: &str, done: u64, size: Option<u64>) -> String {
    match size {
        Some(size) if size > 0 => {
            let percent = u128::from(done) * 100 / u128::from(size);
            format!(
                "{label}: {} of {} ({percent} %)",
                HumanBytes(done),
                HumanBytes(size)
            )
        }
        _ => format!("{label}: {}", HumanBytes(done)),
    }
}

fn style(is_sized: bool) -> ProgressStyle {
    let template = if is_sized {
        "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{msg} {spinner} {bytes} {bytes_per_sec}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_a_new_step_and_then_now_and_then() {
        let begin = Instant::now();
        let mut mentioned = Mentioned::default();
        assert_eq!(mentioned.advance("fetching a", begin), (true, true));
        assert_eq!(
            mentioned.advance("fetching a", begin + MENTION_EVERY / 2),
            (false, false)
        );
        assert_eq!(
            mentioned.advance("fetching a", begin + MENTION_EVERY),
            (false, true)
        );
        assert_eq!(
            mentioned.advance("checking a", begin + MENTION_EVERY),
            (true, true)
        );
    }

    #[test]
    fn progress_is_told_in_words() {
        let event = ProgressEvent::Advanced {
            file_name: "m.gguf".to_owned(),
            received_bytes: 1_048_576,
            size_bytes: Some(4_194_304),
        };
        let Some(Step::Moving { label, done, size }) = step(&event) else {
            panic!("{event:?}")
        };
        assert_eq!(
            moving_line(&label, done, size),
            "fetching m.gguf: 1.00 MiB of 4.00 MiB (25 %)"
        );
        assert_eq!(moving_line("fetching m", 0, Some(0)), "fetching m: 0 B");
    }

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let error = "no/such/thing".parse::<ModelReference>().unwrap_err();
        let text = format!("{:#}", told(&error));
        assert!(
            text.starts_with(&error.to_string()) && text.ends_with(&error.advice()),
            "{text}"
        );
    }

    #[test]
    fn the_catalogue_is_listed_with_its_default() {
        let root = tempfile::tempdir().unwrap();
        let cards = freehold_models::Catalogue::built_in();
        let mut settings = freehold_models::StoreSettings::from_environment().unwrap();
        settings.root = root.path().to_owned();
        let text = list_text(&Store::new(settings).unwrap().list().unwrap());
        for model in &cards.models {
            assert!(text.contains(model.name.as_str()), "{text}");
        }
        assert!(
            text.contains(&format!("{} (default)", freehold_models::DEFAULT_MODEL)),
            "{text}"
        );
    }
}
