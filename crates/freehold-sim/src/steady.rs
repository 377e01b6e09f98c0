//! Throughput of a replica that always has enough to do, without simulating it.

use serde::{Deserialize, Serialize};

use crate::server::Server;
use crate::step::{StepLoad, StepModel};

/// How requests are offered in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offer {
    /// So many clients, each of which asks again when it has its answer.
    Clients(f64),
    /// As much as the replica takes.
    Unlimited,
    /// So many requests at once, until all are done.
    Burst(f64),
    /// One batch of so many, prompts and all.
    Batch(f64),
    /// One batch of so many, without its prompts' time.
    DecodeOnly(f64),
}

/// What a replica does under an [`Offer`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steady {
    /// Tokens written per second.
    pub output_tokens_per_s: f64,
    /// Sequences that run together.
    pub running: f64,
    /// Time per token while running, prompts of others included, milliseconds.
    pub tpot_ms: f64,
}

/// Throughput with prompts of `input` and answers of `output` tokens; nothing when one sequence does not
/// fit.
///
/// In the time in which every running sequence writes its whole answer, as many prompts are worked
/// on as sequences run: `output` decode steps, and the prompts' chunks on top of some of them.
#[must_use]
pub fn steady(
    server: &Server,
    model: &StepModel,
    offer: Offer,
    input: f64,
    output: f64,
) -> Option<Steady> {
    let held = if server.limits.reserves_output {
        input + output
    } else {
        // Sequences are at all stages; half the output on average, and some is kept free.
        input + 0.6 * output
    };
    let by_memory = server.sequences_of(held);
    if by_memory < 1.0 {
        return None;
    }
    let offered = match offer {
        Offer::Clients(count) | Offer::Burst(count) | Offer::Batch(count) => count,
        Offer::DecodeOnly(count) => count,
        Offer::Unlimited => f64::from(server.limits.sequences),
    };
    let running = by_memory.min(offered).max(1.0);
    let context = running * (input + output / 2.0);
    let decode_us = model.step_us(&StepLoad {
        decoding: running,
        context_tokens: context,
        ..StepLoad::default()
    });
    if let Offer::DecodeOnly(_) = offer {
        return Some(Steady {
            output_tokens_per_s: running / decode_us * 1e6,
            running,
            tpot_ms: decode_us / 1e3,
        });
    }
    let chunk = prompt_chunk(server, running, input, output);
    let mixed_us = model.step_us(&StepLoad {
        decoding: running,
        context_tokens: context,
        prompt_tokens: chunk,
        prompt_pairs: chunk * input / 2.0,
    });
    let chunks = running * input / chunk;
    let prompts_us = chunks * (mixed_us - decode_us);
    // When prompts fill every step, steps that only decode are gone.
    let cycle_us = output.max(chunks) * decode_us + prompts_us;
    let rounds = match offer {
        // What comes last leaves the replica ever emptier.
        Offer::Burst(count) => (count / running).max(1.0),
        _ => 1.0,
    };
    let tail_us = match offer {
        Offer::Burst(count) if count > running => {
            let left = StepLoad {
                decoding: running / 4.0,
                context_tokens: context / 4.0,
                ..StepLoad::default()
            };
            output * model.step_us(&left)
        }
        _ => 0.0,
    };
    let total_us = rounds * cycle_us + tail_us;
    Some(Steady {
        output_tokens_per_s: rounds * running * output / total_us * 1e6,
        running,
        tpot_ms: cycle_us / output / 1e3,
    })
}

/// Tokens of prompts in a step that has any: a prompt comes whole while the step has room for it, and
/// when more of them wait, as many as there is room for.
fn prompt_chunk(server: &Server, running: f64, input: f64, output: f64) -> f64 {
    let budget = (f64::from(server.limits.step_tokens) - running).max(256.0);
    let per_step = running * input / output.max(1.0);
    input.max(per_step).min(budget).max(1.0)
}
