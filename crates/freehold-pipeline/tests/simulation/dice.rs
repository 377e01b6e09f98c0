//! Everything that is left to chance, from one seed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// A generator that many share: with one thread and a paused clock, they come in the same order every time.
#[derive(Clone)]
pub(crate) struct Dice(Arc<Mutex<fastrand::Rng>>, Arc<AtomicBool>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(
            Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            Arc::default(),
        )
    }

    pub(crate) fn number(&self, range: Range<u64>) -> u64 {
        self.0.lock().u64(range)
    }

    pub(crate) fn index(&self, length: usize) -> usize {
        self.0.lock().usize(0..length)
    }

    pub(crate) fn one_in(&self, many: u64) -> bool {
        self.number(0..many) == 0
    }

    /// As [`Dice::one_in`], until everything calms down.
    pub(crate) fn mishap(&self, one_in: u64) -> bool {
        !self.is_calm() && self.one_in(one_in)
    }

    /// From now on, nothing goes wrong.
    pub(crate) fn calm_down(&self) {
        self.1.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// Mostly short, sometimes long: three sizes, each ten times the one before.
    pub(crate) fn pause_ms(&self) -> u64 {
        let most = self.pick(&[10, 10, 100, 100, 1_000, 10_000]);
        self.number(0..most)
    }

    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        self.0.lock().shuffle(items);
    }
}
