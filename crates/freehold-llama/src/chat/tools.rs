//! How models are told about tools, and how their calls are kept to the tools' schemas.

use serde_json::{Value, json};

use super::python_json::one_line;
use super::template::ChatTemplate;
use crate::engine::constraint::json_options;
use crate::error::RequestError;

/// Calls in one turn, where several are allowed: keeps a small model from calling for ever.
const CALLS_MAX: usize = 8;

/// A function that the client runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// JSON Schema of an object.
    pub(crate) parameters: Value,
    /// Whether a schema that cannot be enforced in full is an error.
    pub(crate) is_strict: bool,
}

/// How a model writes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFormat {
    /// `<tool_call>{"name": ..., "arguments": ...}</tool_call>`: Qwen, Hermes and others, and the
    /// form that models are taught whose template knows no tools.
    Tagged,
    /// The JSON object alone: Llama 3 and others.
    Bare {
        /// The key of the arguments.
        arguments_key: &'static str,
    },
}

/// How the model behind `template` writes its calls.
pub(crate) fn call_format(template: &ChatTemplate) -> CallFormat {
    if !template.takes_tools() || template.mentions("<tool_call>") {
        CallFormat::Tagged
    } else if template.mentions("\"parameters\"") {
        CallFormat::Bare {
            arguments_key: "parameters",
        }
    } else {
        CallFormat::Bare {
            arguments_key: "arguments",
        }
    }
}

impl Function {
    /// The function in the form that templates know.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description.as_deref().unwrap_or_default(),
                "parameters": self.parameters,
            },
        })
    }
}

/// Tells a model about tools whose template does not.
pub(crate) fn explain(functions: &[Value]) -> String {
    let mut text =
        "You can call functions to help with the request. These are the functions, each \
                    as JSON with a JSON Schema of its arguments:\n<tools>\n"
            .to_owned();
    for function in functions {
        text.push_str(&one_line(function));
        text.push('\n');
    }
    text.push_str(
        "</tools>\nTo call a function, answer with its name and its arguments as one JSON object \
         inside <tool_call> tags:\n<tool_call>\n{\"name\": \"function_name\", \"arguments\": {}}\n\
         </tool_call>\nThe result comes inside <tool_response> tags.",
    );
    text
}

/// A call as text, for models whose template does not write calls.
pub(crate) fn write_call(name: &str, arguments: &Value) -> String {
    let call = json!({"name": name, "arguments": arguments});
    format!("<tool_call>\n{}\n</tool_call>", one_line(&call))
}

/// A grammar for an answer that consists of calls of `functions`.
pub(crate) fn calls_grammar(
    functions: &[Function],
    format: CallFormat,
    allows_several: bool,
) -> Result<String, RequestError> {
    let body = body_rules(functions, format)?;
    let start = match format {
        CallFormat::Tagged if allows_several => {
            format!("start: call (\"\\n\" call){{0,{}}}", CALLS_MAX - 1)
        }
        CallFormat::Tagged | CallFormat::Bare { .. } => "start: call".to_owned(),
    };
    let call = match format {
        CallFormat::Tagged => "call: \"<tool_call>\\n\" body \"\\n</tool_call>\"",
        CallFormat::Bare { .. } => "call: body",
    };
    Ok(format!("{start}\n{call}\n{body}"))
}

/// A grammar for what follows the first `<tool_call>` of an answer.
pub(crate) fn rest_of_calls_grammar(
    functions: &[Function],
    allows_several: bool,
) -> Result<String, RequestError> {
    let body = body_rules(functions, CallFormat::Tagged)?;
    let more = if allows_several {
        format!(
            " (\"\\n<tool_call>\\n\" body \"\\n</tool_call>\"){{0,{}}}",
            CALLS_MAX - 1
        )
    } else {
        String::new()
    };
    Ok(format!(
        "start: \"\\n\"? body \"\\n\"? \"</tool_call>\"{more}\n{body}"
    ))
}

/// A grammar for an answer that is either calls or JSON that fits a schema.
pub(crate) fn calls_or_answer_grammar(
    functions: &[Function],
    format: CallFormat,
    allows_several: bool,
    schema: &Value,
) -> Result<String, RequestError> {
    let calls = calls_grammar(functions, format, allows_several)?;
    let calls = calls.replacen("start:", "calls:", 1);
    let answer = one_line(&with_options(schema, true));
    Ok(format!(
        "start: calls | answer\nanswer: %json {answer}\n{calls}"
    ))
}

/// One rule per function, so that references inside its schema keep their root.
fn body_rules(functions: &[Function], format: CallFormat) -> Result<String, RequestError> {
    if functions.is_empty() {
        return Err(RequestError::Constraint(
            "there is no function to call".into(),
        ));
    }
    let arguments_key = match format {
        CallFormat::Tagged => "arguments",
        CallFormat::Bare { arguments_key } => arguments_key,
    };
    let mut names = Vec::new();
    let mut rules = String::new();
    for (index, function) in functions.iter().enumerate() {
        let name = Value::String(function.name.clone());
        // The beginning of the call as JSON, written as a text of the grammar, which is JSON again.
        let head = format!("{{\"name\": {name}, \"{arguments_key}\": ");
        let head = Value::String(head);
        let parameters = without_inventions(&function.parameters);
        let schema = one_line(&with_options(&parameters, !function.is_strict));
        rules.push_str(&format!(
            "body_{index}: {head} arguments_{index} \"}}\"\narguments_{index}: %json {schema}\n"
        ));
        names.push(format!("body_{index}"));
    }
    Ok(format!("body: {}\n{rules}", names.join(" | ")))
}

/// Keywords under which a closed object could forbid what a neighbour asks for.
const COMPOSING: [&str; 6] = [
    "\"allOf\":",
    "\"if\":",
    "\"dependentSchemas\":",
    "\"unevaluatedProperties\":",
    "\"patternProperties\":",
    "\"not\":",
];

/// Arguments with no more than the names that the schema gives, where it leaves others open: a small model otherwise
/// invents further ones until its tokens are used up. Grammars that llama.cpp makes of schemas do the same. A schema
/// that composes objects is left as it is.
fn without_inventions(schema: &Value) -> Value {
    let mut closed = schema.clone();
    let text = schema.to_string();
    if !COMPOSING.iter().any(|keyword| text.contains(keyword)) {
        close_objects(&mut closed);
    }
    closed
}

fn close_objects(schema: &mut Value) {
    let Value::Object(schema) = schema else {
        return;
    };
    let composes = ["anyOf", "oneOf", "$ref"]
        .iter()
        .any(|key| schema.contains_key(*key));
    if schema.contains_key("properties") && !composes {
        schema
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    for (key, below) in schema.iter_mut() {
        match (key.as_str(), below) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                named.values_mut().for_each(close_objects);
            }
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(listed)) => {
                listed.iter_mut().for_each(close_objects);
            }
            ("items", below) => close_objects(below),
            _ => {}
        }
    }
}

fn with_options(schema: &Value, lenient: bool) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(object) = &mut schema {
        object.insert("x-guidance".into(), json_options(lenient));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> Function {
        Function {
            name: "get \"it\"".into(),
            description: None,
            parameters: json!({"type": "object", "properties": {"x": {"type": "integer"}}}),
            is_strict: false,
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_grammar() {
        let grammar = calls_grammar(&[function()], CallFormat::Tagged, true).expect("a grammar");
        assert!(
            grammar.contains(r#"body_0: "{\"name\": \"get \\\"it\\\"\", \"arguments\": ""#),
            "{grammar}"
        );
        assert!(grammar.contains("{0,7}"));
        assert!(calls_grammar(&[], CallFormat::Tagged, true).is_err());
    }

    #[test]
    fn arguments_are_not_invented() {
        let open = json!({"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": {}}}},
            "either": {"anyOf": [{"type": "object", "properties": {"y": {}}}, {"type": "null"}]},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "free": {"type": "object"},
        }});
        assert_eq!(
            without_inventions(&open),
            json!({"type": "object", "properties": {
                "list": {"type": "array", "items":
                    {"type": "object", "properties": {"x": {}}, "additionalProperties": false}},
                "either": {"anyOf": [
                    {"type": "object", "properties": {"y": {}}, "additionalProperties": false},
                    {"type": "null"}]},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "free": {"type": "object"},
            }, "additionalProperties": false})
        );
        let said = json!({"properties": {"x": {}}, "additionalProperties": true});
        assert_eq!(without_inventions(&said), said);
        let composed = json!({"allOf": [{"properties": {"x": {}}}, {"properties": {"y": {}}}]});
        assert_eq!(without_inventions(&composed), composed);
    }

    #[test]
    fn formats_follow_the_template() {
        let of = |source| {
            let template = ChatTemplate::new(Some(source), String::new(), String::new());
            call_format(&template.expect("parses"))
        };
        assert_eq!(of("{{ messages }}"), CallFormat::Tagged);
        assert_eq!(of("{{ tools }}<tool_call>"), CallFormat::Tagged);
        assert_eq!(
            of("{{ tools }} {\"parameters\": x}"),
            CallFormat::Bare {
                arguments_key: "parameters"
            }
        );
        assert_eq!(
            of("{{ tools }}"),
            CallFormat::Bare {
                arguments_key: "arguments"
            }
        );
    }
}
