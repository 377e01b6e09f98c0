//! Reading a JSON object field by field: what is known is taken out with its type checked, what is
//! left over is by construction what this crate does not know, and is kept.

use std::fmt;
use std::ops::RangeInclusive;

use freehold_types::Error;
use freehold_types::request::Extra;
use serde_json::{Map, Value};

/// Where in the request a value stands. A list on the stack, so that naming a place costs nothing
/// until something is wrong with it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The request as a whole.
    pub(crate) const ROOT: Path<'static> = Path {
        parent: None,
        segment: Segment::Root,
    };

    /// A field of this object.
    pub(crate) fn key<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path {
            parent: Some(self),
            segment: Segment::Key(key),
        }
    }

    /// An item of this array.
    pub(crate) fn index<'b>(&'b self, index: usize) -> Path<'b>
    where
        'a: 'b,
    {
        Path {
            parent: Some(self),
            segment: Segment::Index(index),
        }
    }

    /// The value here breaks a rule: `` `messages[2].role` must be ... ``.
    pub(crate) fn invalid(&self, rule: impl fmt::Display) -> Error {
        let path = self.to_string();
        if path.is_empty() {
            return Error::invalid(path, format!("the body {rule}"));
        }
        let message = format!("`{path}` {rule}");
        Error::invalid(path, message)
    }

    /// The value here has the wrong type.
    pub(crate) fn wrong_type(&self, expected: &str, found: &Value) -> Error {
        self.invalid(format_args!("must be {expected}, not {}", type_name(found)))
            .with_code("invalid_type")
    }

    /// The target cannot express what stands here.
    pub(crate) fn unsupported(&self, reason: impl fmt::Display) -> Error {
        let path = self.to_string();
        let message = format!("`{path}` {reason}");
        Error::unsupported(path, message).with_code("unsupported_parameter")
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Key(key) => write_key(f, self.parent.is_some_and(|p| !p.is_root()), key),
            Segment::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Path<'_> {
    fn is_root(&self) -> bool {
        matches!(self.segment, Segment::Root)
    }
}

/// The longest piece of a client's own key that an error repeats.
const KEY_SHOWN_CHARS: usize = 64;

/// Writes a key into a path. Keys come from the client: control characters and endless keys must
/// not reach a log or a header through an error.
pub(crate) fn write_key(f: &mut impl fmt::Write, dot: bool, key: &str) -> fmt::Result {
    if dot {
        f.write_char('.')?;
    }
    for character in key.chars().take(KEY_SHOWN_CHARS) {
        if character.is_control() {
            write!(f, "{}", character.escape_default())?;
        } else {
            f.write_char(character)?;
        }
    }
    if key.chars().nth(KEY_SHOWN_CHARS).is_some() {
        f.write_str("...")?;
    }
    Ok(())
}

/// What JSON calls the value, with its article.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// An object whose known fields are taken out one by one. `null` counts as absent.
pub(crate) struct Fields<'p> {
    map: Map<String, Value>,
    path: Path<'p>,
}

impl<'p> Fields<'p> {
    /// Fails when the value is not an object.
    pub(crate) fn new(value: Value, path: Path<'p>) -> Result<Self, Error> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => Err(path.wrong_type("an object", &other)),
        }
    }

    /// Where the field stands.
    pub(crate) fn at<'b>(&'b self, key: &'b str) -> Path<'b> {
        self.path.key(key)
    }

    /// The field as it is.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Looks without taking.
    pub(crate) fn peek(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The field, which must be there.
    pub(crate) fn require(&mut self, key: &str) -> Result<Value, Error> {
        self.take(key).ok_or_else(|| {
            self.at(key)
                .invalid("is required")
                .with_code("missing_required_parameter")
        })
    }

    /// A text.
    pub(crate) fn string(&mut self, key: &str) -> Result<Option<String>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.at(key).wrong_type("a string", &other)),
        }
    }

    /// A text that must be there.
    pub(crate) fn require_string(&mut self, key: &str) -> Result<String, Error> {
        match self.require(key)? {
            Value::String(text) => Ok(text),
            other => Err(self.at(key).wrong_type("a string", &other)),
        }
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, key: &str) -> Result<Option<bool>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(other) => Err(self.at(key).wrong_type("a boolean", &other)),
        }
    }

    /// An array; absent counts as empty.
    pub(crate) fn array(&mut self, key: &str) -> Result<Vec<Value>, Error> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.at(key).wrong_type("an array", &other)),
        }
    }

    /// An object.
    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.at(key).wrong_type("an object", &other)),
        }
    }

    /// A whole number in a range. `100.0` counts as whole.
    pub(crate) fn integer(
        &mut self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let Value::Number(number) = &value else {
            return Err(self.at(key).wrong_type("an integer", &value));
        };
        match whole(number) {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            None if number.as_f64().is_some_and(|float| float.fract() != 0.0) => {
                Err(self.at(key).invalid("must be an integer, not a fraction"))
            }
            _ => Err(self.out_of_range(key, range.start(), range.end())),
        }
    }

    /// A number in a range.
    pub(crate) fn number(
        &mut self,
        key: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            Some(_) => Err(self.out_of_range(key, range.start(), range.end())),
            None => Err(self.at(key).wrong_type("a number", &value)),
        }
    }

    /// What was not taken.
    pub(crate) fn rest(self) -> Extra {
        self.map
    }

    fn out_of_range(&self, key: &str, low: &dyn fmt::Display, high: &dyn fmt::Display) -> Error {
        self.at(key)
            .invalid(format_args!("must be between {low} and {high}"))
            .with_code("out_of_range")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the float is whole and within the range in which f64 is exact"
)]
fn whole(number: &serde_json::Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}
