use super::*;

/// 2026-10-20 12:00 UTC.
const NOON: u64 = 1_792_497_600_000;
const HOUR: u64 = 3_600_000;

fn listed(provider: &str, model: &str) -> PriceBasis {
    PriceBasis::Listed {
        provider: provider.to_owned(),
        model: model.to_owned(),
    }
}

/// Golden fixtures: usage as the vendor reports it, cost by hand arithmetic in nano-USD.
fn check(provider: &str, model: &str, at_unix_ms: u64, usage: Usage, nanos: i64) {
    let book = PriceBook::bundled();
    let cost = book.cost(&listed(provider, model), &usage, at_unix_ms);
    let cost = cost.unwrap_or_else(|unknown| panic!("{provider}/{model}: {unknown}"));
    assert_eq!(cost.total.nanos(), nanos, "{provider}/{model} {usage:?}");
    assert_eq!(cost.idle_share, NanoUsd::ZERO);
    assert_eq!(cost.basis, CostBasis::Tokens);
}

#[test]
fn openai_cached_and_reasoning_tokens_are_charged_once() {
    // gpt-5: 1,250 / 125 cached / 10,000 nano-USD per token; reasoning is part of the output.
    let usage = Usage {
        input_tokens: 2_006,
        cached_input_tokens: 1_920,
        output_tokens: 300,
        reasoning_tokens: 256,
        ..Usage::default()
    };
    check(
        "openai",
        "gpt-5",
        NOON,
        usage,
        86 * 1_250 + 1_920 * 125 + 300 * 10_000,
    );
    check("openai", "gpt-5-2025-08-07", NOON, usage, 3_347_500);
    // gpt-4o-mini: 150 / 75 / 600.
    check(
        "openai",
        "gpt-4o-mini",
        NOON,
        usage,
        86 * 150 + 1_920 * 75 + 300 * 600,
    );
}

#[test]
fn openai_audio_tokens_have_their_own_price() {
    // gpt-audio: text 2,500 / 10,000, audio 32,000 / 64,000.
    let usage = Usage {
        input_tokens: 1_000,
        input_audio_tokens: 400,
        output_tokens: 200,
        output_audio_tokens: 150,
        ..Usage::default()
    };
    let nanos = 600 * 2_500 + 400 * 32_000 + 50 * 10_000 + 150 * 64_000;
    check("openai", "gpt-audio", NOON, usage, nanos);
    // Cached text beside audio: gpt-realtime is 4,000 / 400 cached / 32,000 audio.
    let usage = Usage {
        input_tokens: 1_000,
        cached_input_tokens: 500,
        input_audio_tokens: 400,
        ..Usage::default()
    };
    check(
        "openai",
        "gpt-realtime",
        NOON,
        usage,
        100 * 4_000 + 500 * 400 + 400 * 32_000,
    );
}

#[test]
fn anthropic_cache_reads_and_writes_of_both_lifetimes() {
    // claude-sonnet-4-5: 3,000 fresh, 300 read, 3,750 write 5m, 6,000 write 1h, 15,000 output.
    let usage = Usage {
        input_tokens: 10_000,
        cached_input_tokens: 4_000,
        cache_write_tokens: 3_000,
        cache_write_1h_tokens: 1_000,
        output_tokens: 500,
        ..Usage::default()
    };
    let nanos = 3_000 * 3_000 + 4_000 * 300 + 2_000 * 3_750 + 1_000 * 6_000 + 500 * 15_000;
    check(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        NOON,
        usage,
        nanos,
    );
    assert_eq!(nanos, 31_200_000);
    // Beyond 200,000 prompt tokens every token of the request costs more.
    let usage = Usage {
        input_tokens: 250_000,
        output_tokens: 100,
        ..Usage::default()
    };
    check(
        "anthropic",
        "claude-sonnet-4-5",
        NOON,
        usage,
        250_000 * 6_000 + 100 * 22_500,
    );
}

#[test]
fn deepseek_cache_hits_at_the_price_of_the_hour() {
    let usage = Usage {
        input_tokens: 1_200,
        cached_input_tokens: 1_000,
        output_tokens: 100,
        ..Usage::default()
    };
    // deepseek-chat: 270 / 70 / 1,100 by day, half from 16:30 to 00:30 UTC.
    check(
        "deepseek",
        "deepseek-chat",
        NOON,
        usage,
        200 * 270 + 1_000 * 70 + 100 * 1_100,
    );
    check("deepseek", "deepseek-chat", NOON + 6 * HOUR, usage, 117_000);
}

#[test]
fn the_price_is_that_of_the_requests_date_and_halves_go_up() {
    // deepseek-v4-pro before 2026-08-17: a cache hit costs 3.625 nano-USD; four cost 14.5.
    let hits = |tokens| Usage {
        input_tokens: tokens,
        cached_input_tokens: tokens,
        ..Usage::default()
    };
    const JANUARY: u64 = 1_767_268_800_000; // 2026-01-01 12:00 UTC
    check("deepseek", "deepseek-v4-pro", JANUARY, hits(4), 15);
    check("deepseek", "deepseek-v4-pro", JANUARY, hits(8), 29);
    // Since then 22.
    check("deepseek", "deepseek-v4-pro", NOON, hits(4), 88);
}

#[test]
fn prices_per_request_are_added() {
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 10,
        ..Usage::default()
    };
    // sonar: 1,000 per token each way, 12 dollars per thousand requests.
    check("perplexity", "sonar", NOON, usage, 20 * 1_000 + 12_000_000);
    let book = PriceBook::bundled();
    let estimate = book.estimate(&listed("perplexity", "sonar"), 10, 10, NOON);
    assert_eq!(estimate.unwrap().nanos(), 12_020_000);
}

#[test]
fn parts_larger_than_their_whole_are_cut() {
    let usage = Usage {
        input_tokens: 10,
        cached_input_tokens: 50,
        cache_write_tokens: 50,
        cache_write_1h_tokens: 90,
        input_audio_tokens: 9,
        output_tokens: 1,
        reasoning_tokens: 9,
        ..Usage::default()
    };
    check("openai", "gpt-5", NOON, usage, 10 * 125 + 10_000);
}

#[test]
fn unknown_is_a_reason_and_never_zero() {
    let book = PriceBook::bundled();
    let usage = Usage {
        input_tokens: 1,
        output_tokens: 1,
        ..Usage::default()
    };
    let unknown = |basis: &PriceBasis| {
        let cost = book.cost(basis, &usage, NOON).unwrap_err();
        let estimate = book.estimate(basis, 1, 1, NOON).unwrap_err();
        assert_eq!(cost, estimate);
        // A second look comes from memory and says the same.
        assert_eq!(book.estimate(basis, 1, 1, NOON).unwrap_err(), estimate);
        cost
    };
    assert_eq!(unknown(&PriceBasis::Unknown), UnknownCost::NoPrice);
    assert_eq!(
        unknown(&PriceBasis::Hourly {
            per_hour: NanoUsd::ZERO
        }),
        UnknownCost::Hourly
    );
    assert_eq!(
        unknown(&listed("openai", "no-such-model")).to_string(),
        "the price book has no price for no-such-model of openai"
    );
    assert!(matches!(
        unknown(&listed("nobody", "gpt-5")),
        UnknownCost::NotListed { .. }
    ));
    // Sold by the hour of audio only: tokens do not tell its cost.
    assert!(matches!(
        unknown(&listed("openai", "gpt-live-1")),
        UnknownCost::NotPriceable { .. }
    ));
    let long = "x".repeat(10_000);
    assert!(unknown(&listed("openai", &long)).to_string().len() < 300);
}

#[test]
fn the_operators_price_is_exact() {
    let book = PriceBook::bundled();
    let basis = PriceBasis::PerToken {
        input_per_million: NanoUsd::from_usd(0.15).unwrap(),
        cached_input_per_million: Some(NanoUsd::from_usd(0.075).unwrap()),
        output_per_million: NanoUsd::from_usd(0.6).unwrap(),
    };
    let usage = Usage {
        input_tokens: 1_001,
        cached_input_tokens: 1,
        output_tokens: 3,
        ..Usage::default()
    };
    let cost = book.cost(&basis, &usage, NOON).unwrap();
    assert_eq!(cost.total.nanos(), 1_000 * 150 + 75 + 3 * 600);
    // Half a nano-dollar goes up, and absurd counts stay absurd.
    let tiny = PriceBasis::PerToken {
        input_per_million: NanoUsd::from_nanos(500_000),
        cached_input_per_million: None,
        output_per_million: NanoUsd::from_nanos(i64::MAX),
    };
    let one = Usage {
        input_tokens: 1,
        ..Usage::default()
    };
    assert_eq!(book.cost(&tiny, &one, NOON).unwrap().total.nanos(), 1);
    let absurd = Usage {
        input_tokens: u64::MAX,
        output_tokens: u64::MAX,
        ..Usage::default()
    };
    let total = book.cost(&tiny, &absurd, NOON).unwrap().total;
    assert_eq!(total.nanos(), i64::MAX);
}

#[test]
fn estimates_agree_with_costs() {
    let book = PriceBook::bundled();
    for (provider, model) in [
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("deepseek", "deepseek-chat"),
    ] {
        let basis = listed(provider, model);
        for input_tokens in [0, 1, 1_234, 99_999, 250_000] {
            let usage = Usage {
                input_tokens,
                output_tokens: 77,
                ..Usage::default()
            };
            let cost = book.cost(&basis, &usage, NOON).unwrap().total;
            let estimate = book.estimate(&basis, input_tokens, 77, NOON).unwrap();
            assert!(
                (cost.nanos() - estimate.nanos()).abs() <= 1,
                "{provider}/{model}: {cost} and {estimate}"
            );
        }
    }
}

#[test]
fn the_price_of_the_half_hour_is_not_remembered_too_long() {
    let book = PriceBook::bundled();
    let basis = listed("deepseek", "deepseek-chat");
    let day = book.estimate(&basis, 1_000, 0, NOON).unwrap();
    let evening = book.estimate(&basis, 1_000, 0, NOON + 6 * HOUR).unwrap();
    assert_eq!((day.nanos(), evening.nanos()), (270_000, 135_000));
}

#[test]
fn what_the_remembered_models_take_is_bounded() {
    let book = PriceBook::bundled();
    for index in 0..2 * REMEMBERED_MODELS {
        let basis = listed("openai", &format!("junk-{index}"));
        assert!(book.estimate(&basis, 1, 1, NOON).is_err());
    }
    let remembered: usize = book.samples.read().values().map(HashMap::len).sum();
    assert!(remembered <= REMEMBERED_MODELS);
}

#[test]
fn the_book_knows_providers_and_windows() {
    let book = PriceBook::bundled();
    assert_eq!(book.provider_id("OpenAI"), Some("openai"));
    assert_eq!(book.provider_id("nobody"), None);
    assert_eq!(book.context_window_tokens("openai", "gpt-5"), Some(400_000));
    assert_eq!(book.context_window_tokens("openai", "gpt-5-junk"), None);
}

#[test]
fn busy_time_is_priced_by_the_hour() {
    let per_hour = NanoUsd::from_usd(3.6).unwrap();
    assert_eq!(PriceBook::busy_cost(per_hour, 1_000_000).nanos(), 1_000_000);
    assert_eq!(
        PriceBook::busy_cost(NanoUsd::from_nanos(-1), 1_000_000),
        NanoUsd::ZERO
    );
}

/// An upstream's answer with something beside tokens in it.
fn cost(provider: &str, model: &str, usage: Usage) -> Cost {
    let book = PriceBook::bundled();
    book.cost(&listed(provider, model), &usage, NOON).unwrap()
}

#[test]
fn hosted_tools_are_charged_by_the_call() {
    let usage = Usage {
        input_tokens: 100,
        output_tokens: 10,
        web_searches: 3,
        ..Usage::default()
    };
    // claude-haiku-4-5: 1,000 / 5,000 nano-USD per token; 10 $ per thousand searches.
    let told = cost("anthropic", "claude-haiku-4-5", usage);
    assert_eq!(told.total.nanos(), 100_000 + 50_000 + 3 * 10_000_000);
    assert_eq!(told.gap, None);
    // No fee is known: the figure says that it lacks one.
    let told = cost("groq", "openai/gpt-oss-20b", usage);
    assert_eq!(told.total.nanos(), 100 * 75 + 10 * 300);
    assert_eq!(told.gap, Some(CostGap::ToolFee));
    let ran = Usage {
        web_searches: 0,
        code_executions: 1,
        ..usage
    };
    let told = cost("anthropic", "claude-haiku-4-5", ran);
    assert_eq!(told.gap, Some(CostGap::ToolFee));
}

#[test]
fn service_tiers_have_their_price_or_say_that_it_is_unknown() {
    let usage = |service_tier| Usage {
        input_tokens: 1_000,
        cached_input_tokens: 400,
        output_tokens: 100,
        service_tier,
        ..Usage::default()
    };
    // gpt-5: 1,250 / 125 / 10,000; flex and batch half, priority and fast double (2026-10-20).
    for (tier, nanos) in [
        (
            ServiceTier::Standard,
            600 * 1_250 + 400 * 125 + 100 * 10_000,
        ),
        (ServiceTier::Flex, 600 * 625 + 25_000 + 100 * 5_000),
        (ServiceTier::Batch, 600 * 625 + 25_000 + 100 * 5_000),
        (
            ServiceTier::Priority,
            600 * 2_500 + 400 * 250 + 100 * 20_000,
        ),
        (ServiceTier::Fast, 600 * 2_500 + 400 * 250 + 100 * 20_000),
    ] {
        let told = cost("openai", "gpt-5", usage(tier));
        assert_eq!((told.total.nanos(), told.gap), (nanos, None), "{tier:?}");
    }
    // claude-haiku-4-5 has no list price for priority: 1,000 / 100 / 5,000.
    let told = cost(
        "anthropic",
        "claude-haiku-4-5",
        usage(ServiceTier::Priority),
    );
    assert_eq!(told.total.nanos(), 600_000 + 40_000 + 500_000);
    assert_eq!(told.gap, Some(CostGap::TierPrice));
}

#[test]
fn pictures_have_their_price() {
    // gemini-2.5-flash-image: 300 in, 2,500 out, 30,000 for a token of a picture.
    let usage = Usage {
        input_tokens: 100,
        input_image_tokens: 40,
        output_tokens: 1_300,
        output_image_tokens: 1_290,
        ..Usage::default()
    };
    let told = cost("google", "gemini-2.5-flash-image", usage);
    assert_eq!(told.total.nanos(), 100 * 300 + 10 * 2_500 + 1_290 * 30_000);
}

#[test]
fn what_the_vendor_says_it_has_charged_counts_unless_the_operator_has_a_price() {
    let charged = NanoUsd::from_nanos(123_456);
    let usage = Usage {
        input_tokens: 1_000,
        output_tokens: 10,
        reported_cost: Some(charged),
        ..Usage::default()
    };
    let book = PriceBook::bundled();
    for basis in [
        listed("openrouter", "anthropic/claude-sonnet-5.5"),
        listed("nobody", "nothing"),
        PriceBasis::Unknown,
    ] {
        let told = book.cost(&basis, &usage, NOON).unwrap();
        assert_eq!((told.total, told.basis), (charged, CostBasis::Reported));
        assert_eq!(told.book, None);
    }
    let own = PriceBasis::PerToken {
        input_per_million: NanoUsd::from_nanos(1_000_000),
        cached_input_per_million: None,
        output_per_million: NanoUsd::ZERO,
    };
    let told = book.cost(&own, &usage, NOON).unwrap();
    assert_eq!((told.total.nanos(), told.basis), (1_000, CostBasis::Tokens));
    assert_eq!(told.book, None);
}

#[test]
fn a_cost_tells_its_book() {
    let told = cost(
        "openai",
        "gpt-5",
        Usage {
            input_tokens: 1,
            ..Usage::default()
        },
    );
    assert_eq!(told.book.unwrap().as_str(), "genai-0.2.1");
}
