//! How long masking and restoring take: `cargo bench -p freehold-guard --bench restore`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freehold_guard::{Guard, MaskRules, MaskStyle, Settings, Vault, mask};
use freehold_types::request::Prompt;
use freehold_types::{Dialect, Request};

const BYTES: usize = 4_096;

fn request(text: String) -> Request {
    Request {
        prompt: Some(Prompt::Text(text)),
        ..Request::new(Dialect::OpenaiCompletions, "auto", vec![])
    }
}

/// Prose with a card's number every `gap` bytes, as long as asked.
fn text(gap: usize) -> String {
    const PROSE: &str = "Please charge what is left, in euro, to the person who ordered it last. ";
    let mut text = String::new();
    let mut number = 0_u64;
    while text.len() < BYTES {
        let end = text.len() + gap;
        while text.len() < end {
            text.push_str(PROSE);
        }
        number += 1;
        text.push_str(&card(number));
        text.push_str(", ");
    }
    text.truncate(BYTES);
    text
}

fn card(number: u64) -> String {
    (0..10)
        .map(|check| format!("411111{number:09}{check}"))
        .find(|digits| {
            let sum: u32 = digits
                .bytes()
                .rev()
                .enumerate()
                .map(|(place, byte)| {
                    let digit = u32::from(byte - b'0') << (place % 2);
                    if digit > 9 { digit - 9 } else { digit }
                })
                .sum();
            sum.is_multiple_of(10)
        })
        .unwrap_or_default()
}

fn bench(criterion: &mut Criterion) {
    let Ok(guard) = Guard::new(&Settings::default()) else {
        return;
    };
    let mut group = criterion.benchmark_group("4 KB");
    group.throughput(Throughput::Bytes(BYTES as u64));
    for (style, name) in [
        (MaskStyle::Pseudonym, "pseudonyms"),
        (MaskStyle::Surrogate, "surrogates"),
    ] {
        let rules = MaskRules::new().with("payment_card", style);
        let asked = request(text(256));
        let scan = guard.scan(&asked);
        let look = |text: &str| guard.scan_text(text);
        group.bench_function(format!("mask, {name}"), |b| {
            b.iter(|| {
                let mut vault = Vault::new("tenant", "conversation", b"secret");
                mask(black_box(&asked), &scan, &look, &rules, &mut vault)
                    .map(|masked| masked.counts)
            });
        });
        let mut vault = Vault::new("tenant", "conversation", b"secret");
        let Ok(masked) = mask(&asked, &scan, &look, &rules, &mut vault) else {
            return;
        };
        let Some(Prompt::Text(answer)) = masked.request.prompt else {
            return;
        };
        let restorer = vault.restorer();
        group.bench_function(format!("restore whole, {name}"), |b| {
            b.iter(|| restorer.restore(black_box(&answer)));
        });
        group.bench_function(format!("restore by 4 bytes, {name}"), |b| {
            b.iter(|| {
                let mut restorer = restorer.another();
                let mut bytes = 0;
                for at in (0..answer.len()).step_by(4) {
                    let end = answer.len().min(at + 4);
                    bytes += restorer.push(black_box(&answer[at..end])).len();
                }
                bytes + restorer.finish().len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
