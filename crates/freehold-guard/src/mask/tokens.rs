//! Recognises placeholders and surrogates in text, one place at a time.
//!
//! Models change what they copy: case, brackets, `_` for a space or a dash, `\u003c` for `<`, other
//! spacing in a number. Every token is ASCII, so text is read in *units*: one ASCII character, however
//! it is escaped, or something else.

use zeroize::Zeroizing;

/// How a token may be spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// `PERSON_1_k3f9x` in any case, with or without brackets, `-` or a space for `_`.
    Placeholder,
    /// Exactly as it is.
    Exact,
    /// In any case.
    AnyCase,
    /// Digits with any spacing.
    Digits,
}

/// How a value must be written where its token stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Escape {
    /// How many JSON strings it stands in.
    pub(super) json: u8,
    /// Whether it stands in HTML.
    pub(super) html: bool,
}

/// What stands at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// No token begins here.
    No,
    /// It depends on what follows.
    More,
    /// A token: its length in bytes, its value, and how to write it.
    Yes {
        length: usize,
        value: usize,
        escape: Escape,
    },
}

/// Text to look into. `last` is true when nothing follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) text: &'a str,
    pub(super) json: bool,
    pub(super) last: bool,
}

/// One character, read through its escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The ASCII character, [`WORD`] or [`OTHER`].
    pub(super) byte: u8,
    /// Bytes of the text.
    pub(super) length: usize,
    escape: Escape,
}

/// A letter outside ASCII of a script that separates words.
const WORD: u8 = 0x80;
/// Any other character outside ASCII.
const OTHER: u8 = 0x81;
/// From here on scripts do not separate words by spaces (CJK and its neighbours).
const UNSPACED_FROM: u32 = 0x2e80;
/// So many separators may stand between two digits.
const SPACING_MAX: usize = 3;

impl Unit {
    /// Whether a word goes on through this character.
    pub(super) fn is_word(self) -> bool {
        self.byte.is_ascii_alphanumeric() || self.byte == b'_' || self.byte == WORD
    }

    fn plain(byte: u8, length: usize) -> Self {
        Self {
            byte,
            length,
            escape: Escape::default(),
        }
    }
}

/// Escapes of `<` and `>` that are read in any text, with what they say about the value.
const BRACKETS: [(&str, u8, Escape); 8] = [
    (
        "\\u003c",
        b'<',
        Escape {
            json: 1,
            html: false,
        },
    ),
    (
        "\\u003C",
        b'<',
        Escape {
            json: 1,
            html: false,
        },
    ),
    (
        "\\u003e",
        b'>',
        Escape {
            json: 1,
            html: false,
        },
    ),
    (
        "\\u003E",
        b'>',
        Escape {
            json: 1,
            html: false,
        },
    ),
    (
        "&lt;",
        b'<',
        Escape {
            json: 0,
            html: true,
        },
    ),
    (
        "&gt;",
        b'>',
        Escape {
            json: 0,
            html: true,
        },
    ),
    (
        "&LT;",
        b'<',
        Escape {
            json: 0,
            html: true,
        },
    ),
    (
        "&GT;",
        b'>',
        Escape {
            json: 0,
            html: true,
        },
    ),
];

impl View<'_> {
    /// The unit at a place; `None` when the text ends before it is clear what it is.
    pub(super) fn unit(&self, at: usize) -> Option<Unit> {
        let rest = &self.text[at..];
        match *rest.as_bytes().first()? {
            b'\\' | b'&' => self.escaped(rest),
            byte if byte.is_ascii() => Some(Unit::plain(byte, 1)),
            _ => {
                let letter = rest.chars().next()?;
                Some(Unit::plain(class(letter), letter.len_utf8()))
            }
        }
    }

    /// Whether nothing stands at this place or ever will.
    fn is_end(&self, at: usize) -> bool {
        self.last && at >= self.text.len()
    }

    fn escaped(&self, rest: &str) -> Option<Unit> {
        let mut undecided = false;
        for (spelling, byte, escape) in BRACKETS {
            // In JSON text a JSON escape is the text's own; a doubled one is of a JSON text within.
            let doubled = self.json && spelling.starts_with('\\') && rest.starts_with("\\\\");
            let (rest, extra, escape) = match (self.json, escape.json, doubled) {
                (true, 1, true) => (&rest[1..], 1, escape),
                (true, 1, false) => (rest, 0, Escape::default()),
                _ => (rest, 0, escape),
            };
            if rest.starts_with(spelling) {
                return Some(Unit {
                    byte,
                    length: spelling.len() + extra,
                    escape,
                });
            }
            undecided |= spelling.starts_with(rest);
        }
        if undecided && !self.last {
            return None;
        }
        let bytes = rest.as_bytes();
        if bytes[0] == b'&' || !self.json {
            return Some(Unit::plain(bytes[0], 1));
        }
        self.json_escape(rest)
    }

    /// A JSON escape. Escaped letters and digits match nothing: a tag must stand there plainly.
    fn json_escape(&self, rest: &str) -> Option<Unit> {
        let Some(&kind) = rest.as_bytes().get(1) else {
            return self.last.then(|| Unit::plain(b'\\', 1));
        };
        match kind {
            b'u' => {
                let Some(digits) = rest.get(2..6) else {
                    let wait = !self.last && rest.len() < 6;
                    return (!wait).then(|| Unit::plain(b'\\', 1));
                };
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).unwrap_or_default();
                Some(match (is_hex, u8::try_from(code), char::from_u32(code)) {
                    (false, ..) => Unit::plain(b'\\', 1),
                    (true, Ok(byte), _) if byte.is_ascii_alphanumeric() => Unit::plain(WORD, 6),
                    (true, Ok(byte), _) if byte.is_ascii() => Unit::plain(byte, 6),
                    (true, _, Some(letter)) => Unit::plain(class(letter), 6),
                    (true, _, None) => Unit::plain(OTHER, 6),
                })
            }
            b'n' | b'r' | b't' | b'b' | b'f' => Some(Unit::plain(b'\n', 2)),
            b'\\' | b'"' | b'/' => Some(Unit::plain(kind, 2)),
            _ => Some(Unit::plain(b'\\', 1)),
        }
    }
}

/// Whether a character belongs to a word: where words are not separated, none does.
pub(super) fn is_word(letter: char) -> bool {
    letter == '_' || (letter.is_alphanumeric() && u32::from(letter) < UNSPACED_FROM)
}

fn class(letter: char) -> u8 {
    if is_word(letter) { WORD } else { OTHER }
}

/// All tokens of one vault.
#[derive(Default)]
pub(super) struct Table {
    placeholders: Trie,
    exact: Trie,
    any_case: Trie,
    digits: Trie,
    values: Vec<Zeroizing<String>>,
    /// First bytes of tokens.
    starts: Starts,
}

struct Starts([bool; 256]);

impl Default for Starts {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Table {
    /// Adds a token. Of two that read the same, the first stays.
    pub(super) fn add(&mut self, fold: Fold, token: &str, value: &str) {
        let place = self.values.len();
        self.values.push(Zeroizing::new(value.to_owned()));
        // Lead brackets of numbers come and go.
        let first_digit = token.bytes().find(u8::is_ascii_digit);
        for first in token.bytes().take(1).chain(first_digit).chain(*b"(+") {
            self.starts.0[usize::from(first.to_ascii_lowercase())] = true;
            self.starts.0[usize::from(first.to_ascii_uppercase())] = true;
        }
        match fold {
            Fold::Placeholder => self
                .placeholders
                .insert(token.bytes().map(fold_label), place),
            Fold::Exact => self.exact.insert(token.bytes(), place),
            Fold::AnyCase => {
                let bytes = token.bytes().map(|byte| byte.to_ascii_lowercase());
                self.any_case.insert(bytes, place);
            }
            Fold::Digits => {
                let is_kept = |byte: &u8| byte.is_ascii_digit() || *byte == b'+';
                self.digits.insert(token.bytes().filter(is_kept), place);
                let digits = token.bytes().filter(u8::is_ascii_digit);
                self.digits.insert(digits, place);
            }
        }
    }

    /// The value of a match.
    pub(super) fn value(&self, place: usize) -> &str {
        &self.values[place]
    }

    /// True when nothing can match.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Passes over what no token begins with. Gives the next place to look at, and whether a word goes
    /// on up to there.
    pub(super) fn skip(&self, text: &str, mut at: usize, mut after_word: bool) -> (usize, bool) {
        while let Some(&byte) = text.as_bytes().get(at) {
            let may_start = !after_word && self.starts.0[usize::from(byte)];
            if may_start || !byte.is_ascii() || matches!(byte, b'<' | b'\\' | b'&') {
                break;
            }
            after_word = byte.is_ascii_alphanumeric() || byte == b'_';
            at += 1;
        }
        (at, after_word)
    }

    /// What begins at this place. `after_word` is true when a word goes on up to here.
    pub(super) fn match_at(&self, view: &View<'_>, at: usize, after_word: bool) -> Match {
        let mut best = self.placeholder_at(view, at, after_word);
        if after_word {
            return best;
        }
        for found in [
            self.exact.match_at(view, at, |byte| byte),
            self.any_case
                .match_at(view, at, |byte| byte.to_ascii_lowercase()),
            self.digits_at(view, at),
        ] {
            best = better(best, found);
        }
        best
    }

    fn placeholder_at(&self, view: &View<'_>, at: usize, after_word: bool) -> Match {
        let Some(first) = view.unit(at) else {
            return Match::More;
        };
        match first.byte {
            b'<' => self.bracketed_at(view, at, at + first.length, first.escape, false),
            b'\\' => self.markdown_at(view, at, at + first.length),
            _ if after_word => Match::No,
            _ => match self.placeholders.label_at(view, at) {
                Label::No => Match::No,
                Label::More => Match::More,
                Label::Yes { end, value } => word_end(view, at, end, value, Escape::default()),
            },
        }
    }

    /// `\<PERSON\_1\_k3f9x\>`. A backslash before brackets that have none is the text's own.
    fn markdown_at(&self, view: &View<'_>, at: usize, from: usize) -> Match {
        match view.unit(from) {
            Some(next) if next.byte == b'<' => {
                self.bracketed_at(view, at, from + next.length, next.escape, true)
            }
            None if !view.is_end(from) => Match::More,
            _ => Match::No,
        }
    }

    /// `<PERSON_1_k3f9x>`. With only one bracket there is none: the text's own stays.
    fn bracketed_at(
        &self,
        view: &View<'_>,
        at: usize,
        from: usize,
        escape: Escape,
        markdown: bool,
    ) -> Match {
        let (end, value) = match self.placeholders.label_at(view, from) {
            Label::No => return Match::No,
            Label::More => return Match::More,
            Label::Yes { end, value } => (end, value),
        };
        let mut close = end;
        let mut escaped = false;
        loop {
            match view.unit(close) {
                None if !view.is_end(close) => return Match::More,
                Some(unit) if unit.byte == b'>' && escaped >= markdown => {
                    return Match::Yes {
                        length: close + unit.length - at,
                        value,
                        escape,
                    };
                }
                Some(unit) if unit.byte == b'\\' && !escaped => {
                    close += unit.length;
                    escaped = true;
                }
                Some(_) | None => return Match::No,
            }
        }
    }

    fn digits_at(&self, view: &View<'_>, at: usize) -> Match {
        let mut walk = Walk::new(at);
        let mut spacing = Spacing::default();
        loop {
            let Some(unit) = view.unit(walk.at) else {
                return spacing.check(walk.stop(view, &self.digits));
            };
            if spacing.takes(unit.byte) {
                walk.at += unit.length;
                continue;
            }
            if !walk.step(&self.digits, unit, unit.byte) {
                return spacing.check(walk.best());
            }
            spacing.digit(unit.byte);
        }
    }
}

/// What stands between the digits of a number.
#[derive(Default)]
struct Spacing {
    in_digits: bool,
    /// Separators since the last digit.
    length: usize,
    /// Whether a bracket stands before the first digit: it belongs to the number when all that open
    /// in it close in it.
    opened: bool,
    /// Brackets open here, and at the last digit.
    depth: i32,
    depth_at_digit: i32,
}

impl Spacing {
    fn takes(&mut self, byte: u8) -> bool {
        let is_lead = byte == b'(' && !self.in_digits && !self.opened;
        let is_spacing = matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/');
        let takes = is_lead || (is_spacing && self.in_digits && self.length < SPACING_MAX);
        if takes {
            self.length += 1;
            self.opened |= is_lead;
            self.depth += i32::from(byte == b'(') - i32::from(byte == b')');
        }
        takes
    }

    fn digit(&mut self, byte: u8) {
        self.in_digits |= byte.is_ascii_digit();
        self.depth_at_digit = self.depth;
        self.length = 0;
    }

    fn check(&self, found: Match) -> Match {
        match found {
            Match::Yes { .. } if self.opened && self.depth_at_digit != 0 => Match::No,
            _ => found,
        }
    }
}

/// A bare label must end where a word ends.
fn word_end(view: &View<'_>, at: usize, end: usize, value: usize, escape: Escape) -> Match {
    match view.unit(end) {
        None if !view.is_end(end) => Match::More,
        Some(unit) if unit.is_word() => Match::No,
        _ => Match::Yes {
            length: end - at,
            value,
            escape,
        },
    }
}

/// The longer of two; what is undecided must be waited for.
fn better(one: Match, other: Match) -> Match {
    match (one, other) {
        (Match::More, _) | (_, Match::More) => Match::More,
        (Match::No, found) | (found, Match::No) => found,
        (Match::Yes { length: a, .. }, Match::Yes { length: b, .. }) => {
            if b > a {
                other
            } else {
                one
            }
        }
    }
}

fn fold_label(byte: u8) -> u8 {
    match byte {
        b'-' | b' ' => b'_',
        _ => byte.to_ascii_lowercase(),
    }
}

enum Label {
    No,
    More,
    Yes { end: usize, value: usize },
}

/// One way through a trie.
struct Walk {
    start: usize,
    at: usize,
    node: usize,
    /// The longest token that ended where a word ended.
    found: Option<(usize, usize)>,
    /// A token that ends here, when the word does.
    open: Option<usize>,
    /// The end of the last unit that was a step.
    end: usize,
}

impl Walk {
    fn new(at: usize) -> Self {
        Self {
            start: at,
            at,
            node: 0,
            found: None,
            open: None,
            end: at,
        }
    }

    /// Takes one unit. False when no token goes on like this.
    fn step(&mut self, trie: &Trie, unit: Unit, folded: u8) -> bool {
        if let Some(value) = self.open.take()
            && (!unit.is_word() || self.end < self.at)
        {
            self.found = Some((self.end, value));
        }
        let Some(node) = trie.next(self.node, folded) else {
            return false;
        };
        self.node = node;
        self.at += unit.length;
        self.end = self.at;
        self.open = trie.nodes[node].value;
        true
    }

    /// What was found when the text stopped.
    fn stop(mut self, view: &View<'_>, trie: &Trie) -> Match {
        let goes_on = !trie.nodes[self.node].next.is_empty() || self.open.is_some();
        if goes_on && !view.is_end(self.at) {
            return Match::More;
        }
        if let Some(value) = self.open.take() {
            self.found = Some((self.end, value));
        }
        self.best()
    }

    fn best(self) -> Match {
        self.found.map_or(Match::No, |(end, value)| Match::Yes {
            length: end - self.start,
            value,
            escape: Escape::default(),
        })
    }
}

struct Trie {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// Sorted by the byte.
    next: Vec<(u8, usize)>,
    value: Option<usize>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Trie {
    fn insert(&mut self, token: impl Iterator<Item = u8>, value: usize) {
        let mut node = 0;
        for byte in token {
            node = match self.nodes[node].next.binary_search_by_key(&byte, |n| n.0) {
                Ok(found) => self.nodes[node].next[found].1,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].next.insert(place, (byte, new));
                    new
                }
            };
        }
        if node > 0 {
            self.nodes[node].value.get_or_insert(value);
        }
    }

    fn next(&self, node: usize, byte: u8) -> Option<usize> {
        let next = &self.nodes[node].next;
        let found = next.binary_search_by_key(&byte, |n| n.0).ok()?;
        Some(next[found].1)
    }

    fn match_at(&self, view: &View<'_>, at: usize, fold: impl Fn(u8) -> u8) -> Match {
        let mut walk = Walk::new(at);
        loop {
            let Some(unit) = view.unit(walk.at) else {
                return walk.stop(view, self);
            };
            if !walk.step(self, unit, fold(unit.byte)) {
                return walk.best();
            }
        }
    }

    /// A label without brackets; it ends with the tag, so none is the beginning of another.
    fn label_at(&self, view: &View<'_>, from: usize) -> Label {
        let mut at = from;
        let mut node = 0;
        loop {
            if let Some(value) = self.nodes[node].value {
                return Label::Yes { end: at, value };
            }
            let Some(unit) = view.unit(at) else {
                let wait = !view.is_end(at) && !self.nodes[node].next.is_empty();
                return if wait { Label::More } else { Label::No };
            };
            let mut length = unit.length;
            let mut byte = unit.byte;
            if byte == b'\\' && node > 0 {
                // Markdown's escape.
                let Some(escaped) = view.unit(at + length) else {
                    return if view.is_end(at + length) {
                        Label::No
                    } else {
                        Label::More
                    };
                };
                length += escaped.length;
                byte = if matches!(escaped.byte, b'_' | b'-') {
                    b'_'
                } else {
                    return Label::No;
                };
            }
            match self.next(node, fold_label(byte)) {
                Some(next) => (at, node) = (at + length, next),
                None => return Label::No,
            }
        }
    }
}
