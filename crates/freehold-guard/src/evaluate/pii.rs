//! Personal data: gold spans against findings.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::class;
use super::interval::{Draws, Proportion, f_measure};

/// An annotated text.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// Names the sample in foreign findings.
    pub id: String,
    /// The text.
    pub text: String,
    /// What is sensitive in it. Spans without a letter or digit do not count.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// How many listed identifiers the annotators did not locate. Such a text without spans is not
    /// clean.
    #[serde(default)]
    pub unlocated: u32,
}

/// A gold span. Offsets count Unicode code points and are half-open.
#[derive(Clone, Debug, Deserialize)]
pub struct Span {
    /// First code point.
    pub start: usize,
    /// One beyond the last code point.
    pub end: usize,
    /// The annotators' name of the type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Something found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// The finder's name of the type.
    pub kind: String,
    /// Bytes of the text.
    pub range: Range<usize>,
}

/// What an evaluation found.
#[derive(Clone, Debug, Serialize)]
pub struct PiiReport {
    /// Texts.
    pub prompts: u64,
    /// Sensitive texts in which nothing at all was found.
    pub missed: Proportion,
    /// Clean texts in which something was found.
    pub flagged: Proportion,
    /// Sensitive texts that keep a part of a gold span after everything found is masked.
    pub residual: Proportion,
    /// By the annotators' type.
    pub kinds: Vec<KindRow>,
    /// By class, for classes that the annotators know.
    pub classes: Vec<ClassRow>,
}

/// One of the annotators' types.
#[derive(Clone, Debug, Serialize)]
pub struct KindRow {
    /// Their name of it.
    pub kind: String,
    /// The class, if one holds it.
    pub class: Option<&'static str>,
    /// Spans covered at least half by findings of the class.
    pub found: Option<Proportion>,
    /// Spans of which any finding covers something.
    pub seen: Proportion,
    /// Spans of which nothing is left after masking.
    pub covered: Proportion,
}

/// One class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRow {
    /// The class.
    pub class: &'static str,
    /// Findings that are right.
    pub precision: Proportion,
    /// Gold spans that are found.
    pub recall: Proportion,
    /// Weighs both the same.
    pub f1: f64,
    /// Weighs recall twice as much.
    pub f2: f64,
    /// 95 % interval of `f2`: percentiles of 1,000 bootstrap draws of texts.
    pub f2_interval: (f64, f64),
}

/// Per class and text: right findings, findings, found spans, spans.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    right: u64,
    findings: u64,
    found: u64,
    spans: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.right += other.right;
        self.findings += other.findings;
        self.found += other.found;
        self.spans += other.spans;
    }

    fn f(&self, beta: f64) -> f64 {
        let share = |hits, total| Proportion::new(hits, total).share.unwrap_or(0.0);
        f_measure(
            beta,
            share(self.right, self.findings),
            share(self.found, self.spans),
        )
    }
}

#[derive(Default)]
struct KindTally {
    spans: u64,
    found: u64,
    seen: u64,
    covered: u64,
}

/// Scores `find` on the samples. Types in `ignored` (upper or lower case) are treated as not
/// annotated.
pub fn evaluate_pii(
    samples: &[Sample],
    ignored: &[String],
    find: &mut dyn FnMut(&Sample) -> Vec<Predicted>,
) -> PiiReport {
    let mut score = Score::default();
    for sample in samples {
        let letters = Letters::of(&sample.text);
        let spans: Vec<_> = sample
            .spans
            .iter()
            .filter(|span| {
                !ignored
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&span.kind))
                    && letters.count(&(span.start..span.end)) > 0
            })
            .collect();
        let found = find(sample);
        if spans.is_empty() {
            if sample.spans.is_empty() && sample.unlocated == 0 {
                score.clean += 1;
                score.flagged += u64::from(!found.is_empty());
            }
        } else {
            score.sensitive += 1;
            score.missed += u64::from(found.is_empty());
        }
        let mut text = BTreeMap::new();
        score.spans(&letters, &spans, &found, &mut text);
        findings(&letters, &spans, &found, &mut text);
        score.texts.push(text);
    }
    score.report(samples.len() as u64)
}

/// What adds up over samples.
#[derive(Default)]
struct Score {
    kinds: BTreeMap<String, KindTally>,
    texts: Vec<Tallies>,
    sensitive: u64,
    missed: u64,
    residual: u64,
    clean: u64,
    flagged: u64,
}

/// The classes of one text.
type Tallies = BTreeMap<&'static str, Tally>;

impl Score {
    /// Counts which spans are found, seen and covered.
    fn spans(
        &mut self,
        letters: &Letters,
        spans: &[&Span],
        found: &[Predicted],
        text: &mut Tallies,
    ) {
        let all = letters.marked(found.iter().map(|one| letters.of_bytes(&one.range)));
        let mut keeps = false;
        for span in spans {
            let range = span.start..span.end;
            let tally = self.kinds.entry(span.kind.clone()).or_default();
            tally.spans += 1;
            let (size, masked) = letters.overlap(&range, &all);
            tally.seen += u64::from(masked > 0);
            tally.covered += u64::from(masked == size);
            keeps |= masked < size;
            let Some(class) = class(&span.kind) else {
                continue;
            };
            let same = found
                .iter()
                .filter(|one| super::class(&one.kind) == Some(class));
            let marked = letters.marked(same.map(|one| letters.of_bytes(&one.range)));
            let (size, inside) = letters.overlap(&range, &marked);
            let is_found = u64::from(inside * 2 >= size);
            tally.found += is_found;
            let tally = text.entry(class).or_default();
            tally.spans += 1;
            tally.found += is_found;
        }
        self.residual += u64::from(keeps);
    }

    fn report(self, prompts: u64) -> PiiReport {
        PiiReport {
            prompts,
            missed: Proportion::new(self.missed, self.sensitive),
            flagged: Proportion::new(self.flagged, self.clean),
            residual: Proportion::new(self.residual, self.sensitive),
            kinds: self
                .kinds
                .into_iter()
                .map(|(kind, tally)| KindRow {
                    class: class(&kind),
                    found: class(&kind).map(|_| Proportion::new(tally.found, tally.spans)),
                    seen: Proportion::new(tally.seen, tally.spans),
                    covered: Proportion::new(tally.covered, tally.spans),
                    kind,
                })
                .collect(),
            classes: class_rows(&self.texts),
        }
    }
}

/// Counts which findings are right.
fn findings(letters: &Letters, spans: &[&Span], found: &[Predicted], text: &mut Tallies) {
    for one in found {
        let Some(class) = class(&one.kind) else {
            continue;
        };
        let same = spans
            .iter()
            .filter(|span| super::class(&span.kind) == Some(class));
        let gold = letters.marked(same.map(|span| span.start..span.end));
        let (size, inside) = letters.overlap(&letters.of_bytes(&one.range), &gold);
        let tally = text.entry(class).or_default();
        tally.findings += 1;
        tally.right += u64::from(size > 0 && inside * 2 >= size);
    }
}

fn class_rows(texts: &[BTreeMap<&'static str, Tally>]) -> Vec<ClassRow> {
    let mut totals: BTreeMap<&'static str, Tally> = BTreeMap::new();
    for text in texts {
        for (class, tally) in text {
            totals.entry(class).or_default().add(tally);
        }
    }
    totals
        .into_iter()
        // What nobody annotated here can be neither right nor wrong.
        .filter(|(_, tally)| tally.spans > 0)
        .map(|(class, tally)| ClassRow {
            class,
            precision: Proportion::new(tally.right, tally.findings),
            recall: Proportion::new(tally.found, tally.spans),
            f1: tally.f(1.0),
            f2: tally.f(2.0),
            f2_interval: bootstrap(texts, class),
        })
        .collect()
}

const DRAWS: usize = 1_000;

/// Percentile bootstrap over texts (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
/// section 13.3).
fn bootstrap(texts: &[BTreeMap<&'static str, Tally>], class: &'static str) -> (f64, f64) {
    let tallies: Vec<Tally> = texts
        .iter()
        .map(|text| text.get(class).copied().unwrap_or_default())
        .collect();
    let mut draws = Draws(0x5EED);
    let mut values: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut sum = Tally::default();
            for _ in 0..tallies.len() {
                sum.add(&tallies[draws.below(tallies.len())]);
            }
            sum.f(2.0)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    (values[DRAWS * 25 / 1_000], values[DRAWS * 975 / 1_000 - 1])
}

/// The code points of a text: where each starts, and whether it counts (letters and digits do,
/// white space and punctuation do not).
struct Letters {
    starts: Vec<usize>,
    counts: Vec<bool>,
}

impl Letters {
    fn of(text: &str) -> Self {
        let (starts, counts) = text
            .char_indices()
            .map(|(start, letter)| (start, letter.is_alphanumeric()))
            .unzip();
        Self { starts, counts }
    }

    /// The code points of a byte range.
    fn of_bytes(&self, range: &Range<usize>) -> Range<usize> {
        let at = |byte| self.starts.partition_point(|start| *start < byte);
        at(range.start)..at(range.end)
    }

    fn marked(&self, ranges: impl Iterator<Item = Range<usize>>) -> Vec<bool> {
        let mut marks = vec![false; self.starts.len()];
        for range in ranges {
            let end = range.end.min(marks.len());
            if let Some(marks) = marks.get_mut(range.start..end) {
                marks.fill(true);
            }
        }
        marks
    }

    /// How many code points of the range count.
    fn count(&self, range: &Range<usize>) -> usize {
        let end = range.end.min(self.counts.len());
        let counts = self.counts.get(range.start..end).unwrap_or_default();
        counts.iter().filter(|counts| **counts).count()
    }

    /// How many code points of the range count, and how many of those are marked.
    fn overlap(&self, range: &Range<usize>, marks: &[bool]) -> (usize, usize) {
        let range = range.start.min(marks.len())..range.end.min(marks.len());
        let counting: Vec<_> = range.filter(|index| self.counts[*index]).collect();
        let inside = counting.iter().filter(|index| marks[**index]).count();
        (counting.len(), inside)
    }
}
