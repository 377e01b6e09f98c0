//! Keys from the configuration.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use freehold_policy::Constraint;
use freehold_ports::{ANONYMOUS, Account, Accounts, Bound, Clock, SystemClock};
use freehold_types::{Error, ErrorKind, FlowName, Grant, KeyName, Sensitivity, TeamName};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// Introduces the SHA-256 of a key where the key itself would stand.
const HASHED: &str = "sha256:";

/// A key and what its holder may.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// What the ledger calls it.
    pub name: KeyName,
    /// The key itself, or `sha256:` and the 64 hex digits of its SHA-256. Only the hash is kept.
    /// Keys must be long and random: a hash does not protect one that can be guessed.
    pub secret: SecretString,
    /// How the key begins, to tell it from others in lists.
    pub prefix: Option<String>,
    /// From when on it is not taken any more, Unix milliseconds.
    pub expires_unix_ms: Option<u64>,
    /// Keys that it replaces: they are the same key until their time is over.
    pub previous: Vec<PreviousKey>,
    /// Whose key it is.
    pub tenant: Option<String>,
    /// The team that its requests are billed to.
    pub team: Option<TeamName>,
    /// What limits it: its own limits, its team's, and those of the teams above.
    pub bounds: Vec<Bound>,
    /// The region that its requests come from.
    pub region: Option<String>,
    /// The least sensitive label of its requests.
    pub sensitivity: Option<Sensitivity>,
    /// Routes it may name, with `*` wildcards; empty means all.
    pub routes: Vec<String>,
    /// What it demands of backends.
    pub constraint: Constraint,
    /// The flow of its requests, unless the request names one.
    pub flow: Option<FlowName>,
    /// What it may do at the operator's surface.
    pub grant: Option<Grant>,
}

impl KeySettings {
    /// A key that may do everything and never expires.
    pub fn new(name: impl Into<KeyName>, secret: impl Into<SecretString>) -> Self {
        Self {
            name: name.into(),
            secret: secret.into(),
            prefix: None,
            expires_unix_ms: None,
            previous: Vec::new(),
            tenant: None,
            team: None,
            bounds: Vec::new(),
            region: None,
            sensitivity: None,
            routes: Vec::new(),
            constraint: Constraint::default(),
            flow: None,
            grant: None,
        }
    }
}

/// A key that has been replaced and is still taken for a while.
#[derive(Clone, Debug)]
pub struct PreviousKey {
    /// As in [`KeySettings::secret`].
    pub secret: SecretString,
    /// From when on it is not taken any more, Unix milliseconds.
    pub until_unix_ms: u64,
}

/// Why the keys of a configuration cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccountsError {
    /// The key is empty.
    #[error("key `{0}` is empty")]
    Empty(KeyName),
    /// `sha256:` is not followed by a hash.
    #[error("key `{0}`: `sha256:` must be followed by 64 hex digits")]
    NotAHash(KeyName),
    /// Two keys have one name.
    #[error("two keys are named `{0}`")]
    SameName(KeyName),
    /// Two names have one key.
    #[error("`{0}` and `{1}` are the same key")]
    SameKey(KeyName, KeyName),
    /// The name is taken.
    #[error("`anonymous` is the name of requests without a key; name the key otherwise")]
    Reserved,
}

type Hash = [u8; 32];

struct Entry {
    account: Arc<Account>,
    until_unix_ms: Option<u64>,
}

/// The accounts of a configuration. Immutable: a new configuration makes new ones.
pub struct StaticAccounts {
    keys: HashMap<Hash, Entry>,
    clock: Arc<dyn Clock>,
    /// `Some` when the gateway asks for no key.
    anonymous: Option<Arc<Account>>,
}

impl StaticAccounts {
    /// The accounts of these keys. Without any key everybody is `anonymous` and may do everything,
    /// whatever key is presented: SDKs insist on sending one.
    ///
    /// # Errors
    /// When a key or a name is unusable.
    pub fn new(keys: impl IntoIterator<Item = KeySettings>) -> Result<Self, AccountsError> {
        let mut accounts = HashMap::new();
        let mut names = HashSet::new();
        for key in keys {
            if key.name.as_str() == ANONYMOUS {
                return Err(AccountsError::Reserved);
            }
            if !names.insert(key.name.clone()) {
                return Err(AccountsError::SameName(key.name));
            }
            let mut hashes = vec![(hash_of(&key.name, &key.secret)?, key.expires_unix_ms)];
            for previous in &key.previous {
                let hash = hash_of(&key.name, &previous.secret)?;
                hashes.push((hash, Some(previous.until_unix_ms)));
            }
            let account = Arc::new(Account {
                key: key.name,
                tenant: key.tenant,
                team: key.team,
                bounds: key.bounds,
                region: key.region,
                sensitivity: key.sensitivity,
                constraint: key.constraint,
                routes: key.routes,
                flow: key.flow,
                grant: key.grant,
            });
            for (hash, until_unix_ms) in hashes {
                let entry = Entry {
                    account: Arc::clone(&account),
                    until_unix_ms,
                };
                if let Some(other) = accounts.insert(hash, entry) {
                    let names = (other.account.key.clone(), account.key.clone());
                    return Err(AccountsError::SameKey(names.0, names.1));
                }
            }
        }
        Ok(Self {
            anonymous: accounts.is_empty().then(anonymous),
            keys: accounts,
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// The same accounts by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// True when the gateway asks for no key.
    pub fn is_open(&self) -> bool {
        self.anonymous.is_some()
    }
}

impl Accounts for StaticAccounts {
    fn authenticate(&self, presented: Option<&str>) -> Result<Arc<Account>, Error> {
        if let Some(account) = &self.anonymous {
            return Ok(Arc::clone(account));
        }
        let presented = presented.map(str::trim).filter(|key| !key.is_empty());
        let Some(presented) = presented else {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "no API key was sent; send one as `Authorization: Bearer <key>` or `x-api-key: <key>`",
            )
            .with_code("missing_api_key"));
        };
        // Looked up by hash: how long that takes tells nothing about any key.
        let hash: Hash = Sha256::digest(presented.as_bytes()).into();
        let refused = |message: &str, code| {
            Err(Error::new(ErrorKind::Unauthenticated, message).with_code(code))
        };
        let Some(entry) = self.keys.get(&hash) else {
            return refused(
                "the API key is not known to this gateway",
                "invalid_api_key",
            );
        };
        let is_over = |until_unix_ms| self.clock.unix_ms() >= until_unix_ms;
        if entry.until_unix_ms.is_some_and(is_over) {
            let message = "the API key has expired: ask the gateway's operator for a new one";
            return refused(message, "expired_api_key");
        }
        Ok(Arc::clone(&entry.account))
    }
}

fn anonymous() -> Arc<Account> {
    Arc::new(Account::of_key(ANONYMOUS))
}

fn hash_of(name: &KeyName, secret: &SecretString) -> Result<Hash, AccountsError> {
    let secret = secret.expose_secret().trim();
    if secret.is_empty() {
        return Err(AccountsError::Empty(name.clone()));
    }
    let Some(digits) = secret.strip_prefix(HASHED) else {
        return Ok(Sha256::digest(secret.as_bytes()).into());
    };
    let mut hash = Hash::default();
    hex::decode_to_slice(digits.trim(), &mut hash)
        .map_err(|_| AccountsError::NotAHash(name.clone()))?;
    Ok(hash)
}

#[cfg(test)]
mod tests;
