//! The store: where outcomes are kept and where keys are known.
//!
//! [`DurableLedger`] is a [`freehold_ports::Ledger`]: `record` writes an
//! [`Outcome`](freehold_types::Outcome) to a bounded durable [`Spool`] on the caller's thread, and a
//! thread of its own carries it into SQLite or PostgreSQL, exactly once, whatever the process or the database
//! does meanwhile. [`Reader`] answers [`UsageQuery`]s and looks up single outcomes. [`StaticAccounts`]
//! is a [`freehold_ports::Accounts`] over the keys of the configuration. [`audit::AuditLog`] is a
//! [`freehold_ports::Audit`]: a signed chain of decisions and administrative acts.
//! [`prompts::PromptStore`] is a [`freehold_ports::Prompts`]: text that policy lets be stored, encrypted.
//!
//! This crate never sees a prompt outside of [`prompts`], never decides what a request may do, and never makes a request
//! wait for the database.

mod accounts;
pub mod audit;
mod columns;
mod connected;
mod database;
mod drain;
mod error;
mod home;
mod latency;
mod ledger;
#[cfg(feature = "testing")]
mod memory;
pub mod meter;
mod names;
mod postgres;
pub mod prompts;
mod query;
mod reader;
mod recent;
mod record;
mod rollouts;
mod rollup;
mod select;
mod settings;
mod spool;
mod sqlite;
mod under_way;

pub use accounts::{AccountsError, KeySettings, PreviousKey, StaticAccounts};
pub use database::{Database, DatabaseUrlError, PostgresAddress};
pub use error::StoreError;
pub use ledger::{DurableLedger, LedgerStatus};
#[cfg(feature = "testing")]
pub use memory::MemoryLedger;
pub use query::{
    AgentTotals, Edges, Filters, GroupBy, RecentQuery, Totals, UnknownGroup, UsageQuery,
    UsageReport, UsageRow,
};
pub use reader::Reader;
pub use rollouts::{FeedbackRow, PairRow, Rollouts, StartError, StoredRollout};
pub use settings::{SpoolSettings, StoreSettings, SyncPolicy};
pub use spool::{Spool, SpoolStatus};
pub use under_way::{Journal, Life};
