//! Backends that do exactly what they are told, and what a client sees of the pipeline.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use freehold_guard::Guard;
use freehold_pipeline::{Admission, Answer, AnswerBody, AuditTrail, Failure, Pipeline, Snapshot};
use freehold_policy::{Claim, Policy, PolicySettings, Rules, Surroundings};
use freehold_ports::{Account, Backend, BoxFuture, Call, Chunk, ChunkStream, Clock, Probe};
use freehold_route::{RouteSettings, RouteSpec, RouteTable};
use freehold_store::MemoryLedger;
use freehold_types::{
    BackendId, Capability, Delta, Deployment, DeploymentId, Dialect, Error, ErrorKind, Event,
    Extra, FinishReason, Message, NanoUsd, Objective, Outcome, PartKind, PriceBasis, Request,
    RequestId, Role, Sensitivity, Site, Usage, UsageBasis,
};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) const HOUR_NANOS: i64 = 3_600_000_000_000;

/// The paused clock of the test's runtime, with a fuse.
pub(crate) struct TestClock {
    start: Instant,
    /// Readings until it panics, once; negative: never.
    fuse: AtomicI64,
}

impl TestClock {
    /// Panics at a reading to come, 0 being the next.
    pub(crate) fn panic_at(&self, reading: i64) {
        self.fuse.store(reading, Ordering::Relaxed);
    }

    /// Whether the fuse has blown; disarms it.
    pub(crate) fn disarm(&self) -> bool {
        self.fuse.swap(-1, Ordering::Relaxed) < 0
    }

    fn read(&self) -> Duration {
        assert_ne!(self.fuse.fetch_sub(1, Ordering::Relaxed), 0, "the fuse");
        self.start.elapsed()
    }
}

impl Clock for TestClock {
    fn unix_ms(&self) -> u64 {
        1_700_000_000_000 + u64::try_from(self.read().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.read()
    }
}

/// Makes an answer of what was asked.
pub(crate) type Maker = Arc<dyn Fn(&Request) -> Vec<Chunk> + Send + Sync>;

/// How a backend answers one call.
#[derive(Clone)]
pub(crate) enum Reply {
    Fails(Error),
    /// Accepts after a while, then yields these.
    Streams(Duration, Vec<Result<Chunk, Error>>),
    /// Yields these and then hangs.
    Hangs(Vec<Chunk>),
    /// Yields these, each after a while, and then hangs.
    Trickles(Duration, Vec<Chunk>),
    /// Does not even begin: a defect.
    Panics,
    /// Yields these and then panics.
    Breaks(Vec<Chunk>),
    /// Yields what is made of the request.
    Made(Maker),
}

pub(crate) struct Scripted {
    id: BackendId,
    site: Site,
    replies: Mutex<VecDeque<Reply>>,
    /// When each call came.
    calls: Mutex<Vec<Duration>>,
    /// What each was sent.
    requests: Mutex<Vec<Arc<Request>>>,
    start: Instant,
}

impl Scripted {
    pub(crate) fn calls(&self) -> Vec<u128> {
        self.calls.lock().iter().map(Duration::as_millis).collect()
    }

    /// What it was sent so far, for answers and for counts.
    pub(crate) fn sent(&self) -> Vec<String> {
        let requests = self.requests.lock();
        requests
            .iter()
            .map(|request| format!("{request:?}"))
            .collect()
    }

    pub(crate) fn push(&self, reply: Reply) {
        self.replies.lock().push_back(reply);
    }
}

impl Backend for Scripted {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn start(&self, call: Call) -> BoxFuture<'_, Result<ChunkStream, Error>> {
        Box::pin(async move {
            call.check(&self.id, &self.site)?;
            self.calls.lock().push(self.start.elapsed());
            self.requests.lock().push(Arc::clone(&call.request));
            let reply = self.replies.lock().pop_front();
            match reply.unwrap_or_else(|| good(Duration::ZERO)) {
                Reply::Fails(error) => Err(error),
                Reply::Streams(after, items) => {
                    tokio::time::sleep(after).await;
                    Ok(Box::pin(futures_util::stream::iter(items)) as ChunkStream)
                }
                Reply::Trickles(pause, chunks) => {
                    let items = futures_util::stream::iter(chunks).then(move |chunk| async move {
                        tokio::time::sleep(pause).await;
                        Ok(chunk)
                    });
                    Ok(Box::pin(items.chain(futures_util::stream::pending())) as ChunkStream)
                }
                Reply::Panics => panic!("a defect in the backend"),
                Reply::Made(make) => {
                    let chunks = make(&call.request).into_iter().map(Ok);
                    Ok(Box::pin(futures_util::stream::iter(chunks)) as ChunkStream)
                }
                Reply::Breaks(chunks) => {
                    let items = futures_util::stream::iter(chunks.into_iter().map(Ok));
                    let defect =
                        futures_util::stream::poll_fn(|_| panic!("a defect in the stream"));
                    Ok(Box::pin(items.chain(defect)) as ChunkStream)
                }
                Reply::Hangs(chunks) => {
                    let items = futures_util::stream::iter(chunks.into_iter().map(Ok));
                    Ok(Box::pin(items.chain(futures_util::stream::pending())) as ChunkStream)
                }
            }
        })
    }

    fn count_tokens(&self, call: Call) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        Box::pin(async move {
            call.check(&self.id, &self.site)?;
            self.requests.lock().push(call.request);
            Ok(None)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Error>> {
        Box::pin(async { Ok(Probe::default()) })
    }
}

pub(crate) fn chunk(events: impl IntoIterator<Item = Event>) -> Chunk {
    Chunk {
        events: events.into_iter().collect(),
        raw: None,
        hidden: false,
    }
}

pub(crate) fn opening() -> Chunk {
    chunk([
        Event::Start {
            id: "a".to_owned(),
            model: "reported".to_owned(),
            created_s: None,
            extra: Extra::new(),
        },
        Event::PartStart {
            choice: 0,
            part: 0,
            kind: PartKind::Text,
        },
    ])
}

pub(crate) fn token(text: &str) -> Chunk {
    chunk([Event::PartDelta {
        choice: 0,
        part: 0,
        delta: Delta::Text {
            text: text.to_owned(),
            logprobs: vec![],
        },
    }])
}

pub(crate) fn closing(usage: Option<Usage>) -> Chunk {
    let finish = Event::Finish {
        choice: 0,
        reason: FinishReason::Stop,
        stop_sequence: None,
    };
    let usage = usage.map(Event::Usage);
    chunk([finish].into_iter().chain(usage).chain([Event::End]))
}

pub(crate) fn reported() -> Usage {
    Usage {
        input_tokens: 11,
        output_tokens: 7,
        basis: UsageBasis::Reported,
        ..Usage::default()
    }
}

/// A whole answer that begins after a while.
pub(crate) fn good(after: Duration) -> Reply {
    let chunks = [opening(), token("hello"), closing(Some(reported()))];
    Reply::Streams(after, chunks.into_iter().map(Ok).collect())
}

pub(crate) fn fails(kind: ErrorKind) -> Reply {
    Reply::Fails(Error::new(kind, "scripted"))
}

pub(crate) struct Bench {
    pub(crate) one: Arc<Scripted>,
    pub(crate) two: Arc<Scripted>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) clock: Arc<TestClock>,
    settings: RouteSettings,
}

pub(crate) fn deployment(backend: &Scripted, price: PriceBasis) -> Arc<Deployment> {
    Arc::new(Deployment {
        id: DeploymentId::new(format!("{}/m", backend.id)),
        backend: backend.id.clone(),
        model: "m".to_owned(),
        site: backend.site.clone(),
        dialects: vec![],
        capabilities: [Capability::Chat].into(),
        context_window_tokens: None,
        price,
        quality: 0.5,
        tokens_per_second: 50.0,
        first_token_ms: 100,
    })
}

/// One route to both, in this order.
fn snapshot(
    one: &Arc<Scripted>,
    two: &Arc<Scripted>,
    settings: RouteSettings,
    policy: Policy,
    guard: Guard,
) -> Snapshot {
    let per_hour = NanoUsd::from_nanos(HOUR_NANOS);
    let per_token = PriceBasis::PerToken {
        input_per_million: NanoUsd::from_nanos(1_000_000_000),
        cached_input_per_million: None,
        output_per_million: NanoUsd::from_nanos(2_000_000_000),
    };
    let route = RouteSpec {
        name: "route".to_owned(),
        targets: vec!["one/m".to_owned(), "two/m".to_owned()],
        settings: RouteSettings {
            objective: Objective::Ordered,
            ..settings
        },
    };
    // Whatever is named after `open-` is served inside.
    let open = RouteSpec {
        name: "open-*".to_owned(),
        targets: vec!["one/m".to_owned()],
        settings: RouteSettings::default(),
    };
    let deployments = vec![
        deployment(one, PriceBasis::Hourly { per_hour }),
        deployment(two, per_token),
    ];
    let default = RouteSettings::default();
    Snapshot {
        policy,
        flow_limits: HashMap::new(),
        default_sensitivity: Sensitivity::Internal,
        guard,
        routes: RouteTable::new(deployments, vec![], vec![route, open], default).unwrap(),
        backends: HashMap::from([
            (one.id.clone(), Arc::clone(one) as Arc<dyn Backend>),
            (two.id.clone(), Arc::clone(two) as Arc<dyn Backend>),
        ]),
    }
}

impl Bench {
    /// `one` stands inside and is owned by the hour, `two` outside and paid by token.
    pub(crate) fn new(settings: RouteSettings) -> Self {
        Self::with(settings, Rules::open().into(), guard(), None)
    }

    /// The same under a policy, a guard, and perhaps an audit trail.
    pub(crate) fn with(
        settings: RouteSettings,
        policy: Policy,
        guard: Guard,
        audit: Option<AuditTrail>,
    ) -> Self {
        let start = Instant::now();
        let backend = |name: &str, site| {
            Arc::new(Scripted {
                id: BackendId::new(name),
                site,
                replies: Mutex::default(),
                calls: Mutex::default(),
                requests: Mutex::default(),
                start,
            })
        };
        let one = backend("one", Site::inside());
        let two = backend("two", Site::outside());
        let snapshot = snapshot(&one, &two, settings.clone(), policy, guard);
        let ledger = Arc::new(MemoryLedger::new());
        let clock = Arc::new(TestClock {
            start,
            fuse: AtomicI64::new(-1),
        });
        let mut pipeline = Pipeline::new(
            snapshot,
            Arc::clone(&ledger) as Arc<_>,
            Arc::clone(&clock) as Arc<_>,
        );
        if let Some(audit) = audit {
            pipeline = pipeline.with_audit(audit);
        }
        Self {
            one,
            two,
            ledger,
            pipeline: Arc::new(pipeline),
            clock,
            settings,
        }
    }

    /// From now on limits are counted by this meter.
    pub(crate) fn meter(&mut self, meter: Arc<dyn freehold_ports::Meter>) {
        let snapshot = self.snapshot(Rules::open().into());
        let pipeline = Pipeline::new(
            snapshot,
            Arc::clone(&self.ledger) as Arc<_>,
            Arc::clone(&self.clock) as Arc<_>,
        );
        self.pipeline = Arc::new(pipeline.with_meter(meter));
    }

    /// The same, and what is under way is remembered.
    pub(crate) fn journal(
        &mut self,
        journal: Arc<dyn freehold_ports::UnderWay>,
        meter: Arc<dyn freehold_ports::Meter>,
    ) {
        self.meter(meter);
        let pipeline = Arc::into_inner(std::mem::replace(
            &mut self.pipeline,
            Bench::new(RouteSettings::default()).pipeline,
        ));
        self.pipeline = Arc::new(pipeline.unwrap().with_journal(journal));
    }

    /// From now on nobody knows what `two` costs.
    pub(crate) fn unknown_price(&self) {
        let mut snapshot = self.snapshot(Rules::open().into());
        let unknown = vec![deployment(&self.two, PriceBasis::Unknown)];
        let default = RouteSettings::default();
        snapshot.routes = RouteTable::new(unknown, vec![], vec![], default).unwrap();
        self.pipeline.reload(snapshot);
    }

    /// Wall-clock time as the pipeline sees it.
    pub(crate) fn pipeline_time(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// What it began with, under another policy.
    pub(crate) fn snapshot(&self, policy: Policy) -> Snapshot {
        snapshot(&self.one, &self.two, self.settings.clone(), policy, guard())
    }

    pub(crate) fn admission(&self, claim: Claim, stream: bool) -> Admission {
        Admission {
            id: RequestId::at(self.clock.unix_ms()),
            started_unix_ms: self.clock.unix_ms(),
            received: self.clock.monotonic(),
            claim,
            conversation: None,
            flow: None,
            account: Arc::new(Account::of_key("app")),
            request: request(stream),
            traceparent: None,
            betas: None,
            mirror: None,
        }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.start.elapsed()
    }

    pub(crate) async fn serve(&self, stream: bool) -> Result<Answer, Failure> {
        self.serve_claimed(Claim::None, stream).await
    }

    pub(crate) async fn serve_claimed(
        &self,
        claim: Claim,
        stream: bool,
    ) -> Result<Answer, Failure> {
        let admission = self.admission(claim, stream);
        self.pipeline.serve(admission, |_| 599).await
    }

    /// The one outcome there must be.
    pub(crate) async fn outcome(&self) -> Outcome {
        let recorded = tokio::time::timeout(Duration::from_secs(3_600), self.ledger.wait_for(1));
        let mut outcomes = recorded.await.expect("an outcome is recorded");
        // Whatever still runs gets the time to record a second one.
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(self.ledger.outcomes().len(), 1);
        outcomes.remove(0)
    }
}

/// The guard without settings, made once.
pub(crate) fn guard() -> Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    let guard = GUARD.get_or_init(|| Guard::new(&freehold_guard::Settings::default()).unwrap());
    guard.clone()
}

/// A policy as the configuration writes it.
pub(crate) fn policy(settings: serde_json::Value) -> Policy {
    let settings: PolicySettings = serde_json::from_value(settings).unwrap();
    Policy::compile(&settings, &Surroundings::default())
        .unwrap()
        .0
}

pub(crate) fn request(stream: bool) -> Request {
    Request {
        stream,
        ..Request::new(
            Dialect::OpenaiChat,
            "route",
            vec![Message::text(Role::User, "say hello to everybody here")],
        )
    }
}

pub(crate) fn retries(retries: u32) -> RouteSettings {
    RouteSettings {
        retries,
        ..RouteSettings::default()
    }
}

/// Reads a stream to its end: chunks, and the errors among them.
pub(crate) async fn read(answer: Answer) -> (usize, Vec<Error>) {
    let AnswerBody::Stream(mut chunks) = answer.body else {
        panic!("not a stream: {answer:?}");
    };
    let (mut good, mut errors) = (0, vec![]);
    while let Some(item) = chunks.recv().await {
        match item {
            Ok(_) => good += 1,
            Err(error) => errors.push(error),
        }
    }
    (good, errors)
}
