use super::*;

fn breaker() -> Breaker {
    Breaker::new(BreakerSettings {
        consecutive_failures: 3,
        failure_permille: 500,
        open_ms: 1_000,
        open_max_ms: 4_000,
        probe_timeout_ms: 60_000,
    })
}

fn attempt(breaker: &mut Breaker, verdict: Verdict, now_ms: u64) {
    let probe = breaker.begin(now_ms);
    breaker.end(probe, verdict, now_ms);
}

#[test]
fn failures_in_a_row_open_it_and_a_probe_closes_it() {
    let mut breaker = breaker();
    attempt(&mut breaker, Verdict::Failure, 0);
    attempt(&mut breaker, Verdict::Failure, 0);
    attempt(&mut breaker, Verdict::Success, 0);
    attempt(&mut breaker, Verdict::Failure, 0);
    attempt(&mut breaker, Verdict::Failure, 0);
    assert_eq!(breaker.availability(0), Availability::Up);
    attempt(&mut breaker, Verdict::Failure, 0);
    assert_eq!(
        breaker.availability(0),
        Availability::Down { for_ms: 1_000 }
    );
    assert_eq!(breaker.availability(999), Availability::Down { for_ms: 1 });
    assert_eq!(breaker.availability(1_000), Availability::Probing);
    let probe = breaker.begin(1_000);
    assert!(probe);
    // One probe at a time.
    assert!(matches!(
        breaker.availability(1_001),
        Availability::Down { .. }
    ));
    assert!(!breaker.begin(1_001));
    breaker.end(probe, Verdict::Success, 1_200);
    assert_eq!(breaker.availability(1_200), Availability::Up);
}

#[test]
fn failed_probes_double_the_pause_up_to_its_bound() {
    let mut breaker = breaker();
    for _ in 0..3 {
        attempt(&mut breaker, Verdict::Failure, 0);
    }
    let mut now_ms = 0;
    for expected_ms in [1_000, 2_000, 4_000, 4_000] {
        assert_eq!(
            breaker.availability(now_ms),
            Availability::Down {
                for_ms: expected_ms
            }
        );
        now_ms += expected_ms;
        attempt(&mut breaker, Verdict::Failure, now_ms);
    }
    // A success forgets the doubling.
    now_ms += 4_000;
    attempt(&mut breaker, Verdict::Success, now_ms);
    for _ in 0..3 {
        attempt(&mut breaker, Verdict::Failure, now_ms);
    }
    assert_eq!(
        breaker.availability(now_ms),
        Availability::Down { for_ms: 1_000 }
    );
}

#[test]
fn a_share_of_failures_opens_it_too() {
    let mut breaker = breaker();
    for turn in 0..9 {
        let verdict = if turn % 2 == 0 {
            Verdict::Failure
        } else {
            Verdict::Success
        };
        attempt(&mut breaker, verdict, 0);
        assert_eq!(breaker.availability(0), Availability::Up);
    }
    attempt(&mut breaker, Verdict::Failure, 0);
    assert!(matches!(breaker.availability(0), Availability::Down { .. }));
}

#[test]
fn late_failures_of_earlier_attempts_do_not_prolong_it() {
    let mut breaker = breaker();
    for _ in 0..3 {
        attempt(&mut breaker, Verdict::Failure, 0);
    }
    breaker.end(false, Verdict::Failure, 900);
    breaker.end(false, Verdict::Success, 900);
    assert_eq!(
        breaker.availability(900),
        Availability::Down { for_ms: 100 }
    );
}

#[test]
fn a_pause_is_kept_to_the_millisecond_and_is_no_failure() {
    let mut breaker = breaker();
    for _ in 0..100 {
        attempt(
            &mut breaker,
            Verdict::Pause(Duration::from_millis(2_345)),
            1_000,
        );
    }
    assert_eq!(
        breaker.availability(1_000),
        Availability::Down { for_ms: 2_345 }
    );
    assert_eq!(
        breaker.availability(3_344),
        Availability::Down { for_ms: 1 }
    );
    assert_eq!(breaker.availability(3_345), Availability::Up);
}

#[test]
fn a_cold_start_of_three_minutes_is_no_failure() {
    let mut breaker = breaker();
    for second in 0..180 {
        attempt(&mut breaker, Verdict::Loading, second * 1_000);
        assert_eq!(breaker.availability(second * 1_000), Availability::Loading);
    }
    attempt(&mut breaker, Verdict::Success, 180_000);
    assert_eq!(breaker.availability(180_000), Availability::Up);
}

#[test]
fn a_probe_that_never_ends_does_not_bar_others_forever() {
    let mut breaker = breaker();
    for _ in 0..3 {
        attempt(&mut breaker, Verdict::Failure, 0);
    }
    assert!(breaker.begin(1_000));
    assert_eq!(breaker.availability(61_000), Availability::Probing);
    // A client that leaves the probe lets the next one try.
    let probe = breaker.begin(61_000);
    breaker.end(probe, Verdict::Neutral, 61_100);
    assert_eq!(breaker.availability(61_100), Availability::Probing);
}

#[test]
fn verdicts_follow_the_error() {
    use ErrorKind as K;
    let verdict = |kind| Verdict::of(Some(&Error::new(kind, "x")));
    assert_eq!(Verdict::of(None), Verdict::Success);
    for kind in [
        K::InvalidRequest,
        K::Unsupported,
        K::ContextOverflow,
        K::Cancelled,
        K::Internal,
        K::ContentFiltered,
    ] {
        assert_eq!(verdict(kind), Verdict::Neutral, "{kind:?}");
    }
    for kind in [
        K::Timeout,
        K::BadUpstream,
        K::Unavailable,
        K::Overloaded,
        K::UpstreamAuth,
    ] {
        assert_eq!(verdict(kind), Verdict::Failure, "{kind:?}");
    }
    let after = |kind, seconds| {
        let retry = Retry::After(Duration::from_secs(seconds));
        Verdict::of(Some(&Error::new(kind, "x").with_retry(retry)))
    };
    assert_eq!(
        after(K::RateLimited, 7),
        Verdict::Pause(Duration::from_secs(7))
    );
    assert_eq!(
        after(K::Unavailable, 7),
        Verdict::Pause(Duration::from_secs(7))
    );
    assert_eq!(after(K::RateLimited, 1 << 40), Verdict::Pause(PAUSE_MAX));
    assert_eq!(verdict(K::RateLimited), Verdict::Pause(PAUSE_DEFAULT));
    let loading = Error::new(K::Unavailable, "x").with_code(MODEL_LOADING);
    assert_eq!(Verdict::of(Some(&loading)), Verdict::Loading);
}

#[test]
fn vitals_average_and_forget() {
    let mut vitals = Vitals::new(BreakerSettings::default());
    assert_eq!(vitals.health(0), Health::default());
    let mut serve = |first_token_us, now_ms| {
        let began = vitals.begin(now_ms);
        assert_eq!(vitals.health(now_ms).in_flight, 1);
        let sample = Sample {
            first_token_us: Some(first_token_us),
            generating_us: 2_000_000,
            output_tokens: 100,
        };
        vitals.end(began, Verdict::Success, sample, now_ms);
        vitals.health(now_ms)
    };
    let health = serve(100_000, 0);
    assert_eq!(health.first_token_ms, Some(100));
    assert_eq!(health.tokens_per_second, Some(50.0));
    assert_eq!(health.in_flight, 0);
    assert_eq!(serve(600_000, 1_000).first_token_ms, Some(200));
    let later = vitals.health(1_000 + FORGOTTEN_AFTER_MS + 1);
    assert_eq!(later.first_token_ms, None);
    assert_eq!(later.tokens_per_second, None);
}
