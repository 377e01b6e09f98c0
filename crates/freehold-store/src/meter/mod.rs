//! Limits and budgets: what is used and reserved of them, in this process or shared by many.

mod local;
mod period;
mod rolling;

pub use local::{LocalMeter, Standings};
pub use period::PeriodStart;
