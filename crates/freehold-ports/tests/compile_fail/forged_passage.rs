//! A passage cannot be made by hand.
use freehold_policy::Passage;
use freehold_types::{Sensitivity, Site};

fn forge() -> Passage {
    Passage {
        deployment: "openai/gpt-4o".into(),
        backend: "openai".into(),
        site: Site::outside(),
        sensitivity: Sensitivity::Public,
    }
}

fn main() {}
