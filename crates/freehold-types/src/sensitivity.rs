//! The two labels that policy acts on: how sensitive a request is, and on whose machines a backend runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How sensitive a request is. Ordered: a later variant is more sensitive.
///
/// The default is [`Sensitivity::Restricted`]: what nobody classified is treated as the worst.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// Anybody may read it.
    Public,
    /// For the owner's staff.
    Internal,
    /// For few; harm if it leaks.
    Confidential,
    /// Must not leave; also everything that could not be classified.
    #[default]
    Restricted,
}

impl Sensitivity {
    /// All labels, least sensitive first.
    pub const ALL: [Self; 4] = [
        Self::Public,
        Self::Internal,
        Self::Confidential,
        Self::Restricted,
    ];

    /// The label as configuration and headers write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no sensitivity label.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a sensitivity: use public, internal, confidential or restricted")]
pub struct UnknownSensitivity(pub String);

impl FromStr for Sensitivity {
    type Err = UnknownSensitivity;

    fn from_str(text: &str) -> Result<Self, UnknownSensitivity> {
        Self::ALL
            .into_iter()
            .find(|label| label.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| UnknownSensitivity(text.chars().take(32).collect()))
    }
}

/// On whose machines a backend runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Perimeter {
    /// The owner's own machines.
    Inside,
    /// Somebody else's.
    Outside,
}

impl fmt::Display for Perimeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
        })
    }
}
