//! Rows of the three forms: our own lines, lines of OpenAI's evals, and a promptfoo configuration.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::differences::Score;

use super::{Assertion, Case, Gathered, Message, Read, Role, Row, STRATUM, promptfoo};

/// How a data set is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Lines `{"input": "..."}` or `{"messages": [...]}` with `expected`, `assert`, `stratum`, `tags`, `id`.
    Freehold,
    /// Lines `{"input": [...], "ideal": "..."}`, as in OpenAI's evals.
    OpenaiEvals,
    /// A promptfoo configuration, YAML or JSON: one prompt, and tests with `vars` and `assert`.
    Promptfoo,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "freehold" => Ok(Self::Freehold),
            "openai-evals" => Ok(Self::OpenaiEvals),
            "promptfoo" => Ok(Self::Promptfoo),
            _ => Err(format!(
                "`{name}` is no form of data sets: they are freehold, openai-evals and promptfoo"
            )),
        }
    }
}

/// A text that is no data set at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDataSet {
    /// There is nothing in it.
    #[error("it is empty: give one JSON object a line, or a promptfoo configuration")]
    Empty,
    /// It is none of the forms.
    #[error(
        "it is in no form that is known: its first line is no object with `input` or `messages`, and there are no \
         promptfoo `tests` in it"
    )]
    UnknownForm,
    /// A promptfoo configuration that cannot be used.
    #[error("{0}")]
    Promptfoo(String),
}

/// Reads a data set; its form is found out from its content when none is named.
///
/// # Errors
/// When the text as a whole is no data set. Single rows that are no cases are told in [`Read::bad`].
pub fn read(text: &str, form: Option<Form>) -> Result<Read, BadDataSet> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(BadDataSet::Empty);
    }
    let form = form
        .or_else(|| found(text))
        .ok_or(BadDataSet::UnknownForm)?;
    let mut gathered = Gathered::default();
    if form == Form::Promptfoo {
        promptfoo::gather(text, &mut gathered)?;
        return Ok(gathered.done(form));
    }
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("line {}", index + 1);
        match row(line, form) {
            Ok((id, case)) => gathered.add(Row { place, id, case }),
            Err(reason) => gathered.refuse(place, reason),
        }
    }
    Ok(gathered.done(form))
}

fn found(text: &str) -> Option<Form> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    // One bad line at the start must not hide the form of the others.
    for line in lines.take(20) {
        let Ok(Value::Object(row)) = serde_json::from_str(line) else {
            continue;
        };
        if row.contains_key("ideal") {
            return Some(Form::OpenaiEvals);
        }
        if row.contains_key("input") || row.contains_key("messages") {
            return Some(Form::Freehold);
        }
    }
    promptfoo::tree(text)
        .is_ok_and(|tree| tree.get("tests").is_some())
        .then_some(Form::Promptfoo)
}

/// A line of our own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnRow {
    id: Option<Value>,
    input: Option<Value>,
    messages: Option<Value>,
    expected: Option<Value>,
    #[serde(default, rename = "assert")]
    assertions: Vec<Assertion>,
    stratum: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    expected_score: Option<Score>,
}

fn row(line: &str, form: Form) -> Result<(Option<String>, Case), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Value::Object(row) = value else {
        return Err("it is no object".to_owned());
    };
    if form == Form::OpenaiEvals {
        return openai(&row);
    }
    let row: OwnRow =
        serde_json::from_value(Value::Object(row)).map_err(|error| error.to_string())?;
    let asked = match (row.input, row.messages) {
        (Some(input), None) | (None, Some(input)) => input,
        (Some(_), Some(_)) => return Err("it has both `input` and `messages`".to_owned()),
        (None, None) => return Err("it has neither `input` nor `messages`".to_owned()),
    };
    let id = row.id.map(|id| id_text(&id)).transpose()?;
    let case = Case {
        id: String::new(),
        messages: messages(&asked)?,
        expected: any_of(row.expected),
        assertions: row.assertions,
        stratum: row.stratum.unwrap_or_else(|| STRATUM.to_owned()),
        tags: row.tags,
        expected_score: row.expected_score,
    };
    Ok((id, case))
}

fn openai(row: &Map<String, Value>) -> Result<(Option<String>, Case), String> {
    let asked = row.get("input").ok_or("it has no `input`")?;
    let ideal = row.get("ideal").ok_or("it has no `ideal`")?;
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let case = Case {
        id: String::new(),
        messages: messages(asked)?,
        expected: any_of(Some(ideal.clone())),
        assertions: Vec::new(),
        stratum: text("stratum").unwrap_or_else(|| STRATUM.to_owned()),
        tags: Vec::new(),
        expected_score: None,
    };
    let id = row.get("id").map(id_text).transpose()?;
    Ok((id, case))
}

fn id_text(id: &Value) -> Result<String, String> {
    match id {
        Value::String(id) if !id.is_empty() => Ok(id.clone()),
        Value::Number(id) => Ok(id.to_string()),
        _ => Err("its `id` is neither a text nor a number".to_owned()),
    }
}

/// A list means that any of its values will do.
fn any_of(expected: Option<Value>) -> Vec<Value> {
    match expected {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values,
        Some(value) => vec![value],
    }
}

/// A text is one message of the user.
pub(super) fn messages(asked: &Value) -> Result<Vec<Message>, String> {
    let messages = match asked {
        Value::String(text) => vec![Message {
            role: Role::User,
            content: text.clone(),
        }],
        Value::Array(messages) => messages.iter().map(message).collect::<Result<_, _>>()?,
        _ => return Err("what is asked is neither a text nor a list of messages".to_owned()),
    };
    if messages
        .iter()
        .all(|message| message.content.trim().is_empty())
    {
        return Err("nothing is asked".to_owned());
    }
    Ok(messages)
}

fn message(message: &Value) -> Result<Message, String> {
    let role = message.get("role").cloned().unwrap_or_default();
    let role = serde_json::from_value(role)
        .map_err(|_| "a message has no role system, developer, user or assistant".to_owned())?;
    let content = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().map(|part| part.get("text")?.as_str());
            let texts: Option<Vec<&str>> = texts.collect();
            texts
                .ok_or("a message has parts that are no text")?
                .concat()
        }
        _ => return Err("a message has no text as its content".to_owned()),
    };
    Ok(Message { role, content })
}
