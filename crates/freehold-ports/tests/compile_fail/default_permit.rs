//! There is no permit by default.
use freehold_policy::Permit;

fn default() -> Permit {
    Permit::default()
}

fn main() {}
