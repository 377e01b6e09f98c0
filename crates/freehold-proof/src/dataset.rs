//! Data sets: what models are asked, and what they should answer. Model-agnostic, versioned by content.

mod promptfoo;
mod read;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::differences::Score;

pub use read::{BadDataSet, Form, read};

/// The stratum of cases that name none.
pub const STRATUM: &str = "all";
/// Hexadecimal digits of an id that is made from a case's content.
const ID_DIGITS: usize = 16;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Standing instructions.
    System,
    /// Standing instructions, as newer models of OpenAI call them.
    Developer,
    /// The person, or the app.
    User,
    /// The model: earlier answers and examples.
    Assistant,
}

/// One message of a chat, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// What an answer must be like, as the case itself says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Assertion {
    /// The same text; compared as JSON when the value is no text.
    Equals {
        /// What it equals.
        value: Value,
    },
    /// The text is in it.
    Contains {
        /// What is in it.
        value: String,
    },
    /// The text is in it, in whatever case.
    Icontains {
        /// What is in it.
        value: String,
    },
    /// The pattern is found in it.
    Regex {
        /// The pattern.
        value: String,
    },
    /// It is JSON, and valid by the schema when there is one.
    IsJson {
        /// A JSON Schema.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
}

/// One question with what is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The same in every run; by it, answers of two models are put into pairs.
    pub id: String,
    /// What is asked.
    pub messages: Vec<Message>,
    /// Right answers, any of which will do. Empty when nobody knows one.
    pub expected: Vec<Value>,
    /// What the case asserts.
    pub assertions: Vec<Assertion>,
    /// A language, a difficulty, or both: judged by itself.
    pub stratum: String,
    /// Further words about it.
    pub tags: Vec<String>,
    /// What a person gave the answer that is asked for: judges are held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_score: Option<Score>,
}

impl Case {
    /// What is asked and expected, in the canonical form that ids are made from.
    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json_canonicalizer::to_string(&(&self.messages, &self.expected, &self.assertions))
    }
}

/// A row that is no case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Where it is: `line 3`, `test 2`.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

/// What was read: every row is a case, a repetition or bad.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The good ones.
    pub set: DataSet,
    /// How the file is written.
    pub form: Form,
    /// Rows there were, empty lines left out.
    pub rows: u64,
    /// Rows that say what another one said before, and are left out.
    pub repeated: u64,
    /// Rows that are no cases.
    pub bad: Vec<BadRow>,
}

/// Cases in the order in which they were read. Ids differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataSet {
    cases: Vec<Case>,
}

impl DataSet {
    /// The cases.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// How many cases each stratum has.
    #[must_use]
    pub fn strata(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for case in &self.cases {
            *counts.entry(case.stratum.as_str()).or_default() += 1;
        }
        counts
    }

    /// SHA-256, in hexadecimal digits, of the cases in the order of their ids and in canonical JSON (RFC 8785).
    /// The same cases have the same version, whatever their order and the file's form.
    ///
    /// # Errors
    /// When a number has no canonical form.
    pub fn version(&self) -> Result<String, serde_json::Error> {
        let mut cases: Vec<&Case> = self.cases.iter().collect();
        cases.sort_by(|first, second| first.id.cmp(&second.id));
        let canonical = serde_json_canonicalizer::to_vec(&cases)?;
        Ok(hex(&Sha256::digest(canonical)))
    }

    /// The cases with these ids; `None` when one is not there.
    #[must_use]
    pub fn only(&self, ids: &BTreeSet<&str>) -> Option<Self> {
        let chosen = self
            .cases
            .iter()
            .filter(|case| ids.contains(case.id.as_str()));
        let cases: Vec<Case> = chosen.cloned().collect();
        (cases.len() == ids.len()).then_some(Self { cases })
    }

    /// So many of the cases: of every stratum its share, at least one where there is room for that, chosen by seed.
    #[must_use]
    pub fn sample(&self, count: usize, seed: u64) -> Self {
        if count >= self.cases.len() {
            return self.clone();
        }
        let mut ranked: BTreeMap<&str, Vec<([u8; 32], usize)>> = BTreeMap::new();
        for (index, case) in self.cases.iter().enumerate() {
            let rank = Sha256::new()
                .chain_update(seed.to_be_bytes())
                .chain_update(&case.id)
                .finalize();
            let stratum = ranked.entry(case.stratum.as_str()).or_default();
            stratum.push((rank.into(), index));
        }
        let sizes: Vec<usize> = ranked.values().map(Vec::len).collect();
        let mut chosen = Vec::new();
        for (mut stratum, size) in ranked.into_values().zip(shares(&sizes, count)) {
            stratum.sort_unstable();
            chosen.extend(stratum.into_iter().take(size).map(|(_, index)| index));
        }
        chosen.sort_unstable();
        let cases = chosen.into_iter().map(|index| self.cases[index].clone());
        Self {
            cases: cases.collect(),
        }
    }
}

/// Shares of `count` by the parts' sizes: one each while there is room, the rest by largest remainders.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    let floor = usize::from(count >= sizes.len());
    let exact = |size: usize| count as f64 * size as f64 / all as f64;
    let mut shares: Vec<usize> = sizes
        .iter()
        .map(|size| (exact(*size).floor() as usize).clamp(floor, *size))
        .collect();
    loop {
        let given: usize = shares.iter().sum();
        let owed = |index: usize| exact(sizes[index]) - shares[index] as f64;
        let by_owed = |first: &usize, second: &usize| owed(*first).total_cmp(&owed(*second));
        if given < count {
            let open = (0..sizes.len()).filter(|index| shares[*index] < sizes[*index]);
            let Some(index) = open.max_by(by_owed) else {
                return shares;
            };
            shares[index] += 1;
        } else if given > count {
            let open = (0..sizes.len()).filter(|index| shares[*index] > floor);
            let Some(index) = open.min_by(by_owed) else {
                return shares;
            };
            shares[index] -= 1;
        } else {
            return shares;
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row as it was read, its id not yet known to be its own.
struct Row {
    place: String,
    id: Option<String>,
    case: Case,
}

/// Puts rows together: leaves out what is repeated, and finds ids that mean two things.
#[derive(Default)]
struct Gathered {
    cases: Vec<Case>,
    /// Where a content, the questions and an id were first seen.
    contents: HashSet<String>,
    asked: HashMap<String, String>,
    ids: HashMap<String, String>,
    rows: u64,
    repeated: u64,
    bad: Vec<BadRow>,
}

impl Gathered {
    fn refuse(&mut self, place: String, reason: String) {
        self.rows += 1;
        self.bad.push(BadRow { place, reason });
    }

    fn add(&mut self, row: Row) {
        let Row {
            place,
            id,
            mut case,
        } = row;
        let content = case.content();
        let asked = serde_json_canonicalizer::to_string(&case.messages);
        let (content, asked) = match (content, asked) {
            (Ok(content), Ok(asked)) => (content, asked),
            (Err(error), _) | (_, Err(error)) => return self.refuse(place, error.to_string()),
        };
        if self.contents.contains(&content) {
            self.rows += 1;
            self.repeated += 1;
            return;
        }
        if let Some(first) = self.asked.get(&asked) {
            let reason = format!("{first} asks the same and expects something else");
            return self.refuse(place, reason);
        }
        case.id = id.unwrap_or_else(|| hex(&Sha256::digest(&content))[..ID_DIGITS].to_owned());
        if let Some(first) = self.ids.get(&case.id) {
            let reason = format!(
                "{first} has the same id `{}` and asks something else",
                case.id
            );
            return self.refuse(place, reason);
        }
        self.rows += 1;
        self.contents.insert(content);
        self.asked.insert(asked, place.clone());
        self.ids.insert(case.id.clone(), place);
        self.cases.push(case);
    }

    fn done(self, form: Form) -> Read {
        Read {
            set: DataSet { cases: self.cases },
            form,
            rows: self.rows,
            repeated: self.repeated,
            bad: self.bad,
        }
    }
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
