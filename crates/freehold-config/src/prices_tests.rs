use super::*;

fn price(yaml: &str) -> Result<PriceBasis, Complaint> {
    let raw: Price = serde_saphyr::from_str(yaml).unwrap();
    by_token(&raw, &["backends", "b", "models", "0", "price"])
}

fn usd(amount: f64) -> NanoUsd {
    NanoUsd::from_usd(amount).unwrap()
}

#[test]
fn three_prices_are_the_simple_basis() {
    let basis = price(
        "input_usd_per_million: 0.15\ncached_input_usd_per_million: 0.075\noutput_usd_per_million: 0.6\n",
    );
    let simple = PriceBasis::PerToken {
        input_per_million: usd(0.15),
        cached_input_per_million: Some(usd(0.075)),
        output_per_million: usd(0.6),
    };
    assert_eq!(basis.unwrap(), simple);
}

#[test]
fn every_class_tier_and_fee_can_be_written() {
    let basis = price(
        "input_usd_per_million: 1
output_usd_per_million: 4
cached_input_usd_per_million: 0.1
cache_write_usd_per_million: 1.25
cache_write_1h_usd_per_million: 2
input_audio_usd_per_million: 8
input_image_usd_per_million: 3
reasoning_usd_per_million: 5
output_audio_usd_per_million: 16
output_image_usd_per_million: 30
usd_per_request: 0.001
web_search_usd_per_thousand: 10
code_execution_usd_per_thousand: 3
batch_percent: 50
flex_percent: 60
priority_percent: 200
fast_percent: 600
tiers_apply: beyond
tiers:
  - above_input_tokens: 200000
    rates: { input_usd_per_million: 2, output_usd_per_million: 6 }
",
    );
    let PriceBasis::List(list) = basis.unwrap() else {
        panic!("not a list")
    };
    let expected = PriceList {
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
        tiers: vec![PriceTier {
            above_input_tokens: 200_000,
            rates: TokenRates {
                input: usd(2.0),
                output: usd(6.0),
                ..TokenRates::default()
            },
        }],
        tiers_apply: TiersApply::Beyond,
        per_request: usd(0.001),
        web_searches_per_thousand: Some(usd(10.0)),
        code_executions_per_thousand: Some(usd(3.0)),
        batch_percent: Some(50),
        flex_percent: Some(60),
        priority_percent: Some(200),
        fast_percent: Some(600),
    };
    assert_eq!(*list, expected);
}

#[test]
fn prices_that_make_no_sense_are_told_with_their_place() {
    let both = "input_usd_per_million: 1\noutput_usd_per_million: 4\n";
    for wrong in [
        "cache_write_usd_per_million: -1\n",
        "usd_per_request: .nan\n",
        "tiers: [{above_input_tokens: 5, rates: {input_usd_per_million: -2, output_usd_per_million: 6}}]\n",
        "tiers:\n  - {above_input_tokens: 5, rates: {input_usd_per_million: 2, output_usd_per_million: 6}}\n  - {above_input_tokens: 5, rates: {input_usd_per_million: 2, output_usd_per_million: 6}}\n",
    ] {
        let complaint = price(&format!("{both}{wrong}")).unwrap_err();
        assert_eq!(complaint.path.last().unwrap(), "price", "{wrong}");
    }
}

#[test]
fn an_hours_price_is_given_or_follows() {
    let owned = Owned {
        capex_usd: Some(35_064.0),
        power_watts: Some(1_000.0),
        usd_per_kwh: Some(0.25),
        ..Owned::default()
    };
    let hourly = |amount, owned: Option<&Owned>| by_hour("b", amount, owned);
    // A dollar of wear, a quarter of power.
    let follows = hourly(None, Some(&owned)).unwrap().unwrap();
    let expected = |amount| PriceBasis::Hourly {
        per_hour: usd(amount),
    };
    assert_eq!(follows, expected(1.25));
    assert_eq!(hourly(Some(2.5), None).unwrap(), Some(expected(2.5)));
    assert_eq!(hourly(None, None).unwrap(), None);
    assert!(hourly(Some(2.5), Some(&owned)).is_err());
    assert!(hourly(Some(-2.5), None).is_err());
    let negative = Owned {
        pue: Some(0.5),
        ..owned
    };
    let complaint = hourly(None, Some(&negative)).unwrap_err();
    assert!(complaint.message.contains("pue"), "{}", complaint.message);
}
