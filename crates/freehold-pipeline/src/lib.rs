//! The one request function: admission in, answer out, outcome recorded.
//!
//! Input: an [`Admission`] (decoded request, account, claim). Output: an [`Answer`] or a [`Failure`],
//! and exactly one [`freehold_types::Outcome`] in the ledger, however the request ends. It calls the
//! rooms in order (guard, policy, route, backends), holds what has to be remembered between requests
//! (health, owned machines' meters, labels of
//! conversations), and knows no wire format and no HTTP.

mod accounting;
mod attempts;
mod audit;
mod course;
mod decide;
mod deliver;
mod disguise;
mod draft;
mod flows;
mod keep;
mod live;
mod log;
mod moves;
mod observe;
mod pipeline;
mod remark;
mod reserve;
mod retries;
mod snapshot;
mod sticky;
mod tally;
mod trace;
mod travel;
mod withhold;

pub use accounting::OwnedStanding;
pub use attempts::Persistence;
pub use audit::AuditTrail;
pub use deliver::ChunkReceiver;
pub use moves::{Change, Ended, Inquiry, Mirror, Mirrored, Move, Moves, Watched, Watcher};
pub use observe::describe_metrics;
pub use pipeline::{Admission, Answer, AnswerBody, Door, Failure, Head, Pipeline, StatusOf};
pub use remark::Told;
pub use reserve::{BUDGET_SPENT, FlowLimits, LIMIT_REACHED};
pub use snapshot::{ListedModel, Snapshot};
