//! What the caller sent and may therefore read: an answer that repeats it tells nothing new.

use std::ops::Range;
use std::sync::Arc;

use freehold_types::Request;
use zeroize::Zeroizing;

use crate::mask::gather::gather;
use crate::mask::json_text::Token;
use crate::mask::normal::normal_form;
use crate::mask::walk::{Kind, Visit, walk};
use crate::{Guard, MaskRules, MaskStyle, Restorer, Scan};

/// What the caller sent. Nothing is read or copied before the first finding in an answer.
#[derive(Clone, Debug)]
pub struct KnownValues {
    request: Arc<Request>,
    scan: Arc<Scan>,
    /// Knows what stands for the caller's values.
    restorer: Option<Restorer>,
    read: Option<Arc<Read>>,
}

/// What was read of the request; overwritten when it is dropped.
struct Read {
    /// Every string of the request, in small letters.
    text: Zeroizing<String>,
    /// The findings in it, each in its normal form.
    values: Vec<Zeroizing<String>>,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").finish_non_exhaustive()
    }
}

impl KnownValues {
    /// `scan` is the guard's scan of this request, `restorer` that of what it was masked with.
    pub fn new(request: Arc<Request>, scan: Arc<Scan>, restorer: Option<Restorer>) -> Self {
        Self {
            request,
            scan,
            restorer,
            read: None,
        }
    }

    /// Whether what stands at a place of a word stands for a value that the caller sent: a placeholder
    /// that only stands beside it says nothing of it.
    pub(super) fn stands_for(&self, word: &str, place: &Range<usize>) -> bool {
        self.restorer.as_ref().is_some_and(|restorer| {
            let mut tokens = restorer.places(word).into_iter();
            tokens.any(|token| token.start < place.end && place.start < token.end)
        })
    }

    /// Whether the caller sent this value.
    pub(super) fn contains(&mut self, guard: &Guard, entity: &str, value: &str) -> bool {
        let read = self
            .read
            .get_or_insert_with(|| Arc::new(read(guard, &self.request, &self.scan)));
        read.values.contains(&normal_form(entity, value))
            || stands_in(&read.text, &value.to_lowercase())
    }
}

fn read(guard: &Guard, request: &Request, scan: &Scan) -> Read {
    let mut request = request.clone();
    request.raw = None;
    let mut texts = Texts::default();
    walk(&mut request, &mut texts);
    let rules = MaskRules::new().with_all_others(MaskStyle::Redact);
    let detect = |text: &str| guard.scan_text(text);
    // Without places only what stands there literally is known.
    let slots = gather(&mut request, &scan.findings, &detect, &rules).unwrap_or_default();
    let values = slots.iter().flat_map(|slot| {
        let spots = slot.spots.iter();
        spots.map(|spot| normal_form(&spot.entity, &slot.text[spot.range.clone()]))
    });
    Read {
        values: values.collect(),
        text: texts.0,
    }
}

/// Every string of a request, one after the other.
#[derive(Default)]
struct Texts(Zeroizing<String>);

impl Visit for Texts {
    fn text(&mut self, _: Kind, _: &str, text: &mut String) {
        self.0.push_str(&text.to_lowercase());
        self.0.push('\n');
    }

    fn json_text(&mut self, _: &str, _: &str, _: Option<&[Token]>) {}

    fn opaque(&mut self, _: &str, _: usize) {}
}

/// Whether a value stands in a text, and not within a word.
fn stands_in(text: &str, value: &str) -> bool {
    let value = value.trim();
    !value.is_empty()
        && text.match_indices(value).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + value.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        })
}
