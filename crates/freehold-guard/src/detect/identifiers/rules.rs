//! How an identifier is described: digits or letters and digits, a checksum, and what it needs to be
//! believed.

use std::sync::LazyLock;

use super::context::{Topic, Topics};
use super::number::{DIGITS_MAX, Prefix};

/// How sure it is that a number is what it is called, when it breaks that one's rule: it is reported,
/// because a mistyped number is as personal as a right one.
pub(super) const CALLED: f32 = 0.55;

/// Topics that stand for any country's code.
const ANY_NUMBER: Topics = Topics::of(&[Topic::NationalId, Topic::Tax]);

/// An identifier of digits only.
pub(super) struct NumberRule {
    pub(super) entity: &'static str,
    pub(super) length: usize,
    /// Next to these words any grouping is believed.
    pub(super) topics: Topics,
    /// Layouts that are believed without a word, e.g. `3.3.3-2`.
    pub(super) printed: &'static [&'static str],
    /// True when there is no checksum: then words of other numbers, such as orders, count against it.
    pub(super) unchecked: bool,
    /// True when digits in one piece are believed without a word.
    pub(super) alone: bool,
    /// True for what is called or written so, and breaks the rule: mistyped or made up.
    pub(super) doubtful: bool,
    /// Takes digits from 0 to 9, as many as `length`.
    pub(super) valid: fn(&[u8]) -> bool,
}

/// An identifier of letters and digits.
pub(super) struct CodeRule {
    pub(super) entity: &'static str,
    /// `9` for a digit, `A` for a letter, `X` for either.
    pub(super) shape: &'static str,
    pub(super) topics: Topics,
    /// True when the code is believed without a word.
    pub(super) alone: bool,
    /// True when it is usually written in groups.
    pub(super) spaced: bool,
    /// Takes capitals and digits, as many as the shape has.
    pub(super) valid: fn(&[u8]) -> bool,
}

pub(super) const fn number(
    entity: &'static str,
    length: usize,
    topics: &[Topic],
    valid: fn(&[u8]) -> bool,
) -> NumberRule {
    NumberRule {
        entity,
        length,
        topics: Topics::of(topics),
        printed: &[],
        unchecked: false,
        alone: false,
        doubtful: false,
        valid,
    }
}

impl NumberRule {
    pub(super) const fn printed(mut self, layouts: &'static [&'static str]) -> Self {
        self.printed = layouts;
        self
    }

    pub(super) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(super) const fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    pub(super) const fn doubtful(mut self) -> Self {
        self.doubtful = true;
        self
    }

    /// How sure the rule is of a number amid words, `None` when it is none.
    pub(super) fn confidence(&self, prefix: &Prefix<'_>, around: Topics) -> Option<f32> {
        let laid_out = || self.printed.iter().any(|layout| prefix.is_laid_out(layout));
        let other = around.has(Topic::Other);
        let confidence = if around.meets(self.topics) && (prefix.is_even() || laid_out()) {
            if self.doubtful { CALLED } else { 0.95 }
        } else if prefix.groups > 1 && laid_out() {
            // A telling layout is believed a little even where the words or the digits speak against it.
            if self.doubtful || self.unchecked && other {
                CALLED
            } else {
                0.8
            }
        } else if prefix.groups == 1 && self.alone && !other {
            0.75
        } else {
            return None;
        };
        (self.valid)(prefix.digits).then_some(confidence)
    }
}

pub(super) const fn code(
    entity: &'static str,
    shape: &'static str,
    topics: &[Topic],
    valid: fn(&[u8]) -> bool,
) -> CodeRule {
    CodeRule {
        entity,
        shape,
        topics: Topics::of(topics),
        alone: false,
        spaced: false,
        valid,
    }
}

impl CodeRule {
    pub(super) const fn spaced(mut self) -> Self {
        self.spaced = true;
        self
    }

    /// True when a code is written as it is printed: in capitals (long ones tell by themselves), with
    /// hyphens or, where that is usual, spaces between groups.
    pub(super) fn is_printed(&self, written: &[u8]) -> bool {
        const LONG: usize = 15;
        let has = |wanted: u8| written.contains(&wanted);
        let capital = !written.iter().any(u8::is_ascii_lowercase);
        let separated = has(b'.') || has(b'/') || has(b' ') && (!self.spaced || has(b'-'));
        (capital || self.shape.len() >= LONG && written.len() == self.shape.len()) && !separated
    }

    pub(super) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// How sure the rule is of a code amid words, `None` when it is none.
    pub(super) fn confidence(&self, code: &[u8], around: Topics) -> Option<f32> {
        let confidence = if around.meets(self.topics) {
            0.97
        } else if around.meets(ANY_NUMBER) {
            0.9
        } else if self.alone {
            0.8
        } else {
            return None;
        };
        (self.valid)(code).then_some(confidence)
    }
}

/// Longest code of a [`CodeRule`].
pub(super) const CODE_MAX: usize = 18;

/// A code rule with its shape as masks: bit `n` for the character `n`.
pub(super) struct Shaped {
    pub(super) rule: &'static CodeRule,
    letters: u32,
    digits: u32,
}

impl Shaped {
    /// True when letters stand where letters must, digits where digits must.
    pub(super) fn fits(&self, letters: u32) -> bool {
        letters & self.letters == self.letters && letters & self.digits == 0
    }
}

/// All rules, by the number of digits or characters.
pub(super) struct Rules {
    pub(super) numbers: [Vec<&'static NumberRule>; DIGITS_MAX + 1],
    pub(super) codes: [Vec<Shaped>; CODE_MAX + 1],
    /// Bit `n` when there are codes of `n` characters.
    pub(super) code_lengths: u32,
    /// The names of all of them.
    pub(super) topics: Topics,
}

/// The rules of all regions.
pub(super) static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules {
        numbers: Default::default(),
        codes: Default::default(),
        code_lengths: 0,
        topics: Topics::NONE,
    };
    for region in super::REGIONS {
        for rule in region.numbers {
            rules.topics = rules.topics.and(rule.topics);
            rules.numbers[rule.length].push(rule);
        }
        for rule in region.codes {
            rules.topics = rules.topics.and(rule.topics);
            let mask = |wanted: u8| {
                let places = rule.shape.bytes().enumerate();
                places
                    .filter(|(_, class)| *class == wanted)
                    .fold(0_u32, |mask, (place, _)| mask | 1 << place)
            };
            rules.code_lengths |= 1 << rule.shape.len();
            rules.codes[rule.shape.len()].push(Shaped {
                rule,
                letters: mask(b'A'),
                digits: mask(b'9'),
            });
        }
    }
    rules
});

/// The identifiers of a part of the world.
pub(super) struct Region {
    pub(super) numbers: &'static [NumberRule],
    pub(super) codes: &'static [CodeRule],
}
