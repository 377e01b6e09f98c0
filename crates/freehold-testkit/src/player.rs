//! Plays an answer chunk by chunk: gates, delays, faults, and the running count of what was sent.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::{
    answer::{Answer, Finish, Step},
    anthropic,
    connection::ConnectionControl,
    errors::VendorError,
    openai,
    record::{RecordGuard, RequestEnd, UsageCount},
    request::{Ask, Surface},
    script::{Fault, ReportedUsage, Script},
};

/// Answers are dated 2025-10-09, so that the same requests give the same bytes.
const CREATED_S: u64 = 1_760_000_000;

/// All that the writers of a protocol need to know.
pub(crate) struct Reply {
    pub(crate) surface: Surface,
    pub(crate) serial: u64,
    pub(crate) created_s: u64,
    pub(crate) model: String,
    pub(crate) choices: usize,
    pub(crate) logprobs: bool,
    pub(crate) include_usage: bool,
    pub(crate) finish: Finish,
    pub(crate) reported: Option<UsageCount>,
    pub(crate) without_end: bool,
    pub(crate) thinking_field: String,
}

impl Reply {
    pub(crate) fn new(ask: &Ask<'_>, script: &Script, answer: &Answer, serial: u64) -> Self {
        let reported = match script.usage.report {
            ReportedUsage::Counted => Some(answer.usage),
            ReportedUsage::Missing => None,
            ReportedUsage::Zero => Some(UsageCount::default()),
            ReportedUsage::Wrong {
                prompt_tokens,
                completion_tokens,
            } => Some(UsageCount {
                prompt_tokens,
                completion_tokens,
                ..UsageCount::default()
            }),
        };
        Self {
            surface: ask.surface,
            serial,
            created_s: CREATED_S,
            model: ask.model().to_owned(),
            choices: if ask.surface.is_anthropic() {
                1
            } else {
                ask.choices()
            },
            logprobs: ask.logprobs(),
            include_usage: ask.include_usage(),
            finish: answer.finish.clone(),
            reported,
            without_end: script.fault == Some(Fault::MissingDone),
            thinking_field: script
                .thinking_field
                .clone()
                .unwrap_or_else(|| "reasoning_content".to_owned()),
        }
    }

    /// The whole answer as one JSON body.
    pub(crate) fn body(&self, answer: &Answer) -> Vec<u8> {
        let body = if self.surface.is_anthropic() {
            anthropic::body(self, answer)
        } else {
            openai::body(self, answer)
        };
        body.to_string().into_bytes()
    }
}

/// One chunk, ready to be written.
struct Chunk {
    bytes: Vec<u8>,
    tokens: u64,
    /// Of these, reasoning.
    reasoning: u64,
}

/// Where chunks come from: the steps of a stream, or the halves of a body.
enum Source {
    Steps {
        reply: Box<Reply>,
        blocks: anthropic::Blocks,
        steps: VecDeque<Step>,
    },
    Halves {
        halves: VecDeque<Vec<u8>>,
        tokens: u64,
        reasoning: u64,
    },
}

impl Source {
    fn next(&mut self) -> Option<Chunk> {
        match self {
            Self::Steps {
                reply,
                blocks,
                steps,
            } => {
                let step = steps.pop_front()?;
                let tokens = if step.is_token() {
                    reply.choices as u64
                } else {
                    0
                };
                let reasoning = if matches!(step, Step::Thinking(_)) {
                    tokens
                } else {
                    0
                };
                let bytes = if reply.surface.is_anthropic() {
                    anthropic::event(reply, blocks, &step)
                } else {
                    openai::event(reply, &step)
                };
                Some(Chunk {
                    bytes,
                    tokens,
                    reasoning,
                })
            }
            // The upstream has generated all tokens before it writes the first half.
            Self::Halves {
                halves,
                tokens,
                reasoning,
            } => Some(Chunk {
                bytes: halves.pop_front()?,
                tokens: std::mem::take(tokens),
                reasoning: std::mem::take(reasoning),
            }),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Steps { steps, .. } => steps.is_empty(),
            Self::Halves { halves, .. } => halves.is_empty(),
        }
    }

    fn surface_and_serial(&self) -> Option<(Surface, u64)> {
        match self {
            Self::Steps { reply, .. } => Some((reply.surface, reply.serial)),
            Self::Halves { .. } => None,
        }
    }
}

/// What to do once the pieces in hand are written.
enum Then {
    Continue,
    EndFaulted,
    Break { reset: bool },
}

/// A response body in the making.
pub(crate) struct Player {
    source: Source,
    script: Script,
    usage_before: UsageCount,
    index: usize,
    pieces: VecDeque<Bytes>,
    then: Then,
    guard: RecordGuard,
    control: Arc<ConnectionControl>,
}

impl Player {
    /// Plays the chunks of a stream.
    pub(crate) fn streamed(
        reply: Reply,
        answer: Answer,
        script: Script,
        guard: RecordGuard,
        control: Arc<ConnectionControl>,
    ) -> Self {
        let usage_before = answer.usage_before;
        let blocks = anthropic::Blocks::default();
        let source = Source::Steps {
            reply: Box::new(reply),
            blocks,
            steps: answer.steps.into(),
        };
        Self::new(source, script, usage_before, guard, control)
    }

    /// Plays a body in two halves; `tokens` of them were generated for it.
    pub(crate) fn whole(
        body: Vec<u8>,
        answer: &Answer,
        script: Script,
        guard: RecordGuard,
        control: Arc<ConnectionControl>,
    ) -> Self {
        let (first, second) = body.split_at(body.len() / 2);
        let halves = VecDeque::from([first.to_vec(), second.to_vec()]);
        let tokens = answer.usage.completion_tokens - answer.usage_before.completion_tokens;
        let reasoning = answer.usage.reasoning_tokens - answer.usage_before.reasoning_tokens;
        Self::new(
            Source::Halves {
                halves,
                tokens,
                reasoning,
            },
            script,
            answer.usage_before,
            guard,
            control,
        )
    }

    fn new(
        source: Source,
        mut script: Script,
        usage_before: UsageCount,
        guard: RecordGuard,
        control: Arc<ConnectionControl>,
    ) -> Self {
        if script.fault == Some(Fault::TruncatedBody) {
            let at = match &source {
                Source::Steps { steps, .. } => steps.len() / 2,
                Source::Halves { .. } => 1,
            };
            script.fault = Some(Fault::Close { at });
        }
        let pieces = VecDeque::new();
        Self {
            source,
            script,
            usage_before,
            index: 0,
            pieces,
            then: Then::Continue,
            guard,
            control,
        }
    }

    /// The body as a stream of frames; dropping it early records that the client left.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut player| async move {
            let piece = player.next_piece().await?;
            Some((Ok(piece), player))
        })
    }

    async fn next_piece(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                if self.script.write_bytes.is_some() && self.index > 0 {
                    pause(self.script.pace.inter_token_ms).await;
                }
                self.guard
                    .update(|record| record.bytes_sent += piece.len() as u64);
                if self.pieces.is_empty()
                    && matches!(self.then, Then::Continue)
                    && self.source.is_over()
                {
                    self.guard.end(RequestEnd::Complete);
                }
                return Some(piece);
            }
            match self.then {
                Then::Continue if self.source.is_over() => {
                    self.guard.end(RequestEnd::Complete);
                    return None;
                }
                Then::Continue => self.next_chunk().await,
                Then::EndFaulted => {
                    self.guard.end(RequestEnd::Faulted);
                    return None;
                }
                Then::Break { reset } => {
                    self.guard.end(RequestEnd::Faulted);
                    if reset {
                        self.control.reset()
                    } else {
                        self.control.close()
                    }
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn next_chunk(&mut self) {
        let index = self.index;
        self.wait(index).await;
        let fault = self.script.fault.clone();
        match fault {
            Some(Fault::Reset { at }) if at == index => self.then = Then::Break { reset: true },
            Some(Fault::Close { at }) if at == index => self.then = Then::Break { reset: false },
            Some(Fault::End { at }) if at == index => self.then = Then::EndFaulted,
            Some(Fault::Stall { at }) if at == index => self.guard.stall().await,
            Some(Fault::HalfChunk { at, clean }) if at == index => {
                if let Some(chunk) = self.source.next() {
                    self.pieces.push_back(Bytes::copy_from_slice(
                        &chunk.bytes[..chunk.bytes.len() / 2],
                    ));
                }
                self.then = if clean {
                    Then::EndFaulted
                } else {
                    Then::Break { reset: false }
                };
            }
            Some(Fault::ErrorEvent { at, error_type }) if at == index => {
                self.pieces.push_back(self.error_event(error_type).into());
                self.then = Then::EndFaulted;
            }
            Some(Fault::MalformedSse { at }) if at == index => {
                self.replace_chunk(b"data: {\"id\": \"\xff\xfe\"}\n\n")
            }
            Some(Fault::MalformedJson { at }) if at == index => {
                self.replace_chunk(b"data: {\"id\":\"broken\",\"choices\":[{\n\n");
            }
            _ => self.send_chunk(),
        }
        self.index += 1;
    }

    async fn wait(&self, index: usize) {
        for _ in self.script.gates.iter().filter(|gate| **gate == index) {
            self.guard.gate().await;
        }
        let pace = &self.script.pace;
        match index {
            0 => pause(pace.first_token_ms).await,
            1 => {}
            _ => pause(pace.inter_token_ms).await,
        }
    }

    fn send_chunk(&mut self) {
        let Some(chunk) = self.source.next() else {
            return;
        };
        let before = self.usage_before;
        self.guard.update(|record| {
            record.chunks_sent += u64::from(!chunk.bytes.is_empty());
            record.tokens_sent += chunk.tokens;
            record.usage = UsageCount {
                completion_tokens: before.completion_tokens + record.tokens_sent,
                reasoning_tokens: record.usage.reasoning_tokens.max(before.reasoning_tokens)
                    + chunk.reasoning,
                ..before
            };
        });
        match self.script.write_bytes {
            Some(size) => self
                .pieces
                .extend(chunk.bytes.chunks(size.max(1)).map(Bytes::copy_from_slice)),
            None if chunk.bytes.is_empty() => {}
            None => self.pieces.push_back(chunk.bytes.into()),
        }
    }

    /// Takes a chunk's place without counting it as sent.
    fn replace_chunk(&mut self, bytes: &'static [u8]) {
        self.source.next();
        self.pieces.push_back(Bytes::from_static(bytes));
    }

    fn error_event(&self, error_type: Option<String>) -> Vec<u8> {
        let mut error = VendorError::of_status(529);
        error.error_type = error_type;
        let mut bytes = Vec::new();
        match self.source.surface_and_serial() {
            Some((surface, serial)) if surface.is_anthropic() => {
                anthropic::emit(
                    &mut bytes,
                    "error",
                    &error.anthropic(&format!("req_fake{serial:08x}")),
                );
            }
            Some(_) => {
                error.status = 500;
                bytes = format!("data: {}\n\n", error.openai()).into_bytes();
            }
            // The server replaces bodies that are not streamed.
            None => {}
        }
        bytes
    }
}

async fn pause(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}
