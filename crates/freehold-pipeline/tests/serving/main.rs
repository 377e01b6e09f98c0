//! The request function against backends that do exactly what they are told, on a clock that only
//! moves when everything waits.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod audit;
mod beginning;
mod defects;
mod ends;
mod limits;
mod masking;
mod metrics;
mod sticky;
mod support;
