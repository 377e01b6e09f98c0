//! A streamed answer as an HTTP body: server-sent events in the client's dialect.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use freehold_pipeline::ChunkReceiver;
use freehold_ports::Chunk;
use freehold_types::{Dialect, Error, Event};
use freehold_wire::{AnswerContext, StreamEncoder};
use http_body::{Body, Frame};

use crate::respond::COST;

/// The chunks of an answer on their way to the client. Dropping it tells the pipeline that the
/// client has gone.
pub(crate) struct EventStreamBody {
    chunks: ChunkReceiver,
    dialect: Dialect,
    encoder: StreamEncoder,
    done: bool,
}

impl EventStreamBody {
    pub(crate) fn new(chunks: ChunkReceiver, dialect: Dialect, context: AnswerContext) -> Self {
        Self {
            chunks,
            dialect,
            encoder: StreamEncoder::new(dialect, context),
            done: false,
        }
    }

    /// The client's bytes of a chunk: the upstream's own where it speaks the client's dialect.
    fn encode(&mut self, chunk: Chunk) -> Bytes {
        self.done |= chunk.events.contains(&Event::End);
        let mut bytes = self.cost_comment();
        match chunk.raw {
            Some((dialect, _)) if dialect == self.dialect && chunk.hidden => {}
            Some((dialect, raw)) if dialect == self.dialect => {
                if bytes.is_empty() {
                    return raw;
                }
                bytes.extend_from_slice(&raw);
            }
            _ => {
                bytes.reserve(256);
                for event in &chunk.events {
                    self.encoder.push(event, &mut bytes);
                }
            }
        }
        bytes.into()
    }

    fn encode_error(&mut self, error: &Error) -> Bytes {
        self.done = true;
        let mut bytes = self.cost_comment();
        self.encoder.error(error, &mut bytes);
        bytes.into()
    }

    /// What the answer cost, right before its end: when the headers went out, nobody knew. It is a
    /// comment, which every reader of event streams passes over.
    fn cost_comment(&self) -> Vec<u8> {
        match self.chunks.cost() {
            Some(cost) if self.done => format!(": {COST} {cost}\n\n").into_bytes(),
            _ => Vec::new(),
        }
    }
}

impl Body for EventStreamBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if self.done {
                return Poll::Ready(None);
            }
            let bytes = match ready!(self.chunks.poll_recv(context)) {
                Some(Ok(chunk)) => self.encode(chunk),
                Some(Err(error)) => self.encode_error(&error),
                None => {
                    // The pipeline always sends a terminal chunk or an error; if its task died, the
                    // client still gets one clean end.
                    let error = Error::new(
                        freehold_types::ErrorKind::Internal,
                        "the answer was cut by a failure in the gateway",
                    );
                    self.encode_error(&error)
                }
            };
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}
