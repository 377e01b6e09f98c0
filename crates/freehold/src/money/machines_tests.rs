use freehold_cost::OwnedMeter;
use proptest::prelude::*;

use super::*;

const HOUR_MS: u64 = 3_600_000;

fn standing(meter: &mut OwnedMeter, now_us: u64) -> OwnedStanding {
    OwnedStanding {
        backend: BackendId::new("gpu"),
        per_hour: meter.per_hour(),
        wall: meter.wall(now_us),
        charged: meter.charged(),
        idle: meter.idle_pool(now_us),
    }
}

fn dollars(usd: f64) -> NanoUsd {
    NanoUsd::from_usd(usd).unwrap()
}

#[test]
fn a_night_without_the_gateway_is_counted_and_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    let start = 1_792_497_600_000;
    // An hour at 2 $.
    let mut machines = Machines::open(path.clone(), start);
    let mut meter = OwnedMeter::new(dollars(2.0), 0);
    machines.take(&[standing(&mut meter, HOUR_MS * 1_000)], start + HOUR_MS);
    machines.write();
    // Eight hours down, then half an hour.
    let again = start + 9 * HOUR_MS;
    let mut machines = Machines::open(path.clone(), again);
    let mut meter = OwnedMeter::new(dollars(2.0), 77);
    let now_us = 77 + HOUR_MS * 500;
    machines.take(&[standing(&mut meter, now_us)], again + HOUR_MS / 2);
    machines.write();
    let record = read(&path).unwrap();
    let machine = record.machines["gpu"];
    assert_eq!(machine.since_unix_ms, start);
    assert_eq!(machine.running_nano_usd, dollars(3.0));
    assert_eq!(machine.away_nano_usd, dollars(16.0));
    assert_eq!(machine.wall(), dollars(19.0));
    // A machine that is given away costs nothing from then on, also while the gateway is down.
    let mut machines = Machines::open(path.clone(), again + HOUR_MS / 2);
    let mut meter = OwnedMeter::new(NanoUsd::ZERO, 0);
    machines.take(&[standing(&mut meter, 1_000)], again + HOUR_MS / 2);
    machines.write();
    let mut machines = Machines::open(path.clone(), again + 99 * HOUR_MS);
    machines.take(&[standing(&mut meter, 2_000)], again + 99 * HOUR_MS);
    machines.write();
    assert_eq!(read(&path).unwrap().machines["gpu"].wall(), dollars(19.0));
}

#[test]
fn a_clock_that_goes_back_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    let start = 1_792_497_600_000;
    let mut machines = Machines::open(path.clone(), start);
    let mut meter = OwnedMeter::new(dollars(2.0), 0);
    machines.take(&[standing(&mut meter, HOUR_MS * 1_000)], start + HOUR_MS);
    machines.write();
    // The next gateway starts with a clock of 1970, which is set right while it runs.
    let mut machines = Machines::open(path.clone(), 5);
    let mut meter = OwnedMeter::new(dollars(2.0), 0);
    machines.take(&[standing(&mut meter, 0)], 6);
    machines.take(
        &[standing(&mut meter, HOUR_MS * 1_000)],
        start + 2 * HOUR_MS,
    );
    machines.write();
    let machine = read(&path).unwrap().machines["gpu"];
    assert_eq!(
        (machine.wall(), machine.away_nano_usd),
        (dollars(4.0), NanoUsd::ZERO)
    );
}

#[test]
fn a_damaged_file_is_kept_aside_and_counting_goes_on() {
    for damage in ["", "{", "[]", r#"{"format":2,"machines":{}}"#] {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path());
        std::fs::write(&path, damage).unwrap();
        assert!(read(&path).is_err());
        let mut machines = Machines::open(path.clone(), 1_000);
        let kept = std::fs::read_to_string(path.with_extension("json.damaged")).unwrap();
        assert_eq!(kept, damage);
        let mut meter = OwnedMeter::new(dollars(1.0), 0);
        machines.take(&[standing(&mut meter, HOUR_MS * 1_000)], 1_000 + HOUR_MS);
        machines.write();
        assert_eq!(read(&path).unwrap().machines["gpu"].wall(), dollars(1.0));
    }
    assert_eq!(
        read(Path::new("/nowhere/at/all")).unwrap(),
        Record::default()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    End(usize),
    Look,
    Write,
}

/// Milliseconds, and what happens then.
fn run() -> impl Strategy<Value = (Vec<(u64, Step)>, bool, u64)> {
    let step = prop_oneof![
        3 => Just(Step::Begin),
        3 => any::<prop::sample::Index>().prop_map(|index| Step::End(index.index(64))),
        2 => Just(Step::Look),
        1 => Just(Step::Write),
    ];
    let steps = proptest::collection::vec((0_u64..100_000, step), 0..30);
    (steps, any::<bool>(), 0_u64..10_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over restarts and crashes: what ended requests carry and what is idle are what the wall clock
    /// cost, and nobody carries more than there is.
    #[test]
    fn requests_and_idle_time_are_the_wall_clock(
        per_hour in 1_i64..100_000_000_000,
        runs in proptest::collection::vec(run(), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path());
        let start = 1_792_497_600_000_u64;
        let (mut now, mut carried, mut counted) = (start, 0_i128, start);
        let mut looks = 2_i128;
        for (steps, is_clean, pause) in runs {
            let mut machines = Machines::open(path.clone(), now);
            let (began, mut open) = (now, Vec::new());
            let mut meter = OwnedMeter::new(NanoUsd::from_nanos(per_hour), 0);
            let us = |now: u64| (now - began) * 1_000;
            machines.take(&[standing(&mut meter, 0)], now);
            machines.write();
            counted = now;
            for (pause, step) in steps {
                now += pause;
                match step {
                    Step::Begin => open.push(meter.begin(us(now))),
                    Step::End(index) if !open.is_empty() => {
                        let ticket = open.swap_remove(index % open.len());
                        carried += i128::from(meter.end(ticket, us(now)).total.nanos());
                    }
                    Step::End(_) => {}
                    Step::Look => machines.take(&[standing(&mut meter, us(now))], now),
                    Step::Write => {
                        machines.take(&[standing(&mut meter, us(now))], now);
                        machines.write();
                        counted = now;
                    }
                }
            }
            if is_clean {
                machines.take(&[standing(&mut meter, us(now))], now);
                machines.write();
                counted = now;
            }
            looks += 2;
            now += pause;
        }
        // The next start counts what a crash has left out.
        let mut machines = Machines::open(path.clone(), now);
        let mut meter = OwnedMeter::new(NanoUsd::from_nanos(per_hour), 0);
        machines.take(&[standing(&mut meter, 0)], now);
        machines.write();
        let machine = read(&path).unwrap().machines["gpu"];
        let wall = i128::from(machine.wall().nanos());
        let truth = i128::from(per_hour) * i128::from(now - start) / i128::from(HOUR_MS);
        // Every run may round a nano-dollar.
        prop_assert!((wall - truth).abs() <= looks, "{} and {}", wall, truth);
        prop_assert!(carried <= wall + looks);
        prop_assert!(counted <= now);
    }
}
