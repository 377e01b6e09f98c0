//! The drainer: a thread that carries records from the spool into the database, in order, in
//! batches, each exactly once, whatever the database does meanwhile.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::StoreError;
use crate::home::{Committed, Connector, Cursor, Entry, Home};
use crate::recent::Recent;
use crate::record::{Bill, parse_bill};
use crate::spool::frame::VERSION_JSON;
use crate::spool::{Batch, RawRecord, Segment, SegmentId, SpoolReader, read_batch};

/// A database that stays away is mentioned again after this long.
const REMINDER: Duration = Duration::from_secs(60);

/// What the drainer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Run,
    /// Drain everything, close the last segment, end.
    Finish,
    /// End after the batch under way.
    Stop,
}

/// How far the drainer is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Everything before this place of the spool's own segments, and everything that earlier
    /// processes left, is in the database.
    pub(crate) reached: Option<(SegmentId, u64)>,
    /// The last cursor that was committed.
    pub(crate) cursor: Option<Cursor>,
    pub(crate) connected: bool,
    pub(crate) error: Option<String>,
    pub(crate) inserted: u64,
    pub(crate) duplicates: u64,
}

/// How the drainer works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) gather: Duration,
    pub(crate) batch_records: usize,
    pub(crate) retry_min: Duration,
    pub(crate) retry_max: Duration,
}

/// The drainer's controls.
#[derive(Debug)]
pub(crate) struct DrainHandle {
    order: watch::Sender<Order>,
    hurry: Arc<Notify>,
    progress: watch::Receiver<Progress>,
    _thread: JoinHandle<()>,
}

impl DrainHandle {
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Does not wait for more records, nor for the next try of an absent database.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub(crate) fn order(&self, order: Order) {
        self.order.send_replace(order);
    }
}

/// Starts the drainer on a thread of its own, so that neither reading the spool nor the database
/// ever holds up a request.
pub(crate) fn spawn<C: Connector>(
    connector: C,
    (spool, recent): (SpoolReader, Arc<Recent>),
    pace: Pace,
) -> io::Result<DrainHandle> {
    let (order, orders) = watch::channel(Order::Run);
    let (publish, progress) = watch::channel(Progress::default());
    let hurry = Arc::new(Notify::new());
    let drainer = Drainer {
        connector,
        spool,
        recent,
        pace,
        orders,
        hurry: Arc::clone(&hurry),
        publish,
        cursors: HashMap::new(),
        set_aside: HashSet::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new()
        .name("ledger-drain".to_owned())
        .spawn(move || runtime.block_on(drainer.run()))?;
    Ok(DrainHandle {
        order,
        hurry,
        progress,
        _thread: thread,
    })
}

struct Drainer<C> {
    connector: C,
    spool: SpoolReader,
    /// What need not be read again.
    recent: Arc<Recent>,
    pace: Pace,
    orders: watch::Receiver<Order>,
    hurry: Arc<Notify>,
    publish: watch::Sender<Progress>,
    /// As committed, by epoch.
    cursors: HashMap<Uuid, Cursor>,
    /// Damage of the batch under way that is already in quarantine, should the batch be repeated.
    set_aside: HashSet<(SegmentId, u64)>,
}

impl<C: Connector> Drainer<C> {
    async fn run(mut self) {
        let mut pause = self.pace.retry_min;
        let mut outage: Option<Outage> = None;
        loop {
            match self.serve(&mut outage).await {
                Ok(()) => return,
                Err(error) => {
                    if self.publish.borrow().connected {
                        pause = self.pace.retry_min;
                    }
                    self.note_outage(&mut outage, &error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.hurry.notified() => {}
                () = ordered(&mut self.orders, Order::Stop) => return,
            }
            pause = pause.saturating_mul(2).min(self.pace.retry_max);
        }
    }

    /// Connects and drains until told to end, or until the database fails.
    async fn serve(&mut self, outage: &mut Option<Outage>) -> Result<(), StoreError> {
        let mut home = self.connector.connect().await?;
        let drained = self.drain(&mut home, outage).await;
        // Closed before the next try: SQLite removes its log by name when it closes, and that
        // name may by then belong to another file.
        home.close().await;
        drained
    }

    async fn drain(
        &mut self,
        home: &mut C::Home,
        outage: &mut Option<Outage>,
    ) -> Result<(), StoreError> {
        let cursors = home.cursors().await?;
        self.cursors = cursors.into_iter().map(|c| (c.segment.epoch, c)).collect();
        loop {
            let order = *self.orders.borrow_and_update();
            match order {
                Order::Run => {}
                Order::Finish => self.spool.close_active(),
                Order::Stop => return Ok(()),
            }
            let end = self.spool.end();
            self.pass(home).await?;
            self.publish.send_modify(|progress| {
                progress.reached = Some(end);
                progress.connected = true;
                progress.error = None;
            });
            if let Some(outage) = outage.take() {
                outage.log_end();
            }
            if order == Order::Finish {
                return Ok(());
            }
            tokio::select! {
                () = self.spool.appended() => {}
                () = self.hurry.notified() => continue,
                _ = self.orders.changed() => continue,
            }
            tokio::select! {
                () = tokio::time::sleep(self.pace.gather) => {}
                () = self.hurry.notified() => {}
                _ = self.orders.changed() => {}
            }
        }
    }

    /// Drains every segment as far as it is written by now.
    async fn pass(&mut self, home: &mut C::Home) -> Result<(), StoreError> {
        let segments = self.spool.segments();
        for (index, segment) in segments.iter().enumerate() {
            if !self.drain_segment(home, segment).await? {
                return Ok(());
            }
            if !segment.closed {
                continue;
            }
            self.spool.release(segment.id);
            let epoch = segment.id.epoch;
            let later = segments.get(index + 1..).unwrap_or_default();
            if self.spool.end().0.epoch != epoch && later.iter().all(|s| s.id.epoch != epoch) {
                home.forget(epoch).await?;
            }
        }
        Ok(())
    }

    /// Drains one segment. False when told to stop before its end.
    async fn drain_segment(
        &mut self,
        home: &mut C::Home,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        let mut from = self.start_of(segment);
        while from < segment.end {
            let batch = match read_batch(segment, from, self.pace.batch_records) {
                Ok(batch) => batch,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::error!(
                        segment = %segment.id,
                        undrained_bytes = segment.end - from,
                        "a segment of the ledger's spool was removed before it was drained",
                    );
                    return Ok(true);
                }
                Err(error) => {
                    return Err(StoreError::io("cannot read", &segment.path)(error));
                }
            };
            if batch.next == from {
                // The file ends before `end`: a power failure took its tail.
                return Ok(true);
            }
            self.commit(home, segment.id, &batch).await?;
            from = batch.next;
            if *self.orders.borrow() == Order::Stop {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start_of(&self, segment: &Segment) -> u64 {
        match self.cursors.get(&segment.id.epoch) {
            Some(cursor) if cursor.segment.number > segment.id.number => segment.end,
            Some(cursor) if cursor.segment.number == segment.id.number => cursor.offset,
            _ => 0,
        }
    }

    async fn commit(
        &mut self,
        home: &mut C::Home,
        segment: SegmentId,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let entries = self.decode(segment, batch);
        let cursor = Cursor {
            segment,
            offset: batch.next,
        };
        let committed = home.commit(&entries, cursor).await?;
        self.report(segment, &entries, &committed);
        self.set_aside.clear();
        self.cursors.insert(segment.epoch, cursor);
        self.publish.send_modify(|progress| {
            progress.cursor = Some(cursor);
            progress.inserted += committed.inserted;
            progress.duplicates += committed.duplicates;
        });
        Ok(())
    }

    /// The outcomes of a batch. What is none is set aside.
    fn decode(&mut self, segment: SegmentId, batch: &Batch) -> Vec<Entry> {
        for (offset, bytes) in batch.damaged() {
            self.set_aside(segment, offset, bytes);
        }
        let mut entries = Vec::new();
        for record in batch.records() {
            match decode(record, || self.recent.take((segment, record.offset))) {
                Ok(entry) => entries.push(entry),
                Err(reason) => {
                    tracing::error!(%segment, offset = record.offset, reason, "a record of the ledger's spool is unreadable");
                    self.set_aside(segment, record.offset, record.payload);
                }
            }
        }
        entries
    }

    /// Tells about entries that the database did not take.
    fn report(&mut self, segment: SegmentId, entries: &[Entry], committed: &Committed) {
        for (index, reason) in &committed.rejected {
            if let Some(entry) = entries.get(*index) {
                tracing::error!(id = %entry.bill.outcome.id, reason, "the database does not take an outcome");
                self.set_aside(segment, entry.offset, entry.detail.as_bytes());
            }
        }
        if committed.duplicates > 0 {
            tracing::info!(
                duplicates = committed.duplicates,
                "outcomes were in the database already and were not counted again"
            );
        }
    }

    fn set_aside(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) {
        if self.set_aside.insert((segment, offset)) {
            self.spool.quarantine(segment, offset, bytes);
        }
    }

    fn note_outage(&self, outage: &mut Option<Outage>, error: &StoreError) {
        let text = error.chain();
        let now = Instant::now();
        let outage = outage.get_or_insert_with(|| Outage {
            began: now,
            logged: None,
            error: text.clone(),
        });
        let due = outage.logged.is_none_or(|at| now - at >= REMINDER);
        if due || outage.error != text {
            tracing::error!(
                error = %text,
                away_s = (now - outage.began).as_secs(),
                "the ledger's database cannot be used; outcomes wait in the spool and it is tried again",
            );
            outage.logged = Some(now);
            outage.error.clone_from(&text);
        }
        self.publish.send_modify(|progress| {
            progress.connected = false;
            progress.error = Some(text);
        });
    }
}

/// A time without the database.
struct Outage {
    began: Instant,
    logged: Option<Instant>,
    error: String,
}

impl Outage {
    fn log_end(&self) {
        tracing::warn!(
            away_s = self.began.elapsed().as_secs(),
            "the ledger's database is back; everything in the spool is drained",
        );
    }
}

/// Resolves when told so, or when nobody is left to tell.
async fn ordered(orders: &mut watch::Receiver<Order>, order: Order) {
    // An error means that the ledger is gone: that is an order to stop.
    let _ = orders.wait_for(|given| *given == order).await;
}

fn decode(record: RawRecord<'_>, known: impl FnOnce() -> Option<Bill>) -> Result<Entry, String> {
    if record.version != VERSION_JSON {
        return Err(format!(
            "its format {} is of a newer version of this program",
            record.version
        ));
    }
    let detail = std::str::from_utf8(record.payload).map_err(|error| error.to_string())?;
    let bill = match known() {
        Some(bill) => bill,
        None => parse_bill(detail).map_err(|error| error.to_string())?,
    };
    Ok(Entry {
        bill,
        detail: detail.into(),
        offset: record.offset,
    })
}
