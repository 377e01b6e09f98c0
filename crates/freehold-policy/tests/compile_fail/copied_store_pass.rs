//! The right to store text is for one request, once, and cannot be widened.
use freehold_policy::{Masked, StorePass, Storing};

fn widen(storing: &mut Storing) {
    storing.terms.keep_days = 3_650;
}

fn twice(pass: StorePass) -> (StorePass, StorePass) {
    (pass.clone(), pass)
}

fn again(storing: Storing) {
    let _ = storing.pass(&Masked::nothing());
    let _ = storing.pass(&Masked::nothing());
}

fn main() {}
