//! No text makes the guard fall off a cliff: the work grows with the length of a text, whatever it
//! consists of.
//!
//! What is compared is the processor time of this thread, the least of several runs, so that other
//! work on the machine does not matter; the bounds are wide. How fast the guard is tells the benchmark.

use cpu_time::ThreadTime;
use freehold_guard::{Guard, Settings};

mod texts;

use texts::{ORDINARY, TEXTS, request, text_of};

const SHORT_BYTES: usize = 8 * 1_024;
const LONG_BYTES: usize = 64 * 1_024;
const RUNS: usize = 5;

/// Work that grows with the square of the length would give eight.
const GROWTH_MAX: f64 = 3.0;

/// An automaton that falls back to a slow one, or text that is read once for every byte, gives
/// hundreds.
const WORST_TO_MEDIAN_MAX: f64 = 16.0;

/// Nanoseconds per byte of a text of this kind and length.
fn nanoseconds_per_byte(guard: &Guard, piece: &str, bytes: usize) -> f64 {
    let asked = request(&text_of(piece, bytes));
    let times = (0..RUNS).map(|_| {
        let start = ThreadTime::now();
        let scan = guard.scan(&asked);
        let taken = start.elapsed().as_secs_f64() * 1e9;
        assert_ne!(scan.incomplete.as_deref(), Some("the guard failed"));
        taken
    });
    times.fold(f64::INFINITY, f64::min) / bytes as f64
}

#[test]
fn no_text_is_a_cliff() {
    let guard = Guard::new(&Settings::default()).unwrap();
    // What is unpacked once is none of the texts' doing.
    guard.scan(&request(TEXTS[0].1));
    let mut measured = Vec::new();
    for (what, piece) in TEXTS {
        let short = nanoseconds_per_byte(&guard, piece, SHORT_BYTES);
        let long = nanoseconds_per_byte(&guard, piece, LONG_BYTES);
        assert!(
            long <= GROWTH_MAX * short,
            "{what}: {short:.0} ns per byte of a short text, {long:.0} of a long one"
        );
        measured.push((long, *what));
    }
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (median, _) = measured[measured.len() / 2];
    let (worst, what) = measured[measured.len() - 1];
    assert!(
        worst <= WORST_TO_MEDIAN_MAX * median,
        "{what}: {worst:.0} ns per byte, the median of {} kinds is {median:.0}",
        measured.len()
    );
    assert!(
        ORDINARY
            .iter()
            .all(|known| TEXTS.iter().any(|(what, _)| what == known))
    );
}
