//! Rows of JSON files: one a line, or in a list. One row is in memory at a time.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::input::Input;
use super::report::{ImportError, Place, Trouble};

/// Where objects keep the list of their records.
const LISTS: [&str; 9] = [
    "data",
    "rows",
    "items",
    "records",
    "observations",
    "logs",
    "requests",
    "spend_logs",
    "generations",
];

type Take<'t> = dyn FnMut(Place, Result<Value, Trouble>) -> Result<(), ImportError> + 't;

/// Hands every row to `take`; what there is to tell about the file.
pub(super) fn each_row(
    input: &mut Input<'_>,
    is_lines: bool,
    name: &str,
    take: &mut Take<'_>,
) -> Result<Vec<String>, ImportError> {
    if is_lines {
        each_line(input, name, take)
    } else {
        document(input, name, take)
    }
}

/// The first row, of a beginning that may end anywhere.
pub(super) fn first_row(head: &[u8], is_lines: bool) -> Option<Value> {
    let mut first = None;
    if is_lines {
        let mut lines = head.split(|byte| *byte == b'\n');
        let row = lines.find_map(|line| serde_json::from_slice::<Value>(line).ok())?;
        let _ = expand(row, &mut |row| {
            first.get_or_insert(row);
            Ok(())
        });
        return first;
    }
    let mut take = |row: Value| {
        first.get_or_insert(row);
        Err(Stop)
    };
    let mut deserializer = serde_json::Deserializer::from_slice(head);
    let _ = Top { take: &mut take }.deserialize(&mut deserializer);
    first
}

fn each_line(
    input: &mut Input<'_>,
    name: &str,
    take: &mut Take<'_>,
) -> Result<Vec<String>, ImportError> {
    let mut reader = BufReader::with_capacity(1 << 16, input);
    let mut line = Vec::new();
    let mut number = 0;
    let mut has_more = false;
    loop {
        line.clear();
        number += 1;
        let count = reader.read_until(b'\n', &mut line);
        let count = count.map_err(|error| ImportError::Unreadable {
            file: name.to_owned(),
            place: format!("line {number}"),
            error: error.to_string(),
        })?;
        reader.get_mut().row_done();
        if count == 0 {
            return Ok(told(has_more, name));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = Place::Line(number);
        match serde_json::from_slice::<Value>(&line) {
            Ok(row) => {
                has_more = row.get("has_more").and_then(Value::as_bool) == Some(true);
                expand(row, &mut |row| take(place, Ok(row)))?;
            }
            Err(error) => {
                let reason = format!("is no JSON: {} at column {}", plain(&error), error.column());
                take(place, Err(Trouble::whole(reason)))?;
            }
        }
    }
}

/// The rows of a page, or the row itself.
fn expand(
    mut row: Value,
    take: &mut dyn FnMut(Value) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    match row.get_mut("data") {
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => {
            std::mem::take(list).into_iter().try_for_each(take)
        }
        _ => take(row),
    }
}

fn document(
    input: &mut Input<'_>,
    name: &str,
    take: &mut Take<'_>,
) -> Result<Vec<String>, ImportError> {
    let mut number = 0;
    let mut failure = None;
    let bytes = Counted::new(input);
    let has_more;
    let read = {
        let mut one = |row: Value| {
            number += 1;
            bytes.row_done();
            take(Place::Row(number), Ok(row)).map_err(|error| {
                failure = Some(error);
                Stop
            })
        };
        let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(&bytes));
        let mut more = false;
        let mut read = Ok(());
        // Pages may simply follow each other.
        while read.is_ok() && deserializer.end().is_err() {
            let top = Top { take: &mut one };
            read = top.deserialize(&mut deserializer).map(|rest| more = rest);
        }
        has_more = more;
        read
    };
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Err(error) = read {
        return Err(ImportError::Unreadable {
            file: name.to_owned(),
            place: format!(
                "line {}, column {}, after {number} rows",
                error.line(),
                error.column()
            ),
            error: plain(&error),
        });
    }
    Ok(told(has_more, name))
}

fn told(has_more: bool, name: &str) -> Vec<String> {
    if has_more {
        vec![format!(
            "{name} says that there are more pages (`has_more`): fetch them, and name all files."
        )]
    } else {
        Vec::new()
    }
}

/// What serde says, without quoting what it has read.
fn plain(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Io => error.to_string(),
        serde_json::error::Category::Eof => "it ends in the middle".to_owned(),
        _ => "it is not well-formed".to_owned(),
    }
}

/// Lets the bytes of a row be counted while a parser holds the reader.
struct Counted<'i, 'a>(std::cell::RefCell<&'i mut Input<'a>>, Cell<bool>);

impl<'i, 'a> Counted<'i, 'a> {
    fn new(input: &'i mut Input<'a>) -> Self {
        Self(std::cell::RefCell::new(input), Cell::new(false))
    }

    fn row_done(&self) {
        self.1.set(true);
    }
}

impl Read for &Counted<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut input = self.0.borrow_mut();
        if self.1.replace(false) {
            input.row_done();
        }
        input.read(buffer)
    }
}

/// Somebody has seen enough.
struct Stop;

type One<'t> = dyn FnMut(Value) -> Result<(), Stop> + 't;

/// A whole document. Its value: whether it says that there are more pages.
struct Top<'s, 't> {
    take: &'s mut One<'t>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of records, or an object with one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error> {
        each(list, self.take)?;
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let mut rest = Map::new();
        let mut has_list = false;
        while let Some(key) = object.next_key::<String>()? {
            if LISTS.contains(&key.as_str()) {
                let list = List {
                    take: &mut *self.take,
                };
                match object.next_value_seed(list)? {
                    None => has_list = true,
                    Some(value) => {
                        rest.insert(key, value);
                    }
                }
            } else {
                rest.insert(key, object.next_value()?);
            }
        }
        let has_more = rest.get("has_more").and_then(Value::as_bool) == Some(true);
        if !has_list {
            let stopped = (self.take)(Value::Object(rest));
            stopped.map_err(|Stop| A::Error::custom("stopped"))?;
        }
        Ok(has_more)
    }
}

fn each<'de, A: SeqAccess<'de>>(mut list: A, take: &mut One<'_>) -> Result<(), A::Error> {
    while let Some(row) = list.next_element::<Value>()? {
        take(row).map_err(|Stop| A::Error::custom("stopped"))?;
    }
    Ok(())
}

/// A list whose elements are handed on; anything else is kept.
struct List<'s, 't> {
    take: &'s mut One<'t>,
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        each(list, self.take)?;
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut rest = Map::new();
        while let Some((key, value)) = object.next_entry::<String, Value>()? {
            rest.insert(key, value);
        }
        Ok(Some(Value::Object(rest)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }
}
