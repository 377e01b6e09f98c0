//! A permit cannot be changed once it is given.
use freehold_policy::{Masks, Permit};

fn lighten(permit: &mut Permit) {
    permit.masks_outside = Masks::default();
    permit.outside = true;
}

fn main() {}
