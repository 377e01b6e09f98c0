//! What a running gateway keeps of money beside the ledger: the price book's file, and what the time
//! of owned machines has cost.

pub(crate) mod book_file;
pub(crate) mod machines;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use freehold_pipeline::Pipeline;
use freehold_ports::Clock;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::machines::Machines;

/// How often the price book's file is looked at and the metrics are set.
const LOOK: Duration = Duration::from_secs(10);
/// The machines' time is written after so many looks.
const LOOKS_PER_WRITE: u32 = 6;

/// Keeps what has to be kept until [`Money::stop`].
pub(crate) struct Money {
    stop: oneshot::Sender<()>,
    keeping: JoinHandle<()>,
}

impl Money {
    /// Prices requests by the stored book, if there is one that can be used, and begins to count the
    /// owned machines' time.
    pub(crate) async fn start(pipeline: &Arc<Pipeline>, clock: &Arc<dyn Clock>) -> Self {
        let home = crate::home::directory();
        let mut keeper = Keeper {
            pipeline: Arc::clone(pipeline),
            clock: Arc::clone(clock),
            machines: Machines::open(machines::file_in(&home), clock.unix_ms()),
            book_file: book_file::file_in(&home),
            book_seen: None,
        };
        keeper.take_book().await;
        keeper.look(false);
        let (stop, stopped) = oneshot::channel();
        let keeping = tokio::spawn(keeper.keep(stopped));
        Self { stop, keeping }
    }

    /// Writes the machines' time for the last time, when the last request has ended.
    pub(crate) async fn stop(self) {
        // An error means that it has stopped by itself, which the next line tells.
        let _ = self.stop.send(());
        if let Err(error) = self.keeping.await {
            tracing::error!(%error, "the owned machines' time was not written");
        }
    }
}

struct Keeper {
    pipeline: Arc<Pipeline>,
    clock: Arc<dyn Clock>,
    machines: Machines,
    book_file: PathBuf,
    /// When the file that is in use, or was refused, was written.
    book_seen: Option<SystemTime>,
}

impl Keeper {
    async fn keep(mut self, mut stop: oneshot::Receiver<()>) {
        let mut looks = tokio::time::interval(LOOK);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                _ = &mut stop => return self.look(true),
                _ = looks.tick() => {
                    count = count.wrapping_add(1);
                    self.look(count.is_multiple_of(LOOKS_PER_WRITE));
                    self.take_book().await;
                }
            }
        }
    }

    fn look(&mut self, write: bool) {
        let standings = self.pipeline.owned();
        machines::show(&standings);
        self.machines.take(&standings, self.clock.unix_ms());
        if write {
            self.machines.write();
        }
    }

    /// Takes over the file of prices when it is another than before.
    async fn take_book(&mut self) {
        let written = written(&self.book_file);
        if written == self.book_seen {
            return;
        }
        self.book_seen = written;
        let path = self.book_file.clone();
        let read = tokio::task::spawn_blocking(move || book_file::load(&path));
        let Ok(loaded) = read.await else {
            return;
        };
        tracing::info!(book = %loaded.book.id(), origin = %loaded.origin, "prices");
        self.pipeline.use_prices(loaded.book);
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
