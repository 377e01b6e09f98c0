//! The price book: what a request cost by the token, at the dated list price or the operator's own.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use freehold_types::outcome::{Cost, CostBasis};
use freehold_types::{NanoUsd, PriceBasis, Usage};
use genai_prices::{Calculator, ErrorKind, PriceRequest, UsageKey};
use parking_lot::RwLock;

use crate::rounding::{from_listed_usd, nearest, saturating};

const MILLION: i128 = 1_000_000;

/// Tokens at which list prices are sampled for estimates: below every long-prompt tier.
const SAMPLE_TOKENS: u32 = 1_000;

/// Prompts longer than this are estimated with the full calculation, which knows long-prompt tiers.
const SAMPLED_UP_TO_TOKENS: u64 = 100_000;

/// How many (provider, model) pairs the estimates remember; the names come from clients.
const REMEMBERED_MODELS: usize = 4_096;

const NOT_BY_TOKEN: &str = "it is not sold by the token";

/// Why a cost is unknown. Unknown is not zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCost {
    /// Nobody said how the deployment is paid for.
    #[error("no price is configured")]
    NoPrice,
    /// The price book knows no such model.
    #[error("the price book has no price for {model} of {provider}")]
    NotListed {
        /// The price book's provider id.
        provider: String,
        /// The model that was looked up.
        model: String,
    },
    /// The price book knows the model, but could not price this usage.
    #[error("the price book could not price this usage of {model} of {provider}: {detail}")]
    NotPriceable {
        /// The price book's provider id.
        provider: String,
        /// The model that was looked up.
        model: String,
        /// What it said.
        detail: String,
    },
    /// Paid by the hour: tokens do not tell the cost, [`crate::OwnedMeter`] does.
    #[error("paid by the hour: time tells the cost, not tokens")]
    Hourly,
}

/// List prices per request and per token, in dollars, for estimates.
#[derive(Clone, Copy, Debug)]
struct SampledRates {
    request_usd: f64,
    input_usd: f64,
    output_usd: f64,
}

/// What has been sampled for one model, valid during one half-hour: some list prices depend on
/// the time of day, and all of them on the date.
#[derive(Clone, Debug)]
struct Sample {
    unix_half_hour: u64,
    rates: Result<SampledRates, UnknownCost>,
}

/// Knows list prices by provider, model and date.
///
/// The price data is compiled in; the first use decodes it (about 55 ms and 17 MB, once per process),
/// so make one at start-up.
pub struct PriceBook {
    listed: &'static Calculator,
    samples: RwLock<HashMap<String, HashMap<String, Sample>>>,
}

impl std::fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PriceBook").finish_non_exhaustive()
    }
}

impl Default for PriceBook {
    fn default() -> Self {
        Self::bundled()
    }
}

impl PriceBook {
    /// The price book that is compiled in.
    pub fn bundled() -> Self {
        Self {
            listed: Calculator::bundled(),
            samples: RwLock::default(),
        }
    }

    /// What `usage` cost at the price of `at_unix_ms` (Unix milliseconds of the request).
    ///
    /// Cached, cache-write (5 minutes and 1 hour), reasoning and audio tokens have their own price
    /// where the vendor has one, and are never charged a second time as part of their whole. Parts
    /// that exceed their whole (a vendor's slip) are cut to it.
    ///
    /// Rounding: once per request, to the nearest nano-USD, halves up. The operator's own price per
    /// token is computed in integers throughout; list prices in floats whose error is far below a
    /// nano-dollar.
    ///
    /// # Errors
    /// [`UnknownCost`] when nobody can tell.
    pub fn cost(
        &self,
        basis: &PriceBasis,
        usage: &Usage,
        at_unix_ms: u64,
    ) -> Result<Cost, UnknownCost> {
        let usage = consistent(usage);
        let total = match basis {
            PriceBasis::Unknown => return Err(UnknownCost::NoPrice),
            PriceBasis::Hourly { .. } => return Err(UnknownCost::Hourly),
            PriceBasis::Listed { provider, model } => {
                self.listed(provider, model, &usage, at_unix_ms)?
            }
            PriceBasis::PerToken {
                input_per_million,
                cached_input_per_million,
                output_per_million,
            } => per_token(
                &usage,
                *input_per_million,
                cached_input_per_million.unwrap_or(*input_per_million),
                *output_per_million,
            ),
        };
        Ok(Cost {
            total,
            idle_share: NanoUsd::ZERO,
            basis: CostBasis::Tokens,
        })
    }

    /// What a request will probably cost, for routing: nothing cached, output as expected. Cheap
    /// enough to ask for every candidate of every request.
    ///
    /// # Errors
    /// [`UnknownCost`] when nobody can tell; also for deployments paid by the hour, whose expected
    /// cost depends on their speed ([`busy_cost`](Self::busy_cost)).
    pub fn estimate(
        &self,
        basis: &PriceBasis,
        input_tokens: u64,
        expected_output_tokens: u64,
        at_unix_ms: u64,
    ) -> Result<NanoUsd, UnknownCost> {
        let usage = Usage {
            input_tokens,
            output_tokens: expected_output_tokens,
            ..Usage::default()
        };
        let PriceBasis::Listed { provider, model } = basis else {
            return Ok(self.cost(basis, &usage, at_unix_ms)?.total);
        };
        if input_tokens > SAMPLED_UP_TO_TOKENS {
            return self.listed(provider, model, &usage, at_unix_ms);
        }
        let rates = self.sampled_rates(provider, model, at_unix_ms)?;
        let usd = rates.request_usd
            + rates.input_usd * count(input_tokens)
            + rates.output_usd * count(expected_output_tokens);
        Ok(from_listed_usd(usd).unwrap_or_else(|| saturating(i128::MAX)))
    }

    /// The cost of keeping an owned machine busy for `busy_us` microseconds. Rounded to the nearest.
    pub fn busy_cost(per_hour: NanoUsd, busy_us: u64) -> NanoUsd {
        nearest(
            i128::from(per_hour.nanos().max(0)) * i128::from(busy_us),
            3_600_000_000,
        )
    }

    /// The context window that the price book knows, in tokens; `None` when it does not.
    ///
    /// Only exact model ids are found: a guess could let a prompt through that does not fit.
    pub fn context_window_tokens(&self, provider: &str, model: &str) -> Option<u64> {
        let provider = self.listed.find_provider(Some(provider), None).ok()??;
        let mut models = provider.models();
        models.find(|listed| listed.id() == model)?.context_window()
    }

    /// The price book's id for a provider, by id or alias; `None` when it knows none.
    pub fn provider_id(&self, provider: &str) -> Option<&'static str> {
        let found = self.listed.find_provider(Some(provider), None).ok()??;
        Some(found.id())
    }

    fn listed(
        &self,
        provider: &str,
        model: &str,
        usage: &Usage,
        at_unix_ms: u64,
    ) -> Result<NanoUsd, UnknownCost> {
        let usd = self.listed_usd(provider, model, &listed_usage(usage), at_unix_ms)?;
        let not_priceable = |detail: &str| UnknownCost::NotPriceable {
            provider: short(provider),
            model: short(model),
            detail: detail.to_owned(),
        };
        if usd <= 0.0 && usage.total_tokens() > 0 && !model.ends_with(":free") {
            // Models sold by the minute or the picture are listed without a price per token.
            return Err(not_priceable(NOT_BY_TOKEN));
        }
        from_listed_usd(usd).ok_or_else(|| not_priceable("the price is out of range"))
    }

    fn listed_usd(
        &self,
        provider: &str,
        model: &str,
        usage: &genai_prices::Usage,
        at_unix_ms: u64,
    ) -> Result<f64, UnknownCost> {
        // Later than the year 2500 is a broken clock; the newest price is the best answer to it.
        let since_epoch = Duration::from_millis(at_unix_ms.min(16_725_225_600_000));
        let request = PriceRequest::new(model, usage)
            .with_provider_id(provider)
            .with_timestamp(UNIX_EPOCH + since_epoch);
        match self.listed.calculate(&request) {
            Ok(price) => Ok(price.total_price),
            Err(error) => Err(match error.kind() {
                ErrorKind::ProviderNotFound | ErrorKind::ModelNotFound => UnknownCost::NotListed {
                    provider: short(provider),
                    model: short(model),
                },
                _ => UnknownCost::NotPriceable {
                    provider: short(provider),
                    model: short(model),
                    detail: error.to_string(),
                },
            }),
        }
    }

    fn sampled_rates(
        &self,
        provider: &str,
        model: &str,
        at_unix_ms: u64,
    ) -> Result<SampledRates, UnknownCost> {
        let unix_half_hour = at_unix_ms / 1_800_000;
        if let Some(sample) = self.samples.read().get(provider).and_then(|m| m.get(model))
            && sample.unix_half_hour == unix_half_hour
        {
            return sample.rates.clone();
        }
        let rates = self.sample(provider, model, at_unix_ms);
        let mut samples = self.samples.write();
        if samples.values().map(HashMap::len).sum::<usize>() >= REMEMBERED_MODELS {
            samples.clear();
        }
        let sample = Sample {
            unix_half_hour,
            rates: rates.clone(),
        };
        samples
            .entry(provider.to_owned())
            .or_default()
            .insert(model.to_owned(), sample);
        rates
    }

    fn sample(
        &self,
        provider: &str,
        model: &str,
        at_unix_ms: u64,
    ) -> Result<SampledRates, UnknownCost> {
        let rate = |input: u32, output: u32| {
            let usage = genai_prices::Usage::from([
                (UsageKey::INPUT_TOKENS, f64::from(input)),
                (UsageKey::OUTPUT_TOKENS, f64::from(output)),
            ]);
            self.listed_usd(provider, model, &usage, at_unix_ms)
        };
        let request_usd = rate(0, 0)?;
        let input_usd = (rate(SAMPLE_TOKENS, 0)? - request_usd) / f64::from(SAMPLE_TOKENS);
        let output_usd = (rate(0, SAMPLE_TOKENS)? - request_usd) / f64::from(SAMPLE_TOKENS);
        if input_usd <= 0.0 && output_usd <= 0.0 && !model.ends_with(":free") {
            return Err(UnknownCost::NotPriceable {
                provider: short(provider),
                model: short(model),
                detail: NOT_BY_TOKEN.to_owned(),
            });
        }
        Ok(SampledRates {
            request_usd,
            input_usd,
            output_usd,
        })
    }
}

/// Cuts parts to their whole.
fn consistent(usage: &Usage) -> Usage {
    let mut usage = *usage;
    usage.cached_input_tokens = usage.cached_input_tokens.min(usage.input_tokens);
    usage.cache_write_tokens = usage
        .cache_write_tokens
        .min(usage.input_tokens - usage.cached_input_tokens);
    usage.cache_write_1h_tokens = usage.cache_write_1h_tokens.min(usage.cache_write_tokens);
    // Audio in a cache is not told apart: what is cached counts as text first.
    usage.input_audio_tokens = usage
        .input_audio_tokens
        .min(usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens);
    usage.reasoning_tokens = usage.reasoning_tokens.min(usage.output_tokens);
    usage.output_audio_tokens = usage
        .output_audio_tokens
        .min(usage.output_tokens - usage.reasoning_tokens);
    usage
}

/// The usage in the price book's terms: parts are contained in wholes there too.
fn listed_usage(usage: &Usage) -> genai_prices::Usage {
    let parts = [
        (UsageKey::CACHE_READ_TOKENS, usage.cached_input_tokens),
        (UsageKey::CACHE_WRITE_TOKENS, usage.cache_write_tokens),
        (UsageKey::CACHE_WRITE_1H_TOKENS, usage.cache_write_1h_tokens),
        (UsageKey::INPUT_AUDIO_TOKENS, usage.input_audio_tokens),
        (UsageKey::OUTPUT_REASONING_TOKENS, usage.reasoning_tokens),
        (UsageKey::OUTPUT_AUDIO_TOKENS, usage.output_audio_tokens),
        // Overlaps that nobody reports: none, as `consistent` has arranged.
        (UsageKey::CACHE_AUDIO_READ_TOKENS, 0),
        (UsageKey::CACHE_AUDIO_WRITE_TOKENS, 0),
        (UsageKey::CACHE_AUDIO_WRITE_1H_TOKENS, 0),
        (UsageKey::OUTPUT_AUDIO_REASONING_TOKENS, 0),
    ];
    let wholes = [
        (UsageKey::INPUT_TOKENS, count(usage.input_tokens)),
        (UsageKey::OUTPUT_TOKENS, count(usage.output_tokens)),
    ];
    let mut listed = genai_prices::Usage::from(wholes);
    // Zeros only matter where two positive parts could overlap.
    let positive = parts.iter().filter(|(_, tokens)| *tokens > 0).count();
    let parts = parts
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0 || positive > 1);
    listed.extend(parts.map(|(key, tokens)| (key, count(tokens))));
    listed
}

fn per_token(usage: &Usage, input: NanoUsd, cached: NanoUsd, output: NanoUsd) -> NanoUsd {
    let fresh_tokens = usage.input_tokens - usage.cached_input_tokens;
    let nanos_per_million = [
        (fresh_tokens, input),
        (usage.cached_input_tokens, cached),
        (usage.output_tokens, output),
    ]
    .into_iter()
    .map(|(tokens, price)| i128::from(tokens) * i128::from(price.nanos().max(0)))
    .fold(0_i128, i128::saturating_add);
    if nanos_per_million > i128::MAX - MILLION {
        return saturating(i128::MAX);
    }
    nearest(nanos_per_million, MILLION)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 tokens, far beyond any request"
)]
fn count(tokens: u64) -> f64 {
    tokens as f64
}

/// Model names come from clients: bounded wherever they are repeated.
fn short(name: &str) -> String {
    name.chars().take(96).collect()
}

#[cfg(test)]
mod tests;
