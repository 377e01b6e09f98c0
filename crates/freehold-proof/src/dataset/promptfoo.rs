//! A promptfoo configuration: one prompt template, and tests with variables and assertions.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use super::read::{BadDataSet, messages};
use super::{Assertion, Case, Gathered, Row, STRATUM};

pub(super) fn tree(text: &str) -> Result<Value, String> {
    // JSON first: its errors are clearer, and it is read faster.
    serde_json::from_str(text)
        .or_else(|_| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
}

/// Reads the tests.
pub(super) fn gather(text: &str, gathered: &mut Gathered) -> Result<(), BadDataSet> {
    let bad = BadDataSet::Promptfoo;
    let tree = tree(text).map_err(|error| bad(format!("it is neither YAML nor JSON: {error}")))?;
    let template = template(&tree).map_err(bad)?;
    let tests = tree
        .get("tests")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("`tests` must be a list, written out in the file itself".to_owned()))?;
    let default = tree.get("defaultTest").cloned().unwrap_or_default();
    for (index, test) in tests.iter().enumerate() {
        let place = format!("test {}", index + 1);
        match case(&template, &default, test) {
            Ok(case) => gathered.add(Row {
                place,
                id: None,
                case,
            }),
            Err(reason) => gathered.refuse(place, reason),
        }
    }
    Ok(())
}

fn template(tree: &Value) -> Result<String, String> {
    let one = match tree.get("prompts") {
        Some(Value::Array(prompts)) if prompts.len() == 1 => prompts.first(),
        Some(Value::Array(prompts)) => {
            return Err(format!(
                "it has {} prompts: leave one, as a data set asks one thing in one way",
                prompts.len()
            ));
        }
        one => one,
    };
    let text = match one {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(prompt) => prompt.get("raw").and_then(Value::as_str),
        None => None,
    };
    match text {
        Some(text) if text.starts_with("file://") => {
            Err("its prompt is in another file: write it into this one".to_owned())
        }
        Some(text) => Ok(text.to_owned()),
        None => Err("it has no prompt: give one template in `prompts`".to_owned()),
    }
}

fn case(template: &str, default: &Value, test: &Value) -> Result<Case, String> {
    let mut variables = Map::new();
    for vars in [default.get("vars"), test.get("vars")]
        .into_iter()
        .flatten()
    {
        let vars = vars.as_object().ok_or("its `vars` are no table")?;
        variables.extend(vars.clone());
    }
    if variables.values().any(Value::is_array) {
        return Err("a variable is a list: write one test for each value".to_owned());
    }
    let mut assertions = Vec::new();
    for asserted in [default.get("assert"), test.get("assert")]
        .into_iter()
        .flatten()
    {
        let asserted = asserted.as_array().ok_or("its `assert` is no list")?;
        for one in asserted {
            assertions.push(assertion(one)?);
        }
    }
    let expected = assertions.iter().filter_map(|assertion| match assertion {
        Assertion::Equals { value } => Some(value.clone()),
        _ => None,
    });
    let stratum = test.pointer("/metadata/stratum").and_then(Value::as_str);
    Ok(Case {
        id: String::new(),
        messages: asked(template, &variables)?,
        expected: expected.collect(),
        stratum: stratum.unwrap_or(STRATUM).to_owned(),
        tags: Vec::new(),
        expected_score: None,
        assertions,
    })
}

fn assertion(asserted: &Value) -> Result<Assertion, String> {
    serde_json::from_value(asserted.clone()).map_err(|error| {
        let kind = asserted.get("type").and_then(Value::as_str);
        format!(
            "the assertion `{}` is not understood ({error}): known are equals, contains, icontains, regex and is-json, \
             with `type` and `value` alone",
            kind.unwrap_or_default()
        )
    })
}

/// The prompt with its variables. A template that is a list of messages in JSON is one, whatever its variables hold.
fn asked(template: &str, variables: &Map<String, Value>) -> Result<Vec<super::Message>, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let render = |text: &str| {
        let rendered = environment.render_str(text, Serde(variables));
        rendered.map_err(|error| format!("the prompt cannot be filled in: {error}"))
    };
    let Ok(list @ Value::Array(_)) = serde_json::from_str(template) else {
        return messages(&Value::String(render(template)?));
    };
    let mut messages = messages(&list)?;
    for message in &mut messages {
        message.content = render(&message.content)?;
    }
    Ok(messages)
}
