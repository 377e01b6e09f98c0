//! The store from outside: what is recorded is kept, once, and comes back, whatever happens.

mod common;
mod ledger;
