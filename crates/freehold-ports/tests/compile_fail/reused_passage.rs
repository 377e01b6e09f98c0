//! A passage is used up by its call: a second attempt needs a second look at the permit.
use std::sync::Arc;

use freehold_policy::Passage;
use freehold_ports::{Call, Timeouts};
use freehold_types::{Deployment, Request, RequestId};

fn reuse(passage: Passage, deployment: Arc<Deployment>, request: Arc<Request>) {
    let first = Call::new(passage, deployment.clone(), request.clone(), Timeouts::default(), RequestId::at(0));
    let second = Call::new(passage, deployment, request, Timeouts::default(), RequestId::at(0));
    drop((first, second));
}

fn main() {}
