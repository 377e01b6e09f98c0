//! Who asks, and what they may.

use freehold_policy::Constraint;
use freehold_types::{Error, FlowName, Grant, KeyName, Sensitivity, TeamName};

use crate::meter::Bound;

/// What the gateway knows about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The key's name; `anonymous` when the gateway asks for none.
    pub key: KeyName,
    /// Whose key it is, where the operator says so.
    pub tenant: Option<String>,
    /// The team that its requests are billed to.
    pub team: Option<TeamName>,
    /// What limits it: the key itself, its team, and the teams that that is a part of.
    pub bounds: Vec<Bound>,
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
    /// What it may do at the operator's surface; most keys may do nothing there.
    pub grant: Option<Grant>,
}

/// The name of everybody when the gateway asks for no key.
pub const ANONYMOUS: &str = "anonymous";

impl Account {
    /// Whether this is everybody, because the gateway asks for no key.
    pub fn is_anonymous(&self) -> bool {
        self.key.as_str() == ANONYMOUS
    }

    /// An account of which only the key's name is known: it demands nothing and may do everything.
    pub fn of_key(key: impl Into<KeyName>) -> Self {
        Self {
            key: key.into(),
            tenant: None,
            team: None,
            bounds: Vec::new(),
            region: None,
            sensitivity: None,
            constraint: Constraint::default(),
            routes: Vec::new(),
            flow: None,
            grant: None,
        }
    }
}

/// Tells who asks.
pub trait Accounts: Send + Sync {
    /// The account of the presented key; `None` when the client presented none.
    ///
    /// # Errors
    /// `Unauthenticated` when a key is needed and missing, or is not known.
    fn authenticate(&self, presented: Option<&str>) -> Result<std::sync::Arc<Account>, Error>;
}
