//! Finds encoded blobs in a text, base64 and hexadecimal, and decodes those that hold text.

use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::bytes::{ALPHANUMERIC, Class, DASH, PLUS_OR_SLASH};

/// The shortest run that is decoded: it holds nine bytes, and nothing shorter is looked for.
const RUN_BYTES_MIN: usize = 12;

/// Letters, digits and the signs of both alphabets.
const RUN: Class = ALPHANUMERIC.or(DASH).or(PLUS_OR_SLASH);

/// Fewest bytes written in hexadecimal that are decoded.
const HEX_BYTES_MIN: usize = 9;

/// A run at least so long that does not decode to text and looks random is opaque: it holds more
/// than any id, hash, signature or key has (a signature of 4096 bits takes 683 characters, and those
/// of JWTs, certificates and public keys are known by what stands before them).
pub(super) const OPAQUE_BYTES_MIN: usize = 768;

/// How much of a run is decoded to see whether it is text at all.
const PROBE_BYTES: usize = 64;

const fn lenient(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

const STANDARD: GeneralPurpose = lenient(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = lenient(&alphabet::URL_SAFE);

/// A blob, and what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blob {
    /// Text.
    Text(Range<usize>, String),
    /// Nothing that can be read.
    Opaque,
}

/// Decodes what is wholly base64, with any line ends and padding, when it holds text.
pub(super) fn decode_whole(data: &str) -> Option<String> {
    let plain: Vec<u8> = data
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    base64_text(&plain)
}

/// Every blob in a text, in order. Linear: each byte belongs to one run, which is decoded a bounded
/// number of times.
pub(super) fn blobs(text: &str, found: &mut dyn FnMut(Blob)) {
    let bytes = text.as_bytes();
    let mut lines = Lines::default();
    let mut at = 0;
    while at < bytes.len() {
        if !is_run(bytes[at]) {
            at += 1;
            continue;
        }
        if let Some((end, plain)) = hex_pairs(bytes, at) {
            if let Some(plain) = as_text(&plain) {
                found(Blob::Text(at..end, plain));
            }
            at = end;
            continue;
        }
        let end = run_end(bytes, at);
        if let Some(next) = lines.blob(bytes, at, end, found) {
            at = next;
            continue;
        }
        if end - at >= RUN_BYTES_MIN {
            run(text, at, end, found);
        }
        at = end;
    }
}

/// Letters, digits and the signs of both alphabets.
fn is_run(byte: u8) -> bool {
    RUN.has(byte)
}

fn run_end(bytes: &[u8], at: usize) -> usize {
    RUN.run_end(bytes, at)
}

/// The same run with its padding.
fn padded(bytes: &[u8], end: usize) -> usize {
    end + bytes[end..]
        .iter()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count()
}

/// One run by itself.
fn run(text: &str, start: usize, end: usize, found: &mut dyn FnMut(Blob)) {
    let bytes = text.as_bytes();
    if let Some(plain) = decoded(&bytes[start..end]) {
        found(Blob::Text(start..padded(bytes, end), plain));
        return;
    }
    if is_opaque(bytes, start, end) {
        found(Blob::Opaque);
        return;
    }
    // A path, a prefix or a suffix may be glued to the blob.
    for is_joint in [is_url_sign, is_standard_sign] {
        let mut seen = false;
        let mut at = start;
        for piece in bytes[start..end].split(|byte| is_joint(*byte)) {
            let piece_end = at + piece.len();
            if piece.len() >= RUN_BYTES_MIN
                && piece.len() < end - start
                && let Some(plain) = decoded(piece)
            {
                let piece_end = if piece_end == end {
                    padded(bytes, end)
                } else {
                    piece_end
                };
                found(Blob::Text(at..piece_end, plain));
                seen = true;
            }
            at = piece_end + 1;
        }
        if seen {
            return;
        }
    }
}

fn is_url_sign(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

fn is_standard_sign(byte: u8) -> bool {
    matches!(byte, b'+' | b'/')
}

/// Blobs that are wrapped: several lines that are runs from end to end.
#[derive(Default)]
struct Lines {
    /// Lines up to here were joined once, and held no text.
    joined_to: usize,
    /// Lines up to here were looked at for an opaque blob.
    judged_to: usize,
}

impl Lines {
    /// The blob that begins with this run and goes on in the next line; returns its end.
    fn blob(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        found: &mut dyn FnMut(Blob),
    ) -> Option<usize> {
        next_line(bytes, end)?;
        if start >= self.joined_to {
            let (probe, _) = join(bytes, start, end, PROBE_BYTES);
            if probe.len() >= RUN_BYTES_MIN && probes_as_text(&probe) {
                let (whole, last) = join(bytes, start, end, usize::MAX);
                if let Some(plain) = decoded(&whole) {
                    found(Blob::Text(start..padded(bytes, last), plain));
                    return Some(last);
                }
                self.joined_to = last;
            }
        }
        if start >= self.judged_to {
            let (whole, last) = join(bytes, start, end, usize::MAX);
            self.judged_to = last;
            let is_long = whole.len() >= OPAQUE_BYTES_MIN;
            if is_long && looks_random(&whole) && !is_known(bytes, start) {
                found(Blob::Opaque);
                return Some(last);
            }
        }
        None
    }
}

/// The lines from this run on, joined until there are so many bytes, and where the last one ends.
fn join(bytes: &[u8], start: usize, end: usize, enough: usize) -> (Vec<u8>, usize) {
    let mut joined = bytes[start..end].to_vec();
    let mut last = end;
    while joined.len() < enough
        && let Some(next) = next_line(bytes, last)
    {
        let next_end = run_end(bytes, next);
        joined.extend_from_slice(&bytes[next..next_end]);
        last = next_end;
    }
    (joined, last)
}

/// Where the next line's run begins, when a line ends here.
fn next_line(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = at;
    if bytes.get(next) == Some(&b'\r') {
        next += 1;
    }
    if bytes.get(next) != Some(&b'\n') {
        return None;
    }
    next += 1;
    next += bytes[next..]
        .iter()
        .take(8)
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    bytes
        .get(next)
        .is_some_and(|byte| is_run(*byte))
        .then_some(next)
}

/// The text that a run holds, in either coding.
fn decoded(run: &[u8]) -> Option<String> {
    if run.iter().all(u8::is_ascii_hexdigit) {
        if let Some(plain) = hex_text(run) {
            return Some(plain);
        }
    } else if let Some(digits) = run.strip_prefix(b"0x").or_else(|| run.strip_prefix(b"0X"))
        && let Some(plain) = hex_text(digits)
    {
        return Some(plain);
    }
    base64_text(run)
}

fn hex_text(digits: &[u8]) -> Option<String> {
    if digits.len() < 2 * HEX_BYTES_MIN {
        return None;
    }
    let byte = |pair: &[u8]| Some(nibble(pair[0])? << 4 | nibble(pair[1])?);
    let probe: Option<Vec<u8>> = digits.chunks_exact(2).take(8).map(byte).collect();
    if !may_be_text(&probe?) {
        return None;
    }
    let plain: Option<Vec<u8>> = digits.chunks_exact(2).map(byte).collect();
    as_text(&plain?)
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn base64_text(run: &[u8]) -> Option<String> {
    // One character over cannot be: six bits make no byte.
    let length = run.len() - usize::from(run.len() % 4 == 1);
    let run = &run[..length];
    if !begins_as_text(run) {
        return None;
    }
    as_text(&engine(run).decode(run).ok()?)
}

fn engine(run: &[u8]) -> &'static GeneralPurpose {
    if run.iter().any(|byte| is_url_sign(*byte)) {
        &URL_SAFE
    } else {
        &STANDARD
    }
}

/// Whether the first bytes of a run, read as base64, can be text.
fn begins_as_text(run: &[u8]) -> bool {
    let probe = &run[..run.len().min(PROBE_BYTES)];
    let probe = &probe[..probe.len() - probe.len() % 4];
    let mut plain = [0; PROBE_BYTES];
    let decoded = engine(run).decode_slice(probe, &mut plain);
    decoded.is_ok_and(|length| may_be_text(&plain[..length]))
}

/// Whether the first bytes of a run, read in either coding, can be text.
fn probes_as_text(run: &[u8]) -> bool {
    run.iter().take(PROBE_BYTES).all(u8::is_ascii_hexdigit) || begins_as_text(run)
}

/// Whether the first bytes of something can be the beginning of a text.
fn may_be_text(bytes: &[u8]) -> bool {
    let is_odd = |byte: &u8| *byte < b' ' && !matches!(*byte, b'\t' | b'\n' | b'\r' | 0x1b | 0);
    if bytes.iter().any(is_odd) {
        return false;
    }
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 || is_utf16(bytes)
}

/// The text that bytes are, in UTF-8 or in little-endian UTF-16 of ASCII.
fn as_text(bytes: &[u8]) -> Option<String> {
    if bytes.len() < HEX_BYTES_MIN || !may_be_text(&bytes[..bytes.len().min(PROBE_BYTES)]) {
        return None;
    }
    if is_utf16(bytes) {
        let units = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        return char::decode_utf16(units).collect::<Result<_, _>>().ok();
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let odd = text
        .chars()
        .filter(|char| char.is_control() && !char.is_whitespace())
        .count();
    (odd * 20 <= text.len()).then(|| text.to_owned())
}

fn is_utf16(bytes: &[u8]) -> bool {
    bytes.len() >= 4
        && bytes
            .chunks_exact(2)
            .take(32)
            .all(|pair| pair[1] == 0 && pair[0] != 0)
}

/// Bytes spelled out one by one: `34 31 31`, `34:31:31`, `0x34, 0x31, 0x31`.
fn hex_pairs(bytes: &[u8], start: usize) -> Option<(usize, Vec<u8>)> {
    // Nothing that begins within a word.
    if start > 0 && bytes[start - 1].is_ascii_alphanumeric() {
        return None;
    }
    let mut at = start;
    let mut end = start;
    let mut plain = Vec::new();
    while let Some(byte) = pair(bytes, &mut at) {
        plain.push(byte);
        end = at;
        let signs = bytes[at..].iter().take(2);
        let length = signs.take_while(|byte| b" :,-\n".contains(byte)).count();
        if length == 0 {
            break;
        }
        at += length;
    }
    (plain.len() >= HEX_BYTES_MIN).then_some((end, plain))
}

/// Two hexadecimal digits that stand alone, `0x` before them or not.
fn pair(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let start = if bytes.get(*at) == Some(&b'0') && matches!(bytes.get(*at + 1), Some(b'x' | b'X'))
    {
        *at + 2
    } else {
        *at
    };
    let digits = bytes.get(start..start + 2)?;
    let value = nibble(digits[0])? << 4 | nibble(digits[1])?;
    if bytes.get(start + 2).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    *at = start + 2;
    Some(value)
}

/// Whether a run that decodes to no text is too long and too random to be passed over.
fn is_opaque(bytes: &[u8], start: usize, end: usize) -> bool {
    end - start >= OPAQUE_BYTES_MIN && looks_random(&bytes[start..end]) && !is_known(bytes, start)
}

/// Most of the alphabet is used, and no letter much more than the others.
fn looks_random(run: &[u8]) -> bool {
    let mut counts = [0_usize; 256];
    for byte in run {
        counts[usize::from(*byte)] += 1;
    }
    let distinct = counts.iter().filter(|count| **count > 0).count();
    let most = counts.iter().max().copied().unwrap_or(0);
    distinct >= 40 && most * 8 <= run.len()
}

/// Certificates, public keys and the pieces of a JWT are public or looked at by what they are.
fn is_known(bytes: &[u8], start: usize) -> bool {
    // The last line of a header is a run itself, and so the first line of what follows.
    let before = &bytes[start.saturating_sub(64)..bytes.len().min(start + 32)];
    let follows = |what: &[u8]| before.windows(what.len()).any(|window| window == what);
    if follows(b" CERTIFICATE-----") || follows(b"PUBLIC KEY-----") || follows(b"ssh-rsa ") {
        return true;
    }
    let is_token = |byte: &u8| is_run(*byte) || *byte == b'.';
    let back = bytes[..start].iter().rev().take(16 * 1_024);
    let token = back.take_while(|byte| is_token(byte)).count();
    let dots = bytes[start - token..start]
        .iter()
        .filter(|byte| **byte == b'.')
        .count();
    dots >= 1 && bytes[start - token..].starts_with(b"eyJ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut seen = Vec::new();
        blobs(text, &mut |blob| match blob {
            Blob::Text(range, plain) => seen.push((text[range].to_owned(), plain)),
            Blob::Opaque => seen.push((String::new(), "opaque".to_owned())),
        });
        let expected: Vec<_> = expected
            .iter()
            .map(|(blob, plain)| ((*blob).to_owned(), (*plain).to_owned()))
            .collect();
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn blobs_that_hold_text() {
        let card = "4111 1111 1111 1111";
        for blob in [
            "NDExMSAxMTExIDExMTEgMTExMQ==",
            "NDExMSAxMTExIDExMTEgMTExMQ",
            "NDExMSAxMTEx\nIDExMTEgMTEx\r\nMQ==",
            "34313131203131313120313131312031313131",
            "0x34313131203131313120313131312031313131",
            "34 31 31 31 20 31 31 31 31 20 31 31 31 31 20 31 31 31 31",
            "34:31:31:31:20:31:31:31:31:20:31:31:31:31:20:31:31:31:31",
            "0x34, 0x31, 0x31, 0x31, 0x20, 0x31, 0x31, 0x31, 0x31, 0x20, 0x31, 0x31, 0x31, 0x31, 0x20, 0x31, 0x31, 0x31, 0x31",
        ] {
            check(blob, &[(blob, card)]);
            check(&format!("see: {blob}, ok"), &[(blob, card)]);
            check(&format!("é\"{blob}\""), &[(blob, card)]);
        }
        check(
            "data/NDExMSAxMTExIDExMTEgMTExMQ==",
            &[("NDExMSAxMTExIDExMTEgMTExMQ==", card)],
        );
        check(
            "x_NDExMSAxMTExIDExMTEgMTExMQ_y",
            &[("NDExMSAxMTExIDExMTEgMTExMQ", card)],
        );
        check("YcO8YT8_w7w_w7w_", &[("YcO8YT8_w7w_w7w_", "aüa??ü?ü?")]);
        check(
            "YWJjQGV4YW1wbGUuY29t",
            &[("YWJjQGV4YW1wbGUuY29t", "abc@example.com")],
        );
        check(
            "YQBiAGMAQABlAHgAYQBtAA==",
            &[("YQBiAGMAQABlAHgAYQBtAA==", "abc@exam")],
        );
        assert_eq!(
            decode_whole("NDEx\nMSAx MTEx\n").as_deref(),
            Some("4111 1111")
        );
        assert_eq!(decode_whole("iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"), None);
    }

    #[test]
    fn words_ids_and_hashes_are_none() {
        for text in [
            "internationalization of internationalisation",
            "src/main/java/com/example/Application",
            "550e8400-e29b-41d4-a716-446655440000",
            "9fc4736b0f0d3f7fbe1c3f5b7b1c4c6dd2c2d6ce",
            "4111111111111111",
            "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
            "00:1b:44:11:3a:b7",
            "2024-01-15 12-30-45",
        ] {
            check(text, &[]);
        }
    }

    /// Characters that look random, and are the same each time.
    fn noise(length: usize) -> String {
        let mut state = 7_u64;
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                char::from(letters[usize::try_from(state >> 58).unwrap()])
            })
            .collect()
    }

    #[test]
    fn long_random_runs_are_opaque() {
        let long = noise(OPAQUE_BYTES_MIN);
        check(&long, &[("", "opaque")]);
        check(&format!("data:image/png;base64,{long}"), &[("", "opaque")]);
        let lines: Vec<_> = (0..OPAQUE_BYTES_MIN / 64 + 1).map(|_| noise(64)).collect();
        check(&lines.join("\n"), &[("", "opaque")]);
        check(&noise(OPAQUE_BYTES_MIN - 1), &[]);
        for known in [
            "ssh-rsa AAAAB3",
            "-----BEGIN CERTIFICATE-----\n",
            "eyJhIjoxfQ.e30.",
        ] {
            check(&format!("{known}{long}"), &[]);
        }
        check(&"ab".repeat(OPAQUE_BYTES_MIN), &[]);
        check(&"0123456789abcdef".repeat(100), &[]);
    }
}
