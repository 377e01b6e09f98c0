//! The joined view: what is cut over neighbouring strings, put together.
//!
//! Of each string its beginning and its end are joined with those of its neighbours, once without
//! anything between and once with a space. Only detectors whose findings are verified look at it, and
//! only what crosses from one string into the next is reported.

use std::borrow::Cow;
use std::ops::Range;

use crate::Guard;
use crate::detect::Hit;
use crate::guard::Detectors;

use super::map::View;
use super::{is_plain, normalised, spaced};

/// How much of a string's beginning and end is joined, in bytes. Longer than any identifier with its
/// context; a key may be longer, but then what is left of it on one side tells.
const EDGE_BYTES: usize = 96;

/// How certain a finding must be that is put together: neighbours make many numbers by accident, and
/// some have the right check digits.
const CONFIDENCE_MIN: f32 = 0.85;

/// Of longer strings only so much at both ends, together, is normalised for the sake of the edges.
const SLICE_BYTES: usize = 8 * EDGE_BYTES;

/// What a string is, so that only strings that follow each other in the same matter are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// What somebody says.
    Content,
    /// A value in the client's own JSON.
    Value,
    /// A number there.
    Number,
    /// A key there.
    Key,
    /// Anything else: names, ids.
    Other,
}

/// A string of the request, or a string within its JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) lane: Lane,
    /// Who says it; 0 where nobody does.
    pub(crate) speaker: u8,
    /// Which string of the request it is, or stands in, and from which byte on.
    pub(crate) string: usize,
    pub(crate) base: usize,
}

/// A part of something that was cut.
#[derive(Debug, PartialEq)]
pub(crate) struct Fragment {
    /// Which string of the request it stands in.
    pub(crate) string: usize,
    /// What the whole is, and where in the string this part stands.
    pub(crate) hit: Hit,
}

/// Fewest digits of a number that is joined with others: shorter ones are counts.
const NUMBER_BYTES_MIN: usize = 4;

/// Finds what is cut over several of the pieces.
pub(crate) fn cut(guard: &Guard, pieces: &[Piece<'_>], found: &mut dyn FnMut(Fragment)) {
    if pieces.len() < 2 {
        return;
    }
    let of = |is: &dyn Fn(&Piece<'_>) -> bool| -> Vec<&Piece<'_>> {
        pieces.iter().filter(|piece| is(piece)).collect()
    };
    let is_number =
        |piece: &Piece<'_>| piece.lane == Lane::Number && piece.text.len() >= NUMBER_BYTES_MIN;
    let content = of(&|piece| piece.lane == Lane::Content);
    let mut lanes = vec![
        of(&|piece| piece.lane == Lane::Value),
        of(&is_number),
        of(&|piece| piece.lane == Lane::Key),
        of(&|piece| is_number(piece) || matches!(piece.lane, Lane::Key | Lane::Value)),
    ];
    let mut speakers: Vec<u8> = content.iter().map(|piece| piece.speaker).collect();
    speakers.sort_unstable();
    speakers.dedup();
    if speakers.len() > 1 {
        for speaker in speakers {
            lanes.push(of(&|piece| {
                piece.lane == Lane::Content && piece.speaker == speaker
            }));
        }
    }
    lanes.push(content);
    for lane in lanes {
        for run in runs(&lane) {
            for glue in ["", " "] {
                Joined::new(run, glue).look(guard, found);
            }
        }
    }
}

/// The stretches of a lane in which something can be cut, each with the piece before it, whose end may
/// say what follows.
fn runs<'a, 'b>(lane: &'b [&'a Piece<'a>]) -> Vec<&'b [&'a Piece<'a>]> {
    let mut runs = Vec::new();
    let mut start = 0;
    for place in 1..=lane.len() {
        let goes_on = place < lane.len() && may_be_cut(&lane[place - 1].text, &lane[place].text);
        if !goes_on {
            if place - start > 1 {
                runs.push(&lane[start.saturating_sub(1)..place]);
            }
            start = place;
        }
    }
    runs
}

/// Whether something may begin at the end of one string and go on in the next: both edges look like
/// parts of a code, or one of an address.
fn may_be_cut(left: &str, right: &str) -> bool {
    let (left, right) = (left.trim_end(), right.trim_start());
    let ends = left
        .bytes()
        .rev()
        .take(EDGE_BYTES)
        .take_while(|byte| !byte.is_ascii_whitespace());
    let begins = right
        .bytes()
        .take(EDGE_BYTES)
        .take_while(|byte| !byte.is_ascii_whitespace());
    let (left, right) = (Token::new(ends), Token::new(begins));
    let is_key = left.is_mixed || right.is_mixed;
    left.is_coded && right.is_coded || left.has_at || right.has_at || is_key
}

/// Capitals in a row, at most: an access key has twenty letters and digits.
const CAPITALS_MAX: usize = 20;

/// What stands at an edge.
struct Token {
    /// Digits or signs that stand in codes, or capitals alone.
    is_coded: bool,
    /// Long, with letters and digits: a piece of a key, whose other piece may be letters only.
    is_mixed: bool,
    has_at: bool,
}

impl Token {
    fn new(bytes: impl Iterator<Item = u8>) -> Self {
        let mut token = Self {
            is_coded: false,
            is_mixed: false,
            has_at: false,
        };
        let mut length = 0;
        let mut capitals = 0;
        let mut letters = 0;
        let mut digits = 0;
        for byte in bytes {
            length += 1;
            token.has_at |= byte == b'@';
            // What is not ASCII may be a digit in disguise.
            token.is_coded |= byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | 0x80..);
            capitals += usize::from(byte.is_ascii_uppercase());
            letters += usize::from(byte.is_ascii_alphabetic());
            digits += usize::from(byte.is_ascii_digit());
        }
        token.is_mixed = length >= 8 && letters > 0 && digits > 0;
        token.is_coded |= capitals == length && (1..=CAPITALS_MAX).contains(&length);
        token
    }
}

/// A string within JSON text, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) range: Range<usize>,
    pub(crate) is_key: bool,
}

/// The strings in JSON text, valid or not.
pub(crate) fn literals(json: &str) -> Vec<Literal> {
    let bytes = json.as_bytes();
    let mut literals = Vec::new();
    let mut at = 0;
    while let Some(open) = bytes[at..].iter().position(|byte| *byte == b'"') {
        let start = at + open + 1;
        let mut end = start;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(bytes.len());
        if !json.is_char_boundary(end) {
            return literals;
        }
        let after = bytes[end..]
            .iter()
            .skip(1)
            .find(|byte| !byte.is_ascii_whitespace());
        literals.push(Literal {
            range: start..end,
            is_key: after == Some(&b':'),
        });
        at = (end + 1).min(bytes.len());
    }
    literals
}

/// The edges of strings in a row.
struct Joined<'a> {
    text: String,
    edges: Vec<Edge<'a>>,
}

/// A stretch of the joined text, and where it comes from.
struct Edge<'a> {
    at: Range<usize>,
    piece: &'a Piece<'a>,
    /// The part of the string that was normalised.
    slice: Range<usize>,
    /// Where in that, normalised, the stretch begins.
    from: usize,
}

impl<'a> Joined<'a> {
    fn new(run: &[&'a Piece<'a>], glue: &str) -> Self {
        let mut joined = Self {
            text: String::with_capacity(run.len() * EDGE_BYTES),
            edges: Vec::with_capacity(run.len()),
        };
        for piece in run {
            let text = &piece.text;
            let start = text.len() - text.trim_start().len();
            let end = text.trim_end().len();
            if start >= end {
                continue;
            }
            if !joined.text.is_empty() {
                joined.text.push_str(glue);
            }
            if end - start <= SLICE_BYTES {
                joined.push(piece, start..end, usize::MAX);
                continue;
            }
            let head = text.floor_char_boundary(start + SLICE_BYTES / 2);
            let tail = text.ceil_char_boundary(end - SLICE_BYTES / 2);
            joined.push(piece, start..head, EDGE_BYTES);
            // What was left out lies between.
            joined.text.push_str("\n\u{1}\n");
            joined.push_end(piece, tail..end);
        }
        joined
    }

    /// Appends the beginning of a part of a string.
    fn push(&mut self, piece: &'a Piece<'a>, slice: Range<usize>, most: usize) {
        let text = plain(&piece.text[slice.clone()]);
        let end = text.floor_char_boundary(most);
        self.edge(piece, slice, &text[..end], 0);
    }

    /// Appends the end of a part of a string.
    fn push_end(&mut self, piece: &'a Piece<'a>, slice: Range<usize>) {
        let text = plain(&piece.text[slice.clone()]);
        let from = text.ceil_char_boundary(text.len().saturating_sub(EDGE_BYTES));
        self.edge(piece, slice, &text[from..], from);
    }

    fn edge(&mut self, piece: &'a Piece<'a>, slice: Range<usize>, text: &str, from: usize) {
        let start = self.text.len();
        self.text.push_str(text);
        self.edges.push(Edge {
            at: start..self.text.len(),
            piece,
            slice,
            from,
        });
    }

    fn look(&self, guard: &Guard, found: &mut dyn FnMut(Fragment)) {
        let mut hits = Vec::new();
        guard.detect(&self.text, Detectors::Firm, &mut |hit| hits.push(hit));
        if let Some(squeezed) = spaced::squeeze(&self.text) {
            guard.detect(&squeezed.text, Detectors::Firm, &mut |hit| {
                let range = squeezed.source(&hit.range);
                hits.push(Hit { range, ..hit });
            });
        }
        let is_sure = |hit: &&Hit| hit.confidence >= CONFIDENCE_MIN && self.crosses(&hit.range);
        for hit in hits.iter().filter(is_sure) {
            // What a string shows by itself is known already; its neighbour has no part in it.
            if !self.shows_alone(guard, hit) {
                self.fragments(hit, found);
            }
        }
    }

    fn edges_of(&self, range: &Range<usize>) -> &[Edge<'a>] {
        let first = self
            .edges
            .partition_point(|edge| edge.at.end <= range.start);
        let last = self.edges.partition_point(|edge| edge.at.start < range.end);
        &self.edges[first..last.max(first)]
    }

    fn crosses(&self, range: &Range<usize>) -> bool {
        let mut edges = self.edges_of(range).iter();
        let place = |edge: &Edge<'_>| (edge.piece.string, edge.piece.base);
        let first = edges.next().map(place);
        edges.any(|edge| Some(place(edge)) != first)
    }

    /// Whether one of the pieces shows the same thing without the others.
    fn shows_alone(&self, guard: &Guard, hit: &Hit) -> bool {
        self.edges_of(&hit.range).iter().any(|edge| {
            let mut alone = false;
            guard.detect(&self.text[edge.at.clone()], Detectors::Firm, &mut |known| {
                let start = edge.at.start + known.range.start;
                let end = edge.at.start + known.range.end;
                let overlaps = start < hit.range.end && hit.range.start < end;
                alone |= known.entity == hit.entity && overlaps;
            });
            alone
        })
    }

    fn fragments(&self, hit: &Hit, found: &mut dyn FnMut(Fragment)) {
        for edge in self.edges_of(&hit.range) {
            let start = edge.at.start.max(hit.range.start) - edge.at.start + edge.from;
            let end = edge.at.end.min(hit.range.end) - edge.at.start + edge.from;
            let within = match disguised(&edge.piece.text[edge.slice.clone()]) {
                Some(view) => view.source(&(start..end)),
                None => start..end,
            };
            let base = edge.piece.base + edge.slice.start;
            found(Fragment {
                string: edge.piece.string,
                hit: Hit {
                    range: base + within.start..base + within.end,
                    ..hit.clone()
                },
            });
        }
    }
}

fn plain(text: &str) -> Cow<'_, str> {
    match disguised(text) {
        Some(view) => Cow::Owned(view.text),
        None => Cow::Borrowed(text),
    }
}

/// The string normalised, where it is not plain ASCII.
fn disguised(text: &str) -> Option<View> {
    if is_plain(text) {
        None
    } else {
        normalised(text)
    }
}
