//! The socket under the HTTP server, with a switch to break it after what was written has gone out.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

const OPEN: u8 = 0;
const RESET: u8 = 1;
const CLOSE: u8 = 2;

/// Breaks one connection on request.
#[derive(Default)]
pub(crate) struct ConnectionControl {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl ConnectionControl {
    /// A TCP reset once everything written has left.
    pub(crate) fn reset(&self) {
        self.set(RESET);
    }

    /// A close (FIN) once everything written has left.
    pub(crate) fn close(&self) {
        self.set(CLOSE);
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

/// A TCP stream that obeys a [`ConnectionControl`].
///
/// HTTP servers flush after they have written, so breaking at the flush loses nothing that was sent before.
pub(crate) struct BreakableStream {
    stream: TcpStream,
    control: Arc<ConnectionControl>,
}

impl BreakableStream {
    pub(crate) fn new(stream: TcpStream, control: Arc<ConnectionControl>) -> Self {
        Self { stream, control }
    }
}

impl AsyncRead for BreakableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        *self.control.waker.lock() = Some(cx.waker().clone());
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BreakableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.control.state.load(Ordering::Acquire) {
            OPEN => return Pin::new(&mut self.stream).poll_flush(cx),
            RESET => self.stream.set_zero_linger()?,
            _ => {}
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
