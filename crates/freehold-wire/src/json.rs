//! JSON in: one parse into a tree that refuses what could be read in two ways (duplicate keys,
//! invalid UTF-8) or could exhaust the stack (depth); and a scanner that finds the top-level
//! members in a text already parsed, so that single bytes of it can be replaced.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use freehold_types::{Error, ErrorKind};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::fields::write_key;

/// Bounds on what is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The deepest nesting of arrays and objects; more than 127 is not possible.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 * 1024 * 1024,
            depth: 128,
        }
    }
}

/// Parses a request body.
pub(crate) fn parse(body: &[u8], limits: &Limits) -> Result<Value, Error> {
    if body.len() > limits.body_bytes {
        let message = format!(
            "the body has {} bytes; the limit is {}",
            body.len(),
            limits.body_bytes
        );
        return Err(Error::new(ErrorKind::TooLarge, message).with_code("body_too_large"));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let message = format!(
            "the body is not valid UTF-8 at byte {}",
            error.valid_up_to()
        );
        Error::new(ErrorKind::InvalidRequest, message).with_code("invalid_utf8")
    })?;
    let fault = RefCell::new(None);
    let tree = Tree {
        levels_left: limits.depth,
        fault: &fault,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = tree
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| match fault.into_inner() {
        Some(fault) => fault.into_error(limits),
        None => syntax_error(&error, limits),
    })
}

fn syntax_error(error: &serde_json::Error, limits: &Limits) -> Error {
    let text = error.to_string();
    if text.starts_with("recursion limit") {
        return too_deep(String::new(), limits);
    }
    let message = format!("the body is not valid JSON: {text}");
    Error::new(ErrorKind::InvalidRequest, message).with_code("invalid_json")
}

fn too_deep(path: String, limits: &Limits) -> Error {
    let levels = limits.depth.min(127);
    let message = format!("the body nests arrays and objects deeper than {levels} levels");
    let error = Error::new(ErrorKind::InvalidRequest, message).with_code("json_too_deep");
    if path.is_empty() {
        error
    } else {
        error.with_param(path)
    }
}

/// What the tree refused, and the way to it from the inside out.
struct Fault {
    what: Refused,
    way: Vec<String>,
}

enum Refused {
    DuplicateKey,
    TooDeep,
}

impl Fault {
    fn into_error(self, limits: &Limits) -> Error {
        let path = self.way.iter().rev().fold(String::new(), |path, step| {
            let dot = if path.is_empty() || step.starts_with('[') {
                ""
            } else {
                "."
            };
            path + dot + step
        });
        match self.what {
            // The way to something too deep is itself as long as the limit.
            Refused::TooDeep => too_deep(path.chars().take(64).collect(), limits),
            Refused::DuplicateKey => {
                let message = format!("`{path}` is given twice");
                Error::invalid(path, message).with_code("duplicate_key")
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tree<'f> {
    levels_left: usize,
    fault: &'f RefCell<Option<Fault>>,
}

impl Tree<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self {
                levels_left,
                ..self
            }),
            None => Err(self.refuse(Refused::TooDeep, None)),
        }
    }

    fn refuse<E: serde::de::Error>(self, what: Refused, step: Option<String>) -> E {
        let way = step.into_iter().collect();
        self.fault.replace(Some(Fault { what, way }));
        E::custom("refused")
    }

    /// Adds a step to the way while a fault travels up.
    fn note(self, step: impl FnOnce() -> String) {
        if let Some(fault) = self.fault.borrow_mut().as_mut() {
            fault.way.push(step());
        }
    }
}

fn shown_key(key: &str) -> String {
    let mut shown = String::new();
    // Writing to a String cannot fail.
    let _ = write_key(&mut shown, false, key);
    shown
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        loop {
            match access.next_element_seed(inner) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    self.note(|| format!("[{}]", items.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(self.refuse(Refused::DuplicateKey, Some(shown_key(&key))));
            }
            let value = access.next_value_seed(inner).inspect_err(|_| {
                self.note(|| shown_key(&key));
            })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// One member of an object, as places in the text.
#[derive(Debug)]
pub(crate) struct Member<'t> {
    /// The key, unescaped.
    pub(crate) key: Cow<'t, str>,
    /// The key's place, quotes included.
    pub(crate) key_span: Range<usize>,
    /// The value's place.
    pub(crate) value_span: Range<usize>,
}

/// The members of the object that starts at `start` (white space allowed before it). The text must
/// be valid JSON; on any other text the answer is `None`.
pub(crate) fn members(text: &[u8], start: usize) -> Option<Vec<Member<'_>>> {
    let mut scan = Scan { text, at: start };
    let mut found = Vec::new();
    scan.expect(b'{')?;
    if scan.peek()? == b'}' {
        return Some(found);
    }
    loop {
        scan.peek()?;
        let key_span = scan.string()?;
        scan.expect(b':')?;
        scan.peek()?;
        let value_span = scan.value()?;
        found.push(Member {
            key: unescape(text.get(key_span.clone())?)?,
            key_span,
            value_span,
        });
        match scan.peek()? {
            b',' => scan.at += 1,
            b'}' => return Some(found),
            _ => return None,
        }
    }
}

/// The places of the elements of the list that starts at `start`. As for [`members`], the text must be valid JSON.
pub(crate) fn elements(text: &[u8], start: usize) -> Option<Vec<Range<usize>>> {
    let mut scan = Scan { text, at: start };
    let mut found = Vec::new();
    scan.expect(b'[')?;
    if scan.peek()? == b']' {
        return Some(found);
    }
    loop {
        scan.peek()?;
        found.push(scan.value()?);
        match scan.peek()? {
            b',' => scan.at += 1,
            b']' => return Some(found),
            _ => return None,
        }
    }
}

fn unescape(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(quoted).ok().map(Cow::Owned)
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        while let b' ' | b'\t' | b'\n' | b'\r' = self.text.get(self.at)? {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if *self.text.get(start)? != b'"' {
            return None;
        }
        let mut at = start + 1;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.text.get(at..)?)?;
            if self.text[at] == b'"' {
                self.at = at + 1;
                return Some(start..self.at);
            }
            at += 2;
        }
    }

    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        match self.text.get(start)? {
            b'"' => return self.string(),
            b'{' | b'[' => self.nested()?,
            _ => {
                while !matches!(
                    self.text.get(self.at)?,
                    b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'
                ) {
                    self.at += 1;
                }
            }
        }
        Some(start..self.at)
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.text.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// One replacement in a text.
pub(crate) struct Edit {
    /// What is replaced; empty to insert.
    pub(crate) span: Range<usize>,
    /// What stands there instead.
    pub(crate) text: String,
}

/// Applies edits that do not overlap.
pub(crate) fn apply(text: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let grown: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut edited = Vec::with_capacity(text.len() + grown);
    let mut done = 0;
    for edit in edits {
        edited.extend_from_slice(&text[done..edit.span.start]);
        edited.extend_from_slice(edit.text.as_bytes());
        done = edit.span.end;
    }
    edited.extend_from_slice(&text[done..]);
    edited
}
