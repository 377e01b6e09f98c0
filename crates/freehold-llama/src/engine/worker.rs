//! The owner thread: continuous batching over slots.
//!
//! Each step evaluates one token of every answer under way, then pieces of prompts that are still
//! being read. Reading a prompt, generating, and going on after a pause are one thing: a choice
//! has `tokens`, of which `decoded` are in the cache, and when the last one is evaluated the next
//! one is drawn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::draw::{self, Step};
use super::job::{ChoiceState, Job, Prepared};
use super::output::Output;
use super::sampler::Scratch;
use super::sequences::{self, Reuse, Sequences};
use super::stats::Meter;
use crate::error::RequestError;
use crate::settings::Resolved;

/// Room in the cache that a new request must find beyond its prompt.
const HEADROOM_TOKENS: usize = 256;
/// How often slow readers are looked at while nothing else can be done.
const STALL_PAUSE: Duration = Duration::from_millis(3);

/// What the owner thread is told.
pub(crate) enum Command {
    /// Serve a request.
    Generate(Box<Prepared>),
    /// Take no more requests and end: after those at hand, or at once.
    ShutDown {
        /// Whether the requests at hand are cut short.
        at_once: bool,
    },
}

/// The state of the owner thread.
pub(crate) struct Worker<'model> {
    model: &'model LlamaModel,
    context: LlamaContext<'model>,
    settings: Resolved,
    commands: Receiver<Command>,
    meter: Arc<Meter>,
    batch: LlamaBatch<'static>,
    rows: Vec<Row>,
    sequences: Sequences,
    /// Whether a sequence can be cut and copied in part (not so for recurrent models).
    can_reuse: bool,
    waiting: VecDeque<Job>,
    /// In the order of admission; the last one gives way when the cache is full.
    active: Vec<Job>,
    /// Answers that are complete but not yet read.
    leaving: Vec<Job>,
    scratch: Scratch,
    is_closing: bool,
    is_stalled: bool,
}

/// What a part of the batch belongs to.
#[derive(Clone, Copy, Debug)]
struct Row {
    job: usize,
    choice: usize,
    tokens: usize,
    /// Place in the batch whose scores decide on the next token; `None` in mid-prompt.
    scores: Option<i32>,
}

impl<'model> Worker<'model> {
    pub(crate) fn new(
        model: &'model LlamaModel,
        context: LlamaContext<'model>,
        settings: Resolved,
        commands: Receiver<Command>,
        meter: Arc<Meter>,
    ) -> Self {
        let capacity = settings.slots + settings.prefill_chunk_tokens;
        Self {
            batch: LlamaBatch::new(capacity, 1),
            rows: Vec::new(),
            sequences: Sequences::new(
                settings.slots,
                settings.kept_prefixes,
                settings
                    .kept_prefix_tokens
                    .min(settings.cache_tokens as usize / 2),
            ),
            can_reuse: !model.is_recurrent() && !model.is_hybrid(),
            waiting: VecDeque::new(),
            active: Vec::new(),
            leaving: Vec::new(),
            scratch: Scratch::default(),
            is_closing: false,
            is_stalled: false,
            model,
            context,
            settings,
            commands,
            meter,
        }
    }

    /// Serves until told to end, or until nobody holds the engine any more.
    pub(crate) fn run(mut self) {
        while self.receive() {
            self.sweep();
            self.admit();
            self.is_stalled = !self.step();
            self.retire();
            self.meter.publish(
                self.active.iter().map(Job::unfinished).sum(),
                self.sequences.kept_count(),
                self.sequences.kept_tokens(),
            );
        }
    }

    /// Takes commands. Waits for one only when there is nothing to do. False: end.
    fn receive(&mut self) -> bool {
        let is_idle = self.active.is_empty() && self.waiting.is_empty() && self.leaving.is_empty();
        if is_idle {
            if self.is_closing {
                return false;
            }
            match self.commands.recv() {
                Ok(command) => self.obey(command),
                Err(_) => return false,
            }
        } else if self.is_stalled {
            match self.commands.recv_timeout(STALL_PAUSE) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.is_closing = true;
                    std::thread::sleep(STALL_PAUSE);
                }
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.is_closing = true;
                    return true;
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Generate(prepared) => {
                let mut job = Job::new(*prepared);
                if self.is_closing {
                    job.fail(RequestError::ShutDown);
                } else {
                    self.waiting.push_back(job);
                }
            }
            Command::ShutDown { at_once } => {
                self.is_closing = true;
                if at_once {
                    for mut job in self.waiting.drain(..) {
                        job.fail(RequestError::ShutDown);
                    }
                    for mut job in std::mem::take(&mut self.active) {
                        job.fail(RequestError::ShutDown);
                    }
                    self.leaving.clear();
                }
            }
        }
    }

    /// Serves slow readers and drops what nobody reads any more.
    fn sweep(&mut self) {
        for job in self.active.iter_mut().chain(&mut self.leaving) {
            job.flush();
        }
        self.leaving
            .retain(|job| job.is_paused() && !job.is_abandoned());
        self.waiting.retain(|job| !job.is_abandoned());
        let mut index = 0;
        while index < self.active.len() {
            if self.active[index].is_abandoned() {
                let mut job = self.active.remove(index);
                self.empty_sequences(&mut job);
                self.meter.cancelled(&job);
            } else {
                index += 1;
            }
        }
    }

    /// Gives slots to waiting requests, first come, first served.
    fn admit(&mut self) {
        while let Some(front) = self.waiting.front() {
            if !self.active.is_empty() {
                let taken: usize = self.active.iter().map(Job::unfinished).sum();
                let held: usize = self
                    .active
                    .iter()
                    .map(|job| job.cache_need(HEADROOM_TOKENS))
                    .sum();
                let wanted = held + front.cache_need(HEADROOM_TOKENS);
                if taken + front.unfinished() > self.settings.slots
                    || wanted > self.settings.cache_tokens as usize
                    || front.deterministic
                    || self.active.iter().any(|job| job.deterministic)
                {
                    return;
                }
            }
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            self.begin(job);
        }
    }

    fn begin(&mut self, mut job: Job) {
        job.ticket = None;
        let is_isolated = job.deterministic || (job.seeded && self.active.is_empty());
        if is_isolated {
            // Where the cache's contents lie changes the last bits of the scores.
            self.forget_kept();
            if self.active.is_empty() {
                self.context.clear_kv_cache();
            }
        }
        let may_reuse = self.can_reuse && !job.deterministic && !job.seeded;
        for choice in 0..job.choices.len() {
            if job.choices[choice].state == ChoiceState::Finished {
                continue;
            }
            let reads_prompt = job.choices[choice].state == ChoiceState::Running;
            let (sequence, decoded) =
                self.open_sequence(&job.choices[choice].tokens, may_reuse && reads_prompt);
            job.choices[choice].sequence = sequence;
            job.choices[choice].decoded = decoded;
        }
        if job.started.is_none() {
            job.started = Some(Instant::now());
            let cached_tokens = u32::try_from(job.choices[0].decoded).unwrap_or(u32::MAX);
            job.counts.cached = cached_tokens;
            self.meter.started(&job);
            job.send(Output::Started {
                prompt_tokens: job.counts.prompt,
                cached_tokens,
            });
        }
        self.active.push(job);
    }

    /// A sequence for `tokens`, and how many of them it already holds.
    fn open_sequence(&mut self, tokens: &[i32], may_reuse: bool) -> (Option<i32>, usize) {
        if may_reuse {
            if let Some(opened) = self.copy_running(tokens) {
                return opened;
            }
            match self.sequences.reuse(tokens) {
                Some(Reuse::TakeOver { id, tokens }) => {
                    if self.cut(id, tokens) {
                        return (Some(id), tokens);
                    }
                    self.empty(id);
                    return (Some(id), 0);
                }
                Some(Reuse::Copy { id: from, tokens }) => {
                    return self.open_copy(from, tokens);
                }
                None => {}
            }
        }
        (self.sequences.take(), 0)
    }

    /// Begins like an answer that is under way, if that agrees better than anything kept.
    fn copy_running(&mut self, tokens: &[i32]) -> Option<(Option<i32>, usize)> {
        let usable = &tokens[..tokens.len().saturating_sub(1)];
        let (from, agreed) = self
            .active
            .iter()
            .flat_map(|job| &job.choices)
            .filter_map(|choice| {
                let held = &choice.tokens[..choice.decoded];
                Some((choice.sequence?, sequences::common_prefix(held, usable)))
            })
            .max_by_key(|(_, agreed)| *agreed)?;
        let is_best = sequences::is_useful(agreed) && agreed > self.sequences.best_kept(usable);
        is_best.then(|| self.open_copy(from, agreed))
    }

    fn open_copy(&mut self, from: i32, tokens: usize) -> (Option<i32>, usize) {
        let Some(id) = self.sequences.take() else {
            return (None, 0);
        };
        let end = u32::try_from(tokens).ok();
        match self.context.copy_kv_cache_seq(from, id, Some(0), end) {
            Ok(()) => (Some(id), tokens),
            Err(_) => (Some(id), 0),
        }
    }

    /// Evaluates one batch and draws from it. False when there was nothing to evaluate.
    fn step(&mut self) -> bool {
        loop {
            self.fill_batch();
            if self.rows.is_empty() {
                return false;
            }
            match self.context.decode(&mut self.batch) {
                Ok(()) => {
                    self.take_rows();
                    return true;
                }
                Err(DecodeError::NoKvCacheSlot) => self.make_room(),
                Err(error) => self.recover(&error.to_string()),
            }
        }
    }

    fn fill_batch(&mut self) {
        self.batch.clear();
        self.rows.clear();
        let mut prompt_budget = self.settings.prefill_chunk_tokens;
        for reads_prompt in [false, true] {
            for (job_index, job) in self.active.iter().enumerate() {
                if job.is_paused() {
                    continue;
                }
                for (choice_index, choice) in job.choices.iter().enumerate() {
                    let (ChoiceState::Running, Some(sequence)) = (choice.state, choice.sequence)
                    else {
                        continue;
                    };
                    let pending = choice.pending();
                    if pending == 0 || (pending > 1) != reads_prompt {
                        continue;
                    }
                    let count = if reads_prompt {
                        pending.min(prompt_budget)
                    } else {
                        1
                    };
                    if count == 0 {
                        continue;
                    }
                    if reads_prompt {
                        prompt_budget -= count;
                    }
                    let is_last = count == pending;
                    let mut added = 0;
                    for offset in 0..count {
                        let place = choice.decoded + offset;
                        let wants_scores = is_last && offset + 1 == count;
                        let token = LlamaToken(choice.tokens[place]);
                        let position = i32::try_from(place).unwrap_or(i32::MAX);
                        if self
                            .batch
                            .add(token, position, &[sequence], wants_scores)
                            .is_err()
                        {
                            break;
                        }
                        added += 1;
                    }
                    self.rows.push(Row {
                        job: job_index,
                        choice: choice_index,
                        tokens: added,
                        scores: (is_last && added == count).then(|| self.batch.n_tokens() - 1),
                    });
                }
            }
        }
    }

    /// Notes what is in the cache now, and draws the next tokens.
    fn take_rows(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            self.active[row.job].choices[row.choice].decoded += row.tokens;
            if row.scores.is_some() {
                self.fork(row.job, row.choice);
            }
        }
        for row in &rows {
            let Some(scores) = row.scores else {
                continue;
            };
            self.draw(row.job, row.choice, scores);
            if row.choice == 0 {
                for sibling in 1..self.active[row.job].choices.len() {
                    let choice = &self.active[row.job].choices[sibling];
                    if choice.state == ChoiceState::Running
                        && choice.generated == 0
                        && choice.pending() == 0
                    {
                        self.draw(row.job, sibling, scores);
                    }
                }
            }
        }
        self.rows = rows;
    }

    /// The first choice has read the prompt: the others go on from there.
    fn fork(&mut self, job: usize, choice: usize) {
        if choice != 0 {
            return;
        }
        let (Some(from), decoded) = (
            self.active[job].choices[0].sequence,
            self.active[job].choices[0].decoded,
        ) else {
            return;
        };
        for sibling in &mut self.active[job].choices[1..] {
            if sibling.state != ChoiceState::Forking {
                continue;
            }
            sibling.state = ChoiceState::Running;
            let Some(to) = sibling.sequence else {
                continue;
            };
            if self.context.copy_kv_cache_seq(from, to, None, None).is_ok() {
                sibling.decoded = decoded;
            }
        }
    }

    fn draw(&mut self, job_index: usize, choice_index: usize, scores: i32) {
        let Self {
            model,
            context,
            active,
            scratch,
            ..
        } = self;
        let job = &mut active[job_index];
        if job.choices[choice_index].state != ChoiceState::Running {
            return;
        }
        let scores = context.get_logits_ith(scores);
        match draw::next_token(model, job, choice_index, scores, scratch) {
            Ok(Step::Continue) => {}
            Ok(Step::End(reason)) => job.finish_choice(choice_index, reason),
            Err(error) => job.fail(error),
        }
    }

    /// Lets finished choices' slots go, and finished requests.
    fn retire(&mut self) {
        let mut index = 0;
        while index < self.active.len() {
            for choice in 0..self.active[index].choices.len() {
                if self.active[index].choices[choice].state == ChoiceState::Finished {
                    self.keep_or_empty(index, choice);
                }
            }
            if !self.active[index].is_finished() {
                index += 1;
                continue;
            }
            let mut job = self.active.remove(index);
            self.meter.finished(&job);
            job.finish();
            job.flush();
            if job.is_paused() {
                self.leaving.push(job);
            }
        }
    }

    fn keep_or_empty(&mut self, job: usize, choice: usize) {
        let may_keep = self.can_reuse && !self.active[job].deterministic;
        let choice = &mut self.active[job].choices[choice];
        let Some(id) = choice.sequence.take() else {
            return;
        };
        let mut tokens = std::mem::take(&mut choice.tokens);
        tokens.truncate(choice.decoded);
        choice.decoded = 0;
        if may_keep {
            for gone in self.sequences.keep(id, tokens) {
                self.empty(gone);
            }
        } else {
            self.empty(id);
            self.sequences.release(id);
        }
    }

    /// The cache is full: gives up what is kept, then the youngest request, which waits again.
    fn make_room(&mut self) {
        if let Some(id) = self.sequences.evict() {
            self.empty(id);
            return;
        }
        let Some(mut job) = self.active.pop() else {
            return;
        };
        self.empty_sequences(&mut job);
        if self.active.is_empty() {
            // It had the cache for itself.
            job.fail(RequestError::CacheExhausted);
            if job.is_paused() {
                self.leaving.push(job);
            }
        } else {
            tracing::debug!("the cache is full; the youngest request waits");
            self.waiting.push_front(job);
        }
    }

    /// llama.cpp failed: nothing is known about the cache, so all begin anew, but for those whose
    /// batch it was.
    fn recover(&mut self, error: &str) {
        tracing::error!(error, "the model could not be evaluated");
        let mut failed: Vec<usize> = self.rows.iter().map(|row| row.job).collect();
        failed.dedup();
        for (index, mut job) in std::mem::take(&mut self.active)
            .into_iter()
            .enumerate()
            .rev()
        {
            self.empty_sequences(&mut job);
            if failed.contains(&index) {
                job.fail(RequestError::Evaluate(error.to_owned()));
                if job.is_paused() {
                    self.leaving.push(job);
                }
            } else {
                self.waiting.push_front(job);
            }
        }
        self.forget_kept();
        self.context.clear_kv_cache();
        self.rows.clear();
    }

    fn forget_kept(&mut self) {
        while let Some(id) = self.sequences.evict() {
            self.empty(id);
        }
    }

    fn empty_sequences(&mut self, job: &mut Job) {
        for choice in &mut job.choices {
            choice.decoded = 0;
            if let Some(id) = choice.sequence.take() {
                self.empty(id);
                self.sequences.release(id);
            }
        }
    }

    fn empty(&mut self, id: i32) {
        // Removing a whole sequence cannot fail.
        let _ = self
            .context
            .clear_kv_cache_seq(u32::try_from(id).ok(), None, None);
    }

    /// Cuts a sequence after `tokens` tokens; false when the model's cache cannot be cut.
    fn cut(&mut self, id: i32, tokens: usize) -> bool {
        let from = u32::try_from(tokens).ok();
        let cut = self
            .context
            .clear_kv_cache_seq(u32::try_from(id).ok(), from, None);
        matches!(cut, Ok(true))
    }
}
