use freehold_types::PriceBasis;
use serde_json::{Value, json};

use super::super::{BookChange, differences};
use freehold_types::usage::ServiceTier;

use super::*;

/// 2026-10-20 12:00 UTC.
const NOON: u64 = 1_792_497_600_000;

/// A data file of 12 providers with 30 models each, at 1 $ in and 2 $ out.
fn file() -> Value {
    let model = |id: String| json!({"id": id, "match": {"equals": id}, "prices": {"input_mtok": 1, "output_mtok": 2}});
    let names = ["openai", "anthropic", "mistral"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..9).map(|index| format!("vendor-{index}")));
    let providers = names.map(|id| {
        let models: Vec<Value> = (0..30).map(|index| model(format!("model-{index}"))).collect();
        json!({"id": id, "name": id, "api_pattern": format!("https://{id}\\.example"), "models": models})
    });
    providers.collect()
}

fn read(file: &Value) -> Result<PriceBook, BadBook> {
    PriceBook::from_json(file.to_string().as_bytes(), BookId::new("0123456789ab"))
}

fn input_price(book: &PriceBook, model: &str) -> i64 {
    let basis = PriceBasis::Listed {
        provider: "openai".to_owned(),
        model: model.to_owned(),
    };
    let usage = freehold_types::Usage {
        input_tokens: 1_000,
        ..freehold_types::Usage::default()
    };
    let cost = book.cost(&basis, &usage, NOON).unwrap();
    assert_eq!(cost.book, Some(book.id()));
    cost.total.nanos()
}

#[test]
fn a_file_of_the_form_prices_requests_and_marks_them() {
    let book = read(&file()).unwrap();
    assert_eq!(book.size(), (12, 360));
    assert_eq!(book.id().as_str(), "0123456789ab");
    assert_eq!(input_price(&book, "model-3"), 1_000_000);
    assert_eq!(PriceBook::bundled().id().as_str(), "genai-0.2.1");
}

#[test]
fn the_version_of_the_bundled_book_is_the_one_that_is_built_in() {
    let lock = include_str!("../../../../Cargo.lock");
    let expected = format!("name = \"genai-prices\"\nversion = \"{BUNDLED_VERSION}\"");
    assert!(lock.contains(&expected), "BUNDLED_VERSION is out of date");
}

#[test]
fn what_is_no_price_book_is_refused_and_says_why() {
    let malformed = |text: &str| PriceBook::from_json(text.as_bytes(), BookId::new("x"));
    for text in ["", "{}", "[", "[{}]", "null", "<html>"] {
        assert!(
            matches!(malformed(text), Err(BadBook::Malformed(_))),
            "{text}"
        );
    }
    assert!(matches!(malformed("[]"), Err(BadBook::TooSmall { .. })));
    let mut cut = file();
    cut.as_array_mut().unwrap().truncate(4);
    assert_eq!(
        read(&cut).err(),
        Some(BadBook::TooSmall {
            providers: 4,
            models: 120
        })
    );
    let mut anchorless = file();
    anchorless[1]["id"] = json!("other");
    assert!(matches!(read(&anchorless), Err(BadBook::TooSmall { .. })));
    let mut absurd = file();
    absurd[4]["models"][7]["prices"]["output_mtok"] = json!(2e9);
    assert!(matches!(read(&absurd), Err(BadBook::Absurd { model, .. }) if model == "model-7"));
    let mut negative = file();
    negative[4]["models"][7]["prices"]["output_mtok"] = json!(-1);
    assert!(matches!(read(&negative), Err(BadBook::Malformed(_))));
    let huge = vec![b' '; BOOK_BYTES_MAX + 1];
    let refused = PriceBook::from_json(&huge, BookId::new("x"));
    assert!(matches!(refused, Err(BadBook::TooLarge { .. })));
}

#[test]
fn differences_name_what_is_dearer_new_and_gone() {
    let old = read(&file()).unwrap();
    let mut newer = file();
    newer[0]["models"][3]["prices"]["input_mtok"] = json!(1.5);
    newer[0]["models"][4]["id"] = json!("model-new");
    newer[0]["models"][4]["match"] = json!({"equals": "model-new"});
    let new = read(&newer).unwrap();
    assert_eq!(differences(&old, &old, NOON), []);
    let changes = differences(&old, &new, NOON);
    let told: Vec<_> = changes
        .iter()
        .map(
            |BookChange {
                 model,
                 before,
                 after,
                 ..
             }| {
                let input = |rates: &Option<super::super::ListedRates>| {
                    rates.as_ref().map(|listed| listed.rates.input.nanos())
                };
                (model.as_str(), input(before), input(after))
            },
        )
        .collect();
    let (dollar, more) = (Some(1_000_000_000), Some(1_500_000_000));
    assert_eq!(
        told,
        [
            ("model-3", dollar, more),
            ("model-new", None, dollar),
            ("model-4", dollar, None),
        ]
    );
}

#[test]
fn a_price_that_begins_later_is_no_difference_before_its_day() {
    let old = read(&file()).unwrap();
    let mut newer = file();
    newer[0]["models"][3]["prices"] = json!([
        {"prices": {"input_mtok": 1, "output_mtok": 2}},
        {"constraint": {"start_date": "2026-12-01"}, "prices": {"input_mtok": 9, "output_mtok": 2}},
    ]);
    let new = read(&newer).unwrap();
    let december = NOON + 60 * 86_400_000;
    assert_eq!(differences(&old, &new, NOON), []);
    assert_eq!(differences(&old, &new, december).len(), 1);
    assert_eq!(input_price(&new, "model-3"), 1_000_000);
}

#[test]
fn rates_tiers_and_service_tiers_are_read_off() {
    let book = PriceBook::bundled();
    let nanos = |amount: f64| freehold_types::NanoUsd::from_usd(amount).unwrap();
    let sonnet = book.rates("anthropic", "claude-sonnet-4-5", NOON).unwrap();
    assert_eq!(sonnet.rates.input, nanos(3.0));
    assert_eq!(sonnet.rates.cached_input, Some(nanos(0.3)));
    assert_eq!(sonnet.rates.cache_write, Some(nanos(3.75)));
    assert_eq!(sonnet.rates.cache_write_1h, Some(nanos(6.0)));
    assert_eq!(sonnet.rates.output, nanos(15.0));
    assert_eq!(sonnet.web_searches_per_thousand, Some(nanos(10.0)));
    let [tier] = sonnet.tiers[..] else {
        panic!("{:?}", sonnet.tiers)
    };
    assert_eq!(tier.above_input_tokens, 200_000);
    assert_eq!((tier.input, tier.output), (nanos(6.0), nanos(22.5)));
    let batch = (ServiceTier::Batch, nanos(1.5), nanos(7.5));
    assert_eq!(sonnet.service_tiers, [batch]);
    let sonar = book.rates("perplexity", "sonar", NOON).unwrap();
    assert_eq!(sonar.per_request, Some(nanos(0.012)));
    assert_eq!(sonar.rates.input, nanos(1.0));
    let audio = book.rates("openai", "gpt-audio", NOON).unwrap().rates;
    assert_eq!(audio.input_audio, Some(nanos(32.0)));
    assert_eq!(audio.output_audio, Some(nanos(64.0)));
    assert!(book.rates("openai", "no-such-model", NOON).is_err());
}
