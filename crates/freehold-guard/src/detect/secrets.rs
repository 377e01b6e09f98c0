//! Secrets that announce themselves: keys and tokens with a vendor's prefix, PEM, JWT, URLs.
//!
//! One automaton finds the prefixes; what follows is verified by hand.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Hit;

/// What may stand in a token.
#[derive(Clone, Copy)]
enum Alphabet {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_`.
    Word,
    /// Letters, digits, `_`, `-`.
    Dashed,
    /// Letters, digits, `_`, `-`, `.`.
    Dotted,
    /// Capital letters and the digits 2 to 7.
    Base32,
    /// Digits and a to f.
    Hex,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Dashed => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base32 => byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte),
            Self::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        }
    }
}

/// A token with a telling prefix.
struct Token {
    prefix: &'static str,
    entity: &'static str,
    alphabet: Alphabet,
    /// Bytes after the prefix, at least and at most.
    length: (usize, usize),
}

const fn token(
    prefix: &'static str,
    entity: &'static str,
    alphabet: Alphabet,
    min: usize,
    max: usize,
) -> Token {
    Token {
        prefix,
        entity,
        alphabet,
        length: (min, max),
    }
}

const LONG: usize = 512;

const TOKENS: &[Token] = &[
    token("AKIA", "aws_access_key", Alphabet::Base32, 16, 16),
    token("ASIA", "aws_access_key", Alphabet::Base32, 16, 16),
    token("ABIA", "aws_access_key", Alphabet::Base32, 16, 16),
    token("ghp_", "github_token", Alphabet::Alnum, 36, 255),
    token("gho_", "github_token", Alphabet::Alnum, 36, 255),
    token("ghu_", "github_token", Alphabet::Alnum, 36, 255),
    token("ghs_", "github_token", Alphabet::Alnum, 36, 255),
    token("ghr_", "github_token", Alphabet::Alnum, 36, 255),
    token("github_pat_", "github_token", Alphabet::Word, 60, 255),
    token("glpat-", "gitlab_token", Alphabet::Dashed, 20, 64),
    token("sk-ant-", "anthropic_key", Alphabet::Dashed, 24, LONG),
    token("sk-proj-", "openai_key", Alphabet::Dashed, 24, LONG),
    token("sk-svcacct-", "openai_key", Alphabet::Dashed, 24, LONG),
    token("sk-admin-", "openai_key", Alphabet::Dashed, 24, LONG),
    token("sk-or-v1-", "openrouter_key", Alphabet::Hex, 64, 64),
    token("sk-", "openai_key", Alphabet::Alnum, 32, 64),
    token("sk_live_", "stripe_key", Alphabet::Alnum, 16, 128),
    token("sk_test_", "stripe_key", Alphabet::Alnum, 16, 128),
    token("rk_live_", "stripe_key", Alphabet::Alnum, 16, 128),
    token("rk_test_", "stripe_key", Alphabet::Alnum, 16, 128),
    token("whsec_", "stripe_key", Alphabet::Alnum, 32, 128),
    token("AIza", "google_key", Alphabet::Dashed, 35, 35),
    token("ya29.", "google_token", Alphabet::Dashed, 30, LONG),
    token("GOCSPX-", "google_key", Alphabet::Dashed, 28, 28),
    token("xoxb-", "slack_token", Alphabet::Dashed, 20, 255),
    token("xoxp-", "slack_token", Alphabet::Dashed, 20, 255),
    token("xoxa-", "slack_token", Alphabet::Dashed, 20, 255),
    token("xoxr-", "slack_token", Alphabet::Dashed, 20, 255),
    token("xoxs-", "slack_token", Alphabet::Dashed, 20, 255),
    token("xapp-", "slack_token", Alphabet::Dashed, 20, 255),
    token("hf_", "huggingface_token", Alphabet::Alnum, 34, 64),
    token("gsk_", "groq_key", Alphabet::Alnum, 40, 64),
    token("xai-", "xai_key", Alphabet::Alnum, 70, 128),
    token("r8_", "replicate_token", Alphabet::Alnum, 37, 37),
    token("npm_", "npm_token", Alphabet::Alnum, 36, 36),
    token(
        "pypi-AgEIcHlwaS5vcmc",
        "pypi_token",
        Alphabet::Dashed,
        50,
        LONG,
    ),
    token("SG.", "sendgrid_key", Alphabet::Dotted, 60, 80),
    token("dop_v1_", "digitalocean_token", Alphabet::Hex, 64, 64),
    token("dckr_pat_", "docker_token", Alphabet::Dashed, 27, 27),
    token("shpat_", "shopify_token", Alphabet::Hex, 32, 32),
];

const PEM: &str = "-----BEGIN ";
const JWT: &str = "eyJ";
const URL: &str = "://";
/// Names before which a secret key of AWS stands.
const AWS_SECRET: [&str; 4] = [
    "aws_secret_access_key",
    "AWS_SECRET_ACCESS_KEY",
    "SecretAccessKey",
    "secretAccessKey",
];

static ANCHORS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let anchors = TOKENS
        .iter()
        .map(|token| token.prefix)
        .chain([PEM, JWT, URL])
        .chain(AWS_SECRET);
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(anchors)
        .expect("a few dozen constant anchors build, as every test shows")
});

pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for anchor in ANCHORS.find_iter(bytes) {
        if anchor.start() < done {
            continue;
        }
        let (start, behind) = (anchor.start(), anchor.end());
        let index = anchor.pattern().as_usize();
        let hit = match index.checked_sub(TOKENS.len()) {
            None => vendor_token(&TOKENS[index], bytes, start, behind),
            Some(0) => private_key(text, start),
            Some(1) => jwt(bytes, start),
            Some(2) => url_password(bytes, behind),
            Some(_) => aws_secret(bytes, behind),
        };
        if let Some(hit) = hit {
            done = hit.range.end;
            found(hit);
        }
    }
}

fn hit(entity: &'static str, start: usize, end: usize, confidence: f32) -> Option<Hit> {
    Some(Hit::new(entity, start..end, confidence))
}

/// True when nothing glues the text at `start` to a word before it.
fn begins_word(bytes: &[u8], start: usize) -> bool {
    let before = start.checked_sub(1).map(|at| bytes[at]);
    !before.is_some_and(|byte| Alphabet::Dashed.has(byte))
        // `\n` in JSON text: the letter belongs to the escape.
        || start >= 2 && bytes[start - 2] == b'\\' && matches!(bytes[start - 1], b'n' | b't' | b'r')
}

fn run_end(bytes: &[u8], from: usize, alphabet: Alphabet, max: usize) -> usize {
    let run = bytes[from..].iter().take(max);
    from + run.take_while(|byte| alphabet.has(**byte)).count()
}

fn vendor_token(token: &Token, bytes: &[u8], start: usize, behind: usize) -> Option<Hit> {
    if !begins_word(bytes, start) {
        return None;
    }
    let (min, max) = token.length;
    let end = run_end(bytes, behind, token.alphabet, max + 1);
    let body = &bytes[behind..end];
    let ends_word = bytes.get(end).is_none_or(|byte| !Alphabet::Word.has(*byte));
    if body.len() < min || body.len() > max || !ends_word || !looks_random(body) {
        return None;
    }
    hit(token.entity, start, end, 0.98)
}

/// Random characters hold letters and digits and repeat little; names and placeholders do not.
fn looks_random(body: &[u8]) -> bool {
    let digits = body.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = body
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    let mut seen = [false; 256];
    body.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    // A random token of 16 capitals and digits has ten distinct ones nearly always.
    digits >= 1 && letters >= 1 && distinct >= 8.min(body.len() / 2)
}

/// A PEM block from `BEGIN` to `END`; to the end of the text when it was cut.
fn private_key(text: &str, start: usize) -> Option<Hit> {
    let bytes = text.as_bytes();
    let label_start = start + PEM.len();
    let label_end = run_end_by(bytes, label_start, 40, |byte| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
    });
    let label = &text[label_start..label_end];
    let is_private = label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK");
    if !is_private || !text[label_end..].starts_with("-----") {
        return None;
    }
    let body = label_end + 5;
    let end = match text[body..].find("-----END ") {
        Some(at) => {
            let label = body + at + "-----END ".len();
            let closing = text[label..].find("-----").map(|at| label + at + 5);
            closing.unwrap_or(text.len())
        }
        None => text.len(),
    };
    hit("private_key", start, end, 0.99)
}

fn run_end_by(bytes: &[u8], from: usize, max: usize, has: impl Fn(u8) -> bool) -> usize {
    from + bytes[from..]
        .iter()
        .take(max)
        .take_while(|byte| has(**byte))
        .count()
}

/// `header.payload.signature`, whose header names an algorithm.
fn jwt(bytes: &[u8], start: usize) -> Option<Hit> {
    if !begins_word(bytes, start) {
        return None;
    }
    let header_end = run_end(bytes, start, Alphabet::Dashed, usize::MAX);
    if bytes.get(header_end) != Some(&b'.') || header_end - start > 4_096 {
        return None;
    }
    let payload_end = run_end(bytes, header_end + 1, Alphabet::Dashed, usize::MAX);
    if bytes.get(payload_end) != Some(&b'.') || payload_end - header_end < 12 {
        return None;
    }
    let end = run_end(bytes, payload_end + 1, Alphabet::Dashed, usize::MAX);
    let header = URL_SAFE_NO_PAD.decode(&bytes[start..header_end]).ok()?;
    let names_algorithm = header.windows(5).any(|window| window == b"\"alg\"");
    if !names_algorithm {
        return None;
    }
    hit("jwt", start, end, 0.97)
}

/// `scheme://user:password@host`: the password.
fn url_password(bytes: &[u8], behind: usize) -> Option<Hit> {
    let is_part = |byte: u8| byte.is_ascii_graphic() && !b"/?#\"'<>`\\@,".contains(&byte);
    let end = run_end_by(bytes, behind, 256, is_part);
    if bytes.get(end) != Some(&b'@') {
        return None;
    }
    let colon = bytes[behind..end].iter().position(|byte| *byte == b':')?;
    let start = behind + colon + 1;
    let password = &bytes[start..end];
    if password.len() < 6 || is_placeholder(password) {
        return None;
    }
    hit("url_password", start, end, 0.8)
}

/// What documentation writes in place of a password.
fn is_placeholder(password: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] = [
        b"pass",
        b"secret",
        b"example",
        b"changeme",
        b"your",
        b"xxx",
        b"***",
        b"token",
        b"postgres",
    ];
    let small = password.to_ascii_lowercase();
    let is_variable = matches!(password[0], b'$' | b'{' | b'%' | b'[' | b':');
    is_variable
        || WORDS
            .iter()
            .any(|word| small.windows(word.len()).any(|w| w == *word))
}

/// The 40 characters behind the name of an AWS secret key.
fn aws_secret(bytes: &[u8], behind: usize) -> Option<Hit> {
    let is_between = |byte: u8| b" \t\"':=\\>".contains(&byte);
    let start = run_end_by(bytes, behind, 12, is_between);
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+');
    let end = run_end_by(bytes, start, 41, is_key);
    if start == behind || end - start != 40 || !looks_random(&bytes[start..end]) {
        return None;
    }
    hit("aws_secret_key", start, end, 0.97)
}
