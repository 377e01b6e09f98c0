//! The right to store text cannot be made outside the policy crate.
use std::time::Duration;

use freehold_policy::{StorePass, StoredText};
use freehold_types::RequestId;

fn forge(id: RequestId) -> StorePass {
    StorePass {
        id,
        keep: Duration::MAX,
        what: StoredText::Original,
        masked: false,
    }
}

fn main() {}
