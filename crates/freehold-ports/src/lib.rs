//! The traits between the gateway's logic and the outside world: [`Backend`], [`Ledger`], [`Accounts`],
//! [`Meter`], [`UnderWay`], [`Audit`], [`Prompts`], [`Tracer`], [`Clock`] on a request's way; [`Administration`]
//! and [`Login`] at the operator's surface.
//!
//! Traits and the values they exchange only: no implementation, no I/O. A backend takes a [`Call`],
//! and a call cannot be made without a [`freehold_policy::Passage`], so nothing reaches a backend
//! that policy has not let through.

mod accounts;
mod administration;
mod audit;
mod backend;
mod clock;
mod feedback;
mod ledger;
mod meter;
mod prompts;
mod remarks;
mod tracer;
mod under_way;

pub use accounts::{ANONYMOUS, Account, Accounts};
pub use administration::{
    Administration, AdministrationError, Invitation, Login, LoginError, Parameters, Person,
    Question,
};
pub use audit::{Audit, AuditError};
pub use backend::{Backend, BoxFuture, Call, Chunk, ChunkStream, LeftOut, Probe, Timeouts};
pub use clock::{Clock, SystemClock};
pub use feedback::{Feedback, FeedbackGiven, Feedbacks};
pub use ledger::{Ledger, LedgerError};
pub use meter::{
    Bound, Budget, Denial, Limits, Meter, Period, Remaining, Reservation, ReserveError, Scope,
    Shortage, Standing, Used,
};
pub use prompts::{AnswerEnd, Prompts, Sample, SampleFacts, Text, Unkept};
pub use remarks::{NotStored, Recorded, Remark, RemarkFacts, RemarkText, Remarked, Wording};
pub use tracer::{Ended, Tracer};
pub use under_way::{Slot, UnderWay};
