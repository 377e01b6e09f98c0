//! Canaries: values made up for one request, and the search for them in everything that the gateway
//! says and keeps, in whatever encoding.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::disguise::{DISGUISES, ENCODINGS};

/// So many letters and digits of a canary in a row, and it has leaked.
const WINDOW: usize = 9;
/// The same of digits alone.
const DIGITS_WINDOW: usize = 12;
/// Decodings within each other that are undone: one more than an attack nests, and one for the JSON.
const DEPTH: usize = 5;
/// Shorter runs of an alphabet are words.
const BASE64_CHARS_MIN: usize = 12;
const HEX_CHARS_MIN: usize = 2 * WINDOW;

/// The same numbers for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    fn letters(&mut self, alphabet: &str, count: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..count)
            .map(|_| char::from(*self.pick(alphabet)))
            .collect()
    }
}

/// What a canary looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Card,
    Iban,
    Token,
    AccessKey,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Card, Self::Iban, Self::Token, Self::AccessKey];

    /// The entity type that the guard reports.
    pub(crate) fn entity(self) -> &'static str {
        match self {
            Self::Card => "payment_card",
            Self::Iban => "iban",
            Self::Token => "github_token",
            Self::AccessKey => "aws_access_key",
        }
    }
}

/// A value that stands in one request only.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    pub(crate) kind: Kind,
    pub(crate) value: String,
}

impl Canary {
    pub(crate) fn new(kind: Kind, random: &mut Random) -> Self {
        const DIGITS: &str = "0123456789";
        let value = match kind {
            Kind::Card => card(&format!("4{}", random.letters(DIGITS, 14))),
            Kind::Iban => iban(&random.letters(DIGITS, 18)),
            Kind::Token => {
                let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
                let (left, right) = (random.letters(alphabet, 17), random.letters(alphabet, 18));
                format!("ghp_{left}{}{right}", random.letters(DIGITS, 1))
            }
            Kind::AccessKey => {
                let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
                let (left, right) = (random.letters(alphabet, 9), random.letters(alphabet, 6));
                let digit = random.letters("234567", 1);
                format!("AKIA{left}{digit}{right}")
            }
        };
        Self { kind, value }
    }

    /// The value with something to say about it.
    pub(crate) fn sentence(&self) -> String {
        format!("Please note {} for later.", self.value)
    }
}

/// Sixteen digits in groups, the last one the check digit of ISO/IEC 7812-1.
fn card(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match place % 2 {
                0 if digit > 4 => 2 * digit - 9,
                0 => 2 * digit,
                _ => digit,
            }
        })
        .sum();
    let all = format!("{digits}{}", (10 - sum % 10) % 10);
    [&all[..4], &all[4..8], &all[8..12], &all[12..]].join(" ")
}

/// A German account number with the check digits of ISO 13616.
fn iban(account: &str) -> String {
    // D and E count 13 and 14, and the check digits are zero while they are worked out.
    let rest = format!("{account}131400")
        .bytes()
        .fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("DE{:02}{account}", 98 - rest)
}

/// Looks for canaries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// Pieces of canaries, forwards and backwards, and whose they are.
    pieces: HashMap<Vec<u8>, String>,
}

impl Watch {
    pub(crate) fn of<'c>(canaries: impl IntoIterator<Item = &'c Canary>) -> Self {
        let mut watch = Self::default();
        for canary in canaries {
            watch.add(&canary.value);
        }
        watch
    }

    pub(crate) fn add(&mut self, value: &str) {
        let mut letters = squeezed(value);
        for _ in 0..2 {
            for piece in pieces(&letters) {
                self.pieces.insert(piece.to_vec(), value.to_owned());
            }
            letters.reverse();
        }
    }

    /// The first canary of which a piece is in these bytes, however encoded.
    pub(crate) fn finds(&self, bytes: &[u8]) -> Option<&str> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        views(text).iter().find_map(|view| {
            let letters = squeezed(view);
            let found = pieces(&letters).find_map(|piece| self.pieces.get(piece));
            found.map(String::as_str)
        })
    }
}

/// What is looked for in a text: short pieces, and longer ones where they are digits alone, of which
/// ids, ports and times have some by chance.
fn pieces(letters: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_number = |piece: &&[u8]| piece.iter().all(u8::is_ascii_digit);
    let mixed = letters
        .windows(WINDOW)
        .filter(move |piece| !is_number(piece));
    mixed.chain(letters.windows(DIGITS_WINDOW).filter(is_number))
}

/// Its letters and digits alone, in small ASCII, whatever script they are written in.
fn squeezed(text: &str) -> Vec<u8> {
    text.chars()
        .filter_map(plain)
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| match letter.to_ascii_lowercase() {
            // They are too alike to be told apart.
            'o' => b'0',
            letter => u8::try_from(letter).unwrap(),
        })
        .collect()
}

/// The ASCII character that this one is, or looks like.
fn plain(letter: char) -> Option<char> {
    const LOOKALIKES: [(&str, &str); 2] = [
        ("аеорсіѕхіјԁԛѡ", "aeopcisxijdqw"),
        ("АВСЕНІЈКМОРЅТХЗ", "ABCEHIJKMOPSTX3"),
    ];
    let code = u32::from(letter);
    let shifted = |from: u32, to: char| char::from_u32(code - from + u32::from(to));
    match code {
        0..=0x7f => Some(letter),
        0xff01..=0xff5e => shifted(0xff01, '!'),
        0xe0020..=0xe007e => shifted(0xe0020, ' '),
        0x1d400..=0x1d419 => shifted(0x1d400, 'A'),
        0x1d41a..=0x1d433 => shifted(0x1d41a, 'a'),
        0x1d7ce..=0x1d7ff => char::from_digit((code - 0x1d7ce) % 10, 10),
        0x660..=0x669 => shifted(0x660, '0'),
        0x6f0..=0x6f9 => shifted(0x6f0, '0'),
        _ => LOOKALIKES.iter().find_map(|(like, ascii)| {
            let place = like.chars().position(|known| known == letter)?;
            ascii.chars().nth(place)
        }),
    }
}

/// A text, and everything that it holds in some encoding.
fn views(text: String) -> Vec<String> {
    let mut known = HashSet::new();
    let mut views = vec![text];
    let mut from = 0;
    for _ in 0..DEPTH {
        let upto = views.len();
        for place in from..upto {
            for view in decoded(&views[place]) {
                if view.len() >= WINDOW && known.insert(view.clone()) {
                    views.push(view);
                }
            }
        }
        from = upto;
    }
    views
}

fn decoded(text: &str) -> Vec<String> {
    // What is encoded may itself be disguised.
    let folded: String = text.chars().filter_map(plain).collect();
    let mut views = vec![unescaped(&folded), base64s(&folded), hexadecimals(&folded)];
    views.extend(strings(text));
    if folded != text {
        views.push(folded);
    }
    views.retain(|view| view != text);
    views
}

/// The strings of a JSON text: one by one, and put together as if nothing had stood between them.
fn strings(text: &str) -> Vec<String> {
    fn walk(value: &Value, name: &str, all: &mut Vec<String>, told: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                all.push(text.clone());
                if !matches!(name, "role" | "type" | "model" | "id" | "name") {
                    told.push(text.clone());
                }
            }
            Value::Number(number) => told.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| walk(item, name, all, told)),
            Value::Object(fields) => {
                let keys: Vec<_> = fields.keys().map(String::as_str).collect();
                all.push(keys.concat());
                for (name, value) in fields {
                    all.push(name.clone());
                    walk(value, name, all, told);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
    let (mut all, mut told) = (Vec::new(), Vec::new());
    if text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        walk(&value, "", &mut all, &mut told);
    }
    vec![all.join("\n"), all.concat(), told.concat()]
}

/// With `\u`, `%` and `&#` undone.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (skipped, code) = match letter {
            '\\' => (6, rest.strip_prefix("\\u").and_then(|hex| number(hex, 4))),
            '%' => (3, number(&rest[1..], 2)),
            '&' => reference(rest),
            _ => (0, None),
        };
        match code.and_then(char::from_u32) {
            Some(code) => {
                plain.push(code);
                rest = &rest[skipped..];
            }
            None => {
                plain.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    plain
}

fn number(text: &str, digits: usize) -> Option<u32> {
    u32::from_str_radix(text.get(..digits)?, 16).ok()
}

fn reference(text: &str) -> (usize, Option<u32>) {
    let inner = text.strip_prefix("&#").and_then(|text| {
        let (inner, _) = text.split_once(';')?;
        Some(inner)
    });
    let Some(inner) = inner else {
        return (0, None);
    };
    let code = match inner.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => inner.parse().ok(),
    };
    (inner.len() + 3, code)
}

fn runs(text: &str, among: fn(char) -> bool, least: usize) -> impl Iterator<Item = &str> {
    text.split(move |letter: char| !among(letter))
        .filter(move |run| run.len() >= least)
}

fn base64s(text: &str) -> String {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let engines = [STANDARD, URL_SAFE].map(|alphabet| GeneralPurpose::new(&alphabet, config));
    let is_letter =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '-' | '_');
    let decoded: Vec<_> = runs(text, is_letter, BASE64_CHARS_MIN)
        .flat_map(|run| engines.iter().map(move |engine| (run, engine)))
        .filter_map(|(run, engine)| {
            let whole = run.len() - usize::from(run.len() % 4 == 1);
            let bytes = engine.decode(&run[..whole]).ok()?;
            String::from_utf8(bytes).ok()
        })
        .collect();
    decoded.join("\n")
}

fn hexadecimals(text: &str) -> String {
    let decoded: Vec<_> = runs(text, |letter| letter.is_ascii_hexdigit(), HEX_CHARS_MIN)
        .filter_map(|run| {
            let bytes: Option<Vec<u8>> = (0..run.len() / 2)
                .map(|place| u8::from_str_radix(&run[2 * place..2 * place + 2], 16).ok())
                .collect();
            String::from_utf8(bytes?).ok()
        })
        .collect();
    decoded.join("\n")
}

#[test]
fn the_watch_sees_through_what_the_attacks_do() {
    let mut random = Random(1);
    for kind in Kind::ALL {
        let canary = Canary::new(kind, &mut random);
        let watch = Watch::of([&canary]);
        let seen = |what: &str, text: &str| {
            let body = serde_json::json!({"messages": [{"role": "user", "content": text}]});
            assert!(watch.finds(body.to_string().as_bytes()).is_some(), "{what}");
            assert!(watch.finds(text.as_bytes()).is_some(), "{what}");
        };
        for (name, disguise) in DISGUISES {
            seen(name, &format!("take {} now", disguise(&canary.value)));
        }
        for (first, inner) in ENCODINGS {
            for (second, middle) in ENCODINGS {
                for (third, outer) in ENCODINGS {
                    let text = outer(&middle(&inner(&canary.value)));
                    seen(&format!("{first} {second} {third}"), &text);
                }
            }
        }
        for cut in 1..canary.value.len() {
            let (left, right) = canary.value.split_at(cut);
            let body = serde_json::json!({"messages": [
                {"role": "user", "content": left},
                {"role": "user", "content": [{"type": "text", "text": right}]},
            ]});
            assert!(watch.finds(body.to_string().as_bytes()).is_some(), "{cut}");
        }
        let other = Canary::new(kind, &mut random);
        assert_eq!(watch.finds(other.sentence().as_bytes()), None);
        assert_eq!(
            watch.finds(b"<PAYMENT_CARD_1_k3f9x> and 4111 1111 1111 1111"),
            None
        );
    }
}
