//! Prices by token: an operator's own list, and which price book a figure came from.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::NanoUsd;

/// Which price book priced a request: `genai-0.2.1` for the one that is compiled in, the beginning of
/// the file's SHA-256 for one that was fetched. At most 16 bytes of ASCII, kept in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BookId([u8; Self::BYTES_MAX]);

impl BookId {
    /// Its longest name.
    pub const BYTES_MAX: usize = 16;

    /// An id of this name: what is not printable ASCII, and whatever is too long, is left out.
    pub fn new(name: &str) -> Self {
        let mut id = [0; Self::BYTES_MAX];
        let printable = name.bytes().filter(u8::is_ascii_graphic);
        for (place, byte) in id.iter_mut().zip(printable) {
            *place = byte;
        }
        Self(id)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let bytes = self.0.iter().position(|byte| *byte == 0);
        let name = &self.0[..bytes.unwrap_or(Self::BYTES_MAX)];
        // Only ASCII ever goes in.
        std::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Display for BookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BookId({self})")
    }
}

impl Serialize for BookId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for BookId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::new(&name))
    }
}

/// Prices per million tokens. A class without a price of its own costs what its whole does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRates {
    /// Fresh input.
    pub input: NanoUsd,
    /// Input read from a cache; else as `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<NanoUsd>,
    /// Input written to a cache; else as `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<NanoUsd>,
    /// Input written to a one-hour cache; else as `cache_write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<NanoUsd>,
    /// Input that encodes audio; else as `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<NanoUsd>,
    /// Input that encodes pictures; else as `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_image: Option<NanoUsd>,
    /// Output.
    pub output: NanoUsd,
    /// Output spent on reasoning; else as `output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<NanoUsd>,
    /// Output that encodes audio; else as `output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<NanoUsd>,
    /// Output that encodes pictures; else as `output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_image: Option<NanoUsd>,
}

/// Prices of long requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceTier {
    /// Where it begins: with more than so many prompt tokens.
    pub above_input_tokens: u64,
    /// Its prices.
    pub rates: TokenRates,
}

/// To which tokens a tier's prices apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TiersApply {
    /// To all tokens of a request whose prompt is longer than the tier's beginning, as all vendors
    /// with such prices do today.
    #[default]
    WholeRequest,
    /// Only to the tokens beyond the tier's beginning, counted from the prompt's first token: what is
    /// cached, then what is written to the cache, then the rest of the prompt, then the answer.
    Beyond,
}

/// An operator's own prices of one deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceList {
    /// Up to the first tier.
    pub rates: TokenRates,
    /// In ascending order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<PriceTier>,
    /// To which tokens a tier's prices apply.
    pub tiers_apply: TiersApply,
    /// For each request.
    pub per_request: NanoUsd,
    /// For a thousand searches of the web.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_searches_per_thousand: Option<NanoUsd>,
    /// For a thousand programs run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_executions_per_thousand: Option<NanoUsd>,
    /// Tokens of a batch cost so many percent of the standard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_percent: Option<u32>,
    /// Tokens served when there was room cost so many percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flex_percent: Option<u32>,
    /// Tokens served before others' cost so many percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_percent: Option<u32>,
    /// Tokens served fast cost so many percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_percent: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_books_are_short_printable_text() {
        for (name, shown) in [
            ("genai-0.2.1", "genai-0.2.1"),
            ("0123456789abcdef0123", "0123456789abcdef"),
            ("a\u{0}b\nc é", "abc"),
            ("", ""),
        ] {
            let id = BookId::new(name);
            assert_eq!(id.as_str(), shown);
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<BookId>(&text).unwrap(), id);
        }
    }
}
