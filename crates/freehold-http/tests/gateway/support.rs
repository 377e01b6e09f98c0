//! A running gateway, its upstreams, and what a client sees of it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_hosted::{Catalogue, HostedBackend, Settings as BackendSettings};
use freehold_http::{Gateway, Server, ServerSettings, Settings, router};
use freehold_pipeline::{AuditTrail, Pipeline, Snapshot};
use freehold_policy::{Policy, Rules};
use freehold_ports::{Accounts, Backend, Bound, Budget, Clock, Limits, Period, Scope, SystemClock};
use freehold_route::{RouteSettings, RouteSpec, RouteTable, RouteTimeouts};
use freehold_store::meter::{History as _, LocalMeter, PeriodStart};
use freehold_store::{KeySettings, MemoryLedger, StaticAccounts};
use freehold_testkit::FakeUpstream;
use freehold_types::{
    BackendId, Deployment, NanoUsd, Objective, Outcome, PriceBasis, Sensitivity, Site,
};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// May name every route.
pub(crate) const KEY: &str = "fh-all-4Zt9Qm2LwXc7VbN8";
/// May name `claude` only.
pub(crate) const NARROW_KEY: &str = "fh-narrow-8Kd3Rp6TyHs1";
/// Two tenants' keys, which may name every route.
pub(crate) const ACME_KEY: &str = "fh-acme-5Pw8Jn3VrKt6BxQd";
/// May ask once a minute.
pub(crate) const LIMITED_KEY: &str = "fh-limited-6Hb2Nj8VtRx4Cq";
/// May spend a billionth of a dollar a day.
pub(crate) const SPENT_KEY: &str = "fh-spent-9Xc3Lm5KwPz7Dy";
pub(crate) const BELL_KEY: &str = "fh-bell-2Fs7Mh9ZcLg4YvTe";
/// The key that the gateway has for its upstreams.
pub(crate) const UPSTREAM_KEY: &str = "sk-test-R7gPz0Qm4LwXc9VbN2kJ";
/// The largest body the gateway under test takes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The model that answers raw prompts.
const LEGACY_MODEL: &str = "gpt-3.5-turbo-instruct";
/// How long `hasty` routes wait for an upstream that says nothing at all, and for one that stops.
/// The second is shorter, so that an answer which stops before its content is still held back.
const HASTE_FIRST_MS: u64 = 3_000;
const HASTE_IDLE_MS: u64 = 1_000;

/// Long enough for a busy machine; only reached when something hangs.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it happens within 60 s")
}

/// How a gateway is set up.
pub(crate) struct Setup {
    /// How long it waits for heads and bodies.
    pub(crate) patience: Duration,
    /// How long answers may go on after a stop.
    pub(crate) drain: Duration,
    pub(crate) policy: Policy,
    pub(crate) guard: freehold_guard::Guard,
    pub(crate) audit: Option<AuditTrail>,
    pub(crate) metrics: Option<PrometheusHandle>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(60),
            drain: Duration::from_secs(60),
            policy: Rules::open().into(),
            guard: guard(),
            audit: None,
            metrics: None,
        }
    }
}

/// A gateway in front of four upstreams: `alpha` and `beta` speak OpenAI, `claude` Anthropic, all
/// outside; `house` speaks OpenAI and stands inside.
pub(crate) struct Bench {
    pub(crate) alpha: FakeUpstream,
    pub(crate) beta: FakeUpstream,
    pub(crate) claude: FakeUpstream,
    pub(crate) house: FakeUpstream,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<usize>>,
}

/// A client. Where another crate's features give it TLS, it needs to be told whose.
pub(crate) fn client() -> reqwest::Client {
    // An error says that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}

struct Built {
    backends: HashMap<BackendId, Arc<dyn Backend>>,
    deployments: Vec<Arc<Deployment>>,
}

impl Built {
    fn add(&mut self, name: &str, row: &str, models: &[&str], site: Site, fake: &FakeUpstream) {
        static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
        let catalogue = CATALOGUE.get_or_init(|| Catalogue::builtin().unwrap());
        let row = catalogue.row(row).unwrap().clone();
        let id = BackendId::new(name);
        for model in models {
            let mut deployment = catalogue.deployment(&row, &id, &site, model);
            if name == "house" {
                deployment.price = PriceBasis::Hourly {
                    per_hour: NanoUsd::from_nanos(3_600_000_000_000),
                };
            }
            self.deployments.push(Arc::new(deployment));
        }
        let mut settings = BackendSettings::for_row(Arc::new(row))
            .with_base_url(format!("{}/v1", fake.url()))
            .with_key(SecretString::from(UPSTREAM_KEY));
        settings.id = id.clone();
        settings.site = site;
        // One slot: a leaked one shows at the next request.
        settings.limits.in_flight = 1;
        self.backends
            .insert(id, Arc::new(HostedBackend::new(settings).unwrap()));
    }
}

fn route(name: &str, targets: &[&str]) -> RouteSpec {
    RouteSpec {
        name: name.to_owned(),
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        settings: RouteSettings {
            objective: Objective::Ordered,
            retries: 0,
            ..RouteSettings::default()
        },
    }
}

/// A guard that does not mind pictures.
fn guard() -> freehold_guard::Guard {
    let settings = freehold_guard::Settings {
        opaque: freehold_guard::settings::Opaque::Allowed,
        ..freehold_guard::Settings::default()
    };
    freehold_guard::Guard::new(&settings).unwrap()
}

fn key(name: &str, tenant: Option<&str>, secret: &str, routes: &[&str]) -> KeySettings {
    KeySettings {
        tenant: tenant.map(str::to_owned),
        routes: routes.iter().map(|route| (*route).to_owned()).collect(),
        ..KeySettings::new(name, secret)
    }
}

/// A key that is limited by itself.
fn limited(name: &str, secret: &str, limits: Limits) -> KeySettings {
    KeySettings {
        bounds: vec![Bound {
            scope: Scope::Key(name.into()),
            limits: Arc::new(limits),
        }],
        ..key(name, None, secret, &[])
    }
}

fn once_a_minute() -> Limits {
    Limits {
        requests_per_minute: Some(1),
        tokens_per_minute: Some(100_000),
        ..Limits::default()
    }
}

fn next_to_nothing() -> Limits {
    Limits {
        budgets: vec![Budget {
            period: Period::Day,
            hard: Some(NanoUsd::from_nanos(1)),
            soft: None,
        }],
        ..Limits::default()
    }
}

fn table(deployments: Vec<Arc<Deployment>>) -> RouteTable {
    let pairs = [
        ("pair", ["alpha/gpt-4.1", "beta/gpt-4.1"].map(str::to_owned)),
        (
            "claude",
            ["claude/claude-sonnet-4-5", "beta/gpt-4.1"].map(str::to_owned),
        ),
        (
            "legacy",
            ["alpha", "beta"].map(|name| format!("{name}/{LEGACY_MODEL}")),
        ),
    ];
    let mut routes = vec![
        route("single", &["alpha/gpt-4.1"]),
        route("home", &["alpha/gpt-4.1", "house/qwen"]),
        route("inside", &["house/qwen"]),
    ];
    // What is inside comes first, and everything that could lead away from it is on.
    let mut eager = route(
        "eager",
        &["house/qwen", "alpha/gpt-4.1", "claude/claude-sonnet-4-5"],
    );
    eager.settings.retries = 1;
    eager.settings.hedge_after_ms = Some(1);
    eager.settings.timeouts = RouteTimeouts {
        connect_ms: None,
        first_byte_ms: Some(HASTE_FIRST_MS),
        idle_ms: Some(HASTE_IDLE_MS),
    };
    routes.push(eager);
    for (name, targets) in pairs {
        let targets = targets.each_ref().map(String::as_str);
        routes.push(route(name, &targets));
        let mut hasty = route(&format!("hasty-{name}"), &targets);
        hasty.settings.timeouts = RouteTimeouts {
            connect_ms: None,
            first_byte_ms: Some(HASTE_FIRST_MS),
            idle_ms: Some(HASTE_IDLE_MS),
        };
        routes.push(hasty);
    }
    RouteTable::new(deployments, vec![], routes, RouteSettings::default()).unwrap()
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// A gateway that waits for heads and bodies so long and no longer.
    pub(crate) async fn with_patience(patience: Duration) -> Self {
        let setup = Setup {
            patience,
            ..Setup::default()
        };
        Self::with(setup).await
    }

    /// A gateway whose answers may go on so long after a stop.
    pub(crate) async fn with_drain(drain: Duration) -> Self {
        let setup = Setup {
            drain,
            ..Setup::default()
        };
        Self::with(setup).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let Setup {
            patience, drain, ..
        } = setup;
        let [alpha, beta, claude, house] = [
            FakeUpstream::start().await.unwrap(),
            FakeUpstream::start().await.unwrap(),
            FakeUpstream::start().await.unwrap(),
            FakeUpstream::start().await.unwrap(),
        ];
        let mut built = Built {
            backends: HashMap::new(),
            deployments: vec![],
        };
        let models = ["gpt-4.1", LEGACY_MODEL];
        built.add("alpha", "openai", &models, Site::outside(), &alpha);
        built.add("beta", "openai", &models, Site::outside(), &beta);
        let models = ["claude-sonnet-4-5"];
        built.add("claude", "anthropic", &models, Site::outside(), &claude);
        built.add("house", "vllm", &["qwen"], Site::inside(), &house);

        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ledger = Arc::new(MemoryLedger::new());
        let snapshot = Snapshot {
            policy: setup.policy,
            flow_limits: HashMap::new(),
            default_sensitivity: Sensitivity::Internal,
            guard: setup.guard,
            routes: table(built.deployments),
            backends: built.backends,
        };
        let mut pipeline =
            Pipeline::new(snapshot, Arc::clone(&ledger) as Arc<_>, Arc::clone(&clock));
        if let Some(audit) = setup.audit {
            pipeline = pipeline.with_audit(audit);
        }
        let meter = LocalMeter::new(Arc::clone(&clock));
        let today = PeriodStart::holding(Period::Day, clock.unix_ms());
        let told = meter.restore(Scope::Key("spent".into()), today, NanoUsd::ZERO);
        told.await.unwrap();
        let pipeline = Arc::new(pipeline.with_meter(Arc::new(meter)));
        let keys = [
            key("app", None, KEY, &[]),
            key("narrow", None, NARROW_KEY, &["claude"]),
            key("acme-app", Some("acme"), ACME_KEY, &[]),
            key("bell-app", Some("bell"), BELL_KEY, &[]),
            limited("limited", LIMITED_KEY, once_a_minute()),
            KeySettings {
                team: Some("acme/search".into()),
                flow: Some("support".into()),
                ..limited("spent", SPENT_KEY, next_to_nothing())
            },
        ];
        let accounts: Box<dyn Accounts> = Box::new(StaticAccounts::new(keys).unwrap());
        let gateway = Arc::new(Gateway {
            feedbacks: None,
            pipeline: Arc::clone(&pipeline),
            accounts: ArcSwap::from_pointee(accounts),
            clock,
            settings: Settings {
                decode: freehold_wire::Limits {
                    body_bytes: BODY_BYTES_MAX,
                    ..freehold_wire::Limits::default()
                },
                body_timeout: patience,
                started_unix_s: 1_700_000_000,
            },
            metrics: setup.metrics,
        });
        let server = Server::bind(ServerSettings {
            address: ([127, 0, 0, 1], 0).into(),
            connections_max: 64,
            header_timeout: patience,
            keep_alive: 4 * patience,
            drain,
        })
        .await
        .unwrap();
        let url = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let cut = Arc::clone(&pipeline);
        let server = server.with_cut(move || cut.cut());
        let server = tokio::spawn(server.run(router(gateway), async {
            let _ = stopped.await;
        }));
        Self {
            alpha,
            beta,
            claude,
            house,
            ledger,
            pipeline,
            http: client(),
            url,
            stop: Some(stop),
            server: Some(server),
        }
    }

    /// Tells the gateway to stop, as a signal does; the connections it had to cut.
    pub(crate) fn stop(&mut self) -> JoinHandle<usize> {
        self.pipeline.drain();
        self.stop.take().unwrap().send(()).unwrap();
        self.server.take().unwrap()
    }

    /// A request to a surface, with the key that may name everything.
    pub(crate) fn post(&self, surface: Surface, body: &Value) -> reqwest::RequestBuilder {
        self.post_as(KEY, surface, body)
    }

    /// The same with another key.
    pub(crate) fn post_as(
        &self,
        key: &str,
        surface: Surface,
        body: &Value,
    ) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{}", self.url, surface.path()))
            .bearer_auth(key)
            .json(body)
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn ask(&self, surface: Surface, body: &Value) -> Seen {
        seen(self.post(surface, body)).await
    }

    /// The outcomes, once there are `count`; there must not be more.
    pub(crate) async fn outcomes(&self, count: usize) -> Vec<Outcome> {
        let outcomes = soon(self.ledger.wait_for(count)).await;
        assert_eq!(outcomes.len(), count);
        outcomes
    }
}

/// What a client saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_str()
            .unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) async fn seen(request: reqwest::RequestBuilder) -> Seen {
    let response = soon(request.send()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // A body that does not end cleanly is an error here.
    let bytes = soon(response.bytes()).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Seen {
        status,
        headers,
        text,
    }
}

/// A surface of the gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Surface {
    Chat,
    Messages,
    Completions,
}

impl Surface {
    /// The surfaces of conversations.
    pub(crate) const BOTH: [Self; 2] = [Self::Chat, Self::Messages];
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Messages, Self::Completions];

    /// The route whose first upstream speaks the surface's dialect; `beta` is second in all.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Chat => "pair",
            Self::Messages => "claude",
            Self::Completions => "legacy",
        }
    }

    /// The upstream that is first in that route.
    pub(crate) fn first(self, bench: &Bench) -> &FakeUpstream {
        match self {
            Self::Chat | Self::Completions => &bench.alpha,
            Self::Messages => &bench.claude,
        }
    }

    /// The deployment that is second in it.
    pub(crate) fn second(self) -> String {
        match self {
            Self::Chat | Self::Messages => "beta/gpt-4.1".to_owned(),
            Self::Completions => format!("beta/{LEGACY_MODEL}"),
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
            Self::Completions => "/v1/completions",
        }
    }

    pub(crate) fn body(self, model: &str, stream: bool, text: &str) -> Value {
        if self == Self::Completions {
            return json!({"model": model, "stream": stream, "prompt": text});
        }
        let mut body = json!({
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": text}],
        });
        if self == Self::Messages {
            body["max_tokens"] = json!(1000);
        }
        body
    }

    /// The text of a whole answer.
    pub(crate) fn text(self, answer: &Value) -> String {
        let text = match self {
            Self::Chat => &answer["choices"][0]["message"]["content"],
            Self::Messages => &answer["content"][0]["text"],
            Self::Completions => &answer["choices"][0]["text"],
        };
        text.as_str()
            .unwrap_or_else(|| panic!("no text in {answer}"))
            .to_owned()
    }

    /// Checks that a body is an error in this dialect; its type.
    pub(crate) fn error_type(self, seen: &Seen) -> String {
        let body = seen.json();
        if self == Self::Messages {
            assert_eq!(body["type"], "error", "{seen:?}");
            assert!(body["request_id"].is_string(), "{seen:?}");
        } else {
            assert!(body.get("type").is_none(), "{seen:?}");
        }
        assert!(body["error"]["message"].is_string(), "{seen:?}");
        body["error"]["type"]
            .as_str()
            .unwrap_or_else(|| panic!("{seen:?}"))
            .to_owned()
    }

    /// The frames of a stream, of which exactly the last is terminal: its text, and whether it
    /// ended with an error.
    pub(crate) fn stream(self, body: &str) -> (String, bool) {
        let frames: Vec<&str> = body.split_terminator("\n\n").collect();
        let terminal = |frame: &&str| match self {
            Self::Chat | Self::Completions => {
                *frame == "data: [DONE]" || frame.contains("\"error\":")
            }
            Self::Messages => {
                frame.starts_with("event: message_stop") || frame.starts_with("event: error")
            }
        };
        let ends = frames.iter().filter(|frame| terminal(frame)).count();
        assert_eq!(ends, 1, "{body}");
        let last = frames.last().unwrap();
        assert!(terminal(last), "{body}");
        assert!(body.ends_with("\n\n"), "{body}");
        let text = frames.iter().map(|frame| self.token(frame)).collect();
        (text, last.contains("error"))
    }

    /// The text in one frame.
    fn token(self, frame: &str) -> String {
        let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
        let data: Value = data
            .and_then(|data| serde_json::from_str(data).ok())
            .unwrap_or_default();
        let text = match self {
            Self::Chat => &data["choices"][0]["delta"]["content"],
            Self::Messages => &data["delta"]["text"],
            Self::Completions => &data["choices"][0]["text"],
        };
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Reads a stream until so many tokens were seen, and leaves the rest.
    pub(crate) async fn read_tokens(self, mut response: reqwest::Response, tokens: usize) {
        self.read_some(&mut response, tokens).await;
    }

    /// Reads a stream until so many tokens were seen, or one piece further.
    pub(crate) async fn read_some(self, response: &mut reqwest::Response, tokens: usize) -> String {
        let mut body = String::new();
        loop {
            let piece = soon(response.chunk()).await.unwrap().unwrap();
            body.push_str(std::str::from_utf8(&piece).unwrap());
            let seen = body.split("\n\n").map(|frame| self.token(frame));
            if seen.filter(|token| !token.is_empty()).count() >= tokens {
                return body;
            }
        }
    }
}
