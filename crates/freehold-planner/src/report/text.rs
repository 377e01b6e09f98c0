//! One screen of text.

use crate::advice::{Advice, Decision, Quality};
use crate::break_even::{BreakEven, Versus};
use crate::report::numbers::{count, hours, percent, signed_usd, times, usd, with_unit};

/// So many flows are shown; the other reports have all.
const FLOWS_SHOWN: usize = 6;
/// So many inputs are shown.
const INPUTS_SHOWN: usize = 5;
/// Lines are no longer than this.
const WIDTH: usize = 100;

/// The verdict and what it rests on, on one screen of a terminal.
#[must_use]
pub fn text(advice: &Advice) -> String {
    let mut lines = Lines::default();
    head(advice, &mut lines);
    money(advice, &mut lines);
    even(advice, &mut lines);
    flows(advice, &mut lines);
    inputs(advice, &mut lines);
    rest(advice, &mut lines);
    lines.text
}

/// Text that grows by wrapped lines.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A paragraph behind a label; later lines are set in as far.
    fn say(&mut self, label: &str, says: &str) {
        let indent = label.chars().count();
        let mut line = label.to_owned();
        let mut length = indent;
        let mut is_first = true;
        for word in says.split_whitespace() {
            let size = word.chars().count();
            if !is_first && length + 1 + size > WIDTH {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line = " ".repeat(indent);
                length = indent;
                is_first = true;
            }
            if !is_first {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += size;
            is_first = false;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

fn head(advice: &Advice, lines: &mut Lines) {
    let verdict = &advice.verdict;
    let word = verdict.decision.as_str().to_uppercase();
    lines.say("", &format!("{word}. {}", verdict.headline));
    let quality = match &verdict.quality {
        Quality::Unproven => "Quality of the open model on this traffic: unproven.".to_owned(),
        Quality::Proven(evidence) => format!("Quality of the open model: proven ({evidence})."),
        Quality::Worse(evidence) => format!("Quality of the open model: worse ({evidence})."),
    };
    lines.say("", &quality);
    lines.blank();
    let traffic = &advice.traffic;
    let generated = if traffic.is_generated {
        ", made up from parameters"
    } else {
        ""
    };
    lines.say(
        "Traffic   ",
        &format!(
            "{} requests in {}{generated}; a month at that rate: {} requests, {} tokens in, {} out; busiest \
             span {} the mean",
            count(traffic.recorded_requests as f64),
            hours(traffic.recorded_hours),
            count(traffic.month.requests),
            count(traffic.month.input_tokens),
            count(traffic.month.output_tokens),
            times(traffic.peak_to_mean),
        ),
    );
}

fn money(advice: &Advice, lines: &mut Lines) {
    let renting = &advice.renting;
    lines.say(
        "Rent      ",
        &format!(
            "{}: {} a month at list price",
            renting.api.name,
            usd(renting.api_usd)
        ),
    );
    match &renting.hosted {
        Some(hosted) => lines.say(
            "          ",
            &format!(
                "{} at {}: {} a month ({} hosts listed; cheapest {})",
                hosted.model,
                hosted.usual,
                usd(hosted.usd),
                hosted.hosts,
                hosted.cheapest
            ),
        ),
        None => lines.say(
            "          ",
            "the same open model at a host: no list price, not compared",
        ),
    }
    let best = &advice.best;
    let month = &best.month;
    lines.say(
        "Own       ",
        &format!(
            "{}: {} {}, busy {}; {} a month once built (GPUs {}, people {}, rest {}) after {} of building",
            best.name,
            best.gpus_peak,
            if best.gpus_peak == 1 { "GPU" } else { "GPUs" },
            percent(best.busy),
            usd(month.total_usd()),
            usd(month.gpus_usd + month.power_and_space_usd),
            usd(month.people_usd),
            usd(month.services_usd + month.fallback_usd),
            usd(best.build_usd),
        ),
    );
    saved(advice, lines);
}

/// What owning saves, and when it has paid for itself.
fn saved(advice: &Advice, lines: &mut Lines) {
    let best = &advice.best;
    let saving = &best.saving_vs_api;
    let hosted = best.saving_vs_hosted.map_or(String::new(), |saving| {
        format!(
            "; against the host {} (P10 {}, P90 {})",
            signed_usd(saving.p50),
            signed_usd(saving.p10),
            signed_usd(saving.p90)
        )
    });
    lines.say(
        "Saving    ",
        &format!(
            "by owning, a month over {} months: against the API {} (P10 {}, P90 {}){hosted}. Cheapest of all in \
             {} of the draws.",
            advice.settings.months,
            signed_usd(saving.p50),
            signed_usd(saving.p10),
            signed_usd(saving.p90),
            percent(best.cheapest),
        ),
    );
    let pay_back = match best.pay_back_months {
        Some(months) if best.pays_back >= 0.5 => format!(
            "after {:.0} months (P10 {:.0}, P90 {:.0}), in {} of the draws",
            months.p50,
            months.p10,
            months.p90,
            percent(best.pays_back)
        ),
        _ => format!(
            "not within {} months in {} of the draws",
            advice.settings.months,
            percent(1.0 - best.pays_back)
        ),
    };
    lines.say("Pays back ", &pay_back);
}

fn even(advice: &Advice, lines: &mut Lines) {
    for (index, even) in advice.break_even.iter().enumerate() {
        let label = if index == 0 {
            "Even at   "
        } else {
            "          "
        };
        lines.say(label, &even_line(even));
    }
}

pub(super) fn even_line(even: &BreakEven) -> String {
    let against = match even.versus {
        Versus::Api => "the API",
        Versus::Hosted => "the host",
    };
    let needed = match even.utilisation_needed {
        Some(needed) if needed > 1.0 => {
            "GPUs would have to be more than 100 % full at today's volume".to_owned()
        }
        Some(needed) => format!(
            "GPUs would have to be {} full, and are {}",
            percent(needed),
            percent(even.utilisation_now)
        ),
        None => format!("GPUs are {} full", percent(even.utilisation_now)),
    };
    let (Some(multiple), Some(tokens)) = (even.multiple, even.tokens_per_day) else {
        return format!("against {against}: at no volume up to 1000x today's; {needed}");
    };
    let band = even.band.map_or(String::new(), |band| {
        format!(
            ", with most likely values; over the draws at {} (P10 {}, P90 {})",
            times(band.p50),
            times(band.p10),
            times(band.p90)
        )
    });
    let fullness = even.utilisation.map_or(String::new(), |full| {
        format!(", GPUs {} full", percent(full))
    });
    format!(
        "against {against}: {} today's volume, {} tokens a day{fullness}{band}; {needed}",
        times(multiple),
        count(tokens)
    )
}

fn flows(advice: &Advice, lines: &mut Lines) {
    if advice.flows.len() < 2 {
        return;
    }
    lines.blank();
    lines.say(
        "",
        &format!(
            "{:<28} {:<6} {:>10} {:>10} {:>22} {:>8}",
            "Flow", "do", "API", "host", "owned alone, P10..P90", "cheapest"
        ),
    );
    for flow in advice.flows.iter().take(FLOWS_SHOWN) {
        let name: String = printable(&flow.traffic.flow).chars().take(28).collect();
        let alone = format!(
            "{}..{}",
            signed_usd(flow.alone.p10),
            signed_usd(flow.alone.p90)
        );
        let row = format!(
            "{name:<28} {:<6} {:>10} {:>10} {alone:>22} {:>8}",
            flow.decision.as_str(),
            usd(flow.api_usd),
            flow.hosted_usd.map_or("-".to_owned(), usd),
            percent(flow.alone_cheapest),
        );
        lines.text.push_str(&row);
        lines.blank();
    }
    if advice.flows.len() > FLOWS_SHOWN {
        lines.say(
            "",
            &format!("and {} more", advice.flows.len() - FLOWS_SHOWN),
        );
    }
}

fn inputs(advice: &Advice, lines: &mut Lines) {
    lines.blank();
    lines.say(
        "",
        "What the answer hangs on (saving a month against the API, P10 and P90 of one input):",
    );
    for swing in advice.tornado.iter().take(INPUTS_SHOWN) {
        lines.say(
            "  ",
            &format!(
                "{}: {} gives {}, {} gives {}",
                swing.about,
                with_unit(swing.low, &swing.unit),
                signed_usd(swing.saving_at_low),
                with_unit(swing.high, &swing.unit),
                signed_usd(swing.saving_at_high)
            ),
        );
    }
}

fn rest(advice: &Advice, lines: &mut Lines) {
    let verdict = &advice.verdict;
    lines.blank();
    for condition in &verdict.conditions {
        lines.say("First     ", condition);
    }
    for conclusion in advice
        .conclusions
        .iter()
        .filter(|conclusion| conclusion.decides)
    {
        lines.say(
            "Decides   ",
            &format!(
                "{} [{}; {}]",
                conclusion.says, conclusion.rule, conclusion.evidence
            ),
        );
    }
    if let Some(other) = advice.runners_up.first() {
        lines.say(
            "Or        ",
            &format!(
                "{}: saves {} a month against renting (P50)",
                other.name,
                signed_usd(other.saving.p50)
            ),
        );
    }
    for note in &advice.notes {
        lines.say("Assumed   ", note);
    }
    let is_rent = verdict.decision == Decision::Rent;
    lines.say(
        "Next      ",
        &format!("{} ({})", verdict.next.why, verdict.next.cost),
    );
    lines.say("          ", &verdict.next.command);
    if is_rent && advice.best.cheapest < 0.2 {
        lines.say(
            "          ",
            "Ask again when traffic or prices change much.",
        );
    }
}

/// Names come from outside: without what would move a terminal's cursor.
fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
