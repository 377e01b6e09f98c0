//! Reading what is stored. Whoever shows text to somebody records that in the audit trail first.

use std::collections::HashMap;

use freehold_types::RequestId;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::SqliteConnection;

use super::database::{StoredKey, find_key, integer, now_unix_ms, open, tenants};
use super::keys::{Address, KeyId, KeyKind, RecordKeys, Secret};
use super::master::{Keyring, Wrapped};
use super::record::{Row, Unpacked, unpack};
use super::remarks::{self, ShownRemark};
use super::{PromptError, PromptSettings};

/// Which prompts are wanted: all that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this end user. Needs the master key.
    pub subject: Option<String>,
    /// Of this conversation. Needs the master key.
    pub conversation: Option<String>,
    /// Of this workload.
    pub flow: Option<String>,
    /// Begun at this time or later, Unix milliseconds.
    pub from_unix_ms: Option<u64>,
    /// Begun before this time, Unix milliseconds.
    pub to_unix_ms: Option<u64>,
    /// So many at most, the newest first; `None` means all.
    pub limit: Option<u32>,
}

/// What is known of a stored prompt without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredPrompt {
    /// The request.
    pub request_id: RequestId,
    /// The tenant, or the key's name where there is none.
    pub tenant: String,
    /// The end user's keyed hash.
    pub subject: Option<String>,
    /// The conversation's keyed hash.
    pub conversation: Option<String>,
    /// The workload.
    pub flow: Option<String>,
    /// What answered, or was asked last.
    pub deployment: Option<String>,
    /// The client's dialect, in which request and answer are written.
    pub dialect: String,
    /// Which text it is: `original` or `masked`.
    pub what: String,
    /// The label that policy acted on.
    pub sensitivity: String,
    /// How the answer ended: `complete`, `cut` or `missing`.
    pub end: String,
    /// When the request began, Unix milliseconds.
    pub started_unix_ms: u64,
    /// When it can no longer be read, Unix milliseconds.
    pub expires_unix_ms: u64,
    /// Its size in the store, in bytes.
    pub stored_bytes: u64,
    #[serde(skip)]
    keys: (KeyId, Option<KeyId>, Option<KeyId>),
}

/// A stored prompt, opened.
#[derive(Debug, Serialize)]
pub struct ShownPrompt {
    /// What is known without opening it.
    #[serde(flatten)]
    pub about: StoredPrompt,
    /// The request's body.
    pub request: Box<RawValue>,
    /// The answer's body; `None` when there was none.
    pub answer: Option<Box<RawValue>>,
    /// What users said of the answer in words, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<ShownRemark>,
}

/// Reads stored prompts, also while a gateway writes.
pub struct PromptReader {
    connection: SqliteConnection,
    settings: PromptSettings,
    keyring: Option<Keyring>,
    tenants: HashMap<String, Secret>,
}

type Columns = (
    Vec<u8>,
    String,
    Vec<u8>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
    Option<String>,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

const ROWS: &str = "SELECT p.request, p.tenant, p.expiry_key, p.subject_key, p.conversation_key, \
    p.flow, p.deployment, p.dialect, p.what, p.sensitivity, p.answer, p.started_unix_ms, \
    p.expires_unix_ms, length(p.body), s.name, c.name FROM prompts p \
    LEFT JOIN keys s ON s.id = p.subject_key LEFT JOIN keys c ON c.id = p.conversation_key \
    WHERE p.expires_unix_ms > ? \
    AND (?2 IS NULL OR p.request = ?2) \
    AND (?3 IS NULL OR p.tenant = ?3) \
    AND (?4 IS NULL OR p.flow = ?4) \
    AND (?5 IS NULL OR p.started_unix_ms >= ?5) \
    AND (?6 IS NULL OR p.started_unix_ms < ?6) \
    ORDER BY p.started_unix_ms DESC, p.sequence DESC LIMIT ?7";

impl PromptReader {
    /// Opens the store for reading.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub async fn open(settings: PromptSettings) -> Result<Self, PromptError> {
        let connection = open(&settings.database, settings.busy_timeout, false).await?;
        Ok(Self {
            connection,
            settings,
            keyring: None,
            tenants: HashMap::new(),
        })
    }

    /// What is stored, the newest first, without the text.
    ///
    /// # Errors
    /// When the database cannot be read, or the master key is missing and the filter needs it.
    pub async fn list(&mut self, filter: &PromptFilter) -> Result<Vec<StoredPrompt>, PromptError> {
        let named = [
            (KeyKind::Subject, &filter.subject),
            (KeyKind::Conversation, &filter.conversation),
        ];
        let mut wanted = Vec::new();
        for (kind, name) in named {
            if let Some(name) = name {
                wanted.push((kind, self.keys_named(kind, name).await?));
            }
        }
        // What keys decide, the database cannot count.
        let in_database = filter.limit.filter(|_| wanted.is_empty());
        let rows = rows(&mut self.connection, None, filter, in_database).await?;
        let fits = |prompt: &StoredPrompt| {
            wanted.iter().all(|(kind, keys)| {
                let (_, subject, conversation) = prompt.keys;
                let key = match kind {
                    KeyKind::Subject => subject,
                    _ => conversation,
                };
                key.is_some_and(|key| keys.contains(&key))
            })
        };
        let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
        Ok(rows.into_iter().filter(fits).take(limit).collect())
    }

    /// What is known of a stored prompt without opening it; `None` when it is not stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn find(&mut self, request: RequestId) -> Result<Option<StoredPrompt>, PromptError> {
        find_row(&mut self.connection, request).await
    }

    /// A stored prompt, opened; `None` when it is not stored.
    ///
    /// # Errors
    /// When the master key is missing, when a key was erased, and when the record was changed.
    pub async fn show(&mut self, request: RequestId) -> Result<Option<ShownPrompt>, PromptError> {
        match self.find(request).await? {
            Some(about) => self.read(about).await.map(Some),
            None => Ok(None),
        }
    }

    /// Opens one of those that were listed.
    ///
    /// # Errors
    /// As [`PromptReader::show`].
    pub async fn read(&mut self, about: StoredPrompt) -> Result<ShownPrompt, PromptError> {
        let gone = || PromptError::Erased {
            request: about.request_id.to_string(),
        };
        let tenant = self.tenant(&about.tenant).await?.ok_or_else(gone)?;
        let opened = open_record(&mut self.connection, &tenant, &about).await?;
        let (key, text) = opened.ok_or_else(gone)?;
        let feedback = remarks::read(&mut self.connection, &key, &about).await?;
        Ok(ShownPrompt {
            request: text.request,
            answer: text.answer,
            feedback,
            about,
        })
    }

    fn keyring(&mut self) -> Result<&Keyring, PromptError> {
        if self.keyring.is_none() {
            self.keyring = Some(Keyring::open(&self.settings, false)?);
        }
        self.keyring.as_ref().ok_or_else(|| PromptError::MasterKey {
            why: "it is not there".to_owned(),
        })
    }

    /// The ids of the keys of a subject or conversation, one of each tenant that has it.
    async fn keys_named(&mut self, kind: KeyKind, name: &str) -> Result<Vec<KeyId>, PromptError> {
        let mut found = Vec::new();
        for (tenant, stored) in tenants(&mut self.connection).await? {
            let key = stored.open_tenant(&Address::tenant(&tenant), self.keyring()?)?;
            let address = Address::hashed(&tenant, &key, kind, name);
            let stored = find_key(&mut self.connection, &address).await?;
            found.extend(stored.map(|stored| stored.id));
        }
        Ok(found)
    }

    /// A tenant's key; `None` when it was erased.
    async fn tenant(&mut self, tenant: &str) -> Result<Option<Secret>, PromptError> {
        if let Some(key) = self.tenants.get(tenant) {
            return Ok(Some(key.clone()));
        }
        let address = Address::tenant(tenant);
        let Some(stored) = find_key(&mut self.connection, &address).await? else {
            return Ok(None);
        };
        let key = stored.open_tenant(&address, self.keyring()?)?;
        self.tenants.insert(tenant.to_owned(), key.clone());
        Ok(Some(key))
    }
}

/// What is known of a stored prompt without opening it; `None` when it is not stored.
pub(super) async fn find_row(
    connection: &mut SqliteConnection,
    request: RequestId,
) -> Result<Option<StoredPrompt>, PromptError> {
    let filter = PromptFilter::default();
    Ok(rows(connection, Some(request), &filter, Some(1))
        .await?
        .pop())
}

async fn rows(
    connection: &mut SqliteConnection,
    request: Option<RequestId>,
    filter: &PromptFilter,
    limit: Option<u32>,
) -> Result<Vec<StoredPrompt>, PromptError> {
    let rows: Vec<Columns> = sqlx::query_as(ROWS)
        .bind(integer(now_unix_ms()))
        .bind(request.as_ref().map(|id| id.as_bytes().as_slice()))
        .bind(&filter.tenant)
        .bind(&filter.flow)
        .bind(filter.from_unix_ms.map(integer))
        .bind(filter.to_unix_ms.map(integer))
        .bind(limit.map_or(-1, i64::from))
        .fetch_all(connection)
        .await?;
    let read = |columns| {
        StoredPrompt::of(columns).ok_or_else(|| PromptError::Unreadable {
            action: "read",
            why: "its row was changed".to_owned(),
        })
    };
    rows.into_iter().map(read).collect()
}

/// A record's own key and its text; `None` when the record or one of its keys is gone.
pub(super) async fn open_record(
    connection: &mut SqliteConnection,
    tenant: &Secret,
    about: &StoredPrompt,
) -> Result<Option<(Secret, Unpacked)>, PromptError> {
    let body: Option<(Vec<u8>,)> = sqlx::query_as("SELECT body FROM prompts WHERE request = ?")
        .bind(about.request_id.as_bytes().as_slice())
        .fetch_optional(&mut *connection)
        .await?;
    let Some((body,)) = body else {
        return Ok(None);
    };
    let Some(key) = record_key(connection, tenant, about).await? else {
        return Ok(None);
    };
    let packed = key.open(&about.row().about(), &body);
    let packed = packed.ok_or_else(|| PromptError::Changed {
        request: about.request_id.to_string(),
    })?;
    Ok(Some((key, unpack(&packed)?)))
}

/// A record's own key; `None` when one of those is gone that it is made of.
pub(super) async fn record_key(
    connection: &mut SqliteConnection,
    tenant: &Secret,
    about: &StoredPrompt,
) -> Result<Option<Secret>, PromptError> {
    let (expiry, subject, conversation) = about.keys;
    let Some(expiry) = key(connection, &about.tenant, tenant, expiry).await? else {
        return Ok(None);
    };
    let mut named = [None, None];
    for (id, found) in [subject, conversation].into_iter().zip(&mut named) {
        if let Some(id) = id {
            *found = key(connection, &about.tenant, tenant, id).await?;
            if found.is_none() {
                return Ok(None);
            }
        }
    }
    let [subject, conversation] = &named;
    let keys = RecordKeys {
        expiry: &expiry,
        subject: subject.as_ref(),
        conversation: conversation.as_ref(),
    };
    keys.combine(about.request_id.as_bytes()).map(Some)
}

/// A key by its id, if it is the tenant's; `None` when it was erased.
async fn key(
    connection: &mut SqliteConnection,
    tenant: &str,
    tenant_key: &Secret,
    id: KeyId,
) -> Result<Option<Secret>, PromptError> {
    let row: Option<(String, Vec<u8>, String, Vec<u8>)> =
        sqlx::query_as("SELECT kind, name, wrapped_by, wrapped FROM keys WHERE id = ?")
            .bind(id.0.as_slice())
            .fetch_optional(connection)
            .await?;
    let Some((kind, name, by, bytes)) = row else {
        return Ok(None);
    };
    let kinds = [KeyKind::Expiry, KeyKind::Subject, KeyKind::Conversation];
    let kind = kinds.into_iter().find(|known| known.as_str() == kind);
    let stored = StoredKey {
        id,
        wrapped: Wrapped { by, bytes },
    };
    let address = kind.map(|kind| Address {
        // The record's own tenant: another's key does not open with it.
        tenant: tenant.to_owned(),
        kind,
        name,
    });
    let address = address.ok_or_else(|| PromptError::ChangedKey {
        key: id.to_string(),
    })?;
    stored.open(&address, tenant_key).map(Some)
}

impl StoredPrompt {
    fn of(columns: Columns) -> Option<Self> {
        let (request, tenant, expiry_key, subject_key, conversation_key, ..) = &columns;
        let request_id = format!("req_{}", hex::encode(request)).parse().ok()?;
        let id = |key: &Option<Vec<u8>>| match key {
            None => Some(None),
            Some(key) => KeyId::from_slice(key).map(Some),
        };
        let keys = (
            KeyId::from_slice(expiry_key)?,
            id(subject_key)?,
            id(conversation_key)?,
        );
        let tenant = tenant.clone();
        let (.., flow, deployment, dialect, what, sensitivity, end, started, expires, bytes, s, c) =
            columns;
        Some(Self {
            request_id,
            tenant,
            subject: s.map(hex::encode),
            conversation: c.map(hex::encode),
            flow,
            deployment,
            dialect,
            what,
            sensitivity,
            end,
            started_unix_ms: u64::try_from(started).ok()?,
            expires_unix_ms: u64::try_from(expires).ok()?,
            stored_bytes: u64::try_from(bytes).ok()?,
            keys,
        })
    }

    /// What its text is bound to.
    pub(super) fn row(&self) -> Row {
        let (expiry_key, subject_key, conversation_key) = self.keys;
        Row {
            request: *self.request_id.as_bytes(),
            tenant: self.tenant.clone(),
            expiry_key,
            subject_key,
            conversation_key,
            flow: self.flow.clone(),
            deployment: self.deployment.clone(),
            dialect: self.dialect.clone(),
            what: self.what.clone(),
            sensitivity: self.sensitivity.clone(),
            answer: self.end.clone(),
            started_unix_ms: self.started_unix_ms,
            expires_unix_ms: self.expires_unix_ms,
        }
    }
}
