//! What every test needs: a fake upstream, a backend that points at it, and permitted calls.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use freehold_guard::Scan;
use freehold_hosted::{Catalogue, HostedBackend, Row, Settings};
use freehold_policy::{Claim, Labels, Rules, decide};
use freehold_ports::{Backend, Call, Chunk, ChunkStream, Timeouts};
use freehold_testkit::FakeUpstream;
use freehold_types::{Deployment, Dialect, Error, Event, RequestId, Response, Sensitivity};
use futures_util::StreamExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};

/// A key as vendors make them.
pub(crate) const KEY: &str = "sk-test-R7gPz0Qm4LwXc9VbN2kJ";

/// Long enough for a busy machine; only reached when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    pub(crate) fake: FakeUpstream,
    pub(crate) backend: HostedBackend,
}

impl Bench {
    /// A backend of a catalogue row whose address is a fake.
    pub(crate) async fn new(row: &str) -> Self {
        Self::with(row, |_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn with(row: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let fake = FakeUpstream::start().await.unwrap();
        let mut settings = settings(row, &format!("{}/v1", fake.url()));
        change(&mut settings);
        let backend = HostedBackend::new(settings).unwrap();
        Self { fake, backend }
    }

    pub(crate) async fn start(&self, dialect: Dialect, body: Value) -> Result<ChunkStream, Error> {
        self.backend.start(self.call(dialect, body)).await
    }

    pub(crate) async fn chat(&self, body: Value) -> Result<ChunkStream, Error> {
        self.start(Dialect::OpenaiChat, body).await
    }

    /// The whole answer to a chat, or the error, wherever it came.
    pub(crate) async fn answer(&self, body: Value) -> Result<Vec<Chunk>, Error> {
        collect(self.chat(body).await?).await
    }

    pub(crate) fn call(&self, dialect: Dialect, body: Value) -> Call {
        call(&self.backend, "gpt-4o", dialect, body)
    }
}

/// The built-in catalogue, read once.
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());
    &CATALOGUE
}

pub(crate) fn row(id: &str) -> Row {
    catalogue().row(id).unwrap().clone()
}

pub(crate) fn settings(row_id: &str, base_url: &str) -> Settings {
    Settings::for_row(Arc::new(row(row_id)))
        .with_base_url(base_url)
        .with_key(SecretString::from(KEY))
}

/// A permitted call of any model on a backend.
pub(crate) fn call(backend: &HostedBackend, model: &str, dialect: Dialect, body: Value) -> Call {
    let deployment = catalogue().deployment(backend.row(), backend.id(), backend.site(), model);
    call_deployment(deployment, dialect, body)
}

pub(crate) fn call_deployment(deployment: Deployment, dialect: Dialect, body: Value) -> Call {
    let request = freehold_wire::decode_request(
        dialect,
        Bytes::from(body.to_string()),
        &freehold_wire::Limits::default(),
    )
    .unwrap();
    let labels = Labels {
        default: Sensitivity::Internal,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &Scan::default(),
    };
    let permit = decide(&Rules::open(), &labels, []).unwrap();
    let passage = permit.passage(&deployment).unwrap();
    Call::new(
        passage,
        Arc::new(deployment),
        Arc::new(request),
        Timeouts {
            connect: PATIENCE,
            first_byte: PATIENCE,
            idle: PATIENCE,
        },
        RequestId::at(1_700_000_000_000),
    )
    .unwrap()
}

pub(crate) fn hello(stream: bool) -> Value {
    json!({
        "model": "route",
        "stream": stream,
        "messages": [{"role": "user", "content": "one two three four"}],
    })
}

pub(crate) fn hello_anthropic(stream: bool) -> Value {
    json!({
        "model": "route",
        "stream": stream,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "one two three four"}],
    })
}

/// All chunks; nothing may follow an error.
pub(crate) async fn collect(mut stream: ChunkStream) -> Result<Vec<Chunk>, Error> {
    let (chunks, error) = drain(&mut stream).await;
    match error {
        Some(error) => Err(error),
        None => Ok(chunks),
    }
}

/// Everything up to the end or the error, which must both be last.
pub(crate) async fn drain(stream: &mut ChunkStream) -> (Vec<Chunk>, Option<Error>) {
    let mut chunks = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE * 10, stream.next())
            .await
            .unwrap()
        {
            None => break,
            Some(Ok(chunk)) => chunks.push(chunk),
            Some(Err(error)) => {
                assert!(stream.next().await.is_none(), "something follows an error");
                return (chunks, Some(error));
            }
        }
    }
    let events: Vec<_> = events(&chunks).collect();
    let ends = events.iter().filter(|event| **event == Event::End).count();
    assert_eq!(ends, 1, "exactly one end");
    assert_eq!(events.last(), Some(&Event::End), "the end comes last");
    assert!(stream.next().await.is_none(), "something follows the end");
    (chunks, None)
}

pub(crate) fn events(chunks: &[Chunk]) -> impl Iterator<Item = Event> + '_ {
    chunks.iter().flat_map(|chunk| chunk.events.iter().cloned())
}

pub(crate) fn response(chunks: &[Chunk]) -> Response {
    Response::from_events(events(chunks))
}

pub(crate) fn text(chunks: &[Chunk]) -> String {
    let parts = response(chunks).choices.remove(0).parts;
    parts
        .into_iter()
        .map(|part| match part {
            freehold_types::Part::Text { text, .. } => text,
            other => panic!("unexpected part {other:?}"),
        })
        .collect()
}

/// The bytes that a client of the same dialect gets.
pub(crate) fn shown(chunks: &[Chunk]) -> String {
    let shown = chunks.iter().filter(|chunk| !chunk.hidden);
    shown
        .filter_map(|chunk| chunk.raw.as_ref())
        .map(|(_, raw)| String::from_utf8(raw.to_vec()).unwrap())
        .collect()
}
