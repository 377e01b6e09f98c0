//! What is in a price book: the rates of a model at a date, and what changes from one book to another.
//!
//! The price data tells what usage costs and not its rates, so rates are read off sample usages.

use freehold_types::NanoUsd;
use freehold_types::price::TokenRates;
use freehold_types::usage::ServiceTier;
use genai_prices::{Usage as Sampled, UsageKey};

use super::{PriceBook, UnknownCost};

/// Sampled amounts lie below every long-prompt tier.
const SAMPLE_TOKENS: f64 = 1_000.0;
/// Per so many tokens rates are told.
const MILLION: f64 = 1_000_000.0;

/// Prompt lengths between which tiers are looked for: vendors begin theirs at 32, 128, 200, 256, 272
/// or 512 thousand tokens.
const PROBES_TOKENS: [u64; 9] = [
    1_000, 33_000, 129_000, 201_000, 257_000, 273_000, 525_000, 1_100_000, 10_000_000,
];

const TIERS: [ServiceTier; 4] = [
    ServiceTier::Batch,
    ServiceTier::Flex,
    ServiceTier::Priority,
    ServiceTier::Fast,
];

/// A model's list price at a date.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListedPrice {
    /// The price book's provider id.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Its prices.
    pub prices: ListedRates,
}

/// List prices of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ListedRates {
    /// Per million tokens, up to the first tier.
    pub rates: TokenRates,
    /// Input and output prices of longer prompts: they apply to the whole request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<ListedTier>,
    /// For each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_request: Option<NanoUsd>,
    /// For a thousand searches of the web.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_searches_per_thousand: Option<NanoUsd>,
    /// Input and output of service tiers with prices of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_tiers: Vec<(ServiceTier, NanoUsd, NanoUsd)>,
}

/// Prices of long prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListedTier {
    /// Where it begins: with more than so many prompt tokens.
    pub above_input_tokens: u64,
    /// Per million input tokens.
    pub input: NanoUsd,
    /// Per million output tokens.
    pub output: NanoUsd,
}

/// What another book says of a model.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BookChange {
    /// The price book's provider id.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The prices of the old book; `None` when it does not list the model.
    pub before: Option<ListedRates>,
    /// The prices of the new one.
    pub after: Option<ListedRates>,
}

/// What changes from one book to another at a date, in the new book's order; what is gone comes last.
pub fn differences(old: &PriceBook, new: &PriceBook, at_unix_ms: u64) -> Vec<BookChange> {
    let prices = |book: &PriceBook, provider: &str, model: &str| {
        let known = book.lists(provider, model);
        known
            .then(|| book.rates(provider, model, at_unix_ms).ok())
            .flatten()
    };
    let mut changes = Vec::new();
    let mut note = |provider: &str, model: &str| {
        let before = prices(old, provider, model);
        let after = prices(new, provider, model);
        if before != after {
            changes.push(BookChange {
                provider: provider.to_owned(),
                model: model.to_owned(),
                before,
                after,
            });
        }
    };
    for (provider, model) in new.names() {
        note(provider, model);
    }
    for (provider, model) in old.names() {
        if !new.lists(provider, model) {
            note(provider, model);
        }
    }
    changes
}

impl PriceBook {
    /// Every provider and model, in the book's order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let providers = self.data.calculator().providers();
        providers.flat_map(|provider| {
            let id = provider.id();
            provider.models().map(move |model| (id, model.id()))
        })
    }

    /// Whether the book has an entry of exactly this name.
    pub fn lists(&self, provider: &str, model: &str) -> bool {
        let found = self.data.calculator().find_provider(Some(provider), None);
        found
            .ok()
            .flatten()
            .is_some_and(|provider| provider.models().any(|listed| listed.id() == model))
    }

    /// The list prices of a model (by any name that the book understands) at a date.
    ///
    /// # Errors
    /// When the book does not know it, or it is not sold by the token.
    pub fn rates(
        &self,
        provider: &str,
        model: &str,
        at_unix_ms: u64,
    ) -> Result<ListedRates, UnknownCost> {
        let sampler = Sampler {
            book: self,
            provider,
            model,
            at_unix_ms,
        };
        sampler.rates()
    }

    /// The highest price of a token by the newest prices, in dollars per million.
    pub(super) fn highest_usd_per_million(&self, provider: &str, model: &str) -> Option<f64> {
        let sampler = Sampler {
            book: self,
            provider,
            model,
            at_unix_ms: u64::MAX,
        };
        let fee = sampler.usd(&[], ServiceTier::Standard).ok()?;
        [UsageKey::INPUT_TOKENS, UsageKey::OUTPUT_TOKENS]
            .into_iter()
            .filter_map(|key| sampler.usd(&[(key, MILLION)], ServiceTier::Standard).ok())
            .map(|usd| usd - fee)
            .reduce(f64::max)
    }
}

/// Reads one model's rates off sample usages.
#[derive(Clone, Copy)]
struct Sampler<'a> {
    book: &'a PriceBook,
    provider: &'a str,
    model: &'a str,
    at_unix_ms: u64,
}

impl Sampler<'_> {
    fn usd(&self, usage: &[(UsageKey, f64)], tier: ServiceTier) -> Result<f64, UnknownCost> {
        let mut sampled = Sampled::new();
        sampled.extend(usage.iter().cloned());
        let (provider, model) = (self.provider, self.model);
        self.book
            .listed_usd(provider, model, &sampled, tier, self.at_unix_ms)
    }

    /// The price of a million tokens of a class, which is part of `whole`.
    fn rate(
        &self,
        whole: &UsageKey,
        part: Option<&UsageKey>,
        tier: ServiceTier,
    ) -> Result<NanoUsd, UnknownCost> {
        let mut usage = vec![(whole.clone(), SAMPLE_TOKENS)];
        usage.extend(part.map(|part| (part.clone(), SAMPLE_TOKENS)));
        let usd = self.usd(&usage, tier)? - self.usd(&[], tier)?;
        Ok(per_million(usd, SAMPLE_TOKENS))
    }

    fn rates(&self) -> Result<ListedRates, UnknownCost> {
        let standard = ServiceTier::Standard;
        let input = self.rate(&UsageKey::INPUT_TOKENS, None, standard)?;
        let output = self.rate(&UsageKey::OUTPUT_TOKENS, None, standard)?;
        // A part that the book has no price for is charged as its whole.
        let part = |whole: &UsageKey, part: &UsageKey, as_whole: NanoUsd| {
            let rate = self.rate(whole, Some(part), standard).ok();
            rate.filter(|rate| *rate != as_whole)
        };
        let of_input = |key: UsageKey| part(&UsageKey::INPUT_TOKENS, &key, input);
        let of_output = |key: UsageKey| part(&UsageKey::OUTPUT_TOKENS, &key, output);
        let rates = TokenRates {
            input,
            cached_input: of_input(UsageKey::CACHE_READ_TOKENS),
            cache_write: of_input(UsageKey::CACHE_WRITE_TOKENS),
            cache_write_1h: self.one_hour(input),
            input_audio: of_input(UsageKey::INPUT_AUDIO_TOKENS),
            input_image: of_input(UsageKey::INPUT_IMAGE_TOKENS),
            output,
            reasoning: of_output(UsageKey::OUTPUT_REASONING_TOKENS),
            output_audio: of_output(UsageKey::OUTPUT_AUDIO_TOKENS),
            output_image: of_output(UsageKey::OUTPUT_IMAGE_TOKENS),
        };
        let fee = per_million(self.usd(&[], standard)?, MILLION);
        let searches = self.usd(&[(UsageKey::WEB_SEARCHES, 1_000.0)], standard)?;
        let searches = per_million(searches, MILLION);
        let charged = |amount: NanoUsd| (amount > NanoUsd::ZERO).then_some(amount);
        Ok(ListedRates {
            rates,
            tiers: self.tiers(),
            per_request: charged(fee),
            web_searches_per_thousand: charged(NanoUsd::from_nanos(searches.nanos() - fee.nanos())),
            service_tiers: self.service_tiers(input, output),
        })
    }

    fn one_hour(&self, input: NanoUsd) -> Option<NanoUsd> {
        let usage = [
            (UsageKey::INPUT_TOKENS, SAMPLE_TOKENS),
            (UsageKey::CACHE_WRITE_TOKENS, SAMPLE_TOKENS),
            (UsageKey::CACHE_WRITE_1H_TOKENS, SAMPLE_TOKENS),
        ];
        let fee = self.usd(&[], ServiceTier::Standard).ok()?;
        let usd = self.usd(&usage, ServiceTier::Standard).ok()? - fee;
        Some(per_million(usd, SAMPLE_TOKENS)).filter(|rate| *rate != input)
    }

    fn service_tiers(
        &self,
        input: NanoUsd,
        output: NanoUsd,
    ) -> Vec<(ServiceTier, NanoUsd, NanoUsd)> {
        let prices = TIERS.into_iter().filter_map(|tier| {
            let of = |whole: UsageKey| self.rate(&whole, None, tier).ok();
            Some((
                tier,
                of(UsageKey::INPUT_TOKENS)?,
                of(UsageKey::OUTPUT_TOKENS)?,
            ))
        });
        prices
            .filter(|(_, own_input, own_output)| (*own_input, *own_output) != (input, output))
            .collect()
    }

    /// Where the prices of longer prompts begin, and what they are.
    fn tiers(&self) -> Vec<ListedTier> {
        let mut tiers = Vec::new();
        // Most models have none: long prompts cost by the token what short ones do.
        let [shortest, .., longest] = PROBES_TOKENS;
        if self.prices_at(shortest) == self.prices_at(longest) {
            return tiers;
        }
        let mut prices: Option<(NanoUsd, NanoUsd)> = None;
        let mut below = 0;
        for probe in PROBES_TOKENS {
            let here = self.prices_at(probe);
            if let (Some(before), Some((input, output))) = (prices, here)
                && before != (input, output)
            {
                tiers.push(ListedTier {
                    above_input_tokens: self.last_with(before, below, probe),
                    input,
                    output,
                });
            }
            (prices, below) = (here, probe);
        }
        tiers
    }

    /// The longest prompt between two that still has these prices.
    fn last_with(&self, prices: (NanoUsd, NanoUsd), mut low: u64, mut high: u64) -> u64 {
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.prices_at(middle) == Some(prices) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Input and output prices of a prompt of this length.
    fn prices_at(&self, input_tokens: u64) -> Option<(NanoUsd, NanoUsd)> {
        let standard = ServiceTier::Standard;
        let prompt = super::count(input_tokens);
        let fee = self.usd(&[], standard).ok()?;
        let input = self
            .usd(&[(UsageKey::INPUT_TOKENS, prompt)], standard)
            .ok()?;
        let both = [
            (UsageKey::INPUT_TOKENS, prompt),
            (UsageKey::OUTPUT_TOKENS, prompt),
        ];
        let both = self.usd(&both, standard).ok()?;
        Some((
            per_million(input - fee, prompt),
            per_million(both - input, prompt),
        ))
    }
}

/// The price of a million tokens, when so many cost `usd`.
fn per_million(usd: f64, tokens: f64) -> NanoUsd {
    crate::rounding::from_listed_usd(usd / tokens * MILLION).unwrap_or_default()
}
