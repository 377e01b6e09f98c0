//! Masking: values in a request are replaced before it leaves, and put back in the answer.
//!
//! [`mask`] replaces what the guard found, wherever it stands: texts, keys, tool arguments, schemas,
//! metadata. A value once seen is replaced everywhere in the request, also where the guard alone
//! would not have known it. The [`Vault`] remembers what stands for what, within one conversation of
//! one tenant; [`Vault::answer_restorer`] puts values back into an answer.
//!
//! **Numbers are stable.** Clients send the whole conversation with every turn, with the values that
//! were restored in earlier answers: the same value finds the same placeholder, so the model reads the
//! same history each time and vendors' prompt caches keep working.
//!
//! **Forged placeholders stay as they are.** A placeholder carries the vault's tag, which only the
//! gateway's secret yields. `<PERSON_1>` without it, or with another vault's, is plain text. Should
//! the client's text hold the tag all the same, or read like a surrogate, that text is masked as well
//! (`<TEXT_1_k3f9x>`) and comes back as it was: everything that can be restored was put there by the
//! vault. What no masking prevents: text that tells the model to repeat what it masks. It reaches
//! nobody but the client of this conversation, who sent the values.
//!
//! **What cannot be masked is refused.** A finding that cannot be located, or that stands in bytes a
//! vendor has signed, is an error, and the request must not be sent.

use std::collections::{BTreeMap, HashSet};

use freehold_types::Request;

use crate::{Scan, TextScan};

pub(crate) mod gather;
pub(crate) mod json_text;
mod literal;
mod names;
pub(crate) mod normal;
mod restore;
mod rules;
mod seal;
mod surrogate;
mod tokens;
mod vault;
pub(crate) mod walk;

pub use restore::Restorer;
pub use rules::{MaskRules, MaskStyle};
pub use seal::{SealError, SealKey};
pub use vault::{Vault, VaultLimits};

use gather::{Slot, Spot, gather, settle};
use json_text::Token;
use literal::{Elsewhere, Sought};
use vault::{EntryKind, ValueKey, label};
use walk::{Kind, Visit};

/// The type under which client's text that looks like a placeholder is masked.
const LITERAL: &str = "text";

/// Why a request could not be masked: it must not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The guard has not looked at everything, so not everything can be masked.
    #[error("the scan is incomplete")]
    Incomplete,
    /// A detector reported a place outside the text.
    #[error("a finding lies outside its text")]
    Range,
    /// A finding's place is not in this request.
    #[error("the finding at {path} cannot be located")]
    Unlocated {
        /// The finding's path.
        path: String,
    },
    /// A finding stands in bytes that a vendor signed or encrypted.
    #[error("a finding stands in `{field}`, which cannot be changed")]
    Sealed {
        /// The field's name.
        field: &'static str,
    },
    /// The conversation holds more values than its vault may.
    #[error("the conversation holds more values than can be masked")]
    VaultFull,
}

/// A request in which values were replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    /// The changed request, without its raw bytes.
    pub request: Request,
    /// How many places were replaced, by type; `text` is client's text that looked like a placeholder.
    pub counts: BTreeMap<String, u32>,
}

/// Replaces what the guard found. `scan` is the guard's scan of this request; `detect` looks at one
/// text as the same guard does ([`crate::Guard::scan_text`]).
///
/// # Errors
///
/// When something cannot be masked. The request must then be refused, not sent.
pub fn mask(
    request: &Request,
    scan: &Scan,
    detect: &dyn Fn(&str) -> TextScan,
    rules: &MaskRules,
    vault: &mut Vault,
) -> Result<Masked, MaskError> {
    if scan.incomplete.is_some() {
        return Err(MaskError::Incomplete);
    }
    let mut request = request.clone();
    request.raw = None;
    let mut slots = gather(&mut request, &scan.findings, detect, rules)?;
    vault.choose_tag(|tag| slots.iter().any(|slot| literal::holds_tag(&slot.text, tag)));
    find_elsewhere(&mut slots, rules, vault)?;
    let real = real_values(&slots, vault);
    for slot in &slots {
        for spot in slot
            .spots
            .iter()
            .filter(|spot| spot.style != MaskStyle::Redact)
        {
            let value = &slot.text[spot.range.clone()];
            vault.intern(&spot.entity, value, spot.kind, spot.style, &real)?;
        }
    }
    find_literals(&mut slots, vault)?;
    let mut counts = BTreeMap::new();
    let replaced = slots
        .iter()
        .map(|slot| replace(slot, vault, &mut counts))
        .collect::<Result<Vec<_>, _>>()?;
    let mut write = Write {
        replaced: replaced.into_iter(),
    };
    walk::walk(&mut request, &mut write);
    Ok(Masked { request, counts })
}

/// Adds the places where known values stand without having been seen there.
fn find_elsewhere(slots: &mut [Slot], rules: &MaskRules, vault: &Vault) -> Result<(), MaskError> {
    let known = vault.entries.iter().filter_map(|entry| {
        let style = rules.style(&entry.entity)?;
        let sought = Sought {
            entity: entry.entity.clone(),
            style,
        };
        (entry.kind == EntryKind::Value).then_some((entry.value.as_str(), sought))
    });
    let seen = slots.iter().flat_map(|slot| {
        let whole = slot
            .spots
            .iter()
            .filter(|spot| spot.kind == EntryKind::Value);
        whole.map(|spot| {
            let sought = Sought {
                entity: spot.entity.clone(),
                style: spot.style,
            };
            (&slot.text[spot.range.clone()], sought)
        })
    });
    // What was seen in this request comes first: its style is the strictest that is asked for.
    let Some(elsewhere) = Elsewhere::new(seen.chain(known))? else {
        return Ok(());
    };
    for slot in slots {
        let before = slot.spots.len();
        let Slot { text, spots, .. } = slot;
        elsewhere.find(text, |range, sought| {
            spots.push(Spot {
                range,
                entity: sought.entity.clone(),
                style: sought.style,
                kind: EntryKind::Value,
            });
        });
        if slot.spots.len() > before {
            settle(slot)?;
        }
    }
    Ok(())
}

/// The values that no surrogate may equal, and the words of those that are names.
fn real_values(slots: &[Slot], vault: &Vault) -> HashSet<ValueKey> {
    let mut real = HashSet::new();
    for slot in slots {
        for spot in &slot.spots {
            let value = &slot.text[spot.range.clone()];
            real.insert(vault.key(&spot.entity, value));
            if spot.entity == "person" {
                real.extend(
                    value
                        .split_whitespace()
                        .map(|word| vault.key("person", word)),
                );
            }
        }
    }
    real
}

/// Adds client's text that could be mistaken for a placeholder or a surrogate of this vault.
fn find_literals(slots: &mut [Slot], vault: &mut Vault) -> Result<(), MaskError> {
    let surrogates = vault.surrogate_table();
    let tag = vault.tag.clone();
    let none = HashSet::new();
    for slot in slots {
        if matches!(slot.kind, Kind::Sealed(_)) {
            continue;
        }
        let mut literals = Vec::new();
        literal::find_tag(&slot.text, &tag, |range| literals.push(range));
        if let Some(table) = &surrogates {
            literal::find_surrogates(&slot.text, table, |range| literals.push(range));
        }
        let mut added = false;
        for range in literals {
            let is_replaced = slot
                .spots
                .iter()
                .any(|spot| spot.range.start <= range.start && range.end <= spot.range.end);
            if !is_replaced {
                added = true;
                slot.spots.push(Spot {
                    range,
                    entity: LITERAL.to_owned(),
                    style: MaskStyle::Pseudonym,
                    kind: EntryKind::Literal,
                });
            }
        }
        if added {
            settle(slot)?;
            let Slot { text, spots, .. } = slot;
            for spot in spots
                .iter_mut()
                .filter(|spot| spot.style != MaskStyle::Redact)
            {
                let value = &text[spot.range.clone()];
                if !vault.holds(&vault.key(&spot.entity, value)) {
                    // A surrogate made now could again be in the text.
                    spot.style = MaskStyle::Pseudonym;
                }
                vault.intern(&spot.entity, value, spot.kind, spot.style, &none)?;
            }
        }
    }
    Ok(())
}

/// The slot's text with its spots replaced; `None` when there are none.
fn replace(
    slot: &Slot,
    vault: &Vault,
    counts: &mut BTreeMap<String, u32>,
) -> Result<Option<String>, MaskError> {
    if slot.spots.is_empty() {
        return Ok(None);
    }
    let mut replaced = String::with_capacity(slot.text.len());
    let mut at = 0;
    for (place, spot) in slot.spots.iter().enumerate() {
        replaced.push_str(&slot.text[at..spot.range.start]);
        let touches = |other: Option<&Spot>| {
            other.is_some_and(|other| {
                other.range.end == spot.range.start || other.range.start == spot.range.end
            })
        };
        let neighbours = [place.checked_sub(1), Some(place + 1)];
        let touched = neighbours
            .into_iter()
            .flatten()
            .any(|other| touches(slot.spots.get(other)));
        let is_alone = !touched && literal::is_alone(&slot.text, &spot.range);
        replaced.push_str(&stand_in(slot, spot, is_alone, vault)?);
        *counts.entry(spot.entity.clone()).or_default() += 1;
        at = spot.range.end;
    }
    replaced.push_str(&slot.text[at..]);
    Ok(Some(replaced))
}

/// What stands where a value stood. Within a word only brackets keep it recognisable.
fn stand_in(slot: &Slot, spot: &Spot, is_alone: bool, vault: &Vault) -> Result<String, MaskError> {
    let bare_only = match slot.kind {
        Kind::Identifier => true,
        Kind::Bare => is_alone,
        Kind::Free | Kind::Number | Kind::Whole | Kind::Decoded | Kind::Sealed(_) => false,
    };
    if spot.style == MaskStyle::Redact {
        let name = label(&spot.entity);
        return Ok(if bare_only {
            format!("REDACTED_{name}")
        } else {
            format!("[REDACTED:{}]", name.to_lowercase())
        });
    }
    let key = vault.key(&spot.entity, &slot.text[spot.range.clone()]);
    // Everything that is restored was put into the vault above.
    let place = vault.place(&key).ok_or(MaskError::Range)?;
    let surrogate = vault.entries[place].surrogate.as_ref();
    Ok(match surrogate {
        Some(made_up) if spot.style == MaskStyle::Surrogate && is_alone && !bare_only => {
            made_up.clone()
        }
        _ if bare_only => vault.bare(place),
        _ => format!("<{}>", vault.bare(place)),
    })
}

/// Writes the replaced texts into the request, in the order of the walk.
struct Write {
    replaced: std::vec::IntoIter<Option<String>>,
}

impl Visit for Write {
    fn text(&mut self, _: Kind, _: &str, text: &mut String) {
        if let Some(replaced) = self.replaced.next().flatten() {
            *text = replaced;
        }
    }

    fn json_text(&mut self, _: &str, _: &str, _: Option<&[Token]>) {}

    fn opaque(&mut self, _: &str, _: usize) {}
}
