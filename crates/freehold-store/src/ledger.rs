//! The ledger as the gateway sees it: a spool in front, a database behind.

use std::cell::RefCell;
use std::time::Duration;

use freehold_ports::{Ledger, LedgerError};
use freehold_types::Outcome;
use serde::Serialize;

use crate::drain::{DrainHandle, Order, Pace, spawn};
use crate::postgres::PostgresConnector;
use crate::reader::Reader;
use crate::recent::Recent;
use crate::record::encode;
use crate::spool::{Spool, SpoolStatus};
use crate::sqlite::SqliteConnector;
use crate::{Database, StoreError, StoreSettings};

/// A thread keeps a buffer of at most this size between records, in bytes.
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// How the ledger is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerStatus {
    /// The spool.
    pub spool: SpoolStatus,
    /// True when the last try to write to the database succeeded.
    pub database_reachable: bool,
    /// Why the database cannot be used.
    pub database_error: Option<String>,
    /// Bytes in the spool that are not in the database yet.
    pub waiting_bytes: u64,
    /// Outcomes written to the database since the start.
    pub inserted: u64,
    /// Outcomes that were there already.
    pub duplicates: u64,
}

/// The durable ledger: a spool in front, a SQLite file or a PostgreSQL database behind it.
///
/// `record` writes to the spool only. A thread carries the records into the database; while the
/// database is away, locked or broken, they wait in the spool and nothing else changes.
#[derive(Debug)]
pub struct DurableLedger {
    settings: StoreSettings,
    drain: DrainHandle,
    spool: std::sync::Arc<Spool>,
    recent: std::sync::Arc<Recent>,
}

impl DurableLedger {
    /// Opens the spool and starts the drainer. The database need not be usable: the drainer
    /// connects, migrates and retries in the background.
    ///
    /// # Errors
    /// When another process uses the spool, or the spool's directory cannot be used.
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let spool = std::sync::Arc::new(Spool::open(settings.spool.clone())?);
        let pace = Pace {
            gather: settings.gather,
            batch_records: settings.batch_records.max(1),
            retry_min: settings.retry.0,
            retry_max: settings.retry.1,
        };
        let recent = std::sync::Arc::new(Recent::default());
        let source = || (spool.reader(), std::sync::Arc::clone(&recent));
        let started = match &settings.database {
            Database::Sqlite(path) => {
                let connector = SqliteConnector {
                    path: path.clone(),
                    busy_timeout: settings.busy_timeout,
                };
                spawn(connector, source(), pace)
            }
            Database::Postgres(address) => {
                let connector = PostgresConnector {
                    address: address.clone(),
                    answer_timeout: settings.answer_timeout,
                };
                spawn(connector, source(), pace)
            }
        };
        let drain = started.map_err(StoreError::io(
            "cannot start the thread that drains",
            spool.dir(),
        ))?;
        Ok(Self {
            settings,
            drain,
            spool,
            recent,
        })
    }

    /// How the ledger is doing.
    pub fn status(&self) -> LedgerStatus {
        let progress = self.drain.progress().borrow().clone();
        LedgerStatus {
            spool: self.spool.status(),
            database_reachable: progress.connected,
            waiting_bytes: self.spool.waiting_bytes(progress.cursor),
            database_error: progress.error,
            inserted: progress.inserted,
            duplicates: progress.duplicates,
        }
    }

    /// Answers questions about what was recorded, the spool included.
    pub fn reader(&self) -> Reader {
        Reader::open(&self.settings.database, &self.settings.spool.dir)
    }

    /// Waits until everything recorded before the call is in the database.
    ///
    /// # Errors
    /// `NotDrained` when that takes longer than `bound`. Nothing is lost then.
    pub async fn flush(&self, bound: Duration) -> Result<(), StoreError> {
        let (target, offset) = self.spool.end();
        let mut progress = self.drain.progress();
        self.drain.hurry();
        let reached = progress.wait_for(|progress| {
            progress.reached.is_some_and(|(segment, reached)| {
                (segment.number, reached) >= (target.number, offset)
            })
        });
        match tokio::time::timeout(bound, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.not_drained()),
        }
    }

    /// Drains what waits, closes the database and flushes the spool to disk. Outcomes recorded
    /// afterwards stay in the spool until the next start.
    ///
    /// # Errors
    /// `NotDrained` when that takes longer than `bound`. What is left waits in the spool for the
    /// next start.
    pub async fn shutdown(&self, bound: Duration) -> Result<(), StoreError> {
        let mut progress = self.drain.progress();
        self.drain.order(Order::Finish);
        self.drain.hurry();
        // The drainer drops its end when it is done.
        let ended = async { while progress.changed().await.is_ok() {} };
        let in_time = tokio::time::timeout(bound, ended).await.is_ok();
        self.drain.order(Order::Stop);
        if let Err(error) = self.spool.sync() {
            tracing::error!(%error, "the ledger's spool could not be flushed at the end");
        }
        if in_time && self.status().waiting_bytes == 0 {
            return Ok(());
        }
        Err(self.not_drained())
    }

    fn not_drained(&self) -> StoreError {
        StoreError::NotDrained {
            waiting_bytes: self.status().waiting_bytes,
        }
    }
}

impl Drop for DurableLedger {
    fn drop(&mut self) {
        self.drain.order(Order::Stop);
    }
}

impl Ledger for DurableLedger {
    fn record(&self, outcome: &Outcome) -> Result<(), LedgerError> {
        thread_local! {
            // Serialisation allocates once per thread, not once per record.
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            encode(outcome, buffer)?;
            let kept = self.spool.append(buffer);
            if buffer.capacity() > BUFFER_BYTES_MAX {
                *buffer = Vec::new();
            }
            kept.map(|place| self.recent.keep(place, outcome))
        })
    }

    fn ready(&self) -> Result<(), LedgerError> {
        self.spool.ready()
    }
}
