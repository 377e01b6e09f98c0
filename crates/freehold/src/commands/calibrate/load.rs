//! What is sent, and when: rounds of clients that ask again when they have their answer, then a trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use freehold_sim::{LoadRun, ServedRequest};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::prompts::{Tokens, lengths, prompt};
use super::send::{Ask, BadField, Sender};
use crate::cli::CalibrateArgs;
use crate::commands::model_server;
use crate::workload_source;

/// Words of the two prompts that the server's tokens are told from, and tokens of their answers.
const PROBE_WORDS: [u32; 2] = [16, 272];
const PROBE_OUTPUT: u32 = 8;
/// A longer replay is a mistake.
const REPLAY_REQUESTS_MAX: usize = 10_000;

/// Not an error of the server.
const BROKEN: &str = "a client of the load broke";

/// One run that will be sent.
struct Planned {
    clients: u32,
    round: u32,
    is_fitted: bool,
}

/// One request of a trace: when it is sent, and its lengths.
#[derive(Clone, Copy)]
struct Replayed {
    at: Duration,
    input_tokens: u32,
    output_tokens: u32,
}

/// What will be sent.
pub(super) struct Plan {
    sender: Sender,
    model: String,
    seed: u64,
    runs: Vec<Planned>,
    /// Lengths of the requests of every run.
    lengths: Vec<(u32, u32)>,
    replay: Vec<Replayed>,
    time_max: Duration,
    notes: Vec<String>,
    stated: String,
}

/// Runs to fit on, runs to compare with, and what is to be said.
pub(super) type Sent = (Vec<LoadRun>, Vec<LoadRun>, Vec<String>);

impl Plan {
    pub(super) async fn new(args: &CalibrateArgs) -> Result<Self> {
        let load = &args.load;
        let (Some(url), Some(model)) = (&args.url, &args.model) else {
            bail!("name a server and its model, or --from a file");
        };
        let endpoint = model_server::endpoint(url)?;
        let key = model_server::key(args.key_env.as_deref())?;
        let mut notes = Vec::new();
        let replay = replay(args, &mut notes).await?;
        let timeout = Duration::from_secs(load.timeout);
        let is_fitted = args.server.is_none();
        let mut runs = Vec::new();
        for round in 0..load.rounds {
            let fitted = load.clients.iter().filter(|_| is_fitted);
            let fitted = fitted.map(|clients| (*clients, true));
            let checked = load.check.iter().map(|clients| (*clients, false));
            runs.extend(fitted.chain(checked).map(|(clients, is_fitted)| Planned {
                clients,
                round,
                is_fitted,
            }));
        }
        if runs.is_empty() && replay.is_empty() {
            bail!("nothing to send: with --server, say what to compare with (--check or --replay)");
        }
        let mut plan = Self {
            sender: Sender::new(endpoint, model, key, timeout)?,
            model: model.clone(),
            seed: args.read.seed(),
            runs,
            lengths: (0..load.requests)
                .map(|index| lengths(index, load.input_max, load.output_max))
                .collect(),
            replay,
            time_max: Duration::from_secs(load.time_max),
            notes,
            stated: String::new(),
        };
        plan.stated = plan.statement(url, load.replay_seconds);
        Ok(plan)
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// What will be sent, in words.
    pub(super) fn stated(&self) -> &str {
        &self.stated
    }

    fn statement(&self, url: &str, replay_seconds: u64) -> String {
        let per_run = |of: fn(&(u32, u32)) -> u32| -> u64 {
            self.lengths.iter().map(|pair| u64::from(of(pair))).sum()
        };
        let runs = self.runs.len() as u64;
        let replayed = |of: fn(&Replayed) -> u32| -> u64 {
            self.replay
                .iter()
                .map(|request| u64::from(of(request)))
                .sum()
        };
        let requests = runs * self.lengths.len() as u64 + self.replay.len() as u64 + 2;
        let input = runs * per_run(|pair| pair.0) + replayed(|r| r.input_tokens);
        let output = runs * per_run(|pair| pair.1) + replayed(|r| r.output_tokens);
        let clients = |is_fitted: bool| {
            let first = self.runs.iter().filter(|run| run.round == 0);
            let counts = first.filter(|run| run.is_fitted == is_fitted);
            let counts: Vec<String> = counts.map(|run| run.clients.to_string()).collect();
            counts.join(", ")
        };
        let mut text = format!("Measuring {} at {url}\n", self.model);
        for (what, counts) in [("to fit on", clients(true)), ("to check", clients(false))] {
            if !counts.is_empty() {
                text.push_str(&format!("  {what}: {counts} clients at once\n"));
            }
        }
        if !self.replay.is_empty() {
            let count = self.replay.len();
            text.push_str(&format!(
                "  to check: {count} requests of the trace's first {replay_seconds} s, when they came\n"
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("  {note}\n"));
        }
        text.push_str(&format!(
            "  {requests} requests, about {input} tokens of prompts and at most {output} of answers, in at most \
             {} s{}",
            self.time_max.as_secs(),
            if self.replay.is_empty() { "" } else { " and the replay" }
        ));
        text
    }

    /// Sends all of it.
    pub(super) async fn send(mut self) -> Result<Sent> {
        let tokens = self.probe().await?;
        let bar = workload_source::bar(
            Some((self.runs.len() * self.lengths.len() + self.replay.len()) as u64),
            "{msg} {wide_bar} {pos} of {len}, {eta} left",
        );
        let deadline = Instant::now() + self.time_max;
        let (mut fitted, mut checked) = (Vec::new(), Vec::new());
        // Text is never used again: the two probes have the first numbers.
        let mut index = PROBE_WORDS.len() as u64;
        for planned in &self.runs {
            bar.set_message(format!("{} clients", planned.clients));
            let asks = self
                .lengths
                .iter()
                .enumerate()
                .map(|(place, (input, output))| Ask {
                    prompt: prompt(self.seed, index + place as u64, tokens.words(*input)),
                    output_tokens: *output,
                });
            let asks: Arc<[Ask]> = asks.collect();
            index += asks.len() as u64;
            let count = asks.len();
            let requests = closed(&self.sender, asks, planned.clients, deadline, &bar).await?;
            if requests.len() < count {
                self.notes.push(format!(
                    "time was up after {} of {count} requests of {} clients, round {}: raise --time-max, or \
                     send less",
                    requests.len(),
                    planned.clients,
                    planned.round + 1
                ));
            }
            if requests.is_empty() {
                continue;
            }
            let run = LoadRun {
                clients: Some(planned.clients),
                round: planned.round,
                requests,
            };
            if planned.is_fitted {
                fitted.push(run);
            } else {
                checked.push(run);
            }
        }
        if !self.replay.is_empty() {
            bar.set_message("replay");
            match self.replayed(index, &tokens, &bar).await {
                Ok(requests) => checked.push(LoadRun {
                    clients: None,
                    round: 0,
                    requests,
                }),
                // What was measured before it took minutes and is whole.
                Err(error) => self
                    .notes
                    .push(format!("the replay failed and is left out: {error:#}")),
            }
        }
        bar.finish_and_clear();
        Ok((fitted, checked, self.notes))
    }

    /// Two requests: warms the server up, and tells how it counts, and whether it can be asked to go on.
    async fn probe(&mut self) -> Result<Tokens> {
        let mut counted = [(0, 0); 2];
        for (index, words) in PROBE_WORDS.into_iter().enumerate() {
            let ask = Ask {
                prompt: prompt(self.seed, index as u64, words),
                output_tokens: PROBE_OUTPUT,
            };
            let mut told = self.sender.serve(&ask, Instant::now()).await;
            if told.as_ref().is_err_and(|error| error.is::<BadField>()) {
                self.sender.ignores_end = false;
                told = self.sender.serve(&ask, Instant::now()).await;
            }
            counted[index] = (words, told?.input_tokens);
        }
        Tokens::from(counted[0], counted[1]).with_context(|| {
            format!(
                "the server counted {} tokens in a prompt of {} words and {} in one of {}: such counts cannot \
                 be used",
                counted[0].1, counted[0].0, counted[1].1, counted[1].0
            )
        })
    }

    /// Sends the trace's requests when they came.
    async fn replayed(
        &self,
        first_index: u64,
        tokens: &Tokens,
        bar: &ProgressBar,
    ) -> Result<Vec<ServedRequest>> {
        let began = Instant::now();
        let mut tasks: JoinSet<Result<(usize, ServedRequest)>> = JoinSet::new();
        let mut served = Vec::new();
        for (place, request) in self.replay.iter().enumerate() {
            let ask = Ask {
                prompt: prompt(
                    self.seed,
                    first_index + place as u64,
                    tokens.words(request.input_tokens),
                ),
                output_tokens: request.output_tokens,
            };
            let due = tokio::time::sleep_until((began + request.at).into());
            tokio::pin!(due);
            // What fails meanwhile ends the replay at once.
            loop {
                tokio::select! {
                    () = &mut due => break,
                    Some(ended) = tasks.join_next() => {
                        served.push(ended.context(BROKEN)??);
                    }
                }
            }
            let (sender, bar) = (self.sender.clone(), bar.clone());
            tasks.spawn(async move {
                let served = sender.serve(&ask, began).await;
                bar.inc(1);
                served.map(|served| (place, served))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            served.push(ended.context(BROKEN)??);
        }
        Ok(in_order(served))
    }
}

/// All answers in the order of sending.
fn in_order(mut served: Vec<(usize, ServedRequest)>) -> Vec<ServedRequest> {
    served.sort_by_key(|(place, _)| *place);
    served.into_iter().map(|(_, served)| served).collect()
}

/// So many clients, each of which asks again when it has its answer; nothing new after the deadline.
async fn closed(
    sender: &Sender,
    asks: Arc<[Ask]>,
    clients: u32,
    deadline: Instant,
    bar: &ProgressBar,
) -> Result<Vec<ServedRequest>> {
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks: JoinSet<Result<Vec<(usize, ServedRequest)>>> = JoinSet::new();
    for _ in 0..clients {
        let (sender, asks) = (sender.clone(), Arc::clone(&asks));
        let (next, bar) = (Arc::clone(&next), bar.clone());
        tasks.spawn(async move {
            let mut served = Vec::new();
            while Instant::now() < deadline {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(ask) = asks.get(place) else {
                    break;
                };
                served.push((place, sender.serve(ask, began).await?));
                bar.inc(1);
            }
            Ok(served)
        });
    }
    let mut served = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        served.extend(ended.context(BROKEN)??);
    }
    Ok(in_order(served))
}

/// The part of a trace that is sent.
async fn replay(args: &CalibrateArgs, notes: &mut Vec<String>) -> Result<Vec<Replayed>> {
    let load = &args.load;
    if load.replay.is_empty() {
        return Ok(Vec::new());
    }
    let imported = workload_source::read(&load.replay, None, &args.read).await?;
    let arrivals = &imported.workload.arrivals;
    let first_us = arrivals.first().map_or(0, |arrival| arrival.at_us);
    let window = Duration::from_secs(load.replay_seconds);
    let within = arrivals
        .iter()
        .map(|arrival| Replayed {
            at: Duration::from_micros(arrival.at_us - first_us),
            input_tokens: arrival.input_tokens.max(1),
            output_tokens: arrival.output_tokens.max(1),
        })
        .take_while(|request| request.at < window);
    let within: Vec<Replayed> = within.collect();
    let all = within.len();
    let fitting = |request: &Replayed| {
        request.input_tokens.saturating_add(request.output_tokens) <= load.replay_tokens_max
    };
    let kept: Vec<Replayed> = within.into_iter().filter(fitting).collect();
    if kept.len() < all {
        notes.push(format!(
            "{} of {all} requests of the trace are longer than {} tokens and are left out (--replay-tokens-max)",
            all - kept.len(),
            load.replay_tokens_max
        ));
    }
    if kept.is_empty() || kept.len() > REPLAY_REQUESTS_MAX {
        bail!(
            "the trace has {} requests to send in {} s; choose with --share, --replay-seconds and \
             --replay-tokens-max (1 to {REPLAY_REQUESTS_MAX})",
            kept.len(),
            load.replay_seconds
        );
    }
    Ok(kept)
}
