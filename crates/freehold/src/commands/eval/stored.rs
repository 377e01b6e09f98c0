//! `freehold eval dataset`: a data set of stored prompts, as they are stored.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use freehold_config::Settings;
use freehold_loops::strata;
use freehold_proof::dataset::{Case, DataSet, Form, Message, Role, read};
use freehold_route::{difficulty, features};
use freehold_store::prompts::{PromptError, PromptReader, ShownPrompt, StoredPrompt};
use freehold_types::audit::AdministrativeAct;
use freehold_types::request::ResponseFormat;
use freehold_types::{Dialect, FinishReason, Part, Request, Role as Speaker};
use freehold_wire::{Limits, decode_request, decode_response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::audit_door::Recorder;
use crate::cli::EvalDatasetArgs;
use crate::commands::export::Place;
use crate::commands::prompts::{act, filter, told};
use crate::commands::usage::table;

/// So many times the wanted cases are opened: strata need something to choose from.
const OPENED_PER_CASE: u64 = 5;
/// The tag of cases whose expected answer a person wrote.
const EDITED: &str = "edited";

/// What cases expect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing.
    Nothing,
    /// What was answered, or what a person made of it.
    Best,
    /// What was answered, whatever a person made of it.
    Given,
}

pub(super) async fn run(args: &EvalDatasetArgs, settings: Option<Settings>) -> Result<()> {
    let expect = if args.expect_answers {
        Expect::Best
    } else {
        Expect::Nothing
    };
    let told = make(args, expect, settings).await?;
    writeln!(std::io::stdout().lock(), "{told}")?;
    Ok(())
}

/// Writes the data set; what there is to tell of it.
pub(super) async fn make(
    args: &EvalDatasetArgs,
    expect: Expect,
    settings: Option<Settings>,
) -> Result<String> {
    let settings = settings.context("stored prompts need a configuration")?;
    let filter = filter(&args.only, None)?;
    // Before anything is read, so that nobody's text is read for a file that cannot be written.
    let place = Place::new(&args.out, args.force)?;
    let mut reader = PromptReader::open(settings.prompts).await.map_err(told)?;
    let mut listed = reader.list(&filter).await.map_err(told)?;
    ensure!(
        !listed.is_empty(),
        "nothing is stored that fits: `freehold prompts list` shows what is"
    );
    let stored = listed.len();
    listed.sort_by_key(|about| rank(args.seed, about));
    listed.truncate(usize::try_from(args.limit.saturating_mul(OPENED_PER_CASE))?);
    let tenant = filter.tenant.as_deref().unwrap_or("all");
    let object = format!("{tenant}/{}", listed.len());
    Recorder::open(&settings.audit)?.record(act(AdministrativeAct::PromptsExported, &object))?;
    let mut gathered = Gathered::default();
    for about in listed {
        let shown = match reader.read(about).await {
            // Erased, or expired, since it was listed.
            Err(PromptError::Erased { .. }) => {
                gathered.leave("erased meanwhile");
                continue;
            }
            read => read.map_err(told)?,
        };
        gathered.add(&shown, expect);
    }
    let opened = gathered.opened;
    let set = gathered.set()?;
    let set = set.sample(usize::try_from(args.limit)?, args.seed);
    let mut writer = place.writer()?;
    let unwritten = || format!("cannot write {}", args.out.display());
    for case in set.cases() {
        writeln!(writer, "{}", row(case)).with_context(unwritten)?;
    }
    writer.flush().with_context(unwritten)?;
    drop(writer);
    place.keep()?;
    text(args, &set, (stored, opened), &gathered)
}

/// By the seed alone: who asks again gets the same sample.
fn rank(seed: u64, about: &StoredPrompt) -> [u8; 32] {
    Sha256::new()
        .chain_update(seed.to_be_bytes())
        .chain_update(about.request_id.as_bytes())
        .finalize()
        .into()
}

#[derive(Default)]
struct Gathered {
    rows: Vec<Value>,
    /// What was asked, where it stands among the rows, and whether a person wrote what is expected.
    seen: HashMap<String, (usize, bool)>,
    opened: u64,
    originals: u64,
    left_out: BTreeMap<&'static str, u64>,
}

impl Gathered {
    fn leave(&mut self, reason: &'static str) {
        self.opened += 1;
        *self.left_out.entry(reason).or_default() += 1;
    }

    fn add(&mut self, shown: &ShownPrompt, expect: Expect) {
        match asked(shown, expect) {
            Ok(row) => {
                let is_edited = expect == Expect::Best && edited(shown).is_some();
                match self.seen.entry(row["messages"].to_string()) {
                    Entry::Vacant(place) => {
                        place.insert((self.rows.len(), is_edited));
                        self.opened += 1;
                        self.originals += u64::from(shown.about.what == "original");
                        self.rows.push(row);
                    }
                    Entry::Occupied(mut other) => {
                        let (index, was_edited) = other.get_mut();
                        // Of the same question, the answer that a person wrote stays.
                        if is_edited && !*was_edited {
                            *was_edited = true;
                            self.rows[*index] = row;
                        }
                        self.leave("asks what another one asks");
                    }
                }
            }
            Err(reason) => self.leave(reason),
        }
    }

    /// Read as any data set is, so that ids and the version are made in one way.
    fn set(&self) -> Result<DataSet> {
        let left = || {
            let left: Vec<String> = self
                .left_out
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            left.join(", ")
        };
        ensure!(
            !self.rows.is_empty(),
            "none of the stored prompts makes a case: {}",
            left()
        );
        let lines: Vec<String> = self.rows.iter().map(Value::to_string).collect();
        Ok(read(&lines.join("\n"), Some(Form::Freehold))?.set)
    }
}

/// A case, or why it makes none.
fn asked(shown: &ShownPrompt, expect: Expect) -> Result<Value, &'static str> {
    let dialect = dialect(&shown.about.dialect).ok_or("in a dialect that is not known")?;
    let body = Bytes::copy_from_slice(shown.request.get().as_bytes());
    let request = decode_request(dialect, body, &Limits::default())
        .map_err(|_| "that cannot be read as requests")?;
    if !request.tools.is_empty() {
        return Err("with tools");
    }
    let messages = messages(&request)?;
    let mut row = json!({
        "messages": messages,
        "stratum": stratum(&request, &messages),
        "tags": [shown.about.what],
    });
    if let ResponseFormat::JsonSchema { schema, .. } = &request.response_format {
        row["assert"] = json!([{"type": "is-json", "value": schema}]);
    }
    if expect == Expect::Nothing {
        return Ok(row);
    }
    // What a person made of it is a better answer than any model's.
    match edited(shown).filter(|_| expect == Expect::Best) {
        Some(edited) => {
            row["expected"] = json!(edited);
            row["tags"] = json!([shown.about.what, EDITED]);
        }
        None => row["expected"] = json!(answer(dialect, shown)?),
    }
    Ok(row)
}

/// The answer as a person says it should have been: the latest.
fn edited(shown: &ShownPrompt) -> Option<&str> {
    let mut said = shown.feedback.iter().rev();
    said.find_map(|said| said.edited_answer.as_deref())
}

fn dialect(name: &str) -> Option<Dialect> {
    let all = [
        Dialect::OpenaiChat,
        Dialect::OpenaiCompletions,
        Dialect::AnthropicMessages,
    ];
    all.into_iter().find(|dialect| dialect.as_str() == name)
}

fn messages(request: &Request) -> Result<Vec<Message>, &'static str> {
    if request.prompt.is_some() {
        return Err("that are bare prompts, not chats");
    }
    let mut messages = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Speaker::System => Role::System,
            Speaker::Developer => Role::Developer,
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
            Speaker::Tool => return Err("with tools"),
        };
        let content = words(&message.parts).ok_or("with more than text")?;
        messages.push(Message { role, content });
    }
    if messages
        .iter()
        .all(|message| message.content.trim().is_empty())
    {
        return Err("without any text");
    }
    Ok(messages)
}

/// The text of parts; none when they hold something else. Thoughts are no part of what is asked or answered.
fn words(parts: &[Part]) -> Option<String> {
    let mut words = String::new();
    for part in parts {
        match part {
            Part::Text { text, .. } | Part::Refusal { text } => words.push_str(text),
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {}
            _ => return None,
        }
    }
    Some(words)
}

fn answer(dialect: Dialect, shown: &ShownPrompt) -> Result<String, &'static str> {
    let body = shown.answer.as_ref();
    let body = body.filter(|_| shown.about.end == "complete");
    let body = body.ok_or("without a whole answer")?;
    let response = decode_response(dialect, body.get().as_bytes())
        .map_err(|_| "with an answer that cannot be read")?;
    let choice = response.choices.first().ok_or("without a whole answer")?;
    if !matches!(
        choice.finish,
        Some(FinishReason::Stop | FinishReason::StopSequence)
    ) {
        return Err("without a whole answer");
    }
    let words = words(&choice.parts).ok_or("with more than text")?;
    if words.trim().is_empty() {
        return Err("without a whole answer");
    }
    Ok(words)
}

/// A language, as far as it can be told, and a difficulty: `deu/medium`.
fn stratum(request: &Request, messages: &[Message]) -> String {
    let last = messages
        .iter()
        .rev()
        .find(|message| message.role == Role::User);
    let text = last.map_or("", |message| message.content.as_str());
    let language = strata::language(text).unwrap_or("other");
    let difficulty = strata::difficulty(difficulty(&features(request)));
    format!("{language}/{difficulty}")
}

/// A case as a line of a data set.
fn row(case: &Case) -> Value {
    let mut row = json!({
        "id": case.id, "messages": case.messages, "stratum": case.stratum, "tags": case.tags,
    });
    if !case.expected.is_empty() {
        row["expected"] = json!(case.expected);
    }
    if !case.assertions.is_empty() {
        row["assert"] = json!(case.assertions);
    }
    row
}

fn text(
    args: &EvalDatasetArgs,
    set: &DataSet,
    (stored, opened): (usize, u64),
    gathered: &Gathered,
) -> Result<String> {
    let version = set.version()?;
    let is_edited = |case: &&Case| case.tags.iter().any(|tag| tag == EDITED);
    let edited = set.cases().iter().filter(is_edited).count();
    if args.json {
        let told = json!({
            "out": args.out, "version": version, "cases": set.cases().len(), "strata": set.strata(),
            "stored": stored, "opened": opened, "originals": gathered.originals,
            "edited": edited, "left_out": gathered.left_out,
        });
        return Ok(serde_json::to_string_pretty(&told)?);
    }
    let mut out = format!(
        "{} cases are in {}, version {}: {opened} of {stored} stored prompts were opened",
        set.cases().len(),
        args.out.display(),
        &version[..12]
    );
    if gathered.originals > 0 {
        write!(
            out,
            "\n{} of the opened are stored as the client wrote them, not masked",
            gathered.originals
        )?;
    }
    if edited > 0 {
        write!(
            out,
            "\n{edited} of the cases expect what a person made of the answer, not a model's answer"
        )?;
    }
    for (reason, count) in &gathered.left_out {
        write!(out, "\nleft out: {count} {reason}")?;
    }
    let mut rows = table(["stratum", "cases"]);
    for (stratum, count) in set.strata() {
        rows.add_row([stratum.to_owned(), count.to_string()]);
    }
    write!(out, "\n{}", rows.trim_fmt())?;
    Ok(out)
}
