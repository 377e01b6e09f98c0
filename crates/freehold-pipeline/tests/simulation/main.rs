//! The real request function in thousands of schedules, each made from a seed: backends that are slow, fail, stall,
//! break and panic, clients that leave, dawdle and stop reading, accounts that refuse or are away, a ledger that cannot
//! write, an operator who reloads and stops. The clock is paused and there is one thread, so a seed gives the same
//! course of events every time, byte for byte.
//!
//! `FREEHOLD_SIM_SEED=7` plays one schedule and prints what happened; `FREEHOLD_SIM_SCHEDULES` plays more than the usual
//! number, from `FREEHOLD_SIM_FROM` on.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod books;
mod check;
mod client;
mod dice;
mod schedule;
mod upstream;
mod world;

use std::io::Write as _;

use schedule::{Played, play};

/// Schedules of a usual run.
const SCHEDULES: u64 = 2_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Panics that were asked for are no news.
fn be_quiet_about_scripted_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<&str>().copied();
        if !said.is_some_and(|said| said.starts_with("scripted")) {
            usual(panic);
        }
    }));
}

fn report(seed: u64, played: &Played) -> String {
    format!(
        "seed {seed}:\n  {}\nreplay: FREEHOLD_SIM_SEED={seed} cargo nextest run -p freehold-pipeline --test simulation",
        played.violations.join("\n  "),
    )
}

#[test]
fn every_schedule_keeps_the_promises() {
    be_quiet_about_scripted_panics();
    if let Some(seed) = setting("FREEHOLD_SIM_SEED") {
        let played = play(seed);
        let (trace, report) = (played.trace.join("\n"), report(seed, &played));
        let _ = writeln!(std::io::stderr(), "{trace}\n\n{report}");
        assert!(played.violations.is_empty(), "see above");
        return;
    }
    let from = setting("FREEHOLD_SIM_FROM").unwrap_or(1);
    let many = setting("FREEHOLD_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let mut met = schedule::Met::default();
    for seed in from..from + many {
        let played = play(seed);
        assert!(played.violations.is_empty(), "{}", report(seed, &played));
        met.add(&played.met);
    }
    let _ = writeln!(std::io::stderr(), "{many} schedules: {met:?}");
    if many >= SCHEDULES {
        met.assert_everything_happened();
    }
}

#[test]
fn a_seed_is_one_course_of_events() {
    be_quiet_about_scripted_panics();
    for seed in (1..200).step_by(7) {
        let (one, other) = (play(seed), play(seed));
        assert!(one.trace.len() > 5, "{seed}");
        assert_eq!(one.trace, other.trace, "{seed}");
        assert_ne!(one.trace, play(seed + 1).trace, "{seed}");
    }
}
