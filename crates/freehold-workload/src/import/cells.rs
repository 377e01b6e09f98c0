//! The cells of one row, and what is written in them.

use std::borrow::Cow;

use csv::StringRecord;
use serde_json::Value;

pub(super) use super::columns::Columns;
use super::columns::{FIELDS, Field};
use super::report::Trouble;

/// More tokens than this in one request are a mistake.
const TOKENS_MAX: f64 = 100_000_000.0;
/// More dollars than this for one request are a mistake.
const COST_USD_MAX: f64 = 1_000_000.0;

/// What is written in one place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Value(&'a Value),
}

impl<'a> Cell<'a> {
    pub(super) fn is_empty(self) -> bool {
        match self {
            Self::Text(text) => is_nothing(text),
            Self::Value(Value::String(text)) => is_nothing(text),
            Self::Value(value) => value.is_null(),
        }
    }

    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text.trim())),
            Self::Value(Value::String(text)) => Some(Cow::Borrowed(text.trim())),
            Self::Value(Value::Number(number)) => Some(Cow::Owned(number.to_string())),
            Self::Value(Value::Bool(flag)) => {
                Some(Cow::Borrowed(if *flag { "true" } else { "false" }))
            }
            Self::Value(_) => None,
        }
    }

    pub(super) fn number(self) -> Option<f64> {
        match self {
            Self::Text(text) => number_of(text),
            Self::Value(Value::String(text)) => number_of(text),
            Self::Value(Value::Number(number)) => number.as_f64(),
            Self::Value(_) => None,
        }
    }

    /// An object or a list, also one that is written as text.
    pub(super) fn json(self) -> Option<Cow<'a, Value>> {
        let text = match self {
            Self::Value(Value::String(text)) => text.as_str(),
            Self::Value(value) => return Some(Cow::Borrowed(value)),
            Self::Text(text) => text,
        };
        let parsed = serde_json::from_str(text).or_else(|_| {
            // Some exporters double the quotes twice.
            serde_json::from_str(&text.replace("\"\"", "\""))
        });
        parsed.ok().map(Cow::Owned)
    }
}

/// What tables write where there is nothing.
fn is_nothing(text: &str) -> bool {
    matches!(
        text.trim(),
        "" | "null" | "NULL" | "None" | "\\N" | "nan" | "NaN"
    )
}

/// A number, also with thousands between commas.
pub(super) fn number_of(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = if text.contains(',') && !text.starts_with(',') {
        let whole = text.split('.').next().unwrap_or(text);
        let groups = whole.split(',').skip(1);
        if groups.into_iter().any(|group| group.len() != 3) {
            return None;
        }
        Cow::Owned(text.replace(',', ""))
    } else {
        Cow::Borrowed(text)
    };
    let number: f64 = plain.parse().ok()?;
    number.is_finite().then_some(number)
}

/// The cells of one row, by field.
pub(super) struct Cells<'a> {
    cells: [Option<(Cell<'a>, &'a str)>; FIELDS],
}

impl<'a> Cells<'a> {
    pub(super) const fn empty() -> Self {
        Self {
            cells: [None; FIELDS],
        }
    }

    pub(super) fn of_csv(columns: &'a Columns, record: &'a StringRecord) -> Self {
        Self::of(columns, |index| record.get(index).map(Cell::Text))
    }

    pub(super) fn of_values(columns: &'a Columns, row: &'a [Value]) -> Self {
        Self::of(columns, |index| row.get(index).map(Cell::Value))
    }

    fn of(columns: &'a Columns, cell: impl Fn(usize) -> Option<Cell<'a>>) -> Self {
        let mut cells = Self::empty();
        for (slot, place) in columns.slots.iter().zip(&mut cells.cells) {
            if let Some((index, name)) = slot {
                *place = cell(*index).map(|cell| (cell, name.as_str()));
            }
        }
        cells
    }

    pub(super) fn set(&mut self, field: Field, cell: Cell<'a>, name: &'a str) {
        self.cells[field.index()] = Some((cell, name));
    }

    /// The cell, unless nothing is in it.
    pub(super) fn get(&self, field: Field) -> Option<Cell<'a>> {
        let (cell, _) = self.cells[field.index()]?;
        (!cell.is_empty()).then_some(cell)
    }

    /// What the column is called in the file.
    pub(super) fn name(&self, field: Field) -> &'a str {
        self.cells[field.index()].map_or_else(|| field.as_str(), |(_, name)| name)
    }

    pub(super) fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.get(field)?.text()
    }

    /// Tokens of one request; nothing when nothing is written there.
    pub(super) fn tokens(&self, field: Field) -> Result<Option<u32>, Trouble> {
        let Some(count) = self.count(field)? else {
            return Ok(None);
        };
        if count > TOKENS_MAX {
            let reason = "is absurd: more than 100,000,000 tokens in one request";
            return Err(Trouble::at(self.name(field), reason));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked"
        )]
        Ok(Some(count as u32))
    }

    /// A whole number that is not negative, as sums are.
    pub(super) fn count(&self, field: Field) -> Result<Option<f64>, Trouble> {
        let Some(cell) = self.get(field) else {
            return Ok(None);
        };
        let at = |reason: &'static str| Err(Trouble::at(self.name(field), reason));
        match cell.number() {
            None => at("is no number"),
            Some(number) if number < 0.0 => at("is negative"),
            Some(number) if number.fract() != 0.0 => at("is no whole number"),
            Some(number) if number > 1e15 => at("is absurd: more than a quadrillion"),
            Some(number) => Ok(Some(number)),
        }
    }

    /// Dollars as nano-dollars; nothing when nothing is written there.
    pub(super) fn cost_nano_usd(&self, field: Field) -> Result<Option<i64>, Trouble> {
        let Some(cell) = self.get(field) else {
            return Ok(None);
        };
        let number = match cell.text() {
            Some(text) => number_of(text.trim_start_matches('$')),
            None => None,
        };
        let Some(usd) = number else {
            return Err(Trouble::at(self.name(field), "is no amount of dollars"));
        };
        nano_usd(usd)
            .map(Some)
            .map_err(|reason| Trouble::at(self.name(field), reason))
    }
}

/// Dollars as nano-dollars.
pub(super) fn nano_usd(usd: f64) -> Result<i64, &'static str> {
    if usd < 0.0 {
        return Err("is negative");
    }
    if usd > COST_USD_MAX {
        return Err("is absurd: more than a million dollars for one request");
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 1e15")]
    Ok((usd * 1e9).round() as i64)
}
