//! The ledger's home in a PostgreSQL database that several gateways may share.

mod insert;

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use crate::columns::integer;
use crate::home::{
    Committed, Connector, Cursor, Entry, FORGET_CURSOR, GET_CURSORS, Home, cursors,
    forgotten_cells, migration, now_unix_ms,
};
use crate::rollup::DimensionBound;
use crate::{PostgresAddress, StoreError};

/// How long a server may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a migration may take, the wait for another gateway's included.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(600);
/// A connection that is given up is not waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A batch is tried so often when it was in the way of another gateway's.
const ATTEMPTS_MAX: u32 = 5;

/// Where it is written which migrations were applied. A name of its own: the database may have
/// other tenants that use the same library.
const MIGRATIONS_TABLE: &str = "freehold_migrations";

/// In order, and never changed once released: databases remember what was applied.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let ledger = include_str!("../../migrations/postgres/0001_ledger.sql");
    let doubts = include_str!("../../migrations/postgres/0002_doubts.sql");
    let rollouts = include_str!("../../migrations/postgres/0003_rollouts.sql");
    let agents = include_str!("../../migrations/postgres/0004_agents.sql");
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "ledger", ledger),
        migration(2, "doubts", doubts),
        migration(3, "rollouts", rollouts),
        migration(4, "agents", agents),
    ]);
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
});

/// Settings of the drainer's connection, where the server knows them. A server must not keep the
/// locks of a gateway that is gone, nor say that a commit is safe before it is.
const SESSION: &str = "
    SELECT set_config(wanted.name, wanted.value, false)
    FROM (VALUES
        ('idle_in_transaction_session_timeout', '30s'),
        ('lock_timeout', '15s'),
        ('tcp_keepalives_idle', '30'),
        ('tcp_keepalives_interval', '10'),
        ('tcp_keepalives_count', '3'),
        ('client_connection_check_interval', '5s'),
        ('synchronous_commit', 'on')
    ) AS wanted (name, value)
    JOIN pg_settings AS known ON known.name = wanted.name
    WHERE known.name <> 'synchronous_commit' OR known.setting = 'off'";

/// Connects to the database, and brings its tables up to date.
#[derive(Clone, Debug)]
pub(crate) struct PostgresConnector {
    pub(crate) address: PostgresAddress,
    pub(crate) answer_timeout: Duration,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct PostgresHome {
    connection: PgConnection,
    answer_timeout: Duration,
    bound: DimensionBound,
}

/// A connection, as the address says.
pub(crate) async fn connect(address: &PostgresAddress) -> Result<PgConnection, StoreError> {
    let options = address.options()?.disable_statement_logging();
    let options = options.application_name("freehold");
    within(CONNECT_TIMEOUT, "connecting", async {
        Ok(options.connect().await?)
    })
    .await
}

/// A server that hangs, or a network that swallows packets, must not hold the drainer for ever.
async fn within<T>(
    timeout: Duration,
    action: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let in_time = tokio::time::timeout(timeout, work).await;
    in_time.unwrap_or(Err(StoreError::TimedOut {
        action,
        within_s: timeout.as_secs(),
    }))
}

impl Connector for PostgresConnector {
    type Home = PostgresHome;

    async fn connect(&self) -> Result<PostgresHome, StoreError> {
        let mut connection = connect(&self.address).await?;
        within(MIGRATE_TIMEOUT, "migrating", migrate(&mut connection)).await?;
        within(self.answer_timeout, "preparing", async {
            sqlx::query(SESSION).execute(&mut connection).await?;
            Ok(())
        })
        .await?;
        Ok(PostgresHome {
            connection,
            answer_timeout: self.answer_timeout,
            bound: DimensionBound::default(),
        })
    }
}

/// Brings the tables up to date. Gateways that start at once take turns, by a lock that the server
/// drops with the connection of who holds it.
async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    // Whoever only writes rows need not be allowed to create tables.
    if is_current(connection).await? {
        return Ok(());
    }
    MIGRATIONS.run(connection).await?;
    Ok(())
}

async fn is_current(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let known: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !known {
        return Ok(false);
    }
    let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT version, checksum FROM freehold_migrations WHERE success ORDER BY version",
    )
    .fetch_all(connection)
    .await?;
    if let Some((version, _)) = applied.last()
        && !MIGRATIONS.version_exists(*version)
    {
        return Err(MigrateError::VersionMissing(*version).into());
    }
    let ours = MIGRATIONS.iter();
    Ok(ours
        .map(|migration| (migration.version, &*migration.checksum))
        .eq(applied
            .iter()
            .map(|(version, checksum)| (*version, checksum.as_slice()))))
}

impl Home for PostgresHome {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, StoreError> {
        let connection = &mut self.connection;
        let rows = within(self.answer_timeout, "reading", async {
            Ok(sqlx::query_as(GET_CURSORS).fetch_all(connection).await?)
        });
        Ok(cursors(rows.await?))
    }

    async fn commit(&mut self, entries: &[Entry], cursor: Cursor) -> Result<Committed, StoreError> {
        let now = integer(now_unix_ms());
        let mut attempt = 1;
        loop {
            let work = insert::commit(&mut self.connection, entries, cursor, now, &mut self.bound);
            match within(self.answer_timeout, "writing", work).await {
                Err(StoreError::Database(error))
                    if attempt < ATTEMPTS_MAX && is_about_the_moment(&error) =>
                {
                    tracing::info!(%error, attempt, "a batch was in the way of another gateway's; it is tried again");
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn forget(&mut self, epoch: Uuid) -> Result<(), StoreError> {
        let (epoch, before) = forgotten_cells(epoch);
        let query = sqlx::query(FORGET_CURSOR).bind(epoch).bind(before);
        within(self.answer_timeout, "writing", async {
            query.execute(&mut self.connection).await?;
            Ok(())
        })
        .await
    }

    async fn close(self) {
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!("the connection to the ledger's database was given up");
        }
    }
}

/// True when the same batch may well be taken the next moment: a serialisation failure, a deadlock,
/// or a lock that another gateway held too long.
fn is_about_the_moment(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01" | "55P03"))
}

/// True when another row may well be taken: bad data (22), against a constraint (23), too large
/// (54), or refused by a trigger (P0).
fn is_about_the_row(error: &sqlx::Error) -> bool {
    let code = code(error);
    code.is_some_and(|code| {
        ["22", "23", "54", "P0"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// PostgreSQL's texts have no NUL character; a name that a client or an upstream made of one is
/// kept with the sign for what cannot be shown.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
