//! [`Telemetry`]: takes requests that have ended, and sends what they and the registry say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use freehold_hosted::{PostSettings, SettingsError};
use freehold_ports::{Ended, Tracer};
use freehold_types::{BackendId, RequestId, Trace, TraceParent};
use metrics::{Counter, counter, describe_counter};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::attributes::{SCHEMA_URL, resource, scope};
use crate::collector::{Collector, Untaken};
use crate::registry;
use crate::sampler::Sampler;
use crate::spans::{Place, Places, number_of, spans};

/// So often a report is tried in all.
const TRIES: u32 = 3;
/// The pause before the second try; doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a collector can ask for: a queue fills meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is sent, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Spans of requests.
    pub traces: Option<TraceSettings>,
    /// The registry's metrics.
    pub metrics: Option<MetricSettings>,
    /// Who tells: attributes such as `service.name`.
    pub resource: Vec<(String, String)>,
}

/// How spans are sent.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Where.
    pub post: PostSettings,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Of which requests.
    pub sampler: Sampler,
    /// Requests that wait at the most; one more is lost.
    pub queue_max: usize,
    /// Requests that are sent together at the most.
    pub batch_max: usize,
    /// How long a request waits for others at the most.
    pub delay: Duration,
}

/// How metrics are sent.
#[derive(Clone, Debug)]
pub struct MetricSettings {
    /// Where.
    pub post: PostSettings,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How often.
    pub interval: Duration,
}

/// Gives the Prometheus registry's text.
type Render = Box<dyn Fn() -> String + Send>;

/// Tells the installed recorder what this crate's metrics mean.
pub fn describe_metrics() {
    describe_counter!(
        "freehold_telemetry_lost_spans_total",
        "Spans that did not reach the collector"
    );
    describe_counter!(
        "freehold_telemetry_failed_exports_total",
        "Reports that the collector did not take"
    );
}

/// Sends spans and metrics in the background.
pub struct Telemetry {
    traces: Option<Traces>,
    places: Arc<ArcSwap<Places>>,
    stop: watch::Sender<bool>,
    /// Until somebody waits for them.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The way of a span into the queue.
struct Traces {
    sampler: Sampler,
    queue: mpsc::Sender<Ended>,
    books: Arc<Books>,
}

/// What became of spans.
struct Books {
    /// Spans in the queue or on their way.
    waiting: AtomicU64,
    full: Counter,
    unsent: Counter,
    rejected: Counter,
    stopped: Counter,
}

impl Books {
    fn new() -> Self {
        let lost = |reason: &'static str| {
            let lost = counter!("freehold_telemetry_lost_spans_total", "reason" => reason);
            // The series is there before anything is lost.
            lost.increment(0);
            lost
        };
        Self {
            waiting: AtomicU64::new(0),
            full: lost("queue_full"),
            unsent: lost("not_sent"),
            rejected: lost("rejected"),
            stopped: lost("stopped"),
        }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts to send, on the current Tokio runtime. `render` gives the registry's text.
    ///
    /// # Errors
    /// When the collector's address cannot be used.
    pub fn start(
        settings: Settings,
        render: impl Fn() -> String + Send + 'static,
    ) -> Result<Arc<Self>, SettingsError> {
        let (stop, stopped) = watch::channel(false);
        let places: Arc<ArcSwap<Places>> = Arc::default();
        let resource = resource(&settings.resource);
        let mut tasks = Vec::new();
        let traces = match settings.traces {
            None => None,
            Some(settings) => {
                let (queue, inbox) = mpsc::channel(settings.queue_max.max(1));
                let books = Arc::new(Books::new());
                let sampler = settings.sampler;
                let sender = SpanSender {
                    collector: Collector::new("traces", &settings.post, settings.gzip)?,
                    settings,
                    inbox,
                    stopped: stopped.clone(),
                    resource: resource.clone(),
                    places: Arc::clone(&places),
                    books: Arc::clone(&books),
                };
                tasks.push(tokio::spawn(sender.run()));
                Some(Traces {
                    sampler,
                    queue,
                    books,
                })
            }
        };
        if let Some(settings) = settings.metrics {
            let sender = MetricSender {
                collector: Collector::new("metrics", &settings.post, settings.gzip)?,
                interval: settings.interval.max(Duration::from_secs(1)),
                stopped,
                resource,
                render: Box::new(render),
                start: unix_nanos(),
            };
            tasks.push(tokio::spawn(sender.run()));
        }
        Ok(Arc::new(Self {
            traces,
            places,
            stop,
            tasks: Mutex::new(tasks),
        }))
    }

    /// Tells where backends are, from now on.
    pub fn know(&self, places: impl IntoIterator<Item = (BackendId, Place)>) {
        self.places.store(Arc::new(places.into_iter().collect()));
    }

    /// Sends what waits, and ends. What is not sent within `bound` is lost and counted.
    pub async fn shut_down(&self, bound: Duration) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + bound;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for mut task in tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
        let Some(traces) = &self.traces else {
            return;
        };
        let lost = traces.books.waiting.swap(0, Ordering::AcqRel);
        if lost > 0 {
            traces.books.stopped.increment(lost);
            tracing::warn!(lost, "spans were not sent before the end");
        }
    }
}

impl Tracer for Telemetry {
    fn begin(&self, request: RequestId, caller: Option<TraceParent>) -> Option<Trace> {
        let traces = self.traces.as_ref()?;
        let trace = Trace::of(request, caller);
        traces.sampler.samples(trace.id, caller).then_some(trace)
    }

    fn ended(&self, ended: Ended) {
        let Some(traces) = &self.traces else {
            return;
        };
        let spans = number_of(&ended);
        traces.books.waiting.fetch_add(spans, Ordering::AcqRel);
        if traces.queue.try_send(ended).is_err() {
            traces.books.waiting.fetch_sub(spans, Ordering::AcqRel);
            traces.books.full.increment(spans);
        }
    }
}

/// Sends spans.
struct SpanSender {
    collector: Collector,
    settings: TraceSettings,
    inbox: mpsc::Receiver<Ended>,
    stopped: watch::Receiver<bool>,
    resource: Resource,
    places: Arc<ArcSwap<Places>>,
    books: Arc<Books>,
}

impl SpanSender {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            let places = self.places.load_full();
            let made: Vec<Span> = batch
                .drain(..)
                .flat_map(|ended| spans(&ended, &places))
                .collect();
            self.send(made).await;
        }
    }

    /// Waits for requests until there are enough of them or the first has waited long enough. False
    /// when there are none any more.
    async fn gather(&mut self, batch: &mut Vec<Ended>) -> bool {
        let batch_max = self.settings.batch_max.max(1);
        let mut deadline = None;
        loop {
            let room = batch_max - batch.len();
            let stopping = *self.stopped.borrow();
            let late = async move {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                more = self.inbox.recv_many(batch, room) => {
                    if more == 0 || batch.len() == batch_max {
                        return !batch.is_empty();
                    }
                    deadline = deadline.or_else(|| Some(Instant::now() + self.settings.delay));
                }
                // An error means that the other end is gone, which is a stop as well.
                _ = self.stopped.wait_for(|stopped| *stopped), if !stopping => self.inbox.close(),
                () = late, if !stopping => return true,
            }
        }
    }

    /// Sends spans, several times if need be, and keeps the books.
    async fn send(&mut self, made: Vec<Span>) {
        let number = u64::try_from(made.len()).unwrap_or(u64::MAX);
        let report = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope()),
                    spans: made,
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            }],
        };
        let failure = match self.with_retries(&report).await {
            Ok(answer) => {
                let partly = answer.partial_success;
                let rejected = partly.map_or(0, |partly| partly.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or(0).min(number);
                self.books.rejected.increment(rejected);
                (rejected > 0).then(|| format!("it rejected {rejected} spans"))
            }
            Err(untaken) => {
                self.books.unsent.increment(number);
                failed("traces");
                Some(untaken.why)
            }
        };
        self.books.waiting.fetch_sub(number, Ordering::AcqRel);
        self.collector.note(failure.as_deref());
    }

    async fn with_retries(
        &mut self,
        report: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, Untaken> {
        // While the collector is away, the queue is not held up by it.
        let mut tries_left = if self.collector.is_failing() {
            1
        } else {
            TRIES
        };
        let mut pause = PAUSE;
        loop {
            let untaken = match self.collector.send(report).await {
                Ok(answer) => return Ok(answer),
                Err(untaken) => untaken,
            };
            tries_left -= 1;
            if tries_left == 0 || !untaken.again || *self.stopped.borrow() {
                return Err(untaken);
            }
            let wait = untaken
                .after
                .map_or(pause, |after| after.clamp(pause, PAUSE_MAX));
            pause *= 2;
            // At the end, one more try follows at once.
            let _ = tokio::time::timeout(wait, self.stopped.wait_for(|stopped| *stopped)).await;
        }
    }
}

/// Sends metrics.
struct MetricSender {
    collector: Collector,
    interval: Duration,
    stopped: watch::Receiver<bool>,
    resource: Resource,
    render: Render,
    start: u64,
}

impl MetricSender {
    async fn run(mut self) {
        loop {
            let stopping = self.stopped.wait_for(|stopped| *stopped);
            let stopping = tokio::time::timeout(self.interval, stopping).await.is_ok();
            self.send().await;
            if stopping {
                return;
            }
        }
    }

    /// Sends what the registry says now. Sums go on from where they were, so that nothing is lost when
    /// one report is.
    async fn send(&mut self) {
        let span = registry::Span {
            start: self.start,
            now: unix_nanos(),
        };
        let report = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope()),
                    metrics: registry::metrics(&(self.render)(), span),
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            }],
        };
        let sent: Result<ExportMetricsServiceResponse, _> = self.collector.send(&report).await;
        let failure = match sent {
            Ok(answer) => answer.partial_success.and_then(|partly| {
                let rejected = partly.rejected_data_points;
                (rejected > 0).then(|| format!("it rejected {rejected} points"))
            }),
            Err(untaken) => Some(untaken.why),
        };
        if failure.is_some() {
            failed("metrics");
        }
        self.collector.note(failure.as_deref());
    }
}

/// Asks a collector whether it takes reports, with one that holds nothing. What to call the signal,
/// and what is wrong where something is.
pub async fn knock(settings: &Settings) -> Vec<(&'static str, Result<(), String>)> {
    let mut told = Vec::new();
    if let Some(traces) = &settings.traces {
        let empty = ExportTraceServiceRequest::default();
        let answered = match Collector::new("traces", &traces.post, traces.gzip) {
            Ok(collector) => {
                let sent = collector
                    .send::<_, ExportTraceServiceResponse>(&empty)
                    .await;
                sent.map(drop).map_err(|untaken| untaken.why)
            }
            Err(error) => Err(error.to_string()),
        };
        told.push(("traces", answered));
    }
    if let Some(metrics) = &settings.metrics {
        let empty = ExportMetricsServiceRequest::default();
        let answered = match Collector::new("metrics", &metrics.post, metrics.gzip) {
            Ok(collector) => {
                let sent = collector
                    .send::<_, ExportMetricsServiceResponse>(&empty)
                    .await;
                sent.map(drop).map_err(|untaken| untaken.why)
            }
            Err(error) => Err(error.to_string()),
        };
        told.push(("metrics", answered));
    }
    told
}

fn failed(signal: &'static str) {
    counter!("freehold_telemetry_failed_exports_total", "signal" => signal).increment(1);
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
