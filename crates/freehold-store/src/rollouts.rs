//! Rollouts, what was seen of them, and what users say of answers: in the ledger's database.
//!
//! Bodies are JSON that this module does not look into. Changes name the version that they were made from, so that of
//! several gateways and operators only one changes the same thing.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use crate::connected::Connected;
use crate::home::now_unix_ms;
use crate::{Database, StoreError};

/// How long a statement may take: whoever waits for it has something else to do.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A rollout as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRollout {
    /// Its id.
    pub id: String,
    /// The flow that moves.
    pub flow: String,
    /// Whether it goes on.
    pub active: bool,
    /// Rises with each change.
    pub version: u64,
    /// When it was started, Unix milliseconds.
    pub created_unix_ms: u64,
    /// When it was changed last, Unix milliseconds.
    pub updated_unix_ms: u64,
    /// Order, state and history, as JSON.
    pub body: String,
}

/// A row of one rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRow {
    /// The client's request.
    pub request: String,
    /// The period.
    pub period: u64,
    /// When, Unix milliseconds.
    pub at_unix_ms: u64,
    /// What became of it, as JSON.
    pub body: String,
}

/// What a user says of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackRow {
    /// Its id.
    pub id: String,
    /// The request that it is about.
    pub request: String,
    /// When it came, Unix milliseconds.
    pub at_unix_ms: u64,
    /// The rest, as JSON.
    pub body: String,
}

/// Why a rollout was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The flow moves already.
    #[error("the flow moves already: a flow has one rollout at a time")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A door to the rollouts of a database. It connects when it is first asked, and again after a failure.
#[derive(Debug)]
pub struct Rollouts {
    database: Database,
    connection: Mutex<Option<Connected>>,
}

impl Rollouts {
    /// A door to this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let connection = Mutex::new(None);
        Self {
            database,
            connection,
        }
    }

    /// Starts a rollout.
    ///
    /// # Errors
    /// When the flow moves already, or the database fails.
    pub async fn start(&self, id: &str, flow: &str, body: &str) -> Result<(), StartError> {
        let now = now_unix_ms();
        let started = async {
            let mut held = self.held().await?;
            let connection = &mut held.connection;
            let mut statement = connection.statement(
                    "INSERT INTO rollouts (id, flow, active, version, created_unix_ms, updated_unix_ms, body) VALUES (",
                );
            statement.bind_text(id.to_owned()).push(", ");
            statement.bind_text(flow.to_owned()).push(", 1, 1, ");
            statement.bind_integer(now).push(", ");
            statement.bind_integer(now).push(", ");
            statement.bind_text(body.to_owned()).push(")");
            let changed = within(connection.execute(statement)).await?;
            held.keep();
            Ok(changed)
        };
        match started.await {
            Ok(_) => Ok(()),
            Err(StoreError::Database(error))
                if error
                    .as_database_error()
                    .is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
            {
                Err(StartError::Busy)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Rollouts, the latest first: those that go on, or all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, only_active: bool) -> Result<Vec<StoredRollout>, StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        let mut statement = connection.statement(
                "SELECT id, flow, active, version, created_unix_ms, updated_unix_ms, body FROM rollouts",
            );
        if only_active {
            statement.push(" WHERE active = 1");
        }
        statement.push(" ORDER BY created_unix_ms DESC, id DESC LIMIT 1000");
        let mut found = Vec::new();
        let each = connection.each(statement, |cells| {
            found.push(StoredRollout {
                id: cells.text()?.unwrap_or_default(),
                flow: cells.text()?.unwrap_or_default(),
                active: cells.count()? == 1,
                version: cells.count()?,
                created_unix_ms: cells.count()?,
                updated_unix_ms: cells.count()?,
                body: cells.text()?.unwrap_or_default(),
            });
            Ok(())
        });
        within(each).await?;
        held.keep();
        Ok(found)
    }

    /// Changes a rollout, if it still is as it was read. False when somebody else was faster.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change(
        &self,
        id: &str,
        read_version: u64,
        active: bool,
        body: &str,
    ) -> Result<bool, StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        let mut statement = connection.statement("UPDATE rollouts SET active = ");
        statement.bind_integer(u64::from(active));
        statement.push(", version = version + 1, updated_unix_ms = ");
        statement.bind_integer(now_unix_ms()).push(", body = ");
        statement.bind_text(body.to_owned()).push(" WHERE id = ");
        statement.bind_text(id.to_owned()).push(" AND version = ");
        statement.bind_integer(read_version);
        let changed = within(connection.execute(statement)).await?;
        held.keep();
        Ok(changed == 1)
    }

    /// Puts what one gateway has seen in the place of what it had seen before, and adds its new rows, in one
    /// transaction. A row that is there already stays as it is.
    ///
    /// # Errors
    /// When the database fails; nothing has happened then, or everything.
    pub async fn put_evidence(
        &self,
        (rollout, period, source): (&str, u64, &str),
        body: &str,
        pairs: &[PairRow],
    ) -> Result<(), StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        within(connection.begin()).await?;
        let mut statement = connection.statement(
                "INSERT INTO rollout_evidence (rollout, period, source, updated_unix_ms, body) VALUES (",
            );
        statement.bind_text(rollout.to_owned()).push(", ");
        statement.bind_integer(period).push(", ");
        statement.bind_text(source.to_owned()).push(", ");
        statement.bind_integer(now_unix_ms()).push(", ");
        statement.bind_text(body.to_owned()).push(
            ") ON CONFLICT (rollout, period, source) DO UPDATE SET
                updated_unix_ms = excluded.updated_unix_ms, body = excluded.body",
        );
        within(connection.execute(statement)).await?;
        for pair in pairs {
            let mut statement = connection.statement(
                "INSERT INTO rollout_pairs (rollout, request, period, at_unix_ms, body) VALUES (",
            );
            statement.bind_text(rollout.to_owned()).push(", ");
            statement.bind_text(pair.request.clone()).push(", ");
            statement.bind_integer(pair.period).push(", ");
            statement.bind_integer(pair.at_unix_ms).push(", ");
            statement
                .bind_text(pair.body.clone())
                .push(") ON CONFLICT (rollout, request) DO NOTHING");
            within(connection.execute(statement)).await?;
        }
        within(connection.commit()).await?;
        held.keep();
        Ok(())
    }

    /// What all gateways have seen of a rollout: period, source and body.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn evidence(&self, rollout: &str) -> Result<Vec<(u64, String, String)>, StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        let mut statement = connection
            .statement("SELECT period, source, body FROM rollout_evidence WHERE rollout = ");
        statement
            .bind_text(rollout.to_owned())
            .push(" ORDER BY period, source");
        let mut found = Vec::new();
        let each = connection.each(statement, |cells| {
            found.push((
                cells.count()?,
                cells.text()?.unwrap_or_default(),
                cells.text()?.unwrap_or_default(),
            ));
            Ok(())
        });
        within(each).await?;
        held.keep();
        Ok(found)
    }

    /// The rows of a rollout, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pairs(&self, rollout: &str, limit: u64) -> Result<Vec<PairRow>, StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        let mut statement = connection.statement(
            "SELECT request, period, at_unix_ms, body FROM rollout_pairs WHERE rollout = ",
        );
        statement
            .bind_text(rollout.to_owned())
            .push(" ORDER BY at_unix_ms DESC, request LIMIT ");
        statement.bind_integer(limit);
        let mut found = Vec::new();
        let each = connection.each(statement, |cells| {
            found.push(PairRow {
                request: cells.text()?.unwrap_or_default(),
                period: cells.count()?,
                at_unix_ms: cells.count()?,
                body: cells.text()?.unwrap_or_default(),
            });
            Ok(())
        });
        within(each).await?;
        held.keep();
        Ok(found)
    }

    /// Keeps what a user says. The same id is kept once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_feedback(&self, row: &FeedbackRow) -> Result<bool, StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        let mut statement =
            connection.statement("INSERT INTO feedback (id, request, at_unix_ms, body) VALUES (");
        statement.bind_text(row.id.clone()).push(", ");
        statement.bind_text(row.request.clone()).push(", ");
        statement.bind_integer(row.at_unix_ms).push(", ");
        statement
            .bind_text(row.body.clone())
            .push(") ON CONFLICT (id) DO NOTHING");
        let changed = within(connection.execute(statement)).await?;
        held.keep();
        Ok(changed == 1)
    }

    /// What users said since a time, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feedback(
        &self,
        since_unix_ms: u64,
        limit: u64,
    ) -> Result<Vec<FeedbackRow>, StoreError> {
        let mut held = self.held().await?;
        let connection = &mut held.connection;
        let mut statement = connection
            .statement("SELECT id, request, at_unix_ms, body FROM feedback WHERE at_unix_ms >= ");
        statement
            .bind_integer(since_unix_ms)
            .push(" ORDER BY at_unix_ms DESC, id LIMIT ");
        statement.bind_integer(limit);
        let mut found = Vec::new();
        let each = connection.each(statement, |cells| {
            found.push(FeedbackRow {
                id: cells.text()?.unwrap_or_default(),
                request: cells.text()?.unwrap_or_default(),
                at_unix_ms: cells.count()?,
                body: cells.text()?.unwrap_or_default(),
            });
            Ok(())
        });
        within(each).await?;
        held.keep();
        Ok(found)
    }

    /// The connection. It is given back by [`Held::keep`] only: one that failed, or was left in the middle, is never
    /// used again.
    async fn held(&self) -> Result<Held<'_>, StoreError> {
        let mut place = self.connection.lock().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => within(Connected::open_for_writing(&self.database)).await?,
        };
        Ok(Held { place, connection })
    }
}

struct Held<'a> {
    place: MutexGuard<'a, Option<Connected>>,
    connection: Connected,
}

impl Held<'_> {
    fn keep(mut self) {
        *self.place = Some(self.connection);
    }
}

async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let timed = tokio::time::timeout(ANSWER_MAX, work).await;
    timed.unwrap_or(Err(StoreError::TimedOut {
        action: "asking for rollouts",
        within_s: ANSWER_MAX.as_secs(),
    }))
}
