//! Addresses in networks: IPv4, IPv6, MAC.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::detect::Hit;
use crate::detect::identifiers::context::{Topic, Topics};
use crate::detect::identifiers::number::stands_alone;

/// Longest spelling of an IPv6 address.
const IPV6_BYTES_MAX: usize = 45;

/// The address that begins at the word at `start`.
pub(crate) fn address(text: &str, start: usize, around: Topics) -> Option<Hit> {
    let bytes = text.as_bytes();
    // The inside of `1:2:3` is looked at from its beginning.
    if matches!(bytes[..start], [.., before, b':'] if before.is_ascii_hexdigit()) {
        return None;
    }
    let hex = |byte: &&u8| byte.is_ascii_hexdigit();
    let first = bytes[start..].iter().take(5).take_while(hex).count();
    match bytes.get(start + first) {
        Some(b'.') if first <= 3 => ipv4(text, start, around),
        Some(b':' | b'-' | b'.') if first <= 4 => mac(bytes, start).or_else(|| ipv6(text, start)),
        // `::1` and its like begin with the colons.
        _ if start >= 2 && bytes[start - 2..start] == *b"::" => ipv6(text, start),
        _ => None,
    }
}

fn ipv4(text: &str, start: usize, around: Topics) -> Option<Hit> {
    let bytes = text.as_bytes();
    let run = bytes[start..].iter().take(16);
    let length = run
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let written = text[start..start + length].trim_end_matches('.');
    let end = start + written.len();
    let address: Ipv4Addr = written.parse().ok()?;
    let octets = address.octets();
    // Masks, wildcards and this machine itself say nothing.
    let is_nobody =
        address.is_unspecified() || address.is_loopback() || octets[0] == 255 || octets[0] == 0;
    // `Chrome/110.0.0.0`.
    let is_product =
        start >= 2 && bytes[start - 1] == b'/' && bytes[start - 2].is_ascii_alphabetic();
    let is_version =
        is_product || around.has(Topic::Version) && octets.iter().all(|octet| *octet < 64);
    if is_nobody || is_version || !stands_alone(bytes, start, end) {
        return None;
    }
    Some(Hit::new("ip_address", start..end, 0.9))
}

fn ipv6(text: &str, start: usize) -> Option<Hit> {
    let bytes = text.as_bytes();
    let start = if start >= 2 && bytes[start - 2..start] == *b"::" {
        start - 2
    } else {
        start
    };
    let belongs = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let length = bytes[start..]
        .iter()
        .take(IPV6_BYTES_MAX + 1)
        .take_while(belongs)
        .count();
    let written = text[start..start + length].trim_end_matches(['.', ':']);
    let written = if text[start + written.len()..].starts_with("::") {
        &text[start..start + written.len() + 2]
    } else {
        written
    };
    let end = start + written.len();
    let address: Ipv6Addr = written.parse().ok()?;
    let groups = address
        .segments()
        .iter()
        .filter(|segment| **segment != 0)
        .count();
    let digits = written.bytes().filter(u8::is_ascii_digit).count();
    let word = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
    };
    // `a::b` is a path in a program.
    let told = groups >= 3 && digits >= 2
        || written.len() > 4
            && (written.starts_with("fe80")
                || written.starts_with("2001:")
                || written.starts_with("fd"));
    if !told || word(bytes.get(end)) || word(start.checked_sub(1).map(|at| &bytes[at])) {
        return None;
    }
    Some(Hit::new("ip_address", start..end, 0.9))
}

/// `00:1a:2b:3c:4d:5e`, `00-1A-2B-3C-4D-5E`, `001a.2b3c.4d5e` (IEEE 802).
fn mac(bytes: &[u8], start: usize) -> Option<Hit> {
    [(b':', 2, 6), (b'-', 2, 6), (b'.', 4, 3)]
        .into_iter()
        .find_map(|(separator, group, groups)| {
            let length = groups * (group + 1) - 1;
            let written = bytes.get(start..start + length)?;
            let shaped = written
                .iter()
                .enumerate()
                .all(|(at, byte)| match at % (group + 1) {
                    place if place == group => *byte == separator,
                    _ => byte.is_ascii_hexdigit(),
                });
            let hex = written.iter().filter(|byte| byte.is_ascii_hexdigit());
            // Zeros, broadcast.
            let mut values = hex.clone();
            let first = values.next()?;
            let varied = values.any(|byte| byte != first);
            // Digits alone are times or dates.
            let letters = hex.filter(|byte| byte.is_ascii_alphabetic()).count();
            let next = bytes.get(start + length);
            let ends = !next.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == separator);
            let begins = start == 0 || bytes[start - 1] != separator;
            (shaped && varied && ends && begins && (letters > 0 || separator == b':'))
                .then(|| Hit::new("mac_address", start..start + length, 0.9))
        })
}
