//! What the mock upstream does wrong, to whom, and how often.

use std::{
    str::FromStr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum as _;
use hyper::HeaderMap;
use memchr::memmem;

/// A header that asks for a fault by its name.
const HEADER: &str = "x-mock-fault";
/// A model of this beginning and a fault's name asks for it, through any gateway.
const MODEL_HEAD: &[u8] = b"fault-";

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// 429 with `Retry-After`.
    #[value(name = "429")]
    TooMany,
    /// 500.
    #[value(name = "500")]
    Internal,
    /// 503.
    #[value(name = "503")]
    Unavailable,
    /// A part of the answer, then the connection is reset.
    Reset,
    /// A stream that goes silent; an answer whose headers never come.
    Stall,
    /// Half an event, or half a body, then the connection ends.
    Half,
    /// An event, or a body, that is no JSON.
    Malformed,
    /// Headers that come late.
    Slow,
    /// A thousand times the tokens in the usage.
    Usage,
}

/// When faults happen.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FaultOptions {
    /// A fault that a share of the requests meets, as `NAME=SHARE`, e.g. `500=0.01` (repeatable). Which ones follows
    /// from `--seed` and their order. The header `x-mock-fault: NAME` and the model `fault-NAME` ask for one.
    #[arg(long = "fault")]
    shares: Vec<Share>,
    /// Chooses other requests for faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The token of a stream at which `reset`, `stall`, `half` and `malformed` strike; the first is 0.
    #[arg(long, default_value_t = 3)]
    pub(super) fault_token: usize,
    /// `Retry-After` of 429, in seconds.
    #[arg(long, default_value_t = 1)]
    pub(super) retry_after_s: u64,
    /// How late the headers of `slow` are, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    pub(super) slow_ms: u64,
}

/// How many requests meet a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Share {
    fault: Fault,
    of_one: f64,
}

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, share) = text.split_once('=').context("write NAME=SHARE")?;
        let fault = Fault::named(name.as_bytes());
        let of_one = share.parse()?;
        ensure!((0.0..=1.0).contains(&of_one), "a share is between 0 and 1");
        Ok(Self {
            fault: fault.with_context(|| format!("there is no fault `{name}`"))?,
            of_one,
        })
    }
}

impl Fault {
    fn named(name: &[u8]) -> Option<Self> {
        let mut all = Self::value_variants().iter().copied();
        all.find(|fault| fault.name().as_bytes() == name)
    }

    /// As the options and the counts call it.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Chooses faults and counts them.
pub(super) struct Faults {
    pub(super) options: FaultOptions,
    seen: AtomicU64,
    counts: Vec<AtomicU64>,
}

impl Faults {
    pub(super) fn new(options: FaultOptions) -> anyhow::Result<Self> {
        let all: f64 = options.shares.iter().map(|share| share.of_one).sum();
        ensure!(
            all <= 1.0,
            "the faults' shares are {all} together, more than 1"
        );
        Ok(Self::counted(options))
    }

    fn counted(options: FaultOptions) -> Self {
        Self {
            options,
            seen: AtomicU64::new(0),
            counts: Fault::value_variants()
                .iter()
                .map(|_| AtomicU64::new(0))
                .collect(),
        }
    }

    /// No faults but those that are asked for.
    pub(super) fn none() -> Self {
        let options = FaultOptions {
            shares: Vec::new(),
            seed: 1,
            fault_token: 3,
            retry_after_s: 1,
            slow_ms: 1_000,
        };
        Self::counted(options)
    }

    /// What happens to a request: what it asks for, otherwise what its turn brings.
    pub(super) fn of(&self, headers: &HeaderMap, body: &[u8]) -> Option<Fault> {
        let header = headers.get(HEADER);
        let named = header.and_then(|name| Fault::named(name.as_bytes()));
        let fault = named
            .or_else(|| Fault::named(model(body)?.strip_prefix(MODEL_HEAD)?))
            .or_else(|| self.in_turn());
        if let Some(fault) = fault {
            self.counts[fault as usize].fetch_add(1, Relaxed);
        }
        fault
    }

    fn in_turn(&self) -> Option<Fault> {
        if self.options.shares.is_empty() {
            return None;
        }
        let number = self.seen.fetch_add(1, Relaxed);
        let mut drawn = uniform(self.options.seed, number);
        self.options.shares.iter().find_map(|share| {
            let hit = drawn < share.of_one;
            drawn -= share.of_one;
            hit.then_some(share.fault)
        })
    }

    /// How often each has happened.
    pub(super) fn counts(&self) -> serde_json::Value {
        let counts = Fault::value_variants().iter().zip(&self.counts);
        let counts = counts.map(|(fault, count)| (fault.name(), count.load(Relaxed).into()));
        serde_json::Value::Object(counts.collect())
    }
}

/// The value of `model`, without parsing the body: the mock must stay cheaper than what it measures.
fn model(body: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"\"model\"";
    let rest = &body[memmem::find(body, NAME)? + NAME.len()..];
    let rest = rest.trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

/// A number from 0 to 1 that follows from the two: SplitMix64 (Steele, Lea and Flood, 2014).
fn uniform(seed: u64, number: u64) -> f64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = seed.wrapping_add(STEP.wrapping_mul(number.wrapping_add(1)));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let fraction = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

/// Whether a connection is to be reset when it closes.
pub(crate) type Reset = std::sync::Arc<AtomicBool>;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(shares: &[&str]) -> Faults {
        let shares = shares.iter().map(|share| share.parse().unwrap()).collect();
        Faults::new(FaultOptions {
            shares,
            seed: 1,
            fault_token: 3,
            retry_after_s: 1,
            slow_ms: 1,
        })
        .unwrap()
    }

    #[test]
    fn headers_and_models_ask_for_faults() {
        let none = faults(&[]);
        let mut headers = HeaderMap::new();
        let of_model = |model: &str| {
            let body = format!(r#"{{"messages":[], "model" : "{model}"}}"#);
            none.of(&HeaderMap::new(), body.as_bytes())
        };
        assert_eq!(of_model("fault-429"), Some(Fault::TooMany));
        assert_eq!(of_model("fault-half"), Some(Fault::Half));
        assert_eq!(of_model("fault-418"), None);
        assert_eq!(of_model("mock"), None);
        headers.insert(HEADER, "reset".parse().unwrap());
        assert_eq!(none.of(&headers, b"{}"), Some(Fault::Reset));
        let counts = none.counts();
        assert_eq!(
            (&counts["429"], &counts["reset"], &counts["stall"]),
            (&1.into(), &1.into(), &0.into())
        );
    }

    #[test]
    fn shares_are_met_and_the_same_each_time() {
        let draw = || {
            let faults = faults(&["500=0.1", "stall=0.05"]);
            let met = |_| faults.of(&HeaderMap::new(), b"");
            (0..10_000).map(met).collect::<Vec<_>>()
        };
        let (one, other) = (draw(), draw());
        assert_eq!(one, other);
        let count = |fault| one.iter().filter(|met| **met == Some(fault)).count();
        // Five standard deviations of a fair draw.
        assert!(
            count(Fault::Internal).abs_diff(1_000) < 150,
            "{}",
            count(Fault::Internal)
        );
        assert!(
            count(Fault::Stall).abs_diff(500) < 110,
            "{}",
            count(Fault::Stall)
        );
        assert_eq!(count(Fault::Reset), 0);
    }

    #[test]
    fn shares_that_cannot_be_meant_are_refused() {
        for wrong in ["500", "500=2", "418=0.1", "500=x"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        let shares = ["500=0.6", "stall=0.6"]
            .map(|share| share.parse().unwrap())
            .to_vec();
        let options = FaultOptions {
            shares,
            ..faults(&[]).options
        };
        assert!(Faults::new(options).is_err());
    }
}
