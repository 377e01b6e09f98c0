//! Who makes spans of requests.

use freehold_types::{FinishReason, Outcome, RequestId, Trace, TraceParent};

/// Makes spans of requests that have ended. Whatever happens in it, requests go on.
pub trait Tracer: Send + Sync {
    /// Where a request stands in which trace; `None` when it is not sampled. Asked once per request,
    /// when it comes.
    fn begin(&self, request: RequestId, caller: Option<TraceParent>) -> Option<Trace>;

    /// Takes a request that has ended. Returns at once: what does not fit is dropped and counted.
    fn ended(&self, ended: Ended);
}

/// A traced request that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its place in its trace.
    pub trace: Trace,
    /// What happened. As in the ledger, it holds no text and no secret.
    pub outcome: Outcome,
    /// Why the choices of the answer ended.
    pub finish_reasons: Vec<FinishReason>,
}
