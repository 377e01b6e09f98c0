//! What an API charges, and what a month of traffic costs there.

use freehold_cost::PriceBook;
use freehold_types::NanoUsd;
use freehold_types::usage::ServiceTier;
use freehold_workload::Workload;
use serde::Serialize;

use crate::error::PlanError;
use crate::traffic::Traffic;

/// Prices of requests whose prompt is longer than a bound, USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TierRates {
    /// They apply to requests with more input tokens than this.
    pub above_input_tokens: u64,
    /// Fresh input.
    pub input: f64,
    /// Input read from a cache.
    pub cached_input: f64,
    /// Output.
    pub output: f64,
}

/// What one vendor charges for one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateCard {
    /// `provider/model`, or what the user calls it.
    pub name: String,
    /// Prices, shortest prompts first; never empty.
    pub tiers: Vec<TierRates>,
    /// For each request, USD.
    pub request_usd: f64,
    /// What a batch costs, of the standard price; 1 where there is none.
    pub batch_factor: f64,
    /// Where the prices are from.
    pub source: String,
}

/// A month at a vendor's list prices, USD, at the recorded volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Input, as far as the record tells what was cached.
    pub input_usd: f64,
    /// Output.
    pub output_usd: f64,
    /// Fees per request.
    pub request_usd: f64,
    /// What would be saved if the vendor's cache found every repeated beginning; 0 where the record tells
    /// what was cached, or tells nothing of beginnings.
    pub reuse_usd: f64,
    /// Requests.
    pub requests: f64,
}

impl Bill {
    /// Everything, with no repeated beginning found beyond what the record tells.
    #[must_use]
    pub fn total_usd(&self) -> f64 {
        self.input_usd + self.output_usd + self.request_usd
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input_usd: self.input_usd + other.input_usd,
            output_usd: self.output_usd + other.output_usd,
            request_usd: self.request_usd + other.request_usd,
            reuse_usd: self.reuse_usd + other.reuse_usd,
            requests: self.requests + other.requests,
        }
    }
}

impl RateCard {
    /// One price for all, USD per million tokens. Without a price of cached input, it costs as fresh.
    ///
    /// # Errors
    /// [`PlanError::Setting`] when a price is no amount of money.
    pub fn flat(
        name: &str,
        input: f64,
        cached_input: Option<f64>,
        output: f64,
        source: &str,
    ) -> Result<Self, PlanError> {
        let cached_input = cached_input.unwrap_or(input);
        for price in [input, cached_input, output] {
            if !(price.is_finite() && (0.0..1e6).contains(&price)) {
                return Err(PlanError::Setting {
                    name: "a price",
                    value: price.to_string(),
                    must_be: "US dollars per million tokens, 0 or more",
                });
            }
        }
        Ok(Self {
            name: name.to_owned(),
            tiers: vec![TierRates {
                above_input_tokens: 0,
                input,
                cached_input,
                output,
            }],
            request_usd: 0.0,
            batch_factor: 1.0,
            source: source.to_owned(),
        })
    }

    /// The list price of a model at a date.
    ///
    /// # Errors
    /// [`PlanError::NoPrice`] when the book does not have it.
    pub fn listed(
        book: &PriceBook,
        provider: &str,
        model: &str,
        at_unix_ms: u64,
    ) -> Result<Self, PlanError> {
        let name = format!("{provider}/{model}");
        let listed =
            book.rates(provider, model, at_unix_ms)
                .map_err(|error| PlanError::NoPrice {
                    model: name.clone(),
                    hint: format!(
                        "{error}; give --api-price INPUT,OUTPUT in USD per million tokens"
                    ),
                })?;
        let rates = &listed.rates;
        let input = rates.input.usd();
        let cached_input = rates.cached_input.map_or(input, NanoUsd::usd);
        let cached_share = if input > 0.0 {
            cached_input / input
        } else {
            1.0
        };
        let mut tiers = vec![TierRates {
            above_input_tokens: 0,
            input,
            cached_input,
            output: rates.output.usd(),
        }];
        tiers.extend(listed.tiers.iter().map(|tier| TierRates {
            above_input_tokens: tier.above_input_tokens,
            input: tier.input.usd(),
            cached_input: tier.input.usd() * cached_share,
            output: tier.output.usd(),
        }));
        let batch = listed.service_tiers.iter();
        let batch = batch.clone().find(|(tier, ..)| *tier == ServiceTier::Batch);
        let standard = input + rates.output.usd();
        let batch_factor = batch.map_or(1.0, |(_, input, output)| {
            ((input.usd() + output.usd()) / standard.max(1e-12)).clamp(0.0, 1.0)
        });
        Ok(Self {
            name,
            tiers,
            request_usd: listed.per_request.map_or(0.0, NanoUsd::usd),
            batch_factor,
            source: format!(
                "list price, genai-prices {}",
                freehold_cost::BUNDLED_VERSION
            ),
        })
    }

    fn tier(&self, input_tokens: u32) -> &TierRates {
        let longer = |tier: &&TierRates| u64::from(input_tokens) > tier.above_input_tokens;
        self.tiers
            .iter()
            .rev()
            .find(longer)
            .unwrap_or(&self.tiers[0])
    }

    /// A month of each flow at these prices. `traffic` must be of the same workload.
    #[must_use]
    pub fn bills(&self, workload: &Workload, traffic: &Traffic) -> Vec<Bill> {
        let to_month = crate::HOURS_PER_MONTH / traffic.recorded_hours;
        let tells_cached = workload
            .arrivals
            .iter()
            .any(|arrival| arrival.cached_tokens > 0);
        let reusable = if tells_cached {
            0.0
        } else {
            traffic.reusable_share.unwrap_or(0.0)
        };
        let mut bills = vec![Bill::default(); traffic.flows.len()];
        for arrival in &workload.arrivals {
            let tier = self.tier(arrival.input_tokens);
            let bill = &mut bills[arrival.flow.0 as usize];
            let input = f64::from(arrival.input_tokens);
            let cached = f64::from(arrival.cached_tokens.min(arrival.input_tokens));
            bill.input_usd += (input - cached) * tier.input + cached * tier.cached_input;
            bill.output_usd += f64::from(arrival.output_tokens) * tier.output;
            bill.reuse_usd += input * reusable * (tier.input - tier.cached_input).max(0.0);
            bill.requests += 1.0;
        }
        for bill in &mut bills {
            bill.input_usd *= to_month / 1e6;
            bill.output_usd *= to_month / 1e6;
            bill.reuse_usd *= to_month / 1e6;
            bill.requests *= to_month;
            bill.request_usd = bill.requests * self.request_usd;
        }
        bills
    }
}

/// Words that hosts add to an open model's name without making it another model.
const ADDED: [&str; 18] = [
    "instruct",
    "it",
    "chat",
    "turbo",
    "versatile",
    "instant",
    "fp8",
    "fp4",
    "bf16",
    "awq",
    "lite",
    "hf",
    "v1",
    "maas",
    "128k",
    "8192",
    "quantized",
    "latest",
];

/// The hosts whose list price of an open model the book has, cheapest for equal input and output first.
/// Free and distilled variants, and fine-tunes, are other models.
#[must_use]
pub fn hosts(book: &PriceBook, model: &str, at_unix_ms: u64) -> Vec<RateCard> {
    let wanted = words(model);
    let mut found: Vec<RateCard> = book
        .names()
        .filter(|(_, listed)| is_model(&wanted, listed))
        .filter_map(|(provider, listed)| RateCard::listed(book, provider, listed, at_unix_ms).ok())
        .filter(|card| card.tiers[0].output > 0.0)
        .collect();
    found.sort_by(|a, b| {
        let sum = |card: &RateCard| card.tiers[0].input * 3.0 + card.tiers[0].output;
        sum(a).total_cmp(&sum(b)).then_with(|| a.name.cmp(&b.name))
    });
    found
}

/// Finds a model's rate card by `provider/model`, or by a model's name alone when one vendor makes it.
///
/// # Errors
/// [`PlanError::NoPrice`], with the nearest names.
pub fn find(book: &PriceBook, name: &str, at_unix_ms: u64) -> Result<RateCard, PlanError> {
    if let Some((provider, model)) = name.split_once('/')
        && let Ok(card) = RateCard::listed(book, provider, model, at_unix_ms)
    {
        return Ok(card);
    }
    // Makers before those who resell.
    let makers = [
        "openai",
        "anthropic",
        "google",
        "mistral",
        "x-ai",
        "deepseek",
        "cohere",
    ];
    let rank = |provider: &str| makers.iter().position(|maker| *maker == provider);
    let mut same: Vec<(usize, &str, &str)> = book
        .names()
        .filter(|(_, model)| model.eq_ignore_ascii_case(name))
        .map(|(provider, model)| (rank(provider).unwrap_or(makers.len()), provider, model))
        .collect();
    same.sort_unstable();
    if let Some((_, provider, model)) = same.first() {
        return RateCard::listed(book, provider, model, at_unix_ms);
    }
    let mut near: Vec<(f64, String)> = book
        .names()
        .map(|(provider, model)| {
            let full = format!("{provider}/{model}");
            let like = strsim::jaro_winkler(model, name).max(strsim::jaro_winkler(&full, name));
            (like, full)
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let near: Vec<&str> = near.iter().take(3).map(|(_, name)| name.as_str()).collect();
    Err(PlanError::NoPrice {
        model: name.to_owned(),
        hint: format!(
            "the price book has {}; or give --api-price INPUT,OUTPUT in USD per million tokens",
            near.join(", ")
        ),
    })
}

/// The words of a model's name, without its owner.
fn words(name: &str) -> Vec<String> {
    let own = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let parts = own.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let mut words: Vec<String> = parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    // `llama3.1` and `llama-3.1`, `v3` and `3`: hosts write both.
    if let Some(first) = words.first().cloned()
        && let Some(at) = first.find(|c: char| c.is_ascii_digit())
        && at > 1
    {
        words[0] = first[..at].to_owned();
        words.insert(1, first[at..].to_owned());
    }
    words.retain(|word| word != "meta");
    words
}

/// Whether a listed name is the wanted model, with nothing but the hosts' own words added.
fn is_model(wanted: &[String], listed: &str) -> bool {
    // What comes behind a colon is another product: free, batch, extended.
    if listed.contains(':') {
        return false;
    }
    let mut rest = words(listed);
    for word in wanted {
        let Some(at) = rest.iter().position(|other| other == word) else {
            return false;
        };
        rest.remove(at);
    }
    rest.iter().all(|word| ADDED.contains(&word.as_str()))
}

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
