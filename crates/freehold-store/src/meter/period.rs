//! Days and months of UTC. Pure.

use std::time::Duration;

use freehold_ports::Period;
use time::{Date, Month, OffsetDateTime, Time};

/// Which day or month: its begin, Unix milliseconds. Zero for [`Period::Total`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeriodStart {
    /// How long it is.
    pub period: Period,
    /// Its first moment, Unix milliseconds.
    pub unix_ms: u64,
}

impl PeriodStart {
    /// The day or month that holds a moment.
    pub fn holding(period: Period, unix_ms: u64) -> Self {
        let date = date_of(unix_ms);
        let first = match period {
            Period::Day => date,
            Period::Month => date.replace_day(1).unwrap_or(date),
            Period::Total => Date::from_ordinal_date(1970, 1).unwrap_or(Date::MIN),
        };
        Self {
            period,
            unix_ms: unix_ms_of(first),
        }
    }

    /// From a moment until the next day or month begins; `None` when none follows.
    pub fn ends_after(self, unix_ms: u64) -> Option<Duration> {
        let first = date_of(self.unix_ms);
        let next = match self.period {
            Period::Day => first.next_day()?,
            Period::Month if first.month() == Month::December => {
                Date::from_calendar_date(first.year() + 1, Month::January, 1).ok()?
            }
            Period::Month => {
                Date::from_calendar_date(first.year(), first.month().next(), 1).ok()?
            }
            Period::Total => return None,
        };
        let left_ms = unix_ms_of(next).saturating_sub(unix_ms);
        Some(Duration::from_millis(left_ms))
    }
}

fn date_of(unix_ms: u64) -> Date {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date)
}

fn unix_ms_of(date: Date) -> u64 {
    let seconds = OffsetDateTime::new_utc(date, Time::MIDNIGHT).unix_timestamp();
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn unix_ms(at: OffsetDateTime) -> u64 {
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap()
    }

    #[test]
    fn days_and_months_are_those_of_utc() {
        let at = unix_ms(datetime!(2024-02-29 23:59:59.5 UTC));
        let day = PeriodStart::holding(Period::Day, at);
        assert_eq!(day.unix_ms, unix_ms(datetime!(2024-02-29 00:00 UTC)));
        assert_eq!(day.ends_after(at), Some(Duration::from_millis(500)));
        let month = PeriodStart::holding(Period::Month, at);
        assert_eq!(month.unix_ms, unix_ms(datetime!(2024-02-01 00:00 UTC)));
        assert_eq!(month.ends_after(at), Some(Duration::from_millis(500)));
        let december = unix_ms(datetime!(2025-12-31 12:00 UTC));
        let december = PeriodStart::holding(Period::Month, december);
        let end = unix_ms(datetime!(2026-01-01 00:00 UTC));
        assert_eq!(december.ends_after(end - 1), Some(Duration::from_millis(1)));
        let total = PeriodStart::holding(Period::Total, at);
        assert_eq!((total.unix_ms, total.ends_after(at)), (0, None));
        assert_eq!(PeriodStart::holding(Period::Total, 7), total);
    }
}
