//! What a request cost, rented or owned.
//!
//! Input: how a deployment is paid for ([`freehold_types::PriceBasis`]) and the tokens or the time
//! that a request used. Output: a [`Cost`](freehold_types::outcome::Cost) in integer nano-USD, or the
//! reason why nobody can tell. Three parts: [`PriceBook`] (rented by the token, at list prices or the
//! operator's own), [`OwnedMeter`] (owned by the hour, idle time included; [`OwnedCosts`] tells what an
//! hour costs) and [`tokens`] (counts that nobody reported).
//!
//! This crate never does I/O, never reads a clock, and never answers "zero" when it means "unknown".

mod hourly;
mod owned;
mod price_book;
mod price_list;
mod rounding;
pub mod tokens;

pub use hourly::{BadCosts, HOURS_PER_YEAR, HourlyParts, OwnedCosts};
pub use owned::{OwnedMeter, Ticket};
pub use price_book::{
    BOOK_BYTES_MAX, BOOK_URL, BUNDLED_VERSION, BadBook, BookChange, ListedPrice, ListedRates,
    ListedTier, PriceBook, UnknownCost, differences,
};
