//! The request as a backend may see it: as it came, or with findings replaced as policy asks.
//!
//! A masked request is made once per perimeter, when the first attempt needs it, and shared by
//! retries, fallbacks and hedges. What stands for what lives in memory only, as long as the request.

use std::sync::{Arc, OnceLock};

use freehold_guard::{
    AnswerRestorer, Entity, Guard, MaskError, MaskRules, MaskStyle, Scan, Vault, mask,
};
use freehold_policy::{Denial, MaskMethod, Masked, Masks, Passage, Permit};
use freehold_types::{Deployment, Error, ErrorKind, Perimeter, Request};

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
    scan: Scan,
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
    /// Puts back what was replaced; `None` when nothing was.
    pub(crate) restorer: Option<AnswerRestorer>,
}

impl Disguises {
    pub(crate) fn new(scan: Scan, owner: Owner, secret: Arc<[u8; 32]>) -> Self {
        Self {
            scan,
            owner,
            secret,
            inside: OnceLock::new(),
            outside: OnceLock::new(),
        }
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
                restorer: None,
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
            restorer: (!disguise.vault.is_empty())
                .then(|| disguise.vault.answer_restorer(&request.response_format)),
        })
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
