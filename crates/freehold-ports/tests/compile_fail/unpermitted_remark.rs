//! What users say cannot be handed to a prompt store without what only policy gives.
use freehold_policy::{Permit, Storing};
use freehold_ports::{Prompts, Remark, RemarkFacts, RemarkText, Wording};
use freehold_types::Sensitivity;

fn by_permit(store: &dyn Prompts, permit: Permit, facts: RemarkFacts, words: Wording) {
    let _ = store.remark(Remark::new(facts, 0, move |_| {
        Ok(RemarkText::new(permit, Sensitivity::Public, words))
    }));
}

fn before_the_scan(storing: Storing, words: Wording) -> RemarkText {
    RemarkText::new(storing, Sensitivity::Public, words)
}

fn forged(words: Wording) -> RemarkText {
    RemarkText {
        wording: words,
        ..Default::default()
    }
}

fn main() {}
