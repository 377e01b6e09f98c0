//! One replica: continuous batching with chunked prompts, admission by cache blocks, preemption.
//!
//! The replica moves in *segments*. While prompts are worked on, a segment is one step. While it only
//! decodes, a segment is all steps until the next sequence ends or the cache is full, whose time is
//! summed in closed form: step `j` of `k` takes `a + b (C + n j)` for `n` sequences with `C` cached
//! tokens. A request that comes in the middle cuts the segment at the end of the step under way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use freehold_workload::{Arrival, Workload};

use super::prefix_cache::PrefixCache;
use super::tables::StepTables;

/// What replicas of a fleet share: nothing of it changes during a simulation.
pub(super) struct Shared<'a> {
    pub(super) workload: &'a Workload,
    pub(super) tables: StepTables,
    /// Tokens that the cache holds.
    pub(super) capacity: u64,
    /// Tokens that every sequence takes beside its own: windows, and half a block that stays empty.
    pub(super) sequence_tokens: u64,
    pub(super) sequences_max: usize,
    pub(super) step_tokens: u32,
    pub(super) reserves_output: bool,
    pub(super) caches_prefixes: bool,
    /// Whether preempted sequences find again what of theirs nobody has written over.
    pub(super) keeps_preempted: bool,
    /// What every request takes outside of the replica: told as if all of it came at the end.
    pub(super) request_us: f64,
}

impl Shared<'_> {
    fn arrival(&self, request: u32) -> &Arrival {
        &self.workload.arrivals[request as usize]
    }

    /// Whether a request could be served alone.
    pub(super) fn can_serve(&self, arrival: &Arrival) -> bool {
        let tokens = u64::from(input_of(arrival)) + u64::from(output_of(arrival));
        tokens + self.sequence_tokens <= self.capacity
    }
}

/// A prompt has at least one token.
pub(super) fn input_of(arrival: &Arrival) -> u32 {
    arrival.input_tokens.max(1)
}

/// An answer has at least one token.
pub(super) fn output_of(arrival: &Arrival) -> u32 {
    arrival.output_tokens.max(1)
}

/// What a replica tells about a request that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) request: u32,
    pub(super) first_us: f64,
    pub(super) last_us: f64,
}

/// What a replica has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) busy_us: f64,
    pub(super) idle_us: f64,
    pub(super) preemptions: u64,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) output_tokens: u64,
}

/// A sequence, from admission to its end.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    request: u32,
    /// Tokens whose keys and values are in the cache.
    context: u32,
    /// Tokens still to be worked on before it can decode.
    prompt_left: u32,
    /// Tokens still to be written.
    output_left: u32,
    /// When its first token came; negative before.
    first_us: f64,
    /// Step at which it joined the decoding ones, and will end.
    joined: u64,
    ends: u64,
    /// Its place in the order of admission, and whether it is in use.
    order: u64,
    is_used: bool,
    /// Tokens that were in the cache when it was preempted, and how many must be taken from the free part
    /// of the cache before the first of them is written over.
    kept: u32,
    kept_until: u64,
}

/// One stretch of work.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    start_us: f64,
    end_us: f64,
    steps: u64,
    /// A step's time is `base + context_us x cached tokens`.
    base_us: f64,
}

/// One replica.
pub(super) struct Replica {
    waiting: VecDeque<u32>,
    /// Preempted sequences; the last one goes on first.
    preempted: Vec<Sequence>,
    /// Sequences in the cache.
    slots: Vec<Sequence>,
    free: Vec<u32>,
    /// Prompts under way, oldest first.
    prompts: VecDeque<u32>,
    /// Decoding sequences by the step at which they end.
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    /// Decoding sequences in the order in which they joined; ended ones are dropped later.
    newest: Vec<(u32, u64)>,
    decoding: usize,
    /// Cached tokens of decoding sequences.
    context: u64,
    /// Tokens of the cache that are spoken for.
    held: u64,
    /// Tokens that have ever been taken from the free part of the cache.
    taken: u64,
    step: u64,
    admitted: u64,
    /// Parts of prompts in the step under way.
    chunks: Vec<(u32, u32)>,
    segment: Segment,
    prefixes: PrefixCache,
    /// Since when the replica has been counted.
    now_us: f64,
    pub(super) counts: Counts,
    outstanding: usize,
}

impl Replica {
    pub(super) fn new(now_us: f64) -> Self {
        Self {
            waiting: VecDeque::new(),
            preempted: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            prompts: VecDeque::new(),
            ends: BinaryHeap::new(),
            newest: Vec::new(),
            decoding: 0,
            context: 0,
            held: 0,
            taken: 0,
            step: 0,
            admitted: 0,
            chunks: Vec::new(),
            segment: idle_segment(),
            prefixes: PrefixCache::new(),
            now_us,
            counts: Counts::default(),
            outstanding: 0,
        }
    }

    /// When the segment under way ends; infinite when there is nothing to do.
    #[inline]
    pub(super) fn next_us(&self) -> f64 {
        self.segment.end_us
    }

    /// Requests that it has and that have not ended.
    #[inline]
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Works until `until_us`; tells about every request that ends.
    #[inline]
    pub(super) fn advance(&mut self, shared: &Shared, until_us: f64, told: &mut impl FnMut(Ended)) {
        while self.segment.end_us <= until_us && self.segment.end_us.is_finite() {
            self.finish_segment(shared, told);
            self.plan(shared);
        }
    }

    /// Takes a request that comes now; the replica has been advanced to now.
    pub(super) fn push(&mut self, shared: &Shared, request: u32, now_us: f64) {
        let was_waiting = !self.waiting.is_empty() || !self.preempted.is_empty();
        self.waiting.push_back(request);
        self.outstanding += 1;
        if self.segment.end_us.is_infinite() {
            self.count_idle(now_us);
            self.plan(shared);
        } else if !was_waiting && self.segment.steps > 1 {
            self.cut(shared, now_us);
        }
    }

    /// Counts the time up to now as idle, if nothing is under way.
    pub(super) fn count_idle(&mut self, now_us: f64) {
        if self.segment.end_us.is_infinite() && now_us > self.now_us {
            self.counts.idle_us += now_us - self.now_us;
            self.now_us = now_us;
        }
    }

    /// Breaks: everything that it has is lost and handed back, its requests in the order of their ids.
    pub(super) fn fail(&mut self, now_us: f64) -> Vec<u32> {
        if self.segment.end_us.is_finite() {
            self.counts.busy_us += now_us - self.segment.start_us;
            self.now_us = now_us;
        }
        self.count_idle(now_us);
        let mut lost: Vec<u32> = self.waiting.drain(..).collect();
        lost.extend(self.preempted.drain(..).map(|sequence| sequence.request));
        let running = self.slots.iter().filter(|sequence| sequence.is_used);
        lost.extend(running.map(|sequence| sequence.request));
        lost.sort_unstable();
        let counts = self.counts;
        *self = Self::new(now_us);
        self.counts = counts;
        lost
    }

    /// Ends the segment after the step that is under way at `now_us`.
    fn cut(&mut self, shared: &Shared, now_us: f64) {
        let elapsed = now_us - self.segment.start_us;
        let n = self.decoding as f64;
        let slope = shared.tables.context_us() * n;
        let first = self.segment.base_us + shared.tables.context_us() * self.context as f64;
        // k steps take `first k + slope k (k - 1) / 2`.
        let linear = first - slope / 2.0;
        let steps = if slope > 0.0 {
            ((linear * linear + 2.0 * slope * elapsed).sqrt() - linear) / slope
        } else {
            elapsed / first
        };
        let steps = (steps.ceil().max(1.0) as u64).min(self.segment.steps);
        self.segment.steps = steps;
        self.segment.end_us = self.segment.start_us + duration(first, slope, steps);
    }

    fn finish_segment(&mut self, shared: &Shared, told: &mut impl FnMut(Ended)) {
        let now_us = self.segment.end_us;
        let steps = self.segment.steps;
        let written = steps * self.decoding as u64;
        self.counts.busy_us += now_us - self.segment.start_us;
        self.counts.output_tokens += written;
        self.now_us = now_us;
        self.step += steps;
        self.context += written;
        if !shared.reserves_output {
            self.held += written;
            self.taken += written;
        }
        if !self.chunks.is_empty() {
            self.finish_chunks(shared, now_us, told);
        }
        while let Some(Reverse((ends, slot))) = self.ends.peek().copied() {
            if ends > self.step {
                break;
            }
            self.ends.pop();
            let sequence = self.slots[slot as usize];
            // Preempted sequences leave their entries behind.
            if sequence.is_used && sequence.ends == ends && sequence.prompt_left == 0 {
                self.end(shared, slot, now_us, told);
            }
        }
        self.segment = idle_segment();
    }

    fn finish_chunks(&mut self, shared: &Shared, now_us: f64, told: &mut impl FnMut(Ended)) {
        let chunks = std::mem::take(&mut self.chunks);
        for (slot, tokens) in &chunks {
            let sequence = &mut self.slots[*slot as usize];
            sequence.context += tokens;
            sequence.prompt_left -= tokens;
            if sequence.prompt_left > 0 {
                continue;
            }
            // The step that ends the prompt writes the first token.
            if sequence.first_us < 0.0 {
                sequence.first_us = now_us;
            }
            sequence.output_left -= 1;
            sequence.joined = self.step;
            sequence.ends = self.step + u64::from(sequence.output_left);
            let (ends, order, context) = (sequence.ends, sequence.order, sequence.context);
            let request = sequence.request;
            self.counts.output_tokens += 1;
            self.decoding += 1;
            self.context += u64::from(context);
            if shared.caches_prefixes {
                let prefix = shared.workload.prefix_of(shared.arrival(request));
                self.prefixes.insert(prefix);
            }
            if ends == self.step {
                self.end(shared, *slot, now_us, told);
            } else {
                self.ends.push(Reverse((ends, *slot)));
                self.remember_newest(*slot, order);
            }
        }
        self.prompts
            .retain(|slot| self.slots[*slot as usize].prompt_left > 0);
        self.chunks = chunks;
        self.chunks.clear();
    }

    /// Keeps the order of joining, and drops ended sequences when they are the most.
    fn remember_newest(&mut self, slot: u32, order: u64) {
        if self.newest.len() > 2 * self.decoding + 64 {
            let slots = &self.slots;
            self.newest.retain(|(slot, order)| {
                let sequence = &slots[*slot as usize];
                sequence.is_used && sequence.order == *order
            });
        }
        self.newest.push((slot, order));
    }

    fn end(&mut self, shared: &Shared, slot: u32, now_us: f64, told: &mut impl FnMut(Ended)) {
        let sequence = self.slots[slot as usize];
        let context = u64::from(sequence.context) + (self.step - sequence.joined);
        self.context -= context;
        self.held -= self.held_by(shared, &sequence, context);
        self.decoding -= 1;
        self.outstanding -= 1;
        self.release(slot);
        told(Ended {
            request: sequence.request,
            first_us: sequence.first_us + shared.request_us,
            last_us: now_us + shared.request_us,
        });
    }

    /// Tokens of the cache that a sequence with so much context holds.
    fn held_by(&self, shared: &Shared, sequence: &Sequence, context: u64) -> u64 {
        let own = if shared.reserves_output {
            let arrival = shared.arrival(sequence.request);
            u64::from(input_of(arrival)) + u64::from(output_of(arrival))
        } else {
            context + u64::from(sequence.prompt_left)
        };
        own + shared.sequence_tokens
    }

    fn release(&mut self, slot: u32) {
        self.slots[slot as usize].is_used = false;
        self.free.push(slot);
    }

    /// Decides what is worked on next.
    fn plan(&mut self, shared: &Shared) {
        self.make_room(shared);
        let mut budget = shared
            .step_tokens
            .saturating_sub(self.decoding as u32)
            .max(1);
        let mut prompt_tokens = 0u32;
        let mut pairs = 0.0;
        let mut under_way = 0;
        while budget > 0 {
            let slot = match self.prompts.get(under_way) {
                Some(slot) => *slot,
                None => match self.admit(shared) {
                    Some(slot) => slot,
                    None => break,
                },
            };
            under_way += 1;
            let sequence = &self.slots[slot as usize];
            let tokens = sequence.prompt_left.min(budget);
            let (before, tokens_f) = (f64::from(sequence.context), f64::from(tokens));
            pairs += tokens_f * (before + tokens_f / 2.0);
            prompt_tokens += tokens;
            budget -= tokens;
            self.chunks.push((slot, tokens));
        }
        if prompt_tokens > 0 {
            let tokens = self.decoding + prompt_tokens as usize;
            let context = self.context as f64;
            let time = shared.tables.base_us(tokens, self.decoding, context)
                + shared.tables.context_us() * context
                + shared.tables.prompts_us(f64::from(prompt_tokens), pairs);
            self.begin(1, 0.0, time);
        } else if self.decoding > 0 {
            self.begin_decoding(shared);
        }
        if shared.caches_prefixes {
            let block = u64::from(shared.workload.prefix_block_tokens.max(1));
            let free = shared.capacity.saturating_sub(self.held) / block;
            self.prefixes.shrink_to(free as usize);
        }
    }

    fn begin(&mut self, steps: u64, base_us: f64, time_us: f64) {
        self.segment = Segment {
            start_us: self.now_us,
            end_us: self.now_us + time_us,
            steps,
            base_us,
        };
    }

    /// All steps until a sequence ends or the cache is full.
    fn begin_decoding(&mut self, shared: &Shared) {
        let n = self.decoding as u64;
        // Entries of preempted sequences may stand in front; they only end the segment early.
        let next_end = self
            .ends
            .peek()
            .map_or(self.step + 1, |Reverse((ends, _))| *ends);
        let mut steps = next_end.saturating_sub(self.step).max(1);
        if !shared.reserves_output {
            let room = shared.capacity.saturating_sub(self.held) / n;
            steps = steps.min(room.max(1));
        }
        let context = self.context as f64;
        let base = shared.tables.base_us(self.decoding, self.decoding, context);
        let first = base + shared.tables.context_us() * context;
        let slope = shared.tables.context_us() * self.decoding as f64;
        self.begin(steps, base, duration(first, slope, steps));
    }

    /// Preempts the newest sequences until every decoding one can write one more token.
    fn make_room(&mut self, shared: &Shared) {
        if shared.reserves_output {
            return;
        }
        while self.held + self.decoding as u64 > shared.capacity {
            if let Some(slot) = self.prompts.pop_back() {
                self.preempt(shared, slot, false);
                continue;
            }
            let Some((slot, order)) = self.newest.pop() else {
                break;
            };
            let sequence = &self.slots[slot as usize];
            if sequence.is_used && sequence.order == order {
                self.preempt(shared, slot, true);
            }
        }
    }

    /// Drops a sequence's cache; it will compute everything again, what it has written included.
    fn preempt(&mut self, shared: &Shared, slot: u32, is_decoding: bool) {
        let mut sequence = self.slots[slot as usize];
        let mut context = u64::from(sequence.context);
        if is_decoding {
            let written = self.step - sequence.joined;
            context += written;
            self.context -= context;
            self.decoding -= 1;
            sequence.output_left -= written as u32;
        }
        // Blocks that are freed first are taken first, as in vLLM's queue of free blocks.
        sequence.kept = context as u32;
        sequence.kept_until = self.taken + shared.capacity.saturating_sub(self.held);
        self.held -= self.held_by(shared, &sequence, context);
        sequence.prompt_left += context as u32;
        sequence.context = 0;
        self.release(slot);
        self.preempted.push(sequence);
        self.counts.preemptions += 1;
    }

    /// Lets the next request in, if there is one and there is room.
    fn admit(&mut self, shared: &Shared) -> Option<u32> {
        if self.decoding + self.prompts.len() >= shared.sequences_max {
            return None;
        }
        let sequence = if let Some(sequence) = self.preempted.last() {
            *sequence
        } else {
            let request = *self.waiting.front()?;
            let arrival = shared.arrival(request);
            Sequence {
                request,
                context: 0,
                prompt_left: input_of(arrival),
                output_left: output_of(arrival),
                first_us: -1.0,
                joined: 0,
                ends: 0,
                order: 0,
                is_used: true,
                kept: 0,
                kept_until: 0,
            }
        };
        let needed = self.held_by(shared, &sequence, 0);
        // Room for the next token of those that run, so that nobody is let in to be thrown out.
        let spare = if shared.reserves_output {
            0
        } else {
            self.decoding as u64 + 1
        };
        let is_alone = self.decoding == 0 && self.prompts.is_empty();
        if self.held + needed + spare > shared.capacity && !is_alone {
            return None;
        }
        if self.preempted.pop().is_none() {
            self.waiting.pop_front();
        }
        Some(self.place(shared, sequence, needed))
    }

    fn place(&mut self, shared: &Shared, mut sequence: Sequence, needed: u64) -> u32 {
        self.admitted += 1;
        sequence.order = self.admitted;
        sequence.is_used = true;
        let kept = self.still_kept(shared, &sequence);
        self.held += needed;
        self.taken += needed - u64::from(kept);
        let cached = self.cached(shared, &sequence).max(kept);
        self.counts.prompt_tokens += u64::from(sequence.prompt_left);
        self.counts.cached_tokens += u64::from(cached);
        sequence.prompt_left -= cached;
        sequence.context = cached;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = sequence;
                slot
            }
            None => {
                self.slots.push(sequence);
                (self.slots.len() - 1) as u32
            }
        };
        self.prompts.push_back(slot);
        slot
    }

    /// Of a preempted sequence, the tokens that nobody has written over; its newest ones go first.
    fn still_kept(&self, shared: &Shared, sequence: &Sequence) -> u32 {
        if !shared.keeps_preempted {
            return 0;
        }
        let lost = self.taken.saturating_sub(sequence.kept_until);
        let kept = u64::from(sequence.kept).saturating_sub(lost) as u32;
        kept.min(sequence.prompt_left - 1)
    }

    /// Tokens at the beginning that need not be computed; the last one always is.
    fn cached(&mut self, shared: &Shared, sequence: &Sequence) -> u32 {
        if !shared.caches_prefixes {
            return 0;
        }
        let prefix = shared.workload.prefix_of(shared.arrival(sequence.request));
        let blocks = self.prefixes.leading(prefix) as u32;
        let tokens = blocks.saturating_mul(shared.workload.prefix_block_tokens);
        tokens.min(sequence.prompt_left - 1)
    }

    /// Forgets its prefixes: it has been given back.
    pub(super) fn forget(&mut self) {
        self.prefixes.clear();
    }
}

fn idle_segment() -> Segment {
    Segment {
        end_us: f64::INFINITY,
        ..Segment::default()
    }
}

/// How long `steps` steps take when the first takes `first` and each more `slope` longer.
fn duration(first: f64, slope: f64, steps: u64) -> f64 {
    let steps = steps as f64;
    first * steps + slope * steps * (steps - 1.0) / 2.0
}
