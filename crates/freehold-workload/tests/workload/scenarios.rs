//! More, less, in bursts, over a week.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use freehold_workload::{
    Arrival, BadScenario, NO_SESSION, PrefixRange, Profile, Scenario, Selection, Workload, reuse,
    statistics, write_jsonl,
};
use proptest::prelude::*;

const HOUR_US: u64 = 3_600_000_000;
const MAX: usize = 1_000_000;

/// An hour of conversations of three turns, each with a shared block and blocks of its own.
fn hour(conversations: u32, with_sessions: bool) -> Workload {
    let mut workload = Workload {
        began_unix_ms: Some(1_794_787_200_000),
        duration_us: HOUR_US,
        flows: vec!["chat".to_owned()],
        prefix_block_tokens: 100,
        ..Workload::default()
    };
    let mut arrivals = Vec::new();
    for conversation in 0..conversations {
        let first = u64::from(conversation) * HOUR_US / u64::from(conversations + 1);
        for turn in 0..3_u32 {
            let mut blocks = vec![7];
            blocks.extend(
                (0..=turn).map(|block| u64::from(conversation) * 10 + 1_000 + u64::from(block)),
            );
            let start = u32::try_from(workload.prefix_blocks.len()).unwrap();
            let length = u32::try_from(blocks.len()).unwrap();
            workload.prefix_blocks.extend(blocks);
            arrivals.push(Arrival {
                at_us: first + u64::from(turn) * 10_000_000,
                input_tokens: length * 100,
                output_tokens: 50,
                session: if with_sessions {
                    conversation
                } else {
                    NO_SESSION
                },
                prefix: PrefixRange { start, length },
                ..Arrival::default()
            });
        }
    }
    arrivals.sort_by_key(|arrival| arrival.at_us);
    arrivals.retain(|arrival| arrival.at_us < HOUR_US);
    workload.arrivals = arrivals;
    workload.costs_nano_usd = (0..).take(workload.arrivals.len()).collect();
    workload.check().unwrap();
    workload
}

fn apply(scenario: &str, workload: &Workload) -> Workload {
    let scenario: Scenario = scenario.parse().unwrap();
    let (made, note) = scenario.apply(workload, 1, MAX).unwrap();
    made.check().unwrap();
    assert!(note.starts_with("Scenario: "), "{note}");
    made
}

fn hits(workload: &Workload) -> f64 {
    reuse(workload, &[])[0].block_hit_rate
}

fn turns(workload: &Workload) -> BTreeMap<u32, usize> {
    let mut turns = BTreeMap::new();
    for arrival in &workload.arrivals {
        *turns.entry(arrival.session).or_default() += 1;
    }
    turns
}

#[test]
fn ten_times_the_volume_is_ten_times_the_people() {
    let source = hour(200, true);
    let made = apply("x10", &source);
    assert_eq!(made.arrivals.len(), source.arrivals.len() * 10);
    assert!(made.is_generated);
    assert_eq!(made.duration_us, source.duration_us);
    // Others' conversations are found no better in a cache than one's own were.
    assert!(
        (hits(&made) - hits(&source)).abs() < 0.01,
        "{} {}",
        hits(&made),
        hits(&source)
    );
    let blocks: HashSet<u64> = made.prefix_blocks.iter().copied().collect();
    assert!(blocks.contains(&7));
    let conversations = turns(&made).len();
    assert!((2_000..2_100).contains(&conversations), "{conversations}");
    assert_eq!(made.costs_nano_usd.len(), made.arrivals.len());
}

#[test]
fn less_drops_whole_conversations() {
    for with_sessions in [true, false] {
        let source = hour(300, with_sessions);
        let made = apply("-90%", &source);
        let share = made.arrivals.len() * 100 / source.arrivals.len();
        assert!((6..15).contains(&share), "{share}");
        assert!(!made.is_generated);
        // Turns that are left find what their own conversation has left.
        assert!(
            (hits(&made) - hits(&source)).abs() < 0.03,
            "{} {}",
            hits(&made),
            hits(&source)
        );
    }
    let made = apply("x0.5", &hour(300, true));
    let whole = turns(&hour(300, true));
    assert!(
        turns(&made)
            .iter()
            .all(|(session, count)| whole[session] == *count)
    );
}

#[test]
fn a_launch_is_a_burst_that_fades() {
    let source = hour(600, true);
    let made = apply("launch=5", &source);
    let mut parts = [0_u32; 20];
    for arrival in &made.arrivals {
        parts[usize::try_from(arrival.at_us * 20 / HOUR_US)
            .unwrap()
            .min(19)] += 1;
    }
    let usual = f64::from(u32::try_from(source.arrivals.len()).unwrap()) / 20.0;
    let times = parts.map(|requests| f64::from(requests) / usual);
    assert!(times[0] < 1.3, "{times:?}");
    assert!(times[3] > 4.0 && times[3] < 5.5, "{times:?}");
    assert!(times[19] < 1.5, "{times:?}");
}

#[test]
fn growth_adds_up_month_by_month() {
    let source = hour(100, true);
    let made = apply("growth=100%x2", &source);
    assert_eq!(made.arrivals.len(), source.arrivals.len() * 4);
}

#[test]
fn a_week_from_an_hour_follows_the_profile() {
    let mut source = hour(40, true);
    source.began_unix_ms = None;
    let made = apply("week=office", &source);
    assert!(made.is_generated);
    assert_eq!(made.duration_us, 168 * HOUR_US);
    let mut hours = vec![0_u32; 168];
    for arrival in &made.arrivals {
        hours[usize::try_from(arrival.at_us / HOUR_US).unwrap()] += 1;
    }
    // Monday at 10 against Monday at 3 and Sunday at 10: 1.4 to 0.15.
    let ratio = f64::from(hours[10]) / f64::from(hours[3].max(1));
    assert!((5.0..20.0).contains(&ratio), "{ratio}");
    assert!(hours[10] > 5 * hours[6 * 24 + 10]);
    // The record counts as an average hour.
    let mean = made.arrivals.len() / 168;
    assert!(
        mean.abs_diff(source.arrivals.len()) <= source.arrivals.len() / 10,
        "{mean}"
    );
}

#[test]
fn a_week_from_a_dated_hour_puts_it_where_it_belongs() {
    // Monday, 10:00 to 11:00: 1.4 of an office day's weights, whose mean over a week is 0.489.
    let mut source = hour(40, true);
    source.began_unix_ms = Some(1_794_787_200_000 + 10 * 3_600_000);
    let made = apply("week=office", &source);
    assert_eq!(made.began_unix_ms, Some(1_794_787_200_000));
    let told = statistics(&made, &[]).hour_of_week.unwrap();
    let wanted = f64::from(u32::try_from(source.arrivals.len()).unwrap());
    assert!(
        (told[10].unwrap() / wanted - 1.0).abs() < 0.15,
        "{:?}",
        told[10]
    );
    let peak = Profile::office().most();
    let mean = f64::from(u32::try_from(made.arrivals.len()).unwrap()) / 168.0;
    assert!((wanted / mean / peak - 1.0).abs() < 0.1);
}

#[test]
fn seasons_need_dates_and_keep_the_volume() {
    let mut source = hour(300, true);
    let hours: Vec<String> = (0..24)
        .map(|hour| if hour == 0 { "1" } else { "5" }.to_owned())
        .collect();
    let season: Scenario = format!("season={}", hours.join(",")).parse().unwrap();
    let (made, _) = season.apply(&source, 1, MAX).unwrap();
    // All of it lies in one hour of that weight.
    assert_eq!(made.arrivals.len(), source.arrivals.len());
    source.began_unix_ms = None;
    assert_eq!(season.apply(&source, 1, MAX), Err(BadScenario::NoDates));
}

#[test]
fn what_makes_no_sense_is_told() {
    for text in [
        "",
        "x",
        "xx",
        "10",
        "x0",
        "x-1",
        "x99999",
        "-100%",
        "launch=0",
        "growth=5%",
        "week=moon",
        "season=1,2",
        "xnan",
    ] {
        let error = text.parse::<Scenario>().unwrap_err().to_string();
        assert!(
            error.contains("write x10") || error.contains("must be more than 0"),
            "{text}: {error}"
        );
    }
    let source = hour(100, true);
    let scenario: Scenario = "x100".parse().unwrap();
    assert_eq!(
        scenario.apply(&source, 1, 5_000),
        Err(BadScenario::TooMany { max: 5_000 })
    );
    let scenario: Scenario = "x0.0001".parse().unwrap();
    assert!(matches!(
        scenario.apply(&source, 1, MAX),
        Err(BadScenario::Empty { of: 300 })
    ));
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let bytes = |seed| {
        let scenario: Scenario = "x2.5".parse().unwrap();
        let (made, _) = scenario.apply(&hour(50, false), seed, MAX).unwrap();
        let mut bytes = Vec::new();
        write_jsonl(&made, &[], &mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn a_selection_is_a_window_and_flows() {
    let mut source = hour(60, true);
    source.flows.push("other".to_owned());
    let began = source.began_unix_ms.unwrap();
    let selection = Selection {
        since_unix_ms: Some(began + 600_000),
        until_unix_ms: Some(began + 1_200_000),
        flows: vec!["chat".to_owned()],
    };
    let part = source.select(&selection).unwrap();
    part.check().unwrap();
    assert_eq!(
        (part.began_unix_ms, part.duration_us),
        (Some(began + 600_000), 600_000_000)
    );
    let inside = |arrival: &&Arrival| (600_000_000..1_200_000_000).contains(&arrival.at_us);
    assert_eq!(
        part.arrivals.len(),
        source.arrivals.iter().filter(inside).count()
    );
    let none = Selection {
        flows: vec!["nobody".to_owned()],
        ..Selection::default()
    };
    assert!(
        source
            .select(&none)
            .unwrap_err()
            .to_string()
            .contains("chat, other")
    );
    let empty = Selection {
        flows: vec!["other".to_owned()],
        ..Selection::default()
    };
    assert!(
        source
            .select(&empty)
            .unwrap_err()
            .to_string()
            .contains("loosen")
    );
    source.began_unix_ms = None;
    assert!(
        source
            .select(&selection)
            .unwrap_err()
            .to_string()
            .contains("no dates")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_factor_keeps_every_promise(factor in 0.05_f64..6.0, seed in any::<u64>(), with_sessions in any::<bool>()) {
        let source = hour(30, with_sessions);
        let scenario = Scenario::Scale(factor);
        let Ok((made, _)) = scenario.apply(&source, seed, MAX) else {
            return Ok(());
        };
        prop_assert_eq!(made.check(), Ok(()));
        let whole = factor.ceil();
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let times = made.arrivals.len() as f64 / source.arrivals.len() as f64;
        prop_assert!(times <= whole && times >= factor.floor(), "{} {}", times, factor);
        let lengths: BTreeSet<u32> = made.arrivals.iter().map(|one| one.input_tokens).collect();
        prop_assert!(lengths.is_subset(&source.arrivals.iter().map(|one| one.input_tokens).collect()));
    }
}
