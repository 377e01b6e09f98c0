//! What users say of answers in words: rows beside the request's own, under the very same keys.
//!
//! A remark never makes a key: without the request's row and all of its keys it is not stored. So what
//! makes the request unreadable, expiry or an erasure, does the same to all that was said of its answer,
//! and its row goes with the request's.

use freehold_policy::StoredText;
use freehold_ports::{NotStored, Recorded, RemarkFacts, RemarkText, Remarked};
use freehold_types::Dialect;
use freehold_wire::{Limits, decode_request};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::PromptError;
use super::database::integer;
use super::keys::{Secret, put};
use super::reader::{StoredPrompt, find_row, record_key};
use super::record::{Row, Unpacked, compress, unpack};

/// So many are kept of one request.
const PER_REQUEST_MAX: usize = 32;

/// What a user said of an answer in words, opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownRemark {
    /// The feedback's id.
    pub id: String,
    /// When it came, Unix milliseconds.
    pub given_unix_ms: u64,
    /// Which text it is: `original` or `masked`.
    pub what: String,
    /// The label that policy acted on.
    pub sensitivity: String,
    /// What they say of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What the answer should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_answer: Option<String>,
}

/// The words of a remark, as they are packed.
#[derive(Deserialize, Serialize)]
struct Words {
    comment: Option<String>,
    edited_answer: Option<String>,
}

/// What stands in the clear beside a remark: bound to its words, with all that stands beside the
/// request.
struct Beside {
    id: String,
    what: String,
    sensitivity: String,
    given_unix_ms: u64,
}

impl Beside {
    fn about(&self, row: &Row) -> Vec<u8> {
        let mut about = b"freehold prompt remark 1".to_vec();
        put(&mut about, &row.about());
        for text in [&self.id, &self.what, &self.sensitivity] {
            put(&mut about, text.as_bytes());
        }
        put(&mut about, &self.given_unix_ms.to_be_bytes());
        about
    }

    fn open(self, key: &Secret, row: &Row, body: &[u8]) -> Result<ShownRemark, PromptError> {
        let packed = key.open(&self.about(row), body);
        let packed = packed.ok_or_else(|| PromptError::ChangedRemark {
            id: self.id.clone(),
        })?;
        let words: Words = unpack(&packed)?;
        Ok(ShownRemark {
            id: self.id,
            given_unix_ms: self.given_unix_ms,
            what: self.what,
            sensitivity: self.sensitivity,
            comment: words.comment,
            edited_answer: words.edited_answer,
        })
    }
}

/// What was said of a request's answer, the oldest first.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    key: &Secret,
    about: &StoredPrompt,
) -> Result<Vec<ShownRemark>, PromptError> {
    let rows: Vec<(String, String, String, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT id, what, sensitivity, given_unix_ms, body FROM remarks WHERE request = ? \
         ORDER BY given_unix_ms, sequence",
    )
    .bind(about.request_id.as_bytes().as_slice())
    .fetch_all(connection)
    .await?;
    let row = about.row();
    let open = |(id, what, sensitivity, given, body): (String, String, String, i64, Vec<u8>)| {
        let beside = Beside {
            id,
            what,
            sensitivity,
            given_unix_ms: u64::try_from(given).unwrap_or_default(),
        };
        beside.open(key, &row, &body)
    };
    rows.into_iter().map(open).collect()
}

/// What is kept under this id already, or that there is no room for more.
pub(super) async fn known(
    connection: &mut SqliteConnection,
    key: &Secret,
    about: &StoredPrompt,
    id: &str,
) -> Result<Option<Result<Remarked, NotStored>>, PromptError> {
    let kept = read(connection, key, about).await?;
    if let Some(one) = kept.iter().find(|one| one.id == id) {
        return Ok(Some(Ok(Remarked {
            comment: one.comment.is_some(),
            edited_answer: one.edited_answer.is_some(),
        })));
    }
    let is_full = kept.len() >= PER_REQUEST_MAX;
    Ok(is_full.then_some(Err(NotStored::TooMany)))
}

/// What policy is told of the request.
pub(super) fn recorded(about: &StoredPrompt, text: Unpacked) -> Result<Recorded, NotStored> {
    let dialects = [
        Dialect::OpenaiChat,
        Dialect::OpenaiCompletions,
        Dialect::AnthropicMessages,
    ];
    let mut dialects = dialects.into_iter();
    let dialect = dialects.find(|dialect| dialect.as_str() == about.dialect);
    let what = [StoredText::Original, StoredText::Masked];
    let what = what.into_iter().find(|what| what.as_str() == about.what);
    let rules = text.rules.ok_or(NotStored::OldRecord)?;
    let body = text.request.get().to_owned().into();
    let request = decode_request(dialect.ok_or(NotStored::Defect)?, body, &Limits::default());
    Ok(Recorded {
        request: request.map_err(|_| NotStored::Defect)?,
        what: what.ok_or(NotStored::Defect)?,
        sensitivity: about.sensitivity.parse().unwrap_or_default(),
        rules,
        expires_unix_ms: about.expires_unix_ms,
    })
}

/// Writes a remark within a transaction, if the request and all of its keys are still there.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    tenant: &Secret,
    about: &StoredPrompt,
    facts: &RemarkFacts,
    text: &RemarkText,
) -> Result<Result<Remarked, NotStored>, PromptError> {
    let there = find_row(connection, about.request_id).await?;
    let Some(there) = there.filter(|there| there == about) else {
        return Ok(Err(NotStored::RequestNotStored));
    };
    let Some(key) = record_key(connection, tenant, &there).await? else {
        return Ok(Err(NotStored::RequestNotStored));
    };
    let words = Words {
        comment: text.wording().comment.clone(),
        edited_answer: text.wording().edited_answer.clone(),
    };
    let beside = Beside {
        id: facts.id.clone(),
        what: text.pass().what().as_str().to_owned(),
        sensitivity: text.sensitivity().as_str().to_owned(),
        given_unix_ms: facts.given_unix_ms,
    };
    let body = key.seal(&beside.about(&there.row()), &compress(&words)?)?;
    sqlx::query(
        "INSERT INTO remarks (request, id, what, sensitivity, given_unix_ms, body) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(there.request_id.as_bytes().as_slice())
    .bind(&beside.id)
    .bind(&beside.what)
    .bind(&beside.sensitivity)
    .bind(integer(beside.given_unix_ms))
    .bind(body)
    .execute(connection)
    .await?;
    Ok(Ok(Remarked {
        comment: words.comment.is_some(),
        edited_answer: words.edited_answer.is_some(),
    }))
}
