use super::*;
use freehold_workload::{Arrival, FlowIndex};

/// 1 November 2026.
const NOW: u64 = 1_793_491_200_000;

fn one_hour(arrivals: Vec<Arrival>) -> Workload {
    Workload {
        duration_us: 3_600_000_000,
        arrivals,
        flows: vec!["short".to_owned(), "long".to_owned()],
        ..Workload::default()
    }
}

fn arrival(flow: u32, input: u32, cached: u32, output: u32) -> Arrival {
    Arrival {
        input_tokens: input,
        cached_tokens: cached,
        output_tokens: output,
        flow: FlowIndex(flow),
        ..Arrival::default()
    }
}

#[test]
fn a_bill_is_what_a_pocket_calculator_says() {
    let mut card = RateCard::flat("x", 2.0, Some(0.5), 8.0, "test").unwrap();
    card.tiers.push(TierRates {
        above_input_tokens: 1_000,
        input: 4.0,
        cached_input: 1.0,
        output: 16.0,
    });
    card.request_usd = 0.01;
    let workload = one_hour(vec![arrival(0, 1_000, 400, 100), arrival(1, 2_000, 0, 10)]);
    let traffic = Traffic::of(&workload, None).unwrap();
    let bills = card.bills(&workload, &traffic);
    // 600 x 2 + 400 x 0.5 = 1,400 millionths of a dollar an hour, 730.5 hours.
    assert!((bills[0].input_usd - 1_400e-6 * 730.5).abs() < 1e-9);
    assert!((bills[0].output_usd - 800e-6 * 730.5).abs() < 1e-9);
    // The long prompt pays the long prompt's prices: 2,000 x 4 and 10 x 16.
    assert!((bills[1].input_usd - 8_000e-6 * 730.5).abs() < 1e-9);
    assert!((bills[1].output_usd - 160e-6 * 730.5).abs() < 1e-9);
    assert!((bills[1].request_usd - 7.305).abs() < 1e-9);
    assert!(bills[0].reuse_usd.abs() < 1e-12);
}

#[test]
fn repeated_beginnings_count_only_where_the_record_does_not_tell_the_cache() {
    let card = RateCard::flat("x", 2.0, Some(0.5), 8.0, "test").unwrap();
    let silent = one_hour(vec![arrival(0, 1_000, 0, 1), arrival(0, 1_000, 0, 1)]);
    let traffic = Traffic::of(&silent, Some(0.5)).unwrap();
    // Half of 2,000 tokens, at 1.5 less per million.
    let reuse = card.bills(&silent, &traffic)[0].reuse_usd;
    assert!((reuse - 1_500e-6 * 730.5).abs() < 1e-9);
    let telling = one_hour(vec![arrival(0, 1_000, 1, 1), arrival(0, 1_000, 0, 1)]);
    let traffic = Traffic::of(&telling, Some(0.5)).unwrap();
    assert!(card.bills(&telling, &traffic)[0].reuse_usd.abs() < 1e-12);
}

#[test]
fn list_prices_are_found_by_either_name() {
    let book = PriceBook::bundled();
    let full = find(&book, "openai/gpt-4o-mini", NOW).unwrap();
    let bare = find(&book, "gpt-4o-mini", NOW).unwrap();
    assert_eq!(full, bare);
    // OpenAI's list price of gpt-4o-mini: 0.15 in, 0.075 cached, 0.60 out.
    let first = full.tiers[0];
    assert!((first.input - 0.15).abs() < 1e-9 && (first.output - 0.6).abs() < 1e-9);
    assert!((first.cached_input - 0.075).abs() < 1e-9);
}

#[test]
fn an_unknown_name_gets_the_nearest_ones() {
    let told = find(&PriceBook::bundled(), "gpt-4o-minni", NOW)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("gpt-4o-mini") && told.contains("--api-price"),
        "{told}"
    );
}

#[test]
fn hosts_of_an_open_model_are_found_and_other_models_are_not() {
    let book = PriceBook::bundled();
    for model in ["gpt-oss-120b", "Llama-3.3-70B", "Llama-3.1-8B"] {
        let found = hosts(&book, model, NOW);
        assert!(found.len() >= 2, "{model}: {}", found.len());
        for card in &found {
            assert!(
                !card.name.contains("free") && !card.name.contains("distill"),
                "{}",
                card.name
            );
        }
    }
    assert!(is_model(
        &words("Llama-3.3-70B"),
        "meta-llama/Llama-3.3-70B-Instruct-Turbo"
    ));
    assert!(is_model(&words("Llama-3.3-70B"), "llama-3.3-70b-versatile"));
    assert!(is_model(
        &words("Llama-3.1-8B"),
        "meta-llama/Meta-Llama-3.1-8B-Instruct"
    ));
    assert!(!is_model(&words("Llama-3.1-8B"), "llama-3.1-80b"));
    assert!(!is_model(
        &words("Llama-3.3-70B"),
        "nvidia/llama-3.3-nemotron-70b"
    ));
    for variant in [":free", ":batch"] {
        let listed = format!("openai/gpt-oss-120b{variant}");
        assert!(!is_model(&words("gpt-oss-120b"), &listed));
    }
}

#[test]
fn a_price_that_is_none_is_refused() {
    let told = RateCard::flat("x", -1.0, None, 1.0, "")
        .unwrap_err()
        .to_string();
    assert!(told.contains("per million tokens"), "{told}");
}
