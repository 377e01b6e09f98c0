//! An answer that has begun: what it has shown, and what is still to come.
//!
//! An answer begins with its first content. Until then its events are held back, so that an upstream
//! which opens an answer and then dies has shown the client nothing, and another can take over.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use freehold_ports::{Backend, Call, Chunk, ChunkStream, LeftOut};
use freehold_types::{Deployment, Error, ErrorKind};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::attempts::Scene;
use crate::disguise::Treatment;
use crate::keep::Tap;
use crate::log::AttemptNumber;
use crate::tally::Tally;

/// So many chunks without content are held back; with one more, the answer is taken as begun.
const HELD_BACK_MAX: usize = 8;
/// As far ahead as a deadline may lie: clocks cannot tell absurd ones.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// An answer that has begun.
pub(crate) struct Live {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) number: AttemptNumber,
    pub(crate) tally: Tally,
    /// Chunks that wait to be delivered, in order; the last one may be the terminal one.
    opening: Vec<Chunk>,
    /// What is done to the answer before the client sees it.
    pub(crate) treatment: Treatment,
    /// What of the request the upstream was not told.
    pub(crate) left_out: LeftOut,
    stream: ChunkStream,
    /// True once the log knows when the first content came.
    noted: bool,
}

/// What [`begin`] found.
pub(crate) struct Begun {
    stream: ChunkStream,
    opening: Vec<Chunk>,
}

impl Live {
    pub(crate) fn new(
        scene: Scene<'_>,
        deployment: &Arc<Deployment>,
        number: AttemptNumber,
        begun: Begun,
        tally: Tally,
    ) -> Self {
        let mut live = Self {
            deployment: Arc::clone(deployment),
            number,
            tally,
            opening: begun.opening,
            treatment: Treatment::default(),
            left_out: LeftOut::default(),
            stream: begun.stream,
            noted: false,
        };
        live.note_first_token(scene);
        live
    }

    /// The same answer, heard by whoever keeps it or looks at it.
    pub(crate) fn tapped(mut self, tap: Option<Tap>) -> Self {
        self.treatment.tap = tap;
        self
    }

    /// The next chunk, taken note of.
    ///
    /// # Errors
    /// What cut the answer.
    pub(crate) async fn next(&mut self, scene: Scene<'_>) -> Result<Chunk, Error> {
        let chunk = next_of(&mut self.stream).await?;
        self.tally.see(&chunk);
        self.note_first_token(scene);
        Ok(self.treated(chunk))
    }

    /// The chunks that wait to be delivered, as the client may see them.
    pub(crate) fn take_opening(&mut self) -> Vec<Chunk> {
        let opening = std::mem::take(&mut self.opening);
        opening
            .into_iter()
            .map(|chunk| self.treated(chunk))
            .collect()
    }

    /// What the client may still see of an answer that was cut short.
    pub(crate) fn take_rest(&mut self) -> Option<Chunk> {
        let events = self.treatment.finish();
        self.treatment.hear(&events);
        (!events.is_empty()).then(|| Chunk {
            events: events.into(),
            ..Chunk::default()
        })
    }

    /// What was counted is what the upstream wrote; what the client sees has its own values back, and
    /// nothing that it must not see.
    fn treated(&mut self, mut chunk: Chunk) -> Chunk {
        if !self.treatment.is_none() {
            chunk.raw = None;
            chunk.events = chunk
                .events
                .into_iter()
                .flat_map(|event| self.treatment.push(event))
                .collect();
        }
        self.treatment.hear(&chunk.events);
        chunk
    }

    fn note_first_token(&mut self, scene: Scene<'_>) {
        if !self.noted && self.tally.has_content() {
            self.noted = true;
            scene.log.first_token(self.number, scene.elapsed());
        }
    }
}

/// Calls a backend and waits for the first content of its answer (or for its end, when it has none).
/// Waits no longer than until the time for the first byte is over, once anything has come at all.
///
/// # Errors
/// What kept the answer from beginning. What of it was seen is in `tally`.
pub(crate) async fn begin(
    backend: &dyn Backend,
    call: Call,
    tally: &mut Tally,
) -> Result<Begun, Error> {
    let deadline = Instant::now() + call.timeouts.first_byte.min(FAR);
    // A defect in a backend is that backend's failure: others may still answer.
    let mut stream = AssertUnwindSafe(backend.start(call))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(panicked()))?;
    let mut opening = Vec::with_capacity(1);
    loop {
        let next = next_of(&mut stream);
        let chunk = if opening.is_empty() {
            next.await?
        } else {
            match tokio::time::timeout_at(deadline, next).await {
                Ok(next) => next?,
                Err(_) => return Ok(Begun { stream, opening }),
            }
        };
        tally.see(&chunk);
        opening.push(chunk);
        if tally.has_content() || tally.is_complete() || opening.len() > HELD_BACK_MAX {
            return Ok(Begun { stream, opening });
        }
    }
}

/// The next chunk of a stream that has not ended.
async fn next_of(stream: &mut ChunkStream) -> Result<Chunk, Error> {
    match AssertUnwindSafe(stream.next()).catch_unwind().await {
        Ok(Some(chunk)) => chunk,
        Ok(None) => Err(ended_early()),
        Err(_) => Err(panicked()),
    }
}

/// The error of a stream that just stops.
fn ended_early() -> Error {
    Error::new(
        ErrorKind::BadUpstream,
        "the upstream ended its answer before it was complete",
    )
}

/// The error of a request on which the gateway itself failed.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::Internal,
        "a defect in the gateway ended this request",
    )
    .with_code("gateway_defect")
}
