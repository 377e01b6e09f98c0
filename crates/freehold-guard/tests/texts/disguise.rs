//! Sixteen ways to write a value so that it does not look like itself, and five to encode it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A name and what it does.
pub(crate) type Disguise = (&'static str, fn(&str) -> String);

pub(crate) const DISGUISES: [Disguise; 16] = [
    ("fullwidth", fullwidth),
    ("mathematical letters", mathematical),
    ("lookalikes", lookalikes),
    ("digits of another script", arabic_digits),
    ("zero-width spaces", |text| between(text, "\u{200b}")),
    ("soft hyphens", |text| between(text, "\u{ad}")),
    ("variation selectors", |text| between(text, "\u{fe0f}")),
    ("direction controls", |text| {
        format!("\u{202a}{}\u{202c}", between(text, "\u{2066}"))
    }),
    ("tags", tags),
    ("marks on every character", |text| between(text, "\u{336}")),
    ("spaces between all", |text| {
        between(&text.replace(' ', ""), " ")
    }),
    ("base64", base64),
    ("hexadecimal", hexadecimal),
    ("URL escapes", percent),
    ("HTML references", references),
    ("Unicode escapes", unicode_escapes),
];

/// What may be nested.
pub(crate) const ENCODINGS: [Disguise; 5] = [
    ("base64", base64),
    ("base64url", |text| URL_SAFE_NO_PAD.encode(text)),
    ("hexadecimal", hexadecimal),
    ("URL", percent),
    ("Unicode", unicode_escapes),
];

/// Puts something behind every character.
fn between(text: &str, what: &str) -> String {
    text.chars()
        .flat_map(|letter| [letter.to_string(), what.to_owned()])
        .collect()
}

fn each(text: &str, change: impl Fn(char) -> char) -> String {
    text.chars().map(change).collect()
}

fn shifted(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).expect("a letter goes there")
}

fn fullwidth(text: &str) -> String {
    each(text, |letter| match letter {
        '!'..='~' => shifted(letter, 0xfee0),
        other => other,
    })
}

fn mathematical(text: &str) -> String {
    each(text, |letter| match letter {
        'A'..='Z' => shifted(letter, 0x1d400 - u32::from('A')),
        'a'..='z' => shifted(letter, 0x1d41a - u32::from('a')),
        '0'..='9' => shifted(letter, 0x1d7ce - u32::from('0')),
        other => other,
    })
}

fn lookalikes(text: &str) -> String {
    each(text, |letter| match letter {
        'a' => 'а',
        'e' => 'е',
        'o' => 'о',
        'p' => 'р',
        'c' => 'с',
        'i' => 'і',
        's' => 'ѕ',
        'x' => 'х',
        'A' => 'А',
        'B' => 'В',
        'E' => 'Е',
        'K' => 'К',
        'S' => 'Ѕ',
        'T' => 'Т',
        'I' => 'І',
        other => other,
    })
}

fn arabic_digits(text: &str) -> String {
    each(text, |letter| match letter {
        '0'..='9' => shifted(letter, 0x660 - u32::from('0')),
        other => other,
    })
}

fn tags(text: &str) -> String {
    each(text, |letter| shifted(letter, 0xe0000))
}

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn unicode_escapes(text: &str) -> String {
    let mut units = [0; 2];
    text.chars()
        .flat_map(|letter| letter.encode_utf16(&mut units).to_vec())
        .map(|unit| format!("\\u{unit:04x}"))
        .collect()
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn references(text: &str) -> String {
    text.chars()
        .map(|letter| format!("&#{};", u32::from(letter)))
        .collect()
}
