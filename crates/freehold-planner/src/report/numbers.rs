//! Numbers as people read them.

pub(super) use crate::verdict::usd;

/// A count: `1.2 million`, `34 thousand`.
pub(super) fn count(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 9.995e11 => format!("{:.2} trillion", value / 1e12),
        _ if size >= 9.995e8 => format!("{:.2} billion", value / 1e9),
        _ if size >= 9.995e5 => format!("{:.2} million", value / 1e6),
        _ if size >= 9_999.5 => format!("{:.0} thousand", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// The same for an axis: `1.2M`.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        _ if size >= 0.9995e12 => (value / 1e12, "T"),
        _ if size >= 0.9995e9 => (value / 1e9, "B"),
        _ if size >= 0.9995e6 => (value / 1e6, "M"),
        _ if size >= 0.9995e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if scaled.abs() < 10.0 && (scaled - scaled.round()).abs() > 0.05 {
        1
    } else {
        0
    };
    format!("{scaled:.digits$}{unit}")
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value > 0.0 && value < 1.0 {
        return format!("{value:.1} %");
    }
    format!("{value:.0} %")
}

/// Times something.
pub(super) fn times(multiple: f64) -> String {
    match multiple {
        _ if multiple >= 100.0 => format!("{multiple:.0}x"),
        _ if multiple >= 9.95 => format!("{multiple:.0}x"),
        _ if multiple >= 0.095 => format!("{multiple:.1}x"),
        _ => format!("{multiple:.3}x"),
    }
}

/// A value of an input, with its unit.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "USD" if value.abs() >= 1_000.0 => usd(value),
        "USD" => format!("${value:.2}"),
        "x" => format!("{value:.2}x"),
        "%" => format!("{value:.1} %"),
        "share" => percent(value),
        other => format!("{value:.2} {other}"),
    }
}

/// Dollars with their sign.
pub(super) fn signed_usd(amount: f64) -> String {
    let plus = if amount >= 0.5 { "+" } else { "" };
    format!("{plus}{}", usd(amount))
}

/// Hours as people say them.
pub(super) fn hours(hours: f64) -> String {
    if hours < 2.0 {
        format!("{:.0} minutes", hours * 60.0)
    } else if hours < 72.0 {
        format!("{hours:.0} hours")
    } else {
        format!("{:.0} days", hours / 24.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567.0), "1.23 million");
        assert_eq!(count(45_600.0), "46 thousand");
        assert_eq!(count(9_000.0), "9000");
        assert_eq!(short(1_500.0), "1.5k");
        assert_eq!(short(1e9), "1B");
        assert_eq!(short(0.3), "0.3");
        assert_eq!(times(0.0123), "0.012x");
        assert_eq!(times(37.4), "37x");
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(signed_usd(-50.0), "-$50");
        assert_eq!(signed_usd(50.0), "+$50");
        assert_eq!(hours(0.97), "58 minutes");
        assert_eq!(with_unit(2.6, "USD"), "$2.60");
    }
}
