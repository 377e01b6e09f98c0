//! The model store against servers on loopback. No test reaches another address.

mod hub;
mod index;
mod names;
mod store;
mod support;
