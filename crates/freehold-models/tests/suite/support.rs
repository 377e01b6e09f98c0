//! Servers on loopback that speak the protocols of Hugging Face, its storage host and a
//! Python package index, and that fail on command.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use freehold_models::{
    ModelError, ModelReference, Pause, Progress, ProgressEvent, PullOptions, PullReport,
    PythonIndex, Sha256Digest, Store, StoreSettings,
};
use futures_util::StreamExt;
use futures_util::stream;
use url::Url;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A body that begins like a GGUF file and is `length` bytes long.
pub(crate) fn gguf(seed: u8, length: usize) -> Bytes {
    let mut content = b"GGUF".to_vec();
    let mut value = u32::from(seed) + 1;
    while content.len() < length {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        content.push((value >> 24) as u8);
    }
    content.truncate(length);
    content.into()
}

pub(crate) fn digest(content: &[u8]) -> Sha256Digest {
    Sha256Digest::of(content)
}

/// What a server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

/// What the next answer does instead of serving the file.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers with a status and headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Breaks the connection after so many bytes of the body.
    Cut(usize),
    /// Sends so many bytes, then nothing more, until the client leaves.
    Stall(usize),
    /// Replaces the file, then serves the new one.
    Swap(Bytes),
    /// Serves other bytes under the file's own tag.
    Lie(Bytes),
    /// Sends a body without a length: these bytes, whatever was asked.
    Unsized(Bytes),
    /// Serves the file.
    Serve,
}

/// A server for plain files with entity tags and ranges.
#[derive(Clone)]
pub(crate) struct FileServer {
    pub(crate) base: Url,
    state: Arc<FileState>,
}

#[derive(Default)]
struct FileState {
    files: Mutex<HashMap<String, Bytes>>,
    types: Mutex<HashMap<String, String>>,
    faults: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Seen>>,
    /// What the client says it has received, so that a cut comes after its last byte arrived.
    received: Received,
}

/// A count of received bytes that the client writes and a server waits for.
type Received = Arc<tokio::sync::watch::Sender<u64>>;

async fn listen(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Url::parse(&format!("http://{address}/")).unwrap()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap().to_owned())
}

fn seen(request: &Request) -> Seen {
    Seen {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        authorization: text(request.headers(), header::AUTHORIZATION),
        range: text(request.headers(), header::RANGE),
        if_range: text(request.headers(), header::IF_RANGE),
    }
}

impl FileServer {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(FileState::default());
        let router = Router::new()
            .fallback(serve_file)
            .with_state(Arc::clone(&state));
        Self {
            base: listen(router).await,
            state,
        }
    }

    pub(crate) fn put(&self, path: &str, content: impl Into<Bytes>) -> Url {
        self.state
            .files
            .lock()
            .unwrap()
            .insert(format!("/{path}"), content.into());
        self.base.join(path).unwrap()
    }

    /// A page with a content type of its own.
    pub(crate) fn put_page(&self, path: &str, content_type: &str, content: String) {
        self.state
            .types
            .lock()
            .unwrap()
            .insert(format!("/{path}"), content_type.to_owned());
        self.put(path, content);
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The ranges asked for, in order.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.seen().into_iter().map(|seen| seen.range).collect()
    }
}

fn tag(content: &[u8]) -> String {
    format!("\"{}\"", &digest(content).to_string()[..16])
}

async fn serve_file(State(state): State<Arc<FileState>>, request: Request) -> Response {
    let seen = seen(&request);
    state.seen.lock().unwrap().push(seen.clone());
    let fault = state
        .faults
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or(Fault::Serve);
    if let Fault::Status(status, headers) = fault {
        return with_headers(StatusCode::from_u16(status).unwrap(), &headers);
    }
    if let Fault::Unsized(content) = fault {
        return Body::from_stream(stream::iter([Ok::<_, std::io::Error>(content)])).into_response();
    }
    let path = seen.path.clone();
    if let Fault::Swap(content) = &fault {
        state
            .files
            .lock()
            .unwrap()
            .insert(path.clone(), content.clone());
    }
    let Some(mut content) = state.files.lock().unwrap().get(&path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = tag(&content);
    if let Fault::Lie(other) = &fault {
        content = other.clone();
    }
    let total = content.len();
    let is_current = seen.if_range.is_none_or(|wanted| wanted == etag);
    let start = seen.range.filter(|_| is_current).map(|range| {
        range
            .strip_prefix("bytes=")
            .unwrap()
            .strip_suffix('-')
            .unwrap()
            .parse::<usize>()
            .unwrap()
    });
    let (status, start) = match start {
        Some(start) if start >= total => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        Some(start) => (StatusCode::PARTIAL_CONTENT, start),
        None => (StatusCode::OK, 0),
    };
    let rest = content.slice(start..);
    let length = rest.len();
    let body = match fault {
        Fault::Cut(after) => {
            let received = Arc::clone(&state.received);
            received.send_replace(0);
            let end = (start + after.min(length)) as u64;
            let cut = async move {
                // Without the wait, the connection could break before the bytes are sent.
                let arrived = received
                    .subscribe()
                    .wait_for(|count| *count >= end)
                    .await
                    .is_ok();
                Err(std::io::Error::other(format!(
                    "cut by the test ({arrived})"
                )))
            };
            let head = stream::iter([Ok(rest.slice(..after.min(length)))]);
            Body::from_stream(head.chain(stream::once(cut)))
        }
        Fault::Stall(after) => {
            let head = stream::iter([Ok::<_, std::io::Error>(rest.slice(..after.min(length)))]);
            Body::from_stream(head.chain(stream::pending()))
        }
        _ => Body::from(rest),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::ETAG, etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, length);
    if status == StatusCode::PARTIAL_CONTENT {
        response = response.header(
            header::CONTENT_RANGE,
            format!("bytes {start}-{}/{total}", total - 1),
        );
    }
    if let Some(content_type) = state.types.lock().unwrap().get(&path) {
        response = response.header(header::CONTENT_TYPE, content_type);
    }
    response.body(body).unwrap()
}

fn with_headers(status: StatusCode, headers: &[(&'static str, String)]) -> Response {
    let mut response = status.into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// One file of a repository.
#[derive(Clone)]
pub(crate) struct HubFile {
    pub(crate) content: Bytes,
    /// The tag that the endpoint announces; `None` announces the right SHA-256.
    pub(crate) announced_tag: Option<String>,
    /// The size that the endpoint announces; `None` announces the right one.
    pub(crate) announced_bytes: Option<u64>,
    pub(crate) commit: Option<String>,
}

impl HubFile {
    pub(crate) fn new(content: Bytes) -> Self {
        Self {
            content,
            announced_tag: None,
            announced_bytes: None,
            commit: Some(COMMIT.to_owned()),
        }
    }
}

/// An endpoint that redirects to a storage host on another port, as Hugging Face does.
pub(crate) struct Hub {
    pub(crate) base: Url,
    pub(crate) storage: FileServer,
    state: Arc<HubState>,
}

struct HubState {
    storage: FileServer,
    files: Mutex<HashMap<String, HubFile>>,
    renamed: Mutex<HashMap<String, String>>,
    faults: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Seen>>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let storage = FileServer::start().await;
        let state = Arc::new(HubState {
            storage: storage.clone(),
            files: Mutex::default(),
            renamed: Mutex::default(),
            faults: Mutex::default(),
            seen: Mutex::default(),
        });
        let router = Router::new()
            .fallback(serve_hub)
            .with_state(Arc::clone(&state));
        Self {
            base: listen(router).await,
            storage,
            state,
        }
    }

    /// Publishes `owner/repo/path`.
    pub(crate) fn put(&self, path: &str, content: Bytes) {
        self.put_file(path, HubFile::new(content));
    }

    pub(crate) fn put_file(&self, path: &str, file: HubFile) {
        self.storage
            .put(&format!("store/{path}"), file.content.clone());
        self.state
            .files
            .lock()
            .unwrap()
            .insert(path.to_owned(), file);
    }

    /// Answers for the old repository with a redirect on the same host.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        self.state
            .renamed
            .lock()
            .unwrap()
            .insert(from.to_owned(), to.to_owned());
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

async fn serve_hub(State(state): State<Arc<HubState>>, request: Request) -> Response {
    let seen = seen(&request);
    state.seen.lock().unwrap().push(seen.clone());
    if let Some(Fault::Status(status, headers)) = state.faults.lock().unwrap().pop_front() {
        return with_headers(StatusCode::from_u16(status).unwrap(), &headers);
    }
    // /owner/repo/resolve/revision/path
    let parts: Vec<&str> = seen.path.trim_start_matches('/').splitn(5, '/').collect();
    let [owner, repository, "resolve", revision, path] = parts.as_slice() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let repository = format!("{owner}/{repository}");
    if let Some(target) = state.renamed.lock().unwrap().get(&repository) {
        let location = format!("/{target}/resolve/{revision}/{path}");
        return with_headers(StatusCode::TEMPORARY_REDIRECT, &[("location", location)]);
    }
    let Some(file) = state
        .files
        .lock()
        .unwrap()
        .get(&format!("{repository}/{path}"))
        .cloned()
    else {
        return with_headers(
            StatusCode::NOT_FOUND,
            &[("x-error-code", "EntryNotFound".to_owned())],
        );
    };
    if *revision != "main" && file.commit.as_deref() != Some(*revision) {
        return with_headers(
            StatusCode::NOT_FOUND,
            &[("x-error-code", "RevisionNotFound".to_owned())],
        );
    }
    let location = state
        .storage
        .base
        .join(&format!("store/{repository}/{path}?signature=very-secret"))
        .unwrap();
    let tag = file
        .announced_tag
        .unwrap_or_else(|| digest(&file.content).to_string());
    let mut headers = vec![
        ("location", location.to_string()),
        ("x-linked-etag", format!("\"{tag}\"")),
        (
            "x-linked-size",
            file.announced_bytes
                .unwrap_or(file.content.len() as u64)
                .to_string(),
        ),
    ];
    headers.extend(file.commit.map(|commit| ("x-repo-commit", commit)));
    with_headers(StatusCode::FOUND, &headers)
}

/// Remembers every wait and returns at once.
#[derive(Default)]
pub(crate) struct RecordedPauses(Mutex<Vec<Duration>>);

#[async_trait]
impl Pause for RecordedPauses {
    async fn pause(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

/// Remembers every event and hands it to whoever listens.
pub(crate) struct Events {
    all: Mutex<Vec<ProgressEvent>>,
    sender: tokio::sync::mpsc::UnboundedSender<ProgressEvent>,
    received: Mutex<Vec<Received>>,
}

impl Progress for Events {
    fn event(&self, event: &ProgressEvent) {
        self.all.lock().unwrap().push(event.clone());
        let _ = self.sender.send(event.clone());
        if let ProgressEvent::Advanced { received_bytes, .. } = event {
            for received in self.received.lock().unwrap().iter() {
                received.send_replace(*received_bytes);
            }
        }
    }
}

/// A store in a directory of its own, and what it did.
pub(crate) struct Fixture {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) settings: StoreSettings,
    pub(crate) pauses: Arc<RecordedPauses>,
    pub(crate) events: Arc<Events>,
    pub(crate) incoming: tokio::sync::mpsc::UnboundedReceiver<ProgressEvent>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pauses = Arc::new(RecordedPauses::default());
        let mut settings = StoreSettings::at(directory.path()).unwrap();
        settings.transport.proxies_from_environment = false;
        settings.transport.pause = Arc::clone(&pauses) as Arc<dyn Pause>;
        // No test may reach a public host, also by mistake: nothing listens on port 9.
        settings.hub_endpoint = Url::parse("http://127.0.0.1:9/").unwrap();
        settings.index = PythonIndex::parse("test", "http://127.0.0.1:9/simple/").unwrap();
        let (sender, incoming) = tokio::sync::mpsc::unbounded_channel();
        let events = Arc::new(Events {
            all: Mutex::default(),
            sender,
            received: Mutex::default(),
        });
        Self {
            directory,
            settings,
            pauses,
            events,
            incoming,
        }
    }

    pub(crate) fn with_hub(hub: &Hub) -> Self {
        let mut fixture = Self::new();
        fixture.follow(&hub.storage);
        fixture.settings.hub_endpoint = hub.base.clone();
        fixture.settings.hub_token = Some("hf_secret".to_owned().into());
        fixture
    }

    /// Tells this server what has been received, as [`Fault::Cut`] needs.
    pub(crate) fn follow(&self, server: &FileServer) {
        self.events
            .received
            .lock()
            .unwrap()
            .push(Arc::clone(&server.state.received));
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.settings.clone()).unwrap()
    }

    pub(crate) async fn pull(&self, reference: &str) -> Result<PullReport, ModelError> {
        self.pull_with(reference, PullOptions::default()).await
    }

    pub(crate) async fn pull_with(
        &self,
        reference: &str,
        options: PullOptions,
    ) -> Result<PullReport, ModelError> {
        let reference: ModelReference = reference.parse()?;
        self.store()
            .pull(
                &reference,
                options,
                Arc::clone(&self.events) as Arc<dyn Progress>,
            )
            .await
    }

    pub(crate) fn pauses_ms(&self) -> Vec<u128> {
        self.pauses
            .0
            .lock()
            .unwrap()
            .iter()
            .map(Duration::as_millis)
            .collect()
    }

    pub(crate) fn events(&self) -> Vec<ProgressEvent> {
        self.events.all.lock().unwrap().clone()
    }

    pub(crate) fn restarts(&self) -> usize {
        self.events()
            .iter()
            .filter(|event| matches!(event, ProgressEvent::Restarted { .. }))
            .count()
    }

    /// Files below the root's directory, without the locks.
    pub(crate) fn files_in(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.directory.path().join(directory)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Writes over a stored file, as somebody with write access would.
pub(crate) fn tamper(path: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = std::fs::read(path).unwrap();
    change(&mut content);
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A wheel with these members.
pub(crate) fn wheel(members: &[(&str, &[u8])]) -> Bytes {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}
