//! Names and ids. Each is its own type so that a key's name cannot be passed for a flow's.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Wraps a name; any text is allowed, validation belongs to the configuration.
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(Arc::from(name.as_ref()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                Self(Arc::from(name))
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A backend: a hosted API, a self-hosted server, or the embedded engine.
    BackendId
);
name!(
    /// One model on one backend, written `backend/model`.
    DeploymentId
);
name!(
    /// What a client names in `model`: `auto`, an alias, `provider/model` or a wildcard.
    RouteName
);
name!(
    /// The name of an API key (never the key itself).
    KeyName
);
name!(
    /// A team. Teams form a tree: `acme/search` is a part of `acme`.
    TeamName
);
name!(
    /// One recognised workload.
    FlowName
);
name!(
    /// Where a backend's machines stand, e.g. `eu-central-1`.
    Region
);
name!(
    /// A compliance tag that a backend declares, e.g. `hipaa`.
    Tag
);

impl TeamName {
    /// What separates a team from the part of it.
    const SEPARATOR: char = '/';

    /// The team itself and those that it is a part of, the largest last.
    pub fn lineage(&self) -> impl Iterator<Item = Self> + '_ {
        let parents = self.as_str().rmatch_indices(Self::SEPARATOR);
        std::iter::once(self.clone())
            .chain(parents.map(|(end, _)| Self::new(&self.as_str()[..end])))
    }

    /// The largest team that it is a part of: the tenant.
    pub fn root(&self) -> &str {
        let end = self.as_str().find(Self::SEPARATOR);
        &self.as_str()[..end.unwrap_or(self.as_str().len())]
    }
}

/// The id of one request: a UUIDv7, so that ids sort by time. Shown as `req_<32 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new id stamped with the given wall-clock time, so that ids follow the caller's clock.
    pub fn at(unix_ms: u64) -> Self {
        let seconds = unix_ms / 1_000;
        let nanos = u32::try_from(unix_ms % 1_000).unwrap_or(0) * 1_000_000;
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        Self(Uuid::new_v7(stamp))
    }

    /// When it was made, Unix milliseconds.
    pub fn unix_ms(&self) -> u64 {
        let stamp = self
            .0
            .get_timestamp()
            .map_or((0, 0), |stamp| stamp.to_unix());
        stamp.0 * 1_000 + u64::from(stamp.1) / 1_000_000
    }

    /// The 16 bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", self.0.simple())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a request id.
#[derive(Debug, thiserror::Error)]
#[error("not a request id: it looks like `req_` and 32 hex digits")]
pub struct NotARequestId;

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<Self, NotARequestId> {
        let hex = text.strip_prefix("req_").unwrap_or(text);
        Uuid::try_parse(hex).map(Self).map_err(|_| NotARequestId)
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for RequestId {
    type Error = NotARequestId;

    fn try_from(text: String) -> Result<Self, NotARequestId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_round_trip_and_sort_by_time() {
        let early = RequestId::at(1_700_000_000_000);
        let late = RequestId::at(1_700_000_000_001);
        assert!(early < late);
        assert_eq!(early.unix_ms(), 1_700_000_000_000);
        assert_eq!(late.unix_ms(), 1_700_000_000_001);
        assert_eq!(early.to_string().parse::<RequestId>().unwrap(), early);
        assert!("req_nonsense".parse::<RequestId>().is_err());
    }

    #[test]
    fn a_team_is_a_part_of_those_above_it() {
        let team = TeamName::from("acme/search/ads");
        let lineage: Vec<_> = team.lineage().collect();
        assert_eq!(
            lineage,
            ["acme/search/ads", "acme/search", "acme"].map(TeamName::from)
        );
        assert_eq!(team.root(), "acme");
        assert_eq!(TeamName::from("acme").root(), "acme");
    }
}
