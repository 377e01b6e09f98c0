//! A steady, mixed load for a long time: memory and latencies stand still, files grow only by what is recorded.
//!
//! `FREEHOLD_SOAK_MINUTES=30 cargo nextest run -p freehold --test chaos --no-capture -E 'test(soak)'`; without the
//! variable, ten seconds that only show that it works.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Asked, End, faults};
use crate::process::{Holds, MODELS, holds};
use crate::setting;
use crate::situations::Situation;
use crate::world::{World, client};

/// Requests at a time.
const AT_ONCE: usize = 8;
/// Looks at the gateway.
const LOOKS: u32 = 12;

/// What a look saw.
struct Look {
    at: Duration,
    holds: Holds,
    requests: usize,
    /// Median and 99th percentile of plain requests since the last look, in milliseconds.
    p50_ms: f64,
    p99_ms: f64,
    /// Bytes of each directory of the gateway's.
    bytes: BTreeMap<String, u64>,
}

fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::metadata(path).map_or(0, |file| file.len());
    };
    entries
        .flatten()
        .map(|entry| bytes_below(&entry.path()))
        .sum()
}

fn directories(home: &Path) -> BTreeMap<String, u64> {
    let mut bytes = BTreeMap::new();
    let ledger = home.join("state/ledger");
    bytes.insert("spool".to_owned(), bytes_below(&ledger.join("spool")));
    bytes.insert("ledger".to_owned(), bytes_below(&ledger));
    bytes.insert("audit".to_owned(), bytes_below(&home.join("state/audit")));
    bytes.insert("log".to_owned(), bytes_below(&home.join("log")));
    bytes
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// One client after another request until the time is over; how long plain ones took.
async fn load(world: &mut World, until: Instant) -> (usize, Vec<f64>) {
    let faults = faults();
    let client = client();
    let (mut requests, mut took) = (0, vec![]);
    while Instant::now() < until {
        let mut asks: Vec<_> = (0..AT_ONCE).map(|_| world.draw()).collect();
        asks[0].model = 1 + requests / AT_ONCE % (MODELS - 1);
        // One in eight has trouble that ends at once, with models that the others do not ask.
        let fault = faults[world.dice.usize(0..9)].clone();
        asks[0].script.fault = Some(fault);
        for ask in &mut asks[1..] {
            ask.script.pace = freehold_testkit::Pace::default();
        }
        let mut going = JoinSet::new();
        for ask in asks {
            let (client, url) = (client.clone(), world.gateway.url.clone());
            going.spawn(async move {
                let begun = Instant::now();
                let plain = ask.script.fault.is_none();
                let Asked { end, .. } = ask.go(&client, &url).await;
                (plain, end, begun.elapsed())
            });
        }
        for (plain, end, time) in going.join_all().await {
            requests += 1;
            assert!(!matches!(end, End::Odd(_) | End::Lost(_)), "{end:?}");
            if plain && end == End::Whole {
                took.push(time.as_secs_f64() * 1e3);
            }
        }
        // The fakes remember everything; their memory is not what is measured.
        world
            .upstreams
            .iter()
            .flatten()
            .for_each(freehold_testkit::FakeUpstream::reset);
    }
    (requests, took)
}

fn table(looks: &[Look]) -> String {
    let mut text = String::from(
        "    time  requests  RSS MiB  files  tasks  p50 ms  p99 ms  spool KiB  ledger KiB  audit KiB  log KiB\n",
    );
    for look in looks {
        let kib = |name: &str| look.bytes[name] / 1_024;
        let _ = writeln!(
            text,
            "{:>6.0} s {:>9} {:>8} {:>6} {:>6} {:>7.1} {:>7.1} {:>10} {:>11} {:>10} {:>8}",
            look.at.as_secs_f64(),
            look.requests,
            look.holds.resident_mib,
            look.holds.files,
            look.holds.tasks,
            look.p50_ms,
            look.p99_ms,
            kib("spool"),
            kib("ledger"),
            kib("audit"),
            kib("log"),
        );
    }
    text
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_in_a_steady_load() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let minutes = setting("FREEHOLD_SOAK_MINUTES");
    let all = minutes.map_or(Duration::from_secs(10), |minutes| {
        Duration::from_secs(60 * minutes)
    });
    let mut world = World::new(Situation::Faults, fastrand::Rng::with_seed(1)).await;
    let begun = Instant::now();
    let mut looks: Vec<Look> = vec![];
    for number in 1..=LOOKS {
        let until = begun + all * number / LOOKS;
        let (requests, mut took) = load(&mut world, until).await;
        took.sort_by(f64::total_cmp);
        looks.push(Look {
            at: begun.elapsed(),
            holds: holds(&world.gateway).await.unwrap(),
            requests,
            p50_ms: percentile(&took, 0.5),
            p99_ms: percentile(&took, 0.99),
            bytes: directories(world.home.path()),
        });
    }
    let text = table(&looks);
    let _ = writeln!(std::io::stderr(), "{text}");
    // A short run is still warming up, and another test's load is in its latencies.
    if minutes.is_none() {
        return;
    }
    let third = looks.len() / 3;
    let (first, last) = (&looks[third..2 * third], &looks[2 * third..]);
    let rss = |looks: &[Look]| median(looks.iter().map(|look| look.holds.resident_mib as f64));
    assert!(
        rss(last) <= rss(first) * 1.15 + 8.0,
        "memory grows:\n{text}"
    );
    let p50 = |looks: &[Look]| median(looks.iter().map(|look| look.p50_ms));
    let begin = p50(&looks[..third]);
    assert!(p50(last) <= begin * 1.5 + 5.0, "latencies creep:\n{text}");
    // 64 MiB of spool wait for no database here; a log line per request would be ten times this.
    let requests: usize = looks.iter().map(|look| look.requests).sum();
    let last = &looks[looks.len() - 1];
    assert!(last.bytes["spool"] < 64 << 20, "the spool grows:\n{text}");
    let each = |name: &str| last.bytes[name] / requests as u64;
    assert!(each("ledger") < 16 << 10, "the ledger grows:\n{text}");
    assert!(each("audit") < 4 << 10, "the audit trail grows:\n{text}");
    assert!(each("log") < 2 << 10, "the log grows:\n{text}");
}
