//! What the operator's surface asks of the gateway, and how people prove who they are.

use std::collections::BTreeMap;

use freehold_types::{Actor, Grant, Reach, RequestId, Right};
use serde_json::Value;

use crate::backend::BoxFuture;

/// What an address says after its `?`: names and values.
pub type Parameters = BTreeMap<String, String>;

/// What can be asked at the operator's surface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What was used and what it cost; parameters as the options of `freehold usage`.
    Usage(Parameters),
    /// The workloads; parameters as the options of `freehold flows`.
    Flows(Parameters),
    /// The keys and what limits them, without what opens anything.
    Keys,
    /// Records of the audit trail; parameters as the options of `freehold audit show`.
    Audit(Parameters),
    /// One request's record.
    Request(RequestId),
    /// The text of one stored request and its answer.
    Text(RequestId),
    /// Replaces the configuration by what its file says now.
    Reload,
}

impl Question {
    /// What one needs to ask it.
    pub const fn right(&self) -> Right {
        match self {
            Self::Usage(_) | Self::Flows(_) | Self::Keys => Right::ReadUsage,
            Self::Audit(_) => Right::ReadAudit,
            Self::Request(_) => Right::ReadRequest,
            Self::Text(_) => Right::ReadText,
            Self::Reload => Right::Reload,
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdministrationError {
    /// It cannot be answered as it was asked; the message says what to change.
    #[error("{0}")]
    Unclear(String),
    /// Whoever asks may not know.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

/// Answers what is asked at the operator's surface.
pub trait Administration: Send + Sync {
    /// Answers as far as the reach of whoever asks. The surface has made sure that it is not
    /// [`Reach::Nothing`].
    fn answer(
        &self,
        actor: Actor,
        reach: Reach,
        question: Question,
    ) -> BoxFuture<'_, Result<Value, AdministrationError>>;

    /// Keeps in the audit trail that somebody has signed in, or was turned away.
    fn signed_in(&self, person: &Person, is_admitted: bool);
}

/// Where to send somebody who wants to sign in.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The login service's page.
    pub url: String,
    /// What must be brought along when they come back. Keep it where only their browser has it and
    /// nobody can read or change it.
    pub keepsake: String,
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// How the login service calls them.
    pub name: String,
    /// What it says about them, as far as roles depend on it: a claim's name and one of its values.
    pub claims: Vec<(String, String)>,
}

/// Why somebody could not sign in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The login service cannot be reached or makes no sense. The details are in the log.
    #[error("the login service does not answer as it should; the gateway's log says more")]
    Unavailable,
    /// It does not vouch for them, or the answer is not for this browser.
    #[error("the login was not completed: {0}")]
    Refused(String),
}

/// Lets people prove who they are.
pub trait Login: Send + Sync {
    /// Begins.
    fn invite(&self) -> BoxFuture<'_, Result<Invitation, LoginError>>;

    /// Ends: they are back with what the login service gave them.
    fn welcome<'a>(
        &'a self,
        keepsake: &'a str,
        code: &'a str,
        state: &'a str,
    ) -> BoxFuture<'a, Result<Person, LoginError>>;

    /// What they are at the gateway, by the present configuration.
    fn grants(&self, person: &Person) -> Vec<Grant>;
}
