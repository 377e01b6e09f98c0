//! Server-sent events: bytes into frames, and frames into bytes.
//!
//! Frames end with a blank line; lines end with `\n`, `\r\n` or `\r`. However the bytes are cut
//! into pushes, the frames are the same.

use bytes::{Bytes, BytesMut};
use freehold_types::{Error, ErrorKind};
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// The largest frame. Images made by a model can be several MiB; nothing legitimate is larger.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
    /// Bytes of the buffer already looked at.
    scanned: usize,
    /// Where the line that is being scanned starts.
    line_start: usize,
}

impl Framer {
    /// Takes more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, its blank line included.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(offset) = memchr2(b'\n', b'\r', rest) else {
                self.scanned = self.buffer.len();
                return self.wait();
            };
            let line_end = self.scanned + offset;
            let after = match (self.buffer[line_end], self.buffer.get(line_end + 1)) {
                (b'\r', Some(b'\n')) => line_end + 2,
                // Whether this `\r` is half of a `\r\n` is not known yet.
                (b'\r', None) => {
                    self.scanned = line_end;
                    return self.wait();
                }
                _ => line_end + 1,
            };
            let blank = line_end == self.line_start;
            self.scanned = after;
            self.line_start = after;
            if blank {
                return Ok(Some(self.cut(after)));
            }
        }
    }

    /// What is left when the stream closes, completed to a frame; `None` when nothing but white
    /// space is left.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        if self.buffer.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        self.buffer.extend_from_slice(b"\n\n");
        let length = self.buffer.len();
        Some(self.cut(length))
    }

    fn cut(&mut self, length: usize) -> Bytes {
        self.scanned = 0;
        self.line_start = 0;
        self.buffer.split_to(length).freeze()
    }

    fn wait(&self) -> Result<Option<Bytes>, Error> {
        if self.buffer.len() > FRAME_BYTES_MAX {
            let message =
                format!("the upstream sent an event of more than {FRAME_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::BadUpstream, message));
        }
        Ok(None)
    }
}

/// What a frame says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message<'f> {
    /// The `event` field.
    pub(crate) event: Option<&'f [u8]>,
    /// The `data` fields, joined with `\n`; `None` when there was none (a comment).
    pub(crate) data: Option<Cow<'f, [u8]>>,
}

/// Reads a frame.
pub(crate) fn read(frame: &[u8]) -> Message<'_> {
    let mut message = Message::default();
    let mut rest = frame.strip_prefix(BYTE_ORDER_MARK).unwrap_or(frame);
    while !rest.is_empty() {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        let skip = match rest.get(end..end + 2) {
            Some(b"\r\n") => 2,
            _ => 1,
        };
        rest = rest.get(end + skip..).unwrap_or_default();
        let (name, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => message.event = Some(value),
            b"data" => match &mut message.data {
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => message.data = Some(Cow::Borrowed(value)),
            },
            _ => {}
        }
    }
    message
}

/// Appends a frame of one JSON value; `event` only where the dialect names its events.
pub(crate) fn write(out: &mut Vec<u8>, event: Option<&str>, data: &impl serde::Serialize) {
    let start = out.len();
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    if serde_json::to_writer(&mut *out, data).is_err() {
        // Only a map with keys that are not strings fails, and none is ever written; half a frame
        // must not go out all the same.
        out.truncate(start);
        return;
    }
    out.extend_from_slice(b"\n\n");
}
