//! `ServeGen`'s parameters: requests are made from them, as often as they say.
//!
//! Of each client and window of ten minutes the parameters tell the rate, and the family and shape of
//! the distribution of gaps; of each client and window of six hours, how long inputs and outputs are.
//! Method: Xiang et al., *`ServeGen`*, arXiv 2505.09999, section 5. The number of requests of a window
//! is its rate times its length, rounded at random. So many gaps, and one more, are drawn from the
//! family with the shape, and stretched to fill the window: the count is what the parameters say, and
//! a gap of a heavy tail cannot change it. Input and output are drawn independently, because only
//! their marginals are known.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Distribution, Gamma, Weibull};
use serde_json::Value;

use super::ImportOptions;
use super::cells::Cells;
use super::columns::{Field, Other};
use super::gather::{Gather, Pending, hashed, random, unit};
use super::report::{ImportError, Trouble};
use super::request::Taken;
use super::times::Moment;
use crate::{Arrival, FlowIndex, ModelIndex, NO_SESSION, UNKNOWN_COST};

/// How long a window of rates is, seconds.
const WINDOW_S: u32 = 600;
/// More requests a second of one client than this are a mistake.
const RATE_MAX: f64 = 1e6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Gamma,
    Weibull,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    client: u32,
    window_s: u32,
    rate: f64,
    pattern: Pattern,
    shape: f64,
}

/// How likely each length is.
#[derive(Debug)]
struct Table {
    lengths: Vec<u32>,
    chances: WeightedAliasIndex<f64>,
}

impl Table {
    fn draw(&self, random: &mut ChaCha8Rng) -> u32 {
        self.lengths[self.chances.sample(random)]
    }
}

#[derive(Debug)]
struct Lengths {
    /// Kinds of input, which add up.
    inputs: Vec<Table>,
    output: Table,
}

/// What was read of `ServeGen`'s files.
#[derive(Debug, Default)]
pub(super) struct ServeGen {
    rates: Vec<Rate>,
    /// By client, then by window.
    lengths: BTreeMap<u32, BTreeMap<u32, Lengths>>,
    rate_services: BTreeSet<String>,
    length_services: BTreeSet<String>,
}

impl ServeGen {
    /// Reads one row of rates.
    pub(super) fn rate(&mut self, cells: &Cells<'_>, file: &str) -> Result<Taken, Trouble> {
        let number = |other: Other, name: &'static str| -> Result<f64, Trouble> {
            let cell = cells.get(Field::Other(other));
            let cell = cell.ok_or_else(|| Trouble::at(name, "is missing"))?;
            let number = cell
                .number()
                .ok_or_else(|| Trouble::at(name, "is no number"))?;
            if number < 0.0 {
                return Err(Trouble::at(name, "is negative"));
            }
            Ok(number)
        };
        let rate = number(Other::Rate, "rate")?;
        if rate > RATE_MAX {
            return Err(Trouble::at(
                "rate",
                "is absurd: more than a million a second",
            ));
        }
        let shape = number(Other::Shape, "shape")?;
        if shape <= 0.0 || shape > 1e6 {
            return Err(Trouble::at(
                "shape",
                "must be more than 0 and at most a million",
            ));
        }
        let pattern = match cells.text(Field::Other(Other::Pattern)).as_deref() {
            Some("Gamma") => Pattern::Gamma,
            Some("Weibull") => Pattern::Weibull,
            _ => return Err(Trouble::at("pattern", "is neither Gamma nor Weibull")),
        };
        self.rates.push(Rate {
            client: whole(number(Other::Client, "client")?, "client")?,
            window_s: whole(number(Other::Window, "window_s")?, "window_s")?,
            rate,
            pattern,
            shape,
        });
        self.rate_services.insert(service(file));
        Ok(Taken::Parameters)
    }

    /// Reads one row of lengths.
    pub(super) fn lengths(&mut self, row: &Value, file: &str) -> Result<Taken, Trouble> {
        let number = |name: &'static str| {
            let number = row.get(name).and_then(Value::as_f64);
            whole(number.unwrap_or(-1.0), name)
        };
        let table_of = |name: &str| row.get(name).map(|chances| table(chances, name));
        let kinds = [
            "input_tokens",
            "text_tokens",
            "image_tokens",
            "audio_tokens",
            "video_tokens",
        ];
        let inputs: Result<Vec<Table>, Trouble> =
            kinds.iter().filter_map(|kind| table_of(kind)).collect();
        let inputs = inputs?;
        if inputs.is_empty() {
            return Err(Trouble::at("input_tokens", "is missing"));
        }
        let output = table_of("output_tokens");
        let output = output.ok_or_else(|| Trouble::at("output_tokens", "is missing"))??;
        let windows = self.lengths.entry(number("client")?).or_default();
        windows.insert(number("window_s")?, Lengths { inputs, output });
        self.length_services.insert(service(file));
        Ok(Taken::Parameters)
    }

    /// Makes the requests.
    pub(super) fn generate(
        &mut self,
        options: &ImportOptions,
        gather: &mut Gather,
    ) -> Result<(), ImportError> {
        if self.rates.is_empty() && self.lengths.is_empty() {
            return Ok(());
        }
        let missing = |missing| Err(ImportError::ServegenHalf { missing });
        if self.rates.is_empty() {
            return missing("the rates (…_rates.csv.gz)");
        }
        if self.lengths.is_empty() {
            return missing("the lengths (…_lengths.jsonl.gz)");
        }
        let seconds = f64::from(WINDOW_S);
        let all: f64 = self
            .rates
            .iter()
            .map(|rate| rate.rate * seconds)
            .sum::<f64>()
            * options.share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        gather.make_room(all as u64)?;
        let mut borrowed = 0;
        let before = gather.pending.len();
        for rate in &self.rates {
            borrowed += self.window(rate, gather)?;
        }
        let made = gather.pending.len() - before;
        gather.is_generated = true;
        self.tell(made, borrowed, gather);
        Ok(())
    }

    /// Makes the requests of one client and window; how many have borrowed lengths.
    fn window(&self, rate: &Rate, gather: &mut Gather) -> Result<u64, ImportError> {
        let key = hashed(&[rate.client.to_le_bytes(), rate.window_s.to_le_bytes()].concat());
        let mut random = random(gather.seed, key);
        let expected = rate.rate * f64::from(WINDOW_S) * gather.share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 6e8"
        )]
        let count = (expected + unit(&mut random)) as usize;
        gather.make_room(count as u64)?;
        let (lengths, is_borrowed) = self.lengths_of(rate, gather.seed);
        let start_us = i64::from(rate.window_s) * 1_000_000;
        let window_us = i64::from(WINDOW_S) * 1_000_000;
        gather.agree(Moment::Relative(start_us), "ServeGen")?;
        gather.looked(0, start_us + window_us);
        let flow = FlowIndex(gather.flows.number(&format!("client-{}", rate.client)));
        for at in moments(rate, count, &mut random) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "within ten minutes"
            )]
            let at_us = start_us + (at * window_us as f64) as i64;
            let input = lengths.inputs.iter().map(|table| table.draw(&mut random));
            let arrival = Arrival {
                input_tokens: input.fold(0, u32::saturating_add),
                output_tokens: lengths.output.draw(&mut random),
                flow,
                model: ModelIndex::NONE,
                session: NO_SESSION,
                ..Arrival::default()
            };
            gather.pending.push(Pending {
                at_us,
                arrival,
                cost_nano_usd: UNKNOWN_COST,
            });
        }
        Ok(if is_borrowed { count as u64 } else { 0 })
    }

    /// The client's own lengths of the nearest window, or those of another client, always the same.
    fn lengths_of(&self, rate: &Rate, seed: u64) -> (&Lengths, bool) {
        let (windows, is_borrowed) = match self.lengths.get(&rate.client) {
            Some(windows) => (windows, self.rate_services != self.length_services),
            None => {
                let key = hashed(&rate.client.to_le_bytes());
                let mut random = random(seed, key);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "an index below the length"
                )]
                let index = (unit(&mut random) * self.lengths.len() as f64) as usize;
                let other = self.lengths.values().nth(index);
                let first = self.lengths.values().next();
                (
                    other.or(first).unwrap_or_else(|| unreachable!("not empty")),
                    true,
                )
            }
        };
        let before = windows.range(..=rate.window_s).next_back();
        let after = windows.range(rate.window_s..).next();
        let nearest = match (before, after) {
            (Some(before), Some(after)) => {
                if rate.window_s - before.0 <= after.0 - rate.window_s {
                    before
                } else {
                    after
                }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => unreachable!("a client has a window"),
        };
        (nearest.1, is_borrowed)
    }

    fn tell(&self, made: usize, borrowed: u64, gather: &mut Gather) {
        gather.note(format!(
            "{made} requests were generated from ServeGen's parameters: they are no record. Input and \
             output lengths were drawn independently."
        ));
        if borrowed > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            let percent = 100.0 * borrowed as f64 / made.max(1) as f64;
            let why = if self.rate_services == self.length_services {
                "the lengths of their clients are not in the files"
            } else {
                "the lengths are another service's"
            };
            gather.note(format!(
                "{borrowed} of them ({percent:.1} %) have borrowed lengths, because {why}."
            ));
        }
    }
}

/// Moments within a window, from 0 to 1, in order.
fn moments(rate: &Rate, count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
    let gaps: Vec<f64> = match rate.pattern {
        Pattern::Gamma => drawn(Gamma::new(rate.shape, 1.0).ok(), count + 1, random),
        Pattern::Weibull => drawn(Weibull::new(1.0, rate.shape).ok(), count + 1, random),
    };
    let whole: f64 = gaps.iter().sum();
    if !(whole.is_finite() && whole > 0.0) {
        // All gaps are too small or too large to be written down.
        let mut moments: Vec<f64> = (0..count).map(|_| unit(random)).collect();
        moments.sort_by(f64::total_cmp);
        return moments;
    }
    let mut at = 0.0;
    let moments = gaps.iter().take(count).map(|gap| {
        at += gap;
        (at / whole).min(1.0 - f64::EPSILON)
    });
    moments.collect()
}

fn drawn<D: Distribution<f64>>(
    distribution: Option<D>,
    count: usize,
    random: &mut ChaCha8Rng,
) -> Vec<f64> {
    // A shape that the distribution refuses leaves equal gaps.
    match distribution {
        Some(distribution) => (0..count).map(|_| distribution.sample(random)).collect(),
        None => vec![1.0; count],
    }
}

fn whole(number: f64, name: &str) -> Result<u32, Trouble> {
    if number < 0.0 || number.fract() != 0.0 || number > 1e9 {
        return Err(Trouble::at(name, "is no whole number from 0 to a billion"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked"
    )]
    Ok(number as u32)
}

fn table(chances: &Value, name: &str) -> Result<Table, Trouble> {
    let bad = |reason: &'static str| Trouble::at(name, reason);
    let object = chances.as_object();
    let object = object.ok_or_else(|| bad("is no object of lengths and chances"))?;
    let mut lengths = Vec::with_capacity(object.len());
    let mut weights = Vec::with_capacity(object.len());
    for (length, chance) in object {
        let length: u32 = length
            .parse()
            .map_err(|_| bad("has a length that is no number"))?;
        let chance = chance.as_f64().filter(|chance| *chance >= 0.0);
        lengths.push(length.min(100_000_000));
        weights.push(chance.ok_or_else(|| bad("has a chance that is no number from 0"))?);
    }
    let chances = WeightedAliasIndex::new(weights);
    let chances = chances.map_err(|_| bad("has no chance that is more than 0"))?;
    Ok(Table { lengths, chances })
}

/// The service that a file is of, by its name: `servegen_m_mid_rates.csv.gz` is of `servegen_m_mid`.
fn service(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let end = name.find("_rates").or_else(|| name.find("_lengths"));
    end.map_or_else(String::new, |end| name[..end].to_owned())
}
