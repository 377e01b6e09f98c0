//! How claims, verdicts and figures are written.

use std::fmt::Write as _;

use super::world::Even;

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds in every case that was looked at.
    Confirmed,
    /// It holds in none.
    Refuted,
    /// It holds in some, and this decides.
    Depends(&'static str),
    /// No calculation decides it.
    NotCalculated,
}

impl Verdict {
    /// As the page says it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Confirmed => "confirmed".to_owned(),
            Self::Refuted => "refuted".to_owned(),
            Self::Depends(on) => format!("depends on {on}"),
            Self::NotCalculated => "not checked by a calculation".to_owned(),
        }
    }
}

/// The cases in which a claim was tried.
#[derive(Default)]
pub(crate) struct Cases(Vec<(String, bool)>);

impl Cases {
    pub(crate) fn add(&mut self, case: impl Into<String>, holds: bool) {
        self.0.push((case.into(), holds));
    }

    /// All, none, or some.
    pub(crate) fn verdict(&self, decides: &'static str) -> Verdict {
        let holding = self.0.iter().filter(|(_, holds)| *holds).count();
        match holding {
            0 => Verdict::Refuted,
            all if all == self.0.len() => Verdict::Confirmed,
            _ => Verdict::Depends(decides),
        }
    }

    /// In how many of them it holds, and in which.
    pub(crate) fn text(&self) -> String {
        let names = |wanted: bool| -> Vec<&str> {
            let of = self.0.iter().filter(|(_, holds)| *holds == wanted);
            of.map(|(name, _)| name.as_str()).collect()
        };
        let (holding, failing) = (names(true), names(false));
        let all = self.0.len();
        match (holding.len(), failing.len()) {
            (0, _) => format!("It holds in none of {all} cases."),
            (_, 0) => format!("It holds in all {all} cases."),
            (count, other) if count <= other => {
                format!(
                    "It holds in {count} of {all} cases: {}.",
                    holding.join("; ")
                )
            }
            (count, _) => format!(
                "It holds in {count} of {all} cases, not for: {}.",
                failing.join("; ")
            ),
        }
    }
}

/// A table of words and figures.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|cell| (*cell).to_owned()).collect(),
            rows: vec![],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn write(&self, page: &mut String) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        page.push_str(&line(&self.head));
        page.push_str(&format!("|{}\n", "---|".repeat(self.head.len())));
        for row in &self.rows {
            page.push_str(&line(row));
        }
        page.push('\n');
    }
}

/// One claim with what was found.
pub(crate) struct Claim {
    /// Essay and number.
    pub(crate) id: &'static str,
    /// The claim in our words.
    pub(crate) says: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found; one paragraph each.
    pub(crate) found: Vec<String>,
    pub(crate) table: Option<Table>,
    /// What was assumed.
    pub(crate) assumed: String,
    /// Where the answer turns.
    pub(crate) break_even: String,
}

impl Claim {
    pub(crate) fn write(&self, page: &mut String) {
        let _ = write!(page, "### {}. {}\n\n", self.id, self.says);
        paragraph(page, &format!("**Verdict: {}.**", self.verdict.text()));
        for found in &self.found {
            paragraph(page, found);
        }
        if let Some(table) = &self.table {
            table.write(page);
        }
        if !self.assumed.is_empty() {
            paragraph(page, &format!("*Assumed:* {}", self.assumed));
        }
        paragraph(page, &format!("*Break-even:* {}", self.break_even));
    }
}

/// Text in lines of at most 120 characters, and an empty line.
pub(crate) fn paragraph(page: &mut String, text: &str) {
    wrapped(page, text, "");
    page.push('\n');
}

/// A list item.
pub(crate) fn item(page: &mut String, text: &str) {
    wrapped(page, &format!("- {text}"), "  ");
}

fn wrapped(page: &mut String, text: &str, indent: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let is_full =
            !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > 118;
        if is_full {
            page.push_str(&line);
            page.push('\n');
            indent.clone_into(&mut line);
            line.push_str(word);
        } else {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    page.push_str(&line);
    page.push('\n');
}

/// Dollars: three digits that matter.
pub(crate) fn usd(amount: f64) -> String {
    let size = amount.abs();
    let sign = if amount < 0.0 { "-" } else { "" };
    let text = match size {
        _ if size < 0.01 => format!("{size:.4}"),
        _ if size < 1.0 => format!("{size:.3}"),
        _ if size < 100.0 => format!("{size:.2}"),
        _ => whole(size),
    };
    format!("{sign}${text}")
}

/// A number of things: three digits that matter.
pub(crate) fn count(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        size if size >= 999.5e6 => (number / 1e9, " billion"),
        size if size >= 999.5e3 => (number / 1e6, " million"),
        _ => return whole(number),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    format!("{text}{unit}")
}

/// To three digits, with commas.
fn whole(number: f64) -> String {
    let step = if number < 1_000.0 {
        1.0
    } else {
        10_f64.powf(number.log10().floor() - 2.0)
    };
    let rounded = format!("{:.0}", (number / step).round() * step);
    let mut text = String::new();
    for (index, digit) in rounded.chars().enumerate() {
        if index > 0 && (rounded.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as whole percent.
pub(crate) fn percent(share: f64) -> String {
    let digits = usize::from(share < 0.0095);
    format!("{:.digits$} %", share * 100.0)
}

/// What is saved of a rent, as percent; a loss says so.
pub(crate) fn saved(rent: f64, own: f64) -> String {
    let share = 1.0 - own / rent;
    if share >= 0.0 {
        format!("{} less", percent(share))
    } else {
        format!("{:.1} times", own / rent)
    }
}

/// Tokens a day, or that no volume is enough.
pub(crate) fn even(even: Option<&Even>) -> String {
    let tokens = even.and_then(|even| even.told.tokens_per_day);
    tokens.map_or("never".to_owned(), count)
}

/// The same with the machine, how many GPUs and how full.
pub(crate) fn even_in_full(even: Option<&Even>) -> String {
    let Some(found) = even else {
        return "never".to_owned();
    };
    let gpus = found.told.gpus.unwrap_or_default();
    let full = found.told.utilisation.unwrap_or_default();
    let tokens = found.told.tokens_per_day.unwrap_or_default();
    format!(
        "{} ({gpus} GPU{}, {} full)",
        count(tokens),
        if gpus == 1 { "" } else { "s" },
        percent(full)
    )
}
