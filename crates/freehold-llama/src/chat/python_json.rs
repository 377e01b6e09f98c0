//! JSON as Python's `json.dumps(..., ensure_ascii=False)` writes it, which models were trained on.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// One line, with a blank after commas and colons.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// JSON on one line.
pub(crate) fn one_line(value: &Value) -> String {
    write(value, OneLine)
}

/// JSON on many lines, each level indented by `indent` blanks.
pub(crate) fn indented(value: &Value, indent: usize) -> String {
    let blanks = " ".repeat(indent.min(16));
    write(value, PrettyFormatter::with_indent(blanks.as_bytes()))
}

fn write(value: &Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    // Writing a JSON value to memory cannot fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_looks_as_from_python() {
        let value = json!({"a": [1, "ä<b>"], "c": {}, "d": null});
        assert_eq!(
            one_line(&value),
            r#"{"a": [1, "ä<b>"], "c": {}, "d": null}"#
        );
        assert_eq!(indented(&json!({"a": 1}), 4), "{\n    \"a\": 1\n}");
    }
}
