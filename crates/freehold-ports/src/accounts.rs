//! Who asks, and what they may.

use freehold_policy::Constraint;
use freehold_types::{Error, FlowName, KeyName, Sensitivity};

/// What the gateway knows about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The key's name; `anonymous` when the gateway asks for none.
    pub key: KeyName,
    /// Whose key it is, where the operator says so.
    pub tenant: Option<String>,
    /// The region that its requests come from, where the operator says so.
    pub region: Option<String>,
    /// The least sensitive label of its requests.
    pub sensitivity: Option<Sensitivity>,
    /// What it demands of backends.
    pub constraint: Constraint,
    /// Routes it may name, with `*` wildcards; empty means all.
    pub routes: Vec<String>,
    /// The flow of its requests, unless the request names one.
    pub flow: Option<FlowName>,
}

/// Tells who asks.
pub trait Accounts: Send + Sync {
    /// The account of the presented key; `None` when the client presented none.
    ///
    /// # Errors
    /// `Unauthenticated` when a key is needed and missing, or is not known.
    fn authenticate(&self, presented: Option<&str>) -> Result<std::sync::Arc<Account>, Error>;
}
