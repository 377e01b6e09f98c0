//! The operator's own prices: integers throughout, rounded once per request.

use freehold_types::outcome::CostGap;
use freehold_types::price::{PriceList, PriceTier, TiersApply, TokenRates};
use freehold_types::usage::ServiceTier;
use freehold_types::{NanoUsd, Usage};

use crate::rounding::{nearest, saturating};

/// A price is in nano-USD per million tokens, a tier's discount in percent.
const MILLION: i128 = 1_000_000;
const PERCENT: i128 = 100;
const THOUSAND: i128 = 1_000;

/// What a usage (with consistent parts) costs by a list, and what the list does not know.
pub(crate) fn cost(list: &PriceList, usage: &Usage) -> (NanoUsd, Option<CostGap>) {
    let (percent, tier_gap) = percent(list, usage.service_tier);
    let tokens = match list.tiers_apply {
        TiersApply::WholeRequest => whole_request(list, usage),
        TiersApply::Beyond => beyond(list, usage),
    };
    // In units of nano-USD per million tokens and percent.
    let unit = MILLION * PERCENT;
    let mut sum = tokens.saturating_mul(i128::from(percent));
    sum = sum.saturating_add(price(list.per_request).saturating_mul(unit));
    let mut gap = tier_gap;
    for (calls, per_thousand) in [
        (usage.web_searches, list.web_searches_per_thousand),
        (usage.code_executions, list.code_executions_per_thousand),
    ] {
        match per_thousand {
            None if calls > 0 => gap = gap.or(Some(CostGap::ToolFee)),
            None => {}
            Some(fee) => {
                let fees = i128::from(calls).saturating_mul(price(fee));
                sum = sum.saturating_add(fees.saturating_mul(unit / THOUSAND));
            }
        }
    }
    if sum > i128::MAX - unit {
        return (saturating(i128::MAX), gap);
    }
    (nearest(sum, unit), gap)
}

/// Negative prices count as zero.
fn price(amount: NanoUsd) -> i128 {
    i128::from(amount.nanos().max(0))
}

fn percent(list: &PriceList, tier: ServiceTier) -> (u32, Option<CostGap>) {
    let known = match tier {
        ServiceTier::Standard => Some(100),
        ServiceTier::Batch => list.batch_percent,
        ServiceTier::Flex => list.flex_percent,
        ServiceTier::Priority => list.priority_percent,
        ServiceTier::Fast => list.fast_percent,
    };
    match known {
        Some(percent) => (percent, None),
        None => (100, Some(CostGap::TierPrice)),
    }
}

/// How many tokens of each class, in the order of their places, with the price of each.
fn classes(usage: &Usage, rates: &TokenRates) -> [(u64, i128); 10] {
    let or_input = |own: Option<NanoUsd>| price(own.unwrap_or(rates.input));
    let or_output = |own: Option<NanoUsd>| price(own.unwrap_or(rates.output));
    let short_lived = usage.cache_write_tokens - usage.cache_write_1h_tokens;
    let elsewhere = usage.cached_input_tokens + usage.cache_write_tokens;
    let media = usage.input_audio_tokens + usage.input_image_tokens;
    let plain_input = usage.input_tokens - elsewhere - media;
    let told = usage.reasoning_tokens + usage.output_audio_tokens + usage.output_image_tokens;
    let plain_output = usage.output_tokens - told;
    [
        (usage.cached_input_tokens, or_input(rates.cached_input)),
        (
            usage.cache_write_1h_tokens,
            or_input(rates.cache_write_1h.or(rates.cache_write)),
        ),
        (short_lived, or_input(rates.cache_write)),
        (usage.input_audio_tokens, or_input(rates.input_audio)),
        (usage.input_image_tokens, or_input(rates.input_image)),
        (plain_input, price(rates.input)),
        (usage.reasoning_tokens, or_output(rates.reasoning)),
        (usage.output_audio_tokens, or_output(rates.output_audio)),
        (usage.output_image_tokens, or_output(rates.output_image)),
        (plain_output, price(rates.output)),
    ]
}

fn sum(classes: &[(u64, i128)]) -> i128 {
    classes.iter().fold(0, |sum, (tokens, price)| {
        sum.saturating_add(i128::from(*tokens).saturating_mul(*price))
    })
}

fn whole_request(list: &PriceList, usage: &Usage) -> i128 {
    let long = |tier: &&PriceTier| usage.input_tokens > tier.above_input_tokens;
    let rates = list.tiers.iter().rev().find(long);
    sum(&classes(
        usage,
        rates.map_or(&list.rates, |tier| &tier.rates),
    ))
}

fn beyond(list: &PriceList, usage: &Usage) -> i128 {
    let mut total = 0_i128;
    let mut from = 0_u128;
    let mut rates = &list.rates;
    let ends = list
        .tiers
        .iter()
        .map(|tier| u128::from(tier.above_input_tokens));
    let nexts = list.tiers.iter().map(|tier| Some(&tier.rates));
    for (end, next) in ends.chain([u128::MAX]).zip(nexts.chain([None])) {
        let end = end.max(from);
        total = total.saturating_add(sum(&within(&classes(usage, rates), from, end)));
        (from, rates) = (end, next.unwrap_or(rates));
    }
    total
}

/// The tokens whose places lie between two.
fn within<const N: usize>(classes: &[(u64, i128); N], from: u128, end: u128) -> [(u64, i128); N] {
    let mut place = 0_u128;
    classes.map(|(tokens, price)| {
        let begin = place;
        place += u128::from(tokens);
        let inside = place.min(end).saturating_sub(begin.max(from));
        (u64::try_from(inside).unwrap_or(tokens), price)
    })
}

#[cfg(test)]
mod tests;
