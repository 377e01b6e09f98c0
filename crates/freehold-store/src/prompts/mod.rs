//! Stored prompts: requests and answers, as far as policy lets them be stored, encrypted.
//!
//! # Keys
//! Each tenant has a key, wrapped by the master key (a file, a value, or a program). Below it, and
//! wrapped by it, are the keys of its end users, of its conversations, and of each hour in which
//! something expires. A record's own key is made of all that apply to it: without any one of them
//! the record cannot be opened. So erasing a tenant, an end user or a conversation, and expiry, is
//! the removal of one small row each; what is encrypted below it is noise from then on, in backups of
//! the bodies too. Everything is AES-256-GCM-SIV; keys are bound to their rows, texts to all that
//! stands in the clear beside them.
//!
//! # Files
//! `prompts.db` is a SQLite file of its own, so that the ledger never holds text, with
//! `secure_delete`. [`erase()`] overwrites keys, empties the write-ahead log, and then reads the raw
//! files to see that no erased key is in them. What it did goes into a chain of [`Receipt`]s.
//!
//! # Writing
//! [`PromptStore`] is a [`freehold_ports::Prompts`]: a bounded queue and a thread. Text is in memory
//! until it is encrypted; the disk never sees it otherwise.

mod database;
mod erase;
mod error;
mod keys;
mod master;
mod reader;
mod receipts;
mod record;
mod remarks;
mod retention;
mod rotate;
mod settings;
mod store;
mod writer;

pub use erase::{EraseScope, erase};
pub use error::PromptError;
pub use reader::{PromptFilter, PromptReader, ShownPrompt, StoredPrompt};
pub use receipts::{Receipt, ReceiptScope, verify_receipts};
pub use remarks::ShownRemark;
pub use rotate::{Rotated, rotate};
pub use settings::{MasterKeySource, PromptSettings};
pub use store::{Dropped, PromptStatus, PromptStore};
