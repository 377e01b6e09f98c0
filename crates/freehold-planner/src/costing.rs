//! What renting and owning the same traffic costs, month by month, for one set of values.
//!
//! docs/advisor.md has the equations. Money here is a forecast in dollars, not a record: floating point.

use freehold_cost::OwnedCosts;
use freehold_sim::LoadPoint;
use serde::Serialize;

use crate::HOURS_PER_MONTH;
use crate::assumptions::Assumptions;
use crate::candidate::{Candidate, Procurement};
use crate::input::{INPUTS, Input};
use crate::range::Range;
use crate::rates::Bill;

/// A value for every input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Values([f64; INPUTS]);

impl Values {
    pub(crate) fn of(&self, input: Input) -> f64 {
        self.0[input as usize]
    }

    pub(crate) fn percent(&self, input: Input) -> f64 {
        self.of(input) / 100.0
    }

    pub(crate) fn set(&mut self, input: Input, value: f64) {
        self.0[input as usize] = value;
    }
}

/// Where all inputs have their ranges, for one way to own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranges<'a> {
    pub(crate) assumptions: &'a Assumptions,
    pub(crate) gpu_price: Range,
    pub(crate) hosted_price: Range,
}

impl Ranges<'_> {
    pub(crate) fn range(&self, input: Input) -> Range {
        match input {
            Input::GpuPrice => self.gpu_price,
            Input::HostedPrice => self.hosted_price,
            assumed => {
                let range = self.assumptions.range(assumed);
                range.unwrap_or(Range::exactly(0.0))
            }
        }
    }

    /// Every input at its most likely value.
    pub(crate) fn base(&self) -> Values {
        let mut values = Values([0.0; INPUTS]);
        for input in Input::all() {
            values.set(input, self.range(input).base);
        }
        values
    }

    /// Every input where a draw has it, 0 to 1 each.
    pub(crate) fn at(&self, draw: &[f64; INPUTS]) -> Values {
        let mut values = Values([0.0; INPUTS]);
        for input in Input::all() {
            values.set(input, self.range(input).quantile(draw[input as usize]));
        }
        values
    }
}

/// Traffic that is looked at together: one flow, some, or all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need {
    /// A month at today's API.
    pub(crate) api: Bill,
    /// What a batch costs there, of the standard price.
    pub(crate) api_batch_factor: f64,
    /// A month at a usual host of the open model.
    pub(crate) hosted: Option<Bill>,
    /// Its part of the work of all traffic, 0 to 1: the load that the curve is read at.
    pub(crate) work: f64,
    /// Part of that work that comes from input.
    pub(crate) work_from_input: f64,
}

/// One way to own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) candidate: &'a Candidate,
    pub(crate) procurement: Procurement,
}

/// A horizon's totals, USD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    /// Today's API for all of it.
    pub(crate) api: f64,
    /// The open model at a host for all of it, what it serves not well enough left at the API.
    pub(crate) hosted: Option<f64>,
    /// Owned, building and the API meanwhile included.
    pub(crate) own: f64,
    /// When what owning cost so far, in cash, is less than what renting would have.
    pub(crate) pay_back_months: Option<f64>,
    /// Whether the service level holds in every month.
    pub(crate) meets_slo: bool,
}

/// One month of owning once it is built, USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct OwnedMonth {
    /// GPUs by the hour, or wear and capital of bought ones.
    pub gpus_usd: f64,
    /// Electricity and space of bought ones.
    pub power_and_space_usd: f64,
    /// Network, storage, software.
    pub services_usd: f64,
    /// Running it, on call, evaluation and upgrades.
    pub people_usd: f64,
    /// Today's API, for what the open model does not serve well enough.
    pub fallback_usd: f64,
}

impl OwnedMonth {
    /// Everything.
    #[must_use]
    pub fn total_usd(&self) -> f64 {
        self.gpus_usd
            + self.power_and_space_usd
            + self.services_usd
            + self.people_usd
            + self.fallback_usd
    }
}

/// What grows or shrinks over the months.
#[derive(Clone, Copy, Debug)]
struct Drift {
    volume: f64,
    context: f64,
    api_price: f64,
    hosted_price: f64,
    gpu_price: f64,
}

impl Drift {
    fn at(values: &Values, month: f64) -> Self {
        let monthly = |input: Input| (1.0 + values.percent(input)).powf(month);
        let yearly = |input: Input| (1.0 + values.percent(input)).powf(month / 12.0);
        Self {
            volume: values.of(Input::VolumeFactor) * monthly(Input::GrowthPercentPerMonth),
            context: monthly(Input::ContextGrowthPercentPerMonth),
            api_price: yearly(Input::ApiPriceChangePercentPerYear),
            hosted_price: yearly(Input::HostedPriceChangePercentPerYear),
            gpu_price: yearly(Input::GpuPriceChangePercentPerYear),
        }
    }
}

/// A month at today's API.
fn api_month(values: &Values, need: &Need, drift: &Drift) -> f64 {
    let bill = &need.api;
    let found = bill.reuse_usd * values.of(Input::ApiCacheHit);
    let tokens = (bill.input_usd - found) * drift.context + bill.output_usd;
    let tools = bill.requests / 1e3 * values.of(Input::ToolUsdPerThousandRequests);
    let batch = values.percent(Input::ApiBatchPercent) * (1.0 - need.api_batch_factor);
    let listed = (tokens * (1.0 - batch) + bill.request_usd + tools)
        * (1.0 - values.percent(Input::ApiDiscountPercent))
        * (1.0 + values.percent(Input::ApiRetryPercent));
    listed * drift.volume * drift.api_price
}

/// A month of the open model at a host, where it serves everything.
fn hosted_month(values: &Values, bill: &Bill, drift: &Drift) -> f64 {
    let found = bill.reuse_usd * values.of(Input::ApiCacheHit);
    let tokens = (bill.input_usd - found) * drift.context + bill.output_usd;
    let listed = (tokens * values.of(Input::TokenRatio) + bill.request_usd)
        * (1.0 + values.percent(Input::ApiRetryPercent));
    listed * drift.volume * drift.hosted_price * values.of(Input::HostedPrice)
}

/// The load that an owned fleet then has, in the curve's unit.
pub(crate) fn load(values: &Values, need: &Need, month: f64) -> f64 {
    load_of(values, need, &Drift::at(values, month))
}

fn load_of(values: &Values, need: &Need, drift: &Drift) -> f64 {
    let growth = need.work_from_input * drift.context + (1.0 - need.work_from_input);
    let served = 1.0 - values.percent(Input::FallbackPercent);
    need.work * growth * drift.volume * served * values.of(Input::TokenRatio)
        / values.of(Input::ThroughputFactor)
}

/// GPUs that are bought for so many in use: whole lots.
fn bought(way: &Way<'_>, gpus: u32) -> f64 {
    let lot = way.candidate.offer.sold_in;
    f64::from(gpus.div_ceil(lot) * lot)
}

/// Wear and capital, then electricity and space, of one bought GPU in a month.
fn bought_gpu_month(values: &Values, way: &Way<'_>) -> (f64, f64) {
    let watts = way.candidate.board_power_w * values.of(Input::ServerPowerFactor);
    let capex_usd = values.of(Input::GpuPrice) * (1.0 + values.percent(Input::NetworkCapexPercent));
    let costs = OwnedCosts {
        capex_usd,
        residual_usd: capex_usd * values.percent(Input::ResidualPercent),
        life_years: values.of(Input::LifeYears),
        capital_percent: values.of(Input::CapitalPercent),
        power_watts: watts * values.of(Input::PowerShare),
        pue: values.of(Input::Pue),
        usd_per_kwh: values.of(Input::UsdPerKwh),
        ..OwnedCosts::default()
    };
    let space = watts / 1e3 * values.of(Input::ColocationUsdPerKwMonth);
    // The limits of assumptions lie within those of `OwnedCosts`.
    costs.parts().map_or((f64::INFINITY, 0.0), |parts| {
        (
            (parts.wear_usd + parts.capital_usd) * HOURS_PER_MONTH,
            parts.power_usd * HOURS_PER_MONTH + space,
        )
    })
}

/// A month of owning, once built, at a point of the curve.
fn own_month(
    values: &Values,
    way: &Way<'_>,
    point: &LoadPoint,
    drift: &Drift,
    api_usd: f64,
) -> OwnedMonth {
    let peak = f64::from(point.gpus_peak);
    let hour = values.of(Input::GpuPrice);
    let spot = 1.0 + values.percent(Input::SpotOverheadPercent);
    let committed = 1.0 - values.percent(Input::ReservedDiscountPercent);
    let (gpus_usd, power_and_space_usd) = match way.procurement {
        Procurement::OnDemand => (
            point.gpus_mean * hour * HOURS_PER_MONTH * drift.gpu_price,
            0.0,
        ),
        Procurement::Spot => {
            let hours = point.gpus_mean * spot * HOURS_PER_MONTH;
            (hours * hour * drift.gpu_price, 0.0)
        }
        Procurement::Reserved => (peak * hour * committed * HOURS_PER_MONTH, 0.0),
        Procurement::Buy => {
            let gpus = bought(way, point.gpus_peak);
            let (wear, run) = bought_gpu_month(values, way);
            (gpus * wear, gpus * run)
        }
    };
    let fte = values.of(Input::RunFte)
        + values.of(Input::EvaluationFte)
        + values.of(Input::RunFtePerEightGpus) * peak / 8.0;
    OwnedMonth {
        gpus_usd,
        power_and_space_usd,
        services_usd: values.of(Input::NetworkUsdPerMonth)
            + values.of(Input::StorageUsdPerMonth)
            + values.of(Input::SoftwareUsdPerMonth),
        people_usd: fte * values.of(Input::StaffUsdPerYear) / 12.0
            + values.of(Input::OnCallUsdPerMonth),
        fallback_usd: api_usd * values.percent(Input::FallbackPercent),
    }
}

/// What is spent on building, whatever the size.
pub(crate) fn build_usd(values: &Values) -> f64 {
    values.of(Input::BuildMonths) * values.of(Input::BuildFte) * values.of(Input::StaffUsdPerYear)
        / 12.0
}

/// What is spent on moving to a host of the open model.
fn switch_usd(values: &Values) -> f64 {
    values.of(Input::HostedSwitchWeeks) * values.of(Input::StaffUsdPerYear) / 52.0
}

/// One month once built, for the report's breakdown.
pub(crate) fn month(values: &Values, need: &Need, way: &Way<'_>, at: f64) -> OwnedMonth {
    let drift = Drift::at(values, at);
    let point = way.candidate.curve.at(load_of(values, need, &drift));
    own_month(values, way, &point, &drift, api_month(values, need, &drift))
}

/// Rented today, and at a host, in one month.
pub(crate) fn rented_month(values: &Values, need: &Need, at: f64) -> (f64, Option<f64>) {
    let drift = Drift::at(values, at);
    let api = api_month(values, need, &drift);
    let fallback = values.percent(Input::FallbackPercent);
    let hosted = need.hosted.as_ref();
    let hosted =
        hosted.map(|bill| hosted_month(values, bill, &drift) * (1.0 - fallback) + api * fallback);
    (api, hosted)
}

/// Cash that went into owning so far, less what renting would have taken.
struct Cash {
    bought: f64,
    balance: f64,
    pay_back_months: Option<f64>,
}

impl Cash {
    /// Adds a month; remembers when the balance last came back above zero.
    fn add(&mut self, month: u32, saved: f64) {
        let before = self.balance;
        self.balance += saved;
        if self.balance < 0.0 {
            self.pay_back_months = None;
        } else if self.pay_back_months.is_none() {
            let share = if saved > 0.0 { -before / saved } else { 0.0 };
            self.pay_back_months = Some(f64::from(month) + share.clamp(0.0, 1.0));
        }
    }
}

/// The whole horizon.
pub(crate) fn totals(values: &Values, need: &Need, way: &Way<'_>, months: u32) -> Totals {
    let build = values.of(Input::BuildMonths);
    let fallback = values.percent(Input::FallbackPercent);
    let building = build_usd(values);
    let capex = values.of(Input::GpuPrice) * (1.0 + values.percent(Input::NetworkCapexPercent));
    let mut totals = Totals {
        api: 0.0,
        hosted: need.hosted.map(|_| switch_usd(values)),
        own: building,
        pay_back_months: None,
        meets_slo: true,
    };
    let mut cash = Cash {
        bought: 0.0,
        balance: -building,
        pay_back_months: None,
    };
    for month in 0..months {
        // Every month as it is in its middle.
        let drift = Drift::at(values, f64::from(month) + 0.5);
        let api = api_month(values, need, &drift);
        totals.api += api;
        if let (Some(sum), Some(bill)) = (totals.hosted.as_mut(), &need.hosted) {
            *sum += hosted_month(values, bill, &drift) * (1.0 - fallback) + api * fallback;
        }
        // The part of the month in which the owned service runs.
        let runs = (f64::from(month) + 1.0 - build).clamp(0.0, 1.0);
        let mut own = api * (1.0 - runs);
        let mut own_cash = own;
        if runs > 0.0 {
            let point = way.candidate.curve.at(load_of(values, need, &drift));
            totals.meets_slo &= point.meets_slo;
            let parts = own_month(values, way, &point, &drift, api);
            own += parts.total_usd() * runs;
            own_cash += parts.total_usd() * runs;
            if way.procurement == Procurement::Buy {
                let more = (bought(way, point.gpus_peak) - cash.bought).max(0.0);
                cash.bought += more;
                own_cash += more * capex - parts.gpus_usd * runs;
            }
        }
        totals.own += own;
        cash.add(month, api - own_cash);
    }
    totals.pay_back_months = cash.pay_back_months;
    totals
}
