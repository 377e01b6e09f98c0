//! What models cost: the operator's own price by token, and owned machines by the hour.

use freehold_cost::OwnedCosts;
use freehold_types::price::{PriceList, PriceTier, TiersApply, TokenRates};
use freehold_types::{NanoUsd, PriceBasis};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Complaint;

/// A price by token, in US dollars per million. What has no price of its own costs what its whole does.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// Fresh input.
    pub(crate) input_usd_per_million: f64,
    /// Input read from a cache. Default: as fresh.
    pub(crate) cached_input_usd_per_million: Option<f64>,
    /// Input written to a cache. Default: as fresh.
    pub(crate) cache_write_usd_per_million: Option<f64>,
    /// Input written to a one-hour cache. Default: as other writes.
    pub(crate) cache_write_1h_usd_per_million: Option<f64>,
    /// Input that encodes audio. Default: as fresh.
    pub(crate) input_audio_usd_per_million: Option<f64>,
    /// Input that encodes pictures. Default: as fresh.
    pub(crate) input_image_usd_per_million: Option<f64>,
    /// Output.
    pub(crate) output_usd_per_million: f64,
    /// Output spent on reasoning. Default: as other output.
    pub(crate) reasoning_usd_per_million: Option<f64>,
    /// Output that encodes audio. Default: as other output.
    pub(crate) output_audio_usd_per_million: Option<f64>,
    /// Output that encodes pictures. Default: as other output.
    pub(crate) output_image_usd_per_million: Option<f64>,
    /// For each request, in US dollars.
    pub(crate) usd_per_request: Option<f64>,
    /// For a thousand searches of the web by the vendor, in US dollars. Default: not known; costs of
    /// requests that search say that they lack it.
    pub(crate) web_search_usd_per_thousand: Option<f64>,
    /// For a thousand programs run by the vendor, in US dollars. Default: not known.
    pub(crate) code_execution_usd_per_thousand: Option<f64>,
    /// What tokens of a batch cost, in percent of these prices. Default: not known; the full price is
    /// taken, and costs say so.
    pub(crate) batch_percent: Option<u32>,
    /// What tokens of the flex tier cost, in percent.
    pub(crate) flex_percent: Option<u32>,
    /// What tokens of the priority tier cost, in percent.
    pub(crate) priority_percent: Option<u32>,
    /// What tokens of the fast tier cost, in percent.
    pub(crate) fast_percent: Option<u32>,
    /// Prices of long prompts, shortest first.
    #[serde(default)]
    pub(crate) tiers: Vec<Tier>,
    /// To which tokens the tiers' prices apply.
    #[serde(default)]
    pub(crate) tiers_apply: Apply,
}

/// Prices of long prompts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tier {
    /// Where it begins: with more than so many prompt tokens, cached ones included.
    pub(crate) above_input_tokens: u64,
    /// Its prices.
    pub(crate) rates: Rates,
}

/// Prices by token, in US dollars per million. What is left out costs what its whole does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rates {
    /// Fresh input.
    pub(crate) input_usd_per_million: f64,
    /// Input read from a cache.
    pub(crate) cached_input_usd_per_million: Option<f64>,
    /// Input written to a cache.
    pub(crate) cache_write_usd_per_million: Option<f64>,
    /// Input written to a one-hour cache.
    pub(crate) cache_write_1h_usd_per_million: Option<f64>,
    /// Input that encodes audio.
    pub(crate) input_audio_usd_per_million: Option<f64>,
    /// Input that encodes pictures.
    pub(crate) input_image_usd_per_million: Option<f64>,
    /// Output.
    pub(crate) output_usd_per_million: f64,
    /// Output spent on reasoning.
    pub(crate) reasoning_usd_per_million: Option<f64>,
    /// Output that encodes audio.
    pub(crate) output_audio_usd_per_million: Option<f64>,
    /// Output that encodes pictures.
    pub(crate) output_image_usd_per_million: Option<f64>,
}

/// To which tokens a tier's prices apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Apply {
    /// To all tokens of a request whose prompt is longer than the tier's beginning.
    #[default]
    WholeRequest,
    /// Only to the tokens beyond the tier's beginning.
    Beyond,
}

/// What an owned machine costs. An hour of it costs the wear (`capex_usd` less `residual_usd` over
/// `life_years`), the capital tied up, power and cooling, staff, and the rest; docs/cost.md has the formula.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Owned {
    /// What the machine cost, in US dollars.
    pub(crate) capex_usd: Option<f64>,
    /// What it will be worth at the end of its life, in US dollars. Default: nothing.
    pub(crate) residual_usd: Option<f64>,
    /// How long it is used, in years. Default: 4.
    pub(crate) life_years: Option<f64>,
    /// What capital costs, in percent per year. Default: 0.
    pub(crate) capital_percent: Option<f64>,
    /// What it draws on average, in watts.
    pub(crate) power_watts: Option<f64>,
    /// What the building draws for each watt of the machine. Default: 1.
    pub(crate) pue: Option<f64>,
    /// The price of electricity, in US dollars.
    pub(crate) usd_per_kwh: Option<f64>,
    /// What a person who runs it costs in a year, in US dollars.
    pub(crate) staff_usd_per_year: Option<f64>,
    /// The part of a person's time that it takes, e.g. 0.05.
    pub(crate) staff_share: Option<f64>,
    /// Space, network, licences and support, in US dollars per year.
    pub(crate) other_usd_per_year: Option<f64>,
}

/// How a model with a price of the operator's own is paid for. `path` leads to the price.
pub(crate) fn by_token<const N: usize>(
    price: &Price,
    path: &[&str; N],
) -> Result<PriceBasis, Complaint> {
    let reader = Reader { path };
    let rates = reader.rates(&price.own_rates())?;
    let tiers = reader.tiers(&price.tiers)?;
    let amount = |usd: Option<f64>| usd.map(|usd| reader.usd(usd)).transpose();
    let list = PriceList {
        rates,
        tiers,
        tiers_apply: match price.tiers_apply {
            Apply::WholeRequest => TiersApply::WholeRequest,
            Apply::Beyond => TiersApply::Beyond,
        },
        per_request: amount(price.usd_per_request)?.unwrap_or_default(),
        web_searches_per_thousand: amount(price.web_search_usd_per_thousand)?,
        code_executions_per_thousand: amount(price.code_execution_usd_per_thousand)?,
        batch_percent: price.batch_percent,
        flex_percent: price.flex_percent,
        priority_percent: price.priority_percent,
        fast_percent: price.fast_percent,
    };
    let simple = PriceList {
        rates: TokenRates {
            input: rates.input,
            cached_input: rates.cached_input,
            output: rates.output,
            ..TokenRates::default()
        },
        ..PriceList::default()
    };
    Ok(if list == simple {
        PriceBasis::PerToken {
            input_per_million: rates.input,
            cached_input_per_million: rates.cached_input,
            output_per_million: rates.output,
        }
    } else {
        PriceBasis::List(Box::new(list))
    })
}

/// How a backend that is paid by the hour is paid for; `None` when it is not.
pub(crate) fn by_hour(
    backend: &str,
    usd_per_hour: Option<f64>,
    owned: Option<&Owned>,
) -> Result<Option<PriceBasis>, Complaint> {
    let per_hour = match (usd_per_hour, owned) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Complaint::new(
                ["backends", backend, "owned"],
                "an hour has one price: either `usd_per_hour`, or `owned`, which it follows from",
            ));
        }
        (Some(amount), None) => {
            let path = ["backends", backend, "usd_per_hour"];
            Reader { path: &path }.usd(amount)?
        }
        (None, Some(owned)) => owned
            .costs()
            .per_hour()
            .map_err(|bad| Complaint::new(["backends", backend, "owned"], bad.to_string()))?,
    };
    Ok(Some(PriceBasis::Hourly { per_hour }))
}

struct Reader<'a, const N: usize> {
    path: &'a [&'a str; N],
}

impl<const N: usize> Reader<'_, N> {
    fn usd(&self, amount: f64) -> Result<NanoUsd, Complaint> {
        NanoUsd::from_usd(amount)
            .filter(|amount| *amount >= NanoUsd::ZERO)
            .ok_or_else(|| Complaint::new(*self.path, format!("{amount} is no amount of money")))
    }

    fn rates(&self, raw: &Rates) -> Result<TokenRates, Complaint> {
        let amount = |usd: Option<f64>| usd.map(|usd| self.usd(usd)).transpose();
        Ok(TokenRates {
            input: self.usd(raw.input_usd_per_million)?,
            cached_input: amount(raw.cached_input_usd_per_million)?,
            cache_write: amount(raw.cache_write_usd_per_million)?,
            cache_write_1h: amount(raw.cache_write_1h_usd_per_million)?,
            input_audio: amount(raw.input_audio_usd_per_million)?,
            input_image: amount(raw.input_image_usd_per_million)?,
            output: self.usd(raw.output_usd_per_million)?,
            reasoning: amount(raw.reasoning_usd_per_million)?,
            output_audio: amount(raw.output_audio_usd_per_million)?,
            output_image: amount(raw.output_image_usd_per_million)?,
        })
    }

    fn tiers(&self, raw: &[Tier]) -> Result<Vec<PriceTier>, Complaint> {
        let ascend = |pair: &[Tier]| pair[0].above_input_tokens < pair[1].above_input_tokens;
        if !raw.windows(2).all(ascend) {
            return Err(Complaint::new(
                *self.path,
                "each tier begins above the one before it",
            ));
        }
        raw.iter()
            .map(|tier| {
                Ok(PriceTier {
                    above_input_tokens: tier.above_input_tokens,
                    rates: self.rates(&tier.rates)?,
                })
            })
            .collect()
    }
}

impl Price {
    fn own_rates(&self) -> Rates {
        Rates {
            input_usd_per_million: self.input_usd_per_million,
            cached_input_usd_per_million: self.cached_input_usd_per_million,
            cache_write_usd_per_million: self.cache_write_usd_per_million,
            cache_write_1h_usd_per_million: self.cache_write_1h_usd_per_million,
            input_audio_usd_per_million: self.input_audio_usd_per_million,
            input_image_usd_per_million: self.input_image_usd_per_million,
            output_usd_per_million: self.output_usd_per_million,
            reasoning_usd_per_million: self.reasoning_usd_per_million,
            output_audio_usd_per_million: self.output_audio_usd_per_million,
            output_image_usd_per_million: self.output_image_usd_per_million,
        }
    }
}

impl Owned {
    fn costs(&self) -> OwnedCosts {
        let default = OwnedCosts::default();
        OwnedCosts {
            capex_usd: self.capex_usd.unwrap_or(default.capex_usd),
            residual_usd: self.residual_usd.unwrap_or(default.residual_usd),
            life_years: self.life_years.unwrap_or(default.life_years),
            capital_percent: self.capital_percent.unwrap_or(default.capital_percent),
            power_watts: self.power_watts.unwrap_or(default.power_watts),
            pue: self.pue.unwrap_or(default.pue),
            usd_per_kwh: self.usd_per_kwh.unwrap_or(default.usd_per_kwh),
            staff_usd_per_year: self
                .staff_usd_per_year
                .unwrap_or(default.staff_usd_per_year),
            staff_share: self.staff_share.unwrap_or(default.staff_share),
            other_usd_per_year: self
                .other_usd_per_year
                .unwrap_or(default.other_usd_per_year),
        }
    }
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
