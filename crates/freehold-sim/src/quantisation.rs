//! How many bytes a weight takes, and in which precision is computed with it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::SimError;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// 32-bit floating point.
    Fp32,
    /// 16-bit brain floating point.
    Bf16,
    /// 16-bit floating point.
    Fp16,
    /// 8-bit floating point.
    Fp8,
    /// 8-bit integers, activations too (W8A8).
    Int8,
    /// 4-bit floating point with a scale per 16 weights (NVFP4).
    Nvfp4,
    /// 4-bit floating point with a scale per 32 weights, in the experts only (as gpt-oss is published).
    Mxfp4,
    /// 4-bit integers in groups of 128 (AWQ, GPTQ), computed in 16 bits.
    Int4,
    /// GGUF `Q8_0`.
    Q8_0,
    /// GGUF `Q6_K`.
    Q6K,
    /// GGUF `Q5_K_M`.
    Q5KM,
    /// GGUF `Q5_0`.
    Q5_0,
    /// GGUF `Q4_K_M`.
    Q4KM,
    /// GGUF `Q4_1`.
    Q4_1,
    /// GGUF `Q4_0`.
    Q4_0,
    /// GGUF `Q3_K_M`.
    Q3KM,
    /// GGUF `Q2_K`.
    Q2K,
}

/// In which precision the matrix units compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 16 bits.
    Sixteen,
    /// 8 bits.
    Eight,
    /// 4 bits.
    Four,
}

/// Name and bits per weight, scales included.
///
/// Sources: block layouts of llama.cpp's `ggml-common.h` for pure types (`Q8_0` = 34 bytes for 32 weights),
/// its quantisation table for mixtures (`Q4_K_M`, ...; Llama-3.1-8B); NVFP4: 4 bits and an 8-bit scale per
/// 16; MXFP4: 4 bits and an 8-bit scale per 32; AWQ/GPTQ: 4 bits, a 16-bit scale and a 4-bit zero per 128.
const TABLE: [(Weights, &str, f64); 17] = [
    (Weights::Fp32, "fp32", 32.0),
    (Weights::Bf16, "bf16", 16.0),
    (Weights::Fp16, "fp16", 16.0),
    (Weights::Fp8, "fp8", 8.0),
    (Weights::Int8, "int8", 8.0),
    (Weights::Nvfp4, "nvfp4", 4.5),
    (Weights::Mxfp4, "mxfp4", 4.25),
    (Weights::Int4, "int4", 4.16),
    (Weights::Q8_0, "q8_0", 8.5),
    (Weights::Q6K, "q6_k", 6.5625),
    (Weights::Q5KM, "q5_k_m", 5.7),
    (Weights::Q5_0, "q5_0", 5.5),
    (Weights::Q4KM, "q4_k_m", 4.89),
    (Weights::Q4_1, "q4_1", 5.0),
    (Weights::Q4_0, "q4_0", 4.5),
    (Weights::Q3KM, "q3_k_m", 4.0),
    (Weights::Q2K, "q2_k", 3.16),
];

impl Weights {
    /// All of them, from large to small within a family.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(weights, _, _)| *weights)
    }

    /// The usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Bits of one quantised weight, scales included.
    #[must_use]
    pub fn bits(self) -> f64 {
        TABLE[self as usize].2
    }

    /// Bytes of one quantised weight, scales included.
    #[must_use]
    pub fn bytes(self) -> f64 {
        self.bits() / 8.0
    }

    /// Whether embeddings and the output layer are quantised too, as GGUF files do; GPU formats leave
    /// them in 16 bits.
    #[must_use]
    pub fn covers_embeddings(self) -> bool {
        self >= Self::Q8_0
    }

    /// Whether only the experts are quantised.
    #[must_use]
    pub fn is_experts_only(self) -> bool {
        self == Self::Mxfp4
    }

    /// What the format lets the matrix units compute in, on a GPU that has such units.
    #[must_use]
    pub fn precision(self) -> Precision {
        match self {
            Self::Fp8 | Self::Int8 => Precision::Eight,
            Self::Nvfp4 | Self::Mxfp4 => Precision::Four,
            _ => Precision::Sixteen,
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Weights {
    type Err = SimError;

    /// Reads the usual names, and those of published benchmarks (`fp4`, `int4-awq`, `w8a8`).
    fn from_str(text: &str) -> Result<Self, SimError> {
        let name = text.trim().to_lowercase().replace('-', "_");
        let found = TABLE.iter().find(|(_, known, _)| *known == name);
        if let Some((weights, _, _)) = found {
            return Ok(*weights);
        }
        match name.as_str() {
            "float32" | "f32" => Ok(Self::Fp32),
            "bfloat16" => Ok(Self::Bf16),
            "float16" | "half" | "f16" => Ok(Self::Fp16),
            "fp8_e4m3" | "float8" | "w8a8_fp8" | "fp8_block" => Ok(Self::Fp8),
            "w8a8" | "int8_w8a8" => Ok(Self::Int8),
            "fp4" => Ok(Self::Nvfp4),
            "awq" | "gptq" | "int4_awq" | "int4_gptq" | "w4a16" | "awq_marlin" | "gptq_marlin" => {
                Ok(Self::Int4)
            }
            _ => Err(SimError::Unknown {
                what: "quantisation",
                name: text.to_owned(),
                hint: format!("use one of {}", TABLE.map(|(_, known, _)| known).join(", ")),
            }),
        }
    }
}

/// How the cache of keys and values is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheType {
    /// 16 bits, what servers do unless told otherwise.
    #[default]
    Sixteen,
    /// 8 bits.
    Eight,
}

impl CacheType {
    /// Bytes of one cached number.
    #[must_use]
    pub fn bytes(self) -> f64 {
        match self {
            Self::Sixteen => 2.0,
            Self::Eight => 1.0,
        }
    }
}

impl FromStr for CacheType {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        match text.trim().to_lowercase().as_str() {
            "auto" | "fp16" | "bf16" | "16" | "f16" => Ok(Self::Sixteen),
            "fp8" | "int8" | "8" | "q8_0" => Ok(Self::Eight),
            _ => Err(SimError::Unknown {
                what: "cache type",
                name: text.to_owned(),
                hint: "use fp16 or fp8".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for weights in Weights::all() {
            assert_eq!(weights.name().parse::<Weights>().unwrap(), weights);
            assert_eq!(TABLE[weights as usize].0, weights);
        }
    }

    #[test]
    fn names_of_published_benchmarks_are_known_and_others_are_told() {
        assert_eq!("INT4-AWQ".parse::<Weights>().unwrap(), Weights::Int4);
        assert_eq!("fp4".parse::<Weights>().unwrap(), Weights::Nvfp4);
        let told = "int3".parse::<Weights>().unwrap_err().to_string();
        assert!(told.contains("int3") && told.contains("q4_k_m"), "{told}");
    }
}
