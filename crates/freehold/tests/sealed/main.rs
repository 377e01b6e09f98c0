//! The sealed gateway as operators run it: the real program in a network namespace of its own, in
//! which every packet that leaves is seen.
//!
//! What a namespace needs (`unshare` of util-linux, `ip` of iproute2, and a kernel that lets us) is
//! on every Debian and in CI's containers when they run as root; where it is missing, these tests
//! fail and say so.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod attacks;
mod bounds;
mod capture;
mod gateway;
mod listener;
mod names;
mod namespace;
mod refusals;
mod unrouted;
mod upstream;
