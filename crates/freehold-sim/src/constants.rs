//! What hardware and engines really reach: fitted on published measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;
use crate::quantisation::{Precision, Weights};
use crate::server::Server;

/// How many constants there are.
pub(crate) const COUNT: usize = 12;

/// Shares of the hardware's limits that are reached, and the engine's own work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Constants {
    /// Share of memory bandwidth when weights are read.
    pub weight_bandwidth: f64,
    /// Share of memory bandwidth when the cache is read.
    pub cache_bandwidth: f64,
    /// Share of the matrix units' peak.
    pub compute: f64,
    /// Share of the 16-bit peak in attention over prompts.
    pub attention_compute: f64,
    /// Microseconds of every step.
    pub step_us: f64,
    /// Microseconds of every layer of a step.
    pub layer_us: f64,
    /// Microseconds of every decoding sequence of a step.
    pub sequence_us: f64,
    /// Share of the link's bandwidth in all-reduces.
    pub link: f64,
    /// Microseconds of latency per all-reduce and doubling of GPUs.
    pub reduce_us: f64,
    /// Experts: share of `weight_bandwidth`.
    pub expert_bandwidth: f64,
    /// Experts: share of `compute`.
    pub expert_compute: f64,
    /// Microseconds of every layer of a step that works on prompts, on top: engines then launch a layer
    /// part by part instead of replaying a recorded graph, and attend to prompts apart.
    pub prompt_layer_us: f64,
}

/// Names of the constants, in the order of [`Constants::to_array`].
pub(crate) const NAMES: [&str; COUNT] = [
    "weight_bandwidth",
    "cache_bandwidth",
    "compute",
    "attention_compute",
    "step_us",
    "layer_us",
    "sequence_us",
    "link",
    "reduce_us",
    "expert_bandwidth",
    "expert_compute",
    "prompt_layer_us",
];

impl Constants {
    pub(crate) fn from_array(values: [f64; COUNT]) -> Self {
        let [
            weight_bandwidth,
            cache_bandwidth,
            compute,
            attention_compute,
            step_us,
            layer_us,
            sequence_us,
            link,
            reduce_us,
            expert_bandwidth,
            expert_compute,
            prompt_layer_us,
        ] = values;
        Self {
            weight_bandwidth,
            cache_bandwidth,
            compute,
            attention_compute,
            step_us,
            layer_us,
            sequence_us,
            link,
            reduce_us,
            expert_bandwidth,
            expert_compute,
            prompt_layer_us,
        }
    }
}

/// How many groups a replica belongs to.
pub(crate) const GROUPS: usize = 5;

/// What is fitted apart: constants are the base times a factor for each of these. Links, memory and the
/// engine's own work are the same for mixtures and dense models; what an engine does with a mixture, and
/// how well matrices of a format are multiplied, is not: their kernels are others.
pub(crate) fn groups_of(server: &Server) -> [String; GROUPS] {
    let kind = if server.shape.experts.is_some() {
        "mixture"
    } else {
        "dense"
    };
    let engine = server.engine.name();
    [
        format!("engine {engine}"),
        format!("family {}", server.gpu.family),
        format!("{kind}, engine {engine}"),
        format!("{kind}, numbers {}", numbers(server.weights, &server.gpu)),
        kind.to_owned(),
    ]
}

/// The family of number formats: what is computed in, and whether weights must be unpacked first.
fn numbers(weights: Weights, gpu: &Gpu) -> &'static str {
    match (gpu.precision(weights), weights.bits() < 16.0) {
        (Precision::Sixteen, false) => "16",
        (Precision::Sixteen, true) => "unpacked",
        (Precision::Eight, _) => "8",
        (Precision::Four, _) => "4",
    }
}

/// Fitted constants: a base, and factors per engine, GPU family, number format and kind of model.
///
/// A factor of 1 is left out; what was never measured (an engine on a GPU family without any
/// published figure) therefore gets the base, which is the middle of what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedConstants {
    /// How many measurements they were fitted on.
    pub rows: usize,
    /// The base.
    pub base: Constants,
    /// By group, by constant: the factor.
    pub factors: BTreeMap<String, BTreeMap<String, f64>>,
}

impl FittedConstants {
    /// The constants that come with this version, as `freehold sim fit` wrote them.
    #[must_use]
    pub fn bundled() -> Self {
        let text = include_str!("../data/constants.json");
        serde_json::from_str(text).unwrap_or_else(|error| {
            unreachable!("the bundled constants are tested to be readable: {error}")
        })
    }

    /// The file's text, as it is bundled.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.map_or_else(|_| unreachable!("numbers and names"), |text| text + "\n")
    }

    /// The constants that hold for a replica.
    #[must_use]
    pub fn of(&self, server: &Server) -> Constants {
        let mut values = self.base.to_array();
        for group in groups_of(server) {
            let Some(factors) = self.factors.get(&group) else {
                continue;
            };
            for (value, name) in values.iter_mut().zip(NAMES) {
                *value *= factors.get(name).copied().unwrap_or(1.0);
            }
        }
        Constants::from_array(values).limited()
    }

    /// Whether an engine's, a GPU family's and a format's own figures went into them, and if not,
    /// which did not.
    #[must_use]
    pub fn unseen(&self, server: &Server) -> Vec<String> {
        groups_of(server)
            .into_iter()
            .filter(|group| !self.factors.contains_key(group))
            .collect()
    }
}

impl Constants {
    /// In the order of [`NAMES`].
    #[must_use]
    pub(crate) fn to_array(self) -> [f64; COUNT] {
        [
            self.weight_bandwidth,
            self.cache_bandwidth,
            self.compute,
            self.attention_compute,
            self.step_us,
            self.layer_us,
            self.sequence_us,
            self.link,
            self.reduce_us,
            self.expert_bandwidth,
            self.expert_compute,
            self.prompt_layer_us,
        ]
    }

    /// Nothing exceeds what the hardware has.
    fn limited(self) -> Self {
        Self {
            weight_bandwidth: self.weight_bandwidth.min(0.98),
            cache_bandwidth: self.cache_bandwidth.min(0.98),
            compute: self.compute.min(0.98),
            attention_compute: self.attention_compute.min(0.98),
            link: self.link.min(0.98),
            ..self
        }
    }
}
