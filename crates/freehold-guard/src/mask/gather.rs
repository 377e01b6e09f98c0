//! Collects every string of a request with what is to be replaced in it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use freehold_types::Request;
use zeroize::Zeroizing;

use super::json_text::{Token, TokenKind};
use super::vault::EntryKind;
use super::walk::{Kind, Visit, walk};
use super::{MaskError, MaskRules, MaskStyle};
use crate::{Finding, TextScan, Unread};

/// Findings that only the scan of the whole request saw, and that are shorter, are pieces of
/// something and are not looked for elsewhere.
const WHOLE_BYTES_MIN: usize = 8;

/// Something to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) range: Range<usize>,
    pub(crate) entity: String,
    pub(crate) style: MaskStyle,
    pub(crate) kind: EntryKind,
}

/// One string of the request.
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) text: Zeroizing<String>,
    pub(crate) spots: Vec<Spot>,
}

/// A JSON text in a string: its tokens are slots of their own.
struct Json {
    bytes: usize,
    spots: Vec<Spot>,
    tokens: Vec<Token>,
    /// The slot of the first token.
    first_slot: usize,
}

/// Where a finding's path leads.
#[derive(Clone, Copy)]
enum Target {
    Slot(usize),
    Json(usize),
    /// So many bytes that cannot be read.
    Opaque(usize),
}

/// All strings of a request in the walk's order, each with its spots: sorted, none overlapping.
pub(crate) fn gather(
    request: &mut Request,
    findings: &[Finding],
    detect: &dyn Fn(&str) -> TextScan,
    rules: &MaskRules,
) -> Result<Vec<Slot>, MaskError> {
    let mut gather = Gather {
        detect,
        rules,
        slots: Vec::new(),
        jsons: Vec::new(),
        targets: HashMap::new(),
        left_tokens: 0,
        failed: None,
    };
    walk(request, &mut gather);
    if let Some(failed) = gather.failed {
        return Err(failed);
    }
    for finding in findings {
        gather.locate(finding)?;
    }
    for json in std::mem::take(&mut gather.jsons) {
        gather.spread(&json);
    }
    for slot in &mut gather.slots {
        settle(slot)?;
    }
    Ok(gather.slots)
}

/// Sorts a slot's spots and makes one of those that overlap.
pub(crate) fn settle(slot: &mut Slot) -> Result<(), MaskError> {
    if slot.spots.is_empty() {
        return Ok(());
    }
    if let Kind::Sealed(field) = slot.kind {
        return Err(MaskError::Sealed { field });
    }
    if matches!(slot.kind, Kind::Identifier | Kind::Number | Kind::Whole) {
        for spot in &mut slot.spots {
            spot.range = 0..slot.text.len();
        }
    }
    merge(&mut slot.spots);
    Ok(())
}

/// Of spots that overlap, nothing of any may stay: their union is replaced, as the longest's type and
/// in the strictest style.
fn merge(spots: &mut Vec<Spot>) {
    spots.sort_by_key(|spot| (spot.range.start, Reverse(spot.range.end)));
    let mut merged: Vec<Spot> = Vec::with_capacity(spots.len());
    let mut longest = 0;
    for spot in spots.drain(..) {
        match merged.last_mut() {
            Some(last) if spot.range.start < last.range.end => {
                last.range.end = last.range.end.max(spot.range.end);
                last.style = last.style.max(spot.style);
                if last.kind != EntryKind::Value {
                    last.kind = spot.kind;
                }
                if spot.range.len() > longest {
                    longest = spot.range.len();
                    last.entity = spot.entity;
                }
            }
            _ => {
                longest = spot.range.len();
                merged.push(spot);
            }
        }
    }
    *spots = merged;
}

struct Gather<'d> {
    detect: &'d dyn Fn(&str) -> TextScan,
    rules: &'d MaskRules,
    slots: Vec<Slot>,
    jsons: Vec<Json>,
    /// By path. Tokens of a JSON text are reached through the text.
    targets: HashMap<String, Vec<Target>>,
    left_tokens: usize,
    failed: Option<MaskError>,
}

impl Visit for Gather<'_> {
    fn text(&mut self, kind: Kind, path: &str, text: &mut String) {
        let spots = self.look(text);
        if self.left_tokens > 0 {
            self.left_tokens -= 1;
        } else {
            self.target(path, Target::Slot(self.slots.len()));
        }
        self.slots.push(Slot {
            kind,
            text: Zeroizing::new(text.clone()),
            spots,
        });
    }

    fn json_text(&mut self, path: &str, text: &str, tokens: Option<&[Token]>) {
        let Some(tokens) = tokens else {
            return;
        };
        self.target(path, Target::Json(self.jsons.len()));
        self.left_tokens = tokens.len();
        let spots = self.look(text);
        self.jsons.push(Json {
            bytes: text.len(),
            spots,
            tokens: tokens.to_vec(),
            first_slot: self.slots.len(),
        });
    }

    fn opaque(&mut self, path: &str, bytes: usize) {
        self.target(path, Target::Opaque(bytes));
    }
}

impl Gather<'_> {
    fn target(&mut self, path: &str, target: Target) {
        match self.targets.get_mut(path) {
            Some(targets) => targets.push(target),
            None => {
                self.targets.insert(path.to_owned(), vec![target]);
            }
        }
    }

    fn look(&mut self, text: &str) -> Vec<Spot> {
        let scan = (self.detect)(text);
        if scan.incomplete == Some(Unread::Failed) {
            self.failed = Some(MaskError::Incomplete);
        }
        let mut spots = Vec::new();
        for hit in scan.hits {
            let Some(style) = self.rules.style(hit.entity.as_str()) else {
                continue;
            };
            match within(text, &hit.range) {
                Some(range) => spots.push(Spot {
                    range,
                    entity: hit.entity.to_string(),
                    style,
                    kind: EntryKind::Value,
                }),
                None => self.failed = Some(MaskError::Range),
            }
        }
        spots
    }

    /// Makes sure that what the scan of the whole request saw is replaced, also where one string
    /// alone shows nothing: a number split over two parts, a value that only its key explains.
    fn locate(&mut self, finding: &Finding) -> Result<(), MaskError> {
        let Some(style) = self.rules.style(finding.entity.as_str()) else {
            return Ok(());
        };
        let entity = finding.entity.as_str();
        let targets = self.targets_of(&finding.path);
        let same = |spot: &&Spot| spot.entity == entity;
        let contains = |spot: &Spot| {
            spot.range.start <= finding.range.start && finding.range.end <= spot.range.end
        };
        let overlaps = |spot: &Spot| {
            spot.range.start < finding.range.end && finding.range.start < spot.range.end
        };
        let mut overlapping = Vec::new();
        let mut fitting = Vec::new();
        for target in targets {
            let is_decoded = self.is_decoded(target);
            let mut known = self.spots(target).iter().filter(same);
            if known.any(|spot| is_decoded || contains(spot)) {
                return Ok(());
            }
            if let Some(range) = self.fit(target, &finding.range) {
                if self.spots(target).iter().filter(same).any(overlaps) {
                    overlapping.push((target, range.clone()));
                }
                fitting.push((target, range));
            }
        }
        if fitting.is_empty() {
            return Err(MaskError::Unlocated {
                path: finding.path.clone(),
            });
        }
        let chosen = if overlapping.is_empty() {
            fitting
        } else {
            overlapping
        };
        for (target, range) in chosen {
            let Some(spots) = self.spots_mut(target) else {
                return Err(MaskError::Sealed { field: "data" });
            };
            let kind = if range.len() < WHOLE_BYTES_MIN {
                EntryKind::Piece
            } else {
                EntryKind::Value
            };
            spots.push(Spot {
                range,
                entity: entity.to_owned(),
                style,
                kind,
            });
        }
        Ok(())
    }

    /// The strings at a path, in which `*` stands for a key that was not told.
    fn targets_of(&self, path: &str) -> Vec<Target> {
        if let Some(targets) = self.targets.get(path) {
            return targets.clone();
        }
        if !path.contains('*') {
            return Vec::new();
        }
        let pieces: Vec<&str> = path.split('*').collect();
        self.targets
            .iter()
            .filter(|(known, _)| fits_pattern(known, &pieces))
            .flat_map(|(_, targets)| targets.iter().copied())
            .collect()
    }

    fn spots(&self, target: Target) -> &[Spot] {
        match target {
            Target::Slot(slot) => &self.slots[slot].spots,
            Target::Json(json) => &self.jsons[json].spots,
            Target::Opaque(_) => &[],
        }
    }

    /// `None` where nothing can be replaced.
    fn spots_mut(&mut self, target: Target) -> Option<&mut Vec<Spot>> {
        match target {
            Target::Slot(slot) => Some(&mut self.slots[slot].spots),
            Target::Json(json) => Some(&mut self.jsons[json].spots),
            Target::Opaque(_) => None,
        }
    }

    fn is_decoded(&self, target: Target) -> bool {
        matches!(target, Target::Slot(slot) if self.slots[slot].kind == Kind::Decoded)
    }

    fn fit(&self, target: Target, range: &Range<usize>) -> Option<Range<usize>> {
        match target {
            Target::Slot(slot) if self.is_decoded(target) => {
                let bytes = self.slots[slot].text.len();
                (bytes > 0).then_some(0..bytes)
            }
            Target::Slot(slot) => within(&self.slots[slot].text, range),
            Target::Opaque(bytes) => (range.end <= bytes).then(|| range.clone()),
            Target::Json(json) => (range.start < range.end && range.end <= self.jsons[json].bytes)
                .then(|| range.clone()),
        }
    }

    /// Hands what was seen in a JSON text as a whole to its tokens, where they show nothing alone: a
    /// number that only its key explains. Keys stay, unless they are all there is.
    fn spread(&mut self, json: &Json) {
        for spot in &json.spots {
            let tokens = &json.tokens;
            let from = tokens.partition_point(|token| token.range.end <= spot.range.start);
            let to = tokens.partition_point(|token| token.range.start < spot.range.end);
            // Between tokens nothing can be replaced: all of them, to be safe.
            let touched = if from < to { from..to } else { 0..tokens.len() };
            let is_known = |&token: &usize| {
                let known = &self.slots[json.first_slot + token].spots;
                known.iter().any(|known| known.entity == spot.entity)
            };
            if touched.clone().any(|token| is_known(&token)) {
                continue;
            }
            let is_value = |token: &usize| json.tokens[*token].kind != TokenKind::Key;
            let any_value = touched.clone().any(|token| is_value(&token));
            for token in touched {
                if any_value && !is_value(&token) {
                    continue;
                }
                let slot = &mut self.slots[json.first_slot + token];
                if !slot.text.is_empty() {
                    let range = 0..slot.text.len();
                    slot.spots.push(Spot {
                        range,
                        ..spot.clone()
                    });
                }
            }
        }
    }
}

/// The range widened to whole characters; `None` when it lies outside or is empty.
fn within(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    if range.start >= range.end || range.end > text.len() {
        return None;
    }
    Some(text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end))
}

/// Whether a path is the pieces with anything between them.
fn fits_pattern(path: &str, pieces: &[&str]) -> bool {
    let (Some((first, rest)), Some(last)) = (pieces.split_first(), pieces.last()) else {
        return false;
    };
    let Some(mut left) = path.strip_prefix(first) else {
        return false;
    };
    for piece in &rest[..rest.len().saturating_sub(1)] {
        let Some(at) = left.find(piece) else {
            return false;
        };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}
