use freehold_types::price::PriceTier;
use proptest::prelude::*;

use super::*;

fn usd(amount: f64) -> NanoUsd {
    NanoUsd::from_usd(amount).unwrap()
}

/// 1 $ fresh, 0.1 cached, 1.25 and 2 written, 8 audio, 3 pictures; 4 out, 5 reasoning, 16 audio, 30
/// pictures: so many micro-dollars per million, so many thousand nano-dollars per thousand.
fn full() -> PriceList {
    PriceList {
        rates: TokenRates {
            input: usd(1.0),
            cached_input: Some(usd(0.1)),
            cache_write: Some(usd(1.25)),
            cache_write_1h: Some(usd(2.0)),
            input_audio: Some(usd(8.0)),
            input_image: Some(usd(3.0)),
            output: usd(4.0),
            reasoning: Some(usd(5.0)),
            output_audio: Some(usd(16.0)),
            output_image: Some(usd(30.0)),
        },
        per_request: usd(0.001),
        web_searches_per_thousand: Some(usd(10.0)),
        code_executions_per_thousand: Some(usd(3.0)),
        batch_percent: Some(50),
        ..PriceList::default()
    }
}

fn usage() -> Usage {
    Usage {
        input_tokens: 1_000,
        cached_input_tokens: 400,
        cache_write_tokens: 300,
        cache_write_1h_tokens: 100,
        input_audio_tokens: 50,
        input_image_tokens: 20,
        output_tokens: 200,
        reasoning_tokens: 80,
        output_audio_tokens: 30,
        output_image_tokens: 10,
        web_searches: 2,
        code_executions: 1,
        ..Usage::default()
    }
}

#[test]
fn every_class_has_its_price_and_is_charged_once() {
    // 230 plain, 400 cached, 200 + 100 written, 50 audio, 20 pictures; 80 plain, 80, 30, 10.
    let input = 230 * 1_000 + 400 * 100 + 200 * 1_250 + 100 * 2_000 + 50 * 8_000 + 20 * 3_000;
    let output = 80 * 4_000 + 80 * 5_000 + 30 * 16_000 + 10 * 30_000;
    let fees = 1_000_000 + 2 * 10_000_000 + 3_000_000;
    let (cost, gap) = cost(&full(), &usage());
    assert_eq!((cost.nanos(), gap), (input + output + fees, None));
    // A batch halves the tokens and not the fees.
    let batch = Usage {
        service_tier: ServiceTier::Batch,
        ..usage()
    };
    let (cost, gap) = super::cost(&full(), &batch);
    assert_eq!((cost.nanos(), gap), ((input + output) / 2 + fees, None));
}

#[test]
fn a_class_without_a_price_costs_what_its_whole_does() {
    let plain = PriceList {
        rates: TokenRates {
            input: usd(1.0),
            output: usd(4.0),
            ..TokenRates::default()
        },
        ..PriceList::default()
    };
    let (total, gap) = cost(&plain, &usage());
    assert_eq!(total.nanos(), 1_000 * 1_000 + 200 * 4_000);
    assert_eq!(gap, Some(CostGap::ToolFee), "the searches are not in it");
    // One-hour writes fall back on writes.
    let writes = PriceList {
        rates: TokenRates {
            cache_write: Some(usd(1.25)),
            ..plain.rates
        },
        ..PriceList::default()
    };
    let hour = Usage {
        input_tokens: 100,
        cache_write_tokens: 100,
        cache_write_1h_tokens: 100,
        ..Usage::default()
    };
    assert_eq!(cost(&writes, &hour).0.nanos(), 100 * 1_250);
}

#[test]
fn a_tier_without_a_price_is_a_gap() {
    for tier in [ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Fast] {
        let usage = Usage {
            input_tokens: 10,
            service_tier: tier,
            ..Usage::default()
        };
        let list = PriceList {
            per_request: NanoUsd::ZERO,
            ..full()
        };
        let told = cost(&list, &usage);
        assert_eq!(
            told,
            (NanoUsd::from_nanos(10_000), Some(CostGap::TierPrice))
        );
    }
}

fn tiered(apply: TiersApply) -> PriceList {
    let rates = |input: f64, output: f64| TokenRates {
        input: usd(input),
        cached_input: Some(usd(input / 10.0)),
        output: usd(output),
        ..TokenRates::default()
    };
    let tier = |above_input_tokens, rates| PriceTier {
        above_input_tokens,
        rates,
    };
    PriceList {
        rates: rates(1.0, 4.0),
        tiers: vec![tier(1_000, rates(2.0, 6.0)), tier(5_000, rates(3.0, 8.0))],
        tiers_apply: apply,
        ..PriceList::default()
    }
}

#[test]
fn tiers_of_the_whole_request() {
    let list = tiered(TiersApply::WholeRequest);
    for (input, cached, nanos) in [
        (1_000, 0, 1_000 * 1_000 + 100 * 4_000),
        (1_001, 0, 1_001 * 2_000 + 100 * 6_000),
        (5_000, 2_000, 3_000 * 2_000 + 2_000 * 200 + 100 * 6_000),
        (5_001, 0, 5_001 * 3_000 + 100 * 8_000),
    ] {
        let usage = Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: 100,
            ..Usage::default()
        };
        assert_eq!(cost(&list, &usage).0.nanos(), nanos, "{input}");
    }
}

#[test]
fn tiers_of_the_tokens_beyond() {
    let list = tiered(TiersApply::Beyond);
    for (input, cached, output, nanos) in [
        (900, 0, 50, 900 * 1_000 + 50 * 4_000),
        // The answer crosses the tier's beginning.
        (900, 0, 150, 900 * 1_000 + 100 * 4_000 + 50 * 6_000),
        // What is cached comes first.
        (
            1_200,
            1_100,
            10,
            1_000 * 100 + 100 * 200 + 100 * 2_000 + 10 * 6_000,
        ),
        (
            6_000,
            0,
            1,
            1_000 * 1_000 + 4_000 * 2_000 + 1_000 * 3_000 + 8_000,
        ),
    ] {
        let usage = Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: output,
            ..Usage::default()
        };
        assert_eq!(cost(&list, &usage).0.nanos(), nanos, "{input}");
    }
}

proptest! {
    /// No usage costs less than nothing or panics, and tiers with one price change nothing.
    #[test]
    fn never_negative_and_no_token_twice(
        counts in proptest::array::uniform10(any::<u64>()),
        starts in proptest::collection::btree_set(any::<u64>(), 0..4),
        rate in any::<i64>(),
    ) {
        let [input, cached, written, hour, audio, image, output, reasoning, sound, picture] = counts;
        let usage = Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            cache_write_tokens: written,
            cache_write_1h_tokens: hour,
            input_audio_tokens: audio,
            input_image_tokens: image,
            output_tokens: output,
            reasoning_tokens: reasoning,
            output_audio_tokens: sound,
            output_image_tokens: picture,
            ..Usage::default()
        }
        .consistent();
        let one = NanoUsd::from_nanos(rate);
        let rates = TokenRates { input: one, output: one, ..TokenRates::default() };
        let flat = PriceList { rates, ..PriceList::default() };
        let (total, _) = cost(&flat, &usage);
        prop_assert!(total >= NanoUsd::ZERO);
        let tokens = i128::from(input) + i128::from(output);
        prop_assert_eq!(total, nearest(tokens.saturating_mul(price(one)), MILLION));
        for tiers_apply in [TiersApply::WholeRequest, TiersApply::Beyond] {
            let tiers = starts.iter().map(|start| PriceTier { above_input_tokens: *start, rates });
            let tiered = PriceList { tiers: tiers.collect(), tiers_apply, ..flat.clone() };
            prop_assert_eq!(cost(&tiered, &usage).0, total);
        }
    }
}
