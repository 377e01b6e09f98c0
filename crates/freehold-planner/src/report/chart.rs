//! Charts as inline SVG. Colours come from the page's style sheet, so that they follow dark mode.

use std::fmt::Write;

use crate::advice::{Advice, Utilisation};
use crate::break_even::{Versus, VolumePoint};
use crate::report::numbers::{short, signed_usd, times, with_unit};

/// Charts are drawn in this width and scaled by the page.
const WIDTH: f64 = 720.0;

/// Text in SVG and HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A picture in the making.
struct Svg {
    body: String,
    height: f64,
}

impl Svg {
    fn new(height: f64) -> Self {
        Self {
            body: String::new(),
            height,
        }
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(element);
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), title: &str) {
        let ((x, y), (width, height)) = (corner, size);
        self.put(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{}</title></rect>"#,
            escaped(title)
        ));
    }

    fn text(&mut self, anchor: &str, at: (f64, f64), text: &str) {
        let (x, y) = at;
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escaped(text)
        ));
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)], is_closed: bool) {
        let mut data = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{step}{x:.1} {y:.1}");
        }
        if is_closed {
            data.push('Z');
        }
        self.put(format_args!(r#"<path class="{class}" d="{data}"/>"#));
    }

    fn done(self, label: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {WIDTH} {}" role="img" aria-label="{}">{}</svg>"#,
            self.height,
            escaped(label),
            self.body
        )
    }
}

/// A logarithmic axis over whole decades or parts of them.
#[derive(Clone, Copy)]
struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    fn at(&self, value: f64) -> f64 {
        let share = (value.max(1e-12).log10() - self.low) / (self.high - self.low);
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    fn decades(&self) -> Vec<f64> {
        let first = self.low.ceil() as i32;
        let last = self.high.floor() as i32;
        (first..=last).map(|decade| 10_f64.powi(decade)).collect()
    }
}

/// Cost over volume, with the band in which it breaks even.
pub(super) fn volumes(advice: &Advice) -> String {
    let (left, right, top, bottom) = (58.0, WIDTH - 12.0, 16.0, 330.0);
    let near = advice.break_even.iter().filter_map(|even| even.multiple);
    let reach = near
        .fold(30.0_f64, |reach, multiple| reach.max(multiple * 3.0))
        .min(1_000.0);
    let shown: Vec<_> = advice
        .volumes
        .iter()
        .filter(|point| point.multiple <= reach && point.multiple >= 0.03)
        .collect();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
        return String::new();
    };
    let costs = shown
        .iter()
        .flat_map(|point| [point.api_usd, point.own.p10, point.own.p90]);
    let costs: Vec<f64> = costs.filter(|cost| *cost > 0.0).collect();
    let lowest = costs.iter().copied().fold(f64::MAX, f64::min).max(1.0);
    let highest = costs.iter().copied().fold(1.0, f64::max);
    let x = Log {
        low: first.multiple.log10(),
        high: last.multiple.log10(),
        from: left,
        to: right,
    };
    let y = Log {
        low: lowest.log10() - 0.05,
        high: highest.log10() + 0.1,
        from: bottom,
        to: top,
    };
    let mut svg = Svg::new(394.0);
    volume_band(advice, &mut svg, &x, (top, bottom));
    let tokens_per_day = first.tokens_per_month / first.multiple * 24.0 / crate::HOURS_PER_MONTH;
    volume_grid(tokens_per_day, &mut svg, &x, &y);
    volume_lines(&shown, &mut svg, &x, &y);
    svg.line("today", (x.at(1.0), top), (x.at(1.0), bottom));
    svg.text("start", (x.at(1.0) + 5.0, top + 12.0), "today");
    svg.text(
        "middle",
        (f64::midpoint(left, right), bottom + 50.0),
        "tokens a day, times today's",
    );
    svg.done("Cost a month over volume: today's API, the open model at a host, owned")
}

/// Lines and figures along both axes.
fn volume_grid(tokens_per_day: f64, svg: &mut Svg, x: &Log, y: &Log) {
    let (left, right, top, bottom) = (x.from, x.to, y.to, y.from);
    for cost in y.decades() {
        svg.line("grid", (left, y.at(cost)), (right, y.at(cost)));
        svg.text(
            "end",
            (left - 6.0, y.at(cost) + 4.0),
            &format!("${}", short(cost)),
        );
    }
    for multiple in x.decades() {
        svg.line("grid", (x.at(multiple), top), (x.at(multiple), bottom));
        let tokens = tokens_per_day * multiple;
        svg.text("middle", (x.at(multiple), bottom + 18.0), &times(multiple));
        svg.text(
            "middle",
            (x.at(multiple), bottom + 35.0),
            &format!("{}/day", short(tokens)),
        );
    }
}

/// What each way costs.
fn volume_lines(shown: &[&VolumePoint], svg: &mut Svg, x: &Log, y: &Log) {
    let place = |multiple: f64, usd: f64| (x.at(multiple), y.at(usd));
    let mut band: Vec<(f64, f64)> = shown
        .iter()
        .map(|point| place(point.multiple, point.own.p10))
        .collect();
    band.extend(
        shown
            .iter()
            .rev()
            .map(|point| place(point.multiple, point.own.p90)),
    );
    svg.path("own-band", &band, true);
    let hosted = shown
        .iter()
        .filter_map(|point| Some(place(point.multiple, point.hosted_usd?)));
    svg.path("hosted", &hosted.collect::<Vec<_>>(), false);
    let api = shown
        .iter()
        .map(|point| place(point.multiple, point.api_usd));
    svg.path("api", &api.collect::<Vec<_>>(), false);
    let own = shown
        .iter()
        .map(|point| place(point.multiple, point.own.p50));
    svg.path("own", &own.collect::<Vec<_>>(), false);
}

/// Where it breaks even with the API, P10 to P90.
fn volume_band(advice: &Advice, svg: &mut Svg, x: &Log, (top, bottom): (f64, f64)) {
    let api = advice
        .break_even
        .iter()
        .find(|even| even.versus == Versus::Api);
    if let Some(band) = api.and_then(|even| even.band) {
        let (from, to) = (x.at(band.p10), x.at(band.p90));
        let title = format!("breaks even at {} to {}", times(band.p10), times(band.p90));
        svg.rect(
            "even-band",
            (from, top),
            ((to - from).max(1.0), bottom - top),
            &title,
        );
    }
}

/// How full the GPUs are, hour by hour.
pub(super) fn utilisation(told: &Utilisation) -> String {
    let (left, right, top, bottom) = (44.0, WIDTH - 12.0, 10.0, 190.0);
    let spans = told.full.len().max(1) as f64;
    let width = (right - left) / spans;
    let mut svg = Svg::new(222.0);
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let y = bottom - (bottom - top) * share;
        svg.line("grid", (left, y), (right, y));
        svg.text(
            "end",
            (left - 6.0, y + 4.0),
            &format!("{:.0} %", share * 100.0),
        );
    }
    for (span, full) in told.full.iter().enumerate() {
        let height = (bottom - top) * full;
        let gap = if width > 6.0 { 1.0 } else { 0.3 };
        let corner = (left + width * span as f64, bottom - height);
        svg.rect(
            "bar",
            corner,
            (width - gap, height),
            &format!("{:.0} %", full * 100.0),
        );
    }
    let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    if told.profile.is_week {
        for (day, name) in names.into_iter().enumerate() {
            let x = left + width * 24.0 * day as f64;
            svg.line("grid", (x, top), (x, bottom));
            let name = if told.profile.is_dated {
                name.to_owned()
            } else {
                format!("day {}", day + 1)
            };
            svg.text("middle", (x + width * 12.0, bottom + 18.0), &name);
        }
    } else {
        let hours = told.profile.span_hours * spans;
        for part in 0..=4_u32 {
            let share = f64::from(part) / 4.0;
            let anchor = match part {
                0 => "start",
                4 => "end",
                _ => "middle",
            };
            let at = if hours < 3.0 {
                format!("{:.0} min", hours * share * 60.0)
            } else {
                format!("{:.0} h", hours * share)
            };
            svg.text(anchor, (left + (right - left) * share, bottom + 18.0), &at);
        }
    }
    svg.done("How full the GPUs are over time")
}

/// What the answer hangs on.
pub(super) fn tornado(advice: &Advice, shown: usize) -> String {
    let swings: Vec<_> = advice.tornado.iter().take(shown).collect();
    let row = 50.0;
    let height = 34.0 + row * swings.len() as f64;
    let (left, right) = (12.0, WIDTH - 12.0);
    let ends = swings
        .iter()
        .flat_map(|swing| [swing.saving_at_low, swing.saving_at_high]);
    let (mut low, mut high) = (0.0_f64, 0.0_f64);
    for end in ends {
        (low, high) = (low.min(end), high.max(end));
    }
    let room = (high - low).max(1.0) * 0.12;
    let (low, high) = (low - room, high + room);
    let x = |usd: f64| left + (right - left) * (usd - low) / (high - low);
    let mut svg = Svg::new(height);
    svg.line("today", (x(0.0), 0.0), (x(0.0), height - 24.0));
    for (index, swing) in swings.iter().enumerate() {
        let y = row * index as f64 + 8.0;
        let (a, b) = (x(swing.saving_at_low), x(swing.saving_at_high));
        let label = format!(
            "{} ({} to {})",
            swing.about,
            with_unit(swing.low, &swing.unit),
            with_unit(swing.high, &swing.unit)
        );
        svg.text("start", (left, y + 9.0), &clipped(&label, 92));
        let rising = swing.saving_at_high >= swing.saving_at_low;
        let class = if rising { "rising" } else { "falling" };
        svg.rect(
            class,
            (a.min(b), y + 16.0),
            ((a - b).abs().max(1.0), 16.0),
            &label,
        );
        let (first, second) = if rising {
            (swing.saving_at_low, swing.saving_at_high)
        } else {
            (swing.saving_at_high, swing.saving_at_low)
        };
        svg.text("end", (a.min(b) - 4.0, y + 28.0), &signed_usd(first));
        svg.text("start", (a.max(b) + 4.0, y + 28.0), &signed_usd(second));
    }
    let zero = x(0.0).clamp(left + 60.0, right - 60.0);
    svg.text("middle", (zero, height - 6.0), "owning loses | saves");
    svg.done("What the saving hangs on most")
}

/// At most so many characters.
fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}
