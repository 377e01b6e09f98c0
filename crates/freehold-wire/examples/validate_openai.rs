//! Checks that what we write in OpenAI's dialects is what OpenAI's own API description promises.
//!
//! `cargo run -p freehold-wire --example validate_openai -- openapi.json[.gz]` translates every
//! fixture of the golden tests and validates the answers, stream chunks, errors and model lists.
//! It exits with 1 when something violates its schema. Without an argument the path is taken from
//! `OPENAI_SPEC`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use freehold_types::{Dialect, Error, ErrorKind, Event};
use freehold_wire::{
    AnswerContext, ModelEntry, StreamDecoder, StreamEncoder, decode_error, decode_response,
    encode_error, encode_model, encode_models, encode_response,
};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

const DIALECTS: [Dialect; 3] = [
    Dialect::OpenaiChat,
    Dialect::AnthropicMessages,
    Dialect::OpenaiCompletions,
];

fn main() -> anyhow::Result<ExitCode> {
    let path = std::env::args().nth(1);
    let path = path.or_else(|| std::env::var("OPENAI_SPEC").ok());
    let path = path.context("give the path of OpenAI's API description")?;
    let mut check = Check::new(&read_description(Path::new(&path))?)?;
    check.responses()?;
    check.streams()?;
    check.errors()?;
    check.models()?;
    check.report()
}

fn read_description(path: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut text)?;
        return Ok(serde_json::from_slice(&text)?);
    }
    Ok(serde_json::from_slice(&bytes)?)
}

struct Check {
    validators: BTreeMap<&'static str, Validator>,
    checked: BTreeMap<&'static str, usize>,
    violations: Vec<String>,
}

impl Check {
    fn new(description: &Value) -> anyhow::Result<Self> {
        let mut components = description
            .get("components")
            .cloned()
            .context("the description has no components")?;
        allow_null(&mut components);
        let names = [
            "CreateChatCompletionResponse",
            "CreateChatCompletionStreamResponse",
            "CreateCompletionResponse",
            "ErrorResponse",
            "ListModelsResponse",
            "Model",
        ];
        let mut validators = BTreeMap::new();
        for name in names {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("#/components/schemas/{name}"),
                "components": components,
            });
            let validator = jsonschema::validator_for(&schema)
                .map_err(|error| anyhow!("the schema {name} cannot be used: {error}"))?;
            // A schema that finds nothing wrong with nothing would prove nothing.
            anyhow::ensure!(!validator.is_valid(&json!({})), "{name} permits everything");
            validators.insert(name, validator);
        }
        Ok(Self {
            validators,
            checked: BTreeMap::new(),
            violations: Vec::new(),
        })
    }

    fn check(&mut self, schema: &'static str, what: &str, body: &[u8]) -> anyhow::Result<()> {
        let value: Value = serde_json::from_slice(body)?;
        let validator = self.validators.get(schema).context("no such schema")?;
        *self.checked.entry(schema).or_default() += 1;
        for error in validator.iter_errors(&value) {
            let place = error.instance_path();
            self.violations
                .push(format!("{schema}: {what}: at `{place}`: {error}"));
        }
        Ok(())
    }

    fn responses(&mut self) -> anyhow::Result<()> {
        for (dialect, path) in fixtures("responses")? {
            let Ok(response) = decode_response(dialect, &fs::read(&path)?) else {
                continue;
            };
            let what = path.display().to_string();
            for (target, schema) in [
                (Dialect::OpenaiChat, "CreateChatCompletionResponse"),
                (Dialect::OpenaiCompletions, "CreateCompletionResponse"),
            ] {
                self.check(
                    schema,
                    &what,
                    &encode_response(target, &response, &context()),
                )?;
            }
        }
        Ok(())
    }

    fn streams(&mut self) -> anyhow::Result<()> {
        for (dialect, path) in fixtures("streams")? {
            let mut decoder = StreamDecoder::new(dialect, false);
            let mut frames = Vec::new();
            let pushed = decoder.push(&fs::read(&path)?, &mut frames);
            let failure = pushed.and_then(|()| decoder.finish(&mut frames)).err();
            let events: Vec<Event> = frames.into_iter().flat_map(|frame| frame.events).collect();
            for (target, schema) in [
                (Dialect::OpenaiChat, "CreateChatCompletionStreamResponse"),
                (Dialect::OpenaiCompletions, "CreateCompletionResponse"),
            ] {
                let what = path.display().to_string();
                self.stream(target, schema, &what, &events, failure.as_ref())?;
            }
        }
        Ok(())
    }

    fn stream(
        &mut self,
        target: Dialect,
        schema: &'static str,
        what: &str,
        events: &[Event],
        failure: Option<&Error>,
    ) -> anyhow::Result<()> {
        let mut encoder = StreamEncoder::new(target, context());
        let mut out = Vec::new();
        for event in events {
            encoder.push(event, &mut out);
        }
        if let Some(failure) = failure {
            encoder.error(failure, &mut out);
        }
        for line in String::from_utf8(out)?.lines() {
            match line.strip_prefix("data: ") {
                None | Some("[DONE]") => {}
                Some(data) if data.starts_with("{\"error\"") => {
                    self.check("ErrorResponse", what, data.as_bytes())?;
                }
                // Only chat has a schema of its own for chunks; the legacy one is shared, and its
                // `finish_reason` is null until the end although the description forbids it.
                Some(data) if target == Dialect::OpenaiCompletions => {
                    let mut chunk: Value = serde_json::from_str(data)?;
                    for choice in chunk["choices"].as_array_mut().into_iter().flatten() {
                        if choice["finish_reason"].is_null() {
                            choice["finish_reason"] = "stop".into();
                        }
                    }
                    if chunk["usage"].is_null() {
                        chunk.as_object_mut().map(|chunk| chunk.remove("usage"));
                    }
                    self.check(schema, what, chunk.to_string().as_bytes())?;
                }
                Some(data) => self.check(schema, what, data.as_bytes())?,
            }
        }
        Ok(())
    }

    fn errors(&mut self) -> anyhow::Result<()> {
        for (dialect, path) in fixtures("errors")? {
            let fixture: Value = serde_json::from_slice(&fs::read(&path)?)?;
            let status = fixture["status"].as_u64().unwrap_or(500);
            let status = u16::try_from(status)?;
            let error = decode_error(dialect, status, None, fixture["body"].to_string().into());
            let body = encode_error(Dialect::OpenaiChat, status, &error, "req_1");
            self.check("ErrorResponse", &path.display().to_string(), &body)?;
        }
        for kind in [
            ErrorKind::InvalidRequest,
            ErrorKind::PolicyRefused,
            ErrorKind::Internal,
        ] {
            let error = Error::new(kind, "why").with_param("messages[0]");
            let body = encode_error(Dialect::OpenaiChat, 400, &error, "req_1");
            self.check("ErrorResponse", kind.as_str(), &body)?;
        }
        Ok(())
    }

    fn models(&mut self) -> anyhow::Result<()> {
        let model = ModelEntry {
            id: "auto".to_owned(),
            created_s: 1_700_000_000,
            owned_by: "freehold".to_owned(),
            display_name: "Auto".to_owned(),
            context_window_tokens: Some(8192),
        };
        let one = encode_model(Dialect::OpenaiChat, &model);
        self.check("Model", "one model", &one)?;
        for count in 0..3 {
            let models = vec![model.clone(); count];
            let list = encode_models(Dialect::OpenaiChat, &models);
            self.check("ListModelsResponse", "a list of models", &list)?;
        }
        Ok(())
    }

    fn report(&self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        for (schema, count) in &self.checked {
            writeln!(out, "{count:>5} checked against {schema}")?;
        }
        for violation in &self.violations {
            writeln!(out, "violation: {violation}")?;
        }
        writeln!(out, "{} violations", self.violations.len())?;
        Ok(if self.violations.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// The description says `nullable: true` in places, which JSON Schema does not know.
fn allow_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(allow_null),
        Value::Object(map) => {
            map.values_mut().for_each(allow_null);
            if map.remove("nullable") == Some(Value::Bool(true)) {
                let schema = Value::Object(std::mem::take(map));
                *map = Map::from_iter([("anyOf".to_owned(), json!([schema, {"type": "null"}]))]);
            }
        }
        _ => {}
    }
}

fn context() -> AnswerContext {
    AnswerContext {
        id: "answer-1".to_owned(),
        model: "shown-model".to_owned(),
        created_s: 1_700_000_000,
        include_usage: true,
    }
}

fn fixtures(kind: &str) -> anyhow::Result<Vec<(Dialect, PathBuf)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    for dialect in DIALECTS {
        let Ok(entries) = fs::read_dir(root.join(dialect.as_str()).join(kind)) else {
            continue;
        };
        for entry in entries {
            found.push((dialect, entry?.path()));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    anyhow::ensure!(!found.is_empty(), "no fixtures of {kind} were found");
    Ok(found)
}
