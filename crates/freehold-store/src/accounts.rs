//! Keys from the configuration.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use freehold_policy::Constraint;
use freehold_ports::{Account, Accounts};
use freehold_types::{Error, ErrorKind, FlowName, KeyName, Sensitivity};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// The name of everybody when the gateway asks for no key.
const ANONYMOUS: &str = "anonymous";
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
    /// Whose key it is.
    pub tenant: Option<String>,
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

/// The accounts of a configuration. Immutable: a new configuration makes new ones.
#[derive(Debug)]
pub struct StaticAccounts {
    keys: HashMap<Hash, Arc<Account>>,
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
            let hash = hash_of(&key)?;
            if key.name.as_str() == ANONYMOUS {
                return Err(AccountsError::Reserved);
            }
            if !names.insert(key.name.clone()) {
                return Err(AccountsError::SameName(key.name));
            }
            let account = Arc::new(Account {
                key: key.name,
                tenant: key.tenant,
                region: key.region,
                sensitivity: key.sensitivity,
                constraint: key.constraint,
                routes: key.routes,
                flow: key.flow,
            });
            if let Some(other) = accounts.insert(hash, Arc::clone(&account)) {
                return Err(AccountsError::SameKey(
                    other.key.clone(),
                    account.key.clone(),
                ));
            }
        }
        Ok(Self {
            anonymous: accounts.is_empty().then(anonymous),
            keys: accounts,
        })
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
        let account = self.keys.get(&hash).ok_or_else(|| {
            Error::new(
                ErrorKind::Unauthenticated,
                "the API key is not known to this gateway",
            )
            .with_code("invalid_api_key")
        })?;
        Ok(Arc::clone(account))
    }
}

fn anonymous() -> Arc<Account> {
    Arc::new(Account {
        key: KeyName::from(ANONYMOUS),
        tenant: None,
        region: None,
        sensitivity: None,
        constraint: Constraint::default(),
        routes: Vec::new(),
        flow: None,
    })
}

fn hash_of(key: &KeySettings) -> Result<Hash, AccountsError> {
    let secret = key.secret.expose_secret().trim();
    if secret.is_empty() {
        return Err(AccountsError::Empty(key.name.clone()));
    }
    let Some(digits) = secret.strip_prefix(HASHED) else {
        return Ok(Sha256::digest(secret.as_bytes()).into());
    };
    let mut hash = Hash::default();
    hex::decode_to_slice(digits.trim(), &mut hash)
        .map_err(|_| AccountsError::NotAHash(key.name.clone()))?;
    Ok(hash)
}

#[cfg(test)]
mod tests;
