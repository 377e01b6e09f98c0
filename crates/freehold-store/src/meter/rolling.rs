//! How much was used within the last minute. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Length of the window.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Amounts are kept apart by this much time: so long after the minute they still count at most.
pub(crate) const STEP: Duration = Duration::from_secs(1);

/// A sum over the last minute.
///
/// Amounts are gathered per second, and a second counts until all of it is more than a minute old:
/// no minute, wherever it begins, holds more than what is admitted by this sum.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rolling {
    /// Second of the meter's clock, and what was used in it; oldest first.
    seconds: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Rolling {
    /// What was used in the minute before `now`.
    pub(crate) fn used(&mut self, now: Duration) -> u64 {
        while let Some((second, amount)) = self.seconds.front().copied() {
            if end_of(second) > now {
                break;
            }
            self.seconds.pop_front();
            self.sum -= amount;
        }
        self.sum
    }

    /// Uses some more, and says when.
    pub(crate) fn add(&mut self, now: Duration, amount: u64) -> u64 {
        let last = self.seconds.back().map_or(0, |(second, _)| *second);
        // A clock that went back stands still here.
        let second = now.as_secs().max(last);
        match self.seconds.back_mut() {
            Some((at, sum)) if *at == second => *sum = sum.saturating_add(amount),
            _ => self.seconds.push_back((second, amount)),
        }
        self.sum = self.sum.saturating_add(amount);
        second
    }

    /// Puts `used` in the place of `reserved`, in the second it was reserved in. What has left the
    /// window stays as it is.
    pub(crate) fn correct(&mut self, second: u64, reserved: u64, used: u64) {
        let found = self.seconds.binary_search_by_key(&second, |(at, _)| *at);
        if let Some((_, amount)) = found.ok().and_then(|index| self.seconds.get_mut(index)) {
            let corrected = amount.saturating_sub(reserved).saturating_add(used);
            self.sum = self.sum.saturating_sub(*amount).saturating_add(corrected);
            *amount = corrected;
        }
    }

    /// How long until `needed` more fit under `limit`, if nothing else comes; `None` when they never do.
    pub(crate) fn wait(&mut self, now: Duration, needed: u64, limit: u64) -> Option<Duration> {
        let room = limit.checked_sub(needed)?;
        let mut left = self.used(now);
        if left <= room {
            return Some(Duration::ZERO);
        }
        for (second, amount) in &self.seconds {
            left -= amount;
            if left <= room {
                return Some(end_of(*second).saturating_sub(now));
            }
        }
        None
    }

    /// How long until nothing is used any more.
    pub(crate) fn reset(&self, now: Duration) -> Duration {
        let last = self.seconds.iter().rfind(|(_, amount)| *amount > 0);
        last.map_or(Duration::ZERO, |(second, _)| {
            end_of(*second).saturating_sub(now)
        })
    }
}

/// When a second has left the window.
fn end_of(second: u64) -> Duration {
    Duration::from_secs(second) + STEP + WINDOW
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_older_than_a_minute_does_not_count() {
        let mut rolling = Rolling::default();
        rolling.add(ms(1_500), 3);
        rolling.add(ms(1_900), 4);
        rolling.add(ms(30_000), 5);
        assert_eq!(rolling.used(ms(61_999)), 12);
        assert_eq!(rolling.used(ms(62_000)), 5);
        assert_eq!(rolling.used(ms(91_000)), 0);
    }

    #[test]
    fn a_wait_is_as_long_as_it_says() {
        let mut rolling = Rolling::default();
        rolling.add(ms(1_500), 3);
        rolling.add(ms(20_000), 5);
        assert_eq!(rolling.wait(ms(21_000), 2, 10), Some(Duration::ZERO));
        assert_eq!(rolling.wait(ms(21_000), 3, 10), Some(ms(62_000 - 21_000)));
        assert_eq!(rolling.wait(ms(21_000), 6, 10), Some(ms(81_000 - 21_000)));
        assert_eq!(rolling.wait(ms(21_000), 11, 10), None);
        assert_eq!(rolling.reset(ms(21_000)), ms(81_000 - 21_000));
    }

    #[test]
    fn a_correction_counts_where_it_was_reserved() {
        let mut rolling = Rolling::default();
        let second = rolling.add(ms(1_500), 100);
        rolling.add(ms(2_500), 1);
        rolling.correct(second, 100, 7);
        assert_eq!(rolling.used(ms(3_000)), 8);
        assert_eq!(rolling.used(ms(62_000)), 1);
        rolling.correct(second, 7, 50);
        assert_eq!(rolling.used(ms(62_000)), 1);
    }

    proptest! {
        /// Whatever comes when: within no minute is more used than the limit.
        #[test]
        fn no_minute_holds_more_than_the_limit(
            asks in prop::collection::vec((0_u64..9_000, 1_u64..6), 1..120),
            limit in 1_u64..20,
        ) {
            let mut rolling = Rolling::default();
            let mut now = 0;
            let mut admitted: Vec<(u64, u64)> = vec![];
            for (pause, amount) in asks {
                now += pause;
                let wait = rolling.wait(ms(now), amount, limit);
                if wait == Some(Duration::ZERO) {
                    rolling.add(ms(now), amount);
                    admitted.push((now, amount));
                } else if let Some(wait) = wait {
                    // It fits then, and a millisecond earlier it does not.
                    let after = |wait| rolling.clone().wait(ms(now) + wait, amount, limit);
                    prop_assert_eq!(after(wait), Some(Duration::ZERO));
                    prop_assert_eq!(after(wait - ms(1)), Some(ms(1)));
                }
            }
            for (begin, _) in &admitted {
                let within = admitted.iter().filter(|(at, _)| (*begin..begin + 60_000).contains(at));
                prop_assert!(within.map(|(_, amount)| amount).sum::<u64>() <= limit);
            }
        }
    }
}
