//! Web addresses.

use memchr::memmem;

use crate::detect::Hit;

const URL_BYTES_MAX: usize = 2_048;

/// Looks for `http`, `https` and `ftp` addresses, and for names that begin with `www.`, and reports those
/// that tell whose they are.
pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memmem::find_iter(bytes, b"://") {
        let scheme = [&b"https"[..], b"http", b"ftps", b"ftp", b"sftp"]
            .into_iter()
            .find(|scheme| ends_with_ignoring_case(&bytes[..at], scheme));
        let Some(scheme) = scheme.filter(|_| at >= done) else {
            continue;
        };
        done = emit(bytes, at - scheme.len(), at + 3, done, found);
    }
    let mut done = 0;
    for at in memmem::find_iter(bytes, b"www.") {
        let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'/';
        if begins && at >= done {
            done = emit(bytes, at, at + 4, done, found);
        }
    }
}

fn ends_with_ignoring_case(bytes: &[u8], end: &[u8]) -> bool {
    bytes.len() >= end.len() && bytes[bytes.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// Reports the address whose host begins at `host`; returns how far it was read.
fn emit(bytes: &[u8], start: usize, host: usize, done: usize, found: &mut dyn FnMut(Hit)) -> usize {
    let belongs = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'<>`\\^{}|".contains(byte);
    let mut end = host
        + bytes[host..]
            .iter()
            .take(URL_BYTES_MAX)
            .take_while(belongs)
            .count();
    let reached = end.max(done);
    while end > host
        && matches!(
            bytes[end - 1],
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'*'
        )
    {
        end -= 1;
    }
    for (open, close) in [(b'(', b')'), (b'[', b']')] {
        let count = |wanted: u8| {
            bytes[start..end]
                .iter()
                .filter(|byte| **byte == wanted)
                .count()
        };
        if end > host && bytes[end - 1] == close && count(close) > count(open) {
            end -= 1;
        }
    }
    let name = &bytes[host..end];
    let name = &name[..name
        .iter()
        .position(|byte| b"/?#:".contains(byte))
        .unwrap_or(name.len())];
    let is_local = [&b"localhost"[..], b"127.0.0.1", b"0.0.0.0"].contains(&name);
    if name.len() >= 4 && name.contains(&b'.') && !is_local {
        let rest = &bytes[host + name.len()..end];
        if names_somebody(bytes, start, name, rest) {
            found(Hit::new("url", start..end, 0.8));
        }
    }
    reached
}

/// Words before an address that say whose it is.
const OWNERS: [&[u8]; 9] = [
    b"website",
    b"web",
    b"homepage",
    b"linkedin",
    b"portfolio",
    b"blog",
    b"profile",
    b"facebook",
    b"instagram",
];

/// Paths of persons' pages.
const PROFILES: [&[u8]; 9] = [
    b"/in/",
    b"/u/",
    b"/user/",
    b"/users/",
    b"/~",
    b"/profile",
    b"/@",
    b"/people/",
    b"/author/",
];

const OWNER_WITHIN_BYTES: usize = 24;

/// A page of somebody tells nothing about who writes; a site as a whole, a profile, or what is called
/// somebody's website does.
fn names_somebody(bytes: &[u8], start: usize, name: &[u8], rest: &[u8]) -> bool {
    let is_site = matches!(rest, [] | [b'/']);
    let profile = PROFILES
        .iter()
        .any(|path| rest.windows(path.len()).any(|window| window == *path));
    let network = name.ends_with(b"linkedin.com") && rest.len() > 4;
    let before = bytes[start.saturating_sub(OWNER_WITHIN_BYTES)..start].to_ascii_lowercase();
    is_site
        || profile
        || network
        || OWNERS
            .iter()
            .any(|owner| before.windows(owner.len()).any(|window| window == *owner))
}
