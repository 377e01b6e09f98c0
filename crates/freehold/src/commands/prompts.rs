//! `freehold prompts`: what is stored, shown and handed on. Whoever sees text is in the audit trail
//! before it is shown.

use std::io::{BufWriter, Write};

use anyhow::{Context, bail};
use freehold_config::{AuditChoice, Settings};
use freehold_store::prompts::{
    PromptFilter, PromptReader, PromptSettings, ShownPrompt, StoredPrompt, rotate,
};
use freehold_types::RequestId;
use freehold_types::audit::{Administration, AdministrativeAct, AuditName};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::time_range;
use super::usage::table;
use crate::audit_door::Recorder;
use crate::cli::{PromptsArgs, PromptsCommand, StoredArgs};

/// Runs one of the commands on the store of the configuration.
pub(crate) async fn run(args: PromptsArgs, settings: Settings) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (store, audit) = (settings.prompts, &settings.audit);
    match args.command {
        PromptsCommand::List { only, last, json } => {
            let filter = filter(&only, Some(last))?;
            list(store, &filter, json, &mut out).await?;
        }
        PromptsCommand::Show { request, json } => {
            show(store, audit, request, json, &mut out).await?;
        }
        PromptsCommand::Export { only } => {
            let filter = filter(&only, None)?;
            export(store, audit, &filter, &mut out).await?;
        }
        PromptsCommand::RotateKey { json } => rotate_key(&store, audit, json, &mut out).await?,
    }
    out.flush()?;
    Ok(())
}

pub(super) fn filter(only: &StoredArgs, limit: Option<u32>) -> anyhow::Result<PromptFilter> {
    let moment = |text: &Option<String>, flag: &'static str| {
        let text = text.as_deref();
        text.map(|text| time_range::parse(text, OffsetDateTime::now_utc()).context(flag))
            .transpose()
    };
    Ok(PromptFilter {
        tenant: only.tenant.clone(),
        subject: only.subject.clone(),
        conversation: only.conversation.clone(),
        flow: only.flow.clone(),
        from_unix_ms: moment(&only.since, "--since")?,
        to_unix_ms: moment(&only.until, "--until")?,
        limit,
    })
}

async fn list(
    store: PromptSettings,
    filter: &PromptFilter,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let listed = match PromptReader::open(store).await {
        Ok(mut reader) => reader.list(filter).await.map_err(told)?,
        Err(freehold_store::prompts::PromptError::Nothing { .. }) => vec![],
        Err(error) => return Err(told(error)),
    };
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(());
    }
    if listed.is_empty() {
        writeln!(out, "Nothing is stored that fits.")?;
        return Ok(());
    }
    let mut rows = table([
        "request",
        "begun",
        "expires",
        "tenant",
        "flow",
        "deployment",
        "label",
        "text",
        "answer",
        "bytes",
    ]);
    for one in &listed {
        rows.add_row(cells(one));
    }
    writeln!(out, "{}", rows.trim_fmt())?;
    Ok(())
}

fn cells(one: &StoredPrompt) -> [String; 10] {
    [
        one.request_id.to_string(),
        moment(one.started_unix_ms),
        moment(one.expires_unix_ms),
        one.tenant.clone(),
        one.flow.clone().unwrap_or_default(),
        one.deployment.clone().unwrap_or_default(),
        one.sensitivity.clone(),
        one.what.clone(),
        one.end.clone(),
        one.stored_bytes.to_string(),
    ]
}

/// Whole seconds, as people read them.
pub(super) fn moment(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

async fn show(
    store: PromptSettings,
    audit: &AuditChoice,
    request: RequestId,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut reader = PromptReader::open(store).await.map_err(told)?;
    let Some(about) = reader.find(request).await.map_err(told)? else {
        bail!(
            "nothing is stored of {request}: policy did not let it be stored, it was not in the \
             sample, it has expired, or it was erased"
        );
    };
    let recorder = Recorder::open(audit)?;
    recorder.record(act(AdministrativeAct::PromptShown, &request.to_string()))?;
    let shown = reader.read(about).await.map_err(told)?;
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
    } else {
        print(&shown, out)?;
    }
    Ok(())
}

fn print(shown: &ShownPrompt, out: &mut dyn Write) -> anyhow::Result<()> {
    let about = &shown.about;
    let optional = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    writeln!(out, "request      {}", about.request_id)?;
    writeln!(out, "begun        {}", moment(about.started_unix_ms))?;
    writeln!(out, "expires      {}", moment(about.expires_unix_ms))?;
    writeln!(out, "tenant       {}", about.tenant)?;
    writeln!(out, "flow         {}", optional(&about.flow))?;
    writeln!(out, "deployment   {}", optional(&about.deployment))?;
    writeln!(out, "label        {}", about.sensitivity)?;
    writeln!(out, "text         {}", about.what)?;
    writeln!(out, "\nasked ({}):", about.dialect)?;
    writeln!(out, "{}", pretty(&shown.request)?)?;
    match &shown.answer {
        Some(answer) => writeln!(out, "\nanswered ({}):\n{}", about.end, pretty(answer)?)?,
        None => writeln!(out, "\nnot answered")?,
    }
    for said in &shown.feedback {
        let (when, what, label) = (moment(said.given_unix_ms), &said.what, &said.sensitivity);
        writeln!(out, "\nfeedback {} ({when}, {what}, {label}):", said.id)?;
        if let Some(comment) = &said.comment {
            writeln!(out, "comment: {comment}")?;
        }
        if let Some(edited) = &said.edited_answer {
            writeln!(out, "edited answer:\n{edited}")?;
        }
    }
    Ok(())
}

fn pretty(body: &RawValue) -> anyhow::Result<String> {
    let body: serde_json::Value = serde_json::from_str(body.get())?;
    Ok(serde_json::to_string_pretty(&body)?)
}

async fn export(
    store: PromptSettings,
    audit: &AuditChoice,
    filter: &PromptFilter,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut reader = PromptReader::open(store).await.map_err(told)?;
    let listed = reader.list(filter).await.map_err(told)?;
    let tenant = filter.tenant.as_deref().unwrap_or("all");
    let object = format!("{tenant}/{}", listed.len());
    let recorder = Recorder::open(audit)?;
    recorder.record(act(AdministrativeAct::PromptsExported, &object))?;
    // The oldest first, as they happened.
    for about in listed.into_iter().rev() {
        let shown = match reader.read(about).await {
            // Erased, or expired, since it was listed.
            Err(freehold_store::prompts::PromptError::Erased { .. }) => continue,
            read => read.map_err(told)?,
        };
        writeln!(out, "{}", serde_json::to_string(&shown)?)?;
    }
    Ok(())
}

async fn rotate_key(
    store: &PromptSettings,
    audit: &AuditChoice,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let recorder = Recorder::open(audit)?;
    let rotated = rotate(store).await.map_err(told)?;
    recorder.record(act(
        AdministrativeAct::MasterKeyChanged,
        &rotated.master_key,
    ))?;
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rotated)?)?;
    } else {
        writeln!(
            out,
            "{} tenants' keys are now wrapped by {}; {} were before.",
            rotated.rewrapped, rotated.master_key, rotated.unchanged
        )?;
    }
    Ok(())
}

/// An act of a command; the recorder says whose.
pub(super) fn act(act: AdministrativeAct, object: &str) -> Administration {
    Administration {
        act,
        actor: AuditName::new("cli"),
        after: None,
        before: None,
        object: AuditName::new(object),
    }
}

/// With its causes, which say what is to be done.
pub(super) fn told(error: freehold_store::prompts::PromptError) -> anyhow::Error {
    anyhow::anyhow!("{}", error.chain())
}
