//! A client: what it asks, when it leaves, how it reads, and what it saw.

use std::sync::Arc;
use std::time::Duration;

use freehold_pipeline::{Admission, AnswerBody, ChunkReceiver};
use freehold_policy::Claim;
use freehold_types::{
    Delta, Dialect, ErrorKind, Event, Message, Request, RequestId, Role, Sensitivity,
};

use super::dice::Dice;
use super::world::{FREE, TIGHT, World};

/// Longer than anything lasts that is bounded.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Patient,
    /// Goes away after so many milliseconds, whatever it has.
    Leaves(u64),
    /// Goes away after so many pieces.
    LeavesAt(usize),
    /// Waits so many milliseconds before each piece.
    Slow(u64),
    /// Reads so many pieces, then nothing for so many milliseconds, then the rest.
    Sleeps(usize, u64),
}

/// One request to come.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) comes_ms: u64,
    pub(crate) key: &'static str,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) counts: bool,
    pub(crate) claim: Claim,
    pub(crate) tokens_max: u64,
    pub(crate) manner: Manner,
}

/// What a client saw of its request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) client: Client,
    pub(crate) id: RequestId,
    pub(crate) text: String,
    /// The ends that it was told: errors, or none for a whole answer.
    pub(crate) ends: Vec<Option<ErrorKind>>,
    /// What came after the end.
    pub(crate) after_the_end: usize,
    /// Whether it went away before the end.
    pub(crate) left: bool,
    /// Answers that were opened.
    pub(crate) opened: usize,
}

impl Client {
    pub(crate) fn draw(number: usize, dice: &Dice, deployments: &[String]) -> Self {
        let manner = match dice.number(0..10) {
            0 | 1 => Manner::Leaves(dice.pause_ms() * dice.pick(&[1, 1, 10])),
            2 => Manner::LeavesAt(dice.index(12)),
            3 => Manner::Slow(dice.pause_ms()),
            4 => Manner::Sleeps(dice.index(10), dice.number(0..700_000)),
            _ => Manner::Patient,
        };
        let model = match dice.number(0..12) {
            0 => "nothing-of-the-kind".to_owned(),
            1 | 2 => deployments[dice.index(deployments.len())].clone(),
            _ => "route".to_owned(),
        };
        Self {
            number,
            comes_ms: dice.pause_ms() * dice.pick(&[1, 1, 3, 12]),
            key: dice.pick(&[FREE, TIGHT, TIGHT]),
            model,
            stream: !dice.one_in(3),
            counts: dice.one_in(20),
            claim: dice.pick(&[
                Claim::None,
                Claim::None,
                Claim::Label(Sensitivity::Public),
                Claim::Label(Sensitivity::Confidential),
                Claim::Label(Sensitivity::Restricted),
                Claim::Unreadable,
            ]),
            tokens_max: dice.pick(&[2, 8, 30, 30]),
            manner,
        }
    }

    fn admission(&self, world: &World) -> Admission {
        let text = vec![Message::text(Role::User, "say hello to everybody here")];
        let mut request = Request::new(Dialect::OpenaiChat, &self.model, text);
        request.stream = self.stream;
        request.sampling.max_output_tokens = Some(self.tokens_max);
        Admission {
            id: world.id(self.number),
            started_unix_ms: world.unix_ms(),
            received: world.monotonic(),
            claim: self.claim,
            conversation: None,
            flow: None,
            account: world.account(self.key),
            request,
            traceparent: None,
            betas: None,
            mirror: None,
        }
    }

    /// Comes, asks, reads and goes.
    pub(crate) async fn live(self, world: Arc<World>) -> Seen {
        tokio::time::sleep(Duration::from_millis(self.comes_ms)).await;
        let admission = self.admission(&world);
        world
            .trace
            .note(format_args!("{} comes: {self:?}", admission.id));
        let mut seen = Seen {
            client: self.clone(),
            id: admission.id,
            text: String::new(),
            ends: vec![],
            after_the_end: 0,
            left: false,
            opened: 0,
        };
        let asking = seen.ask(&world, admission);
        match self.manner {
            Manner::Leaves(after_ms) => {
                let after = Duration::from_millis(after_ms);
                let asked = tokio::time::timeout(after, asking).await;
                seen.left = asked.is_err() && seen.ends.is_empty();
            }
            _ => {
                // Nobody waits for ever, also where a backend does.
                let asked = tokio::time::timeout(PATIENCE, asking).await;
                seen.left = seen.left || (asked.is_err() && seen.ends.is_empty());
            }
        }
        world.trace.note(format_args!("{seen:?}"));
        seen
    }
}

impl Seen {
    async fn ask(&mut self, world: &World, admission: Admission) {
        if self.client.counts {
            let counted = world.pipeline.count_tokens(admission).await;
            self.ends.push(counted.err().map(|error| error.kind));
            return;
        }
        match world.pipeline.serve(admission, |_| 599).await {
            Err(failure) => self.ends.push(Some(failure.error.kind)),
            Ok(answer) => match answer.body {
                AnswerBody::Whole(chunk) => self.take(&chunk.events),
                AnswerBody::Stream(chunks) => self.read(chunks).await,
            },
        }
    }

    async fn read(&mut self, mut chunks: ChunkReceiver) {
        let mut pieces = 0;
        loop {
            match self.client.manner {
                Manner::LeavesAt(at) if at == pieces => {
                    self.left = self.ends.is_empty();
                    return;
                }
                Manner::Slow(pause_ms) => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Manner::Sleeps(at, pause_ms) if at == pieces => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                _ => {}
            }
            let Some(item) = chunks.recv().await else {
                return;
            };
            pieces += 1;
            self.after_the_end += usize::from(!self.ends.is_empty());
            match item {
                Ok(chunk) => self.take(&chunk.events),
                Err(error) => self.ends.push(Some(error.kind)),
            }
        }
    }

    fn take(&mut self, events: &[Event]) {
        for event in events {
            self.after_the_end += usize::from(!self.ends.is_empty());
            match event {
                Event::Start { .. } => self.opened += 1,
                Event::PartDelta {
                    delta: Delta::Text { text, .. },
                    ..
                } => self.text.push_str(text),
                Event::End => self.ends.push(None),
                _ => {}
            }
        }
    }
}
