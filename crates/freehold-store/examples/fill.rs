//! Fills a ledger with outcomes of the last 30 days, the way a gateway does: through the spool.
//!
//! `cargo run --release -p freehold-store --example fill -- DIRECTORY OUTCOMES`

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freehold_ports::Ledger as _;
use freehold_store::{DurableLedger, StoreSettings};
use freehold_types::{Outcome, RequestId};

#[expect(dead_code, reason = "a part of what tests share")]
#[path = "../tests/store/common.rs"]
mod common;

const SPAN_MS: u64 = 30 * 24 * 3_600_000;
/// After so many the ledger drains: they fit into the spool.
const PART: u64 = 100_000;
/// How long draining them may take.
const BOUND: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, count] = &arguments[..] else {
        return Err("DIRECTORY and OUTCOMES are needed".into());
    };
    let count: u64 = count.parse()?;
    let ledger = DurableLedger::open(StoreSettings::new(Path::new(directory)))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let begin = u64::try_from(now)? - SPAN_MS;
    for number in 0..count {
        let at =
            begin + u64::try_from(u128::from(number) * u128::from(SPAN_MS) / u128::from(count))?;
        ledger.record(&outcome(number, at))?;
        if number % PART == PART - 1 {
            ledger.flush(BOUND).await?;
        }
    }
    ledger.shutdown(BOUND).await?;
    Ok(())
}

/// One of 50 keys in 10 teams, on 4 flows.
fn outcome(number: u64, started_unix_ms: u64) -> Outcome {
    let mut outcome = common::outcome(started_unix_ms);
    outcome.id = RequestId::at(started_unix_ms);
    outcome.key = format!("key-{:02}", number % 50).into();
    outcome.team = Some(format!("org/team-{}", number % 10).into());
    outcome.flow = Some(format!("flow-{}", number / 50 % 4).into());
    outcome
}
