//! GPUs, as their vendors state them.

use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::error::SimError;
use crate::quantisation::{Precision, Weights};

/// How GPUs of one server reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// NVIDIA's NVLink.
    Nvlink,
    /// AMD's Infinity Fabric.
    Fabric,
    /// The PCI Express bus.
    Pcie,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// The name used here.
    pub name: String,
    /// Other names, separated by `|`.
    #[serde(default)]
    pub aliases: String,
    /// The architecture; constants are fitted per family.
    pub family: String,
    /// Memory as the driver reports it, MiB.
    pub memory_mib: u64,
    /// Memory bandwidth, GB/s (10^9).
    pub bandwidth_gb_s: f64,
    /// Dense 16-bit TFLOPS.
    pub tflops_16: f64,
    /// Dense 8-bit TFLOPS; nothing when there are no such units.
    pub tflops_8: Option<f64>,
    /// Dense 4-bit TFLOPS; nothing when there are no such units.
    pub tflops_4: Option<f64>,
    /// How it reaches its neighbours.
    pub link: Link,
    /// How fast, GB/s in one direction.
    pub link_gb_s: f64,
    /// Board power, watts.
    pub board_power_w: f64,
    /// The document that says so.
    pub source: String,
}

impl Gpu {
    /// The bundled GPUs.
    #[must_use]
    pub fn catalogue() -> Vec<Self> {
        catalogue::rows(include_str!("../data/gpus.csv"))
    }

    /// A GPU of the catalogue.
    ///
    /// # Errors
    /// [`SimError::Unknown`] with the nearest names.
    pub fn find(name: &str) -> Result<Self, SimError> {
        let wanted = catalogue::plain(name);
        let mut all = Self::catalogue();
        let found = all
            .iter()
            .position(|gpu| catalogue::is_called(&wanted, &gpu.name, &gpu.aliases));
        match found {
            Some(index) => Ok(all.swap_remove(index)),
            None => Err(catalogue::unknown(
                "GPU",
                name,
                all.iter().map(|gpu| gpu.name.as_str()),
                "`freehold fit --list` shows all",
            )),
        }
    }

    /// Memory, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> f64 {
        self.memory_mib as f64 * 1_048_576.0
    }

    /// What is computed in on this GPU with weights of that kind.
    ///
    /// Formats that a GPU has no units for are unpacked and computed in 16 bits.
    #[must_use]
    pub fn precision(&self, weights: Weights) -> Precision {
        match weights.precision() {
            Precision::Four if self.tflops_4.is_some() => Precision::Four,
            Precision::Eight if self.tflops_8.is_some() => Precision::Eight,
            // Ampere and Turing have 8-bit integer units, twice as fast as the 16-bit ones.
            Precision::Eight if weights == Weights::Int8 => Precision::Eight,
            _ => Precision::Sixteen,
        }
    }

    /// Dense operations per second in a precision.
    #[must_use]
    pub fn flops(&self, precision: Precision) -> f64 {
        let tera = match precision {
            Precision::Sixteen => self.tflops_16,
            Precision::Eight => self.tflops_8.unwrap_or(2.0 * self.tflops_16),
            Precision::Four => self.tflops_4.unwrap_or(self.tflops_16),
        };
        tera * 1e12
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read_and_makes_sense() {
        let table = include_str!("../data/gpus.csv");
        let rows = table.lines().filter(|line| !line.starts_with('#')).count() - 1;
        let gpus = Gpu::catalogue();
        assert_eq!(gpus.len(), rows);
        for gpu in gpus {
            assert!(
                gpu.memory_mib > 10_000 && gpu.bandwidth_gb_s > 200.0,
                "{gpu:?}"
            );
            assert!(
                gpu.tflops_8.is_none_or(|eight| eight > gpu.tflops_16),
                "{gpu:?}"
            );
            assert_eq!(Gpu::find(&gpu.name).unwrap(), gpu);
        }
    }

    #[test]
    fn names_are_forgiving_and_unknown_ones_are_told() {
        assert_eq!(Gpu::find("h100").unwrap().name, "H100-SXM");
        assert_eq!(Gpu::find("rtx 4090").unwrap().name, "RTX-4090");
        let told = Gpu::find("H101").unwrap_err().to_string();
        assert!(
            told.contains("H101") && told.contains("L40S") | told.contains("H100"),
            "{told}"
        );
    }

    #[test]
    fn formats_without_units_are_computed_in_16_bits() {
        let a100 = Gpu::find("A100").unwrap();
        assert_eq!(a100.precision(Weights::Fp8), Precision::Sixteen);
        assert_eq!(a100.precision(Weights::Int8), Precision::Eight);
        let h100 = Gpu::find("H100").unwrap();
        assert_eq!(h100.precision(Weights::Fp8), Precision::Eight);
        assert_eq!(h100.precision(Weights::Nvfp4), Precision::Sixteen);
    }
}
