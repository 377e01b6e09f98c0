use super::*;

/// A run in which each probe's value is drawn.
fn run(probes: usize, mut value: impl FnMut(usize) -> f64) -> Run {
    let values = (0..probes).map(|probe| (format!("probe-{probe}"), value(probe)));
    [(Measure::Score, values.collect())].into()
}

fn state(runs: &[Run], watch: &Watch) -> State {
    watch.courses(runs, 1)[0].state
}

/// Right with this chance, for probes that are easy and hard by turns.
fn drawn(random: &mut fastrand::Rng, probe: usize, easy: f64, hard: f64) -> f64 {
    let chance = if probe.is_multiple_of(2) { easy } else { hard };
    f64::from(u8::from(random.f64() < chance))
}

/// Until an alarm, or `runs_max`.
fn until_alarm(watch: &Watch, probes: usize, runs_max: usize, random: &mut fastrand::Rng) -> usize {
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..runs_max {
        runs.push(run(probes, |probe| drawn(random, probe, 0.9, 0.3)));
    }
    match state(&runs, watch) {
        State::Changed { found, .. } => found + 1 - watch.baseline_runs,
        _ => runs_max - watch.baseline_runs,
    }
}

#[test]
fn false_alarms_are_as_rare_as_is_promised() {
    // So short a promise that it would be seen to be broken. The baseline is drawn anew each time.
    let watch = Watch {
        false_alarm_runs: 20.0,
        tolerance: 0.0,
        misled: 0.05,
        ..Watch::default()
    };
    let mut random = fastrand::Rng::with_seed(11);
    let rounds = 200;
    let all: usize = (0..rounds)
        .map(|_| until_alarm(&watch, 8, 100, &mut random))
        .sum();
    // Cut off at 96, which only makes it less.
    assert!(all as f64 / f64::from(rounds) >= 20.0, "{all}");
}

#[test]
fn nothing_is_said_of_what_stays_for_long() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..20 {
        let runs: Vec<Run> = (0..300)
            .map(|_| run(20, |probe| drawn(&mut random, probe, 0.95, 0.5)))
            .collect();
        let found = state(&runs, &Watch::default());
        assert!(matches!(found, State::Steady { .. }), "{found:?}");
    }
}

#[test]
fn a_change_is_found_soon_and_its_time_is_known() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut runs: Vec<Run> = (0..40)
        .map(|_| run(30, |probe| drawn(&mut random, probe, 0.95, 0.8)))
        .collect();
    runs.extend((0..10).map(|_| run(30, |probe| drawn(&mut random, probe, 0.5, 0.3))));
    let State::Changed {
        since,
        found,
        before,
        after,
    } = state(&runs, &Watch::default())
    else {
        panic!("{:?}", state(&runs, &Watch::default()));
    };
    assert!(
        (39..=41).contains(&since) && (since..48).contains(&found),
        "{since} {found}"
    );
    assert!(
        (before - 0.875).abs() < 0.03 && (after - 0.4).abs() < 0.15,
        "{before} {after}"
    );
    // The same upwards.
    let up: Vec<Run> = runs
        .iter()
        .map(|run| {
            let values = run[&Measure::Score].iter();
            [(
                Measure::Score,
                values
                    .map(|(probe, value)| (probe.clone(), 1.0 - value))
                    .collect(),
            )]
            .into()
        })
        .collect();
    let found = state(&up, &Watch::default());
    assert!(
        matches!(found, State::Changed { since: other, .. } if other == since),
        "{found:?}"
    );
}

#[test]
fn a_model_that_always_says_the_same_is_found_out_at_once() {
    let mut runs: Vec<Run> = (0..8).map(|_| run(30, |_| 1.0)).collect();
    assert!(matches!(
        state(&runs[..2], &Watch::default()),
        State::Learning { runs_missing: 6 }
    ));
    assert!(matches!(
        state(&runs, &Watch::default()),
        State::Steady {
            usual: 1.0,
            alarm: 0.0
        }
    ));
    runs.push(run(30, |probe| if probe < 20 { 0.3 } else { 1.0 }));
    runs.push(run(30, |probe| if probe < 20 { 0.3 } else { 1.0 }));
    let found = state(&runs, &Watch::default());
    assert!(
        matches!(found, State::Changed { since: 8, .. }),
        "{found:?}"
    );
    // Within the tolerance nothing has changed, however long one looks.
    let mut runs: Vec<Run> = (0..8).map(|_| run(30, |_| 1.0)).collect();
    runs.extend((0..300).map(|_| run(30, |_| 0.96)));
    let found = state(&runs, &Watch::default());
    assert!(
        matches!(found, State::Steady { alarm, .. } if alarm < 0.1),
        "{found:?}"
    );
}

#[test]
fn runs_without_answers_are_passed_over() {
    let mut runs: Vec<Run> = (0..10).map(|_| run(10, |_| 1.0)).collect();
    runs[1] = run(4, |_| 0.0);
    runs[9] = Run::new();
    let course = &Watch::default().courses(&runs, 1)[0];
    assert_eq!(
        (course.means[1], course.means[9], course.means[4]),
        (None, None, Some(1.0))
    );
    assert!(matches!(course.state, State::Steady { .. }), "{course:?}");
    // A probe that is new, or gone, is held against nothing.
    runs.push(run(12, |probe| if probe < 10 { 1.0 } else { 0.0 }));
    let course = &Watch::default().courses(&runs, 1)[0];
    assert!(matches!(course.state, State::Steady { .. }), "{course:?}");
}

#[test]
fn more_streams_need_more_evidence() {
    let mut runs: Vec<Run> = (0..8).map(|_| run(10, |_| 1.0)).collect();
    runs.extend((0..30).map(|_| run(10, |probe| if probe < 5 { 0.0 } else { 1.0 })));
    let found = |streams| match Watch::default().courses(&runs, streams)[0].state {
        State::Changed { found, .. } => found,
        other => panic!("{other:?}"),
    };
    assert!(found(1) <= found(1_000) && found(1) < found(1_000_000));
}

#[test]
fn rules_that_say_nothing_are_refused() {
    assert_eq!(Watch::default().check(), Ok(()));
    let of = |change: fn(&mut Watch)| {
        let mut watch = Watch::default();
        change(&mut watch);
        watch.check()
    };
    assert!(of(|watch| watch.baseline_runs = 1).is_err());
    assert!(of(|watch| watch.tolerance = f64::NAN).is_err());
    assert!(of(|watch| watch.false_alarm_runs = 0.0).is_err());
    assert!(of(|watch| watch.misled = 0.5).is_err());
}

#[test]
fn answers_half_as_long_are_found_within_some_runs() {
    let mut runs: Vec<Run> = (0..8).map(|_| run(50, |_| length(80, 80))).collect();
    runs.extend((0..8).map(|_| run(50, |_| length(40, 80))));
    let found = state(&runs, &Watch::default());
    assert!(
        matches!(found, State::Changed { since: 8, found, .. } if found < 14),
        "{found:?}"
    );
}
