//! Rows of named, typed cells, and what takes them.

use std::io::Write;

use anyhow::Result;
use freehold_types::NanoUsd;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::format_description;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Flag,
    /// Milliseconds since 1970.
    Moment,
    /// Nano-dollars, written as dollars with nine decimals.
    Money,
    /// A number of any length, as it is written.
    Decimal,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether a row may have nothing there.
    pub(super) optional: bool,
}

/// One value. Nothing is the empty one of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    None,
    Text(String),
    Integer(i64),
    Flag(bool),
    Moment(u64),
    Money(NanoUsd),
    Decimal(String),
}

impl Cell {
    pub(super) fn text(text: Option<impl ToString>) -> Self {
        text.map_or(Self::None, |text| Self::Text(text.to_string()))
    }

    /// Counts beyond the largest integer stay there.
    pub(super) fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn optional_count(count: Option<u64>) -> Self {
        count.map_or(Self::None, Self::count)
    }

    pub(super) fn money(money: Option<NanoUsd>) -> Self {
        money.map_or(Self::None, Self::Money)
    }

    fn plain(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) | Self::Decimal(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Moment(unix_ms) => moment(*unix_ms),
            Self::Money(money) => money.to_string(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Integer(number) => Value::from(*number),
            Self::Flag(flag) => Value::from(*flag),
            // Money is a string: most readers would make a float of a number.
            Self::Text(_) | Self::Moment(_) | Self::Money(_) | Self::Decimal(_) => {
                Value::from(self.plain())
            }
        }
    }
}

/// `2026-11-21T16:00:00.000Z`, or without the fraction where there is none.
pub(super) fn moment(unix_ms: u64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let whole = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let exact =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let text = if unix_ms.is_multiple_of(1_000) {
        at.format(&whole)
    } else {
        at.format(&exact)
    };
    text.unwrap_or_default()
}

/// Takes rows.
pub(super) trait Sink {
    /// Takes one row, a cell for each column.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, cells: &[Cell]) -> Result<()>;

    /// Writes what is still held. Nothing is complete before.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Comma-separated values, with a header.
pub(super) struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// # Errors
    /// When the header cannot be written.
    pub(super) fn new(out: W, columns: &[Column]) -> Result<Self> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(columns.iter().map(|column| column.name))?;
        Ok(Self(csv))
    }
}

impl<W: Write> Sink for Csv<W> {
    fn row(&mut self, cells: &[Cell]) -> Result<()> {
        let cells = cells.iter().map(|cell| match cell {
            Cell::Text(text) => unformulaic(text),
            other => other.plain(),
        });
        Ok(self.0.write_record(cells)?)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        Ok(self.0.flush()?)
    }
}

/// Names are clients' words: a spreadsheet must not take one for a formula (OWASP, CSV injection).
fn unformulaic(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

/// A JSON object a line.
pub(super) struct JsonLines<W: Write> {
    out: W,
    columns: &'static [Column],
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(out: W, columns: &'static [Column]) -> Self {
        Self { out, columns }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn row(&mut self, cells: &[Cell]) -> Result<()> {
        let names = self.columns.iter().map(|column| column.name.to_owned());
        let row: Map<String, Value> = names.zip(cells.iter().map(Cell::json)).collect();
        serde_json::to_writer(&mut self.out, &row)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        Ok(self.out.flush()?)
    }
}
