//! A stream's events, each at its time, and what goes wrong with them.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use super::{Cut, Mock, Reset, fault::Fault};
use crate::answers::Dialect;

/// An event that is no JSON.
const MALFORMED: &[u8] = b"data: {\"id\": \"chatcmpl-\"oops}\n\n";
/// What is written before a cut has this long to leave.
pub(super) const FLUSH: Duration = Duration::from_millis(5);

/// The events of one stream, each written at its time.
pub(crate) struct Events {
    mock: Arc<Mock>,
    dialect: Dialect,
    usage: bool,
    fault: Option<Fault>,
    reset: Reset,
    /// Tokens sent; after the last comes the close.
    sent: usize,
    ended: bool,
    /// The connection ends with the timer.
    is_cut: bool,
    timer: Option<Pin<Box<Sleep>>>,
    next_at: Instant,
}

/// What comes next.
enum Next {
    Data(Bytes),
    /// The connection ends.
    Cut,
    /// Something, when the timer has run out.
    Later,
    /// Nothing, for ever.
    Silence,
}

impl Events {
    pub(super) fn new(
        mock: Arc<Mock>,
        dialect: Dialect,
        usage: bool,
        fault: Option<Fault>,
        reset: Reset,
    ) -> Self {
        mock.forget_steps();
        let delay = Duration::from_millis(mock.pace.first_token_ms);
        let next_at = Instant::now() + delay;
        let timer = (!delay.is_zero()).then(|| Box::pin(tokio::time::sleep_until(next_at)));
        Self {
            mock,
            dialect,
            usage,
            fault,
            reset,
            sent: 0,
            ended: false,
            is_cut: false,
            timer,
            next_at,
        }
    }

    /// The next piece, unless a fault strikes here.
    fn next(&mut self) -> Next {
        if self.is_cut {
            return Next::Cut;
        }
        let strikes = self.sent == self.mock.faults.options.fault_token;
        match strikes.then_some(self.fault).flatten() {
            Some(Fault::Stall) => Next::Silence,
            Some(Fault::Reset) => {
                self.reset.store(true, Relaxed);
                self.cut();
                Next::Later
            }
            Some(Fault::Half) => {
                let whole = self.mock.canned(self.dialect, None).token.clone();
                self.cut();
                Next::Data(whole.slice(..whole.len() / 2))
            }
            Some(Fault::Malformed) => {
                self.sent += 1;
                self.arm();
                Next::Data(Bytes::from_static(MALFORMED))
            }
            _ => Next::Data(self.piece()),
        }
    }

    /// Ends the connection when what was written has left.
    fn cut(&mut self) {
        self.is_cut = true;
        self.timer = Some(Box::pin(tokio::time::sleep(FLUSH)));
    }

    fn piece(&mut self) -> Bytes {
        let canned = self.mock.canned(self.dialect, self.fault);
        let tokens = self.mock.pace.tokens;
        let (bytes, events) = if self.sent == 0 {
            (canned.first.clone(), canned.first_events)
        } else if self.sent < tokens {
            (canned.token.clone(), 1)
        } else if self.usage {
            (
                canned.close_with_usage.clone(),
                canned.close_events + u64::from(self.dialect == Dialect::Openai),
            )
        } else {
            (canned.close.clone(), canned.close_events)
        };
        self.ended = self.sent > 0 && self.sent >= tokens;
        self.sent += 1;
        let stats = &self.mock.stats;
        stats.events.fetch_add(events, Relaxed);
        if self.ended {
            stats.served.fetch_add(1, Relaxed);
        } else {
            self.arm();
        }
        bytes
    }

    /// Waits until the next piece is due.
    fn arm(&mut self) {
        // The close comes with the last token, as vendors send it.
        let gap_ms = if self.sent >= self.mock.pace.tokens {
            0
        } else {
            self.mock.pace.gap_ms(self.sent)
        };
        self.next_at += Duration::from_millis(gap_ms);
        if gap_ms == 0 {
            self.timer = None;
        } else if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(self.next_at);
        } else {
            self.timer = Some(Box::pin(tokio::time::sleep_until(self.next_at)));
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            if self.mock.poll_step(self.sent, cx).is_pending() {
                return Poll::Pending;
            }
            match self.next() {
                Next::Data(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Next::Cut => return Poll::Ready(Some(Err(Cut))),
                Next::Later => {}
                // The connection's end drops it.
                Next::Silence => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.ended {
            self.mock.stats.aborted.fetch_add(1, Relaxed);
        }
    }
}
