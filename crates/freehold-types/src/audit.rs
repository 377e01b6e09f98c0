//! The audit trail's records: what was decided about a request, what an administrator did, and the
//! signed checkpoints in between.
//!
//! No record has a field for text of a request or an answer. Whatever is a string here is an
//! [`AuditName`]: the bounded name of something in the configuration, without spaces.
//!
//! # Canonical form
//! A record's bytes are its compact JSON with the members of every object sorted by name, which for
//! these types is RFC 8785 (JCS): names and strings are printable ASCII without quotes and
//! backslashes, numbers are integers below 2^53, and there are no floats and no nulls. The fields
//! below are declared in sorted order so that plain serialisation gives that form; a test compares
//! it with a JCS library. Fields that are absent are left out. A new field must keep the order and
//! be optional.

mod hex_bytes;
mod name;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use hex_bytes::{Digest, HexBytes, KeyId, NotHex, PublicKeyBytes, SignatureBytes};
pub use name::{AUDIT_NAME_CHARS_MAX, AuditName};

use crate::outcome::ErrorSummary;
use crate::{AttemptRecord, Outcome, OutcomeStatus, Perimeter, RequestId, Sensitivity};

/// One record of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// What happened.
    pub event: AuditEvent,
    /// Its place in the trail, from 1, without gaps.
    pub sequence: u64,
    /// Wall-clock time of recording, Unix milliseconds. May go back when the clock is set.
    pub time_unix_ms: u64,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditEvent {
    /// Somebody changed what the gateway does.
    Administration(Administration),
    /// The trail up to here, signed.
    Checkpoint(Checkpoint),
    /// A request was decided.
    Decision(AuditDecision),
}

impl AuditEvent {
    /// Which kind of event it is.
    pub const fn kind(&self) -> AuditKind {
        match self {
            Self::Administration(_) => AuditKind::Administration,
            Self::Checkpoint(_) => AuditKind::Checkpoint,
            Self::Decision(_) => AuditKind::Decision,
        }
    }
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// Somebody changed what the gateway does.
    Administration,
    /// The trail up to here, signed.
    Checkpoint,
    /// A request was decided.
    Decision,
}

impl AuditKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Administration, Self::Checkpoint, Self::Decision];

    /// The kind's name in records and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administration => "administration",
            Self::Checkpoint => "checkpoint",
            Self::Decision => "decision",
        }
    }
}

impl fmt::Display for AuditKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no kind of event.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a kind of audit record: use decision, administration or checkpoint")]
pub struct UnknownAuditKind(pub String);

impl std::str::FromStr for AuditKind {
    type Err = UnknownAuditKind;

    fn from_str(text: &str) -> Result<Self, UnknownAuditKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| UnknownAuditKind(text.chars().take(32).collect()))
    }
}

/// What was decided about one request, and where it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDecision {
    /// Every attempt that was begun, in order: where the request was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AuditAttempt>,
    /// How many findings of each entity type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: BTreeMap<AuditName, u32>,
    /// The workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<AuditName>,
    /// The name of the key that asked; never the key.
    pub key: AuditName,
    /// What policy allowed; `None` when the request never got so far or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<PermitSummary>,
    /// How many findings of each entity type were removed from the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redacted: BTreeMap<AuditName, u32>,
    /// The code of the refusal or failure; `None` when the request was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<AuditName>,
    /// The request.
    pub request: RequestId,
    /// The route that the client's name led to; `None` when it led nowhere, because what the
    /// client wrote there is the client's own text. A wildcard route has the name that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<AuditName>,
    /// The ids of the policy rules that applied, in the order of the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AuditName>,
    /// The label that policy acted on.
    pub sensitivity: Sensitivity,
    /// Wall-clock time of admission, Unix milliseconds.
    pub started_unix_ms: u64,
    /// How the request ended.
    pub status: OutcomeStatus,
    /// The tenant of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<AuditName>,
}

impl AuditDecision {
    /// What an outcome says. The outcome knows neither rules nor permit nor tenant, and the route
    /// only when the router was asked: the caller adds what it knows.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            attempts: outcome.attempts.iter().map(AuditAttempt::of).collect(),
            findings: named(&outcome.findings),
            redacted: named(&outcome.redacted),
            flow: outcome
                .flow
                .as_ref()
                .map(|flow| AuditName::new(flow.as_str())),
            key: AuditName::new(outcome.key.as_str()),
            permit: None,
            refusal: outcome.error.as_ref().map(code),
            request: outcome.id,
            route: outcome
                .decision
                .as_ref()
                .map(|decision| AuditName::new(&decision.inputs.route)),
            rules: Vec::new(),
            sensitivity: outcome.sensitivity,
            started_unix_ms: outcome.started_unix_ms,
            status: outcome.status,
            tenant: None,
        }
    }
}

fn code(error: &ErrorSummary) -> AuditName {
    AuditName::new(error.kind.as_str())
}

/// One attempt: where a request was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAttempt {
    /// The backend.
    pub backend: AuditName,
    /// The deployment, `backend/model`.
    pub deployment: AuditName,
    /// The kind of error; `None` for the attempt that served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AuditName>,
    /// On whose machines.
    pub perimeter: Perimeter,
    /// Where; `None` when the operator did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<AuditName>,
}

impl AuditAttempt {
    /// What an attempt's record says.
    pub fn of(attempt: &AttemptRecord) -> Self {
        Self {
            backend: AuditName::new(attempt.backend.as_str()),
            deployment: AuditName::new(attempt.deployment.as_str()),
            error: attempt.error.as_ref().map(code),
            perimeter: attempt.perimeter,
            region: attempt
                .region
                .as_ref()
                .map(|region| AuditName::new(region.as_str())),
        }
    }
}

fn named(counts: &BTreeMap<String, u32>) -> BTreeMap<AuditName, u32> {
    let counts = counts.iter();
    counts
        .map(|(entity, count)| (AuditName::new(entity), *count))
        .collect()
}

/// What policy allowed for one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitSummary {
    /// The entity types that had to be masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<AuditName>,
    /// The perimeters that were allowed.
    pub perimeters: Vec<Perimeter>,
    /// The regions that were allowed; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<AuditName>,
    /// Which text of a sample of such requests is stored, `masked` or `original`; `None` when none
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<AuditName>,
    /// The compliance tags that were demanded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<AuditName>,
}

/// Something that an administrator, or the gateway on its own account, did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administration {
    /// What was done.
    pub act: AdministrativeAct,
    /// Who did it: a user, a key's name, `cli`, `gateway`.
    pub actor: AuditName,
    /// SHA-256 of the object afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest>,
    /// SHA-256 of the object before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// To what: the name of a file, key, policy, model.
    pub object: AuditName,
}

/// What administrators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdministrativeAct {
    /// Part of the audit trail was exported.
    AuditExported,
    /// A new configuration was loaded.
    ConfigReloaded,
    /// A new configuration was refused, and the old one kept.
    ConfigRejected,
    /// A key was made.
    KeyCreated,
    /// A key was taken back.
    KeyRevoked,
    /// The guard's recognisers changed.
    GuardChanged,
    /// A model was fetched.
    ModelAdded,
    /// A model was removed.
    ModelRemoved,
    /// The keys of stored prompts were wrapped by another master key.
    MasterKeyChanged,
    /// The policy changed.
    PolicyChanged,
    /// Stored prompts were erased; `after` is the receipt's hash.
    PromptsErased,
    /// Stored prompts were written out, with their text.
    PromptsExported,
    /// A stored prompt was shown, with its text.
    PromptShown,
    /// A request held for review was let through.
    ReviewApproved,
    /// A request held for review was refused.
    ReviewDenied,
    /// Somebody signed in at the operator's surface.
    SignedIn,
    /// Somebody whom the login service knows has no role, and was turned away.
    SignInRefused,
    /// The perimeter was sealed.
    Sealed,
    /// The gateway began to serve.
    Served,
    /// The gateway stopped serving.
    Stopped,
    /// The perimeter was opened.
    Unsealed,
}

/// The trail up to the record before this one, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The key that signed, Ed25519 (RFC 8032).
    pub public_key: PublicKeyBytes,
    /// Its signature over [`CHECKPOINT_CONTEXT`] and the statement's canonical bytes.
    pub signature: SignatureBytes,
    /// What is signed.
    pub statement: CheckpointStatement,
}

/// What stands before a statement when it is signed, so that a signature cannot be taken for one of
/// something else.
pub const CHECKPOINT_CONTEXT: &[u8] = b"freehold audit checkpoint 1\n";

/// What a checkpoint signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStatement {
    /// The hash of the last record covered; all zero when there is none.
    pub chain_hash: Digest,
    /// How many records stand between the checkpoint before and this one.
    pub count: u64,
    /// The first 16 bytes of the public key's SHA-256.
    pub key_id: KeyId,
    /// Why the checkpoint was made.
    pub reason: CheckpointReason,
    /// The sequence of the last record covered; 0 when there is none.
    pub sequence: u64,
    /// Wall-clock time of signing, Unix milliseconds.
    pub time_unix_ms: u64,
    /// Bytes of a half-written record that were cut off when the trail was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_bytes: Option<u64>,
}

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckpointReason {
    /// Enough records, or enough time.
    Periodic,
    /// Somebody asked for one.
    Requested,
    /// The trail could not be written for a while and now can.
    Resumed,
    /// A segment file begins.
    Rotated,
    /// The trail was opened, and is new or was closed in order.
    Started,
    /// The trail was opened, and the process before did not close it: it was killed, or the machine
    /// failed. Records after the checkpoint before this one may have been lost with the machine.
    StartedUnclean,
    /// The trail was closed in order.
    Stopped,
}

#[cfg(test)]
mod tests;
