//! Counts of tokens as upstreams write them: whatever stands in a count's place is read, and what is
//! no count is told apart from zero.

use std::fmt;

use freehold_types::usage::UsageDoubt;
use freehold_types::{NanoUsd, Usage};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// More than this for one answer, in dollars, is a slip and no charge.
const USD_MAX: f64 = 1_000_000.0;

/// What stands in a count's place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Told {
    /// Nothing, or `null`.
    #[default]
    Nothing,
    /// A count.
    Count(u64),
    /// Something that cannot be one.
    Wrong(UsageDoubt),
}

impl Told {
    /// This, or the other when this is nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        match self {
            Self::Nothing => other,
            told => told,
        }
    }

    fn of_count(value: u64) -> Self {
        if value <= Usage::COUNT_MAX {
            Self::Count(value)
        } else {
            Self::Wrong(UsageDoubt::TooLarge)
        }
    }

    fn of_float(value: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked before, and halves of tokens are dropped"
        )]
        match value {
            negative if negative < 0.0 => Self::Wrong(UsageDoubt::Negative),
            huge if huge > 1e12 => Self::Wrong(UsageDoubt::TooLarge),
            sane if sane.is_finite() => Self::Count(sane as u64),
            _ => Self::Wrong(UsageDoubt::NotANumber),
        }
    }
}

/// Takes counts, and remembers what was wrong with any of them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) doubt: Option<UsageDoubt>,
}

impl Reader {
    /// A count that must be there; `None` when it is not, or is wrong.
    pub(crate) fn whole(&mut self, told: Told) -> Option<u64> {
        match told {
            Told::Nothing => None,
            Told::Count(count) => Some(count),
            Told::Wrong(doubt) => {
                self.doubt = self.doubt.or(Some(doubt));
                None
            }
        }
    }

    /// A count of a part: nothing is none.
    pub(crate) fn part(&mut self, told: Told) -> u64 {
        self.whole(told).unwrap_or(0)
    }

    /// A charge in dollars: absurd ones do not count.
    pub(crate) fn charge(&mut self, usd: Option<f64>) -> Option<NanoUsd> {
        let usd = usd?;
        let sane = (0.0..=USD_MAX).contains(&usd);
        if !sane {
            self.doubt = self.doubt.or(Some(UsageDoubt::AbsurdCost));
        }
        NanoUsd::from_usd(usd).filter(|_| sane)
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

const NOT_A_NUMBER: Told = Told::Wrong(UsageDoubt::NotANumber);

impl<'de> Visitor<'de> for Reading {
    type Value = Told;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Told, E> {
        Ok(Told::of_count(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Told, E> {
        let negative = Told::Wrong(UsageDoubt::Negative);
        Ok(u64::try_from(value).map_or(negative, Told::of_count))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Told, E> {
        Ok(Told::of_float(value))
    }

    fn visit_unit<E>(self) -> Result<Told, E> {
        Ok(Told::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Told, E> {
        Ok(NOT_A_NUMBER)
    }

    fn visit_str<E>(self, _: &str) -> Result<Told, E> {
        Ok(NOT_A_NUMBER)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Told, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(NOT_A_NUMBER)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Told, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(NOT_A_NUMBER)
    }
}
