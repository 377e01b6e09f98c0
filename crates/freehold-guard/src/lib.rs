//! The guard: a canonical request in, findings out.
//!
//! Input: a [`freehold_types::Request`]. Output: a [`Scan`], the entity types seen and where, never
//! the text itself. Pure and byte-level; it never calls a model, never decides (that is policy) and
//! never reports less than it could not finish: an incomplete scan says so, and policy treats it as
//! `restricted`.

mod finding;

pub use finding::{Finding, Scan};
