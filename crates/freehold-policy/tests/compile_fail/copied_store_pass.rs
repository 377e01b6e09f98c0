//! The right to store text is for one request, once, and cannot be widened.
use freehold_guard::Scan;
use freehold_policy::{Masked, StorePass, Storing};

fn widen(storing: &mut Storing) {
    storing.terms.keep_days = 3_650;
}

fn twice(pass: StorePass) -> (StorePass, StorePass) {
    (pass.clone(), pass)
}

fn again(storing: Storing, scan: &Scan) {
    let _ = storing.pass(scan, &Masked::nothing());
    let _ = storing.pass(scan, &Masked::nothing());
}

fn main() {}
