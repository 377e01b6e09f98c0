//! E-mail addresses (RFC 5322's dot-atoms, RFC 6531's letters of all scripts).

use crate::detect::Hit;

/// Longest local part (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Longest domain (RFC 5321, 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;

/// What follows the last dot of a file's name, not of a domain.
const FILE_ENDINGS: [&str; 22] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "tsx", "jsx", "html", "htm",
    "json", "xml", "yaml", "yml", "pdf", "txt", "scss", "mjs", "service",
];

pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memchr::memchr_iter(b'@', bytes) {
        if at < done {
            continue;
        }
        let start = local_start(text, done, at);
        let Some(end) = domain_end(text, at + 1) else {
            continue;
        };
        if start == at
            || is_user_of_url(&bytes[..start])
            || is_remote_of_git(&text[start..at], bytes.get(end).copied())
        {
            continue;
        }
        done = end;
        found(Hit::new("email_address", start..end, 0.97));
    }
}

/// Where the local part begins; at the `@` when there is none.
fn local_start(text: &str, from: usize, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut start = at;
    if start > from && bytes[start - 1] == b'"' {
        // `"john doe"@example.org`.
        let floor = from.max(at.saturating_sub(LOCAL_BYTES_MAX));
        let open = memchr::memrchr(b'"', &bytes[floor..at - 1]);
        return open.map_or(at, |open| floor + open);
    }
    while start > from && at - start < LOCAL_BYTES_MAX && is_local(bytes[start - 1]) {
        start -= 1;
    }
    // What is not ASCII counts when it is a letter; whole characters only.
    while start < at && !text.is_char_boundary(start) {
        start += 1;
    }
    let local = &text[start..at];
    let stop = local
        .char_indices()
        .rev()
        .find(|(_, char)| !char.is_ascii() && !char.is_alphanumeric());
    if let Some((place, char)) = stop {
        start += place + char.len_utf8();
    }
    // `'john@example.org'`, `...see john@example.org`, `mailto:`.
    while start < at
        && matches!(
            bytes[start],
            b'.' | b'\''
                | b'/'
                | b'='
                | b'*'
                | b'|'
                | b'`'
                | b'-'
                | b'?'
                | b'&'
                | b'#'
                | b'!'
                | b'$'
                | b'%'
        )
    {
        start += 1;
    }
    match bytes[start..at]
        .iter()
        .rposition(|byte| matches!(byte, b'=' | b'|' | b'/'))
    {
        Some(place) => start + place + 1,
        None => start,
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

/// Where the domain ends; `None` when what stands there is none.
fn domain_end(text: &str, start: usize) -> Option<usize> {
    let mut end = start;
    for (at, char) in text[start..].char_indices().take(DOMAIN_BYTES_MAX) {
        let belongs = char.is_ascii_alphanumeric()
            || matches!(char, '-' | '.')
            || !char.is_ascii() && char.is_alphanumeric();
        if !belongs {
            break;
        }
        end = start + at + char.len_utf8();
    }
    // The last label of letters: what follows it (`.`, `-`, a number) belongs to the sentence.
    let mut domain = text[start..end].trim_end_matches(['.', '-']);
    loop {
        let (head, last) = domain.rsplit_once('.')?;
        if is_top_level(last) && head.split('.').all(is_label) {
            return Some(start + domain.len());
        }
        domain = head;
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

fn is_top_level(label: &str) -> bool {
    let letters = label.chars().all(char::is_alphabetic)
        && label.chars().nth(1).is_some()
        && label.len() <= 24;
    let is_file = FILE_ENDINGS
        .iter()
        .any(|ending| label.eq_ignore_ascii_case(ending));
    letters && !is_file || label.len() > 4 && label.as_bytes()[..4].eq_ignore_ascii_case(b"xn--")
}

/// `scheme://user:password@host`: what stands before tells.
fn is_user_of_url(before: &[u8]) -> bool {
    const BYTES_MAX: usize = 96;
    let run = before.iter().rev().take(BYTES_MAX);
    let run = run.take_while(|byte| !byte.is_ascii_whitespace() && !b"?=&\"'<>".contains(byte));
    let word = &before[before.len() - run.count()..];
    matches!(before.last(), Some(b':' | b'/')) && memchr::memmem::find(word, b"://").is_some()
}

/// `git@github.com:owner/repository`.
fn is_remote_of_git(local: &str, next: Option<u8>) -> bool {
    local == "git" && matches!(next, Some(b':' | b'/'))
}
