//! The real program under everything that goes wrong around it: upstreams with every fault, clients that crawl, flood and
//! leave, signals, full disks, clocks that jump, names that lead nowhere, too few file descriptors. What happens is drawn
//! from a seed, as far as a machine with other things to do repeats itself; what must hold is the same for every seed.
//!
//! A usual run plays each situation once. With `FREEHOLD_CHAOS_SEEDS=1000`, `many_seeds` plays so many, which go in turns
//! through all situations, from `FREEHOLD_CHAOS_FROM`; with `FREEHOLD_CHAOS_SEED=7`, only this one. `soak.rs` has the long, steady load.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod check;
mod client;
#[path = "../deaths/gateway.rs"]
mod gateway;
mod process;
mod raw;
mod situations;
mod soak;
mod world;

use std::io::Write as _;
use std::time::Instant;

use situations::Situation;
use world::World;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// One seed: a world of its own, a situation, and a look at what is left of it.
async fn play(seed: u64) {
    let situation = Situation::of(seed);
    let dice = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let mut world = World::new(situation, dice).await;
    let asked = situation.happen(&mut world).await;
    let told = check::check(world, situation, asked).await;
    let _ = writeln!(
        std::io::stderr(),
        "seed {seed}: {situation:?}: {told} in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

/// One test for each situation, with the seed of its number.
macro_rules! situations {
    ($($name:ident: $situation:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let number = Situation::ALL.iter().position(|one| *one == $situation);
            play(number.unwrap() as u64).await;
        }
    )*};
}

situations! {
    every_fault_of_upstreams: Situation::Faults;
    upstreams_that_come_and_go: Situation::Flapping;
    a_herd_after_an_outage: Situation::Herd;
    clients_that_read_slowly_and_leave: Situation::SlowReaders;
    clients_that_write_slowly_or_for_ever: Situation::SlowWriters;
    more_connections_than_are_taken: Situation::Flood;
    bodies_that_are_bombs: Situation::Bombs;
    a_kill_under_load: Situation::Kill;
    a_stop_under_load: Situation::Stop;
    a_machine_that_stands_still: Situation::Pause;
    a_full_disk: Situation::FullDisk;
    a_clock_that_jumps: Situation::Clock;
    a_name_that_leads_nowhere: Situation::Dns;
    too_few_file_descriptors: Situation::FewFiles;
}

/// Only where somebody asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_seeds() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (from, many) = match setting("FREEHOLD_CHAOS_SEED") {
        Some(seed) => (seed, 1),
        None => (
            setting("FREEHOLD_CHAOS_FROM").unwrap_or(0),
            setting("FREEHOLD_CHAOS_SEEDS").unwrap_or(0),
        ),
    };
    for seed in from..from + many {
        // For whoever looks for the seed of a failure.
        let _ = writeln!(
            std::io::stderr(),
            "replay: FREEHOLD_CHAOS_SEED={seed} cargo nextest run -p freehold --test chaos many_seeds"
        );
        play(seed).await;
    }
}
