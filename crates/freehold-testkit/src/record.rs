//! What the fake has received, sent and counted, and the gates that tests open.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use tokio::sync::{Semaphore, watch};

use crate::{request::Surface, script::Script};

/// Token counts of one request, as the upstream would bill them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UsageCount {
    /// Prompt tokens in all, cached ones included.
    pub prompt_tokens: u64,
    /// Of these, read from the vendor's cache.
    pub cached_tokens: u64,
    /// Of these, written to the vendor's cache.
    pub cache_write_tokens: u64,
    /// Completion tokens in all, reasoning included.
    pub completion_tokens: u64,
    /// Of these, reasoning.
    pub reasoning_tokens: u64,
}

/// How a request ended, seen from the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestEnd {
    /// Not yet.
    #[default]
    InFlight,
    /// The answer has been handed to the socket whole.
    Complete,
    /// The client left before that.
    ClientAborted,
    /// A scripted fault ended it.
    Faulted,
}

/// One request as the upstream saw it.
#[derive(Clone, Debug, Serialize)]
pub struct RequestRecord {
    /// 0 for the first request since the start or the last reset.
    pub id: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// HTTP version, e.g. `HTTP/1.1`.
    pub version: String,
    /// Headers in the order received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The raw body (in JSON: `body_base64`).
    #[serde(rename = "body_base64", serialize_with = "as_base64")]
    pub body: Bytes,
    /// The protocol, if the path is one of a model.
    pub surface: Option<Surface>,
    /// The model asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The status sent, once it has been.
    pub status: Option<u16>,
    /// Chunks handed to the socket whole.
    pub chunks_sent: u64,
    /// Tokens in these chunks.
    pub tokens_sent: u64,
    /// Body bytes handed to the socket.
    pub bytes_sent: u64,
    /// What the upstream counts for what it has sent so far; zero for requests that failed before the first byte.
    pub usage: UsageCount,
    /// Whether it waits at a gate or in a stall now.
    pub waiting: bool,
    /// How it ended.
    pub end: RequestEnd,
}

impl RequestRecord {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.0 == name)
            .map(|header| header.1.as_str())
    }

    /// The body as JSON; `None` if it is none.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

fn as_base64<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(body))
}

/// Sums since the start or the last reset, over requests to models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests received.
    pub requests: u64,
    /// Not ended yet.
    pub in_flight: u64,
    /// Answered whole.
    pub complete: u64,
    /// Left by their client.
    pub aborted: u64,
    /// Ended by a fault.
    pub faulted: u64,
    /// TCP connections accepted since the start (resets do not change it).
    pub connections: u64,
    /// Counted usage.
    pub usage: UsageCount,
}

/// The fake's memory, shared by its connections and the test's handle.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    connections: AtomicU64,
    pub(crate) key: Option<String>,
    pub(crate) models: Vec<String>,
}

struct Inner {
    records: Vec<RequestRecord>,
    scripts: VecDeque<Script>,
    gate: Arc<Semaphore>,
    /// Changes with every reset, so that late reports of older requests go nowhere.
    epoch: u64,
}

impl Shared {
    pub(crate) fn new(key: Option<String>, models: Vec<String>) -> Arc<Self> {
        let gate = Arc::new(Semaphore::new(0));
        let inner = Inner {
            records: Vec::new(),
            scripts: VecDeque::new(),
            gate,
            epoch: 0,
        };
        let (changed, _) = watch::channel(0);
        Arc::new(Self {
            inner: Mutex::new(inner),
            changed,
            connections: AtomicU64::new(0),
            key,
            models,
        })
    }

    pub(crate) fn begin(self: &Arc<Self>, mut record: RequestRecord) -> RecordGuard {
        let mut inner = self.inner.lock();
        record.id = inner.records.len() as u64;
        let guard = RecordGuard {
            shared: Arc::clone(self),
            id: record.id,
            epoch: inner.epoch,
            ended: false,
        };
        inner.records.push(record);
        drop(inner);
        self.notify();
        guard
    }

    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.inner.lock().records.clone()
    }

    pub(crate) fn push(&self, script: Script) {
        self.inner.lock().scripts.push_back(script);
    }

    /// Takes the first queued script that is for this model or for any.
    pub(crate) fn take_script(&self, model: &str) -> Option<Script> {
        let mut inner = self.inner.lock();
        let fits = |script: &Script| {
            script
                .for_model
                .as_deref()
                .is_none_or(|wanted| wanted == model)
        };
        let position = inner.scripts.iter().position(fits)?;
        inner.scripts.remove(position)
    }

    pub(crate) fn scripts_left(&self) -> usize {
        self.inner.lock().scripts.len()
    }

    pub(crate) fn reset(&self) {
        let mut inner = self.inner.lock();
        inner.records.clear();
        inner.scripts.clear();
        inner.gate.close();
        inner.gate = Arc::new(Semaphore::new(0));
        inner.epoch += 1;
        drop(inner);
        self.notify();
    }

    pub(crate) fn release(&self, count: usize) {
        self.inner.lock().gate.add_permits(count);
    }

    /// Opens the gate for all that wait or will wait, until the next reset.
    pub(crate) fn release_all(&self) {
        self.inner.lock().gate.close();
    }

    pub(crate) fn totals(&self) -> Totals {
        let connections = self.connections.load(Ordering::Relaxed);
        let mut totals = Totals {
            connections,
            ..Totals::default()
        };
        for record in self
            .inner
            .lock()
            .records
            .iter()
            .filter(|record| record.surface.is_some())
        {
            totals.requests += 1;
            match record.end {
                RequestEnd::InFlight => totals.in_flight += 1,
                RequestEnd::Complete => totals.complete += 1,
                RequestEnd::ClientAborted => totals.aborted += 1,
                RequestEnd::Faulted => totals.faulted += 1,
            }
            totals.usage.prompt_tokens += record.usage.prompt_tokens;
            totals.usage.cached_tokens += record.usage.cached_tokens;
            totals.usage.cache_write_tokens += record.usage.cache_write_tokens;
            totals.usage.completion_tokens += record.usage.completion_tokens;
            totals.usage.reasoning_tokens += record.usage.reasoning_tokens;
        }
        totals
    }

    /// Resolves once `condition` holds for the records.
    pub(crate) async fn wait_until(&self, condition: impl Fn(&[RequestRecord]) -> bool) {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if condition(&self.inner.lock().records) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn notify(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    fn gate(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.lock().gate)
    }
}

/// Keeps one record up to date; dropped before [`RecordGuard::end`], it reports that the client left.
pub(crate) struct RecordGuard {
    shared: Arc<Shared>,
    id: u64,
    epoch: u64,
    ended: bool,
}

impl RecordGuard {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut RequestRecord)) {
        let mut inner = self.shared.inner.lock();
        if inner.epoch == self.epoch
            && let Some(record) = usize::try_from(self.id)
                .ok()
                .and_then(|id| inner.records.get_mut(id))
        {
            change(record);
        }
        drop(inner);
        self.shared.notify();
    }

    pub(crate) fn end(&mut self, end: RequestEnd) {
        if !std::mem::replace(&mut self.ended, true) {
            self.update(|record| {
                record.end = end;
                record.waiting = false;
            });
        }
    }

    /// Waits for a release.
    pub(crate) async fn gate(&self) {
        let gate = self.shared.gate();
        self.update(|record| record.waiting = true);
        if let Ok(permit) = gate.acquire().await {
            permit.forget();
        }
        self.update(|record| record.waiting = false);
    }

    /// Waits forever: only the client's leaving ends it.
    pub(crate) async fn stall(&self) {
        self.update(|record| record.waiting = true);
        std::future::pending::<()>().await;
    }
}

impl Drop for RecordGuard {
    fn drop(&mut self) {
        self.end(RequestEnd::ClientAborted);
    }
}
