//! Where in a text the words stand that give a number its meaning.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::words::{STREET_ENDINGS, WORDS};
use crate::bytes::{ALPHANUMERIC, Class, DIGIT, LOWER, UPPER};

/// What a word says about a number next to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Topic {
    Card,
    Bic,
    Iban,
    Routing,
    Account,
    SortCode,
    Phone,
    UsSsn,
    UsItin,
    UsEin,
    UsNpi,
    UsMbi,
    Passport,
    DriverLicence,
    UkNino,
    UkNhs,
    UkUtr,
    CaSin,
    AuTfn,
    AuAbn,
    AuMedicare,
    InAadhaar,
    InPan,
    InGst,
    Voter,
    SgNric,
    KrRrn,
    JpMyNumber,
    BrCpf,
    BrCnpj,
    ZaId,
    EsDni,
    FrNir,
    DeTax,
    DeId,
    DeSocial,
    ItCf,
    ItPiva,
    NlBsn,
    BeNn,
    PlPesel,
    PlNip,
    PlRegon,
    PtNif,
    SePn,
    FiHetu,
    DkCpr,
    NoFnr,
    IePps,
    AtSv,
    ChAhv,
    CzRc,
    RoCnp,
    BgEgn,
    GrAmka,
    GrAfm,
    HuTaj,
    HuTax,
    HrOib,
    Baltic,
    Emso,
    LuId,
    CyTin,
    MtId,
    Vat,
    Tax,
    NationalId,
    Health,
    PersonalNumber,
    Vin,
    Plate,
    Imei,
    Wallet,
    Birth,
    AgeBefore,
    AgeAfter,
    Postcode,
    Address,
    StreetAfterName,
    StreetEnd,
    StreetBeforeName,
    Unit,
    Month,
    Version,
    Other,
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics(u128);

impl Topics {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn of(topics: &[Topic]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < topics.len() {
            bits |= 1 << topics[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    pub(crate) const fn has(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u8) != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One word of the lists, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// A word may belong to several topics.
    pub(crate) topics: Topics,
}

/// All such words of a text, in order.
pub(crate) struct Context {
    pub(crate) marks: Vec<Mark>,
}

/// A word of the lists, letters of ASCII in lower case.
struct Word {
    text: String,
    topics: Topics,
    /// True when the word may go on: `telefon*`.
    open: bool,
}

/// The words, ordered by their [`head`], the longest first.
///
/// Looking a word up by its first bytes takes a third of the time that an Aho-Corasick automaton
/// over the whole text takes: nearly all words of a text are in no list and cost one look.
struct Dictionary {
    words: Vec<Word>,
    /// Where the words of each head begin; they end where those of the next begin.
    heads: Vec<u16>,
    /// Words of one or two bytes, ordered by the classes of these, and where each pair begins.
    short: Vec<Word>,
    pairs: Vec<u16>,
}

static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(dictionary);

fn dictionary() -> Dictionary {
    let mut known = BTreeMap::<String, (Topics, bool)>::new();
    for (topic, list) in WORDS {
        for entry in list.split('|').map(str::trim) {
            for text in spellings(&entry.trim_end_matches('*').to_ascii_lowercase()) {
                let (topics, open) = known.entry(text).or_default();
                topics.0 |= Topics::of(&[*topic]).0;
                *open |= entry.ends_with('*');
            }
        }
    }
    let words = known
        .into_iter()
        .map(|(text, (topics, open))| Word { text, topics, open });
    let (mut short, mut words): (Vec<_>, Vec<_>) = words.partition(|word| word.text.len() < 3);
    let pair_of = |word: &Word| match word.text.as_bytes() {
        [only] => pair(*only, b' '),
        bytes => pair(bytes[0], bytes[1]),
    };
    short.sort_by_key(pair_of);
    let pairs = (0..=PAIRS).map(|pair| short.partition_point(|word| pair_of(word) < pair));
    let pairs = pairs
        .map(|at| u16::try_from(at).unwrap_or(u16::MAX))
        .collect();
    let key = |word: &Word| {
        let bytes = word.text.as_bytes();
        head([bytes[0], bytes[1], bytes[2]])
    };
    words.sort_by_key(|word| (key(word), Reverse(word.text.len())));
    let first_of = |head| words.partition_point(|word| key(word) < head);
    let heads = (0..=HEADS).map(|head| u16::try_from(first_of(head)).unwrap_or(u16::MAX));
    let heads = heads.collect();
    Dictionary {
        words,
        heads,
        short,
        pairs,
    }
}

/// A word as it stands, and what the automaton's folding of ASCII letters leaves out.
fn spellings(word: &str) -> Vec<String> {
    let mut spellings = vec![word.to_owned()];
    if !word.is_ascii() {
        spellings.push(word.to_uppercase());
        let mut rest = word.chars();
        let first = rest.next().into_iter().flat_map(char::to_uppercase);
        spellings.push(first.chain(rest).collect());
    }
    spellings
}

/// How many heads there are.
const HEADS: usize = 1 << 15;

/// How many pairs of classes there are.
const PAIRS: usize = 1 << 10;

/// What is looked at of a word of two bytes, or of one before anything but a letter.
fn pair(first: u8, second: u8) -> usize {
    usize::from(class(first)) << 5 | usize::from(class(second))
}

/// What is looked at of three bytes at the beginning of a word: five bits each, letters without case.
fn head(bytes: [u8; 3]) -> usize {
    bytes
        .iter()
        .fold(0, |head, byte| head << 5 | usize::from(class(*byte)))
}

/// The class of every byte.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let letter = byte as u8;
        classes[byte] = match letter {
            b'a'..=b'z' => letter - b'a' + 1,
            b'A'..=b'Z' => letter - b'A' + 1,
            b'0'..=b'9' => 27,
            // Scripts beyond ASCII: a little of each byte.
            0x80.. => 28 + (letter & 3),
            _ => 0,
        };
        byte += 1;
    }
    classes
};

const fn class(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

/// How far before a number its word may stand, in bytes.
const BEFORE_BYTES: usize = 64;
/// How far behind the beginning of a number its word may begin, in bytes.
const BEHIND_BYTES: usize = 48;
/// How far before a number the word of another kind of number counts, in bytes.
const OTHER_BYTES: usize = 20;
/// How many words of each side are looked at.
const MARKS_MAX: usize = 8;

/// How far from a digit words are read: an address has its number first and is long.
const REACH_BYTES: usize = 160;

/// Where to read on before a digit: behind a space, where no word is cut.
fn window(bytes: &[u8], digit: usize) -> usize {
    if digit == bytes.len() {
        return digit;
    }
    let from = digit - REACH_BYTES;
    let space = memchr::memchr(b' ', &bytes[from..digit]);
    space.map_or(digit, |space| from + space)
}

/// The next digit; the end when there is none.
fn next_digit(bytes: &[u8], from: usize) -> usize {
    const CHUNK: usize = 32;
    let chunks = bytes[from..].chunks(CHUNK);
    for (index, chunk) in chunks.enumerate() {
        // Without an early end, so that the compiler looks at many bytes at once.
        let some = chunk
            .iter()
            .fold(false, |some, byte| some | byte.is_ascii_digit());
        if some {
            let place = chunk
                .iter()
                .position(u8::is_ascii_digit)
                .unwrap_or_default();
            return from + index * CHUNK + place;
        }
    }
    bytes.len()
}

impl Context {
    /// Finds the words of the lists in the neighbourhood of digits, in one pass.
    pub(crate) fn of(text: &str) -> Self {
        let dictionary = &*DICTIONARY;
        let bytes = text.as_bytes();
        let mut marks = Vec::new();
        let mut at = 0;
        let mut before = b' ';
        let mut digit = next_digit(bytes, 0);
        while at < bytes.len() {
            if at > digit {
                digit = next_digit(bytes, at);
            }
            // Words far from any digit mean nothing here.
            if digit > at + REACH_BYTES {
                at = window(bytes, digit);
                before = b' ';
                if at == bytes.len() {
                    break;
                }
            }
            let byte = bytes[at];
            if !begins(before, byte) {
                before = byte;
                at += 1;
                continue;
            }
            if byte.is_ascii_digit() {
                // No word of the lists begins with a digit.
                marks.extend(street_before(bytes, at));
                at = DIGIT.run_end(bytes, at);
                before = b'0';
                continue;
            }
            match dictionary.word_at(bytes, at) {
                Some(mark) => {
                    at = mark.end;
                    before = bytes[at - 1];
                    marks.push(mark);
                }
                None => {
                    // Nothing begins within a word of small letters.
                    at = LOWER.run_end(bytes, at + 1);
                    before = bytes[at - 1];
                }
            }
        }
        Self { marks }
    }

    /// The index of the first mark that begins at or behind a place.
    fn first_at(&self, place: usize) -> usize {
        self.marks.partition_point(|mark| mark.start < place)
    }

    /// The topics next to a number that begins at `start`. Words of other kinds of numbers (orders,
    /// parts) hide what stands behind them.
    pub(crate) fn around(&self, start: usize) -> Topics {
        if self.marks.is_empty() {
            return Topics::NONE;
        }
        let split = self.first_at(start);
        let before = self.marks[..split].iter().rev();
        let mut topics = Topics::NONE;
        for mark in before.take(MARKS_MAX) {
            if mark.end + BEFORE_BYTES < start {
                break;
            }
            if mark.topics.has(Topic::Other) {
                if mark.end + OTHER_BYTES >= start {
                    topics.0 |= mark.topics.0;
                    break;
                }
                continue;
            }
            topics.0 |= mark.topics.0;
        }
        for mark in self.marks[split..].iter().take(MARKS_MAX) {
            if mark.start > start + BEHIND_BYTES || mark.topics.has(Topic::Other) {
                break;
            }
            topics.0 |= mark.topics.0;
        }
        topics
    }

    /// The nearest word that ends before a place.
    pub(crate) fn before(&self, start: usize) -> Option<&Mark> {
        let split = self.marks.partition_point(|mark| mark.end <= start);
        self.marks[..split].last()
    }

    /// True when a word of a topic stands shortly before a place, on the same line and with no digit
    /// in between.
    pub(crate) fn announces(&self, text: &str, topic: Topic, start: usize, within: usize) -> bool {
        let from = start.saturating_sub(within);
        let split = self.first_at(start);
        let marks = self.marks[..split].iter().rev();
        let mark = marks
            .take_while(|mark| mark.end >= from)
            .find(|mark| mark.topics.has(topic));
        mark.is_some_and(|mark| {
            let gap = text.as_bytes().get(mark.end..start).unwrap_or_default();
            !gap.iter()
                .any(|byte| byte.is_ascii_digit() || *byte == b'\n')
        })
    }

    /// The words that begin within a range.
    pub(crate) fn within(&self, range: Range<usize>) -> &[Mark] {
        &self.marks[self.first_at(range.start)..self.first_at(range.end)]
    }
}

impl Dictionary {
    fn word_at(&self, bytes: &[u8], start: usize) -> Option<Mark> {
        let rest = &bytes[start..];
        let byte = |offset: usize| rest.get(offset).copied().unwrap_or(b' ');
        let head = head([byte(0), byte(1), byte(2)]);
        let range = usize::from(self.heads[head])..usize::from(self.heads[head + 1]);
        let stands = |word: &&Word| {
            let length = word.text.len();
            rest.len() >= length
                && rest[..length].eq_ignore_ascii_case(word.text.as_bytes())
                && (word.open || ends(bytes, start + length))
        };
        let word = self.words[range].iter().find(stands).or_else(|| {
            // A word of one letter stands before anything but a letter.
            let second = if byte(1).is_ascii_alphanumeric() {
                byte(1)
            } else {
                b' '
            };
            [pair(byte(0), byte(1)), pair(byte(0), second)]
                .into_iter()
                .flat_map(|pair| {
                    &self.short[usize::from(self.pairs[pair])..usize::from(self.pairs[pair + 1])]
                })
                .find(stands)
        })?;
        Some(Mark {
            start,
            end: start + word.text.len(),
            topics: word.topics,
        })
    }
}

/// Most bytes of a word that are looked at before a house number.
const STREET_BYTES_MAX: usize = 32;

/// A street's name that ends before the house number at a place: `Hauptstraße 12`. The endings stand
/// in no list of whole words, because names are endless.
fn street_before(bytes: &[u8], number: usize) -> Option<Mark> {
    let gap = bytes[..number].iter().rev().take(2);
    let gap = gap.take_while(|byte| matches!(byte, b' ' | b'.')).count();
    let end = number - gap;
    let last = bytes[..end].last()?.to_ascii_lowercase();
    if gap == 0 || last.is_ascii_digit() {
        return None;
    }
    let word = &bytes[end.saturating_sub(STREET_BYTES_MAX)..end];
    let ending = STREET_ENDINGS.iter().find(|ending| {
        let ending = ending.as_bytes();
        ending[ending.len() - 1] == last
            && word.len() > ending.len() + 1
            && word[word.len() - ending.len()..].eq_ignore_ascii_case(ending)
            && (word[word.len() - ending.len() - 1].is_ascii_alphabetic()
                || !word[word.len() - ending.len() - 1].is_ascii())
    })?;
    Some(Mark {
        start: end - ending.len(),
        end,
        topics: Topics::of(&[Topic::StreetEnd]),
    })
}

/// True when a word may begin with a byte behind another: behind anything but a letter or digit, as in
/// `homePhone`, or anywhere in scripts that do not part words.
fn begins(before: u8, byte: u8) -> bool {
    let (before, class) = (Class::of(before), Class::of(byte));
    if class.meets(ALPHANUMERIC) {
        !before.meets(ALPHANUMERIC)
            || before.meets(LOWER) && class.meets(UPPER)
            || before.meets(DIGIT) && class.meets(LOWER)
    } else {
        byte >= 0xc0
    }
}

/// True when a word ends at a place: before anything but a letter, or as in `phoneNumber`, or before
/// the `s` of many.
fn ends(bytes: &[u8], end: usize) -> bool {
    let last = bytes[end - 1];
    let is_end = |byte: Option<&u8>| {
        byte.is_none_or(|byte| {
            !byte.is_ascii_alphabetic() || last.is_ascii_lowercase() && byte.is_ascii_uppercase()
        })
    };
    !last.is_ascii_alphabetic()
        || is_end(bytes.get(end))
        || bytes[end] == b's' && is_end(bytes.get(end + 1))
}
