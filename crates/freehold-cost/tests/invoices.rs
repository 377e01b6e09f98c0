//! Golden usage: answers as each vendor's documentation shows them, whole and streamed, through the
//! decoder and the price book, exact to the nano-dollar.
//!
//! A fixture's `arithmetic` is the invoice by hand: `COUNT what x PRICE`, the price in nano-USD per token
//! (which is the list price in dollars per million, times a thousand) or per call. The test adds it up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use freehold_cost::PriceBook;
use freehold_types::outcome::{CostBasis, CostGap};
use freehold_types::{Dialect, Event, PriceBasis, Usage, UsageBasis};
use freehold_wire::StreamDecoder;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    note: String,
    at: String,
    at_unix_ms: u64,
    dialect: Dialect,
    price: PriceBasis,
    body: Value,
    stream: Vec<Value>,
    usage: Value,
    cost: Expected,
    arithmetic: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    nanos: i64,
    basis: CostBasis,
    gap: Option<CostGap>,
}

fn fixtures() -> Vec<(String, Fixture)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invoices/fixtures");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read(&path).unwrap();
        let fixture =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, fixture)
    };
    paths.into_iter().map(read).collect()
}

impl Fixture {
    fn expected_usage(&self) -> Usage {
        let usage: Usage = serde_json::from_value(self.usage.clone()).unwrap();
        Usage {
            basis: UsageBasis::Reported,
            ..usage
        }
    }

    /// The stream as it comes over the wire.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = String::new();
        for event in &self.stream {
            if let Some(kind) = event.get("type").and_then(Value::as_str) {
                bytes += &format!("event: {kind}\n");
            }
            match event {
                Value::String(word) => bytes += &format!("data: {word}\n\n"),
                event => bytes += &format!("data: {event}\n\n"),
            }
        }
        bytes.into_bytes()
    }

    /// The last usage of the stream, read in pieces of this many bytes.
    fn streamed_usage(&self, piece_bytes: usize) -> Usage {
        let mut decoder = StreamDecoder::new(self.dialect, false);
        let mut frames = Vec::new();
        for piece in self.bytes().chunks(piece_bytes) {
            decoder.push(piece, &mut frames).unwrap();
        }
        decoder.finish(&mut frames).unwrap();
        let events: Vec<Event> = frames.into_iter().flat_map(|frame| frame.events).collect();
        assert_eq!(events.last(), Some(&Event::End));
        let mut usages = events.into_iter().filter_map(|event| match event {
            Event::Usage(usage) => Some(usage),
            _ => None,
        });
        usages.next_back().unwrap()
    }

    fn whole_usage(&self) -> Usage {
        let body = self.body.to_string();
        let answer = freehold_wire::decode_response(self.dialect, body.as_bytes()).unwrap();
        answer.usage.unwrap()
    }

    /// The invoice by hand, in nano-dollars, halves up.
    fn invoice_nanos(&self) -> i64 {
        let thousandths: i128 = self.arithmetic.iter().map(|line| product(line)).sum();
        i64::try_from((thousandths + 500).div_euclid(1_000)).unwrap()
    }
}

/// `COUNT what x PRICE` in thousandths of a nano-dollar; a price has at most three decimals.
fn product(line: &str) -> i128 {
    let (left, price) = line.rsplit_once(" x ").unwrap();
    let count: i128 = left.split(' ').next().unwrap().parse().unwrap();
    let (whole, decimals) = price.split_once('.').unwrap_or((price, ""));
    let price: i128 = format!("{whole}{decimals:0<3}").parse().unwrap();
    count * price
}

#[test]
fn every_vendors_answers_cost_what_the_invoice_says() {
    let book = PriceBook::bundled();
    let fixtures = fixtures();
    assert!(fixtures.len() >= 30, "fixtures are missing");
    for (name, fixture) in fixtures {
        let expected = fixture.expected_usage();
        assert_eq!(
            fixture.invoice_nanos(),
            fixture.cost.nanos,
            "{name}: arithmetic"
        );
        let mut read = vec![("whole", fixture.whole_usage())];
        for piece_bytes in [1, 7, 64, usize::MAX] {
            read.push(("streamed", fixture.streamed_usage(piece_bytes)));
        }
        for (mode, usage) in read {
            let about = format!("{name}, {mode}: {} ({})", fixture.note, fixture.at);
            assert_eq!(usage, expected, "{about}");
            let cost = book.cost(&fixture.price, &usage, fixture.at_unix_ms);
            let cost = cost.unwrap_or_else(|unknown| panic!("{about}: {unknown}"));
            assert_eq!(cost.total.nanos(), fixture.cost.nanos, "{about}");
            assert_eq!(
                (cost.basis, cost.gap),
                (fixture.cost.basis, fixture.cost.gap),
                "{about}"
            );
        }
    }
}

/// A usage that is taken over into another dialect and read there again is still the same.
#[test]
fn translated_answers_keep_what_is_billed() {
    use freehold_wire::AnswerContext;
    for (name, fixture) in fixtures() {
        let body = fixture.body.to_string();
        let answer = freehold_wire::decode_response(fixture.dialect, body.as_bytes()).unwrap();
        let context = AnswerContext::default();
        let to = Dialect::AnthropicMessages;
        let told = freehold_wire::encode_response(to, &answer, &context);
        let again = freehold_wire::decode_response(to, &told).unwrap();
        let (before, after) = (answer.usage.unwrap(), again.usage.unwrap());
        assert_eq!(after.input_tokens, before.input_tokens, "{name}");
        assert_eq!(
            after.cached_input_tokens, before.cached_input_tokens,
            "{name}"
        );
        assert_eq!(
            after.cache_write_tokens, before.cache_write_tokens,
            "{name}"
        );
        assert_eq!(after.output_tokens, before.output_tokens, "{name}");
        assert_eq!(after.web_searches, before.web_searches, "{name}");
    }
}
