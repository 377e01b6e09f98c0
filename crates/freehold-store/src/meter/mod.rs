//! Limits and budgets: what is used and reserved of them, in this process or shared by many.

mod local;
mod period;
mod rolling;
mod shared;

use freehold_ports::{BoxFuture, Meter, ReserveError, Scope};
use freehold_types::NanoUsd;

pub use local::LocalMeter;
pub use period::PeriodStart;
pub use shared::{Census, Lapsed, SharedMeter, SharedSettings, Stance};

/// How much of a budget is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standings {
    /// Whose.
    pub scope: Scope,
    /// Of which day or month.
    pub period: PeriodStart,
    /// By requests that have ended.
    pub spent: NanoUsd,
    /// By requests under way, at most.
    pub reserved: NanoUsd,
}

/// Why a meter cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// The address of the shared accounts is none.
    #[error("the address of the shared accounts cannot be used: {reason}")]
    Address {
        /// Why not; without the address, which may hold a password.
        reason: String,
    },
}

/// A meter that has to be told what was spent before it began to count.
pub trait History: Meter {
    /// Those of these budgets about which nobody has told.
    ///
    /// # Errors
    /// When the accounts do not answer.
    fn unknown<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<(Scope, PeriodStart)>, ReserveError>>;

    /// Tells what was spent in a day or month. Told twice, the first counts.
    ///
    /// # Errors
    /// When the accounts do not answer.
    fn restore(
        &self,
        scope: Scope,
        period: PeriodStart,
        spent: NanoUsd,
    ) -> BoxFuture<'_, Result<(), ReserveError>>;

    /// How much of each of these budgets is used, in their order.
    ///
    /// # Errors
    /// When the accounts do not answer.
    fn standings<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<Standings>, ReserveError>>;
}
