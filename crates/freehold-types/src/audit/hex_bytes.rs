//! Hashes, keys and signatures, written as lower-case hex digits.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `N` bytes, written as `2 N` lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexBytes<const N: usize>(pub [u8; N]);

/// A SHA-256.
pub type Digest = HexBytes<32>;
/// An Ed25519 public key.
pub type PublicKeyBytes = HexBytes<32>;
/// An Ed25519 signature.
pub type SignatureBytes = HexBytes<64>;
/// Names a public key: the first 16 bytes of its SHA-256.
pub type KeyId = HexBytes<16>;

/// A text that is not the expected number of lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} lower-case hex digits")]
pub struct NotHex {
    /// How many.
    pub digits: usize,
}

impl<const N: usize> HexBytes<N> {
    /// `N` zero bytes.
    pub const ZERO: Self = Self([0; N]);

    /// Writes the digits over the beginning of `digits`; false when there is no room.
    pub fn write_to(&self, digits: &mut [u8]) -> bool {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let Some(digits) = digits.get_mut(..2 * N) else {
            return false;
        };
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            pair.copy_from_slice(&[DIGITS[high], DIGITS[low]]);
        }
        true
    }

    /// Reads exactly `2 N` lower-case hex digits.
    ///
    /// # Errors
    /// [`NotHex`] for anything else, upper-case digits included: a value has one form only.
    pub fn parse(digits: &[u8]) -> Result<Self, NotHex> {
        let wrong = NotHex { digits: 2 * N };
        if digits.len() != 2 * N {
            return Err(wrong);
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(wrong);
            };
            *byte = (value(high).ok_or(wrong)? << 4) | value(low).ok_or(wrong)?;
        }
        Ok(Self(bytes))
    }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl<const N: usize> fmt::Display for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for HexBytes<N> {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        Self::parse(text.as_bytes())
    }
}

impl<const N: usize> Serialize for HexBytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexBytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
