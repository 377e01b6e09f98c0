//! From a begun answer to the client: chunk by chunk, or whole.

use std::time::Duration;

use freehold_ports::Chunk;
use freehold_types::{Error, ErrorKind, Event};
use tokio::sync::mpsc;

use crate::attempts::Scene;
use crate::live::Live;
use crate::log::stopped;

/// Chunks that may wait for a slow client; beyond that the upstream is slowed down.
pub(crate) const CHUNKS_WAITING_MAX: usize = 32;
/// How long a client may take nothing before its answer is given up.
pub(crate) const CLIENT_STALL: Duration = Duration::from_secs(300);

/// The client's end of a streamed answer.
pub type ChunkReceiver = mpsc::Receiver<Result<Chunk, Error>>;

/// Relays an answer chunk by chunk. The terminal chunk is held back and returned, so that the
/// outcome can be recorded before the client knows that the answer is complete.
///
/// # Errors
/// What cut the answer: the upstream's failure, or the client's leaving.
pub(crate) async fn relay(
    scene: Scene<'_>,
    live: &mut Live,
    client: &mpsc::Sender<Result<Chunk, Error>>,
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
        send(client, chunk).await?;
    }
}

async fn send(client: &mpsc::Sender<Result<Chunk, Error>>, chunk: Chunk) -> Result<(), Error> {
    match client.send_timeout(Ok(chunk), CLIENT_STALL).await {
        Ok(()) => Ok(()),
        Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(client_left()),
        Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
            Err(stopped("the client took nothing for too long"))
        }
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
