//! Which way to own is best: all of them at the most likely values, the best few over draws.

use serde::Serialize;

use crate::candidate::{Candidate, Procurement};
use crate::case::{Case, Must, Rejected};
use crate::costing::{self, Need, OwnedMonth, Ranges, Totals, Way};
use crate::draws::{Quantiles, cents, four};
use crate::error::PlanError;
use crate::input::INPUTS;
use crate::range::Range;
use crate::units::{self, Hosted, Unit};

/// So many are looked at over draws.
const FINALISTS: usize = 6;

/// A way to own some of the flows, over draws. Money is USD per month, averaged over the horizon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OwnedOption {
    /// What it is called.
    pub name: String,
    /// The open model.
    pub model: String,
    /// The GPU.
    pub gpu: String,
    /// GPUs of one replica.
    pub gpus_per_replica: u32,
    /// How replicas are started and stopped.
    pub scaling: String,
    /// How the GPUs are come by.
    pub procurement: Procurement,
    /// The flows that it serves.
    pub flows: Vec<String>,
    /// Whether these are all.
    pub is_all: bool,
    /// GPUs at the busiest moment, today's volume.
    pub gpus_peak: u32,
    /// GPUs paid for on average, today's volume.
    pub gpus_mean: f64,
    /// Busy share of the paid GPU time, today's volume.
    pub busy: f64,
    /// A month once built, today's volume and prices, most likely values.
    pub month: OwnedMonth,
    /// Building, once, most likely values.
    pub build_usd: f64,
    /// What it costs, the API while it is built included.
    pub own_usd: Quantiles,
    /// What the same flows cost at today's API.
    pub api_usd: Quantiles,
    /// What they cost with the open model at a usual host.
    pub hosted_usd: Option<Quantiles>,
    /// Saved against today's API; negative is lost.
    pub saving_vs_api: Quantiles,
    /// Saved against the open model at a host.
    pub saving_vs_hosted: Option<Quantiles>,
    /// Saved against the cheaper of the two.
    pub saving: Quantiles,
    /// Share of draws in which it is cheaper than today's API.
    pub cheaper_than_api: f64,
    /// Share of draws in which it is cheaper than either.
    pub cheapest: f64,
    /// Months until what it cost so far is less than what the API would have, in cash; over the draws that
    /// get there.
    pub pay_back_months: Option<Quantiles>,
    /// Share of draws that get there within the horizon.
    pub pays_back: f64,
    /// Share of draws in which the service level holds throughout.
    pub keeps_slo: f64,
    /// Whether some of the loads lie beyond what was simulated.
    pub extrapolates: bool,
    /// What somebody should know who trusts it.
    pub notes: Vec<String>,
}

/// A way to own with the flows that it serves.
pub(crate) struct Choosable<'a> {
    pub(crate) way: Way<'a>,
    pub(crate) hosted: Option<&'a Hosted>,
    pub(crate) units: Vec<&'a Unit>,
    pub(crate) need: Need,
    pub(crate) ranges: Ranges<'a>,
}

/// What chance makes of an option.
pub(crate) struct Looked<'a> {
    pub(crate) option: Choosable<'a>,
    pub(crate) told: OwnedOption,
}

/// All that was looked at.
pub(crate) struct Choice<'a> {
    /// The best, then the runners-up.
    pub(crate) looked: Vec<Looked<'a>>,
    pub(crate) rejected: Vec<Rejected>,
}

impl<'a> Choosable<'a> {
    pub(crate) fn new(
        case: &'a Case<'_>,
        way: Way<'a>,
        hosted: Option<&'a Hosted>,
        units: Vec<&'a Unit>,
    ) -> Self {
        let need = units::need(case, &units, hosted);
        let offer = &way.candidate.offer;
        let price = match way.procurement {
            Procurement::OnDemand | Procurement::Reserved => offer.on_demand,
            Procurement::Spot => offer.spot,
            Procurement::Buy => offer.buy,
        };
        let ranges = Ranges {
            assumptions: &case.assumptions,
            gpu_price: price.unwrap_or(Range::exactly(0.0)),
            hosted_price: hosted.map_or(Range::exactly(1.0), |hosted| hosted.price),
        };
        Self {
            way,
            hosted,
            units,
            need,
            ranges,
        }
    }

    pub(crate) fn base(&self, months: u32) -> Totals {
        costing::totals(&self.ranges.base(), &self.need, &self.way, months)
    }

    pub(crate) fn over(&self, draws: &[[f64; INPUTS]], months: u32) -> Vec<Totals> {
        let one = |draw| costing::totals(&self.ranges.at(draw), &self.need, &self.way, months);
        draws.iter().map(one).collect()
    }

    pub(crate) fn tokens_per_month(&self) -> f64 {
        self.units.iter().map(|unit| unit.traffic.tokens()).sum()
    }
}

/// Rent that owning must beat.
pub(crate) fn cheaper_rent(totals: &Totals) -> f64 {
    totals
        .hosted
        .map_or(totals.api, |hosted| hosted.min(totals.api))
}

/// The sets of flows that could be owned: what must be, and then ever more, best first.
fn sets(units: &[Unit]) -> Vec<Vec<&Unit>> {
    let bound = |must: Must| {
        move |unit: &&Unit| unit.must.as_ref().is_some_and(|(bound, _)| *bound == must)
    };
    let mut set: Vec<&Unit> = units.iter().filter(bound(Must::Own)).collect();
    let mut sets = Vec::new();
    if !set.is_empty() {
        sets.push(set.clone());
    }
    for unit in units.iter().filter(|unit| unit.must.is_none()) {
        set.push(unit);
        sets.push(set.clone());
    }
    if sets.is_empty() {
        // Everything must be rented: what owning would cost is told all the same.
        sets.push(units.iter().collect());
    }
    sets
}

/// Looks at all ways to own all sets of flows, the best few over draws.
pub(crate) fn choose<'a>(
    case: &'a Case<'_>,
    units: &'a [Unit],
    hosted: &'a [Option<Hosted>],
    draws: &[[f64; INPUTS]],
) -> Result<Choice<'a>, PlanError> {
    let months = case.settings.months;
    let mut rejected = case.rejected.clone();
    let mut ranked = Vec::new();
    for (candidate, hosted) in case.candidates.iter().zip(hosted) {
        if let Some(why) = unfit(case, candidate, units) {
            let name = candidate.name();
            rejected.push(Rejected { name, why });
            continue;
        }
        let allowed = case.answers.procurements();
        for procurement in allowed
            .into_iter()
            .filter(|way| way.is_offered(&candidate.offer))
        {
            for set in sets(units) {
                let way = Way {
                    candidate,
                    procurement,
                };
                let option = Choosable::new(case, way, hosted.as_ref(), set);
                let totals = option.base(months);
                if totals.meets_slo {
                    ranked.push((cheaper_rent(&totals) - totals.own, option));
                }
            }
        }
    }
    if ranked.is_empty() {
        return Err(none_left(&rejected));
    }
    let name = |option: &Choosable<'_>| option.way.candidate.name();
    ranked.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| name(&a.1).cmp(&name(&b.1)))
    });
    let finalists = finalists(ranked);
    let mut looked: Vec<Looked<'a>> = finalists
        .into_iter()
        .map(|option| look(option, units.len(), draws, months))
        .collect();
    looked.sort_by(|a, b| b.told.saving.p50.total_cmp(&a.told.saving.p50));
    Ok(Choice { looked, rejected })
}

/// The best few, with no more than two sets of flows of one way among them.
fn finalists(ranked: Vec<(f64, Choosable<'_>)>) -> Vec<Choosable<'_>> {
    let mut kept: Vec<Choosable<'_>> = Vec::new();
    for (_, option) in ranked {
        let same = kept.iter().filter(|other| {
            other.way.procurement == option.way.procurement
                && std::ptr::eq(other.way.candidate, option.way.candidate)
        });
        if same.count() < 2 {
            kept.push(option);
        }
        if kept.len() == FINALISTS {
            break;
        }
    }
    kept
}

/// Why a candidate is out before money is looked at.
fn unfit(case: &Case<'_>, candidate: &Candidate, units: &[Unit]) -> Option<String> {
    if let Err(error) = candidate.check() {
        return Some(error.to_string());
    }
    let least = units.iter().map(|unit| unit.work).fold(1.0, f64::min);
    let point = candidate.curve.at(least);
    if !point.meets_slo {
        return Some(format!(
            "keeps the service level for {:.1} % of requests at best; ask for less (--slo-ttft-ms, \
             --slo-tpot-ms, --slo-share), or take a faster GPU or a smaller model",
            point.slo_share * 100.0
        ));
    }
    let offered = |way: &Procurement| way.is_offered(&candidate.offer);
    if !case.answers.procurements().iter().any(offered) {
        return Some(
            "the answers leave no way to come by its GPUs; see budget and residency".to_owned(),
        );
    }
    None
}

fn none_left(rejected: &[Rejected]) -> PlanError {
    if rejected.is_empty() {
        let why = "no candidate was given, or none keeps the service level as traffic grows; name --model \
                   and --gpu, or ask for less (--slo-ttft-ms, --slo-tpot-ms, --slo-share)";
        return PlanError::NoCandidate(why.to_owned());
    }
    let told: Vec<String> = rejected
        .iter()
        .map(|out| format!("{}: {}", out.name, out.why))
        .collect();
    PlanError::NoCandidate(told.join("\n"))
}

/// Draws one option and tells what came out.
pub(crate) fn look<'a>(
    option: Choosable<'a>,
    all_units: usize,
    draws: &[[f64; INPUTS]],
    months: u32,
) -> Looked<'a> {
    let totals = option.over(draws, months);
    let monthly = f64::from(months);
    let share = |is: &dyn Fn(&Totals) -> bool| {
        four(totals.iter().filter(|totals| is(totals)).count() as f64 / totals.len() as f64)
    };
    let over = |value: &dyn Fn(&Totals) -> f64| {
        Quantiles::of(
            totals
                .iter()
                .map(|totals| value(totals) / monthly)
                .collect(),
        )
        .rounded()
    };
    let has_host = option.hosted.is_some();
    let hosted = |totals: &Totals| totals.hosted.unwrap_or(totals.api);
    let pay_backs: Vec<f64> = totals
        .iter()
        .filter_map(|totals| totals.pay_back_months)
        .collect();
    let candidate = option.way.candidate;
    let base = option.ranges.base();
    let now = costing::load(&base, &option.need, 0.0);
    let last = costing::load(&base, &option.need, monthly);
    let point = candidate.curve.at(now);
    let flows = flows_of(&option.units);
    let told = OwnedOption {
        name: format!("{}, {}", candidate.name(), option.way.procurement.as_str()),
        model: candidate.model.clone(),
        gpu: candidate.offer.gpu.clone(),
        gpus_per_replica: candidate.curve.gpus_per_replica(),
        scaling: candidate.scaling.clone(),
        procurement: option.way.procurement,
        is_all: flows.len() == all_units,
        flows,
        gpus_peak: point.gpus_peak,
        gpus_mean: four(point.gpus_mean),
        busy: four(point.utilisation),
        month: rounded(&costing::month(&base, &option.need, &option.way, 0.0)),
        build_usd: cents(costing::build_usd(&base)),
        own_usd: over(&|totals| totals.own),
        api_usd: over(&|totals| totals.api),
        hosted_usd: has_host.then(|| over(&hosted)),
        saving_vs_api: over(&|totals| totals.api - totals.own),
        saving_vs_hosted: has_host.then(|| over(&|totals| hosted(totals) - totals.own)),
        saving: over(&|totals| cheaper_rent(totals) - totals.own),
        cheaper_than_api: share(&|totals| totals.own < totals.api),
        cheapest: share(&|totals| totals.own < cheaper_rent(totals)),
        pays_back: four(pay_backs.len() as f64 / totals.len() as f64),
        pay_back_months: (!pay_backs.is_empty()).then(|| Quantiles::of(pay_backs).rounded()),
        keeps_slo: share(&|totals| totals.meets_slo),
        extrapolates: last.max(now)
            > candidate
                .curve
                .points()
                .last()
                .map_or(0.0, |point| point.load),
        notes: candidate.notes.clone(),
    };
    Looked { option, told }
}

fn flows_of(units: &[&Unit]) -> Vec<String> {
    let names = units.iter().map(|unit| unit.traffic.flow.clone());
    let mut flows: Vec<String> = names.collect();
    flows.sort_unstable();
    flows
}

fn rounded(month: &OwnedMonth) -> OwnedMonth {
    OwnedMonth {
        gpus_usd: cents(month.gpus_usd),
        power_and_space_usd: cents(month.power_and_space_usd),
        services_usd: cents(month.services_usd),
        people_usd: cents(month.people_usd),
        fallback_usd: cents(month.fallback_usd),
    }
}
