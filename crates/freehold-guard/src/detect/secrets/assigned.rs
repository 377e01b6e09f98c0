//! Secrets without a shape of their own: what is assigned to a name such as `password`, `api_key`,
//! `client_secret`, in code, configuration, shells and prose.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::detect::Hit;

/// What a name leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// Chosen by a person: short, perhaps a word.
    Password,
    /// Made by a machine: long and random.
    Key,
    User,
    Bearer,
    Basic,
}

const NAMES: &[(&str, Name)] = &[
    ("password", Name::Password),
    ("passwd", Name::Password),
    ("passphrase", Name::Password),
    ("passcode", Name::Password),
    ("pwd", Name::Password),
    ("passwort", Name::Password),
    ("kennwort", Name::Password),
    ("contraseña", Name::Password),
    ("contrasena", Name::Password),
    ("mot de passe", Name::Password),
    ("senha", Name::Password),
    ("wachtwoord", Name::Password),
    ("hasło", Name::Password),
    ("lösenord", Name::Password),
    ("пароль", Name::Password),
    ("密码", Name::Password),
    ("パスワード", Name::Password),
    ("비밀번호", Name::Password),
    ("secret", Name::Key),
    ("token", Name::Key),
    ("api key", Name::Key),
    ("api_key", Name::Key),
    ("apikey", Name::Key),
    ("api-key", Name::Key),
    ("access_key", Name::Key),
    ("access key", Name::Key),
    ("accesskey", Name::Key),
    ("auth_key", Name::Key),
    ("authkey", Name::Key),
    ("account_key", Name::Key),
    ("private_key", Name::Key),
    ("privatekey", Name::Key),
    ("signing_key", Name::Key),
    ("encryption_key", Name::Key),
    ("master_key", Name::Key),
    ("secret_key", Name::Key),
    ("license_key", Name::Key),
    ("credential", Name::Key),
    ("_authtoken", Name::Key),
    ("auth_token", Name::Key),
    ("username", Name::User),
    ("user name", Name::User),
    ("login", Name::User),
    ("benutzername", Name::User),
    ("usuario", Name::User),
    ("nom d'utilisateur", Name::User),
    ("bearer ", Name::Bearer),
    ("basic ", Name::Basic),
];

static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(NAMES.iter().map(|(name, _)| name))
        .expect("a few dozen constant names build, as every test shows")
});

pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let mut done = 0;
    for name in AUTOMATON.find_iter(text) {
        if name.start() < done {
            continue;
        }
        let kind = NAMES[name.pattern().as_usize()].1;
        let hit = match kind {
            Name::Bearer => bearer(text, name.end()),
            Name::Basic => basic(text, name.end()),
            _ => assigned(text, kind, name.start(), name.end()),
        };
        if let Some(hit) = hit {
            done = hit.range.end;
            found(hit);
        }
    }
}

/// How a value was connected with its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// `=`, `:`, `=>`, an option of a shell, an element of XML.
    Sign,
    /// `is`, or nothing but a quotation mark.
    Prose,
}

struct Value {
    range: Range<usize>,
    link: Link,
    quoted: bool,
}

fn assigned(text: &str, kind: Name, start: usize, end: usize) -> Option<Hit> {
    let value = value_of(text, start, end)?;
    let written = &text[value.range.clone()];
    let (entity, confidence) = match kind {
        Name::Password => ("password", password(written, &value)?),
        Name::User => ("username", username(written, &value)?),
        _ => ("api_key", key(written, &value)?),
    };
    if is_placeholder(written.as_bytes()) || is_expression(text, &value) {
        return None;
    }
    Some(Hit::new(entity, value.range, confidence))
}

/// The rest of a name: `_hash` of `password_hash`, `Limit` of `tokenLimit`.
const OTHER_NAMES: [&str; 29] = [
    "count", "limit", "length", "len", "max", "min", "expir", "url", "uri", "path", "file", "type",
    "reset", "policy", "field", "label", "hint", "strength", "manager", "izer", "ization", "ize",
    "usage", "budget", "form", "input", "page", "size", "version",
];

const NAME_BYTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 256;

/// Reads from a name over its rest, an operator and quotation marks to the value.
fn value_of(text: &str, start: usize, end: usize) -> Option<Value> {
    let bytes = text.as_bytes();
    let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let rest = bytes[end..]
        .iter()
        .take(NAME_BYTES_MAX)
        .take_while(in_name)
        .count();
    let name_end = end + rest;
    let tail = text[end..name_end].to_ascii_lowercase();
    if OTHER_NAMES.iter().any(|other| tail.contains(other)) {
        return None;
    }
    let before = bytes[..start].iter().rev().take(NAME_BYTES_MAX);
    let before = before.take_while(|byte| in_name(byte)).count();
    let is_option = bytes[start - before..].starts_with(b"--");
    let mut at = name_end;
    // `"password"`, `'pwd']`, `password*:`.
    at += bytes[at..]
        .iter()
        .take(4)
        .take_while(|byte| b"\"'`]*\\".contains(byte))
        .count();
    let spaces = blanks(bytes, at);
    at += spaces;
    let (link, after) = link(text, at, spaces, is_option)?;
    at = after + blanks(bytes, after);
    quoted_or_bare(text, at, link)
}

fn blanks(bytes: &[u8], from: usize) -> usize {
    bytes[from..]
        .iter()
        .take(8)
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count()
}

/// What connects a name with its value, and where it ends.
fn link(text: &str, at: usize, spaces: usize, is_option: bool) -> Option<(Link, usize)> {
    let rest = &text[at..];
    for sign in [":=", "=>", "==", "=", ":", "：", ">", "->", "|"] {
        if rest.starts_with(sign) {
            // `a == b` compares; a bar only parts the cells of a table.
            let parts = sign == "|";
            let quoted = || rest[1..].trim_start().starts_with(['"', '\'']);
            return (sign != "==" && (!parts || quoted())).then_some((Link::Sign, at + sign.len()));
        }
    }
    if spaces == 0 {
        return None;
    }
    for word in [
        "is set to ",
        "was set to ",
        "is ",
        "was ",
        "to be ",
        "ist ",
        "lautet ",
        "es ",
        "est ",
        "é ",
    ] {
        if rest
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
        {
            let after = at + word.len();
            let colon = usize::from(text[after..].starts_with(": "));
            return Some((Link::Prose, after + colon));
        }
    }
    if is_option {
        return Some((Link::Sign, at));
    }
    rest.starts_with(['"', '\'', '`', '“', '‘', '«'])
        .then_some((Link::Prose, at))
}

/// The value: up to the quotation mark that was opened, or to a blank or a sign that ends it.
fn quoted_or_bare(text: &str, at: usize, link: Link) -> Option<Value> {
    let rest = &text[at..];
    // `\"` within JSON within JSON.
    let escape = usize::from(rest.starts_with('\\'));
    let open = rest[escape..].chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => Some(open),
        '“' => Some('”'),
        '‘' => Some('’'),
        '«' => Some('»'),
        _ => None,
    };
    let Some(close) = close else {
        let ends = |byte: &u8| {
            matches!(
                byte,
                b'\t'
                    ..=b' '
                        | b','
                        | b';'
                        | b'&'
                        | b'<'
                        | b'"'
                        | b'\''
                        | b'`'
                        | b'\\'
                        | b')'
                        | b'}'
                        | b']'
                        | b'|'
            )
        };
        let run = rest.as_bytes().iter().take(VALUE_BYTES_MAX + 1);
        let end = run.take_while(|byte| !ends(byte)).count();
        // Nobody's password is so long.
        if end > VALUE_BYTES_MAX {
            return None;
        }
        let bare = rest.get(..end)?.trim_end_matches(|char| {
            matches!(char, '.' | ':') || link == Link::Prose && matches!(char, '!' | '?')
        });
        let range = at..at + bare.len();
        return Some(Value {
            range,
            link,
            quoted: false,
        });
    };
    let from = at + escape + open.len_utf8();
    let inner = &text[from..];
    let stop = inner
        .char_indices()
        .take(VALUE_BYTES_MAX)
        .find(|(_, char)| *char == close || *char == '\n')?;
    let end = from + stop.0;
    let end = if text[..end].ends_with('\\') {
        end - 1
    } else {
        end
    };
    (stop.1 == close && end > from).then_some(Value {
        range: from..end,
        link,
        quoted: true,
    })
}

/// What documentation writes in place of a secret.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 29] = [
        b"pass",
        b"secret",
        b"example",
        b"changeme",
        b"change_me",
        b"change-me",
        b"your",
        b"xxx",
        b"***",
        b"...",
        b"token",
        b"postgres",
        b"placeholder",
        b"redacted",
        b"dummy",
        b"sample",
        b"replace",
        b"insert",
        b"todo",
        b"<",
        b"${",
        b"{{",
        b"null",
        b"undefined",
        b"hidden",
        b"masked",
        b"api_key",
        b"apikey",
        "•".as_bytes(),
    ];
    let Some(first) = value.first() else {
        return true;
    };
    let small = value.to_ascii_lowercase();
    let is_variable = matches!(first, b'$' | b'{' | b'%' | b'[' | b':' | b'<' | b'@' | b'(');
    let varied = value.iter().any(|byte| byte != first);
    // A chosen password may well hold such a word among digits and signs: `MyPass#2024!x`.
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_mixed = digits >= 2
        && value.iter().any(u8::is_ascii_uppercase)
        && value.iter().any(u8::is_ascii_lowercase)
        && value.len() >= 8;
    let count = if is_mixed { 2..8 } else { 0..WORDS.len() };
    is_variable
        || !varied
        || WORDS[count]
            .iter()
            .any(|word| small.windows(word.len()).any(|w| w == *word))
}

/// Code that reads or makes a value, not the value: `os.environ["X"]`, `getToken()`, `config.key`.
fn is_expression(text: &str, value: &Value) -> bool {
    if value.quoted {
        return false;
    }
    let written = &text[value.range.clone()];
    let next = text[value.range.end..].chars().next();
    let path = written.split('.').count() > 1
        && written.split('.').all(|part| {
            part.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
                && part
                    .chars()
                    .all(|char| char.is_ascii_alphabetic() || char == '_')
        });
    written.contains(['(', '[', '{'])
        || path
        || matches!(next, Some('(' | '['))
        || written.contains("::")
        || written.contains("->")
}

/// Counts of kinds of characters.
struct Mixture {
    digits: usize,
    lower: usize,
    upper: usize,
    other: usize,
    distinct: usize,
}

fn mixture(value: &str) -> Mixture {
    let bytes = value.as_bytes();
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let (digits, lower, upper) = (
        count(u8::is_ascii_digit),
        count(u8::is_ascii_lowercase),
        count(u8::is_ascii_uppercase),
    );
    let mut seen = [false; 256];
    bytes
        .iter()
        .for_each(|byte| seen[usize::from(*byte)] = true);
    Mixture {
        digits,
        lower,
        upper,
        other: bytes.len() - digits - lower - upper,
        distinct: seen.iter().filter(|seen| **seen).count(),
    }
}

/// Words that follow `password:` without being one.
const NO_PASSWORDS: &[&str] = &[
    "u8",
    "u16",
    "u32",
    "u64",
    "i32",
    "i64",
    "usize",
    "__u32",
    "string",
    "str",
    "text",
    "none",
    "true",
    "false",
    "required",
    "optional",
    "incorrect",
    "invalid",
    "wrong",
    "hash",
    "hashed",
    "encrypted",
    "protected",
    "empty",
    "expired",
    "not",
    "too",
    "the",
    "a",
    "an",
    "no",
    "yes",
    "varchar",
    "char",
    "field",
    "value",
    "bool",
    "boolean",
    "int",
    "number",
    "object",
    "default",
    "self",
    "this",
    "user",
    "username",
    "login",
    "email",
    "name",
    "root",
];

const PASSWORD_BYTES_MAX: usize = 128;

fn password(written: &str, value: &Value) -> Option<f32> {
    if written.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let mixture = mixture(written);
    let length = written.chars().count();
    let word = NO_PASSWORDS
        .iter()
        .any(|word| word.eq_ignore_ascii_case(written));
    if !length < 4 || word || mixture.distinct < 3 || written.contains(' ') && !value.quoted {
        return None;
    }
    // Paths (`PWD=/home`), pointers and references.
    if written.starts_with(['/', '*', '&', '~']) {
        return None;
    }
    // Sentences in quotation marks are labels and messages.
    if written.split(' ').count() > 5 || written.contains(": ") || written.ends_with('.') {
        return None;
    }
    let kinds = [mixture.digits, mixture.lower, mixture.upper, mixture.other];
    let kinds = kinds.iter().filter(|count| **count > 0).count();
    let is_title = kinds == 2
        && mixture.digits == 0
        && mixture.other <= written.matches([' ', '-', '_']).count();
    let told = mixture.digits > 0 && kinds > 1 || mixture.other > 0 && kinds > 1 && !is_title;
    match (value.link, value.quoted) {
        (Link::Sign, _) if told => Some(0.85),
        (Link::Prose, _) if told => Some(0.75),
        (Link::Sign, true) if !written.contains(' ') && length >= 6 => Some(0.6),
        (Link::Prose, true) if !written.contains(' ') && length >= 6 => Some(0.5),
        (Link::Sign, false) if mixture.digits == length && length >= 4 => Some(0.6),
        _ => None,
    }
}

fn username(written: &str, value: &Value) -> Option<f32> {
    let length = written.len();
    let word = NO_PASSWORDS
        .iter()
        .any(|word| word.eq_ignore_ascii_case(written));
    let shaped = (3..=40).contains(&length)
        && !word
        && !written.contains(' ')
        && written.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'+')
        });
    let mixture = mixture(written);
    if mixture.lower == 0 && mixture.upper > 0 {
        return None;
    }
    let told = mixture.digits > 0 && mixture.digits < length
        || written.contains(['_', '@'])
        || written.contains('.') && !value.quoted;
    (shaped && (told || value.quoted && value.link == Link::Sign)).then_some(if told {
        0.6
    } else {
        0.5
    })
}

/// Least entropy of a key per character, in bits: of 16 random hexadecimal digits all but one in
/// a thousand have more.
const KEY_ENTROPY_BITS: f32 = 2.7;

fn key(written: &str, value: &Value) -> Option<f32> {
    let mixture = mixture(written);
    let length = written.len();
    let alphabet = written.bytes().all(|byte| byte.is_ascii_graphic());
    let letters = mixture.lower + mixture.upper;
    if !(10..=VALUE_BYTES_MAX).contains(&length) || !alphabet || mixture.digits == 0 || letters == 0
    {
        return None;
    }
    if value.link == Link::Prose && length < 16
        || entropy_bits(written.as_bytes()) < KEY_ENTROPY_BITS
        || is_worded(written)
    {
        return None;
    }
    Some(if length >= 20 { 0.85 } else { 0.7 })
}

/// Shannon entropy per character.
fn entropy_bits(bytes: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    bytes
        .iter()
        .for_each(|byte| counts[usize::from(*byte)] += 1);
    let length = bytes.len() as f32;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f32::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

/// True for names made of words and few digits: `my-service-account-2`, `users/42/sessions`.
fn is_worded(written: &str) -> bool {
    let parts = written
        .split(['-', '_', '/', '.', ':'])
        .filter(|part| !part.is_empty());
    let (mut words, mut others) = (0, 0);
    for part in parts {
        let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
        let plain = letters == part.len()
            && (part.len() <= 14)
            && (part.bytes().skip(1).all(|byte| byte.is_ascii_lowercase())
                || part.bytes().all(|byte| byte.is_ascii_uppercase()));
        let number = part.len() <= 4 && letters == 0;
        if plain || number {
            words += 1;
        } else {
            others += 1;
        }
    }
    // `X509CertificateTemplate`: most letters stand in runs of small ones.
    let letters = written.bytes().filter(u8::is_ascii_alphabetic).count();
    let runs = written.split(|char: char| !char.is_ascii_lowercase());
    let in_runs: usize = runs.map(str::len).filter(|length| *length >= 3).sum();
    let camel = in_runs * 10 > letters * 7;
    let typed = ["i32", "u32", "i64", "u64", "usize"]
        .iter()
        .any(|name| written.ends_with(name));
    camel
        || typed
        || others == 0 && words > 1
        || written.contains("://")
        || written.starts_with('/')
}

/// The token behind `Bearer `. A JWT is found as one already.
fn bearer(text: &str, at: usize) -> Option<Hit> {
    let bytes = text.as_bytes();
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let length = bytes[at..]
        .iter()
        .take(VALUE_BYTES_MAX)
        .take_while(is_token)
        .count();
    let written = text[at..at + length].trim_end_matches('.');
    let mixture = mixture(written);
    let random =
        written.len() >= 16 && mixture.digits > 0 && mixture.distinct >= 8 && !is_worded(written);
    (random && !is_placeholder(written.as_bytes()))
        .then(|| Hit::new("bearer_token", at..at + written.len(), 0.85))
}

/// `user:password` in base64 behind `Basic ` (RFC 7617).
fn basic(text: &str, at: usize) -> Option<Hit> {
    let bytes = text.as_bytes();
    let is_code = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let length = bytes[at..]
        .iter()
        .take(VALUE_BYTES_MAX)
        .take_while(is_code)
        .count();
    let decoded = STANDARD.decode(&bytes[at..at + length]).ok()?;
    let pair = std::str::from_utf8(&decoded).ok()?;
    let (_, password) = pair.split_once(':')?;
    let printable = pair.chars().all(|char| !char.is_control());
    (length >= 8 && printable && !password.is_empty())
        .then(|| Hit::new("basic_auth", at..at + length, 0.95))
}
