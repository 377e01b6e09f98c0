//! What is known of a request beside its text.

use std::collections::BTreeMap;

use freehold_types::Sensitivity;

/// What is known of a request beside its text; `None` where nobody knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Whose request it is.
    pub tenant: Option<&'a str>,
    /// The name of its API key.
    pub key: Option<&'a str>,
    /// Its workload.
    pub flow: Option<&'a str>,
    /// The route that its `model` led to.
    pub route: Option<&'a str>,
    /// The region that it comes from.
    pub region: Option<&'a str>,
    /// Labels in its metadata.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// The label that the conversation had until now. It can only rise: what was restricted once
    /// stays inside.
    pub previous: Option<Sensitivity>,
    /// Names of the rules that matched what this is added to: they match this as well, whatever they
    /// ask for. Names that no rule has are passed over.
    pub before: &'a [String],
}
