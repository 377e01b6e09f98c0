//! The request as a backend may see it: as it came, or with findings replaced as policy asks.
//!
//! A masked request is made once per perimeter, when the first attempt needs it, and shared by
//! retries, fallbacks and hedges. What stands for what lives in memory only, as long as the request.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use freehold_guard::{
    AnswerGuard, AnswerRestorer, Entity, Guard, KnownValues, MaskError, MaskRules, MaskStyle, Scan,
    Vault, mask,
};
use freehold_policy::{Denial, MaskMethod, Masked, Masks, Passage, Permit};
use freehold_types::{Deployment, Error, ErrorKind, Event, Perimeter, Request};

use crate::keep::Tap;

/// Whose request it is, for placeholders that stay the same from turn to turn.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// The tenant, or the key where there is none.
    pub(crate) tenant: String,
    /// The conversation's name, or something that stays while it grows.
    pub(crate) conversation: String,
}

/// What is sent to the backends of one request.
pub(crate) struct Disguises {
    scan: Arc<Scan>,
    owner: Owner,
    secret: Arc<[u8; 32]>,
    inside: OnceLock<Result<Disguise, MaskError>>,
    outside: OnceLock<Result<Disguise, MaskError>>,
}

/// A masked request, the receipt for it, and the way back.
struct Disguise {
    request: Arc<Request>,
    receipt: Masked,
    vault: Vault,
}

/// What one attempt sends.
pub(crate) struct Outgoing {
    pub(crate) passage: Passage,
    pub(crate) request: Arc<Request>,
    /// What is done to the answer.
    pub(crate) treatment: Treatment,
}

/// What is done to an answer before the client sees it.
#[derive(Default)]
pub(crate) struct Treatment {
    /// Removes what the client did not send; `None` when all may stay.
    guard: Option<AnswerGuard>,
    /// Puts back what was replaced; `None` when nothing was.
    restorer: Option<AnswerRestorer>,
    /// Hears the answer as the client gets it; `None` when nothing is stored of it.
    pub(crate) tap: Option<Tap>,
}

impl Treatment {
    /// True when an answer stays as the upstream wrote it.
    pub(crate) fn is_none(&self) -> bool {
        self.guard.is_none() && self.restorer.is_none()
    }

    /// Takes note of what the client gets.
    pub(crate) fn hear(&self, events: &[Event]) {
        if let Some(tap) = &self.tap {
            tap.hear(events);
        }
    }

    /// The events that are certain by now, in their order.
    pub(crate) fn push(&mut self, event: Event) -> Vec<Event> {
        let events = match &mut self.guard {
            Some(guard) => guard.push(event),
            None => vec![event],
        };
        self.restore(events)
    }

    /// The answer was cut short: what was held.
    pub(crate) fn finish(&mut self) -> Vec<Event> {
        let events = self.guard.as_mut().map(AnswerGuard::finish);
        let mut events = self.restore(events.unwrap_or_default());
        events.extend(self.restorer.iter_mut().flat_map(AnswerRestorer::finish));
        events
    }

    /// How many findings of each type were removed so far.
    pub(crate) fn redacted(&self) -> BTreeMap<String, u32> {
        let counts = self.guard.as_ref().map(AnswerGuard::counts);
        counts.cloned().unwrap_or_default()
    }

    fn restore(&mut self, events: Vec<Event>) -> Vec<Event> {
        match &mut self.restorer {
            Some(restorer) => events
                .into_iter()
                .flat_map(|event| restorer.push(event))
                .collect(),
            None => events,
        }
    }
}

impl Disguises {
    pub(crate) fn new(scan: Scan, owner: Owner, secret: Arc<[u8; 32]>) -> Self {
        Self {
            scan: Arc::new(scan),
            owner,
            secret,
            inside: OnceLock::new(),
            outside: OnceLock::new(),
        }
    }

    /// Whose request it is, and the secret from which placeholders come: who masks by them finds the
    /// same placeholders.
    pub(crate) fn origin(&self) -> (Owner, Arc<[u8; 32]>) {
        (self.owner.clone(), Arc::clone(&self.secret))
    }

    /// The request for this deployment, and the passage for it.
    ///
    /// # Errors
    /// `PolicyRefused` when policy does not permit the deployment, or when something that must be
    /// replaced cannot be.
    pub(crate) fn outgoing(
        &self,
        guard: &Guard,
        permit: &Permit,
        request: &Arc<Request>,
        deployment: &Deployment,
    ) -> Result<Outgoing, Error> {
        let not_permitted = |denial: Denial| {
            Error::new(
                ErrorKind::PolicyRefused,
                format!("policy does not permit {}: {denial}", deployment.id),
            )
        };
        let masks = permit.masks_for(deployment);
        if masks.is_empty() {
            return Ok(Outgoing {
                passage: permit.passage(deployment).map_err(not_permitted)?,
                request: Arc::clone(request),
                treatment: Treatment {
                    guard: self.answer_guard(guard, permit, request, None),
                    restorer: None,
                    tap: None,
                },
            });
        }
        // Nothing is masked for a deployment that may not be reached anyway.
        permit.allows(deployment).map_err(not_permitted)?;
        let disguise = match deployment.site.perimeter {
            Perimeter::Inside => &self.inside,
            Perimeter::Outside => &self.outside,
        };
        let disguise = disguise
            .get_or_init(|| self.disguise(guard, masks, request))
            .as_ref()
            .map_err(|error| {
                Error::new(
                    ErrorKind::PolicyRefused,
                    format!("what must be masked cannot be: {error}"),
                )
                .with_code("masking_failed")
            })?;
        Ok(Outgoing {
            passage: permit
                .passage_masked(deployment, &disguise.receipt)
                .map_err(not_permitted)?,
            request: Arc::clone(&disguise.request),
            treatment: Treatment {
                guard: self.answer_guard(guard, permit, request, Some(&disguise.vault)),
                restorer: (!disguise.vault.is_empty())
                    .then(|| disguise.vault.answer_restorer(&request.response_format)),
                tap: None,
            },
        })
    }

    /// Removes from the answer what policy wants removed, and the client did not send.
    fn answer_guard(
        &self,
        guard: &Guard,
        permit: &Permit,
        request: &Arc<Request>,
        vault: Option<&Vault>,
    ) -> Option<AnswerGuard> {
        let unwanted = permit.unwanted_in_answers()?;
        let restorer = vault.map(Vault::restorer);
        let known = KnownValues::new(Arc::clone(request), Arc::clone(&self.scan), restorer);
        let format = &request.response_format;
        Some(AnswerGuard::new(guard.clone(), unwanted, known, format))
    }

    fn disguise(
        &self,
        guard: &Guard,
        masks: &Masks,
        request: &Request,
    ) -> Result<Disguise, MaskError> {
        let rules = masks
            .iter()
            .fold(MaskRules::new(), |rules, (entity, method)| {
                rules.with(entity.as_str(), style(method))
            });
        let mut vault = Vault::new(
            &self.owner.tenant,
            &self.owner.conversation,
            self.secret.as_slice(),
        );
        let detect = |text: &str| guard.scan_text(text);
        let masked = mask(request, &self.scan, &detect, &rules, &mut vault)?;
        let done = masks
            .iter()
            .map(|(entity, method): (&Entity, MaskMethod)| (entity.clone(), method));
        Ok(Disguise {
            receipt: Masked::of(done),
            request: Arc::new(masked.request),
            vault,
        })
    }
}

fn style(method: MaskMethod) -> MaskStyle {
    match method {
        MaskMethod::Surrogate => MaskStyle::Surrogate,
        MaskMethod::Pseudonym => MaskStyle::Pseudonym,
        MaskMethod::Redact => MaskStyle::Redact,
    }
}
