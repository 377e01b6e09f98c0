//! What one request pays for its record, and what the drainer pays behind it.
//!
//! All times are processor time, of the thread or (drain) of all threads, the kernel's share
//! included: other load on the machine does not change them much. Needs a Unix.
//!
//! `cargo bench -p freehold-store`

#[expect(dead_code, reason = "the benchmarks need a part of what tests share")]
#[path = "../tests/store/common.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use common::{BASE, outcome};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use freehold_ports::{Accounts, Ledger, UnderWay};
use freehold_store::{DurableLedger, Journal, KeySettings, StaticAccounts, StoreSettings};
use freehold_types::Outcome;

/// A ledger whose database is away, so that the drainer does not compete for the processor.
fn spool_only(dir: &std::path::Path) -> DurableLedger {
    let mut settings = StoreSettings::new(dir);
    settings.spool.limit_bytes = 32 << 30;
    settings.retry = (Duration::from_secs(3_600), Duration::from_secs(3_600));
    std::fs::create_dir(dir.join("ledger.db")).expect("an empty directory");
    DurableLedger::open(settings).expect("opens")
}

/// What so many rounds take of this thread's processor time, the kernel's share included. Unlike
/// elapsed time it does not depend on what else the machine does.
fn on_processor(rounds: u64, mut round: impl FnMut()) -> Duration {
    let begin = thread_time();
    for _ in 0..rounds {
        round();
    }
    thread_time().saturating_sub(begin)
}

fn thread_time() -> Duration {
    duration(rustix::time::clock_gettime(
        rustix::time::ClockId::ThreadCPUTime,
    ))
}

fn process_time() -> Duration {
    duration(rustix::time::clock_gettime(
        rustix::time::ClockId::ProcessCPUTime,
    ))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).expect("positive");
    Duration::new(
        seconds,
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    let whole = outcome(BASE);
    let bare = Outcome {
        decision: None,
        ..outcome(BASE)
    };
    for (name, outcome) in [("with decision", whole), ("without decision", bare)] {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = spool_only(dir.path());
        let bytes = serde_json::to_vec(&outcome).expect("serialises").len();
        group.bench_function(format!("{name}, {bytes} bytes"), |bencher| {
            bencher.iter_custom(|rounds| {
                on_processor(rounds, || ledger.record(black_box(&outcome)).expect("kept"))
            });
        });
    }
    group.bench_function("serialise only", |bencher| {
        let outcome = outcome(BASE);
        let mut buffer = Vec::with_capacity(8_192);
        bencher.iter_custom(|rounds| {
            on_processor(rounds, || {
                buffer.clear();
                serde_json::to_writer(&mut buffer, black_box(&outcome)).expect("serialises");
            })
        });
    });
    group.bench_function("ready", |bencher| {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = spool_only(dir.path());
        bencher.iter_custom(|rounds| on_processor(rounds, || ledger.ready().expect("ready")));
    });
    group.finish();
}

/// What a request pays for being found again should the gateway die: its note before it is sent, and
/// that being crossed out.
fn note(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    let provisional = Outcome {
        decision: None,
        ..outcome(BASE)
    };
    for under_way in [0, 1_000] {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(dir.path(), |_| Ok(())).expect("opens");
        let others: Vec<_> = (0..under_way)
            .map(|_| journal.begin(&provisional).expect("noted"))
            .collect();
        let name = format!("note and cross out, {under_way} others under way");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                on_processor(rounds, || {
                    let slot = journal.begin(black_box(&provisional)).expect("noted");
                    journal.end(slot);
                })
            });
        });
        others.into_iter().for_each(|slot| journal.end(slot));
    }
    group.finish();
}

fn drain(criterion: &mut Criterion) {
    const RECORDS: u64 = 10_000;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("drain");
    group.throughput(Throughput::Elements(RECORDS));
    group.sample_size(10);
    group.bench_function(format!("record and drain {RECORDS}"), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let dir = tempfile::tempdir().expect("a directory");
                let ledger = DurableLedger::open(StoreSettings::new(dir.path())).expect("opens");
                let outcomes: Vec<_> = (0..RECORDS).map(|i| outcome(BASE + i)).collect();
                let begin = process_time();
                for outcome in &outcomes {
                    ledger.record(outcome).expect("kept");
                }
                let flushed = runtime.block_on(ledger.flush(Duration::from_secs(60)));
                took += process_time().saturating_sub(begin);
                flushed.expect("drained");
            }
            took
        });
    });
    group.finish();
}

fn authenticate(criterion: &mut Criterion) {
    let keys = (0..1_000).map(|i| {
        let secret = format!("fh-0123456789abcdef0123456789abcdef-{i}");
        KeySettings::new(format!("key-{i}"), secret)
    });
    let accounts = StaticAccounts::new(keys).expect("keys");
    criterion.bench_function("authenticate among 1000 keys", |bencher| {
        bencher.iter_batched(
            || "fh-0123456789abcdef0123456789abcdef-500",
            |key| accounts.authenticate(Some(black_box(key))).expect("known"),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, record, note, drain, authenticate);
criterion_main!(benches);
