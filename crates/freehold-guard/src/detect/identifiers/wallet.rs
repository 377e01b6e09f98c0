//! Addresses of crypto wallets.

use sha2::{Digest, Sha256};

/// Version bytes of addresses: Bitcoin (P2PKH, P2SH), Litecoin (two), Dogecoin (two), Tron.
const VERSIONS: [u8; 7] = [0x00, 0x05, 0x30, 0x32, 0x1e, 0x16, 0x41];

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// True for an address in Base58Check: version, 20 bytes, the first four bytes of a double SHA-256
/// (Bitcoin wiki, "Base58Check encoding").
pub(super) fn is_base58_address(word: &[u8]) -> bool {
    if !(26..=35).contains(&word.len()) {
        return false;
    }
    let mut decoded = [0_u8; 25];
    for byte in word {
        let Some(digit) = BASE58.iter().position(|known| known == byte) else {
            return false;
        };
        let mut carry = digit;
        for place in decoded.iter_mut().rev() {
            carry += usize::from(*place) * 58;
            *place = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    if !VERSIONS.contains(&decoded[0]) {
        return false;
    }
    let check = Sha256::digest(Sha256::digest(&decoded[..21]));
    check[..4] == decoded[21..]
}

const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// True for a segregated-witness address `bc1...`, `ltc1...` (BIP 173, BIP 350).
pub(super) fn is_bech32_address(word: &[u8]) -> bool {
    let Some(split) = word.iter().position(|byte| *byte == b'1') else {
        return false;
    };
    let (prefix, data) = (&word[..split], &word[split + 1..]);
    let known = [&b"bc"[..], b"tb", b"ltc"]
        .iter()
        .any(|known| prefix.eq_ignore_ascii_case(known));
    if !known || !(14..=74).contains(&word.len()) || data.len() < 8 {
        return false;
    }
    let prefix = prefix.iter().map(u8::to_ascii_lowercase);
    let mut sum = prefix
        .clone()
        .map(|byte| byte >> 5)
        .chain([0])
        .chain(prefix.map(|byte| byte & 31))
        .fold(1, step);
    for byte in data {
        let lower = byte.to_ascii_lowercase();
        let Some(value) = BECH32.iter().position(|known| *known == lower) else {
            return false;
        };
        sum = step(sum, (value & 31) as u8);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}

/// One step of the checksum of BIP 173.
fn step(sum: u32, value: u8) -> u32 {
    const GENERATORS: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    let top = sum >> 25;
    let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
    GENERATORS
        .iter()
        .enumerate()
        .filter(|(bit, _)| top >> bit & 1 == 1)
        .fold(next, |sum, (_, generator)| sum ^ generator)
}

/// True for the shape of an Ethereum address; its checksum needs Keccak and is optional, so it counts
/// only next to a word.
pub(super) fn is_ethereum_shaped(word: &[u8]) -> bool {
    word.len() == 42
        && word[0] == b'0'
        && matches!(word[1], b'x' | b'X')
        && word[2..].iter().all(u8::is_ascii_hexdigit)
}
