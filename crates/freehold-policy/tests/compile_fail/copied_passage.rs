//! A passage is for one call.
use freehold_policy::Passage;

fn copy(passage: &Passage) -> Passage {
    Passage::clone(passage)
}

fn main() {}
