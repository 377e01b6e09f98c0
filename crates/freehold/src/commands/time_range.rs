//! Points in time as people type them.

use anyhow::{Context, bail};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time};

/// Unix milliseconds of `24h`, `7d`, `30m`, `2026-11-01` (UTC) or an RFC 3339 time.
pub(crate) fn parse(text: &str, now: OffsetDateTime) -> anyhow::Result<u64> {
    let text = text.trim();
    let moment = if let Some(ago) = ago(text) {
        now - ago
    } else if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        date.with_time(Time::MIDNIGHT).assume_utc()
    } else {
        OffsetDateTime::parse(text, &Rfc3339).with_context(|| {
            format!("`{text}` is no time: write 24h, 7d, 2026-11-01 or 2026-11-01T12:00:00Z")
        })?
    };
    match u64::try_from(moment.unix_timestamp_nanos() / 1_000_000) {
        Ok(unix_ms) => Ok(unix_ms),
        Err(_) => bail!("`{text}` lies before 1970"),
    }
}

/// `30m`, `24h`, `7d` or `2w`.
pub(super) fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let count: i64 = text
        .strip_suffix(unit)?
        .parse()
        .ok()
        .filter(|count| (0..=100_000).contains(count))?;
    match unit {
        'm' => Some(Duration::minutes(count)),
        'h' => Some(Duration::hours(count)),
        'd' => Some(Duration::days(count)),
        'w' => Some(Duration::weeks(count)),
        _ => None,
    }
}

/// The moments of `--since` and `--until`, Unix milliseconds; `None` where a side is open.
pub(crate) fn between(
    since: Option<&str>,
    until: Option<&str>,
    now: OffsetDateTime,
) -> anyhow::Result<(Option<u64>, Option<u64>)> {
    let moment = |text: Option<&str>, flag: &'static str| {
        text.map(|text| parse(text, now).context(flag)).transpose()
    };
    let range = (moment(since, "--since")?, moment(until, "--until")?);
    if let (Some(since), Some(until)) = range
        && since >= until
    {
        bail!("--until must be later than --since");
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_type_times_in_several_ways() {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        assert_eq!(parse("1h", now).unwrap(), 1_699_996_400_000);
        assert_eq!(parse("1970-01-02", now).unwrap(), 86_400_000);
        assert_eq!(parse("1970-01-01T00:00:01Z", now).unwrap(), 1_000);
        assert!(
            parse("yesterday", now)
                .unwrap_err()
                .to_string()
                .contains("7d")
        );
        assert!(parse("1960-01-01", now).is_err());
    }
}
