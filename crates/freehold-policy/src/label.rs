//! How sensitive a request is: the maximum over everybody who has a say.

use freehold_guard::Scan;
use freehold_types::Sensitivity;

/// What the caller said about the request (header or metadata).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing.
    None,
    /// A label.
    Label(Sensitivity),
    /// Something that is no label. Treated as `restricted`: the caller meant to say something.
    Unreadable,
}

impl Claim {
    /// The same, and at least this.
    #[must_use]
    pub fn raised(self, label: Sensitivity) -> Self {
        match self {
            Self::None => Self::Label(label),
            Self::Label(said) => Self::Label(said.max(label)),
            Self::Unreadable => Self::Unreadable,
        }
    }
}

/// Everybody who has a say in a request's label.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The label of a request about which nobody says more.
    pub default: Sensitivity,
    /// The floor that the route sets.
    pub route: Option<Sensitivity>,
    /// The floor that the key sets.
    pub key: Option<Sensitivity>,
    /// What the caller said.
    pub claim: Claim,
    /// What the guard saw.
    pub scan: &'a Scan,
}

impl Labels<'_> {
    /// The label and who set it. Nobody can lower what another raised.
    pub(crate) fn highest(&self, previous: Option<Sensitivity>) -> (Sensitivity, &'static str) {
        let claim = match self.claim {
            Claim::None => None,
            Claim::Label(label) => Some(label),
            Claim::Unreadable => Some(Sensitivity::Restricted),
        };
        let others = [
            (self.route, "the route"),
            (self.key, "the key"),
            (claim, "the caller"),
            (self.scan.sensitivity(), "the guard's findings"),
            (previous, "the conversation until now"),
        ];
        let mut highest = (self.default, "the default");
        for (label, who) in others {
            if let Some(label) = label
                && label > highest.0
            {
                highest = (label, who);
            }
        }
        highest
    }
}
