//! The thread behind the queue: makes records of samples, writes them, deletes what has expired.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use freehold_ports::{NotStored, Remark, Remarked, Sample, SampleFacts};
use metrics::counter;
use sqlx::SqliteConnection;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::database::{
    StoredKey, begin, end, erasures, find_key, insert_key, integer, now_unix_ms, open,
};
use super::keys::{Address, KeyId, KeyKind, RecordKeys, Secret};
use super::master::{Keyring, Wrapped};
use super::reader::{find_row, open_record};
use super::record::{Row, pack};
use super::remarks;
use super::retention::Retention;
use super::store::{Dropped, Errand, Shared, Ticket};
use super::{PromptError, PromptSettings};

/// How often an idle thread looks whether something was erased.
const LOOK: Duration = Duration::from_secs(1);
/// So many keys are remembered; then they are unwrapped again.
const CACHE_KEYS_MAX: usize = 4_096;
const HOUR_MS: u64 = 3_600_000;

/// Starts the thread.
pub(crate) fn spawn(
    settings: PromptSettings,
    queue: mpsc::Receiver<Errand>,
    shared: Arc<Shared>,
) -> Result<(), PromptError> {
    let database = settings.database.clone();
    let fail = || PromptError::io("cannot start the thread that writes", &database);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(fail())?;
    let writer = Writer {
        started_unix_ms: now_unix_ms(),
        settings,
        shared,
        home: None,
        keyring: None,
        rest_until: None,
        full: false,
    };
    std::thread::Builder::new()
        .name("prompts".to_owned())
        .spawn(move || runtime.block_on(writer.run(queue)))
        .map_err(fail())?;
    Ok(())
}

struct Writer {
    settings: PromptSettings,
    shared: Arc<Shared>,
    home: Option<Home>,
    keyring: Option<Keyring>,
    /// After a failure, nothing is tried until then.
    rest_until: Option<Instant>,
    /// True once it was said that the store is full.
    full: bool,
    started_unix_ms: u64,
}

/// The open database, and what is remembered of it.
struct Home {
    connection: SqliteConnection,
    retention: Retention,
    keys: HashMap<Address, Arc<Known>>,
    /// How often something had been erased when it was last looked.
    erasures: i64,
    /// When that was noticed to have risen: what began before is not stored any more.
    noticed: Option<Instant>,
}

/// A key that was unwrapped.
struct Known {
    id: KeyId,
    key: Secret,
    /// A tenant's key that is not in the table yet.
    new: Option<Wrapped>,
}

/// A sample made into a record's text.
struct Prepared {
    id: [u8; 16],
    keep: Duration,
    what: &'static str,
    facts: SampleFacts,
    packed: Zeroizing<Vec<u8>>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Errand>) {
        let mut errands = Vec::with_capacity(self.settings.batch_records);
        loop {
            let patience = self.patience();
            let batch = self.settings.batch_records.max(1);
            let taken = tokio::time::timeout(patience, queue.recv_many(&mut errands, batch)).await;
            if taken == Ok(0) {
                return self.close().await;
            }
            if !errands.is_empty() {
                self.run_errands(std::mem::take(&mut errands)).await;
            }
            self.look_after().await;
        }
    }

    /// How long to wait for samples before looking after what is stored.
    fn patience(&self) -> Duration {
        match &self.home {
            Some(home) if home.retention.is_busy() => self.settings.purge_pause,
            _ => LOOK,
        }
    }

    /// Stores a batch: samples first, so that a remark finds a request that came before it.
    async fn run_errands(&mut self, errands: Vec<Errand>) {
        let handled = errands.len() as u64;
        let weight: usize = errands.iter().map(Errand::weight_bytes).sum();
        let (mut samples, mut tickets) = (Vec::with_capacity(errands.len()), Vec::new());
        for errand in errands {
            match errand {
                Errand::Sample(sample) => samples.push(sample),
                Errand::Remark(ticket) => tickets.push(ticket),
            }
        }
        if !samples.is_empty() {
            self.take(samples).await;
        }
        for ticket in tickets {
            self.hear(ticket).await;
        }
        self.shared
            .waiting_bytes
            .fetch_sub(weight, Ordering::AcqRel);
        self.shared
            .status
            .send_modify(|status| status.handled += handled);
    }

    /// Stores samples; whatever cannot be is dropped and counted.
    async fn take(&mut self, samples: Vec<Sample>) {
        let mut prepared = Vec::with_capacity(samples.len());
        for sample in samples {
            match prepare(sample) {
                Ok(one) => prepared.push(one),
                Err(why) => self.shared.dropped(why, 1),
            }
        }
        let count = prepared.len() as u64;
        let stored = match self.store(prepared).await {
            Ok(stored) => stored,
            Err(error) => {
                let why = if error.is_about_keys() {
                    Dropped::Key
                } else {
                    Dropped::Unwritable
                };
                self.shared.dropped(why, count);
                self.trouble(&error);
                0
            }
        };
        if stored > 0 {
            counter!("freehold_prompts_stored_total").increment(stored);
        }
        self.shared
            .status
            .send_modify(|status| status.stored += stored);
    }

    /// Stores a remark, and tells who waits what became of it.
    async fn hear(&mut self, ticket: Ticket) {
        let Some((remark, reply)) = ticket.take() else {
            return;
        };
        let told = match self.remark(remark).await {
            Ok(told) => told,
            Err(error) if error.is_about_one() => {
                tracing::error!(error = %error.chain(), "feedback could not be stored");
                Err(NotStored::Defect)
            }
            Err(error) => {
                self.trouble(&error);
                Err(if error.is_about_keys() {
                    NotStored::Key
                } else {
                    NotStored::Unwritable
                })
            }
        };
        if told.is_ok() {
            self.shared.status.send_modify(|status| status.remarks += 1);
        }
        // Who asked may have gone.
        let _ = reply.send(told);
    }

    async fn remark(&mut self, remark: Remark) -> Result<Result<Remarked, NotStored>, PromptError> {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return Ok(Err(self.resting().into()));
        }
        if !self.settings.database.exists() {
            return Ok(Err(NotStored::RequestNotStored));
        }
        self.open(false).await?;
        let Some(home) = &mut self.home else {
            return Ok(Err(NotStored::RequestNotStored));
        };
        let keyring = match &self.keyring {
            Some(keyring) => keyring,
            None => self.keyring.insert(Keyring::open(&self.settings, false)?),
        };
        home.remark(remark, keyring, self.settings.limit_bytes)
            .await
    }

    async fn store(&mut self, prepared: Vec<Prepared>) -> Result<u64, PromptError> {
        if prepared.is_empty() {
            return Ok(0);
        }
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            self.shared.dropped(self.resting(), prepared.len() as u64);
            return Ok(0);
        }
        self.open(true).await?;
        let Some(home) = &mut self.home else {
            return Ok(0);
        };
        let keyring = match &self.keyring {
            Some(keyring) => keyring,
            None => {
                // A key that is made where keys are wrapped already would hide that the old one is
                // gone.
                let create = super::database::tenants(&mut home.connection)
                    .await?
                    .is_empty();
                self.keyring.insert(Keyring::open(&self.settings, create)?)
            }
        };
        // Unwrapping may ask a program: not while others wait for the lock.
        for one in &prepared {
            home.know_tenant(&one.facts.tenant, keyring).await?;
        }
        begin(&mut home.connection).await?;
        let done = home.write(&prepared, self.settings.limit_bytes).await;
        let dropped = end(&mut home.connection, done).await?;
        for (why, count) in &dropped {
            self.shared.dropped(*why, *count);
        }
        self.tell_full(dropped.contains_key(&Dropped::StoreFull));
        self.recovered();
        let dropped: u64 = dropped.values().sum();
        Ok(prepared.len() as u64 - dropped)
    }

    /// Opens the database, if it is not open. With `create`, it is made when it is missing.
    async fn open(&mut self, create: bool) -> Result<(), PromptError> {
        let path = &self.settings.database;
        if self.home.is_some() && path.exists() {
            return Ok(());
        }
        self.home = None;
        let mut connection = open(path, self.settings.busy_timeout, create).await?;
        let (count, last) = erasures(&mut connection).await?;
        self.home = Some(Home {
            connection,
            retention: Retention::new(&self.settings),
            keys: HashMap::new(),
            erasures: count,
            // Something was erased while samples were already under way.
            noticed: (last >= self.started_unix_ms).then(Instant::now),
        });
        Ok(())
    }

    /// Deletes some of what has expired, and forgets keys that were erased.
    async fn look_after(&mut self) {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        if let Err(error) = self.try_look_after().await {
            self.trouble(&error);
        }
    }

    async fn try_look_after(&mut self) -> Result<(), PromptError> {
        if self.home.is_none() && !self.settings.database.exists() {
            return Ok(());
        }
        self.open(false).await?;
        let Some(home) = &mut self.home else {
            return Ok(());
        };
        home.look().await?;
        if home.retention.is_due() {
            let purged = home.retention.step(&mut home.connection).await?;
            if purged > 0 {
                self.shared.status.send_modify(|status| {
                    status.purged += purged;
                    status.purge_batches += 1;
                });
                counter!("freehold_prompts_purged_total").increment(purged);
            }
        }
        Ok(())
    }

    /// Says once that the store is full, until there is room again.
    fn tell_full(&mut self, full: bool) {
        if full && !self.full {
            tracing::warn!(
                limit_bytes = self.settings.limit_bytes,
                "the prompt store is as large as it may be; samples are dropped until some expire",
            );
        }
        self.full = full;
    }

    /// Why samples are dropped while the thread rests.
    fn resting(&self) -> Dropped {
        match self.keyring {
            Some(_) => Dropped::Unwritable,
            None if self.home.is_some() => Dropped::Key,
            None => Dropped::Unwritable,
        }
    }

    fn trouble(&mut self, error: &PromptError) {
        let message = error.chain();
        let known = self.shared.status.borrow().trouble.is_some();
        if !known {
            tracing::error!(
                error = %message,
                database = %self.settings.database.display(),
                "prompts cannot be stored; requests go on, and samples are dropped",
            );
        }
        self.shared
            .status
            .send_modify(|status| status.trouble = Some(message));
        if !error.is_about_keys() {
            self.home = None;
        }
        self.keyring = None;
        self.rest_until = Some(Instant::now() + self.settings.retry);
    }

    fn recovered(&mut self) {
        self.rest_until = None;
        if self.shared.status.borrow().trouble.is_some() {
            tracing::warn!("prompts can be stored again");
            self.shared
                .status
                .send_modify(|status| status.trouble = None);
        }
    }

    async fn close(self) {
        use sqlx::Connection as _;
        if let Some(home) = self.home
            && let Err(error) = home.connection.close().await
        {
            tracing::warn!(%error, "the prompts' database did not close cleanly");
        }
    }
}

/// Masks, encodes and compresses. A defect in that costs the sample.
fn prepare(sample: Sample) -> Result<Prepared, Dropped> {
    let made = catch_unwind(AssertUnwindSafe(|| {
        let (facts, text) = sample.into_text()?;
        let packed = pack(&facts, &text).map_err(|error| {
            tracing::error!(error = %error.chain(), "a prompt could not be made into a record");
            Dropped::Defect
        })?;
        let pass = text.pass();
        Ok(Prepared {
            id: *pass.id().as_bytes(),
            keep: pass.keep(),
            what: pass.what().as_str(),
            facts,
            packed,
        })
    }));
    made.unwrap_or(Err(Dropped::Defect))
}

impl Home {
    /// Whether something was erased since it was last looked. Then no key is remembered.
    async fn look(&mut self) -> Result<(), PromptError> {
        let (count, _) = erasures(&mut self.connection).await?;
        if count != self.erasures {
            self.erasures = count;
            self.noticed = Some(Instant::now());
            self.keys.clear();
            self.retention.look_for_orphans();
        }
        Ok(())
    }

    /// Knows a tenant's key: unwraps it, or makes one.
    async fn know_tenant(&mut self, tenant: &str, keyring: &Keyring) -> Result<(), PromptError> {
        let address = Address::tenant(tenant);
        let stored = find_key(&mut self.connection, &address).await?;
        let known = self.keys.get(&address);
        let key = match stored {
            Some(stored) if known.is_some_and(|known| known.id == stored.id) => return Ok(()),
            Some(stored) => Known {
                id: stored.id,
                key: stored.open_tenant(&address, keyring)?,
                new: None,
            },
            // Made for a sample before this one.
            None if known.is_some_and(|known| known.new.is_some()) => return Ok(()),
            None => {
                let (id, key) = (KeyId::random()?, Secret::random()?);
                let wrapped = keyring.wrap(&address, id, &key)?;
                Known {
                    id,
                    key,
                    new: Some(wrapped),
                }
            }
        };
        self.remember(address, key);
        Ok(())
    }

    /// Puts a remark beside its request, if that is there with all of its keys.
    async fn remark(
        &mut self,
        remark: Remark,
        keyring: &Keyring,
        limit_bytes: u64,
    ) -> Result<Result<Remarked, NotStored>, PromptError> {
        const NOT_THERE: Result<Remarked, NotStored> = Err(NotStored::RequestNotStored);
        self.look().await?;
        let facts = remark.facts().clone();
        let about = find_row(&mut self.connection, facts.request).await?;
        let Some(about) = about.filter(|about| about.tenant == facts.tenant) else {
            return Ok(NOT_THERE);
        };
        let address = Address::tenant(&about.tenant);
        if find_key(&mut self.connection, &address).await?.is_none() {
            return Ok(NOT_THERE);
        }
        self.know_tenant(&about.tenant, keyring).await?;
        let Some(tenant) = self.keys.get(&address).map(|known| known.key.clone()) else {
            return Ok(NOT_THERE);
        };
        let Some((key, text)) = open_record(&mut self.connection, &tenant, &about).await? else {
            return Ok(NOT_THERE);
        };
        let known = remarks::known(&mut self.connection, &key, &about, &facts.id).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        // Scanning and masking may take a while: not while others wait for the lock.
        let made = || remark.into_text(&remarks::recorded(&about, text)?);
        let made = catch_unwind(AssertUnwindSafe(made)).unwrap_or(Err(NotStored::Defect));
        let (facts, text) = match made {
            Ok((_, text)) if text.pass().id() != about.request_id => {
                return Ok(Err(NotStored::Defect));
            }
            Ok(made) => made,
            Err(why) => return Ok(Err(why)),
        };
        if self.used_bytes().await? >= limit_bytes {
            return Ok(Err(NotStored::StoreFull));
        }
        begin(&mut self.connection).await?;
        let done = remarks::write(&mut self.connection, &tenant, &about, &facts, &text).await;
        end(&mut self.connection, done).await
    }

    fn remember(&mut self, address: Address, known: Known) -> Arc<Known> {
        if self.keys.len() >= CACHE_KEYS_MAX {
            // Tenants' keys of this batch must stay.
            self.keys
                .retain(|address, _| address.kind == KeyKind::Tenant);
        }
        let known = Arc::new(known);
        self.keys.insert(address, Arc::clone(&known));
        known
    }

    /// Writes records within a transaction; returns how many were dropped, and why.
    async fn write(
        &mut self,
        prepared: &[Prepared],
        limit_bytes: u64,
    ) -> Result<BTreeMap<Dropped, u64>, PromptError> {
        let mut dropped = BTreeMap::new();
        self.look().await?;
        let mut room = limit_bytes.saturating_sub(self.used_bytes().await?);
        for one in prepared {
            let bytes = one.packed.len() as u64;
            let written = if room < bytes {
                Err(Dropped::StoreFull)
            } else {
                self.write_one(one).await?
            };
            match written {
                Ok(()) => room -= bytes,
                Err(why) => *dropped.entry(why).or_default() += 1,
            }
        }
        Ok(dropped)
    }

    async fn write_one(&mut self, one: &Prepared) -> Result<Result<(), Dropped>, PromptError> {
        let facts = &one.facts;
        // Nothing of what was under way when something was erased is written afterwards, neither
        // with the old keys nor with new ones. Which requests these were, only a key could tell that
        // is gone.
        if self.noticed.is_some_and(|noticed| facts.begun <= noticed) {
            return Ok(Err(Dropped::Erased));
        }
        let Some(tenant) = self.tenant_key(&facts.tenant).await? else {
            return Ok(Err(Dropped::Erased));
        };
        let keep_ms = u64::try_from(one.keep.as_millis()).unwrap_or(u64::MAX);
        let hour = facts.started_unix_ms.saturating_add(keep_ms) / HOUR_MS;
        let expiry = Address::expiry(&facts.tenant, hour);
        let expiry = self.key(expiry, &tenant.key).await?;
        let mut named = [None, None];
        let names = [
            (KeyKind::Subject, &facts.subject),
            (KeyKind::Conversation, &facts.conversation),
        ];
        for ((kind, name), key) in names.into_iter().zip(&mut named) {
            if let Some(name) = name {
                let address = Address::hashed(&facts.tenant, &tenant.key, kind, name);
                *key = Some(self.key(address, &tenant.key).await?);
            }
        }
        let [subject, conversation] = named;
        let row = Row {
            request: one.id,
            tenant: facts.tenant.clone(),
            expiry_key: expiry.id,
            subject_key: subject.as_ref().map(|key| key.id),
            conversation_key: conversation.as_ref().map(|key| key.id),
            flow: facts.flow.as_ref().map(|flow| flow.as_str().to_owned()),
            deployment: facts.deployment.as_ref().map(ToString::to_string),
            dialect: facts.dialect.as_str().to_owned(),
            what: one.what.to_owned(),
            sensitivity: facts.sensitivity.as_str().to_owned(),
            answer: facts.end.as_str().to_owned(),
            started_unix_ms: facts.started_unix_ms,
            expires_unix_ms: hour.saturating_mul(HOUR_MS),
        };
        let keys = RecordKeys {
            expiry: &expiry.key,
            subject: subject.as_ref().map(|key| &key.key),
            conversation: conversation.as_ref().map(|key| &key.key),
        };
        let body = keys.combine(&one.id)?.seal(&row.about(), &one.packed)?;
        insert(&mut self.connection, &row, &body).await?;
        Ok(Ok(()))
    }

    /// The tenant's key, if it is still the one that was made ready.
    async fn tenant_key(&mut self, tenant: &str) -> Result<Option<Arc<Known>>, PromptError> {
        let address = Address::tenant(tenant);
        let Some(known) = self.keys.get(&address).cloned() else {
            return Ok(None);
        };
        let stored = find_key(&mut self.connection, &address).await?;
        match (stored, &known.new) {
            (Some(stored), _) if stored.id == known.id => Ok(Some(known)),
            (None, Some(wrapped)) => {
                insert_key(&mut self.connection, &address, known.id, wrapped).await?;
                let known = Known {
                    id: known.id,
                    key: known.key.clone(),
                    new: None,
                };
                Ok(Some(self.remember(address, known)))
            }
            // Erased, or made by another process, in this moment.
            _ => Ok(None),
        }
    }

    /// A key below its tenant's: as it stands in the table, or new.
    async fn key(&mut self, address: Address, tenant: &Secret) -> Result<Arc<Known>, PromptError> {
        let stored = find_key(&mut self.connection, &address).await?;
        let known = self.keys.get(&address);
        if let (Some(stored), Some(known)) = (&stored, known)
            && stored.id == known.id
        {
            return Ok(Arc::clone(known));
        }
        let known = match stored {
            Some(stored) => Known {
                key: StoredKey::open(&stored, &address, tenant)?,
                id: stored.id,
                new: None,
            },
            None => {
                let (id, key) = (KeyId::random()?, Secret::random()?);
                let wrapped = Wrapped {
                    by: "tenant".to_owned(),
                    bytes: tenant.seal(&address.about(id), key.bytes())?,
                };
                insert_key(&mut self.connection, &address, id, &wrapped).await?;
                Known { id, key, new: None }
            }
        };
        Ok(self.remember(address, known))
    }

    /// How much of the file is used.
    async fn used_bytes(&mut self) -> Result<u64, PromptError> {
        let mut figures = [0_i64; 3];
        let pragmas = [
            "PRAGMA page_count",
            "PRAGMA freelist_count",
            "PRAGMA page_size",
        ];
        for (figure, pragma) in figures.iter_mut().zip(pragmas) {
            (*figure,) = sqlx::query_as(pragma)
                .fetch_one(&mut self.connection)
                .await?;
        }
        let [pages, free, bytes] = figures;
        Ok(u64::try_from((pages - free).saturating_mul(bytes)).unwrap_or_default())
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    row: &Row,
    body: &[u8],
) -> Result<(), PromptError> {
    sqlx::query(
        "INSERT INTO prompts (request, tenant, expiry_key, subject_key, conversation_key, flow, \
         deployment, dialect, what, sensitivity, answer, started_unix_ms, expires_unix_ms, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (request) DO NOTHING",
    )
    .bind(row.request.as_slice())
    .bind(&row.tenant)
    .bind(row.expiry_key.0.as_slice())
    .bind(row.subject_key.as_ref().map(|key| key.0.as_slice()))
    .bind(row.conversation_key.as_ref().map(|key| key.0.as_slice()))
    .bind(&row.flow)
    .bind(&row.deployment)
    .bind(&row.dialect)
    .bind(&row.what)
    .bind(&row.sensitivity)
    .bind(&row.answer)
    .bind(integer(row.started_unix_ms))
    .bind(integer(row.expires_unix_ms))
    .bind(body)
    .execute(connection)
    .await?;
    Ok(())
}
