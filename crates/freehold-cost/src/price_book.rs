//! The price book: what a request cost by the token, at the dated list price or the operator's own.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use freehold_types::outcome::{Cost, CostBasis, CostGap};
use freehold_types::price::{BookId, PriceList, TokenRates};
use freehold_types::usage::ServiceTier;
use freehold_types::{NanoUsd, PriceBasis, Usage};
use genai_prices::{ErrorKind, PriceRequest, UsageKey};
use parking_lot::RwLock;

use crate::price_list;
use crate::rounding::{from_listed_usd, nearest, saturating};

mod data;
mod listing;

pub use data::{BOOK_BYTES_MAX, BOOK_URL, BUNDLED_VERSION, BadBook};
pub use listing::{BookChange, ListedPrice, ListedRates, ListedTier, differences};

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
/// The bundled price data is compiled in; the first look at a list price decodes it (about 55 ms and 17 MB, once per
/// process), so [`prepare`](Self::prepare) it at start-up where list prices are needed.
pub struct PriceBook {
    data: data::Data,
    id: BookId,
    samples: RwLock<HashMap<String, HashMap<String, Sample>>>,
}

impl std::fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PriceBook")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Default for PriceBook {
    fn default() -> Self {
        Self::bundled()
    }
}

impl PriceBook {
    /// What `usage` cost at the price of `at_unix_ms` (Unix milliseconds of the request).
    ///
    /// Cached, cache-write (5 minutes and 1 hour), reasoning, audio and image tokens have their own
    /// price where the vendor has one, and are never charged a second time as part of their whole.
    /// Parts that exceed their whole (a vendor's slip) are cut to it. Hosted tools are charged by the
    /// call, and tokens at the price of the service tier that the answer names. What is missing in the
    /// price book for that is told as the cost's gap.
    ///
    /// A vendor that reports what it has charged is believed, unless the operator has a price of their
    /// own.
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
        let usage = usage.consistent();
        let cost = |total, basis| Cost {
            total,
            idle_share: NanoUsd::ZERO,
            basis,
            gap: None,
            book: None,
        };
        match (basis, usage.reported_cost) {
            (PriceBasis::Hourly { .. }, _) => Err(UnknownCost::Hourly),
            (PriceBasis::Listed { .. } | PriceBasis::Unknown, Some(charged)) => {
                Ok(cost(charged, CostBasis::Reported))
            }
            (PriceBasis::Unknown, None) => Err(UnknownCost::NoPrice),
            (PriceBasis::Listed { provider, model }, None) => {
                let (total, gap) = self.listed_in_full(provider, model, &usage, at_unix_ms)?;
                Ok(Cost {
                    gap,
                    book: Some(self.id),
                    ..cost(total, CostBasis::Tokens)
                })
            }
            (PriceBasis::List(list), _) => {
                let (total, gap) = price_list::cost(list, &usage);
                Ok(Cost {
                    gap,
                    ..cost(total, CostBasis::Tokens)
                })
            }
            (
                PriceBasis::PerToken {
                    input_per_million,
                    cached_input_per_million,
                    output_per_million,
                },
                _,
            ) => {
                let list = PriceList {
                    rates: TokenRates {
                        input: *input_per_million,
                        cached_input: *cached_input_per_million,
                        output: *output_per_million,
                        ..TokenRates::default()
                    },
                    ..PriceList::default()
                };
                let (total, gap) = price_list::cost(&list, &usage);
                Ok(Cost {
                    gap,
                    ..cost(total, CostBasis::Tokens)
                })
            }
        }
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
        let provider = self
            .data
            .calculator()
            .find_provider(Some(provider), None)
            .ok()??;
        let mut models = provider.models();
        models.find(|listed| listed.id() == model)?.context_window()
    }

    /// The price book's id for a provider, by id or alias; `None` when it knows none.
    pub fn provider_id(&self, provider: &str) -> Option<&str> {
        let found = self
            .data
            .calculator()
            .find_provider(Some(provider), None)
            .ok()??;
        Some(found.id())
    }

    /// The price with everything that the answer tells, and what the price book does not know of it.
    fn listed_in_full(
        &self,
        provider: &str,
        model: &str,
        usage: &Usage,
        at_unix_ms: u64,
    ) -> Result<(NanoUsd, Option<CostGap>), UnknownCost> {
        let total = self.listed(provider, model, usage, at_unix_ms)?;
        let without = |less: Usage| self.listed(provider, model, &less, at_unix_ms);
        if usage.web_searches > 0 {
            let rest = without(Usage {
                web_searches: 0,
                ..*usage
            });
            if rest == Ok(total) {
                return Ok((total, Some(CostGap::ToolFee)));
            }
        }
        if usage.code_executions > 0 {
            let rest = without(Usage {
                code_executions: 0,
                ..*usage
            });
            if rest == Ok(total) {
                return Ok((total, Some(CostGap::ToolFee)));
            }
        }
        if usage.service_tier != ServiceTier::Standard && total > NanoUsd::ZERO {
            let standard = without(Usage {
                service_tier: ServiceTier::Standard,
                ..*usage
            });
            if standard == Ok(total) {
                return Ok((total, Some(CostGap::TierPrice)));
            }
        }
        Ok((total, None))
    }

    fn listed(
        &self,
        provider: &str,
        model: &str,
        usage: &Usage,
        at_unix_ms: u64,
    ) -> Result<NanoUsd, UnknownCost> {
        let listed = listed_usage(usage);
        let usd = self.listed_usd(provider, model, &listed, usage.service_tier, at_unix_ms)?;
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
        tier: ServiceTier,
        at_unix_ms: u64,
    ) -> Result<f64, UnknownCost> {
        // Later than the year 2500 is a broken clock; the newest price is the best answer to it.
        let since_epoch = Duration::from_millis(at_unix_ms.min(16_725_225_600_000));
        let mut request = PriceRequest::new(model, usage)
            .with_provider_id(provider)
            .with_timestamp(UNIX_EPOCH + since_epoch);
        request = match tier {
            ServiceTier::Standard => request,
            ServiceTier::Batch => request.with_price_context("processing", "batch"),
            named => request.with_price_context("service_tier", named.as_str()),
        };
        match self.data.calculator().calculate(&request) {
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
            self.listed_usd(provider, model, &usage, ServiceTier::Standard, at_unix_ms)
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

/// The usage in the price book's terms: parts are contained in wholes there too.
fn listed_usage(usage: &Usage) -> genai_prices::Usage {
    let parts = [
        (UsageKey::CACHE_READ_TOKENS, usage.cached_input_tokens),
        (UsageKey::CACHE_WRITE_TOKENS, usage.cache_write_tokens),
        (UsageKey::CACHE_WRITE_1H_TOKENS, usage.cache_write_1h_tokens),
        (UsageKey::INPUT_AUDIO_TOKENS, usage.input_audio_tokens),
        (UsageKey::OUTPUT_REASONING_TOKENS, usage.reasoning_tokens),
        (UsageKey::OUTPUT_AUDIO_TOKENS, usage.output_audio_tokens),
        (UsageKey::INPUT_IMAGE_TOKENS, usage.input_image_tokens),
        (UsageKey::OUTPUT_IMAGE_TOKENS, usage.output_image_tokens),
        (UsageKey::WEB_SEARCHES, usage.web_searches),
        (UsageKey::CODE_EXECUTIONS, usage.code_executions),
        // Overlaps that nobody reports: none, as `Usage::consistent` has arranged.
        (UsageKey::CACHE_IMAGE_READ_TOKENS, 0),
        (UsageKey::CACHE_IMAGE_WRITE_TOKENS, 0),
        (UsageKey::CACHE_IMAGE_WRITE_1H_TOKENS, 0),
        (UsageKey::OUTPUT_IMAGE_REASONING_TOKENS, 0),
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
