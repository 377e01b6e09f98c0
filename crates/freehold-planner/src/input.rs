//! The inputs of the cost model that have a range.

use serde::Serialize;

/// What is not known exactly. The two prices of GPUs have their range in an [`crate::Offer`], the price of
/// the open model at other hosts in the price book; all others in [`crate::Assumptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Traffic at the start, times what was recorded.
    VolumeFactor,
    /// Growth of traffic.
    GrowthPercentPerMonth,
    /// Growth of input per request: longer histories, more tools, agents.
    ContextGrowthPercentPerMonth,
    /// Price of today's API.
    ApiPriceChangePercentPerYear,
    /// Price of the open model hosted by others.
    HostedPriceChangePercentPerYear,
    /// Discount on list prices.
    ApiDiscountPercent,
    /// Share of the traffic that can wait for a batch.
    ApiBatchPercent,
    /// Part of repeated prompt beginnings that the API's cache finds.
    ApiCacheHit,
    /// Requests paid twice.
    ApiRetryPercent,
    /// The API vendor's tool fees, such as web search.
    ToolUsdPerThousandRequests,
    /// One engineer's work to move to another host.
    HostedSwitchWeeks,
    /// Tokens of the open model per token of today's, for the same work.
    TokenRatio,
    /// Traffic that the open model serves not well enough and today's API keeps.
    FallbackPercent,
    /// Real over simulated throughput.
    ThroughputFactor,
    /// Rental price of GPUs on demand and spot.
    GpuPriceChangePercentPerYear,
    /// Discount for a commitment over the whole horizon.
    ReservedDiscountPercent,
    /// Extra spot capacity against interruptions.
    SpotOverheadPercent,
    /// Switches, cables and spares on top of the server.
    NetworkCapexPercent,
    /// How long hardware is used.
    LifeYears,
    /// What hardware is worth at the end of its life.
    ResidualPercent,
    /// Cost of capital per year.
    CapitalPercent,
    /// Power drawn on average, of the boards' limit.
    PowerShare,
    /// Power of a server over that of its GPUs.
    ServerPowerFactor,
    /// Power of the building over that of the machines.
    Pue,
    /// Electricity.
    UsdPerKwh,
    /// Space, cooling and hands, without electricity.
    ColocationUsdPerKwMonth,
    /// Traffic, load balancer, private links.
    NetworkUsdPerMonth,
    /// Models, logs, backups.
    StorageUsdPerMonth,
    /// Monitoring, licences, support.
    SoftwareUsdPerMonth,
    /// One engineer, everything included.
    StaffUsdPerYear,
    /// Running the service, whatever its size.
    RunFte,
    /// Running it, for each eight GPUs.
    RunFtePerEightGpus,
    /// On-call pay.
    OnCallUsdPerMonth,
    /// Evaluating and rolling out newer models.
    EvaluationFte,
    /// Until the owned service carries the traffic; the API is paid meanwhile.
    BuildMonths,
    /// People who build it, over that time.
    BuildFte,
    /// Price of a GPU, by the hour or bought.
    GpuPrice,
    /// Price of the open model at other hosts.
    HostedPrice,
}

/// How many inputs there are.
pub const INPUTS: usize = Input::GpuPrice as usize + 2;

/// Inputs with their range elsewhere than in the assumptions.
const ELSEWHERE: [(Input, &str); 2] = [
    (Input::GpuPrice, "gpu_price"),
    (Input::HostedPrice, "hosted_price"),
];

impl Input {
    /// All that [`crate::Assumptions`] holds, in the order of the file, with their keys.
    pub const ASSUMED: [(Self, &'static str); INPUTS - 2] = [
        (Self::VolumeFactor, "volume_factor"),
        (Self::GrowthPercentPerMonth, "growth_percent_per_month"),
        (
            Self::ContextGrowthPercentPerMonth,
            "context_growth_percent_per_month",
        ),
        (
            Self::ApiPriceChangePercentPerYear,
            "api_price_change_percent_per_year",
        ),
        (
            Self::HostedPriceChangePercentPerYear,
            "hosted_price_change_percent_per_year",
        ),
        (Self::ApiDiscountPercent, "api_discount_percent"),
        (Self::ApiBatchPercent, "api_batch_percent"),
        (Self::ApiCacheHit, "api_cache_hit"),
        (Self::ApiRetryPercent, "api_retry_percent"),
        (
            Self::ToolUsdPerThousandRequests,
            "tool_usd_per_thousand_requests",
        ),
        (Self::HostedSwitchWeeks, "hosted_switch_weeks"),
        (Self::TokenRatio, "token_ratio"),
        (Self::FallbackPercent, "fallback_percent"),
        (Self::ThroughputFactor, "throughput_factor"),
        (
            Self::GpuPriceChangePercentPerYear,
            "gpu_price_change_percent_per_year",
        ),
        (Self::ReservedDiscountPercent, "reserved_discount_percent"),
        (Self::SpotOverheadPercent, "spot_overhead_percent"),
        (Self::NetworkCapexPercent, "network_capex_percent"),
        (Self::LifeYears, "life_years"),
        (Self::ResidualPercent, "residual_percent"),
        (Self::CapitalPercent, "capital_percent"),
        (Self::PowerShare, "power_share"),
        (Self::ServerPowerFactor, "server_power_factor"),
        (Self::Pue, "pue"),
        (Self::UsdPerKwh, "usd_per_kwh"),
        (Self::ColocationUsdPerKwMonth, "colocation_usd_per_kw_month"),
        (Self::NetworkUsdPerMonth, "network_usd_per_month"),
        (Self::StorageUsdPerMonth, "storage_usd_per_month"),
        (Self::SoftwareUsdPerMonth, "software_usd_per_month"),
        (Self::StaffUsdPerYear, "staff_usd_per_year"),
        (Self::RunFte, "run_fte"),
        (Self::RunFtePerEightGpus, "run_fte_per_eight_gpus"),
        (Self::OnCallUsdPerMonth, "on_call_usd_per_month"),
        (Self::EvaluationFte, "evaluation_fte"),
        (Self::BuildMonths, "build_months"),
        (Self::BuildFte, "build_fte"),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let assumed = Self::ASSUMED.iter().chain(&ELSEWHERE);
        assumed.map(|(input, _)| *input)
    }

    /// Its name in files.
    #[must_use]
    pub fn key(self) -> &'static str {
        let mut named = Self::ASSUMED.iter().chain(&ELSEWHERE);
        named
            .find(|(input, _)| *input == self)
            .map_or("unknown", |(_, key)| key)
    }

    /// Between which values an assumption makes sense at all.
    #[must_use]
    pub(crate) fn limits(self) -> (f64, f64) {
        match self {
            Self::VolumeFactor => (0.001, 1000.0),
            Self::GrowthPercentPerMonth => (-50.0, 100.0),
            Self::ContextGrowthPercentPerMonth => (-20.0, 50.0),
            Self::ApiPriceChangePercentPerYear => (-95.0, 200.0),
            Self::HostedPriceChangePercentPerYear => (-95.0, 200.0),
            Self::ApiDiscountPercent => (0.0, 95.0),
            Self::ApiBatchPercent => (0.0, 100.0),
            Self::ApiCacheHit => (0.0, 1.0),
            Self::ApiRetryPercent => (0.0, 100.0),
            Self::ToolUsdPerThousandRequests => (0.0, 1e5),
            Self::HostedSwitchWeeks => (0.0, 104.0),
            Self::TokenRatio => (0.1, 20.0),
            Self::FallbackPercent => (0.0, 100.0),
            Self::ThroughputFactor => (0.05, 5.0),
            Self::GpuPriceChangePercentPerYear => (-80.0, 100.0),
            Self::ReservedDiscountPercent => (0.0, 90.0),
            Self::SpotOverheadPercent => (0.0, 500.0),
            Self::NetworkCapexPercent => (0.0, 200.0),
            Self::LifeYears => (0.5, 20.0),
            Self::ResidualPercent => (0.0, 90.0),
            Self::CapitalPercent => (0.0, 50.0),
            Self::PowerShare => (0.01, 1.2),
            Self::ServerPowerFactor => (1.0, 5.0),
            Self::Pue => (1.0, 5.0),
            Self::UsdPerKwh => (0.0, 5.0),
            Self::ColocationUsdPerKwMonth => (0.0, 5000.0),
            Self::NetworkUsdPerMonth => (0.0, 1e7),
            Self::StorageUsdPerMonth => (0.0, 1e7),
            Self::SoftwareUsdPerMonth => (0.0, 1e7),
            Self::StaffUsdPerYear => (0.0, 5e6),
            Self::RunFte => (0.0, 100.0),
            Self::RunFtePerEightGpus => (0.0, 20.0),
            Self::OnCallUsdPerMonth => (0.0, 1e6),
            Self::EvaluationFte => (0.0, 100.0),
            Self::BuildMonths => (0.0, 60.0),
            Self::BuildFte => (0.0, 100.0),
            Self::GpuPrice | Self::HostedPrice => (0.0, f64::MAX),
        }
    }
}
