//! The parts of the traffic between which a split can run.

use freehold_types::NanoUsd;
use serde::Serialize;

use crate::case::{Case, Must};
use crate::costing::Need;
use crate::interview::Bounds;
use crate::range::Range;
use crate::rates::Bill;
use crate::traffic::FlowTraffic;

/// A prompt's token takes so much of a GPU, of what a token written takes: prompts are worked on many
/// tokens at once. It only divides one fleet's work between flows. Assumption.
const INPUT_TOKEN_WORK: f64 = 0.15;
/// So many flows are looked at one by one; the rest together.
const FLOWS_MAX: usize = 12;

/// One flow, or the small ones together.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) traffic: FlowTraffic,
    /// Which flows of the workload.
    pub(crate) members: Vec<usize>,
    pub(crate) api: Bill,
    pub(crate) work: f64,
    pub(crate) work_from_input: f64,
    pub(crate) must: Option<(Must, String)>,
}

/// What hosts of one open model charge.
#[derive(Clone, Debug)]
pub(crate) struct Hosted {
    /// The one that is taken as usual: of the cheaper half, the one in the middle.
    pub(crate) usual: String,
    pub(crate) cheapest: String,
    pub(crate) hosts: usize,
    /// The usual one's bill of each flow of the workload.
    pub(crate) bills: Vec<Bill>,
    /// Cheapest to median, of the usual one.
    pub(crate) price: Range,
    pub(crate) source: String,
}

/// A host, its bills, and their sum.
type Priced<'a> = (f64, &'a crate::RateCard, Vec<Bill>);

impl Hosted {
    /// What the hosts of a model charge for this traffic; `None` when the book knows none.
    pub(crate) fn of(case: &Case<'_>, model: &str) -> Option<Self> {
        let cards = case.hosts.get(model)?;
        let mut priced: Vec<Priced<'_>> = cards
            .iter()
            .map(|card| {
                let bills = card.bills(case.workload, case.traffic);
                let sum = bills.iter().map(Bill::total_usd).sum();
                (sum, card, bills)
            })
            .filter(|(sum, ..): &Priced<'_>| *sum > 0.0)
            .collect();
        priced.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.name.cmp(&b.1.name)));
        let last = priced.len().checked_sub(1)?;
        let usual = last / 4;
        let base = priced[usual].0;
        let price = Range {
            low: priced[0].0 / base,
            base: 1.0,
            high: (priced[last / 2].0 / base).max(1.0),
        };
        Some(Self {
            usual: priced[usual].1.name.clone(),
            cheapest: priced[0].1.name.clone(),
            hosts: priced.len(),
            source: priced[usual].1.source.clone(),
            bills: std::mem::take(&mut priced[usual].2),
            price,
        })
    }

    fn of_unit(&self, unit: &Unit) -> Bill {
        let bills = unit.members.iter().map(|flow| &self.bills[*flow]);
        bills.fold(Bill::default(), |sum, bill| sum.plus(bill))
    }
}

/// The units of the traffic, the ones that save most per work first.
pub(crate) fn units(case: &Case<'_>, bounds: &Bounds) -> Vec<Unit> {
    let bills = case.api.bills(case.workload, case.traffic);
    let mut order: Vec<usize> = (0..bills.len())
        .filter(|flow| bills[*flow].requests > 0.0)
        .collect();
    order.sort_by(|a, b| {
        bills[*b]
            .total_usd()
            .total_cmp(&bills[*a].total_usd())
            .then(a.cmp(b))
    });
    let alone = if order.len() > FLOWS_MAX + 1 {
        FLOWS_MAX
    } else {
        order.len()
    };
    let mut units: Vec<Unit> = order[..alone]
        .iter()
        .map(|flow| unit(case, &bills, bounds, &[*flow]))
        .collect();
    let small = &order[alone..];
    if !small.is_empty() {
        // A bound flow among small ones is still bound: it is looked at alone.
        let (bound, free): (Vec<usize>, Vec<usize>) = small
            .iter()
            .partition(|flow| own_bound(case, &case.traffic.flows[**flow].flow).is_some());
        units.extend(
            bound
                .iter()
                .map(|flow| unit(case, &bills, bounds, &[*flow])),
        );
        if !free.is_empty() {
            units.push(unit(case, &bills, bounds, &free));
        }
    }
    let work: f64 = units.iter().map(|unit| unit.work).sum();
    for unit in &mut units {
        unit.work /= work.max(f64::MIN_POSITIVE);
    }
    let worth = |unit: &Unit| unit.api.total_usd() / unit.work.max(f64::MIN_POSITIVE);
    units.sort_by(|a, b| {
        let first = worth(b).total_cmp(&worth(a));
        first.then_with(|| a.traffic.flow.cmp(&b.traffic.flow))
    });
    units
}

fn own_bound(case: &Case<'_>, flow: &str) -> Option<(Must, String)> {
    let bound = case.flow_bounds.iter().find(|bound| bound.flow == flow);
    bound.map(|bound| (bound.must, bound.why.clone()))
}

fn unit(case: &Case<'_>, bills: &[Bill], bounds: &Bounds, members: &[usize]) -> Unit {
    let mut traffic = FlowTraffic::default();
    let mut api = Bill::default();
    for flow in members {
        let part = &case.traffic.flows[*flow];
        traffic.requests += part.requests;
        traffic.input_tokens += part.input_tokens;
        traffic.cached_tokens += part.cached_tokens;
        traffic.output_tokens += part.output_tokens;
        api = api.plus(&bills[*flow]);
    }
    traffic.flow = match members {
        [one] => case.traffic.flows[*one].flow.clone(),
        several => format!("{} small flows", several.len()),
    };
    let input_work = (traffic.input_tokens - traffic.cached_tokens) * INPUT_TOKEN_WORK;
    let work = input_work + traffic.output_tokens;
    let general = match (bounds.must_own, bounds.must_rent) {
        (Some(rule), _) => Some((Must::Own, format!("the rule {rule}"))),
        (None, Some(rule)) => Some((Must::Rent, format!("the rule {rule}"))),
        (None, None) => None,
    };
    let own = match members {
        [one] => own_bound(case, &case.traffic.flows[*one].flow),
        _ => None,
    };
    // What must stay inside wins over all else.
    let must = match (own, general) {
        (Some((Must::Own, why)), _) | (_, Some((Must::Own, why))) => Some((Must::Own, why)),
        (own, general) => own.or(general),
    };
    Unit {
        traffic,
        members: members.to_vec(),
        api,
        work,
        work_from_input: if work > 0.0 { input_work / work } else { 0.0 },
        must,
    }
}

/// Units together, as one need.
pub(crate) fn need(case: &Case<'_>, units: &[&Unit], hosted: Option<&Hosted>) -> Need {
    let mut need = Need {
        api_batch_factor: case.api.batch_factor,
        ..Need::default()
    };
    let mut from_input = 0.0;
    for unit in units {
        need.api = need.api.plus(&unit.api);
        need.work += unit.work;
        from_input += unit.work * unit.work_from_input;
    }
    need.work_from_input = if need.work > 0.0 {
        from_input / need.work
    } else {
        0.0
    };
    need.hosted = hosted.map(|hosted| {
        let bills = units.iter().map(|unit| hosted.of_unit(unit));
        bills.fold(Bill::default(), |sum, bill| sum.plus(&bill))
    });
    need
}

/// What the record says that its requests cost, next to what the price book makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecordedCost {
    /// Requests whose cost the record tells.
    pub requests: u64,
    /// Their cost, USD, over the record.
    pub usd: f64,
    /// Share of the record's requests.
    pub share: f64,
}

/// The record's own costs, when it has any.
pub(crate) fn recorded_cost(case: &Case<'_>) -> Option<RecordedCost> {
    let all = case.workload.arrivals.len();
    let known = (0..all).filter_map(|index| case.workload.cost_of(index));
    let (mut requests, mut usd) = (0_u64, 0.0);
    for nanos in known {
        requests += 1;
        usd += NanoUsd::from_nanos(nanos).usd();
    }
    (requests > 0).then(|| RecordedCost {
        requests,
        usd: crate::draws::cents(usd),
        share: crate::draws::four(requests as f64 / all as f64),
    })
}
