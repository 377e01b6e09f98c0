//! Tests of the fake upstream, over real sockets.

mod control;
mod faults;
mod shapes;
mod support;
