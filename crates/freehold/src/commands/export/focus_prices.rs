//! Classes of what is charged for, and what they cost in proportion to each other.

use std::collections::HashMap;

use freehold_cost::PriceBook;
use freehold_types::{BackendId, DeploymentId, NanoUsd, Perimeter, PriceBasis, Usage};

use super::focus::Group;

/// What is charged for, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Input,
    CachedInput,
    CacheWrite,
    InputAudio,
    InputImage,
    Output,
    Reasoning,
    OutputAudio,
    OutputImage,
    WebSearch,
    CodeExecution,
}

pub(super) const CLASSES: [Class; 11] = [
    Class::Input,
    Class::CachedInput,
    Class::CacheWrite,
    Class::InputAudio,
    Class::InputImage,
    Class::Output,
    Class::Reasoning,
    Class::OutputAudio,
    Class::OutputImage,
    Class::WebSearch,
    Class::CodeExecution,
];

impl Class {
    /// How much of a consistent usage is of this class and of no other.
    pub(super) fn units_of(self, usage: &Usage) -> u64 {
        let less = u64::saturating_sub;
        match self {
            Self::Input => {
                let cached = usage.cached_input_tokens + usage.cache_write_tokens;
                let media = usage.input_audio_tokens + usage.input_image_tokens;
                less(usage.input_tokens, cached + media)
            }
            Self::CachedInput => usage.cached_input_tokens,
            Self::CacheWrite => usage.cache_write_tokens,
            Self::InputAudio => usage.input_audio_tokens,
            Self::InputImage => usage.input_image_tokens,
            Self::Output => {
                let media = usage.output_audio_tokens + usage.output_image_tokens;
                less(usage.output_tokens, usage.reasoning_tokens + media)
            }
            Self::Reasoning => usage.reasoning_tokens,
            Self::OutputAudio => usage.output_audio_tokens,
            Self::OutputImage => usage.output_image_tokens,
            Self::WebSearch => usage.web_searches,
            Self::CodeExecution => usage.code_executions,
        }
    }

    /// A usage of nothing else.
    fn usage(self, units: u64) -> Usage {
        let mut usage = Usage::default();
        match self {
            Self::Input => usage.input_tokens = units,
            Self::CachedInput => {
                (usage.input_tokens, usage.cached_input_tokens) = (units, units);
            }
            Self::CacheWrite => (usage.input_tokens, usage.cache_write_tokens) = (units, units),
            Self::InputAudio => (usage.input_tokens, usage.input_audio_tokens) = (units, units),
            Self::InputImage => (usage.input_tokens, usage.input_image_tokens) = (units, units),
            Self::Output => usage.output_tokens = units,
            Self::Reasoning => (usage.output_tokens, usage.reasoning_tokens) = (units, units),
            Self::OutputAudio => (usage.output_tokens, usage.output_audio_tokens) = (units, units),
            Self::OutputImage => (usage.output_tokens, usage.output_image_tokens) = (units, units),
            Self::WebSearch => usage.web_searches = units,
            Self::CodeExecution => usage.code_executions = units,
        }
        usage
    }

    /// The class in custom columns and price ids.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::InputAudio => "input_audio",
            Self::InputImage => "input_image",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::OutputAudio => "output_audio",
            Self::OutputImage => "output_image",
            Self::WebSearch => "web_search",
            Self::CodeExecution => "code_execution",
        }
    }

    /// The class in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Input => "Input tokens",
            Self::CachedInput => "Cached input tokens",
            Self::CacheWrite => "Cache write tokens",
            Self::InputAudio => "Audio input tokens",
            Self::InputImage => "Image input tokens",
            Self::Output => "Output tokens",
            Self::Reasoning => "Reasoning tokens",
            Self::OutputAudio => "Audio output tokens",
            Self::OutputImage => "Image output tokens",
            Self::WebSearch => "Web searches",
            Self::CodeExecution => "Code executions",
        }
    }

    /// What it is counted in.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::WebSearch => "Searches",
            Self::CodeExecution => "Executions",
            _ => "Tokens",
        }
    }
}

/// Units for which list prices are sampled: below the tiers of long prompts.
const SAMPLE_UNITS: u64 = 1_000;

/// Who stands behind a backend, and how its use is paid for.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    /// How all its models are paid for, when the configuration says so.
    pub(super) price: Option<PriceBasis>,
    /// Its id in the price book.
    pub(super) price_provider: Option<String>,
}

/// What the configuration and the price book know of prices today.
pub(super) struct Prices {
    book: PriceBook,
    deployments: HashMap<DeploymentId, PriceBasis>,
    backends: HashMap<BackendId, Provider>,
    /// Of one day.
    weights: HashMap<DeploymentId, [u64; CLASSES.len()]>,
    weights_day_ms: u64,
}

impl Prices {
    pub(super) fn new(
        deployments: HashMap<DeploymentId, PriceBasis>,
        backends: HashMap<BackendId, Provider>,
    ) -> Self {
        Self {
            book: PriceBook::bundled(),
            deployments,
            backends,
            weights: HashMap::new(),
            weights_day_ms: 0,
        }
    }

    /// Who serves a group's requests.
    pub(super) fn provider<'a>(&'a self, group: &'a Group) -> &'a str {
        match group.perimeter {
            Perimeter::Inside => "Self-hosted",
            Perimeter::Outside => {
                let known = self.backends.get(&group.backend);
                known.map_or(group.backend.as_str(), |known| &known.name)
            }
        }
    }

    /// What an hour of a deployment costs, if it is paid so.
    pub(super) fn per_hour(&self, group: &Group) -> Option<NanoUsd> {
        let backend = self.backends.get(&group.backend);
        let configured = backend.and_then(|backend| backend.price.as_ref());
        match self.deployments.get(&group.deployment).or(configured) {
            Some(PriceBasis::Hourly { per_hour }) if per_hour.nanos() > 0 => Some(*per_hour),
            _ => None,
        }
    }

    /// What the classes cost in proportion to each other; all zero when nobody knows.
    pub(super) fn weights(&mut self, group: &Group, day_ms: u64) -> [u64; CLASSES.len()] {
        if self.weights_day_ms != day_ms {
            self.weights.clear();
            self.weights_day_ms = day_ms;
        }
        if let Some(known) = self.weights.get(&group.deployment) {
            return *known;
        }
        let weights = self.sampled(group, day_ms);
        self.weights.insert(group.deployment.clone(), weights);
        weights
    }

    fn sampled(&self, group: &Group, day_ms: u64) -> [u64; CLASSES.len()] {
        let backend = self.backends.get(&group.backend);
        let provider = backend.and_then(|backend| backend.price_provider.clone());
        let listed = PriceBasis::Listed {
            provider: provider.unwrap_or_else(|| group.backend.to_string()),
            model: group.model().to_owned(),
        };
        let configured = backend.and_then(|backend| backend.price.as_ref());
        let basis = match self.deployments.get(&group.deployment).or(configured) {
            Some(PriceBasis::Hourly { .. } | PriceBasis::Unknown) | None => &listed,
            Some(known) => known,
        };
        let cost = |usage: &Usage| {
            let cost = self.book.cost(basis, usage, day_ms).ok()?;
            u64::try_from(cost.total.nanos()).ok()
        };
        let fee = cost(&Usage::default()).unwrap_or(0);
        CLASSES.map(|class| {
            let cost = cost(&class.usage(SAMPLE_UNITS));
            cost.map_or(0, |cost| cost.saturating_sub(fee))
        })
    }
}
