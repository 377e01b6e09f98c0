//! What is assumed: a range and a source for everything that was not measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::input::Input;
use crate::range::Range;

/// One assumption.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assumption {
    /// Its name in files.
    pub key: String,
    /// Lowest, most likely, highest.
    #[serde(flatten)]
    pub range: Range,
    /// What it counts.
    pub unit: String,
    /// What it means.
    pub about: String,
    /// Where it is from.
    pub source: String,
    /// Whether it is the user's own.
    pub is_own: bool,
}

/// As a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAssumption {
    low: Option<f64>,
    base: f64,
    high: Option<f64>,
    unit: Option<String>,
    about: Option<String>,
    source: Option<String>,
}

/// A bare number is a value that is known.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawEntry {
    Known(f64),
    Range(RawAssumption),
}

/// All assumptions, in the order of [`Input::ASSUMED`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Assumptions {
    entries: Vec<Assumption>,
}

impl Assumptions {
    /// The bundled defaults.
    ///
    /// # Errors
    /// [`PlanError::Malformed`] when the bundled file is broken, which this crate's tests would find.
    pub fn bundled() -> Result<Self, PlanError> {
        let raw = parse(
            include_str!("../data/assumptions.yaml"),
            "the bundled assumptions",
        )?;
        let mut entries = Vec::new();
        for (_, key) in Input::ASSUMED {
            let Some(RawEntry::Range(found)) = raw.get(key) else {
                return Err(PlanError::Malformed {
                    what: "the bundled assumptions".to_owned(),
                    why: format!("{key} is missing"),
                });
            };
            entries.push(Assumption {
                key: key.to_owned(),
                range: found.range(),
                unit: found.unit.clone().unwrap_or_default(),
                about: found.about.clone().unwrap_or_default(),
                source: found.source.clone().unwrap_or_default(),
                is_own: false,
            });
        }
        let assumptions = Self { entries };
        assumptions.check()?;
        Ok(assumptions)
    }

    /// The same with some replaced, as a YAML text says: `key: value`, or `key: {low, base, high, source}`.
    ///
    /// # Errors
    /// When the text does not read, a key is unknown, or a range makes no sense.
    pub fn with_yaml(mut self, yaml: &str) -> Result<Self, PlanError> {
        for (key, entry) in parse(yaml, "the assumptions")? {
            let Some(place) = self.entries.iter_mut().find(|entry| entry.key == key) else {
                return Err(unknown(&key));
            };
            match entry {
                RawEntry::Known(value) => {
                    place.range = Range::exactly(value);
                    "given".clone_into(&mut place.source);
                }
                RawEntry::Range(raw) => {
                    place.range = raw.range();
                    place.source = raw.source.unwrap_or_else(|| "given".to_owned());
                }
            }
            place.is_own = true;
        }
        self.check()?;
        Ok(self)
    }

    /// The same with one replaced.
    ///
    /// # Errors
    /// [`PlanError::Assumption`] when the range makes no sense.
    pub fn with(mut self, input: Input, range: Range, source: &str) -> Result<Self, PlanError> {
        if let Some(place) = self.entries.get_mut(input as usize) {
            place.range = range;
            source.clone_into(&mut place.source);
            place.is_own = true;
        }
        self.check()?;
        Ok(self)
    }

    /// The range of one; [`Input::GpuPrice`] and [`Input::HostedPrice`] have theirs elsewhere.
    #[must_use]
    pub fn range(&self, input: Input) -> Option<Range> {
        self.entries.get(input as usize).map(|entry| entry.range)
    }

    /// All of them.
    #[must_use]
    pub fn entries(&self) -> &[Assumption] {
        &self.entries
    }

    fn check(&self) -> Result<(), PlanError> {
        for ((input, key), entry) in Input::ASSUMED.iter().zip(&self.entries) {
            entry.range.check(key)?;
            let (least, most) = input.limits();
            if entry.range.low < least || entry.range.high > most {
                let Range { low, high, .. } = entry.range;
                return Err(PlanError::Assumption {
                    key: (*key).to_owned(),
                    why: format!(
                        "{low} to {high} {} is beyond all sense; it lies between {least} and {most}",
                        entry.unit
                    ),
                });
            }
        }
        Ok(())
    }
}

impl RawAssumption {
    fn range(&self) -> Range {
        Range {
            low: self.low.unwrap_or(self.base),
            base: self.base,
            high: self.high.unwrap_or(self.base),
        }
    }
}

fn parse(yaml: &str, what: &str) -> Result<BTreeMap<String, RawEntry>, PlanError> {
    serde_saphyr::from_str(yaml).map_err(|error| PlanError::Malformed {
        what: what.to_owned(),
        why: error.to_string(),
    })
}

fn unknown(key: &str) -> PlanError {
    let near = Input::ASSUMED
        .iter()
        .map(|(_, known)| (strsim::jaro_winkler(known, key), *known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.map_or(String::new(), |(_, known)| {
        format!("; did you mean {known}?")
    });
    PlanError::Assumption {
        key: key.to_owned(),
        why: format!("nothing is known by that name{hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_has_a_range_a_unit_and_a_source() {
        let bundled = Assumptions::bundled().unwrap();
        for ((input, key), entry) in Input::ASSUMED.iter().zip(bundled.entries()) {
            assert_eq!(entry.key, *key);
            assert_eq!(input.key(), *key);
            assert!(!entry.unit.is_empty() && !entry.about.is_empty(), "{key}");
            assert!(!entry.source.is_empty(), "{key}");
        }
        let all: Vec<usize> = Input::all().map(|input| input as usize).collect();
        assert_eq!(all, (0..crate::INPUTS).collect::<Vec<_>>());
    }

    #[test]
    fn own_ones_replace_the_bundled() {
        let own = "run_fte: 0.5\npue: {low: 1.2, base: 1.3, high: 1.4, source: our bill}\n";
        let read = Assumptions::bundled().unwrap().with_yaml(own).unwrap();
        assert_eq!(read.range(Input::RunFte), Some(Range::exactly(0.5)));
        let pue = &read.entries()[Input::Pue as usize];
        assert_eq!((pue.range.high, pue.source.as_str()), (1.4, "our bill"));
        assert!(pue.is_own && !read.entries()[0].is_own);
    }

    #[test]
    fn what_makes_no_sense_says_what_to_change() {
        let told = |yaml: &str| {
            let read = Assumptions::bundled().unwrap().with_yaml(yaml);
            read.unwrap_err().to_string()
        };
        assert!(told("pu: 1.2").contains("did you mean pue?"));
        assert!(told("pue: 40").contains("between 1 and 5"));
        assert!(told("life_years: -3").contains("beyond all sense"));
        assert!(told("life_years: {low: 5, base: 4, high: 6}").contains("not in order"));
        assert!(told("life_years: [").contains("the assumptions: "));
        assert!(told("life_years: {base: 4, upper: 6}").starts_with("the assumptions: "));
    }
}
