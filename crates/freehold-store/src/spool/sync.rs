//! Flushing to the disk itself: in the background, or before `append` returns.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freehold_ports::LedgerError;

use super::Shared;
use super::writer::Unsynced;
use crate::StoreError;

/// How far the disk has the records.
#[derive(Debug, Default)]
pub(crate) struct SyncState {
    /// Counted like the return value of the writer's `append`.
    up_to: u64,
}

/// Starts the thread that flushes `interval` after the first unflushed record.
pub(crate) fn spawn(shared: Arc<Shared>, interval: Duration) -> Result<JoinHandle<()>, StoreError> {
    let dir = shared.settings.dir.clone();
    std::thread::Builder::new()
        .name("spool-sync".to_owned())
        .spawn(move || run(&shared, interval))
        .map_err(StoreError::io("cannot start the thread that flushes", &dir))
}

fn run(shared: &Shared, interval: Duration) {
    loop {
        let stopped = {
            let mut writer = shared.writer.lock();
            while !writer.is_dirty() && !writer.is_stopped() {
                shared.dirty.wait(&mut writer);
            }
            let deadline = Instant::now() + interval;
            while !writer.is_stopped()
                && !shared.dirty.wait_until(&mut writer, deadline).timed_out()
            {}
            writer.is_stopped()
        };
        // The error is already logged and makes `ready` refuse.
        let _ = sync_now(shared);
        if stopped {
            return;
        }
    }
}

/// Waits until the disk has everything up to `sequence`. Callers that arrive together share one
/// flush: whoever gets the lock first flushes for all who have written by then.
pub(crate) fn sync_up_to(shared: &Shared, sequence: u64) -> Result<(), LedgerError> {
    let mut synced = shared.synced.lock();
    if synced.up_to >= sequence {
        return Ok(());
    }
    flush(shared, &mut synced)
}

pub(crate) fn sync_now(shared: &Shared) -> Result<(), LedgerError> {
    flush(shared, &mut shared.synced.lock())
}

fn flush(shared: &Shared, synced: &mut SyncState) -> Result<(), LedgerError> {
    let unsynced = shared.writer.lock().take_unsynced();
    match sync_files(shared, &unsynced) {
        Ok(()) => {
            synced.up_to = unsynced.appended;
            Ok(())
        }
        Err(error) => {
            let mut writer = shared.writer.lock();
            writer.set_trouble("cannot flush the spool to disk", &error);
            // After a failed flush the kernel may have dropped pages of this file.
            writer.close_active();
            Err(LedgerError::Io(error.to_string()))
        }
    }
}

fn sync_files(shared: &Shared, unsynced: &Unsynced) -> io::Result<()> {
    for file in &unsynced.files {
        file.sync_data()?;
    }
    if cfg!(unix) && unsynced.directory {
        File::open(&shared.settings.dir)?.sync_all()?;
    }
    Ok(())
}
