//! What a request cost on an owned machine, its share of idle time included.

use freehold_types::NanoUsd;
use freehold_types::outcome::{Cost, CostBasis};

use crate::rounding::saturating;

/// Microseconds of an hour: an amount of `nano-USD per hour x microseconds` divided by this is nano-USD.
const HOUR_US: i128 = 3_600_000_000;

/// Extra binary digits of [`OwnedMeter::served`], so that dividing among requests loses nothing that counts.
const SERVED_SHIFT: u32 = 24;

/// Attributes the hourly cost of one deployment to its requests.
///
/// * **Busy time** is divided equally, at every moment, among the requests being served: a request
///   that shares the machine with three others pays a quarter of that time.
/// * **Idle time** goes into a pool. Each request that ends takes `pool x own / (own + spread)` out
///   of it, where `own` is its share of busy time. A night's idle time is thus carried by the next
///   few `spread`s of work, not by the first request of the morning alone; with a spread of zero the
///   next request takes the whole pool.
/// * **Nothing is lost or invented**: the costs of all ended requests plus
///   [`OwnedMeter::unattributed`] are the elapsed time times the price, to the nano-dollar.
///
/// Times are microseconds of any one clock, best a monotonic one. A clock that jumps back stands
/// still until it has caught up.
#[derive(Clone, Debug)]
pub struct OwnedMeter {
    per_hour: i128,
    spread_us: i128,
    /// The spread in the unit of `accrued`, at the last price above zero.
    spread: i128,
    now_us: u64,
    active: u32,
    /// Price x time so far, in nano-USD per hour x microseconds.
    accrued: i128,
    /// The same for one request that was served from the beginning, with [`SERVED_SHIFT`] more digits.
    served: i128,
    /// Nano-USD of ended requests.
    attributed: i128,
    /// The idle pool: the part of `accrued` that no request caused and none has taken yet, in the
    /// unit of `accrued`. The rest that is not attributed belongs to requests being served.
    idle: i128,
}

/// A request being served; to be given back to [`OwnedMeter::end`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request that never ends is served forever"]
pub struct Ticket {
    served_at_begin: i128,
}

impl OwnedMeter {
    /// The spread that [`OwnedMeter::new`] takes: idle time is carried by about the next minute of work.
    pub const DEFAULT_SPREAD_US: u64 = 60_000_000;

    /// A meter of a machine that costs `per_hour` and started at `now_us`. A negative price counts as zero.
    pub fn new(per_hour: NanoUsd, now_us: u64) -> Self {
        Self::with_spread(per_hour, now_us, Self::DEFAULT_SPREAD_US)
    }

    /// The same with a spread of the caller's choice.
    pub fn with_spread(per_hour: NanoUsd, now_us: u64, spread_us: u64) -> Self {
        let per_hour = i128::from(per_hour.nanos().max(0));
        let spread_us = i128::from(spread_us);
        Self {
            per_hour,
            spread_us,
            spread: per_hour * spread_us,
            now_us,
            active: 0,
            accrued: 0,
            served: 0,
            attributed: 0,
            idle: 0,
        }
    }

    /// Another price holds from now on; what has accrued stays. A machine that is given away costs
    /// nothing from now on.
    pub fn reprice(&mut self, per_hour: NanoUsd, now_us: u64) {
        self.advance(now_us);
        self.per_hour = i128::from(per_hour.nanos().max(0));
        if self.per_hour > 0 {
            self.spread = self.per_hour * self.spread_us;
        }
    }

    /// What an hour costs now.
    pub fn per_hour(&self) -> NanoUsd {
        saturating(self.per_hour)
    }

    /// What the time has cost so far, busy or idle.
    pub fn wall(&mut self, now_us: u64) -> NanoUsd {
        self.advance(now_us);
        saturating(self.accrued / HOUR_US)
    }

    /// What ended requests have been charged with.
    pub fn charged(&self) -> NanoUsd {
        saturating(self.attributed)
    }

    /// A request begins.
    pub fn begin(&mut self, now_us: u64) -> Ticket {
        self.advance(now_us);
        self.active = self.active.saturating_add(1);
        Ticket {
            served_at_begin: self.served,
        }
    }

    /// A request ends, however it ends; what it cost.
    pub fn end(&mut self, ticket: Ticket, now_us: u64) -> Cost {
        self.advance(now_us);
        self.active = self.active.saturating_sub(1);
        let own = ((self.served - ticket.served_at_begin) >> SERVED_SHIFT).max(0);
        let busy = own / HOUR_US;
        let idle_share = self.take_idle(own);
        self.attributed += busy + idle_share;
        if self.active == 0 {
            // Fractions of a nano-dollar that rounding left over: the next request's idle share.
            self.idle = (self.accrued - self.attributed * HOUR_US).max(0);
        }
        Cost {
            total: saturating(busy + idle_share),
            idle_share: saturating(idle_share),
            basis: CostBasis::Hours,
            gap: None,
            book: None,
        }
    }

    /// What no ended request has been charged with: idle time, and requests being served.
    pub fn unattributed(&mut self, now_us: u64) -> NanoUsd {
        self.advance(now_us);
        saturating(self.accrued / HOUR_US - self.attributed)
    }

    /// The idle part of it, rounded down.
    pub fn idle_pool(&mut self, now_us: u64) -> NanoUsd {
        self.advance(now_us);
        saturating(self.idle / HOUR_US)
    }

    /// How many requests are being served.
    pub fn active(&self) -> u32 {
        self.active
    }

    fn advance(&mut self, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.now_us);
        self.now_us = self.now_us.max(now_us);
        let amount = self.per_hour.saturating_mul(i128::from(elapsed_us));
        self.accrued = self.accrued.saturating_add(amount);
        if self.active == 0 {
            self.idle = self.idle.saturating_add(amount);
        } else {
            let each = amount.saturating_mul(1 << SERVED_SHIFT) / i128::from(self.active);
            self.served = self.served.saturating_add(each);
        }
    }

    /// Takes a request's share out of the idle pool, in nano-USD.
    fn take_idle(&mut self, own: i128) -> i128 {
        // `own` and the spread in the same unit: nano-USD per hour x microseconds.
        let whole = own.saturating_add(self.spread);
        let pool = self.idle / HOUR_US;
        let share = if self.spread == 0 {
            pool
        } else {
            // Amounts that would overflow are beyond all sense; they take nothing rather than panic.
            pool.checked_mul(own).map_or(0, |product| product / whole)
        };
        self.idle -= share * HOUR_US;
        share
    }
}

#[cfg(test)]
mod tests;
