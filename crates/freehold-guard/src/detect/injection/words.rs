//! The words of a text and what is looked at in each.

use super::super::names::letter::{char_at, is_letter, is_unspaced, lower};
use crate::bytes::{ALPHANUMERIC, LETTER, WIDE};

/// Features of one word at most.
pub const FEATURES_MAX: usize = 8;
/// Stands for a feature that a word does not have.
pub const NO_FEATURE: u32 = u32::MAX;

/// Hashes of the features of one word.
pub type Features = [u32; FEATURES_MAX];

/// Longest word that is read as one, in bytes; longer ones are blobs.
const WORD_BYTES_MAX: usize = 40;

const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

/// Never [`NO_FEATURE`].
const fn mix(hash: u32) -> u32 {
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)) & 0x7fff_ffff
}

const fn pair(kind: u32, left: u32, right: u32) -> u32 {
    mix(kind.wrapping_mul(0x9e37_79b1) ^ left.rotate_left(9) ^ right.wrapping_mul(0x2c1b_3c6d))
}

fn is_word(byte: u8) -> bool {
    ALPHANUMERIC.or(WIDE).has(byte)
}

/// Signs that structure a text or end a question; other punctuation is skipped.
fn is_sign(byte: u8) -> bool {
    matches!(
        byte,
        b'<' | b'>'
            | b'|'
            | b'#'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'='
            | b'`'
            | b'*'
            | b'-'
            | b':'
            | b'?'
            | b'!'
    )
}

/// Calls `word` with the byte range and the features of each word of a text, and whether it consists of
/// letters.
pub fn features(text: &str, word: &mut impl FnMut(std::ops::Range<usize>, &Features, bool)) {
    let bytes = text.as_bytes();
    let (mut before, mut earlier) = (1_u32, 2_u32);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let byte = bytes[at];
        let mut seen = [NO_FEATURE; FEATURES_MAX];
        let key;
        let mut is_lettered = false;
        if byte.is_ascii_digit() {
            while at < bytes.len() && bytes[at].is_ascii_digit() {
                at += 1;
            }
            key = 7;
        } else if is_word(byte) {
            (key, at) = letters(text, at, &mut seen);
            is_lettered = true;
            if at == start {
                at += char_at(text, start).len_utf8();
                continue;
            }
        } else if is_sign(byte) {
            let mut hash = 0x811c_9dc5;
            while at < bytes.len() && is_sign(bytes[at]) {
                if at - start < 4 {
                    hash = step(hash, bytes[at]);
                }
                at += 1;
            }
            key = mix(hash);
        } else {
            at += 1;
            continue;
        }
        seen[0] = pair(1, key, 0);
        seen[1] = pair(2, before, key);
        seen[2] = pair(3, earlier.rotate_left(5) ^ before, key);
        seen[3] = pair(4, earlier, key);
        word(start..at, &seen, is_lettered);
        earlier = before;
        before = key;
    }
}

/// Reads a word of letters: its key and its end. Stays where it is at a character that is no letter.
fn letters(text: &str, start: usize, seen: &mut Features) -> (u32, usize) {
    let bytes = text.as_bytes();
    let mut hash = 0x811c_9dc5;
    let mut at = start;
    let mut prefixes = [0_u32; 2];
    let mut count = 0;
    let mut tail = [0_u32; 3];
    while at < bytes.len() && at - start < WORD_BYTES_MAX {
        let byte = bytes[at];
        let code = if LETTER.has(byte) {
            let lower = byte.to_ascii_lowercase();
            hash = step(hash, lower);
            at += 1;
            u32::from(lower)
        } else if byte < 0x80 {
            break;
        } else {
            let letter = char_at(text, at);
            // Without blanks between words, each character is one.
            let alone = is_unspaced(letter);
            let is_mark = matches!(letter, '\u{300}'..='\u{36f}');
            if alone && at > start || !alone && !is_letter(letter) && !is_mark {
                break;
            }
            let lower = lower(letter);
            hash = (hash ^ u32::from(lower)).wrapping_mul(0x0100_0193);
            at += letter.len_utf8();
            if alone {
                return (mix(hash), at);
            }
            u32::from(lower)
        };
        count += 1;
        tail = [tail[1], tail[2], code];
        if count == 4 {
            prefixes[0] = hash;
        } else if count == 6 {
            prefixes[1] = hash;
        }
    }
    if count > 4 {
        seen[4] = pair(5, prefixes[0], 0);
        seen[5] = pair(6, tail[0].rotate_left(16) ^ tail[1].rotate_left(8), tail[2]);
    }
    if count > 6 {
        seen[6] = pair(7, prefixes[1], 0);
    }
    (mix(hash), at)
}
