//! A permit cannot be made by hand.
use freehold_policy::Permit;
use freehold_types::Sensitivity;

fn forge() -> Permit {
    Permit { sensitivity: Sensitivity::Public, outside: true, constraints: vec![], reasons: vec![] }
}

fn main() {}
