//! A call needs a passage.
use std::sync::Arc;

use freehold_ports::{Backend, Call, Timeouts};
use freehold_types::{Deployment, Request, RequestId};

fn smuggle(backend: &dyn Backend, deployment: Arc<Deployment>, request: Arc<Request>) {
    let call = Call {
        deployment,
        request,
        timeouts: Timeouts::default(),
        id: RequestId::at(0),
    };
    drop(backend.start(call));
}

fn main() {}
