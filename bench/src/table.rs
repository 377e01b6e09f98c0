//! Tables for people.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::{cases::Row, load::Report};

/// One run of `load`.
pub(crate) fn of_load(report: &Report) -> String {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["what", "value"]);
    let mut add = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            table.add_row([what, &value]);
        }
    };
    add("seconds measured", Some(number(report.seconds)));
    add("requests", Some(report.requests.to_string()));
    add("requests/s", Some(number(report.requests_per_s)));
    for (failure, count) in &report.failures {
        add(&format!("failed: {failure:?}"), Some(count.to_string()));
    }
    let mut add_times = |what: &str, times: crate::load::Summary| {
        for (name, value) in [
            ("p50", times.p50_us),
            ("p90", times.p90_us),
            ("p99", times.p99_us),
            ("max", times.max_us),
        ] {
            add(&format!("{what} {name} us"), Some(number(value)));
        }
    };
    add_times("total", report.latency);
    add_times("first byte", report.first_byte);
    if let Some(gaps) = report.inter_token {
        add_times("between events", gaps);
    }
    add(
        "stream events",
        (report.events > 0).then(|| report.events.to_string()),
    );
    add(
        "server CPU us per request",
        report.cpu_us_per_request.map(number),
    );
    add(
        "server CPU us per event",
        report.cpu_us_per_event.map(number),
    );
    add("server cores used", report.server_cores_used.map(number));
    add("server memory MiB", report.server_resident_mib.map(number));
    align(&mut table);
    table.to_string()
}

/// The comparison: one row for each figure, one column for each target, and each gateway's ratio to the bare proxy.
pub(crate) fn of_rows(targets: &[String], bare: usize, rows: &[Row]) -> String {
    let mut table = Table::new();
    let gateways = || targets.iter().enumerate().skip(bare + 1);
    let ratios = gateways().map(|(_, name)| format!("{name} : {}", targets[bare]));
    let header = ["what".to_owned()]
        .into_iter()
        .chain(targets.iter().cloned())
        .chain(ratios);
    table.load_style(ASCII_MARKDOWN).set_header(header);
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    for row in rows {
        let values = row.values.iter().copied().map(cell);
        let ratios = gateways().map(|(index, _)| match row.ratios[index] {
            Some(ratio) => format!("{ratio:.2} x"),
            None => "-".to_owned(),
        });
        table.add_row([row.what.clone()].into_iter().chain(values).chain(ratios));
    }
    align(&mut table);
    table.to_string()
}

fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Three significant digits, at least.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
