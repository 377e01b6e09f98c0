//! How long the guard takes: `cargo bench -p freehold-guard --bench scan`.
//!
//! Every text has 4 KB. At the end stands a table of nanoseconds per byte with the ratio of the worst
//! to the median; `-- --table [NAME...]` prints only that.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group};
use freehold_guard::{Guard, Settings};
use freehold_types::Request;

#[path = "../tests/texts/mod.rs"]
mod texts;

use texts::{ORDINARY, TEXTS, request, text_of};

const BYTES: usize = 4_096;

fn guard() -> Guard {
    Guard::new(&Settings::default()).expect("the default settings are valid")
}

fn bench(criterion: &mut Criterion) {
    let guard = guard();
    let mut group = criterion.benchmark_group("scan 4 KB");
    group
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    for (what, piece) in TEXTS {
        let asked = request(&text_of(piece, BYTES));
        group.throughput(Throughput::Bytes(BYTES as u64));
        group.bench_function(*what, |b| b.iter(|| guard.scan(black_box(&asked))));
    }
    group.finish();
}

/// Scans of each text.
const SCANS: usize = 600;

/// How long each of many scans took, in nanoseconds, the shortest first.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn measure(guard: &Guard, asked: &Request) -> Vec<f64> {
    let mut times: Vec<f64> = (0..SCANS)
        .map(|_| {
            let begun = Instant::now();
            black_box(guard.scan(black_box(asked)));
            begun.elapsed().as_nanos() as f64
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times
}

/// The time that so many of a hundred scans do not exceed.
fn percentile(times: &[f64], percent: usize) -> f64 {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn table(names: &[String]) {
    let guard = guard();
    let is_named = |what: &str| names.is_empty() || names.iter().any(|name| name == what);
    let mut rows: Vec<(&str, Vec<f64>)> = TEXTS
        .iter()
        .filter(|(what, _)| is_named(what))
        .map(|(what, piece)| {
            let asked = request(&text_of(piece, BYTES));
            measure(&guard, &asked);
            (*what, measure(&guard, &asked))
        })
        .collect();
    rows.sort_by(|a, b| percentile(&a.1, 50).total_cmp(&percentile(&b.1, 50)));
    println!(
        "{:20} {:>8} {:>8} {:>8} {:>8}",
        "4 KB of", "p50 us", "p99 us", "worst us", "ns/byte"
    );
    let print = |what: &str, times: &[f64]| {
        let (median, high) = (percentile(times, 50), percentile(times, 99));
        let worst = percentile(times, 100);
        println!(
            "{what:20} {:8.1} {:8.1} {:8.1} {:8.2}",
            median / 1e3,
            high / 1e3,
            worst / 1e3,
            median / BYTES as f64
        );
    };
    for (what, times) in &rows {
        print(what, times);
    }
    let ordinary = |what: &str| ORDINARY.contains(&what);
    for (what, wanted) in [("ordinary texts", true), ("all texts", false)] {
        let chosen = rows.iter().filter(|row| !wanted || ordinary(row.0));
        let mut times: Vec<f64> = chosen.flat_map(|row| &row.1).copied().collect();
        times.sort_unstable_by(f64::total_cmp);
        if !times.is_empty() {
            print(what, &times);
        }
    }
    let middle = percentile(&rows[rows.len() / 2].1, 50);
    let worst = percentile(&rows[rows.len() - 1].1, 50);
    println!("worst : median of the medians = {:.2}", worst / middle);
}

criterion_group!(benches, bench);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--table");
    if arguments.next().is_some() {
        let names: Vec<_> = arguments.filter(|name| !name.starts_with("--")).collect();
        table(&names);
        return;
    }
    benches();
    table(&[]);
}
