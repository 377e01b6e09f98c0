//! From a begun answer to the client: chunk by chunk, or whole.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use freehold_ports::Chunk;
use freehold_types::{Error, ErrorKind, Event, NanoUsd};
use tokio::sync::mpsc;

use crate::attempts::Scene;
use crate::live::Live;
use crate::log::stopped;

/// Chunks that may wait for a slow client; beyond that the upstream is slowed down.
const CHUNKS_WAITING_MAX: usize = 32;
/// How long a client may take nothing before its answer is given up.
const CLIENT_STALL: Duration = Duration::from_secs(300);

/// The client's end of a streamed answer. Dropping it tells the pipeline that the client has gone.
#[derive(Debug)]
pub struct ChunkReceiver {
    chunks: mpsc::Receiver<Result<Chunk, Error>>,
    cost: Arc<OnceLock<NanoUsd>>,
}

impl ChunkReceiver {
    /// The next chunk; `None` after the last one.
    pub async fn recv(&mut self) -> Option<Result<Chunk, Error>> {
        self.chunks.recv().await
    }

    /// As [`ChunkReceiver::recv`], for bodies that are polled.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        self.chunks.poll_recv(context)
    }

    /// What the request cost, known from its last chunk or its error on; `None` before, and when
    /// nobody can tell.
    pub fn cost(&self) -> Option<NanoUsd> {
        self.cost.get().copied()
    }
}

/// The pipeline's end of a streamed answer.
#[derive(Clone)]
pub(crate) struct ChunkSender {
    chunks: mpsc::Sender<Result<Chunk, Error>>,
    cost: Arc<OnceLock<NanoUsd>>,
}

/// Both ends of a streamed answer.
pub(crate) fn channel() -> (ChunkSender, ChunkReceiver) {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let cost = Arc::new(OnceLock::new());
    let sender = ChunkSender {
        chunks: sender,
        cost: Arc::clone(&cost),
    };
    let receiver = ChunkReceiver {
        chunks: receiver,
        cost,
    };
    (sender, receiver)
}

impl ChunkSender {
    /// Resolves when the client has gone.
    pub(crate) async fn closed(&self) {
        self.chunks.closed().await;
    }

    /// Says what the request cost, before the last chunk.
    pub(crate) fn tell_cost(&self, cost: Option<NanoUsd>) {
        if let Some(cost) = cost {
            // It is told once, by whoever ends the request.
            let _ = self.cost.set(cost);
        }
    }

    /// Hands a chunk or the final error over, as soon as the client takes it.
    ///
    /// # Errors
    /// When the client has gone, or takes nothing for too long.
    pub(crate) async fn send(&self, chunk: Result<Chunk, Error>) -> Result<(), Error> {
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(client_left()),
            Err(mpsc::error::TrySendError::Full(chunk)) => chunk,
        };
        match self.chunks.send_timeout(chunk, CLIENT_STALL).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(client_left()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(stopped("the client took nothing for too long"))
            }
        }
    }
}

/// Relays an answer chunk by chunk. The terminal chunk is held back and returned, so that the
/// outcome can be recorded before the client knows that the answer is complete.
///
/// # Errors
/// What cut the answer: the upstream's failure, or the client's leaving.
pub(crate) async fn relay(
    scene: Scene<'_>,
    live: &mut Live,
    client: &ChunkSender,
) -> Result<Chunk, Error> {
    let mut opening = live.take_opening().into_iter();
    loop {
        let chunk = match opening.next() {
            Some(chunk) => chunk,
            None => tokio::select! {
                biased;
                () = client.closed() => return Err(client_left()),
                next = live.next(scene) => next?,
            },
        };
        if chunk.events.contains(&Event::End) {
            return Ok(chunk);
        }
        client.send(Ok(chunk)).await?;
    }
}

/// Adds the chunks of an answer that is not streamed up to one.
///
/// # Errors
/// The upstream's failure.
pub(crate) async fn collect(scene: Scene<'_>, live: &mut Live) -> Result<Chunk, Error> {
    let mut opening = live.take_opening().into_iter();
    let mut whole = opening.next().unwrap_or_default();
    let mut add = |chunk: Chunk| {
        whole.events.extend(chunk.events);
        // Bytes of several chunks are no body any more; the events say it all.
        whole.raw = None;
    };
    opening.for_each(&mut add);
    while !live.tally.is_complete() {
        add(live.next(scene).await?);
    }
    Ok(whole)
}

/// The error of a request whose client has gone.
pub(crate) fn client_left() -> Error {
    Error::new(ErrorKind::Cancelled, "the client closed the connection")
}
