//! Numbers in texts.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Outcome;

/// Digits, perhaps in groups of three by commas, a point and an exponent.
static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?").ok());

/// The numbers in a text, in order, written as in English.
fn numbers(text: &str) -> Vec<f64> {
    let Some(pattern) = NUMBER.as_ref() else {
        return Vec::new();
    };
    let found = pattern.find_iter(text).filter_map(|found| {
        let number: f64 = found.as_str().replace(',', "").parse().ok()?;
        let is_negative = has_minus(&text[..found.start()]);
        Some(if is_negative { -number } else { number })
    });
    found.collect()
}

/// Whether a text ends with a sign; a hyphen after a letter or a digit is none (`GPT-4`, `10-12`).
fn has_minus(before: &str) -> bool {
    let Some(rest) = before.strip_suffix(['-', '\u{2212}']) else {
        return false;
    };
    !rest.ends_with(char::is_alphanumeric)
}

pub(super) fn expected(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => numbers(text).last().copied(),
        _ => None,
    }
}

/// Right when the last number in the answer is within either tolerance of an expected one.
pub(super) fn score(values: &[Value], answer: &str, absolute: f64, relative: f64) -> Outcome {
    let Some(given) = numbers(answer).last().copied() else {
        return Outcome::right(false, "no number in the answer");
    };
    let is_close = |expected: f64| {
        let tolerance = absolute.max(relative * expected.abs());
        // Numbers such as 0.1 are not exact: a hair more is allowed.
        (given - expected).abs() <= tolerance + 1e-12 * expected.abs().max(1.0)
    };
    let is_right = values.iter().filter_map(expected).any(is_close);
    Outcome::right(is_right, format!("found {given}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_texts() {
        for (text, wanted) in [
            ("", vec![]),
            ("none", vec![]),
            ("The total is $1,234.50.", vec![1234.5]),
            ("-5", vec![-5.0]),
            ("it fell by \u{2212}3.5 %", vec![-3.5]),
            ("GPT-4 says 7", vec![4.0, 7.0]),
            ("10-12", vec![10.0, 12.0]),
            ("1e3 and 2.5E-2", vec![1000.0, 0.025]),
            ("1,2 and 12,345,678", vec![1.0, 2.0, 12_345_678.0]),
            ("= +8.", vec![8.0]),
        ] {
            assert_eq!(numbers(text), wanted, "{text}");
        }
    }
}
