//! Precision, recall and F1 of names.

use std::ops::Range;

use freehold_guard::training::{CLASSES, Gate, Model, detect_with};

use super::example::{Example, Gold};

/// Counts for one class.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    right: usize,
    found: usize,
    gold: usize,
    touched: usize,
    touching: usize,
}

impl Counts {
    fn f1(right_found: usize, found: usize, right_gold: usize, gold: usize) -> [f64; 3] {
        let precision = right_found as f64 / found.max(1) as f64;
        let recall = right_gold as f64 / gold.max(1) as f64;
        [
            precision,
            recall,
            2.0 * precision * recall / (precision + recall).max(1e-9),
        ]
    }

    fn add(&mut self, other: &Self) {
        self.right += other.right;
        self.found += other.found;
        self.gold += other.gold;
        self.touched += other.touched;
        self.touching += other.touching;
    }
}

/// Counts for each class.
#[derive(Default)]
pub(super) struct Measure([Counts; 3]);

fn trimmed(text: &str, range: &Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let inner = part.trim_matches(|letter: char| !letter.is_alphanumeric());
    let from = range.start + (inner.as_ptr() as usize - part.as_ptr() as usize);
    from..from + inner.len()
}

fn touch(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

impl Measure {
    /// Adds one text. What is found inside an address is neither right nor wrong.
    pub(super) fn add(&mut self, model: &Model<'_>, gate: &Gate, bias: f32, example: &Example) {
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        detect_with(model, gate, bias, &example.text, &mut |class, range, _| {
            found.push((class, range))
        });
        for (class, counts) in self.0.iter_mut().enumerate() {
            let gold: Vec<Range<usize>> = example
                .spans
                .iter()
                .filter(|(_, gold)| *gold == Gold::Class(class))
                .map(|(range, _)| trimmed(&example.text, range))
                .collect();
            let in_address = |range: &Range<usize>| {
                example
                    .spans
                    .iter()
                    .any(|(other, gold)| *gold == Gold::Address && touch(range, other))
            };
            let found: Vec<Range<usize>> = found
                .iter()
                .filter(|(other, range)| *other == class && !in_address(range))
                .map(|(_, range)| trimmed(&example.text, range))
                .collect();
            counts.add(&Counts {
                right: found.iter().filter(|range| gold.contains(range)).count(),
                found: found.len(),
                gold: gold.len(),
                touched: gold
                    .iter()
                    .filter(|gold| found.iter().any(|range| touch(range, gold)))
                    .count(),
                touching: found
                    .iter()
                    .filter(|range| gold.iter().any(|gold| touch(range, gold)))
                    .count(),
            });
        }
    }

    /// What is missed and what is found wrongly in one text, each with what stands around it.
    pub(super) fn mistakes(
        model: &Model<'_>,
        gate: &Gate,
        bias: f32,
        example: &Example,
    ) -> Vec<String> {
        let text = example.text.as_str();
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        detect_with(model, gate, bias, text, &mut |class, range, _| {
            found.push((class, range))
        });
        let around = |range: &Range<usize>| {
            let from = text.floor_char_boundary(range.start.saturating_sub(50));
            let to = text.ceil_char_boundary((range.end + 40).min(text.len()));
            let (before, after) = (&text[from..range.start], &text[range.end..to]);
            format!("{before:?} [[{:?}]] {after:?}", &text[range.clone()])
        };
        let named = |known: &(Range<usize>, Gold), range: &Range<usize>| touch(&known.0, range);
        let wrong = found
            .iter()
            .filter(|(_, range)| !example.spans.iter().any(|known| named(known, range)))
            .map(|(class, range)| format!("false {} {}", CLASSES[*class], around(range)));
        let missed = example.spans.iter().filter_map(|(range, gold)| match gold {
            Gold::Class(class) if !found.iter().any(|(_, other)| touch(other, range)) => {
                Some(format!("missed {} {}", CLASSES[*class], around(range)))
            }
            _ => None,
        });
        wrong.chain(missed).collect()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(&other.0)
            .for_each(|(counts, other)| counts.add(other));
    }

    /// Writes a table.
    #[expect(
        clippy::print_stdout,
        reason = "the answer of a program for the terminal"
    )]
    pub(super) fn print(&self, what: &str) {
        for (class, counts) in CLASSES.iter().zip(&self.0) {
            let [p, r, f] = Counts::f1(counts.right, counts.found, counts.right, counts.gold);
            let [tp, tr, tf] =
                Counts::f1(counts.touching, counts.found, counts.touched, counts.gold);
            println!(
                "{what:<24} {class:<13} {:>5}  exact P {p:.3} R {r:.3} F1 {f:.3}   overlap P {tp:.3} R {tr:.3} F1 {tf:.3}",
                counts.gold
            );
        }
    }
}
