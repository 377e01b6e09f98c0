//! SQLite ledger behind a bounded durable spool
