//! What users say of answers in words: handed to the prompt store where policy lets text of that
//! request be stored, by the same rules as the request's own text.
//!
//! Policy decides anew, on the words and with what the request's record tells: the rules that matched
//! the request hold again, its label is the least, and the words can only raise it. Scanning, deciding
//! and masking happen on the store's own thread.

use std::sync::Arc;

use freehold_guard::{Scan, Vault, mask};
use freehold_policy::{Claim, Facts, Labels, Masked, Permit, Storing};
use freehold_ports::{
    Account, NotStored, Recorded, Remark, RemarkFacts, RemarkText, Remarked, Wording,
};
use freehold_types::{
    Dialect, Extra, FlowName, Message, Outcome, Part, Request, RequestId, Role, Sensitivity,
};

use crate::decide::metadata_labels;
use crate::pipeline::Pipeline;
use crate::snapshot::Snapshot;

/// Longer words are not stored, in bytes of all together.
const WORDS_BYTES_MAX: usize = 256 << 10;
/// They are held as they came, as a request, and masked.
const COPIES: usize = 3;

/// What a user says of an answer, and what goes with it.
pub struct Told {
    /// The feedback's id; one key's ids must not be another's.
    pub id: String,
    /// The words.
    pub wording: Wording,
    /// How sensitive the caller says they are.
    pub claim: Claim,
    /// When it came, Unix milliseconds.
    pub at_unix_ms: u64,
}

/// What policy decides on, beside the request's record.
struct Case {
    snapshot: Arc<Snapshot>,
    secret: Arc<[u8; 32]>,
    account: Account,
    flow: Option<FlowName>,
    /// The request, and its label in the ledger.
    outcome: (RequestId, Sensitivity),
    told: Told,
    tenant: String,
}

impl Pipeline {
    /// Stores words of a user beside the text of the request that `outcome` tells of, as far as policy
    /// lets them be. The caller has seen to it that the request is this account's to speak of.
    ///
    /// # Errors
    /// Why nothing is stored.
    pub async fn remark(
        &self,
        account: &Account,
        outcome: &Outcome,
        told: Told,
    ) -> Result<Remarked, NotStored> {
        let prompts = self.prompts.as_ref().ok_or(NotStored::StoreOff)?;
        let snapshot = self.snapshot();
        if !snapshot.policy.stores() {
            return Err(NotStored::Policy);
        }
        let texts = [&told.wording.comment, &told.wording.edited_answer];
        let bytes: usize = texts.into_iter().flatten().map(String::len).sum();
        if bytes > WORDS_BYTES_MAX {
            return Err(NotStored::TooLarge);
        }
        let tenant = account.tenant.as_deref().unwrap_or(account.key.as_str());
        let facts = RemarkFacts {
            request: outcome.id,
            tenant: tenant.to_owned(),
            id: told.id.clone(),
            given_unix_ms: told.at_unix_ms,
        };
        let case = Case {
            snapshot,
            secret: Arc::clone(&self.mask_secret),
            account: account.clone(),
            flow: outcome.flow.clone(),
            outcome: (outcome.id, outcome.sensitivity),
            told,
            tenant: facts.tenant.clone(),
        };
        let remark = Remark::new(facts, COPIES * bytes, move |recorded| case.words(recorded));
        prompts.remark(remark).await
    }
}

impl Case {
    /// The words as they may be stored beside this record.
    fn words(self, recorded: &Recorded) -> Result<RemarkText, NotStored> {
        let whole = spoken(&self.told.wording);
        let guard = &self.snapshot.guard;
        let scan = guard.scan(&whole);
        let permit = self.permit(recorded, &scan)?;
        let label = permit.sensitivity();
        let storing = self.storing(&permit, recorded)?;
        let masks = storing.masks(&scan);
        let refused = match scan.incomplete {
            Some(_) => NotStored::Unmaskable,
            None => NotStored::TooSensitive,
        };
        let (receipt, wording) = if masks.is_empty() {
            (Masked::nothing(), self.told.wording.clone())
        } else {
            let detect = |text: &str| guard.scan_text(text);
            let conversation = format!("feedback on {}", self.outcome.0);
            let mut vault = Vault::new(&self.tenant, &conversation, self.secret.as_slice());
            let masked = mask(&whole, &scan, &detect, &masks.to_rules(), &mut vault);
            let masked = masked.map_err(|_| NotStored::Unmaskable)?;
            let wording = written(masked.request, &self.told.wording)?;
            (Masked::as_asked(&masks), wording)
        };
        let pass = storing.pass(&scan, &receipt).map_err(|_| refused)?;
        let keep_ms = u64::try_from(pass.keep().as_millis()).unwrap_or(u64::MAX);
        // It goes when the request goes: not if that is later than what is said now would be kept.
        if self.told.at_unix_ms.saturating_add(keep_ms) < recorded.expires_unix_ms {
            return Err(NotStored::Policy);
        }
        Ok(RemarkText::new(pass, label, wording))
    }

    /// Policy's word on the words.
    fn permit(&self, recorded: &Recorded, scan: &Scan) -> Result<Permit, NotStored> {
        let labels = Labels {
            default: self.snapshot.default_sensitivity,
            // What the route demands is in the request's label.
            route: None,
            key: self.account.sensitivity,
            claim: self.told.claim,
            scan,
        };
        let metadata = metadata_labels(&recorded.request);
        let facts = Facts {
            tenant: self.account.tenant.as_deref(),
            key: Some(self.account.key.as_str()),
            flow: self.flow.as_ref().map(FlowName::as_str),
            route: Some(&recorded.request.model),
            region: self.account.region.as_deref(),
            labels: Some(&metadata),
            previous: Some(self.outcome.1.max(recorded.sensitivity)),
            before: &recorded.rules,
        };
        let decided = self.snapshot.policy.decide(&labels, &facts, []);
        decided.map_err(|_| NotStored::Policy)
    }

    fn storing(&self, permit: &Permit, recorded: &Recorded) -> Result<Storing, NotStored> {
        let (id, label) = self.outcome;
        if permit.stored().is_none() && permit.sensitivity() > label {
            return Err(NotStored::TooSensitive);
        }
        let storing = permit.storing_beside(id, recorded.what);
        storing.ok_or(NotStored::Policy)
    }
}

/// The words as turns of a conversation: what is said of the answer, and the answer as it should be.
/// They are scanned and masked as one.
fn spoken(wording: &Wording) -> Request {
    let turn = |role, text: &Option<String>| {
        let text = text.as_deref()?;
        Some(Message {
            role,
            parts: vec![Part::text(text)],
            name: None,
            extra: Extra::new(),
        })
    };
    let turns = [
        turn(Role::User, &wording.comment),
        turn(Role::Assistant, &wording.edited_answer),
    ];
    let turns = turns.into_iter().flatten().collect();
    Request::new(Dialect::OpenaiChat, "", turns)
}

/// The words of such a conversation, in the places where they were.
fn written(spoken: Request, asked: &Wording) -> Result<Wording, NotStored> {
    let mut texts = spoken
        .messages
        .into_iter()
        .map(|turn| match &turn.parts[..] {
            [Part::Text { text, .. }] => Ok(text.clone()),
            _ => Err(NotStored::Unmaskable),
        });
    let mut next = |was: &Option<String>| {
        was.as_ref()
            .map(|_| texts.next().unwrap_or(Err(NotStored::Defect)))
            .transpose()
    };
    Ok(Wording {
        comment: next(&asked.comment)?,
        edited_answer: next(&asked.edited_answer)?,
    })
}
