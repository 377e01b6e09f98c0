//! What is handed to the prompt store, and when: after the answer, where policy lets the text of this
//! request be stored. The request's path takes note of the answer and no more; masking and everything
//! after it happen on the store's own thread.

use std::sync::Arc;
use std::time::Instant;

use freehold_guard::{Guard, Scan, Vault, mask};
use freehold_policy::{Masked, Permit, Storing};
use freehold_ports::{Account, AnswerEnd, Prompts, Sample, SampleFacts, Text, Unkept};
use freehold_types::answer::{Delta, PartKind, ResponseBuilder};
use freehold_types::{
    DeploymentId, Event, Extra, FlowName, Message, Part, Request, Response, Role,
};
use parking_lot::Mutex;

use crate::course::Ground;
use crate::disguise::{Disguises, Owner};
use crate::draft::Draft;
use crate::withhold::holds_data;

/// An answer that is larger is not stored, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A request whose text is to be stored.
pub(crate) struct Keeping {
    prompts: Arc<dyn Prompts>,
    storing: Storing,
    facts: SampleFacts,
    request: Arc<Request>,
    guard: Guard,
    owner: Owner,
    secret: Arc<[u8; 32]>,
    tap: Tap,
}

/// Takes note of an answer as the client gets it.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    answer: ResponseBuilder,
    bytes: usize,
    begun: bool,
    ended: bool,
}

impl Tap {
    pub(crate) fn hear(&self, events: &[Event]) {
        let mut heard = self.0.lock();
        for event in events {
            heard.bytes = heard.bytes.saturating_add(size_of(event));
            heard.begun = true;
            heard.ended |= *event == Event::End;
            if heard.bytes <= ANSWER_BYTES_MAX {
                heard.answer.push(event.clone());
            }
        }
    }

    /// What was heard so far: the answer, unless it is too large, and how it ended.
    pub(crate) fn copy(&self) -> (Option<Response>, AnswerEnd) {
        let heard = self.0.lock();
        let end = match (heard.begun, heard.ended) {
            (false, _) => AnswerEnd::Missing,
            (true, false) => AnswerEnd::Cut,
            (true, true) => AnswerEnd::Complete,
        };
        let is_whole = heard.begun && heard.bytes <= ANSWER_BYTES_MAX;
        (is_whole.then(|| heard.answer.clone().build()), end)
    }

    /// What was heard: the answer, how it ended, and about how large it is.
    fn take(&self) -> (Option<Response>, AnswerEnd, usize) {
        let Heard {
            answer,
            bytes,
            begun,
            ..
        } = std::mem::take(&mut *self.0.lock());
        let end = match (begun, answer.is_complete()) {
            (false, _) => AnswerEnd::Missing,
            (true, false) => AnswerEnd::Cut,
            (true, true) => AnswerEnd::Complete,
        };
        (begun.then(|| answer.build()), end, bytes)
    }
}

impl Keeping {
    /// `None` when nothing of this request is stored.
    pub(crate) fn begin(
        prompts: Option<&Arc<dyn Prompts>>,
        ground: Ground<'_>,
        permit: &Permit,
        disguises: &Disguises,
        whose: (&Account, Option<&str>, &Draft),
    ) -> Option<Self> {
        let (account, conversation, draft) = whose;
        let prompts = prompts?;
        let (request, guard) = (ground.request, &ground.snapshot.guard);
        let storing = permit.storing(draft.id)?;
        let (owner, secret) = disguises.origin();
        let tenant = account.tenant.as_deref();
        let is_name = |flow: &&FlowName| !holds_data(guard, flow.as_str());
        Some(Self {
            prompts: Arc::clone(prompts),
            storing,
            facts: SampleFacts {
                tenant: tenant.unwrap_or(account.key.as_str()).to_owned(),
                subject: request.user.clone(),
                conversation: conversation.map(str::to_owned),
                flow: draft.flow.as_ref().filter(is_name).cloned(),
                deployment: None,
                dialect: request.dialect,
                sensitivity: permit.sensitivity(),
                started_unix_ms: draft.started_unix_ms,
                begun: Instant::now(),
                end: AnswerEnd::Missing,
            },
            request: Arc::clone(request),
            guard: guard.clone(),
            owner,
            secret,
            tap: Tap::default(),
        })
    }

    /// Hears the answer.
    pub(crate) fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// Hears by a tap that others hear by, too.
    pub(crate) fn hearing(self, tap: Option<&Tap>) -> Self {
        let tap = tap.cloned().unwrap_or(self.tap);
        Self { tap, ..self }
    }

    /// Hands everything over. Returns at once.
    pub(crate) fn finish(self, deployment: Option<DeploymentId>) {
        let (answer, end, bytes) = self.tap.take();
        let facts = SampleFacts {
            deployment,
            end,
            ..self.facts
        };
        let too_large = bytes > ANSWER_BYTES_MAX;
        let asked_bytes = self.request.raw.as_ref().map_or(0, |raw| raw.bytes.len());
        let weight_bytes = asked_bytes.saturating_mul(2).saturating_add(bytes);
        let (request, guard, owner, secret) = (self.request, self.guard, self.owner, self.secret);
        let words = move |storing| {
            if too_large {
                return Err(Unkept::TooLarge);
            }
            let vault = Vault::new(&owner.tenant, &owner.conversation, secret.as_slice());
            words(storing, &request, answer, &guard, vault)
        };
        let sample = Sample::new(self.storing, facts, weight_bytes, words);
        self.prompts.keep(sample);
    }
}

/// Request and answer as they may be stored. They are scanned and masked as one, so that a value that
/// stands in both is replaced in both, and by the same placeholder.
fn words(
    storing: Storing,
    request: &Arc<Request>,
    answer: Option<Response>,
    guard: &Guard,
    mut vault: Vault,
) -> Result<Text, Unkept> {
    let whole = joined(request, answer.as_ref());
    let scan = guard.scan(&whole);
    let masks = storing.masks(&scan);
    if masks.is_empty() {
        let pass = storing.pass(&scan, &Masked::nothing());
        let pass = pass.map_err(|_| refused(&scan))?;
        return Text::new(pass, Arc::clone(request), answer).map_err(|_| Unkept::Unmaskable);
    }
    let detect = |text: &str| guard.scan_text(text);
    let masked = mask(&whole, &scan, &detect, &masks.to_rules(), &mut vault);
    let masked = masked.map_err(|_| Unkept::Unmaskable)?;
    let pass = storing.pass(&scan, &Masked::as_asked(&masks));
    let pass = pass.map_err(|_| refused(&scan))?;
    let (request, answer) = parted(masked.request, request.messages.len(), answer);
    Text::new(pass, Arc::new(request), answer).map_err(|_| Unkept::Unmaskable)
}

fn refused(scan: &Scan) -> Unkept {
    match scan.incomplete {
        Some(_) => Unkept::Unmaskable,
        None => Unkept::TooSensitive,
    }
}

/// The request with its answer as further messages: one for each choice, and one for what belongs to
/// none.
fn joined(request: &Request, answer: Option<&Response>) -> Request {
    let mut whole = request.clone();
    let message = |parts: Vec<Part>, extra: &Extra| Message {
        role: Role::Assistant,
        parts,
        name: None,
        extra: extra.clone(),
    };
    if let Some(answer) = answer {
        for choice in &answer.choices {
            let parts = choice.parts.iter().cloned().map(unsigned).collect();
            whole.messages.push(message(parts, &choice.extra));
        }
        whole.messages.push(message(vec![], &answer.extra));
    }
    whole
}

/// A vendor's signature fits the reasoning as it was, and what is signed cannot be masked.
fn unsigned(part: Part) -> Part {
    match part {
        Part::Thinking { text, extra, .. } => Part::Thinking {
            text,
            signature: None,
            extra,
        },
        other => other,
    }
}

/// Takes apart what [`joined`] put together.
fn parted(
    mut whole: Request,
    asked: usize,
    answer: Option<Response>,
) -> (Request, Option<Response>) {
    let mut answers = whole.messages.split_off(asked.min(whole.messages.len()));
    let answer = answer.map(|mut answer| {
        answer.extra = answers.pop().map(|last| last.extra).unwrap_or_default();
        for (choice, masked) in answer.choices.iter_mut().zip(answers) {
            choice.parts = masked.parts;
            choice.extra = masked.extra;
            // They spell the text out.
            choice.logprobs.clear();
        }
        answer
    });
    (whole, answer)
}

/// About how much memory an event takes.
fn size_of(event: &Event) -> usize {
    const OVERHEAD: usize = 64;
    let value = |value: &serde_json::Value| value.to_string().len();
    let fields = |fields: &Extra| {
        fields
            .iter()
            .map(|(name, one)| name.len() + value(one))
            .sum()
    };
    let content = match event {
        Event::Start { extra, .. } => fields(extra),
        Event::Extra { fields: extra, .. } => fields(extra),
        Event::PartStart { kind, .. } => match kind {
            PartKind::RedactedThinking { data } => data.len(),
            PartKind::Unknown { value: part, .. } => value(part),
            PartKind::Text | PartKind::Refusal | PartKind::Thinking => 0,
            PartKind::ToolCall { id, name } => id.len() + name.len(),
        },
        Event::PartDelta { delta, .. } => match delta {
            Delta::Text { text, logprobs } => {
                let alternatives: usize = logprobs.iter().map(|one| 1 + one.top.len()).sum();
                text.len() + OVERHEAD * alternatives
            }
            Delta::Refusal(text)
            | Delta::Thinking(text)
            | Delta::Signature(text)
            | Delta::Arguments(text) => text.len(),
            Delta::Unknown { value: delta, .. } => value(delta),
        },
        Event::PartEnd { .. } | Event::Finish { .. } | Event::Usage(_) | Event::End => 0,
    };
    content + OVERHEAD
}
