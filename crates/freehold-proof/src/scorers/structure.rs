//! Answers that are JSON: whether they are, whether a schema accepts them, and how many fields are right.

use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

use super::Outcome;

/// Of what is wrong, no more is told.
const REASON_CHARS_MAX: usize = 160;

/// A schema that was compiled. References lead nowhere outside of it: nothing is fetched.
#[derive(Clone, Debug)]
pub(super) struct Schema(Arc<Validator>);

impl Schema {
    pub(super) fn new(schema: &Value) -> Result<Self, String> {
        let validator = jsonschema::validator_for(schema);
        let validator = validator.map_err(|error| format!("its schema is none: {error}"))?;
        Ok(Self(Arc::new(validator)))
    }

    pub(super) fn accepts(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    pub(super) fn score(&self, answer: &str) -> Outcome {
        let value = match parsed(answer) {
            Ok(value) => value,
            Err(reason) => return Outcome::right(false, reason),
        };
        match self.0.validate(&value) {
            Ok(()) => Outcome::right(true, ""),
            Err(error) => Outcome::right(false, short(&error.to_string())),
        }
    }
}

fn parsed(answer: &str) -> Result<Value, String> {
    serde_json::from_str(answer).map_err(|error| format!("no JSON: {error}"))
}

fn short(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

pub(super) fn is_json(answer: &str) -> Outcome {
    match parsed(answer) {
        Ok(_) => Outcome::right(true, ""),
        Err(reason) => Outcome::right(false, reason),
    }
}

/// How many values that hold no others an object or a list has; a value by itself has none.
pub(super) fn fields(value: &Value) -> usize {
    match value {
        Value::Object(_) | Value::Array(_) => leaves(value),
        _ => 0,
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(map) if !map.is_empty() => map.values().map(leaves).sum(),
        Value::Array(list) if !list.is_empty() => list.iter().map(leaves).sum(),
        _ => 1,
    }
}

/// The share of the expected fields that are right, by the best of the expected values. The answer may stand in a
/// fenced block; fields that nobody expects cost nothing.
pub(super) fn share(expected: &[Value], answer: &str) -> Outcome {
    let value = match parsed(unfenced(answer)) {
        Ok(value) => value,
        Err(reason) => return Outcome::right(false, reason),
    };
    let best = expected
        .iter()
        .filter(|expected| fields(expected) > 0)
        .map(|expected| {
            let mut wrong = Vec::new();
            let right = matching(expected, Some(&value), "", &mut wrong);
            (right as f64 / fields(expected) as f64, wrong)
        })
        .max_by(|first, second| first.0.total_cmp(&second.0));
    match best {
        Some((score, wrong)) if wrong.is_empty() => Outcome::of(score, ""),
        Some((score, wrong)) => Outcome::of(score, short(&format!("wrong: {}", wrong.join(", ")))),
        None => Outcome::skipped("no object or list is expected"),
    }
}

/// Counts equal fields; notes the places of the others.
fn matching(
    expected: &Value,
    given: Option<&Value>,
    place: &str,
    wrong: &mut Vec<String>,
) -> usize {
    match expected {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(name, expected)| {
                let given = given.and_then(|given| given.get(name));
                matching(expected, given, &format!("{place}/{name}"), wrong)
            })
            .sum(),
        Value::Array(list) if !list.is_empty() => list
            .iter()
            .enumerate()
            .map(|(index, expected)| {
                let given = given.and_then(|given| given.get(index));
                matching(expected, given, &format!("{place}/{index}"), wrong)
            })
            .sum(),
        _ if given.is_some_and(|given| equal(expected, given)) => 1,
        _ => {
            wrong.push(place.to_owned());
            0
        }
    }
}

/// 1 and 1.0 are the same number.
fn equal(first: &Value, second: &Value) -> bool {
    match (first.as_f64(), second.as_f64()) {
        (Some(first), Some(second)) => (first - second).abs() == 0.0,
        _ => first == second,
    }
}

/// What stands in the one fenced block of a text; the text when there is none.
fn unfenced(text: &str) -> &str {
    let mut parts = text.split("```");
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(block), Some(_), None) => {
            block.split_once('\n').map_or(block, |(_, block)| block)
        }
        _ => text,
    }
}
