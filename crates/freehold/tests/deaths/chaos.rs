//! Two gateways with a shared ledger and shared accounts, whose processes and servers are killed in
//! turns while upstreams fail: in the end the ledger has what the upstream counted, no budget is
//! exceeded, nothing is reserved, and the accounts have what the ledger has, to the nano-dollar.
//!
//! `FREEHOLD_CHAOS_REQUESTS` and `FREEHOLD_CHAOS_SEED` make it longer and other.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use freehold_ports::{Period, Scope, SystemClock};
use freehold_store::meter::{PeriodStart, SharedMeter, SharedSettings, Standings};
use freehold_store::{Database, Reader, RecentQuery};
use freehold_testkit::{FakeUpstream, postgres, redis};
use freehold_types::{Outcome, OutcomeStatus, RequestId};
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, is_interrupted};

/// Requests of a usual run.
const REQUESTS: usize = 1_200;
const CLIENTS: usize = 12;
/// One death in so many requests.
const REQUESTS_PER_DEATH: usize = 120;
const TOKENS: u64 = 6;
const WIDE: &str = "fh-wide-5Tg7Yh2Uj9Ik4Ol1";
const TIGHT: &str = "fh-tight-8Rf3Vb6Nm1Zx2Qw";
/// What the tight key may spend in a usual run, in nano-USD: enough for some of its requests.
const TIGHT_NANOS: i64 = 3_000_000;
const INPUT_NANOS: u64 = 1_000;
const OUTPUT_NANOS: u64 = 2_000;

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

/// A small generator: the same seed gives the same course of events, as far as the machine lets it.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }
}

/// The program, with its configuration in `home`.
fn freehold(home: &Path, database: &str, accounts: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command
        .arg("--config")
        .arg(home.join("freehold.yaml"))
        .env_clear()
        .env("FREEHOLD_HOME", home)
        .env("DATABASE_URL", database)
        .env("REDIS_URL", accounts)
        // What it says of each death is much, and is tested elsewhere.
        .stderr(Stdio::null());
    command
}

fn write_config(home: &Path, upstream: &str, tight_nanos: i64) {
    let budget = |nanos: i64| json!([{"per": "total", "usd": nanos as f64 / 1e9}]);
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "admin": null},
        "discover": false,
        "accounts": {"lease_s": 3},
        "keys": [
            {"name": "wide", "key": WIDE, "budgets": budget(1_000_000_000_000),
             "limits": {"concurrent": 100}},
            {"name": "tight", "key": TIGHT, "budgets": budget(tight_nanos)},
        ],
        "backends": {"fake": {
            "type": "openai",
            "base_url": format!("{upstream}/v1"),
            "api_key": "sk-fake",
            "models": [{
                "name": "fake",
                "context_tokens": 8000,
                "price": {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0},
            }],
        }},
    });
    std::fs::write(home.join("freehold.yaml"), config.to_string()).unwrap();
}

/// Everything that can die.
struct World {
    homes: [tempfile::TempDir; 2],
    gateways: [Mutex<Gateway>; 2],
    urls: RwLock<[String; 2]>,
    postgres: postgres::Server,
    database: String,
    redis: redis::Server,
    upstream: FakeUpstream,
    /// What the tight key may spend.
    tight_nanos: i64,
    /// Requests that have reached a gateway.
    asked: AtomicUsize,
    deaths: AtomicUsize,
    complete: Mutex<Vec<RequestId>>,
}

impl World {
    async fn new(tight_nanos: i64) -> Self {
        let upstream = FakeUpstream::start().await.unwrap();
        let postgres = postgres::Server::start(postgres::Settings::default()).unwrap();
        let name = postgres.database().unwrap();
        let database = postgres.url(&name);
        let redis = redis::Server::start(redis::Persistence::AppendOnly).unwrap();
        let homes = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for home in &homes {
            write_config(home.path(), &upstream.url(), tight_nanos);
        }
        let gateways = [0, 1].map(|i: usize| {
            Mutex::new(Gateway::start(freehold(
                homes[i].path(),
                &database,
                &redis.url(),
            )))
        });
        let urls = RwLock::new([0, 1].map(|i: usize| gateways[i].lock().url.clone()));
        Self {
            homes,
            gateways,
            urls,
            postgres,
            database,
            redis,
            upstream,
            tight_nanos,
            asked: AtomicUsize::new(0),
            deaths: AtomicUsize::new(0),
            complete: Mutex::default(),
        }
    }

    /// Kills one of them, and starts it again after a while.
    fn death(&self, dice: &mut Dice) {
        let pause = Duration::from_millis(50 + dice.roll(400) as u64);
        match dice.roll(4) {
            victim @ (0 | 1) => {
                let mut gateway = self.gateways[victim].lock();
                gateway.kill();
                std::thread::sleep(pause);
                let home = self.homes[victim].path();
                *gateway = Gateway::start(freehold(home, &self.database, &self.redis.url()));
                self.urls.write()[victim] = gateway.url.clone();
            }
            2 => {
                self.postgres.kill();
                std::thread::sleep(pause);
                self.postgres.restart().unwrap();
            }
            _ => {
                self.redis.kill();
                std::thread::sleep(pause);
                self.redis.restart().unwrap();
            }
        }
    }

    /// One request, of one of many kinds.
    async fn ask(&self, client: &reqwest::Client, dice: &mut Dice) {
        let url = self.urls.read()[dice.roll(2)].clone();
        let (key, stream) = ([WIDE, WIDE, TIGHT][dice.roll(3)], dice.roll(2) == 0);
        let name = if key == TIGHT { "tight" } else { "wide" };
        let how = match dice.roll(12) {
            0 => r#"[[fake:{"fault":{"kind":"status","status":500}}]]"#,
            1 => r#"[[fake:{"pace":{"inter_token_ms":40}}]]"#,
            _ => r#"[[fake:{"pace":{"inter_token_ms":1}}]]"#,
        };
        let body = json!({
            "model": "fake/fake",
            "stream": stream,
            "max_tokens": 20,
            "messages": [{"role": "user", "content": format!("{how} {name} two three four five six")}],
        });
        let request = client.post(format!("{url}/v1/chat/completions"));
        let Ok(response) = request.bearer_auth(key).json(&body).send().await else {
            // That one is dead: a client comes again after a while.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        let status = response.status();
        let id: RequestId = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let Ok(text) = response.text().await else {
            return;
        };
        let is_whole = !stream || text.ends_with("data: [DONE]\n\n");
        if status == 200 && is_whole && !text.contains("\"error\"") {
            self.complete.lock().push(id);
        }
    }

    /// Everything in the ledger.
    async fn outcomes(&self) -> Vec<Outcome> {
        let spool = self.homes[0].path().join("ledger").join("spool");
        let database: Database = self.database.parse().unwrap();
        let reader = Reader::open(database, spool);
        reader
            .recent(&RecentQuery::newest(1_000_000))
            .await
            .unwrap()
    }
}

/// What both keys have spent and reserved, once nothing is under way any more, and all that the dead
/// had reserved is settled.
async fn settled(meter: &SharedMeter) -> Vec<Standings> {
    let total = PeriodStart::holding(Period::Total, 0);
    let budgets = ["wide", "tight"].map(|key| (Scope::Key(key.into()), total));
    let begun = Instant::now();
    loop {
        let census = meter.census(&budgets).await.unwrap();
        let reserved = census.standings.iter().map(|one| one.reserved.nanos());
        if (census.held, census.lapsed, reserved.sum()) == (0, 0, 0) {
            return census.standings;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{census:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_the_ledger_has_what_the_upstream_counted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let requests = setting("FREEHOLD_CHAOS_REQUESTS", REQUESTS);
    let seed = setting("FREEHOLD_CHAOS_SEED", 1) as u64;
    let tight_nanos = TIGHT_NANOS * requests as i64 / REQUESTS as i64;
    let world = Arc::new(World::new(tight_nanos).await);

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let world = Arc::clone(&world);
        let mut dice = Dice(seed.wrapping_mul(1_000) + number as u64);
        clients.spawn(async move {
            let client = reqwest::Client::new();
            loop {
                let asked = world.asked.load(Ordering::Relaxed);
                if asked >= requests {
                    return;
                }
                // Starting a gateway takes longer than many requests: deaths keep up.
                if asked > (world.deaths.load(Ordering::Relaxed) + 2) * REQUESTS_PER_DEATH {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                } else {
                    world.ask(&client, &mut dice).await;
                }
            }
        });
    }
    let deaths = {
        let world = Arc::clone(&world);
        tokio::task::spawn_blocking(move || {
            let mut dice = Dice(seed);
            loop {
                let asked = world.asked.load(Ordering::Relaxed);
                let deaths = world.deaths.load(Ordering::Relaxed);
                if asked >= requests {
                    return deaths;
                }
                if asked >= (deaths + 1) * REQUESTS_PER_DEATH {
                    world.death(&mut dice);
                    world.deaths.fetch_add(1, Ordering::Relaxed);
                } else {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        })
    };
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let deaths = deaths.await.unwrap();
    assert!(deaths + 3 > requests / REQUESTS_PER_DEATH, "{deaths}");

    let settings = SharedSettings {
        lease: Duration::from_secs(3),
        ..SharedSettings::new(world.redis.url())
    };
    let meter = SharedMeter::new(settings, Arc::new(SystemClock::new())).unwrap();
    let standings = settled(&meter).await;
    for gateway in &world.gateways {
        gateway.lock().terminate();
    }
    let outcomes = world.outcomes().await;
    check(&world, &outcomes, &standings);
    let complete = world.complete.lock().len();
    let refused = outcomes
        .iter()
        .filter(|outcome| outcome.status == OutcomeStatus::Refused);
    let cut = outcomes.iter().filter(is_interrupted).count();
    // For whoever runs it by hand.
    let _ = writeln!(
        std::io::stderr(),
        "seed {seed}: {requests} requests, {deaths} deaths, {} outcomes, {complete} whole answers, \
         {} refused, {cut} cut short, tight spent {} of {tight_nanos}",
        outcomes.len(),
        refused.count(),
        standings[1].spent.nanos(),
    );
}

fn check(world: &World, outcomes: &[Outcome], standings: &[Standings]) {
    let by_id: BTreeMap<_, _> = outcomes
        .iter()
        .map(|outcome| (outcome.id, outcome))
        .collect();
    assert_eq!(by_id.len(), outcomes.len(), "no outcome is there twice");
    // Every answer that a client saw whole is there, with its usage.
    for id in &*world.complete.lock() {
        let outcome = by_id
            .get(id)
            .unwrap_or_else(|| panic!("the outcome of {id} is lost"));
        assert_eq!(outcome.status, OutcomeStatus::Completed);
        assert_eq!(outcome.usage.output_tokens, TOKENS);
    }
    // The ledger has what the upstream counted: exactly, but for those that a death cut short, which
    // have at least that.
    let records = world.upstream.requests();
    let counted: u64 = records
        .iter()
        .map(|record| record.usage.completion_tokens)
        .sum();
    let told = |outcomes: &mut dyn Iterator<Item = &Outcome>| -> u64 {
        outcomes.map(|outcome| outcome.usage.output_tokens).sum()
    };
    let whole = told(&mut outcomes.iter().filter(|outcome| !is_interrupted(outcome)));
    let all = told(&mut outcomes.iter());
    assert!(
        whole <= counted && counted <= all,
        "{whole} <= {counted} <= {all}"
    );
    // A death cuts the last of a request's attempts only: those before it have failed and cost nothing.
    let attempts: usize = outcomes.iter().map(|outcome| outcome.attempts.len()).sum();
    let billed = records
        .iter()
        .filter(|record| record.usage.completion_tokens > 0);
    let billed = billed.count();
    assert!(billed <= attempts, "{billed} billed, {attempts} attempts");
    // No budget is exceeded, neither by the ledger nor by what the upstream bills.
    let billed = records.iter().filter(|record| {
        std::str::from_utf8(&record.body)
            .unwrap()
            .contains("tight two")
    });
    let billed: u64 = billed
        .map(|record| {
            record.usage.prompt_tokens * INPUT_NANOS + record.usage.completion_tokens * OUTPUT_NANOS
        })
        .sum();
    assert!(
        billed > 0 && i64::try_from(billed).unwrap() <= world.tight_nanos,
        "{billed}"
    );
    // The accounts have what the ledger has, no more and no less.
    for (standing, name) in standings.iter().zip(["wide", "tight"]) {
        let of_key = outcomes
            .iter()
            .filter(|outcome| outcome.key.as_str() == name);
        let spent: i64 = of_key
            .filter_map(|outcome| Some(outcome.cost?.nanos()))
            .sum();
        assert_eq!(standing.spent.nanos(), spent, "{name}");
    }
    assert!(standings[1].spent.nanos() <= world.tight_nanos);
}
