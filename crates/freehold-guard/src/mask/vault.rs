//! The mapping between values and what stands for them: one conversation of one tenant.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use freehold_types::request::ResponseFormat;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::normal::normal_form;
use super::restore::Restorer;
use super::surrogate;
use super::tokens::{Fold, Table};
use super::{MaskError, MaskStyle};
use crate::answer::AnswerRestorer;

/// What identifies a value: a digest of its normal form, so that no second copy is kept.
pub(super) type ValueKey = [u8; 32];

/// Letters and digits of tags. No vowels: no words, and nothing that looks like one.
const TAG_ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
/// Tags begin with a letter.
const TAG_LETTERS: usize = 19;
/// 19 * 27^4: ten million tags.
const TAG_BYTES: usize = 5;
/// How many tags are tried until one does not stand in the client's text.
const TAG_ATTEMPTS: u8 = 16;
/// Longer names of entity types are cut.
const LABEL_BYTES_MAX: usize = 32;

/// How much one conversation's vault holds; masking fails closed beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultLimits {
    /// Different values.
    pub max_entries: usize,
    /// Bytes of all values together.
    pub max_bytes: usize,
}

impl Default for VaultLimits {
    fn default() -> Self {
        Self {
            max_entries: 4_096,
            max_bytes: 4 * 1024 * 1024,
        }
    }
}

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum EntryKind {
    /// A value: masked wherever in the request it stands.
    Value,
    /// A piece of a value, or one word of a name: too short to be looked for elsewhere.
    Piece,
    /// Text of the client that could be mistaken for a placeholder or a surrogate.
    Literal,
}

/// One value and what stands for it.
pub(super) struct Entry {
    pub(super) entity: String,
    pub(super) label: String,
    pub(super) number: u32,
    pub(super) kind: EntryKind,
    pub(super) value: Zeroizing<String>,
    pub(super) surrogate: Option<String>,
}

/// The mapping between values and what stands for them, for one conversation of one tenant.
///
/// In memory only, unless sealed ([`Vault::seal`]); values are overwritten when it is dropped, and
/// `Debug` shows only how many there are.
///
/// Every placeholder carries the vault's *tag*, derived from the gateway's secret, the tenant and
/// the conversation. Text that the client sent with this tag in it is itself masked (as `TEXT`), so
/// everything in a masked request that can be restored was put there by the vault: a forged
/// placeholder comes back as it was written, and one of another vault never matches.
pub struct Vault {
    pub(super) tenant: String,
    pub(super) conversation: String,
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) tag: String,
    pub(super) entries: Vec<Entry>,
    index: HashMap<ValueKey, usize>,
    /// The keys that the surrogates would have as values: no two are the same.
    pub(super) surrogates: HashSet<ValueKey>,
    counts: HashMap<String, u32>,
    bytes: usize,
    limits: VaultLimits,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// An empty vault. `secret` is the gateway's own (32 random bytes, the same for its lifetime):
    /// from the same secret, tenant and conversation come the same tag and surrogates, so a vault
    /// that was lost and is filled again from the history gives the same placeholders.
    pub fn new(tenant: &str, conversation: &str, secret: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for piece in [
            b"freehold vault v1",
            secret,
            tenant.as_bytes(),
            conversation.as_bytes(),
        ] {
            digest.update((piece.len() as u64).to_le_bytes());
            digest.update(piece);
        }
        let seed = Zeroizing::new(<[u8; 32]>::from(digest.finalize()));
        let tag = derive_tag(&seed, 0);
        Self::of_parts(tenant, conversation, seed, tag)
    }

    pub(super) fn of_parts(
        tenant: &str,
        conversation: &str,
        seed: Zeroizing<[u8; 32]>,
        tag: String,
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            conversation: conversation.to_owned(),
            seed,
            tag,
            entries: Vec::new(),
            index: HashMap::new(),
            surrogates: HashSet::new(),
            counts: HashMap::new(),
            bytes: 0,
            limits: VaultLimits::default(),
        }
    }

    /// Holds no more than this.
    #[must_use]
    pub fn with_limits(mut self, limits: VaultLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The tenant whose values these are.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The conversation whose values these are.
    pub fn conversation(&self) -> &str {
        &self.conversation
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when it holds nothing: then no answer needs restoring.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Restores plain text.
    pub fn restorer(&self) -> Restorer {
        Restorer::new(Arc::new(self.table()))
    }

    /// Restores JSON text, such as a tool call's arguments: values are escaped.
    pub fn restorer_for_json(&self) -> Restorer {
        self.restorer().for_json()
    }

    /// Restores an answer's events. `format` is what the request asked for: text that is to be JSON
    /// is restored as JSON.
    pub fn answer_restorer(&self, format: &ResponseFormat) -> AnswerRestorer {
        let json_text = !matches!(format, ResponseFormat::Text);
        AnswerRestorer::new(self.restorer(), json_text)
    }

    /// As long as nothing carries the tag yet, takes one that does not stand in the client's text.
    pub(super) fn choose_tag(&mut self, occurs: impl Fn(&str) -> bool) {
        let mut attempt = 0;
        while self.entries.is_empty() && attempt < TAG_ATTEMPTS && occurs(&self.tag) {
            attempt += 1;
            self.tag = derive_tag(&self.seed, attempt);
        }
    }

    /// The key of a value.
    pub(super) fn key(&self, entity: &str, value: &str) -> ValueKey {
        let mut digest = Sha256::new();
        digest.update(self.seed.as_slice());
        digest.update(normal_form(entity, value).as_bytes());
        digest.finalize().into()
    }

    /// The entry for a value, made when it is new. `real` are the values that no surrogate may equal.
    pub(super) fn intern(
        &mut self,
        entity: &str,
        value: &str,
        kind: EntryKind,
        style: MaskStyle,
        real: &HashSet<ValueKey>,
    ) -> Result<usize, MaskError> {
        let key = self.key(entity, value);
        let place = match self.index.get(&key) {
            Some(&place) => {
                let entry = &mut self.entries[place];
                if entry.kind == EntryKind::Piece && kind == EntryKind::Value {
                    entry.kind = kind;
                }
                place
            }
            None => {
                let label = label(entity);
                let number = self.counts.get(&label).map_or(1, |count| count + 1);
                let entry = Entry {
                    entity: entity.to_owned(),
                    label,
                    number,
                    kind,
                    value: Zeroizing::new(value.to_owned()),
                    surrogate: None,
                };
                self.insert(key, entry)?
            }
        };
        if style == MaskStyle::Surrogate
            && self.entries[place].surrogate.is_none()
            && let Some(made_up) = surrogate::make(self, place, real)?
        {
            self.set_surrogate(place, made_up);
        }
        Ok(place)
    }

    pub(super) fn insert(&mut self, key: ValueKey, entry: Entry) -> Result<usize, MaskError> {
        let bytes = self.bytes.saturating_add(entry.value.len());
        if self.entries.len() >= self.limits.max_entries || bytes > self.limits.max_bytes {
            return Err(MaskError::VaultFull);
        }
        self.bytes = bytes;
        let count = self.counts.entry(entry.label.clone()).or_default();
        *count = (*count).max(entry.number);
        self.entries.push(entry);
        self.index.insert(key, self.entries.len() - 1);
        Ok(self.entries.len() - 1)
    }

    pub(super) fn set_surrogate(&mut self, place: usize, made_up: String) {
        let key = self.key(&self.entries[place].entity, &made_up);
        self.surrogates.insert(key);
        self.entries[place].surrogate = Some(made_up);
    }

    /// The entry of a value.
    pub(super) fn place(&self, key: &ValueKey) -> Option<usize> {
        self.index.get(key).copied()
    }

    pub(super) fn holds(&self, key: &ValueKey) -> bool {
        self.index.contains_key(key)
    }

    /// `PERSON_1_k3f9x`: fits where only letters, digits and `_` may stand.
    pub(super) fn bare(&self, place: usize) -> String {
        let entry = &self.entries[place];
        format!("{}_{}_{}", entry.label, entry.number, self.tag)
    }

    /// Everything that can be restored.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::default();
        for (place, entry) in self.entries.iter().enumerate() {
            table.add(Fold::Placeholder, &self.bare(place), &entry.value);
            if let Some(made_up) = &entry.surrogate {
                let fold = surrogate::fold(&entry.entity);
                table.add(fold, made_up, &entry.value);
            }
        }
        table
    }

    /// Only the surrogates: what the client's own text must not be mistaken for.
    pub(super) fn surrogate_table(&self) -> Option<Table> {
        let mut table = Table::default();
        let mut any = false;
        for entry in &self.entries {
            if let Some(made_up) = &entry.surrogate {
                table.add(surrogate::fold(&entry.entity), made_up, &entry.value);
                any = true;
            }
        }
        any.then_some(table)
    }
}

/// The type's name as placeholders write it: `payment_card` becomes `PAYMENT_CARD`.
pub(super) fn label(entity: &str) -> String {
    let mut label: String = entity
        .chars()
        .take(LABEL_BYTES_MAX)
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' => letter.to_ascii_uppercase(),
            '0'..='9' => letter,
            _ => '_',
        })
        .collect();
    // Placeholders are recognised by a letter at their start.
    if !label.starts_with(|first: char| first.is_ascii_alphabetic()) {
        label.insert_str(0, "TYPE_");
    }
    label
}

fn derive_tag(seed: &[u8; 32], attempt: u8) -> String {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(seed)
        .chain_update(b"tag")
        .chain_update([attempt])
        .finalize()
        .into();
    let pick = |place: usize, among: usize| {
        let number = u16::from_le_bytes([digest[2 * place], digest[2 * place + 1]]);
        char::from(TAG_ALPHABET[usize::from(number) % among])
    };
    (0..TAG_BYTES)
        .map(|place| {
            let among = if place == 0 {
                TAG_LETTERS
            } else {
                TAG_ALPHABET.len()
            };
            pick(place, among)
        })
        .collect()
}
