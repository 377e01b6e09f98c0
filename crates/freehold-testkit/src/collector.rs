//! A fake OpenTelemetry collector: takes OTLP over HTTP, and keeps what it was sent.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::TestkitError;

/// One report, as it came.
#[derive(Clone, Debug)]
pub struct Report {
    /// The path, which tells the signal.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, unpacked.
    pub body: Bytes,
    /// The status that it was answered with.
    pub status: u16,
}

impl Report {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// How reports are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// They are taken.
    All,
    /// With this status, and not taken.
    Refused(u16),
    /// They are taken, but for so many spans of each.
    AllBut(i64),
    /// Not at all, until this changes.
    Stalled,
}

/// A span with what its report says of its sender.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    /// The span.
    pub span: Span,
    /// Attributes of its resource.
    pub resource: Vec<KeyValue>,
}

impl CollectedSpan {
    /// An attribute of the span; null when it has none of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Value {
        attribute(&self.span.attributes, name)
    }

    /// The id of its trace, in hexadecimal.
    #[must_use]
    pub fn trace(&self) -> String {
        hexadecimal(&self.span.trace_id)
    }

    /// Its own id, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        hexadecimal(&self.span.span_id)
    }

    /// The id of the span it is a part of, in hexadecimal.
    #[must_use]
    pub fn parent(&self) -> String {
        hexadecimal(&self.span.parent_span_id)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute by its name; null when there is none.
#[must_use]
pub fn attribute(attributes: &[KeyValue], name: &str) -> Value {
    let found = attributes.iter().find(|known| known.key == name);
    found
        .and_then(|known| known.value.as_ref())
        .map_or(Value::Null, plain)
}

fn plain(value: &Any) -> Value {
    match &value.value {
        Some(AnyValue::StringValue(text)) => json!(text),
        Some(AnyValue::BoolValue(flag)) => json!(flag),
        Some(AnyValue::IntValue(number)) => json!(number),
        Some(AnyValue::DoubleValue(number)) => json!(number),
        Some(AnyValue::ArrayValue(list)) => list.values.iter().map(plain).collect(),
        other => json!(format!("{other:?}")),
    }
}

struct Shared {
    taking: watch::Sender<Taking>,
    reports: Mutex<Vec<Report>>,
    /// Counts reports.
    came: watch::Sender<usize>,
}

/// A running collector. Dropping it closes its socket.
pub struct FakeCollector {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl FakeCollector {
    /// Starts a collector on a free port of loopback.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self, TestkitError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen = |source| TestkitError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared {
            taking: watch::Sender::new(Taking::All),
            reports: Mutex::default(),
            came: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// `http://127.0.0.1:PORT`, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers reports so from now on, those that wait included.
    pub fn take(&self, taking: Taking) {
        self.shared.taking.send_replace(taking);
    }

    /// Everything that came, also what was not taken.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.shared.reports.lock().clone()
    }

    /// Every span that was taken, in the order in which they came.
    #[must_use]
    pub fn spans(&self) -> Vec<CollectedSpan> {
        let reports = self.shared.reports.lock();
        let taken = reports
            .iter()
            .filter(|report| report.status == 200 && report.path.ends_with("/v1/traces"));
        let requests =
            taken.filter_map(|report| ExportTraceServiceRequest::decode(report.body.clone()).ok());
        requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|sender| {
                let resource = sender.resource.unwrap_or_default().attributes;
                let spans = sender.scope_spans.into_iter().flat_map(|scope| scope.spans);
                let spans: Vec<_> = spans
                    .map(|span| CollectedSpan {
                        span,
                        resource: resource.clone(),
                    })
                    .collect();
                spans
            })
            .collect()
    }

    /// The metrics of the last report of them that was taken.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let reports = self.shared.reports.lock();
        let last = reports
            .iter()
            .rfind(|report| report.status == 200 && report.path.ends_with("/v1/metrics"));
        let last =
            last.and_then(|report| ExportMetricsServiceRequest::decode(report.body.clone()).ok());
        last.into_iter()
            .flat_map(|request| request.resource_metrics)
            .flat_map(|sender| sender.scope_metrics)
            .flat_map(|scope| scope.metrics)
            .collect()
    }

    /// Resolves once the condition holds. Wrap it in a timeout.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let mut came = self.shared.came.subscribe();
        loop {
            came.borrow_and_update();
            if condition(self) {
                return;
            }
            if came.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for FakeCollector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    // Senders that go away end it with an error.
    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let packed = headers
        .iter()
        .any(|(name, value)| name == "content-encoding" && value == "gzip");
    let body = if packed { unpacked(&body) } else { body };
    let path = parts.uri.path().to_owned();
    let mut taking = shared.taking.subscribe();
    let taking = taking.wait_for(|taking| *taking != Taking::Stalled).await;
    let taking = taking.map_or(Taking::All, |taking| *taking);
    let (status, said) = match taking {
        Taking::Refused(status) => (status, Vec::new()),
        Taking::AllBut(rejected) if path.ends_with("/v1/traces") => {
            let partial_success = Some(ExportTracePartialSuccess {
                rejected_spans: rejected,
                error_message: "too many".to_owned(),
            });
            let said = ExportTraceServiceResponse { partial_success };
            (200, said.encode_to_vec())
        }
        Taking::All | Taking::AllBut(_) | Taking::Stalled => (200, Vec::new()),
    };
    shared.reports.lock().push(Report {
        path,
        headers,
        body,
        status,
    });
    shared.came.send_modify(|came| *came += 1);
    let mut response = Response::new(Full::new(Bytes::from(said)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn unpacked(packed: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    // What cannot be unpacked cannot be decoded either.
    let _ = flate2::read::GzDecoder::new(packed).read_to_end(&mut plain);
    Bytes::from(plain)
}
