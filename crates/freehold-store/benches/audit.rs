//! What one request pays for its audit record, and how fast a trail is verified.
//!
//! All times are processor time of the calling thread, the kernel's share included: other load on
//! the machine does not change them much. Needs a Unix.
//!
//! `cargo bench -p freehold-store --bench audit`

#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the benchmarks need a part of what tests share"
)]
#[path = "../tests/audit/common.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use common::{decision, dir_of, pinned};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freehold_ports::Audit;
use freehold_store::audit::{AuditLog, AuditSettings, verify};
use freehold_types::audit::{AuditDecision, AuditEvent};

/// What so many rounds take of this thread's processor time.
fn on_processor(rounds: u64, mut round: impl FnMut()) -> Duration {
    let begin = thread_time();
    for _ in 0..rounds {
        round();
    }
    thread_time().saturating_sub(begin)
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("positive");
    Duration::new(
        seconds,
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audit record");
    group.throughput(Throughput::Elements(1));
    let event = decision(1);
    let bytes = serde_json::to_vec(&event).expect("serialises").len();
    group.bench_function(format!("decision, {bytes} bytes"), |bencher| {
        let data = tempfile::tempdir().expect("a directory");
        let log = AuditLog::open(AuditSettings::new(data.path())).expect("opens");
        bencher.iter_custom(|rounds| {
            on_processor(rounds, || {
                log.record(black_box(&event)).expect("kept");
            })
        });
    });
    group.bench_function("serialise only", |bencher| {
        let mut buffer = Vec::with_capacity(4_096);
        bencher.iter_custom(|rounds| {
            on_processor(rounds, || {
                buffer.clear();
                serde_json::to_writer(&mut buffer, black_box(&event)).expect("serialises");
            })
        });
    });
    group.bench_function("ready", |bencher| {
        let data = tempfile::tempdir().expect("a directory");
        let log = AuditLog::open(AuditSettings::new(data.path())).expect("opens");
        bencher.iter_custom(|rounds| on_processor(rounds, || log.ready().expect("ready")));
    });
    group.bench_function("checkpoint, signed and flushed", |bencher| {
        let data = tempfile::tempdir().expect("a directory");
        let log = AuditLog::open(AuditSettings::new(data.path())).expect("opens");
        bencher.iter_custom(|rounds| {
            on_processor(rounds, || {
                log.checkpoint().expect("signed");
            })
        });
    });
    group.finish();
}

fn from_outcome(criterion: &mut Criterion) {
    let outcome = outcome();
    criterion.bench_function("audit decision of an outcome", |bencher| {
        bencher.iter_custom(|rounds| {
            on_processor(rounds, || {
                black_box(AuditEvent::Decision(AuditDecision::of(black_box(&outcome))));
            })
        });
    });
}

#[path = "../tests/store/common.rs"]
#[expect(dead_code, reason = "the benchmarks need a part of what tests share")]
mod store_common;

fn outcome() -> freehold_types::Outcome {
    store_common::outcome(store_common::BASE)
}

fn verification(criterion: &mut Criterion) {
    const RECORDS: u64 = 20_000;
    let data = tempfile::tempdir().expect("a directory");
    let log = AuditLog::open(AuditSettings::new(data.path())).expect("opens");
    for number in 0..RECORDS {
        log.record(&decision(number)).expect("kept");
    }
    log.shutdown().expect("closed");
    let options = pinned(log.public_key());
    let mut group = criterion.benchmark_group("audit verify");
    group.throughput(Throughput::Elements(RECORDS));
    group.sample_size(10);
    group.bench_function(format!("{RECORDS} records"), |bencher| {
        bencher.iter_custom(|rounds| {
            on_processor(rounds, || {
                let report = verify(&dir_of(data.path()), &options, &mut |_| {});
                assert!(report.expect("read").is_intact());
            })
        });
    });
    group.finish();
}

criterion_group!(benches, record, from_outcome, verification);
criterion_main!(benches);
