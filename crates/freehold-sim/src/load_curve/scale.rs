//! A workload at another load.

use freehold_workload::{Arrival, NO_SESSION, PrefixRange, Workload};

/// A copy's conversations and beginnings are its own: two customers share no text.
const COPY_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// `load` times the requests: whole copies, moved by up to half a minute so that their bursts do not
/// coincide, and for the rest a random part. Lengths and the shape over time stay as they are.
///
/// Only requests from `from_us` on and before `until_us` are kept, and times begin at `from_us`.
pub(super) fn scaled(
    workload: &Workload,
    load: f64,
    from_us: u64,
    until_us: u64,
    seed: u64,
) -> Workload {
    const SHIFT_US: u64 = 30_000_000;
    let begin = workload
        .arrivals
        .partition_point(|arrival| arrival.at_us < from_us);
    let end = workload
        .arrivals
        .partition_point(|arrival| arrival.at_us < until_us);
    let kept = &workload.arrivals[begin..end];
    let span_us = until_us.saturating_sub(from_us).max(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut arrivals = Vec::with_capacity((kept.len() as f64 * load * 1.01) as usize + 16);
    let mut blocks = Vec::new();
    let mut copy = 0u32;
    let mut left = load;
    while left > 0.0 {
        let share = left.min(1.0);
        let shift_us = if copy == 0 {
            0
        } else {
            random.u64(0..SHIFT_US.min(span_us))
        };
        for arrival in kept {
            if share < 1.0 && random.f64() >= share {
                continue;
            }
            let at_us = (arrival.at_us - from_us + shift_us) % span_us;
            arrivals.push(Arrival {
                at_us,
                session: session_of(arrival, copy),
                prefix: copied(workload, arrival, copy, &mut blocks),
                ..*arrival
            });
        }
        copy += 1;
        left -= 1.0;
    }
    // Equal times keep their order, so the same input gives the same bytes.
    arrivals.sort_by_key(|arrival| arrival.at_us);
    Workload {
        arrivals,
        duration_us: span_us,
        prefix_blocks: blocks,
        flows: workload.flows.clone(),
        models: workload.models.clone(),
        prefix_block_tokens: workload.prefix_block_tokens,
        is_generated: true,
        ..Workload::default()
    }
}

fn session_of(arrival: &Arrival, copy: u32) -> u32 {
    if arrival.session == NO_SESSION {
        return NO_SESSION;
    }
    let moved = arrival.session.wrapping_add(copy.wrapping_mul(0x9e37_79b9));
    if moved == NO_SESSION { 0 } else { moved }
}

fn copied(workload: &Workload, arrival: &Arrival, copy: u32, blocks: &mut Vec<u64>) -> PrefixRange {
    let start = blocks.len();
    let own = workload.prefix_of(arrival);
    if u32::try_from(start + own.len()).is_err() {
        return PrefixRange::default();
    }
    let change = u64::from(copy).wrapping_mul(COPY_STEP);
    blocks.extend(own.iter().map(|block| block ^ change));
    PrefixRange {
        start: start as u32,
        length: own.len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use freehold_workload::{FlowIndex, ModelIndex};

    use super::*;

    #[test]
    fn copies_name_the_same_flows_and_models() {
        let arrival = |at_us| Arrival {
            at_us,
            input_tokens: 10,
            output_tokens: 5,
            flow: FlowIndex(0),
            model: ModelIndex(0),
            session: NO_SESSION,
            ..Arrival::default()
        };
        let workload = Workload {
            arrivals: (0..100).map(|at| arrival(at * 1_000_000)).collect(),
            duration_us: 100_000_000,
            flows: vec!["support".to_owned()],
            models: vec!["gpt-5-mini".to_owned()],
            ..Workload::default()
        };
        let more = scaled(&workload, 2.5, 10_000_000, 60_000_000, 1);
        assert!(more.check().is_ok(), "{:?}", more.check());
        assert!((110..140).contains(&more.arrivals.len()));
        assert_eq!(more.model_of(&more.arrivals[0]), Some("gpt-5-mini"));
    }
}
