//! The views of one text: as it stands, normalised, with escapes undone, decoded, with the spacing
//! undone. A finding in any of them is reported where it stands in the text itself.
//!
//! Plain ASCII is looked at as it stands, without a copy; each further view is made only where its
//! disguise is seen. How deep decodings go is bounded ([`DEPTH_MAX`], [`ROUNDS_MAX`]) and so is the
//! sum of all views ([`work_bytes`]); what lies deeper is not read and said to be so.

mod blob;
mod escape;
mod fold;
pub(crate) mod joined;
mod map;
mod normal;
mod pairs;
mod spaced;

use std::ops::Range;

use crate::Guard;
use crate::detect::{Hit, SHORTEST_BYTES};
use crate::guard::{Detectors, Unread};

use blob::{Blob, blobs};
use map::View;
use normal::{Depth, is_plain, normalise};

/// How many decodings (base64, hexadecimal) within each other are undone.
const DEPTH_MAX: usize = 3;

/// How many layers of escapes are undone in each text.
const ROUNDS_MAX: usize = 3;

/// How much may be looked at for a text of so many bytes, all views together. Three decodings of
/// three layers of escapes, each in all views, stay below; it is there so that nothing that was
/// forgotten can be made to take forever.
fn work_bytes(bytes: usize) -> usize {
    bytes.saturating_mul(24).saturating_add(64 * 1_024)
}

/// How a text is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looking {
    /// Which detectors run.
    pub(crate) detectors: Detectors,
    /// Whether the text is JSON, so that every escape counts.
    pub(crate) is_json: bool,
    /// Whether a long blob that cannot be decoded is told.
    pub(crate) tells_blobs: bool,
}

impl Looking {
    /// Everything, as for a text that people wrote.
    pub(crate) fn text() -> Self {
        Self {
            detectors: Detectors::All,
            is_json: false,
            tells_blobs: true,
        }
    }

    /// As for what an application tells its model: everything but attempts to tell a model something.
    pub(crate) fn instructions() -> Self {
        Self {
            detectors: Detectors::Instructions,
            ..Self::text()
        }
    }

    /// As for the name of a model, where words mean little.
    pub(crate) fn name() -> Self {
        Self {
            detectors: Detectors::Firm,
            ..Self::text()
        }
    }
}

/// Where a view came from: ranges go back through all of them.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Text,
    View(&'a View, &'a Origin<'a>),
    /// Decoded from a range of the text before.
    Blob(&'a Range<usize>, &'a Origin<'a>),
}

impl Origin<'_> {
    fn source(&self, range: Range<usize>) -> Range<usize> {
        match self {
            Self::Text => range,
            Self::View(view, before) => before.source(view.source(&range)),
            Self::Blob(blob, before) => before.source((*blob).clone()),
        }
    }
}

/// One look at one text.
struct Look<'a> {
    guard: &'a Guard,
    looking: Looking,
    left_bytes: usize,
    unread: Option<Unread>,
    found: &'a mut dyn FnMut(Hit),
}

impl Guard {
    /// Looks at one text in all views. Ranges are those of the text itself, on character boundaries;
    /// the same thing may be found several times.
    pub(crate) fn look(
        &self,
        text: &str,
        looking: Looking,
        found: &mut dyn FnMut(Hit),
    ) -> Option<Unread> {
        let mut look = Look {
            guard: self,
            looking,
            left_bytes: work_bytes(text.len()),
            unread: None,
            found,
        };
        look.text(text, &Origin::Text, 0, 0);
        look.unread
    }

    /// Whether base64 holds text, which is then looked at like any other.
    pub(crate) fn holds_text(data: &str) -> bool {
        blob::decode_whole(data).is_some()
    }
}

/// The text as detectors see it, for joining: short, and never failing.
fn normalised(text: &str) -> Option<View> {
    normalise(text, Depth::Gentle).map(|normal| normal.view)
}

impl Look<'_> {
    /// Looks at a text and at whatever is hidden in it. `depth` counts decodings, `round` layers of
    /// escapes.
    fn text(&mut self, text: &str, origin: &Origin<'_>, depth: usize, round: usize) {
        if text.len() < SHORTEST_BYTES {
            return;
        }
        let Some(normal) = normalise(text, Depth::Gentle) else {
            self.normal(text, origin, depth, round, true);
            return;
        };
        let view = &normal.view;
        let own = Origin::View(view, origin);
        self.normal(&view.text, &own, depth, round, true);
        if normal.hides_more
            && let Some(hard) = normalise(text, Depth::Hard)
            && hard.view.text != view.text
        {
            let own = Origin::View(&hard.view, origin);
            self.normal(&hard.view.text, &own, depth, round, false);
        }
        if normal.turns {
            self.turned(text, origin);
        }
    }

    /// A normalised text. Only the first view of it is asked about by classifiers.
    fn normal(
        &mut self,
        text: &str,
        origin: &Origin<'_>,
        depth: usize,
        round: usize,
        is_first: bool,
    ) {
        self.detect(text, origin, self.looking.detectors);
        if is_first && depth == 0 && round == 0 {
            let found = &mut *self.found;
            self.guard
                .classify(text, &mut |hit| found(placed(hit, origin)));
        }
        // What is in escapes is looked at again without them, blobs and spacing included.
        if let Some(plain) = escape::unescape(text, self.looking.is_json && round == 0) {
            if round == ROUNDS_MAX {
                self.unread.get_or_insert(Unread::TooMuch);
            } else if self.spend(plain.text.len()) {
                let own = Origin::View(&plain, origin);
                self.text(&plain.text, &own, depth, round + 1);
                return;
            }
        }
        if let Some(squeezed) = spaced::squeeze(text) {
            let own = Origin::View(&squeezed, origin);
            self.detect(&squeezed.text, &own, Detectors::Firm);
        }
        self.pairs(text, origin);
        self.blobs(text, origin, depth);
    }

    /// Keys cut in two. What a word shows by itself is known already; its neighbour has no part in it.
    fn pairs(&mut self, text: &str, origin: &Origin<'_>) {
        let Some(pairs) = pairs::pairs(text) else {
            return;
        };
        if !self.spend(pairs.text.len()) {
            return;
        }
        let mut cut = Vec::new();
        self.guard
            .detect(&pairs.text, Detectors::Firm, &mut |hit| cut.push(hit));
        if cut.is_empty() || !self.spend(text.len()) {
            return;
        }
        let mut known = Vec::new();
        self.guard
            .detect(text, Detectors::Firm, &mut |hit| known.push(hit));
        for hit in cut {
            let range = pairs.source(&hit.range);
            let overlaps = |other: &Hit| {
                other.entity == hit.entity
                    && other.range.start < range.end
                    && range.start < other.range.end
            };
            if !known.iter().any(overlaps) {
                (self.found)(placed(Hit { range, ..hit }, origin));
            }
        }
    }

    fn blobs(&mut self, text: &str, origin: &Origin<'_>, depth: usize) {
        blobs(text, &mut |blob| match blob {
            Blob::Opaque => {
                if self.looking.tells_blobs {
                    self.unread.get_or_insert(Unread::Blob);
                }
            }
            Blob::Text(_, _) if depth == DEPTH_MAX => {
                self.unread.get_or_insert(Unread::TooMuch);
            }
            Blob::Text(range, plain) => {
                if self.spend(plain.len()) {
                    let own = Origin::Blob(&range, origin);
                    self.text(&plain, &own, depth + 1, 0);
                }
            }
        });
    }

    /// What stands behind a right-to-left override is shown from its end.
    fn turned(&mut self, text: &str, origin: &Origin<'_>) {
        for (start, _) in text.match_indices('\u{202e}') {
            let from = start + '\u{202e}'.len_utf8();
            let ends = ['\u{202c}', '\u{202d}', '\u{202e}', '\n'];
            let to = text[from..]
                .find(ends)
                .map_or(text.len(), |length| from + length);
            let turned: String = text[from..to].chars().rev().collect();
            let range = from..to;
            let own = Origin::Blob(&range, origin);
            self.detect(&turned, &own, Detectors::Firm);
        }
    }

    fn detect(&mut self, text: &str, origin: &Origin<'_>, detectors: Detectors) {
        if text.len() < SHORTEST_BYTES || !self.spend(text.len()) {
            return;
        }
        let found = &mut *self.found;
        self.guard
            .detect(text, detectors, &mut |hit| found(placed(hit, origin)));
    }

    /// Whether so much more may be looked at.
    fn spend(&mut self, bytes: usize) -> bool {
        match self.left_bytes.checked_sub(bytes) {
            Some(left) => self.left_bytes = left,
            None => {
                self.unread.get_or_insert(Unread::TooMuch);
                return false;
            }
        }
        true
    }
}

fn placed(hit: Hit, origin: &Origin<'_>) -> Hit {
    Hit {
        range: origin.source(hit.range),
        ..hit
    }
}

#[cfg(test)]
mod tests;
