//! Where a workload is read from: files of any known format, or the gateway's own ledger. What reads
//! traffic as a command's input goes through [`read`].

mod parquet;

use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use freehold_store::{Reader, StoreSettings};
use freehold_types::Outcome;
use freehold_workload::{
    Field, Format, ImportOptions, Imported, Importer, Scenario, Selection, TimeUnit,
};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;

use crate::cli::OnlyArgs;
use crate::commands::outcomes::{PAGE, Pages};
use crate::commands::time_range;
use crate::commands::usage::filters;

/// How to read traffic.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Reading traffic")]
pub(crate) struct ReadArgs {
    /// What the files are [default: found out from their content]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Which column holds what: time, end, input, output, cached, flow, model, session, cost or blocks
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = mapping)]
    pub(crate) map: Vec<(Field, String)>,
    /// What numbers in the column of times count: s, ms, us or ns [default: by their size]
    #[arg(long, value_name = "UNIT")]
    pub(crate) time_unit: Option<TimeUnit>,
    /// From when: `24h`, `7d`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when (exclusive)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Keep this share of the requests, 0 to 1, whole conversations [default: 1]
    #[arg(long, value_name = "SHARE")]
    pub(crate) share: Option<f64>,
    /// Accept so many requests [default: 20000000]
    #[arg(long, value_name = "COUNT")]
    pub(crate) requests_max: Option<usize>,
    /// Input tokens of one request, where an export has only sums [default: 2000]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) input_tokens_assumed: Option<u32>,
    /// Where chance decides, it decides the same for the same number [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Change the traffic: x10, -90%, launch=5, growth=10%x12, season=office, week=office; in this
    /// order when there are several
    #[arg(long, value_name = "SCENARIO", allow_hyphen_values = true)]
    pub(crate) scenario: Vec<Scenario>,
    /// What counts; of files, only the flow can be asked for.
    #[command(flatten)]
    pub(crate) only: OnlyArgs,
}

impl ReadArgs {
    /// The seed that was given, or the default.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| ImportOptions::default().seed)
    }

    fn options(&self) -> ImportOptions {
        let default = ImportOptions::default();
        ImportOptions {
            format: self.format,
            map: self.map.clone(),
            time_unit: self.time_unit,
            seed: self.seed(),
            share: self.share.unwrap_or(default.share),
            requests_max: self.requests_max.unwrap_or(default.requests_max),
            input_tokens_assumed: self
                .input_tokens_assumed
                .unwrap_or(default.input_tokens_assumed),
            ..default
        }
    }
}

fn mapping(text: &str) -> Result<(Field, String), String> {
    let (field, column) = text
        .split_once('=')
        .ok_or_else(|| "write FIELD=COLUMN, such as time=created".to_owned())?;
    Ok((field.parse()?, column.to_owned()))
}

/// Reads files, or the ledger when its settings are given. `-` is standard input.
///
/// # Errors
/// When nothing can be made of it; the message says what to change.
pub(crate) async fn read(
    files: &[PathBuf],
    ledger: Option<&StoreSettings>,
    args: &ReadArgs,
) -> Result<Imported> {
    read_at(files, ledger, args, OffsetDateTime::now_utc()).await
}

/// The same at a moment, which `24h` and the ledger's end refer to.
pub(crate) async fn read_at(
    files: &[PathBuf],
    ledger: Option<&StoreSettings>,
    args: &ReadArgs,
    now: OffsetDateTime,
) -> Result<Imported> {
    let range = time_range::between(args.since.as_deref(), args.until.as_deref(), now)?;
    let importer = Importer::new(args.options())?;
    let mut imported = match ledger {
        Some(settings) if files.is_empty() => {
            read_ledger(settings, importer, args, range, now).await?
        }
        Some(_) => bail!("name files or --ledger, not both"),
        None if files.is_empty() => bail!("name a file to read, or --ledger for the own ledger"),
        None => read_files(files, importer, args, range)?,
    };
    for scenario in &args.scenario {
        let requests_max = args.options().requests_max;
        let (workload, note) = scenario.apply(&imported.workload, args.seed(), requests_max)?;
        imported.workload = workload;
        imported.report.notes.push(note);
    }
    Ok(imported)
}

async fn read_ledger(
    settings: &StoreSettings,
    mut importer: Importer,
    args: &ReadArgs,
    (since, until): (Option<u64>, Option<u64>),
    now: OffsetDateTime,
) -> Result<Imported> {
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let now_unix_ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let until = until.unwrap_or(u64::MAX).min(now_unix_ms.saturating_add(1));
    let mut pages = Pages::new(&reader, since, until, filters(&args.only), PAGE);
    let progress = bar(None, "{spinner} {pos} requests, {per_sec}");
    let unread = || format!("cannot read the ledger {}", settings.database);
    while let Some(outcomes) = pages.next().await.with_context(unread)? {
        // What a rollout repeats unseen is nobody's workload.
        let is_own = |outcome: &&Outcome| {
            let part = outcome.rollout.as_ref();
            part.is_none_or(|part| part.mirror_of.is_none())
        };
        for outcome in outcomes.iter().filter(is_own) {
            importer.add_outcome(outcome)?;
        }
        progress.set_position(importer.requests() as u64);
    }
    progress.finish_and_clear();
    importer.looked_until(until);
    importer
        .finish()
        .with_context(|| format!("nothing to work with in the ledger {}", settings.database))
}

fn read_files(
    files: &[PathBuf],
    mut importer: Importer,
    args: &ReadArgs,
    (since_unix_ms, until_unix_ms): (Option<u64>, Option<u64>),
) -> Result<Imported> {
    let other = OnlyArgs {
        flow: None,
        ..args.only.clone()
    };
    if filters(&other) != freehold_store::Filters::default() {
        bail!("of files only the flow is known: ask for --flow, or read the ledger with --ledger");
    }
    for path in files {
        add_file(path, &mut importer)?;
    }
    let mut imported = importer.finish()?;
    let selection = Selection {
        since_unix_ms,
        until_unix_ms,
        flows: args.only.flow.iter().cloned().collect(),
    };
    if selection != Selection::default() {
        imported.workload = imported.workload.select(&selection)?;
        imported.report.requests = imported.workload.arrivals.len() as u64;
    }
    Ok(imported)
}

fn add_file(path: &Path, importer: &mut Importer) -> Result<()> {
    let name = path.display().to_string();
    if path == Path::new("-") {
        return Ok(importer.add(std::io::stdin().lock(), "standard input")?);
    }
    let mut file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let metadata = file
        .metadata()
        .with_context(|| format!("cannot open {name}"))?;
    if metadata.is_dir() {
        bail!("{name} is a directory: name the files in it");
    }
    let mut magic = [0; 4];
    let count = file
        .read(&mut magic)
        .with_context(|| format!("cannot read {name}"))?;
    file.seek(SeekFrom::Start(0))
        .with_context(|| format!("cannot read {name} from its beginning"))?;
    if &magic[..count] == b"PAR1" {
        return parquet::add(file, &name, importer);
    }
    let progress = bar(
        Some(metadata.len()),
        "{wide_bar} {bytes} of {total_bytes}, {eta} left",
    );
    importer.add(progress.wrap_read(file), &name)?;
    progress.finish_and_clear();
    Ok(())
}

/// A bar where somebody looks.
pub(crate) fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => ProgressBar::hidden(),
    }
}
