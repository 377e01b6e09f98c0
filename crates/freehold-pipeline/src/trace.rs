//! Which trace a request belongs to, what upstreams are told of it, and what the tracer is told.

use freehold_ports::{Ended, Tracer};
use freehold_types::{FinishReason, Outcome, Perimeter, Trace, TraceParent};

/// A request's trace, while it is on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TraceContext {
    /// The caller's.
    pub(crate) caller: Option<TraceParent>,
    /// Ours; `None` when nobody traces the request.
    pub(crate) trace: Option<Trace>,
}

impl TraceContext {
    /// What the upstream of an attempt is told. A caller's trace goes on, with our span in the place
    /// of the caller's where there is one; a trace that begins here is nobody's affair outside.
    pub(crate) fn handed_on(&self, attempt: usize, perimeter: Perimeter) -> Option<TraceParent> {
        let Some(trace) = &self.trace else {
            return self.caller;
        };
        let told = self.caller.is_some() || perimeter == Perimeter::Inside;
        told.then(|| trace.context(trace.attempt(attempt)))
    }
}

/// What the tracer is told and the outcome does not say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traced {
    /// `None` when nobody traces the request.
    pub(crate) trace: Option<Trace>,
    /// Why the choices of the answer ended.
    pub(crate) finish_reasons: Vec<FinishReason>,
}

impl Traced {
    /// Hands the outcome of a traced request over.
    pub(crate) fn tell(self, tracer: Option<&dyn Tracer>, outcome: Outcome) {
        if let (Some(tracer), Some(trace)) = (tracer, self.trace) {
            tracer.ended(Ended {
                trace,
                outcome,
                finish_reasons: self.finish_reasons,
            });
        }
    }
}
