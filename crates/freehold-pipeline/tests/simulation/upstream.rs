//! A backend that does what the dice say, and keeps count of what it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freehold_ports::{Backend, BoxFuture, Call, Chunk, ChunkStream, Probe, Timeouts};
use freehold_types::{
    BackendId, Delta, DeploymentId, Error, ErrorKind, Event, Extra, FinishReason, PartKind,
    RequestId, Retry, Site, Usage, UsageBasis,
};
use parking_lot::Mutex;

use super::dice::Dice;
use super::world::Trace;

/// Tokens that a vendor takes a prompt for: nearly the most that it can be.
pub(crate) const INPUT_TOKENS: u64 = 50;
/// Each is about one token to a guess.
const WORDS: [&str; 7] = [
    " hello", " to", " every", " body", " here", " and", " there",
];
const KINDS: [ErrorKind; 14] = [
    ErrorKind::InvalidRequest,
    ErrorKind::Unsupported,
    ErrorKind::ContextOverflow,
    ErrorKind::TooLarge,
    ErrorKind::PermissionDenied,
    ErrorKind::NotFound,
    ErrorKind::RateLimited,
    ErrorKind::Overloaded,
    ErrorKind::Timeout,
    ErrorKind::Unavailable,
    ErrorKind::BadUpstream,
    ErrorKind::UpstreamAuth,
    ErrorKind::ContentFiltered,
    ErrorKind::Internal,
];

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody knows yet whether it is taken. Stays so when the caller gives it up.
    Asked,
    /// It was refused, or failed, before an answer.
    Refused,
    /// An answer is under way.
    Answering,
    /// The answer broke off.
    Broken,
    /// The answer is whole.
    Whole,
}

/// What an upstream knows of one call.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) request: RequestId,
    pub(crate) deployment: DeploymentId,
    pub(crate) is_inside: bool,
    pub(crate) stage: Stage,
    /// A connection that had been kept was closed as it went out.
    pub(crate) is_stale: bool,
    /// Pieces of the answer that were handed over.
    pub(crate) words: Vec<&'static str>,
    /// Whether anything at all was handed over.
    pub(crate) begun: bool,
    /// What was told of the usage, so far.
    pub(crate) told: Option<Usage>,
    /// Still held by the caller.
    pub(crate) is_open: bool,
    /// Calls of the same request that were open when this one came, itself included.
    pub(crate) at_once: usize,
}

/// What all upstreams of a schedule know.
#[derive(Default)]
pub(crate) struct Counts(Mutex<Vec<Counted>>);

impl Counts {
    pub(crate) fn all(&self) -> Vec<Counted> {
        self.0.lock().clone()
    }

    pub(crate) fn of(&self, request: RequestId) -> Vec<Counted> {
        let calls = self.0.lock();
        let of = calls.iter().filter(|call| call.request == request);
        of.cloned().collect()
    }

    fn open(&self, call: &Call, site: &Site) -> usize {
        let mut calls = self.0.lock();
        let others = calls.iter();
        let others = others.filter(|other| other.is_open && other.request == call.id);
        let at_once = others.count() + 1;
        calls.push(Counted {
            request: call.id,
            deployment: call.deployment.id.clone(),
            is_inside: *site == Site::inside(),
            stage: Stage::Asked,
            is_stale: false,
            words: vec![],
            begun: false,
            told: None,
            is_open: true,
            at_once,
        });
        calls.len() - 1
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Counted)) {
        change(&mut self.0.lock()[number]);
    }
}

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Whole,
    /// Nothing more comes until the time for that is over.
    Stalls,
    /// The stream just ends.
    Stops,
    Fails(ErrorKind),
    Panics,
    /// Nothing more comes, ever, and nobody minds.
    Hangs,
}

/// What is told of the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Nothing,
    AtTheEnd,
    /// The prompt when it begins, everything at the end.
    Twice,
}

/// What happens to one call.
#[derive(Clone, Debug)]
enum Fate {
    Refuses(Error),
    NeverAccepts,
    PanicsAtOnce,
    Answers(Part),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    words: usize,
    pace_ms: u64,
    end: End,
    /// Where an answer that is not whole ends: after so many pieces, its opening being the first.
    at: usize,
    tells: Tells,
    /// Everything in one piece.
    at_once: bool,
}

/// One backend.
pub(crate) struct Upstream {
    pub(crate) id: BackendId,
    pub(crate) site: Site,
    pub(crate) dice: Dice,
    /// One call in so many goes wrong.
    pub(crate) trouble: u64,
    /// So many kept connections are closed still, just as something goes out on them.
    pub(crate) closing: AtomicU64,
    pub(crate) counts: Arc<Counts>,
    pub(crate) trace: Arc<Trace>,
}

impl Upstream {
    fn error(&self) -> Error {
        let error = Error::new(self.dice.pick(&KINDS), "scripted");
        match self.dice.number(0..4) {
            0 => error.with_retry(Retry::After(Duration::from_millis(
                self.dice.number(0..60_000),
            ))),
            1 => error.with_retry(Retry::Soon),
            _ => error,
        }
    }

    fn fate(&self, stream: bool, words_max: u64) -> Fate {
        let dice = &self.dice;
        if dice.mishap(40) {
            self.closing.store(dice.number(1..7), Ordering::Relaxed);
        }
        let fewer = |closing: u64| closing.checked_sub(1);
        let order = Ordering::Relaxed;
        if dice.mishap(1) && self.closing.fetch_update(order, order, fewer).is_ok() {
            let error = Error::new(ErrorKind::Unavailable, "it closed the connection");
            return Fate::Refuses(error.with_code(Error::CONNECTION_STALE));
        }
        let is_well = !dice.mishap(self.trouble);
        let words = usize::try_from(dice.number(1..words_max + 1)).unwrap();
        let end = match dice.number(0..10) {
            _ if is_well => End::Whole,
            0 | 1 => return Fate::Refuses(self.error()),
            2 => return Fate::NeverAccepts,
            3 => return Fate::PanicsAtOnce,
            4 | 5 => End::Stalls,
            6 => End::Stops,
            7 => End::Fails(dice.pick(&KINDS)),
            8 => End::Panics,
            _ => End::Hangs,
        };
        Fate::Answers(Part {
            words,
            pace_ms: dice.pause_ms() / 10,
            end,
            // Often just after the opening, which the client has not seen and the upstream may bill.
            at: if dice.one_in(3) {
                1
            } else {
                dice.index(words + 2)
            },
            tells: dice.pick(&[
                Tells::Nothing,
                Tells::AtTheEnd,
                Tells::AtTheEnd,
                Tells::Twice,
            ]),
            at_once: !stream && !dice.one_in(4),
        })
    }

    async fn answer(&self, call: Call, number: usize) -> Result<ChunkStream, Error> {
        let lent = Lent {
            number,
            counts: Arc::clone(&self.counts),
            trace: Arc::clone(&self.trace),
        };
        let words_max = call.request.sampling.max_output_tokens.unwrap_or(30);
        let fate = self.fate(call.request.stream, words_max);
        let accepted_after = Duration::from_millis(self.dice.pause_ms());
        self.trace.note(format_args!(
            "call {number} of {} to {}: {fate:?} after {accepted_after:?}",
            call.id, call.deployment.id
        ));
        let timeouts = call.timeouts;
        if accepted_after >= timeouts.first_byte {
            return Err(lent.refused(no_answer(timeouts.first_byte).await));
        }
        tokio::time::sleep(accepted_after).await;
        match fate {
            Fate::Refuses(error) => Err(lent.refused(error)),
            Fate::NeverAccepts => {
                let left = timeouts.first_byte - accepted_after;
                Err(lent.refused(no_answer(left).await))
            }
            Fate::PanicsAtOnce => {
                lent.refused(Error::new(ErrorKind::Internal, "scripted"));
                panic!("scripted: a backend");
            }
            Fate::Answers(part) => {
                lent.change(|call| call.stage = Stage::Answering);
                Ok(playing(lent, part, timeouts))
            }
        }
    }
}

async fn no_answer(after: Duration) -> Error {
    tokio::time::sleep(after).await;
    Error::new(ErrorKind::Timeout, "scripted: no answer in time")
}

/// One call, until its caller lets go of it.
struct Lent {
    number: usize,
    counts: Arc<Counts>,
    trace: Arc<Trace>,
}

impl Lent {
    fn change(&self, change: impl FnOnce(&mut Counted)) {
        self.counts.change(self.number, change);
    }

    fn refused(&self, error: Error) -> Error {
        self.change(|call| {
            call.stage = Stage::Refused;
            call.is_stale = error.code.as_deref() == Some(Error::CONNECTION_STALE);
        });
        error
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.change(|call| call.is_open = false);
        self.trace
            .note(format_args!("call {} is let go", self.number));
    }
}

/// An answer being given: piece 0 opens it, then one word each, then what closes it.
struct Playing {
    lent: Lent,
    part: Part,
    timeouts: Timeouts,
    next: usize,
    is_over: bool,
}

fn playing(lent: Lent, part: Part, timeouts: Timeouts) -> ChunkStream {
    let playing = Playing {
        lent,
        part,
        timeouts,
        next: 0,
        is_over: false,
    };
    Box::pin(futures_util::stream::unfold(
        playing,
        |mut playing| async move {
            if playing.is_over {
                return None;
            }
            let item = playing.piece().await?;
            Some((item, playing))
        },
    ))
}

impl Playing {
    async fn piece(&mut self) -> Option<Result<Chunk, Error>> {
        let Part {
            words,
            pace_ms,
            end,
            at,
            at_once,
            ..
        } = self.part;
        let ends_here = !matches!(end, End::Whole) && (at_once || self.next == at);
        if ends_here {
            self.lent.change(|call| call.stage = Stage::Broken);
            self.is_over = true;
            return self.broken().await;
        }
        let pieces = if at_once { words as u64 } else { 1 };
        tokio::time::sleep(Duration::from_millis(pace_ms * pieces)).await;
        let mut events = vec![];
        let last = words + 1;
        let from = self.next;
        let to = if at_once { last } else { from };
        self.next = to + 1;
        for piece in from..=to {
            self.write(piece, &mut events);
        }
        self.is_over = to == last;
        Some(Ok(Chunk {
            events: events.into(),
            ..Chunk::default()
        }))
    }

    fn write(&self, piece: usize, events: &mut Vec<Event>) {
        let Part { words, tells, .. } = self.part;
        let number = self.lent.number;
        let mut told = None;
        if piece == 0 {
            events.push(Event::Start {
                id: format!("call-{number}"),
                model: "reported".to_owned(),
                created_s: None,
                extra: Extra::new(),
            });
            events.push(Event::PartStart {
                choice: 0,
                part: 0,
                kind: PartKind::Text,
            });
            told = (tells == Tells::Twice).then(|| usage(0));
        } else if piece <= words {
            let word = WORDS[(piece + number) % WORDS.len()];
            self.lent.change(|call| call.words.push(word));
            events.push(Event::PartDelta {
                choice: 0,
                part: 0,
                delta: Delta::Text {
                    text: word.to_owned(),
                    logprobs: vec![],
                },
            });
        } else {
            events.push(Event::Finish {
                choice: 0,
                reason: FinishReason::Stop,
                stop_sequence: None,
            });
            told = (tells != Tells::Nothing).then(|| usage(words as u64));
        }
        events.extend(told.map(Event::Usage));
        let is_whole = piece > words;
        if is_whole {
            events.push(Event::End);
        }
        self.lent.change(|call| {
            call.begun = true;
            call.told = told.or(call.told);
            if is_whole {
                call.stage = Stage::Whole;
            }
        });
    }

    async fn broken(&self) -> Option<Result<Chunk, Error>> {
        match self.part.end {
            End::Whole | End::Stops => None,
            End::Stalls => {
                tokio::time::sleep(self.timeouts.idle).await;
                let error = Error::new(ErrorKind::Timeout, "scripted: it stalls");
                Some(Err(error))
            }
            End::Fails(kind) => Some(Err(Error::new(kind, "scripted"))),
            End::Panics => panic!("scripted: a stream"),
            End::Hangs => std::future::pending().await,
        }
    }
}

fn usage(output_tokens: u64) -> Usage {
    Usage {
        input_tokens: INPUT_TOKENS,
        output_tokens,
        basis: UsageBasis::Reported,
        ..Usage::default()
    }
}

impl Backend for Upstream {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn start(&self, call: Call) -> BoxFuture<'_, Result<ChunkStream, Error>> {
        Box::pin(async move {
            call.check(&self.id, &self.site)?;
            let number = self.counts.open(&call, &self.site);
            self.answer(call, number).await
        })
    }

    fn count_tokens(&self, call: Call) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        Box::pin(async move {
            call.check(&self.id, &self.site)?;
            tokio::time::sleep(Duration::from_millis(self.dice.pause_ms())).await;
            match self.dice.number(0..4) {
                0 => Ok(None),
                1 => Err(self.error()),
                2 if self.dice.one_in(4) => panic!("scripted: a count"),
                _ => Ok(Some(INPUT_TOKENS)),
            }
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Error>> {
        Box::pin(async { Ok(Probe::default()) })
    }
}
