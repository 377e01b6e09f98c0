//! Nothing can be handed to a prompt store without what only policy gives.
use std::sync::Arc;

use freehold_policy::Permit;
use freehold_ports::{Prompts, Sample, SampleFacts, Text};
use freehold_types::Request;

fn keep(store: &dyn Prompts, permit: Permit, facts: SampleFacts, request: Arc<Request>) {
    store.keep(Sample::new(permit, facts, 0, |storing| {
        Ok(Text::new(storing, request, None).unwrap())
    }));
}

fn main() {}
