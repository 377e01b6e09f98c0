//! A streamed answer on its way: reads of the upstream's body in, chunks out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use freehold_ports::Chunk;
use freehold_types::{BackendId, Dialect, Error, ErrorKind, Event};
use freehold_wire::{Frame, StreamDecoder};
use futures_core::Stream;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use smallvec::SmallVec;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::exchange::{self, Deadlines};
use crate::secret::Scrubber;

/// What follows an answer's end is a few bytes of framing. Reading them keeps the connection usable.
const TAIL_BYTES_MAX: usize = 64 * 1024;
const TAIL_WAIT: Duration = Duration::from_secs(2);

/// What an answer needs to know of its backend.
pub(crate) struct AnswerSource {
    pub(crate) backend: BackendId,
    pub(crate) dialect: Dialect,
    pub(crate) deadlines: Deadlines,
    pub(crate) limit_bytes: usize,
    pub(crate) scrubber: Arc<Scrubber>,
    /// Counts the request among those in flight until the answer is over.
    pub(crate) _slot: OwnedSemaphorePermit,
}

/// The stream of an answer's chunks. Dropping it before its end closes the connection to the upstream
/// (HTTP/1.1) or resets the stream (HTTP/2).
pub(crate) struct Answer {
    source: AnswerSource,
    /// `None` once nothing more is to be read.
    body: Option<Incoming>,
    decoder: StreamDecoder,
    frames: Vec<Frame>,
    ready: VecDeque<Result<Chunk, Error>>,
    ended: bool,
    received_bytes: usize,
    /// Since when nothing came although somebody asked. Time in which nobody asks does not count.
    waiting_since: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
}

impl Answer {
    pub(crate) fn new(source: AnswerSource, body: Incoming, decoder: StreamDecoder) -> Self {
        Self {
            alarm: Box::pin(sleep_until(source.deadlines.first_byte)),
            source,
            body: Some(body),
            decoder,
            frames: Vec::new(),
            ready: VecDeque::new(),
            ended: false,
            received_bytes: 0,
            waiting_since: None,
        }
    }

    /// Takes a piece of the body.
    fn absorb(&mut self, data: &[u8]) {
        self.received_bytes = self.received_bytes.saturating_add(data.len());
        if self.received_bytes > self.source.limit_bytes {
            return self.fail(exchange::too_long(
                &self.source.backend,
                self.source.limit_bytes,
            ));
        }
        let outcome = self.decoder.push(data, &mut self.frames);
        self.take_frames();
        if let (Err(error), false) = (outcome, self.ended) {
            self.fail(error);
        }
    }

    /// The upstream has closed its body.
    fn close(&mut self) {
        self.body = None;
        let outcome = self.decoder.finish(&mut self.frames);
        self.take_frames();
        if self.ended {
            return;
        }
        let error = outcome.err().unwrap_or_else(|| {
            let message = format!("`{}` ended its answer early", self.source.backend);
            Error::new(ErrorKind::BadUpstream, message).with_code("answer_cut")
        });
        self.fail(error);
    }

    /// Ends the answer with an error, and the connection with it.
    fn fail(&mut self, error: Error) {
        self.body = None;
        let error = self.source.scrubber.scrub(error);
        self.ready.push_back(Err(error));
    }

    /// Makes chunks of the decoded frames: neighbours together, hidden ones apart, nothing after the end.
    fn take_frames(&mut self) {
        let mut frames = std::mem::take(&mut self.frames);
        let mut chunk = Growing::default();
        for mut frame in frames.drain(..) {
            if self.ended {
                break;
            }
            if let Some(end) = frame.events.iter().position(|event| *event == Event::End) {
                frame.events.truncate(end + 1);
                self.ended = true;
            }
            if let Err(error) = exchange::check_bytes(&self.source.scrubber, &frame.raw) {
                self.ended = false;
                self.fail(error);
                return;
            }
            if frame.hidden {
                self.ready.extend(chunk.finish(self.source.dialect));
                chunk.add(frame);
                let hidden = chunk.finish(self.source.dialect).map(|chunk| {
                    chunk.map(|chunk| Chunk {
                        hidden: true,
                        ..chunk
                    })
                });
                self.ready.extend(hidden);
            } else {
                chunk.add(frame);
            }
        }
        self.ready.extend(chunk.finish(self.source.dialect));
        self.frames = frames;
    }

    /// Whether the upstream has been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let deadlines = &self.source.deadlines;
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let nothing_yet = self.received_bytes == 0;
        let deadline = if nothing_yet {
            deadlines.first_byte
        } else {
            exchange::after(since, deadlines.idle())
        };
        // Moved only when it rings: a timer per token would cost more than the token.
        while self.alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(match nothing_yet {
                    true => deadlines.first_byte_error(&self.source.backend),
                    false => deadlines.idle_error(&self.source.backend),
                });
            }
            self.alarm.as_mut().reset(deadline);
        }
        // An idle time shorter than what is left of an earlier deadline must not be missed.
        if self.alarm.deadline() > deadline {
            self.alarm.as_mut().reset(deadline);
            if self.alarm.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl Stream for Answer {
    type Item = Result<Chunk, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.ready.pop_front() {
                return Poll::Ready(Some(chunk));
            }
            if this.ended {
                if let Some(body) = this.body.take() {
                    finish_body(body);
                }
                return Poll::Ready(None);
            }
            let Some(body) = this.body.as_mut() else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.waiting_since = None;
                    if let Ok(data) = frame.into_data() {
                        this.absorb(&data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.fail(exchange::cut(&this.source.backend, &error));
                }
                Poll::Ready(None) => this.close(),
                Poll::Pending => match this.poll_silence(context) {
                    Poll::Ready(error) => this.fail(error),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // An answer that was not read to its end is cancelled by dropping its body.
        if self.ended
            && let Some(body) = self.body.take()
        {
            finish_body(body);
        }
    }
}

/// Reads what follows the end of an answer, so that its connection goes back to the pool.
fn finish_body(mut body: Incoming) {
    let mut context = Context::from_waker(Waker::noop());
    if let Poll::Ready(None | Some(Err(_))) = Pin::new(&mut body).poll_frame(&mut context) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    // Bounded in time and bytes; when a bound is hit, the connection is closed instead.
    runtime.spawn(tokio::time::timeout(TAIL_WAIT, async move {
        let mut tail_bytes = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            tail_bytes += frame.data_ref().map_or(0, Bytes::len);
            if tail_bytes > TAIL_BYTES_MAX {
                return;
            }
        }
    }));
}

/// A chunk in the making.
#[derive(Default)]
struct Growing {
    events: SmallVec<[Event; 1]>,
    raw: SmallVec<[Bytes; 4]>,
}

impl Growing {
    fn add(&mut self, frame: Frame) {
        if self.events.is_empty() {
            self.events = frame.events;
        } else {
            self.events.extend(frame.events);
        }
        if !frame.raw.is_empty() {
            self.raw.push(frame.raw);
        }
    }

    /// The chunk, when there is anything in it.
    fn finish(&mut self, dialect: Dialect) -> Option<Result<Chunk, Error>> {
        if self.events.is_empty() && self.raw.is_empty() {
            return None;
        }
        let raw = match self.raw.len() {
            0 => None,
            1 => self.raw.pop(),
            _ => {
                let mut joined = BytesMut::with_capacity(self.raw.iter().map(Bytes::len).sum());
                for piece in self.raw.drain(..) {
                    joined.extend_from_slice(&piece);
                }
                Some(joined.freeze())
            }
        };
        Some(Ok(Chunk {
            events: std::mem::take(&mut self.events),
            raw: raw.map(|raw| (dialect, raw)),
            hidden: false,
        }))
    }
}
