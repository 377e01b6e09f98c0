//! The formats, by name.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What a record of traffic looks like. docs/workload.md describes each, and says where it is
/// described by those who make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// What [`crate::write_jsonl`] and [`crate::write_csv`] write.
    Freehold,
    /// `freehold export`: attempts as CSV, JSON lines or Parquet.
    FreeholdExport,
    /// The gateway's own ledger.
    Ledger,
    /// `OpenAI`: the usage API's pages, or the dashboard's CSV.
    OpenaiUsage,
    /// Anthropic: the usage report's pages, or the console's CSV.
    AnthropicUsage,
    /// `LiteLLM`: the table `LiteLLM_SpendLogs`.
    Litellm,
    /// Langfuse: observations.
    Langfuse,
    /// Helicone: requests.
    Helicone,
    /// The Azure LLM inference traces.
    AzureTrace,
    /// The Mooncake traces.
    Mooncake,
    /// `ServeGen`: arrival parameters of each client and window.
    ServegenRates,
    /// `ServeGen`: length distributions of each client and window.
    ServegenLengths,
    /// Any table with a time and token counts.
    Generic,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Freehold,
        Self::FreeholdExport,
        Self::Ledger,
        Self::OpenaiUsage,
        Self::AnthropicUsage,
        Self::Litellm,
        Self::Langfuse,
        Self::Helicone,
        Self::AzureTrace,
        Self::Mooncake,
        Self::ServegenRates,
        Self::ServegenLengths,
        Self::Generic,
    ];

    /// The name, as it is typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Freehold => "freehold",
            Self::FreeholdExport => "freehold-export",
            Self::Ledger => "ledger",
            Self::OpenaiUsage => "openai-usage",
            Self::AnthropicUsage => "anthropic-usage",
            Self::Litellm => "litellm",
            Self::Langfuse => "langfuse",
            Self::Helicone => "helicone",
            Self::AzureTrace => "azure-trace",
            Self::Mooncake => "mooncake",
            Self::ServegenRates => "servegen-rates",
            Self::ServegenLengths => "servegen-lengths",
            Self::Generic => "generic",
        }
    }

    /// Whether the record has only sums of many requests.
    #[must_use]
    pub const fn is_aggregated(self) -> bool {
        matches!(self, Self::OpenaiUsage | Self::AnthropicUsage)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is no format: write one of {names}")
        })
    }
}

/// What a number in a column of times counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Thousandths.
    Milliseconds,
    /// Millionths.
    Microseconds,
    /// Billionths.
    Nanoseconds,
}

impl TimeUnit {
    /// How many microseconds one is.
    #[must_use]
    pub const fn microseconds(self) -> f64 {
        match self {
            Self::Seconds => 1e6,
            Self::Milliseconds => 1e3,
            Self::Microseconds => 1.0,
            Self::Nanoseconds => 1e-3,
        }
    }
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" => Ok(Self::Microseconds),
            "ns" => Ok(Self::Nanoseconds),
            _ => Err(format!(
                "`{text}` is no unit of time: write s, ms, us or ns"
            )),
        }
    }
}
