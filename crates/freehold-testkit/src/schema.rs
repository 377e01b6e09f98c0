//! Makes up the smallest value that fits a JSON schema.

use serde_json::{Map, Value, json};

/// Deeper schemas (recursive ones, mostly) get `null`.
const DEPTH_MAX: usize = 16;

/// A value that fits `schema`; `word` fills free strings.
pub(crate) fn instance(schema: &Value, word: &str) -> Value {
    build(schema, schema, word, 0)
}

fn build(schema: &Value, root: &Value, word: &str, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str() {
        let target = path
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| build(target, root, word, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    if let Some(option) = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|name| schema[*name].get(0))
    {
        return build(option, root, word, depth + 1);
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind.unwrap_or(if schema.get("properties").is_some() {
        "object"
    } else {
        "string"
    }) {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let built =
                fields.map(|(name, field)| (name.clone(), build(field, root, word, depth + 1)));
            Value::Object(built.collect::<Map<_, _>>())
        }
        "array" => {
            let count = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 64);
            (0..count)
                .map(|_| build(&schema["items"], root, word, depth + 1))
                .collect()
        }
        "integer" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(0.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(word),
    }
}
