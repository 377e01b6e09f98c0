//! How good the detectors are on annotated texts: per type, per prompt, with intervals.
//!
//! Input: samples with gold spans, and whatever finds things in a text (the guard, or another
//! product's findings read from a file). Output: counts as [`Proportion`]s with 95 % intervals.
//! Nothing here reads a file or keeps a text.
//!
//! **Matching.** A gold span is *found* when at least half of its characters are covered by findings
//! of its class, and *seen* when at least one character is covered by any finding. A finding is
//! *right* when at least half of its characters lie in gold spans of its class. White space and
//! punctuation at the ends count for nothing. Both sides use upstream's own type names; the classes
//! in [`class`] say which mean the same.

mod classes;
mod injection;
mod interval;
mod pii;
#[cfg(test)]
mod tests;

pub use classes::class;
pub use injection::{InjectionReport, Labelled, evaluate_injection};
pub use interval::Proportion;
pub use pii::{ClassRow, KindRow, PiiReport, Predicted, Sample, Span, evaluate_pii};
