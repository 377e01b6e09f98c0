//! What the audit trail is told of each request: who asked, what was seen, what policy allowed, and
//! where the request went. No text.

use std::sync::Arc;

use freehold_policy::Permit;
use freehold_ports::Audit;
use freehold_types::audit::{AuditDecision, AuditEvent, AuditName, PermitSummary};
use freehold_types::{Error, ErrorKind, Outcome, Perimeter};

/// The audit trail, and what happens when it cannot be written.
#[derive(Clone)]
pub struct AuditTrail {
    /// Where decisions are kept.
    pub trail: Arc<dyn Audit>,
    /// Whether requests are refused that could not be kept there.
    pub required: bool,
}

/// What the trail is told and the outcome does not say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof {
    pub(crate) tenant: Option<AuditName>,
    pub(crate) rules: Vec<AuditName>,
    pub(crate) permit: Option<PermitSummary>,
    /// The stable code of a refusal or failure.
    pub(crate) code: Option<AuditName>,
}

impl Proof {
    /// What policy allowed.
    pub(crate) fn permitted(&mut self, permit: &Permit) {
        self.rules = permit.rules().map(AuditName::new).collect();
        let mut perimeters = vec![Perimeter::Inside];
        if permit.outside() {
            perimeters.push(Perimeter::Outside);
        }
        let mask = permit.masks_outside().iter();
        self.permit = Some(PermitSummary {
            mask: mask
                .map(|(entity, _)| AuditName::new(entity.as_str()))
                .collect(),
            perimeters,
            regions: permit
                .regions()
                .map(|region| AuditName::new(region.as_str()))
                .collect(),
            stored: permit.stored().map(|what| AuditName::new(what.as_str())),
            tags: permit
                .tags()
                .map(|tag| AuditName::new(tag.as_str()))
                .collect(),
        });
    }

    /// The rules that refused.
    pub(crate) fn refused(&mut self, rules: &[String]) {
        self.rules = rules.iter().map(AuditName::new).collect();
    }
}

impl AuditTrail {
    /// Whether a request may begin.
    ///
    /// # Errors
    /// `Unavailable` when the trail is required and cannot be written.
    pub(crate) fn ready(&self) -> Result<(), Error> {
        if !self.required {
            return Ok(());
        }
        self.trail.ready().map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("decisions cannot be audited: {error}"),
            )
            .with_code("audit_unavailable")
        })
    }

    /// Keeps what was decided about a request that has ended.
    pub(crate) fn keep(&self, outcome: &Outcome, proof: Proof) {
        let mut decision = AuditDecision::of(outcome);
        decision.tenant = proof.tenant;
        decision.rules = proof.rules;
        decision.permit = proof.permit;
        if decision.refusal.is_some() && proof.code.is_some() {
            decision.refusal = proof.code;
        }
        if let Err(error) = self.trail.record(&AuditEvent::Decision(decision)) {
            metrics::counter!("freehold_unaudited_decisions_total").increment(1);
            tracing::error!(%error, id = %outcome.id, "a decision could not be audited");
        }
    }
}
