//! Refuses requests whose end two servers could see in two places (request smuggling).
//!
//! hyper reads such requests in the one way that RFC 9112 allows, and drops the header lines that it
//! did not go by; a server or proxy in front may have gone by those. Therefore the bytes of every
//! HTTP/1 connection are followed here on their way to hyper: heads are looked at, bodies are only
//! counted. One ambiguous head, and nothing more on the connection is served. hyper itself refuses
//! what is no HTTP at all, folded header lines among it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A header line that matters is short; of longer ones only the beginning is looked at.
const LINE_BYTES_MAX: usize = 256;
/// The first line of what an HTTP/2 client sends first (RFC 9113, 3.4), and the length of all of it.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";
const HTTP2_PREFACE_BYTES: usize = 24;
/// A client that takes nothing for so long loses its connection: its answer fills our memory.
const WRITE_STALL: Duration = Duration::from_secs(300);

/// What makes a head ambiguous, in words for the client.
pub(crate) type Fault = &'static str;

/// The first fault on a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstFault(Arc<OnceLock<Fault>>);

impl FirstFault {
    pub(crate) fn get(&self) -> Option<Fault> {
        self.0.get().copied()
    }
}

/// Where in the stream of requests a connection is.
#[derive(Debug)]
enum Place {
    /// Before the first line: it may be HTTP/2.
    Start,
    /// In a request's head.
    Head,
    /// In a body of so many bytes still.
    Body(u64),
    /// At a chunk's size.
    ChunkSize,
    /// In a chunk of so many bytes still, the line end after it included.
    Chunk(u64),
    /// After the last chunk.
    Trailers,
    /// Nothing more is looked at.
    Over,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    place: Place,
    line: Vec<u8>,
    head: Head,
    /// Whether a head has come whole.
    asked: bool,
}

/// What the head so far says of the body.
#[derive(Debug, Default)]
struct Head {
    started: bool,
    length: Option<u64>,
    chunked: bool,
    hosts: u32,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Start,
            line: Vec::new(),
            head: Head::default(),
            asked: false,
        }
    }

    /// Whether a head is still to come that must come: the first of the connection, or what is left of one.
    fn is_in_head(&self, received_bytes: usize) -> bool {
        match self.place {
            Place::Start => true,
            Place::Head => self.head.started || !self.line.is_empty() || !self.asked,
            Place::Over => received_bytes < HTTP2_PREFACE_BYTES,
            Place::Body(_) | Place::ChunkSize | Place::Chunk(_) | Place::Trailers => false,
        }
    }

    /// Takes the next bytes, however they are cut.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Over => return Ok(()),
                Place::Body(left) | Place::Chunk(left) => {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    let taken = length.min(*left);
                    *left -= taken;
                    bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
                    if *left == 0 {
                        self.place = match self.place {
                            Place::Chunk(_) => Place::ChunkSize,
                            _ => Place::Head,
                        };
                    }
                }
                _ => {
                    let (part, ended, rest) = match memchr(b'\n', bytes) {
                        Some(end) => (&bytes[..end], true, &bytes[end + 1..]),
                        None => (bytes, false, &[][..]),
                    };
                    let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
                    self.line.extend_from_slice(&part[..part.len().min(room)]);
                    bytes = rest;
                    if ended {
                        let line = std::mem::take(&mut self.line);
                        let taken = self.take(line.strip_suffix(b"\r").unwrap_or(&line));
                        // The buffer is kept for the next line.
                        self.line = line;
                        self.line.clear();
                        taken?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Fault> {
        match self.place {
            Place::Start if line == HTTP2_PREFACE => {
                self.place = Place::Over;
            }
            Place::Start | Place::Head => {
                self.place = Place::Head;
                if line.is_empty() {
                    // Empty lines before a request are nothing (RFC 9112, 2.2).
                    if self.head.started {
                        self.asked = true;
                        self.place = std::mem::take(&mut self.head).body();
                    }
                } else if self.head.started {
                    self.head.take(line)?;
                } else {
                    self.head.started = true;
                }
            }
            Place::ChunkSize => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
                let size = std::str::from_utf8(digits.trim_ascii())
                    .ok()
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok());
                self.place = match size {
                    Some(0) => Place::Trailers,
                    // A chunk's data ends with CR LF.
                    Some(size) => Place::Chunk(size.saturating_add(2)),
                    // No chunk: hyper gives up here, too.
                    None => Place::Over,
                };
            }
            Place::Trailers if line.is_empty() => self.place = Place::Head,
            Place::Trailers | Place::Body(_) | Place::Chunk(_) | Place::Over => {}
        }
        Ok(())
    }
}

impl Head {
    fn take(&mut self, line: &[u8]) -> Result<(), Fault> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a header line is folded");
        }
        let Some(colon) = memchr(b':', line) else {
            return Ok(());
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |other: &[u8]| name.trim_ascii_end().eq_ignore_ascii_case(other);
        if is(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().filter(|_| digits);
            let Some(length) = length.and_then(|text| text.parse().ok()) else {
                return Err("Content-Length is no number");
            };
            if self.length.replace(length).is_some() {
                return Err("Content-Length is given twice");
            }
        } else if is(b"transfer-encoding") {
            if self.chunked {
                return Err("Transfer-Encoding is given twice");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding is something else than `chunked`");
            }
            self.chunked = true;
        } else if is(b"host") {
            self.hosts += 1;
        }
        if self.chunked && self.length.is_some() {
            return Err("both Content-Length and Transfer-Encoding are given");
        }
        if self.hosts > 1 {
            return Err("Host is given twice");
        }
        Ok(())
    }

    fn body(self) -> Place {
        match (self.chunked, self.length) {
            (true, _) => Place::ChunkSize,
            (false, None | Some(0)) => Place::Head,
            (false, Some(length)) => Place::Body(length),
        }
    }
}

/// A stream whose incoming bytes are followed, and which ends when its beginning, or the rest of a head, does not come.
pub(crate) struct Followed<S> {
    stream: S,
    framing: Framing,
    fault: FirstFault,
    /// How long a head may take.
    patience: Duration,
    /// Rings when a head takes longer; `None` where none is expected. hyper's own clock runs between requests, too, and
    /// is set for those.
    head_due: Option<Pin<Box<Sleep>>>,
    received_bytes: usize,
    /// Rings when the client has taken nothing for too long; `None` while it takes what comes.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Followed<S> {
    pub(crate) fn new(stream: S, fault: FirstFault, patience: Duration) -> Self {
        Self {
            stream,
            framing: Framing::new(),
            fault,
            patience,
            head_due: Some(Box::pin(tokio::time::sleep(patience))),
            received_bytes: 0,
            stalled: None,
        }
    }

    /// What became of a write, unless the client has taken nothing for too long.
    fn unless_stalled<T>(
        &mut self,
        written: Poll<std::io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let sleep = || Box::pin(tokio::time::sleep(WRITE_STALL));
        let stalled = self.stalled.get_or_insert_with(sleep);
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// Sets the clock where a head has begun, and stops it where one has ended.
    fn watch_head(&mut self) {
        if !self.framing.is_in_head(self.received_bytes) {
            self.head_due = None;
        } else if self.head_due.is_none() {
            self.head_due = Some(Box::pin(tokio::time::sleep(self.patience)));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_pending()
            && let Some(head_due) = &mut this.head_due
            && head_due.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        ready!(read)?;
        this.received_bytes = this
            .received_bytes
            .saturating_add(buffer.filled().len() - before);
        if let Err(fault) = this.framing.feed(&buffer.filled()[before..]) {
            this.framing.place = Place::Over;
            // It is the first: after it, nothing is looked at.
            let _ = this.fault.0.set(fault);
        }
        this.watch_head();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(written, context)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.unless_stalled(flushed, context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stalled(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
