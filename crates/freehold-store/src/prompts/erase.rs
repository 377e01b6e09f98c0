//! Erasing: keys are overwritten, rows deleted, logs emptied, and the raw files searched for what must
//! not be in them.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use sqlx::SqliteConnection;

use super::database::{
    begin, checkpoint, end, files, find_key, integer, now_unix_ms, open, run, shred, tenants,
};
use super::keys::{Address, KeyId, KeyKind};
use super::master::Keyring;
use super::receipts::{Receipt, ReceiptScope, append};
use super::retention::delete_orphans;
use super::{PromptError, PromptSettings};

/// So many rows are deleted in one transaction.
const ROWS: i64 = 500;
/// Between two of them, and between two tries to empty the log, others may write.
const PAUSE: Duration = Duration::from_millis(20);
/// So often it is tried to empty the log while somebody reads: 30 s.
const TRIES: u32 = 1_500;

/// What is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseScope {
    /// Everything of a tenant.
    Tenant(String),
    /// Everything of an end user.
    Subject {
        /// Of this tenant only; of all when there is none.
        tenant: Option<String>,
        /// The end user, as clients name them.
        subject: String,
    },
    /// Everything of a conversation.
    Conversation {
        /// Of this tenant only; of all when there is none.
        tenant: Option<String>,
        /// The conversation, as clients name it.
        conversation: String,
    },
}

/// What was shredded.
#[derive(Default)]
struct Shredded {
    keys: Vec<KeyId>,
    /// The keys as they stood in the file.
    wrapped: Vec<Vec<u8>>,
    /// Keyed hashes of the subject or conversation, of every tenant that was looked at.
    hashes: Vec<String>,
    /// The rows that nobody can read any more. A gateway may delete them before we do.
    records: i64,
    /// The last row at that time: later ones have other keys.
    last: i64,
}

/// Erases, looks that nothing is left, and writes a receipt. What is not there any more may be erased
/// again. A gateway may be writing meanwhile: what it had under way is not stored afterwards.
///
/// # Errors
/// When the database cannot be used, when the master key is missing (it is needed to find end users
/// and conversations, not for tenants), and when something is left.
pub async fn erase(settings: &PromptSettings, scope: &EraseScope) -> Result<Receipt, PromptError> {
    let path = &settings.database;
    let mut connection = open(path, settings.busy_timeout, true).await?;
    let addresses = addresses(&mut connection, settings, scope).await?;
    begin(&mut connection).await?;
    let done = shred_scope(&mut connection, scope, &addresses).await;
    let shredded = end(&mut connection, done).await?;
    delete_rows(&mut connection, scope, &shredded).await?;
    empty_log(&mut connection).await?;
    let mut found = search(settings, &shredded.wrapped)?;
    let rewritten = found.is_some();
    if rewritten {
        // What SQLite left in a page is gone when the file is written anew.
        run(&mut connection, "VACUUM").await?;
        empty_log(&mut connection).await?;
        found = search(settings, &shredded.wrapped)?;
    }
    if let Some(file) = found {
        return Err(PromptError::NotErased {
            what: format!("a wrapped key in {}", file.display()),
            advice: "stop whatever holds the file open, and erase again",
        });
    }
    check(&mut connection, scope, &shredded).await?;
    let receipt = Receipt {
        version: 1,
        time_unix_ms: now_unix_ms(),
        scope: receipt_scope(scope, shredded.hashes),
        keys: shredded.keys.iter().map(ToString::to_string).collect(),
        records: shredded.records.unsigned_abs(),
        rewritten,
        previous: String::new(),
        hash: String::new(),
    };
    append(&settings.receipts, receipt)
}

/// The keys of a subject or conversation; for a tenant they are found by its name.
async fn addresses(
    connection: &mut SqliteConnection,
    settings: &PromptSettings,
    scope: &EraseScope,
) -> Result<Vec<Address>, PromptError> {
    let (only, kind, name) = match scope {
        EraseScope::Tenant(_) => return Ok(vec![]),
        EraseScope::Subject { tenant, subject } => (tenant, KeyKind::Subject, subject),
        EraseScope::Conversation {
            tenant,
            conversation,
        } => (tenant, KeyKind::Conversation, conversation),
    };
    let mut stored = tenants(connection).await?;
    stored.retain(|(tenant, _)| only.as_ref().is_none_or(|only| only == tenant));
    if stored.is_empty() {
        return Ok(vec![]);
    }
    let keyring = Keyring::open(settings, false)?;
    let address = |(tenant, stored): (String, super::database::StoredKey)| {
        let key = stored.open_tenant(&Address::tenant(&tenant), &keyring)?;
        Ok(Address::hashed(&tenant, &key, kind, name))
    };
    stored.into_iter().map(address).collect()
}

async fn shred_scope(
    connection: &mut SqliteConnection,
    scope: &EraseScope,
    addresses: &[Address],
) -> Result<Shredded, PromptError> {
    let mut shredded = Shredded::default();
    if let EraseScope::Tenant(tenant) = scope {
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT id, wrapped FROM keys WHERE tenant = ?")
                .bind(tenant)
                .fetch_all(&mut *connection)
                .await?;
        for (id, wrapped) in rows {
            shredded.keys.extend(KeyId::from_slice(&id));
            shredded.wrapped.push(wrapped);
        }
        let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM prompts WHERE tenant = ?")
            .bind(tenant)
            .fetch_one(&mut *connection)
            .await?;
        shredded.records += rows;
    }
    for address in addresses {
        if let Some(stored) = find_key(connection, address).await? {
            shredded.records += rows_of_key(connection, stored.id).await?;
            shredded.keys.push(stored.id);
            shredded.wrapped.push(stored.wrapped.bytes);
        }
        shredded.hashes.push(hex::encode(&address.name));
    }
    shred(connection, &shredded.keys).await?;
    (shredded.last,) = sqlx::query_as("SELECT coalesce(max(sequence), 0) FROM prompts")
        .fetch_one(&mut *connection)
        .await?;
    // Whoever writes sees this before the next record, and drops what was under way.
    sqlx::query("UPDATE erasures SET count = count + 1, last_unix_ms = ? WHERE id = 1")
        .bind(integer(now_unix_ms()))
        .execute(connection)
        .await?;
    Ok(shredded)
}

/// Deletes the rows, which nobody can read any more, in small batches; and rows that an erasure before
/// this one left when it was killed.
async fn delete_rows(
    connection: &mut SqliteConnection,
    scope: &EraseScope,
    shredded: &Shredded,
) -> Result<(), PromptError> {
    if let EraseScope::Tenant(tenant) = scope {
        loop {
            let deleted = sqlx::query(
                "DELETE FROM prompts WHERE sequence IN (SELECT sequence FROM prompts \
                 WHERE tenant = ? AND sequence <= ? LIMIT ?)",
            )
            .bind(tenant)
            .bind(shredded.last)
            .bind(ROWS)
            .execute(&mut *connection)
            .await?
            .rows_affected();
            if deleted < ROWS.unsigned_abs() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    } else {
        for key in &shredded.keys {
            delete_of_key(connection, *key).await?;
        }
    }
    let mut from = 0;
    while from < shredded.last {
        if delete_orphans(connection, from, ROWS).await? > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        from += ROWS;
    }
    Ok(())
}

async fn rows_of_key(connection: &mut SqliteConnection, key: KeyId) -> Result<i64, PromptError> {
    let (rows,) = sqlx::query_as(
        "SELECT count(*) FROM prompts WHERE subject_key = ?1 OR conversation_key = ?1",
    )
    .bind(key.0.as_slice())
    .fetch_one(connection)
    .await?;
    Ok(rows)
}

async fn delete_of_key(connection: &mut SqliteConnection, key: KeyId) -> Result<(), PromptError> {
    loop {
        let deleted = sqlx::query(
            "DELETE FROM prompts WHERE sequence IN (SELECT sequence FROM prompts \
             WHERE subject_key = ? OR conversation_key = ? LIMIT ?)",
        )
        .bind(key.0.as_slice())
        .bind(key.0.as_slice())
        .bind(ROWS)
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if deleted < ROWS.unsigned_abs() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn empty_log(connection: &mut SqliteConnection) -> Result<(), PromptError> {
    for _ in 0..TRIES {
        if checkpoint(connection).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(PromptError::NotErased {
        what: "the database's log, which another process holds,".to_owned(),
        advice: "end long reads of prompts.db, and erase again: the keys are shredded already",
    })
}

/// The first file that still holds one of these byte strings.
fn search(settings: &PromptSettings, wrapped: &[Vec<u8>]) -> Result<Option<PathBuf>, PromptError> {
    if wrapped.is_empty() {
        return Ok(None);
    }
    let patterns = AhoCorasick::new(wrapped).map_err(|error| PromptError::Unreadable {
        action: "searched for",
        why: error.to_string(),
    })?;
    for path in files(&settings.database) {
        let unreadable = PromptError::io("cannot search", &path);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let mut found = patterns.stream_find_iter(file);
        if let Some(hit) = found.next() {
            hit.map_err(unreadable)?;
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether a key can still be found, or a row of the scope.
async fn check(
    connection: &mut SqliteConnection,
    scope: &EraseScope,
    shredded: &Shredded,
) -> Result<(), PromptError> {
    let left = |what: String| PromptError::NotErased {
        what,
        advice: "erase again",
    };
    for key in &shredded.keys {
        let (keys,): (i64,) = sqlx::query_as("SELECT count(*) FROM keys WHERE id = ?")
            .bind(key.0.as_slice())
            .fetch_one(&mut *connection)
            .await?;
        if keys + rows_of_key(connection, *key).await? > 0 {
            return Err(left(format!("the key {key} or a record of it")));
        }
    }
    let (remarks,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM remarks WHERE request NOT IN (SELECT request FROM prompts)",
    )
    .fetch_one(&mut *connection)
    .await?;
    if remarks > 0 {
        return Err(left("feedback on a request that is gone".to_owned()));
    }
    if let EraseScope::Tenant(tenant) = scope {
        let (rows,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM prompts WHERE tenant = ? AND sequence <= ?")
                .bind(tenant)
                .bind(shredded.last)
                .fetch_one(connection)
                .await?;
        if rows > 0 {
            return Err(left("a record of the tenant".to_owned()));
        }
    }
    Ok(())
}

fn receipt_scope(scope: &EraseScope, hashes: Vec<String>) -> ReceiptScope {
    match scope {
        EraseScope::Tenant(tenant) => ReceiptScope::Tenant {
            tenant: tenant.clone(),
        },
        EraseScope::Subject { tenant, .. } => ReceiptScope::Subject {
            tenant: tenant.clone(),
            hashes,
        },
        EraseScope::Conversation { tenant, .. } => ReceiptScope::Conversation {
            tenant: tenant.clone(),
            hashes,
        },
    }
}
