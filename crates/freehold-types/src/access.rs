//! Who may look at the gateway and change it: roles, what each may, and whom they hold for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TeamName;

/// What somebody is at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Builds applications: sees usage, keys and limits.
    Developer,
    /// Checks: sees what a developer sees, every request's record, and the audit trail.
    Auditor,
    /// Runs the gateway: sees every request's record and the metrics, and reloads the configuration.
    Operator,
    /// Does everything, and alone reads stored text.
    Admin,
}

/// What can be done at the operator's surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Usage, flows, keys and limits.
    ReadUsage,
    /// One request's record: where it went and why.
    ReadRequest,
    /// The metrics of the whole gateway.
    ReadMetrics,
    /// The trail of decisions.
    ReadAudit,
    /// Stored prompts and answers, with their text.
    ReadText,
    /// Replacing the configuration by what its file says now.
    Reload,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Developer, Self::Auditor, Self::Operator, Self::Admin];

    /// The role's name in the configuration and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether the role has a right.
    pub const fn may(self, right: Right) -> bool {
        match right {
            Right::ReadUsage => true,
            Right::ReadRequest => !matches!(self, Self::Developer),
            Right::ReadMetrics => matches!(self, Self::Auditor | Self::Operator | Self::Admin),
            Right::ReadAudit => matches!(self, Self::Auditor | Self::Admin),
            Right::Reload => matches!(self, Self::Operator | Self::Admin),
            Right::ReadText => matches!(self, Self::Admin),
        }
    }

    /// Whether a key of this role may ask models, too. Whoever runs or checks the gateway has another
    /// key for that: one that leaks from an application opens nothing else.
    pub const fn may_ask(self) -> bool {
        matches!(self, Self::Developer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The teams, with all that are a part of them; empty means the whole gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamName>,
}

/// Who asks at the operator's surface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// A key's name, or a person's as the login service has it.
    pub name: String,
    /// What they are.
    pub grants: Vec<Grant>,
}

/// How far a right of somebody reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They do not have it.
    Nothing,
    /// These teams, with all that are a part of them.
    Teams(Vec<TeamName>),
    /// The whole gateway.
    Everything,
}

impl Reach {
    /// Whether what belongs to a team, or to none, is within reach.
    pub fn covers(&self, team: Option<&TeamName>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Teams(teams) => team
                .into_iter()
                .flat_map(TeamName::lineage)
                .any(|team| teams.contains(&team)),
        }
    }
}

impl Actor {
    /// How far a right of theirs reaches: all their grants together.
    pub fn reach(&self, right: Right) -> Reach {
        let mut reach = Vec::new();
        for grant in self.grants.iter().filter(|grant| grant.role.may(right)) {
            if grant.teams.is_empty() {
                return Reach::Everything;
            }
            for team in &grant.teams {
                if !reach.contains(team) {
                    reach.push(team.clone());
                }
            }
        }
        if reach.is_empty() {
            return Reach::Nothing;
        }
        Reach::Teams(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, teams: &[&str]) -> Grant {
        Grant {
            role,
            teams: teams.iter().copied().map(TeamName::from).collect(),
        }
    }

    fn actor(grants: Vec<Grant>) -> Actor {
        Actor {
            name: "ann".to_owned(),
            grants,
        }
    }

    #[test]
    fn each_role_has_its_rights() {
        let rights = [
            Right::ReadUsage,
            Right::ReadRequest,
            Right::ReadMetrics,
            Right::ReadAudit,
            Right::ReadText,
            Right::Reload,
        ];
        let table = Role::ALL.map(|role| rights.map(|right| u8::from(role.may(right))));
        assert_eq!(
            table,
            [
                [1, 0, 0, 0, 0, 0],
                [1, 1, 1, 1, 0, 0],
                [1, 1, 1, 0, 0, 1],
                [1, 1, 1, 1, 1, 1],
            ]
        );
    }

    #[test]
    fn a_right_reaches_as_far_as_its_grants() {
        let ann = actor(vec![
            grant(Role::Developer, &["acme/search"]),
            grant(Role::Auditor, &["beta"]),
        ]);
        let usage = ann.reach(Right::ReadUsage);
        let covers = |reach: &Reach, team: &str| reach.covers(Some(&team.into()));
        assert!(covers(&usage, "acme/search") && covers(&usage, "acme/search/ads"));
        assert!(!covers(&usage, "acme") && !covers(&usage, "acme/searching"));
        assert!(covers(&usage, "beta/x") && !usage.covers(None));
        let audit = ann.reach(Right::ReadAudit);
        assert!(covers(&audit, "beta") && !covers(&audit, "acme/search"));
        assert_eq!(ann.reach(Right::Reload), Reach::Nothing);
        assert!(!Reach::Nothing.covers(None));
    }

    #[test]
    fn a_grant_without_teams_is_for_everything() {
        let bob = actor(vec![
            grant(Role::Developer, &["acme"]),
            grant(Role::Operator, &[]),
        ]);
        assert_eq!(bob.reach(Right::ReadUsage), Reach::Everything);
        assert!(bob.reach(Right::Reload).covers(None));
    }

    #[test]
    fn nobody_without_a_grant_may_anything() {
        assert_eq!(actor(vec![]).reach(Right::ReadUsage), Reach::Nothing);
    }
}
