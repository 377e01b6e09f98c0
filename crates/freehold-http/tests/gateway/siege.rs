//! A gateway under attack: whatever it sends, says and keeps is searched for canaries.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use freehold_guard::{Guard, Settings};
use freehold_pipeline::AuditTrail;
use freehold_policy::{Policy, PolicySettings, Surroundings};
use freehold_store::audit::MemoryAudit;
use freehold_testkit::{FakeUpstream, RequestRecord};
use freehold_types::audit::{AuditDecision, AuditEvent};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::canary::{Canary, Kind, Random, Watch};
use crate::support::{Bench, KEY, Seen, Setup, Surface, seen};

/// Everything that this process logged, on every level.
#[derive(Clone, Default)]
struct Logs(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One for the process, as tests may share it.
fn logs() -> &'static Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    LOGS.get_or_init(|| {
        let logs = Logs::default();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            // Microseconds are digits like those of a canary.
            .without_time()
            .with_writer(logs.clone())
            .init();
        logs
    })
}

/// One recorder for the process.
pub(crate) fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// A policy as the configuration writes it.
pub(crate) fn policy(settings: Value) -> Policy {
    let settings: PolicySettings = serde_json::from_value(settings).unwrap();
    let (policy, _) = Policy::compile(&settings, &Surroundings::default()).unwrap();
    policy
}

/// Identifiers and the like may leave, masked in this way.
pub(crate) fn masking(method: &str) -> Policy {
    policy(json!({
        "outside_up_to": "confidential",
        "rules": [{"name": "mask-what-leaves", "mask": {"*": method}}],
    }))
}

/// The guard as it is without settings: what nobody can read is restricted.
pub(crate) fn strict_guard() -> Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    let guard = GUARD.get_or_init(|| Guard::new(&Settings::default()).unwrap());
    guard.clone()
}

/// A gateway under attack.
pub(crate) struct Siege {
    pub(crate) bench: Bench,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) random: Random,
    canaries: Vec<Canary>,
    /// What was logged before.
    logged_before: usize,
}

impl Siege {
    /// A gateway without any policy of the operator's.
    pub(crate) async fn start() -> Self {
        Self::with(Policy::from(freehold_policy::Rules::open()), strict_guard()).await
    }

    pub(crate) async fn with_policy(policy: Policy) -> Self {
        Self::with(policy, strict_guard()).await
    }

    pub(crate) async fn with(policy: Policy, guard: Guard) -> Self {
        let audit = Arc::new(MemoryAudit::new());
        let logged_before = logs().0.lock().unwrap().len();
        let setup = Setup {
            policy,
            guard,
            audit: Some(AuditTrail {
                trail: Arc::clone(&audit) as Arc<_>,
                required: true,
            }),
            metrics: Some(metrics().clone()),
            ..Setup::default()
        };
        Self {
            bench: Bench::with(setup).await,
            audit,
            random: Random(7),
            canaries: Vec::new(),
            logged_before,
        }
    }

    /// A canary that nobody has had before.
    pub(crate) fn canary(&mut self, kind: Kind) -> Canary {
        let canary = Canary::new(kind, &mut self.random);
        self.canaries.push(canary.clone());
        canary
    }

    /// The upstreams that stand outside.
    fn outside(&self) -> [&FakeUpstream; 3] {
        [&self.bench.alpha, &self.bench.beta, &self.bench.claude]
    }

    /// What outside upstreams got since this was last asked.
    pub(crate) fn went_out(&self) -> Vec<RequestRecord> {
        let mut records = Vec::new();
        for fake in self.outside() {
            records.extend(fake.requests());
            fake.reset();
        }
        records
    }

    /// What stayed inside since this was last asked.
    pub(crate) fn stayed(&self) -> Vec<RequestRecord> {
        let records = self.bench.house.requests();
        self.bench.house.reset();
        records
    }

    /// Asks; what went out because of it.
    async fn ask(&self, request: Attack<'_>) -> (Seen, Vec<RequestRecord>) {
        let mut builder = self.bench.http.post(format!(
            "{}{}",
            self.bench.url,
            request.path.unwrap_or(request.surface.path())
        ));
        builder = builder.bearer_auth(request.key).json(request.body);
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        (seen(builder).await, self.went_out())
    }

    /// Asks, and checks that nothing of the canary went out. How many requests did.
    pub(crate) async fn attack(&self, canary: &Canary, request: Attack<'_>) -> (Seen, usize) {
        let (seen, out) = self.ask(request).await;
        let watch = Watch::of([canary]);
        for record in &out {
            let found = found_in(&watch, record);
            assert!(found.is_none(), "{request:?} leaked: {record:?}");
        }
        (seen, out.len())
    }

    /// As [`Self::attack`], for a request that must be refused because of what it holds.
    pub(crate) async fn refused(&self, canary: &Canary, request: Attack<'_>) -> Seen {
        let context = format!("{request:?}");
        let surface = request.surface;
        let (seen, out) = self.attack(canary, request).await;
        assert_eq!(seen.status, 403, "{context}: {seen:?}");
        surface.error_type(&seen);
        assert_eq!(out, 0, "{context}");
        assert_eq!(Watch::of([canary]).finds(seen.text.as_bytes()), None);
        seen
    }

    /// Whether a request that must be refused is: for tables, which tell all their misses at once.
    pub(crate) async fn is_refused(&self, canary: &Canary, request: Attack<'_>) -> bool {
        let (seen, out) = self.ask(request).await;
        if seen.status == 200 {
            return false;
        }
        assert_eq!(seen.status, 403, "{request:?}: {seen:?}");
        request.surface.error_type(&seen);
        assert_eq!(Watch::of([canary]).finds(seen.text.as_bytes()), None);
        out.is_empty()
    }

    /// Whether a request that may be masked or refused went out without the canary, or not at all.
    pub(crate) async fn is_masked_or_refused(&self, canary: &Canary, request: Attack<'_>) -> bool {
        let (seen, out) = self.ask(request).await;
        assert!(matches!(seen.status, 200 | 403), "{request:?}: {seen:?}");
        assert_eq!(out.len(), usize::from(seen.status == 200), "{request:?}");
        let watch = Watch::of([canary]);
        out.iter().all(|record| found_in(&watch, record).is_none())
    }

    /// The decisions that were audited.
    pub(crate) fn decisions(&self) -> Vec<AuditDecision> {
        let events = self.audit.events().into_iter();
        events
            .filter_map(|event| match event {
                AuditEvent::Decision(decision) => Some(decision),
                _ => None,
            })
            .collect()
    }

    /// Ends the siege: no canary is in logs, metrics, audit trail or ledger.
    pub(crate) async fn lift(self) {
        self.lift_watching(&[]).await;
    }

    /// The same, also for other values.
    pub(crate) async fn lift_watching(self, others: &[&str]) {
        let mut watch = Watch::of(&self.canaries);
        others.iter().for_each(|other| watch.add(other));
        let metrics = self.bench.http.get(format!("{}/metrics", self.bench.url));
        let metrics = seen(metrics.bearer_auth(KEY)).await;
        assert_eq!(metrics.status, 200, "{metrics:?}");
        assert_eq!(watch.finds(metrics.text.as_bytes()), None, "in the metrics");
        for event in self.audit.events() {
            let record = serde_json::to_string(&event).unwrap();
            assert_eq!(watch.finds(record.as_bytes()), None, "audited: {record}");
        }
        for outcome in self.bench.ledger.outcomes() {
            let record = serde_json::to_string(&outcome).unwrap();
            assert_eq!(watch.finds(record.as_bytes()), None, "recorded: {record}");
        }
        let logs = logs().0.lock().unwrap();
        for line in logs[self.logged_before..].split(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            assert_eq!(watch.finds(line), None, "logged: {text}");
        }
    }

    /// What was logged since the siege began.
    pub(crate) fn log(&self) -> String {
        let logs = logs().0.lock().unwrap();
        String::from_utf8_lossy(&logs[self.logged_before..]).into_owned()
    }
}

/// A canary in anything that an upstream was sent.
fn found_in<'w>(watch: &'w Watch, record: &RequestRecord) -> Option<&'w str> {
    let headers = record
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    [record.path.clone()]
        .into_iter()
        .chain(headers)
        .find_map(|text| watch.finds(text.as_bytes()))
        .or_else(|| watch.finds(&record.body))
}

/// One request of an attacker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack<'a> {
    pub(crate) surface: Surface,
    pub(crate) body: &'a Value,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) key: &'a str,
    /// Where it goes, when not to the surface's own path.
    pub(crate) path: Option<&'a str>,
}

impl<'a> Attack<'a> {
    pub(crate) fn new(surface: Surface, body: &'a Value) -> Self {
        Self {
            surface,
            body,
            headers: &[],
            key: KEY,
            path: None,
        }
    }

    pub(crate) fn with_headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    pub(crate) fn with_key(mut self, key: &'a str) -> Self {
        self.key = key;
        self
    }

    pub(crate) fn at(mut self, path: &'a str) -> Self {
        self.path = Some(path);
        self
    }
}
