//! From a case to an answer.

use crate::advice::{
    Advice, FlowVerdict, HostedRent, NOT_MODELLED, Renting, TrafficSummary, Utilisation,
};
use crate::break_even::Volumes;
use crate::case::Case;
use crate::choose::{self, Choosable, Looked};
use crate::costing;
use crate::draws::{self, Quantiles, cents, four};
use crate::error::PlanError;
use crate::input::INPUTS;
use crate::interview::{self, Measured};
use crate::rates::Bill;
use crate::tornado;
use crate::traffic::Traffic;
use crate::units::{self, Hosted, Unit};
use crate::verdict::{self, Findings};

/// Answers a case.
///
/// # Errors
/// When a setting or an assumption makes no sense, or nothing can be owned that keeps the service level; every
/// message says what to change.
pub fn advise(case: Case<'_>) -> Result<Advice, PlanError> {
    case.settings.check()?;
    let assumptions = case.answers.adjusted(case.assumptions.clone())?;
    let case = &Case {
        assumptions,
        ..case
    };
    let bounds = case.answers.bounds();
    let units = units::units(case, &bounds);
    let hosted: Vec<Option<Hosted>> = case
        .candidates
        .iter()
        .map(|candidate| {
            let may_leave = !bounds.no_other_host;
            may_leave
                .then(|| Hosted::of(case, &candidate.model))
                .flatten()
        })
        .collect();
    let draws = draws::hypercube(case.settings.draws, case.settings.seed);
    let choice = choose::choose(case, &units, &hosted, &draws)?;
    let mut looked = choice.looked;
    let best = looked.remove(0);
    Ok(Asked {
        case,
        units: &units,
        draws: &draws,
        best: &best,
    }
    .answer(&looked, choice.rejected))
}

/// What the parts of the answer are made from.
struct Asked<'a> {
    case: &'a Case<'a>,
    units: &'a [Unit],
    draws: &'a [[f64; INPUTS]],
    best: &'a Looked<'a>,
}

impl<'a> Asked<'a> {
    fn answer(&self, others: &[Looked<'_>], rejected: Vec<crate::Rejected>) -> Advice {
        let (case, best) = (self.case, self.best);
        let months = case.settings.months;
        let hosted = self.hosted();
        let api_usd = self.units.iter().map(|unit| unit.api.total_usd()).sum();
        let volumes = Volumes {
            need: &best.option.need,
            way: &best.option.way,
            ranges: &best.option.ranges,
            months,
            tokens_per_month: best.option.tokens_per_month(),
        };
        let (break_even, points) = volumes.look(self.draws);
        let findings = Findings {
            case,
            units: self.units,
            best,
            hosted: hosted.as_ref(),
            api_usd,
        };
        let verdict = findings.verdict();
        let mut flows: Vec<FlowVerdict> = self
            .units
            .iter()
            .map(|unit| findings.flow(unit, self.alone(unit), verdict.decision))
            .collect();
        flows.sort_by(|a, b| {
            b.api_usd
                .total_cmp(&a.api_usd)
                .then_with(|| a.traffic.flow.cmp(&b.traffic.flow))
        });
        Advice {
            verdict,
            traffic: summary(case.traffic),
            renting: Renting {
                api: case.api.clone(),
                api_usd: cents(api_usd),
                recorded: units::recorded_cost(case),
                hosted,
            },
            runners_up: others.iter().map(|looked| looked.told.clone()).collect(),
            rejected,
            flows,
            break_even,
            tornado: tornado::tornado(&best.option, months),
            volumes: points,
            utilisation: self.utilisation(),
            conclusions: interview::conclusions(&case.answers, &self.measured(api_usd)),
            assumptions: case.assumptions.entries().to_vec(),
            gpu_price_source: format!(
                "{}: {}",
                best.told.gpu, best.option.way.candidate.offer.source
            ),
            notes: case.notes.clone(),
            not_modelled: NOT_MODELLED.to_vec(),
            settings: case.settings,
            best: best.told.clone(),
        }
    }

    fn measured(&self, api_usd: f64) -> Measured {
        Measured {
            tokens_per_month: self.case.traffic.total().tokens(),
            api_usd_per_month: api_usd,
            peak_to_mean: self.case.traffic.peak_to_mean(),
            people_usd_per_month: self.best.told.month.people_usd,
            gpus: self.best.told.gpus_peak,
        }
    }

    /// All traffic at a host of the best candidate's model.
    fn hosted(&self) -> Option<HostedRent> {
        let option = &self.best.option;
        let hosted = option.hosted?;
        let all = Choosable::new(
            self.case,
            option.way,
            option.hosted,
            self.units.iter().collect(),
        );
        let months = self.case.settings.months;
        let saved: Vec<f64> = all
            .over(self.draws, months)
            .iter()
            .map(|totals| (totals.api - totals.hosted.unwrap_or(totals.api)) / f64::from(months))
            .collect();
        let cheaper = saved.iter().filter(|saved| **saved > 0.0).count();
        Some(HostedRent {
            model: option.way.candidate.model.clone(),
            hosts: hosted.hosts,
            cheapest: hosted.cheapest.clone(),
            usual: hosted.usual.clone(),
            usd: cents(hosted.bills.iter().map(Bill::total_usd).sum()),
            cheaper: four(cheaper as f64 / saved.len() as f64),
            saving: Quantiles::of(saved).rounded(),
            source: hosted.source.clone(),
        })
    }

    /// One flow owned alone, the way that is best for the whole.
    fn alone(&self, unit: &Unit) -> FlowVerdict {
        let option = &self.best.option;
        let months = self.case.settings.months;
        let flow = &unit.traffic.flow;
        let alone = Choosable::new(self.case, option.way, option.hosted, vec![unit]);
        let (hosted_usd, need) = (alone.need.hosted, alone.need);
        let volumes = Volumes {
            need: &need,
            way: &option.way,
            ranges: &option.ranges,
            months,
            tokens_per_month: unit.traffic.tokens(),
        };
        let break_even_multiple = volumes.multiple();
        let looked = choose::look(alone, self.units.len(), self.draws, months);
        FlowVerdict {
            traffic: unit.traffic.clone(),
            decision: crate::Decision::Rent,
            because: String::new(),
            quality: verdict::quality(self.case, &option.way.candidate.model, Some(flow)),
            api_usd: cents(unit.api.total_usd()),
            hosted_usd: hosted_usd.map(|bill| cents(bill.total_usd())),
            alone: looked.told.saving,
            alone_cheapest: looked.told.cheapest,
            break_even_multiple,
        }
    }

    /// The fleet at today's volume, over the week.
    fn utilisation(&self) -> Utilisation {
        let option = &self.best.option;
        let load = costing::load(&option.ranges.base(), &option.need, 0.0);
        let point = option.way.candidate.curve.at(load);
        let capacity = option.way.candidate.best_load_per_gpu() * f64::from(point.gpus_peak);
        let now = if capacity > 0.0 { load / capacity } else { 0.0 };
        let profile = &self.case.traffic.profile;
        let full = profile
            .to_mean
            .iter()
            .map(|share| four((now * share).min(1.0)));
        Utilisation {
            full: full.collect(),
            profile: crate::traffic::Profile {
                to_mean: profile.to_mean.iter().map(|share| four(*share)).collect(),
                ..profile.clone()
            },
            gpus: point.gpus_peak,
        }
    }
}

fn summary(traffic: &Traffic) -> TrafficSummary {
    let total = traffic.total();
    TrafficSummary {
        recorded_requests: traffic.recorded_requests,
        recorded_hours: four(traffic.recorded_hours),
        is_generated: traffic.is_generated,
        month: crate::traffic::FlowTraffic {
            requests: total.requests.round(),
            input_tokens: total.input_tokens.round(),
            cached_tokens: total.cached_tokens.round(),
            output_tokens: total.output_tokens.round(),
            ..total
        },
        peak_to_mean: four(traffic.peak_to_mean()),
    }
}
