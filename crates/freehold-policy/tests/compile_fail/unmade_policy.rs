//! A policy comes from settings that were checked.
use freehold_policy::Policy;

fn make() -> Policy {
    Policy { outside_up_to: None, incomplete_scan: Default::default(), rules: vec![], index: Default::default() }
}

fn main() {}
