//! Answers on their way to the client: event by event, or whole.
//!
//! Two things are done to them. [`AnswerRestorer`] puts back what masking replaced; [`AnswerGuard`]
//! removes what the model wrote and the caller did not send. Both rewrite texts that come in pieces
//! cut anywhere, and both walk an answer's events in the same way ([`Rewriter`]).

mod hold;
mod json;
mod known;
mod redact;
mod restore;
mod rewrite;
mod text;

pub use known::KnownValues;
pub use redact::{AnswerGuard, Unwanted};
pub use restore::AnswerRestorer;

use rewrite::{Rewrite, Rewriter};
