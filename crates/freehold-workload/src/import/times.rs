//! Moments, as files write them.

use time::format_description::{BorrowedFormatItem, FormatItem};
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time, UtcOffset};

use super::ImportOptions;
use super::cells::Cell;
use super::columns::Columns;
use super::names::{Format, TimeUnit};
use super::report::Trouble;

/// Years before this one are a mistake, Unix microseconds of 2000-01-01.
const EARLIEST_US: f64 = 946_684_800e6;
/// So are years from this one on: 2100-01-01.
const LATEST_US: f64 = 4_102_444_800e6;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[FormatItem<'_>] = format_description!(
    version = 2,
    "[hour]:[minute][optional [:[second][optional [.[subsecond]]]]]"
);
const OFFSET: &[FormatItem<'_>] = format_description!(
    version = 2,
    "[offset_hour sign:mandatory][optional [[first [:[offset_minute]][[offset_minute]]]]]"
);

/// A moment of a calendar, or since a record began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Microseconds since 1970.
    Unix(i64),
    /// Microseconds since the record began.
    Relative(i64),
}

impl Moment {
    pub(super) const fn microseconds(self) -> i64 {
        match self {
            Self::Unix(us) | Self::Relative(us) => us,
        }
    }

    pub(super) const fn is_unix(self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

/// Reads the times of one file; what its numbers count is settled by the first.
#[derive(Debug)]
pub(super) struct Clock {
    unit: Option<TimeUnit>,
    /// Whether the times are of a calendar; settled by the first.
    is_unix: Option<bool>,
    /// What was assumed about it, to be told once.
    pub(super) assumed: Option<String>,
}

impl Clock {
    pub(super) fn new(format: Format, _columns: &Columns, options: &ImportOptions) -> Self {
        let by_format = (format == Format::Mooncake).then_some(TimeUnit::Milliseconds);
        Self {
            unit: options.time_unit.or(by_format),
            is_unix: None,
            assumed: None,
        }
    }

    /// The moment in a cell.
    pub(super) fn read(&mut self, cell: Cell<'_>, name: &str) -> Result<Moment, Trouble> {
        let moment = match cell.number() {
            Some(number) => self.of_number(number, name),
            None => cell
                .text()
                .and_then(|text| of_text(&text))
                .map(Moment::Unix)
                .ok_or("is no time: write 2026-11-21T12:00:00Z or Unix seconds"),
        };
        let moment = moment.map_err(|reason| Trouble::at(name, reason))?;
        let is_unix = moment.is_unix();
        if *self.is_unix.get_or_insert(is_unix) != is_unix {
            let reason = "is a date where the first row counts from a beginning, or the reverse";
            return Err(Trouble::at(name, reason));
        }
        Ok(moment)
    }

    fn of_number(&mut self, number: f64, name: &str) -> Result<Moment, &'static str> {
        if number < 0.0 {
            return Err("is negative: times must count forward from the record's beginning");
        }
        let unit = match self.unit {
            Some(unit) => unit,
            None => {
                let (unit, assumed) = unit_of(number, name);
                self.unit = Some(unit);
                self.assumed = assumed;
                unit
            }
        };
        let us = number * unit.microseconds();
        if us >= LATEST_US {
            return Err("is absurd: later than the year 2100; --time-unit says what is counted");
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 5e15")]
        let whole_us = us.round() as i64;
        if us >= EARLIEST_US {
            Ok(Moment::Unix(whole_us))
        } else if self.is_unix == Some(true) {
            Err("is absurd: earlier than the year 2000")
        } else {
            Ok(Moment::Relative(whole_us))
        }
    }
}

/// What the first number of a column counts: by the column's name, else by its size.
fn unit_of(number: f64, name: &str) -> (TimeUnit, Option<String>) {
    let named = [
        ("_ms", TimeUnit::Milliseconds),
        ("_us", TimeUnit::Microseconds),
        ("_ns", TimeUnit::Nanoseconds),
        ("_s", TimeUnit::Seconds),
    ];
    let found = named.into_iter().find(|(ending, _)| name.ends_with(ending));
    if let Some((_, unit)) = found {
        return (unit, None);
    }
    let by_size = [
        (1e17, TimeUnit::Nanoseconds),
        (1e14, TimeUnit::Microseconds),
        (1e11, TimeUnit::Milliseconds),
        (EARLIEST_US / 1e6, TimeUnit::Seconds),
    ];
    let found = by_size.into_iter().find(|(least, _)| number >= *least);
    if let Some((_, unit)) = found {
        return (unit, None);
    }
    let assumed = format!(
        "`{name}` counts from the record's beginning; taken as seconds. If it counts something \
         else, say so with --time-unit ms, us or ns."
    );
    (TimeUnit::Seconds, Some(assumed))
}

/// Unix microseconds of a date, or of a date and a time; without an offset it is UTC.
pub(super) fn of_text(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches(" UTC");
    let date = Date::parse(text.get(..10)?, DATE).ok()?;
    let rest = &text[10..];
    let (time, offset) = if rest.is_empty() {
        (Time::MIDNIGHT, UtcOffset::UTC)
    } else {
        let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start();
        let end = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
        let time = Time::parse(&rest[..end], TIME).ok()?;
        let offset = match rest[end..].trim() {
            "" | "Z" | "z" => UtcOffset::UTC,
            offset => UtcOffset::parse(offset, OFFSET).ok()?,
        };
        (time, offset)
    };
    let nanos = PrimitiveDateTime::new(date, time)
        .assume_offset(offset)
        .unix_timestamp_nanos();
    let us = i64::try_from(nanos / 1_000).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "compared with years")]
    let is_sane = (EARLIEST_US..LATEST_US).contains(&(us as f64));
    is_sane.then_some(us)
}
