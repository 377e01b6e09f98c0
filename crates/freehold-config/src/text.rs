//! Strings of the configuration, in which `${NAME}` stands for an environment variable.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};

/// A string after `${NAME}` was replaced by the environment's value and `$$` by `$`.
///
/// It may be a secret: its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(..)")
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        expand(&written, |name| std::env::var(name).ok())
            .map(Self)
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A string in which ${NAME} stands for an environment variable; $$ is a $."
        })
    }
}

/// Replaces `${NAME}` and `$$`.
fn expand(written: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after
                .find('}')
                .ok_or("`${` without `}`; write `$$` for a plain `$`")?;
            let (name, default) = match after[..end].split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (&after[..end], None),
            };
            let value = lookup(name).filter(|value| !value.is_empty());
            match (value, default) {
                (Some(value), _) => expanded.push_str(&value),
                (None, Some(default)) => expanded.push_str(default),
                (None, None) => {
                    return Err(format!(
                        "the environment variable {name} is not set; export it, \
                         or give a default as ${{{name}:-value}}"
                    ));
                }
            }
            rest = &after[end + 1..];
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Result<&str, &str>) {
        let environment = |name: &str| (name == "KEY").then(|| "s3cret".to_owned());
        match (expand(written, environment), expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn variables_defaults_and_dollars() {
        check("plain", Ok("plain"));
        check("a-${KEY}-b", Ok("a-s3cret-b"));
        check("${OTHER:-fallback}", Ok("fallback"));
        check("$$5 and $6", Ok("$5 and $6"));
        check("${OTHER}", Err("OTHER is not set"));
        check("${KEY", Err("without `}`"));
    }
}
