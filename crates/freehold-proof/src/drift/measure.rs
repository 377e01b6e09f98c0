//! What of an answer is watched, as numbers from 0 to 1.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// What of an answer is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How good it is, by a scorer.
    Score,
    /// How like the first run's answer to the same probe it is: chrF.
    Similarity,
    /// Whether it is the first run's answer, letter by letter: at temperature 0 and with a seed it should be, as far as
    /// the server keeps that.
    Identical,
    /// Its length over the sum of its length and the first run's: 0.5 when they are equal.
    Length,
    /// Whether it refuses.
    Refusals,
    /// Whether it took longer than nearly all of the baseline's.
    Slow,
    /// How near its embedding is to that of the first run's answer: the cosine.
    Meaning,
}

impl Measure {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Score,
        Self::Similarity,
        Self::Identical,
        Self::Length,
        Self::Refusals,
        Self::Slow,
        Self::Meaning,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Similarity => "similarity",
            Self::Identical => "identical",
            Self::Length => "length",
            Self::Refusals => "refusals",
            Self::Slow => "slow",
            Self::Meaning => "meaning",
        }
    }
}

impl std::str::FromStr for Measure {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|measure| measure.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!(
                "there is no measure `{name}`: there are {}",
                names.join(", ")
            )
        })
    }
}

/// How refusals begin, in some languages.
static REFUSAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^\W*(?:
            (?:i['’]?m|i\s+am)\s+(?:very\s+|really\s+|so\s+)?(?:sorry|afraid|unable|not\s+(?:able|allowed|comfortable))
          | (?:sorry|unfortunately|apologies|i\s+apologi[sz]e)\b.{0,40}\b(?:can['’]?t|cannot|can\s+not|unable|won['’]?t|not\s+able)
          | i\s+(?:can['’]?t|cannot|can\s+not|won['’]?t|must\s+decline|have\s+to\s+decline|(?:will|do)\s+not)\b
          | as\s+an\s+(?:ai|artificial)\b
          | es\s+tut\s+mir\s+leid | (?:ich\s+kann|leider\s+kann\s+ich)\b.{0,60}\bnicht\b
          | je\s+(?:suis\s+d[ée]sol[ée]|ne\s+peux\s+pas) | d[ée]sol[ée]
          | lo\s+siento | no\s+puedo\b
        )",
    )
    .ok()
});

/// Whether an answer begins as refusals do, in English, German, French or Spanish. A rough guess: it sees a change in how
/// often a model refuses, not each refusal.
#[must_use]
pub fn is_refusal(answer: &str) -> bool {
    // An opening is short.
    let opening: String = answer.chars().take(160).collect();
    REFUSAL
        .as_ref()
        .is_some_and(|refusal| refusal.is_match(&opening))
}

/// A length beside another: its share of both, 0.5 when they are equal or both nothing.
#[must_use]
pub fn length(chars: u64, reference_chars: u64) -> f64 {
    // One more on each side, so that an empty text has a length beside another.
    let [one, other] = [chars, reference_chars].map(|chars| chars as f64 + 1.0);
    one / (one + other)
}

/// Above what latency an answer counts as slow: one and a half times the 90th percentile of the baseline's, and 50 ms, as
/// machines and networks are never quiet.
#[must_use]
pub fn slow_above_ms(baseline_ms: &[u64]) -> Option<u64> {
    let mut sorted = baseline_ms.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * 9).div_ceil(10).checked_sub(1)?;
    let usual = sorted.get(place)?;
    Some(usual + (usual / 2).max(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_known_by_how_they_begin() {
        for refusal in [
            "I'm sorry, but I can't help with that.",
            "I’m really sorry, but no.",
            "Sorry, but I cannot share this.",
            "I cannot assist with that request.",
            "As an AI language model, I have no opinion.",
            "Es tut mir leid, dabei kann ich nicht helfen.",
            "Ich kann dir dabei leider nicht helfen.",
            "Je ne peux pas répondre à cela.",
            "Lo siento, no puedo ayudar con eso.",
            "\"I can't do that.\"",
        ] {
            assert!(is_refusal(refusal), "{refusal}");
        }
        for answer in [
            "",
            "The answer is 4.",
            "I think so: sorry, said the cat, I cannot come.",
            "Ich kann es: nein, warte.",
            "I am happy to help.",
            "Sorting takes a while.",
            "Unfortunately it rained.",
        ] {
            assert!(!is_refusal(answer), "{answer}");
        }
    }

    #[test]
    fn lengths_and_latencies_are_held_against_the_usual() {
        assert!((length(10, 10) - 0.5).abs() < 1e-12 && (length(0, 0) - 0.5).abs() < 1e-12);
        assert!((length(0, 98) - 0.01).abs() < 1e-12 && length(u64::MAX, 0) <= 1.0);
        assert_eq!(slow_above_ms(&[]), None);
        assert_eq!(slow_above_ms(&[4]), Some(54));
        let baseline: Vec<u64> = (1..=10).map(|step| step * 100).collect();
        assert_eq!(slow_above_ms(&baseline), Some(1_350));
    }

    #[test]
    fn measures_have_names() {
        for measure in Measure::ALL {
            assert_eq!(measure.name().parse(), Ok(measure));
            assert_eq!(serde_json::to_value(measure).unwrap(), measure.name());
        }
        assert!("speed".parse::<Measure>().is_err());
    }
}
