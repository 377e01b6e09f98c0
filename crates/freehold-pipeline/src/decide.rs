//! Guard, policy and route: what may serve a request, and what should.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_guard::{Finding, Scan};
use freehold_policy::{Claim, Facts, Labels, Permit};
use freehold_ports::Account;
use freehold_route::{Plan, Query, Resolved, plan};
use freehold_types::audit::AuditName;
use freehold_types::{Deployment, Error, ErrorKind, FlowName, Part, Request, Sensitivity};

use crate::attempts::Persistence;
use crate::disguise::{Disguises, Owner};
use crate::draft::Draft;
use crate::pipeline::Pipeline;
use crate::snapshot::{Snapshot, persistence};

/// What guard, policy and route decided.
pub(crate) struct Decided {
    pub(crate) permit: Permit,
    pub(crate) disguises: Disguises,
    pub(crate) attempts: Vec<Arc<Deployment>>,
    pub(crate) persistence: Persistence,
}

impl Pipeline {
    /// Guard, policy, route: what may serve the request, and what should.
    pub(crate) fn decide(
        &self,
        snapshot: &Snapshot,
        account: &Account,
        said: (Claim, Option<&str>),
        request: &Request,
        draft: &mut Draft,
    ) -> Result<Decided, Error> {
        self.ready()?;
        let route = snapshot.route(&request.model, account)?;
        self.decide_on(snapshot, account, said, request, (&route, &route), draft)
    }

    /// The same where the request goes another way than the client's name leads: what the named route demands holds
    /// all the same.
    pub(crate) fn decide_on(
        &self,
        snapshot: &Snapshot,
        account: &Account,
        said: (Claim, Option<&str>),
        request: &Request,
        (route, named): (&Resolved, &Resolved),
        draft: &mut Draft,
    ) -> Result<Decided, Error> {
        let routes = (route, named);
        let (permit, seen) = self.permit(snapshot, account, said, request, routes, draft)?;
        let query = Query {
            request,
            route,
            permit: &permit,
            prices: &self.accounting.prices(),
            health: &|deployment| self.accounting.health(deployment),
            at_unix_ms: draft.started_unix_ms,
        };
        match plan(&query) {
            Ok(Plan { attempts, decision }) => {
                draft.decision = Some(decision);
                let attempts = attempts
                    .into_iter()
                    .map(|attempt| attempt.deployment)
                    .collect();
                let persistence = persistence(&route.settings);
                let owner = owner(account, said.1, request);
                let secret = Arc::clone(&self.mask_secret);
                Ok(Decided {
                    permit,
                    disguises: Disguises::new(seen, owner, secret),
                    attempts,
                    persistence,
                })
            }
            Err(rejected) => {
                draft.decision = Some(*rejected.decision);
                Err(rejected.error)
            }
        }
    }

    /// Guard and policy: what was seen, and what the request may reach.
    fn permit(
        &self,
        snapshot: &Snapshot,
        account: &Account,
        (claim, conversation): (Claim, Option<&str>),
        request: &Request,
        (route, named): (&Resolved, &Resolved),
        draft: &mut Draft,
    ) -> Result<(Permit, Scan), Error> {
        let seen = snapshot.guard.scan(request);
        draft.findings = seen.counts();
        draft.proof.tenant = account.tenant.as_deref().map(AuditName::new);
        // Names of models become names of deployments, which stand in records and metrics.
        if seen.findings.iter().any(is_data_for_a_model) {
            let message = "the guard takes this for data, not for a model's name";
            return Err(Error::invalid("model", message).with_code("model_is_data"));
        }
        let labels = Labels {
            default: snapshot.default_sensitivity,
            route: route.settings.sensitivity.max(named.settings.sensitivity),
            key: account.sensitivity,
            claim,
            scan: &seen,
        };
        let constraints = [
            route.settings.constraint.clone(),
            named.settings.constraint.clone(),
            account.constraint.clone(),
        ];
        let metadata = metadata_labels(request);
        let facts = Facts {
            tenant: account.tenant.as_deref(),
            key: Some(account.key.as_str()),
            flow: draft.flow.as_ref().map(FlowName::as_str),
            route: Some(&request.model),
            region: account.region.as_deref(),
            labels: Some(&metadata),
            previous: conversation.and_then(|name| self.labels.of(account, name)),
            before: &[],
        };
        let decided = snapshot.policy.decide(&labels, &facts, constraints);
        let permit = decided.map_err(|refusal| {
            draft.sensitivity = refusal.sensitivity;
            draft.proof.refused(&refusal.rules);
            if let Some(name) = conversation {
                self.labels.raise(account, name, refusal.sensitivity);
            }
            Error::new(ErrorKind::PolicyRefused, refusal.reason).with_code(refusal.code.as_str())
        })?;
        draft.sensitivity = permit.sensitivity();
        draft.proof.permitted(&permit);
        if let Some(name) = conversation {
            self.labels.raise(account, name, permit.sensitivity());
        }
        Ok((permit, seen))
    }
}

/// Whether a finding says that `model` holds what may not leave.
fn is_data_for_a_model(finding: &Finding) -> bool {
    finding.path == "model" && finding.sensitivity > Sensitivity::Internal
}

/// Whose conversation it is. Without a name, a conversation is known by how it begins: that stays
/// while it grows.
fn owner(account: &Account, conversation: Option<&str>, request: &Request) -> Owner {
    let tenant = account.tenant.as_deref().unwrap_or(account.key.as_str());
    let begins = || {
        let first = request.messages.iter().flat_map(|message| &message.parts);
        first
            .filter_map(|part| match part {
                Part::Text { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .next()
            .unwrap_or_default()
    };
    Owner {
        tenant: tenant.to_owned(),
        conversation: conversation.unwrap_or_else(begins).to_owned(),
    }
}

/// Texts, numbers and truth values of the request's metadata, as rules compare them.
pub(crate) fn metadata_labels(request: &Request) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    request
        .metadata
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect()
}
