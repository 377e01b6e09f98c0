//! The model store against servers on loopback. No test reaches another address.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, also in its helpers"
)]

mod hub;
mod index;
mod names;
mod store;
mod support;
