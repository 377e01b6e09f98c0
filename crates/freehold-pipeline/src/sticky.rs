//! Labels that conversations had: what was restricted once stays inside, also when a later turn no
//! longer shows why.
//!
//! Only conversations that the caller names are remembered; all others show their whole history with
//! every turn, and the guard sees it again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use freehold_ports::Account;
use freehold_types::Sensitivity;
use moka::sync::Cache;

/// Conversations remembered at a time; the longest unused are forgotten first.
const CONVERSATIONS_MAX: u64 = 100_000;
/// A conversation is forgotten this long after its last turn.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The labels of conversations above `internal`, in memory.
pub(crate) struct Stickiness {
    hasher: RandomState,
    labels: Cache<u64, Sensitivity>,
}

impl Stickiness {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            labels: Cache::builder()
                .max_capacity(CONVERSATIONS_MAX)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// The label that the conversation had.
    pub(crate) fn of(&self, account: &Account, conversation: &str) -> Option<Sensitivity> {
        self.labels.get(&self.key(account, conversation))
    }

    /// Remembers a label; it can only rise.
    pub(crate) fn raise(&self, account: &Account, conversation: &str, label: Sensitivity) {
        if label <= Sensitivity::Internal {
            return;
        }
        self.labels
            .entry(self.key(account, conversation))
            .and_upsert_with(|known| known.map_or(label, |known| known.into_value().max(label)));
    }

    /// Names are kept as hashes only. Should two collide, the stricter label holds for both.
    fn key(&self, account: &Account, conversation: &str) -> u64 {
        let tenant = account.tenant.as_deref().unwrap_or(account.key.as_str());
        self.hasher.hash_one((tenant, conversation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(tenant: &str) -> Account {
        Account {
            tenant: Some(tenant.to_owned()),
            ..Account::of_key("app")
        }
    }

    #[test]
    fn labels_only_rise_and_belong_to_one_tenant() {
        let labels = Stickiness::new();
        let (one, other) = (account("one"), account("other"));
        assert_eq!(labels.of(&one, "talk"), None);
        labels.raise(&one, "talk", Sensitivity::Restricted);
        labels.raise(&one, "talk", Sensitivity::Confidential);
        assert_eq!(labels.of(&one, "talk"), Some(Sensitivity::Restricted));
        assert_eq!(labels.of(&one, "chat"), None);
        assert_eq!(labels.of(&other, "talk"), None);
    }
}
