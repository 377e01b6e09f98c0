//! Secrets: vendors' keys and tokens, private keys, JWT, passwords in URLs and connection strings,
//! and whatever is assigned to a name such as `password` or `api_key`.
//!
//! One automaton finds what announces itself; what follows is verified by hand.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Hit;

mod assigned;
mod tokens;

use tokens::{Alphabet, TOKENS, Token};

/// Anchors that are no prefixes of tokens, and what they lead to.
#[derive(Clone, Copy)]
enum Anchor {
    Pem,
    Jwt,
    Url,
    AwsSecret,
    AzureKey,
    AzureClientSecret,
    Telegram,
    Webhook,
    Terraform,
}

const ANCHORS: &[(&str, Anchor)] = &[
    ("-----BEGIN ", Anchor::Pem),
    ("eyJ", Anchor::Jwt),
    ("://", Anchor::Url),
    ("aws_secret_access_key", Anchor::AwsSecret),
    ("AWS_SECRET_ACCESS_KEY", Anchor::AwsSecret),
    ("SecretAccessKey", Anchor::AwsSecret),
    ("secretAccessKey", Anchor::AwsSecret),
    ("AccountKey=", Anchor::AzureKey),
    ("SharedAccessKey=", Anchor::AzureKey),
    ("SharedAccessSignature=", Anchor::AzureKey),
    ("8Q~", Anchor::AzureClientSecret),
    ("7Q~", Anchor::AzureClientSecret),
    (":AA", Anchor::Telegram),
    ("hooks.slack.com/services/", Anchor::Webhook),
    ("hooks.slack.com/workflows/", Anchor::Webhook),
    ("discord.com/api/webhooks/", Anchor::Webhook),
    ("discordapp.com/api/webhooks/", Anchor::Webhook),
    (".webhook.office.com/webhookb2/", Anchor::Webhook),
    (".atlasv1.", Anchor::Terraform),
];

const PEM: &str = "-----BEGIN ";

static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let prefixes = TOKENS.iter().map(|token| token.prefix);
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::DFA))
        .build(prefixes.chain(ANCHORS.iter().map(|(text, _)| *text)))
        .expect("a few dozen constant anchors build, as every test shows")
});

/// What is reported beside the tokens with a telling prefix.
const ENTITIES: &[&str] = &[
    "api_key",
    "aws_secret_key",
    "azure_client_secret",
    "azure_key",
    "basic_auth",
    "bearer_token",
    "connection_string",
    "jwt",
    "password",
    "private_key",
    "telegram_token",
    "terraform_token",
    "url_password",
    "username",
    "webhook_url",
];

/// Everything that is reported.
pub(super) fn entities() -> impl Iterator<Item = &'static str> {
    let tokens = TOKENS.iter().map(|token| token.entity);
    tokens.chain(ENTITIES.iter().copied())
}

pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let mut known = Vec::new();
    announced(text, &mut |hit| {
        known.push(hit.range.clone());
        found(hit);
    });
    assigned::detect(text, &mut |hit: Hit| {
        // `token = ghp_...` is one secret, not two.
        if !known.iter().any(|range| overlap(range, &hit.range)) {
            found(hit);
        }
    });
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

fn announced(text: &str, found: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for anchor in AUTOMATON.find_iter(bytes) {
        if anchor.start() < done {
            continue;
        }
        let (start, behind) = (anchor.start(), anchor.end());
        let index = anchor.pattern().as_usize();
        let hit = match index.checked_sub(TOKENS.len()) {
            None => vendor_token(&TOKENS[index], bytes, start, behind),
            Some(index) => match ANCHORS[index].1 {
                Anchor::Pem => private_key(text, start),
                Anchor::Jwt => jwt(bytes, start),
                Anchor::Url => url_password(bytes, behind),
                Anchor::AwsSecret => aws_secret(bytes, behind),
                Anchor::AzureKey => azure_key(bytes, behind),
                Anchor::AzureClientSecret => azure_client_secret(bytes, start, behind),
                Anchor::Telegram => telegram(bytes, start, behind),
                Anchor::Webhook => webhook(bytes, start, behind),
                Anchor::Terraform => terraform(bytes, start, behind),
            },
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
    let is_key = match token.alphabet {
        // Of these, one in 28 holds no digit; and capitals of just this length are no word.
        Alphabet::Base32 => distinct(body) >= 5,
        _ => looks_random(body),
    };
    if body.len() < min || body.len() > max || !ends_word || !is_key {
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
    // A random token of 16 capitals and digits has ten distinct ones nearly always.
    digits >= 1 && letters >= 1 && distinct(body) >= 8.min(body.len() / 2)
}

/// How many different characters there are.
fn distinct(body: &[u8]) -> usize {
    let mut seen = [false; 256];
    body.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count()
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
    if password.len() < 6 || assigned::is_placeholder(password) {
        return None;
    }
    let entity = if is_store(&bytes[..behind]) {
        "connection_string"
    } else {
        "url_password"
    };
    hit(entity, start, end, 0.85)
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

/// True when a URL's scheme is that of a database, cache or queue.
fn is_store(head: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 19] = [
        b"postgres",
        b"postgresql",
        b"mysql",
        b"mariadb",
        b"mongodb",
        b"mongodb+srv",
        b"redis",
        b"rediss",
        b"amqp",
        b"amqps",
        b"mssql",
        b"sqlserver",
        b"cockroachdb",
        b"clickhouse",
        b"neo4j",
        b"bolt",
        b"kafka",
        b"ldap",
        b"oracle",
    ];
    let scheme = &head[..head.len() - "://".len()];
    // `postgresql+psycopg2://` names the driver, too.
    let from = scheme
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'+');
    let scheme = &scheme[from.map_or(0, |from| from + 1)..];
    let bare = scheme
        .split(|byte| *byte == b'+')
        .next()
        .unwrap_or_default();
    SCHEMES
        .iter()
        .any(|known| bare.eq_ignore_ascii_case(known) || scheme.eq_ignore_ascii_case(known))
}

/// The key of an Azure connection string: base64, or a signature.
fn azure_key(bytes: &[u8], behind: usize) -> Option<Hit> {
    let is_key = |byte: u8| {
        Alphabet::Base64.has(byte) || matches!(byte, b'%' | b'&' | b'-' | b'_' | b'.' | b':')
    };
    let end = run_end_by(bytes, behind, LONG, is_key);
    let key = &bytes[behind..end];
    (key.len() >= 40 && looks_random(key)).then(|| Hit::new("azure_key", behind..end, 0.97))
}

/// Longest secret that is looked at.
const LONG: usize = 512;

/// A client secret of Entra ID: 40 characters, `8Q~` behind the third (Microsoft, "Sensitive
/// information types").
fn azure_client_secret(bytes: &[u8], start: usize, behind: usize) -> Option<Hit> {
    let from = start.checked_sub(3)?;
    let is_part = |byte: u8| Alphabet::Dotted.has(byte) || byte == b'~';
    let end = run_end_by(bytes, behind, 36, is_part);
    let whole =
        bytes[from..start].iter().all(|byte| is_part(*byte)) && (31..=34).contains(&(end - behind));
    (whole && begins_word(bytes, from)).then(|| Hit::new("azure_client_secret", from..end, 0.95))
}

/// A bot's token of Telegram: the bot's number, `:AA`, 33 characters (Telegram, "Bot API").
fn telegram(bytes: &[u8], start: usize, behind: usize) -> Option<Hit> {
    let digits = bytes[..start]
        .iter()
        .rev()
        .take(11)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let end = run_end(bytes, behind, Alphabet::Dashed, 40);
    // `bot123...` in the URLs of the API.
    let from = start - digits;
    let begins = begins_word(bytes, from) || bytes[..from].ends_with(b"bot");
    let whole = (8..=10).contains(&digits) && (32..=33).contains(&(end - behind)) && begins;
    (whole && looks_random(&bytes[behind..end]))
        .then(|| Hit::new("telegram_token", from..end, 0.97))
}

/// The path of a webhook, which is its password.
fn webhook(bytes: &[u8], start: usize, behind: usize) -> Option<Hit> {
    let is_path = |byte: u8| Alphabet::Dashed.has(byte) || matches!(byte, b'/' | b'@');
    let end = run_end_by(bytes, behind, 256, is_path);
    let path = &bytes[behind..end];
    (path.len() >= 30 && looks_random(path)).then(|| Hit::new("webhook_url", start..end, 0.95))
}

/// A token of Terraform Cloud: 14 characters, `.atlasv1.`, 60 and more.
fn terraform(bytes: &[u8], start: usize, behind: usize) -> Option<Hit> {
    let before = bytes[..start]
        .iter()
        .rev()
        .take(15)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let end = run_end(bytes, behind, Alphabet::Dashed, 80);
    (before == 14 && end - behind >= 60)
        .then(|| Hit::new("terraform_token", start - before..end, 0.97))
}

#[cfg(test)]
mod tests;
