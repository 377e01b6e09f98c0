//! Bounds that keep the gateway's own life safe. They are wider than any vendor's: what a vendor
//! refuses on top of them is for the vendor to say.

use freehold_types::Error;
use serde_json::Value;

use crate::fields::Fields;

/// No model generates more in one answer; more would only make budget sums overflow.
const MAX_TOKENS: i64 = 10_000_000;
const CHOICES_MAX: i64 = 128;
const STOPS_MAX: usize = 64;
const STOP_BYTES_MAX: usize = 4096;
const TOP_LOGPROBS_MAX: i64 = 20;
const NAME_BYTES_MAX: usize = 256;

/// The model's name: not empty, no control characters, at most 256 bytes.
pub(crate) fn model(fields: &mut Fields<'_>) -> Result<String, Error> {
    name(fields, "model")
}

/// A name that must be there.
pub(crate) fn name(fields: &mut Fields<'_>, key: &str) -> Result<String, Error> {
    let name = fields.require_string(key)?;
    if name.is_empty() {
        return Err(fields.at(key).invalid("must not be empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        let rule = format_args!("must not be longer than {NAME_BYTES_MAX} bytes");
        return Err(fields.at(key).invalid(rule));
    }
    if name.chars().any(char::is_control) {
        return Err(fields.at(key).invalid("must not hold control characters"));
    }
    Ok(name)
}

/// A bound on generated tokens.
pub(crate) fn max_tokens(
    fields: &mut Fields<'_>,
    key: &str,
    least: i64,
) -> Result<Option<u64>, Error> {
    let bound = fields.integer(key, least..=MAX_TOKENS)?;
    Ok(bound.and_then(|bound| u64::try_from(bound).ok()))
}

/// `n`.
pub(crate) fn choices(fields: &mut Fields<'_>) -> Result<Option<u32>, Error> {
    let n = fields.integer("n", 1..=CHOICES_MAX)?;
    Ok(n.and_then(|n| u32::try_from(n).ok()))
}

/// `top_logprobs`.
pub(crate) fn top_logprobs(fields: &mut Fields<'_>) -> Result<Option<u32>, Error> {
    let top = fields.integer("top_logprobs", 0..=TOP_LOGPROBS_MAX)?;
    Ok(top.and_then(|top| u32::try_from(top).ok()))
}

/// `top_k`; -1 (vLLM) and 0 (llama.cpp) both mean "all tokens", that is: nothing said.
pub(crate) fn top_k(fields: &mut Fields<'_>) -> Result<Option<u32>, Error> {
    let k = fields.integer("top_k", -1..=i64::from(u32::MAX))?;
    Ok(k.and_then(|k| u32::try_from(k).ok()).filter(|k| *k > 0))
}

/// `temperature`.
pub(crate) fn temperature(fields: &mut Fields<'_>) -> Result<Option<f64>, Error> {
    fields.number("temperature", 0.0..=100.0)
}

/// A probability.
pub(crate) fn share(fields: &mut Fields<'_>, key: &str) -> Result<Option<f64>, Error> {
    fields.number(key, 0.0..=1.0)
}

/// A penalty that is added to a logit.
pub(crate) fn penalty(fields: &mut Fields<'_>, key: &str) -> Result<Option<f64>, Error> {
    fields.number(key, -100.0..=100.0)
}

/// Stop texts: one text, or an array of them.
pub(crate) fn stop(fields: &mut Fields<'_>, key: &str) -> Result<Vec<String>, Error> {
    let values = match fields.take(key) {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(values)) => values,
        Some(other) => {
            return Err(fields
                .at(key)
                .wrong_type("a string or an array of strings", &other));
        }
    };
    let path = fields.at(key);
    if values.len() > STOPS_MAX {
        let rule = format_args!("must not hold more than {STOPS_MAX} texts");
        return Err(path.invalid(rule).with_code("out_of_range"));
    }
    let check = |(index, value)| match value {
        Value::String(text) if text.is_empty() => {
            Err(path.index(index).invalid("must not be empty"))
        }
        Value::String(text) if text.len() > STOP_BYTES_MAX => {
            let rule = format_args!("must not be longer than {STOP_BYTES_MAX} bytes");
            Err(path.index(index).invalid(rule).with_code("out_of_range"))
        }
        Value::String(text) => Ok(text),
        other => Err(path.index(index).wrong_type("a string", &other)),
    };
    values.into_iter().enumerate().map(check).collect()
}
