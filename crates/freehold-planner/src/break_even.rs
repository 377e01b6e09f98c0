//! Above which volume owning is cheaper, and how full the machines then are.

use serde::Serialize;

use crate::costing::{self, Need, Ranges, Totals, Values, Way};
use crate::draws::{Quantiles, cents, four};
use crate::input::{INPUTS, Input};

/// Volumes that are looked at: a thousandth to a thousand times today's, eight to a decade.
const STEPS: i32 = 24;
/// Of these.
const PER_DECADE: f64 = 8.0;
/// So many draws make the band.
const BAND_DRAWS: usize = 200;

/// With which way of renting owning is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Versus {
    /// The API used today.
    Api,
    /// The same open model at another host.
    Hosted,
}

impl Versus {
    fn of(self, totals: &Totals) -> Option<f64> {
        match self {
            Self::Api => Some(totals.api),
            Self::Hosted => totals.hosted,
        }
    }
}

/// Where owning becomes cheaper than one way of renting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakEven {
    /// What it is compared with.
    pub versus: Versus,
    /// Times today's volume from which on owning stays cheaper, most likely values; `None` when it is not
    /// even at a thousand times.
    pub multiple: Option<f64>,
    /// The same in tokens a day, input and output.
    pub tokens_per_day: Option<f64>,
    /// The same over draws: a tenth breaks even below P10, a tenth above P90. Only of draws that do at all.
    pub band: Option<Quantiles>,
    /// Share of draws that break even up to a thousand times today's volume.
    pub share_of_draws: f64,
    /// GPUs at that volume.
    pub gpus: Option<u32>,
    /// Busy share of the paid GPU time at that volume, 0 to 1.
    pub busy: Option<f64>,
    /// Tokens per GPU at that volume, of the most that the simulated fleets carry within the service level.
    pub utilisation: Option<f64>,
    /// How full, by the same measure, the GPUs that today's volume needs would have to be for owning to cost
    /// what renting does, once built; above 1 when not even full ones are worth it.
    pub utilisation_needed: Option<f64>,
    /// How full they are today.
    pub utilisation_now: f64,
}

/// What renting and owning cost at a volume, USD a month over the horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VolumePoint {
    /// Times today's volume.
    pub multiple: f64,
    /// Tokens a month at the start, input and output.
    pub tokens_per_month: f64,
    /// Today's API.
    pub api_usd: f64,
    /// The open model at a usual host.
    pub hosted_usd: Option<f64>,
    /// Owned, most likely values.
    pub own_usd: f64,
    /// Owned, over draws.
    pub own: Quantiles,
}

/// One way to own one need, over volumes.
pub(crate) struct Volumes<'a> {
    pub(crate) need: &'a Need,
    pub(crate) way: &'a Way<'a>,
    pub(crate) ranges: &'a Ranges<'a>,
    pub(crate) months: u32,
    pub(crate) tokens_per_month: f64,
}

/// Savings over the grid of one set of values.
type Curve = Vec<(f64, Totals)>;

impl Volumes<'_> {
    fn at(&self, values: &Values, multiple: f64) -> Totals {
        let mut values = *values;
        let factor = values.of(Input::VolumeFactor) * multiple;
        values.set(Input::VolumeFactor, factor);
        costing::totals(&values, self.need, self.way, self.months)
    }

    fn curve(&self, values: &Values) -> Curve {
        let steps = -STEPS..=STEPS;
        let multiples = steps.map(|step| 10_f64.powf(f64::from(step) / PER_DECADE));
        multiples
            .map(|multiple| (multiple, self.at(values, multiple)))
            .collect()
    }

    /// From which volume on owning stays cheaper.
    fn crossing(
        &self,
        values: &Values,
        curve: &Curve,
        versus: Versus,
        is_exact: bool,
    ) -> Option<f64> {
        let saves = |totals: &Totals| versus.of(totals).map(|rent| rent - totals.own);
        let (_, last) = curve.last()?;
        if saves(last)? < 0.0 {
            return None;
        }
        let loses = |(_, totals): &(f64, Totals)| saves(totals).is_some_and(|saved| saved < 0.0);
        let Some(below) = curve.iter().rposition(loses) else {
            return curve.first().map(|(multiple, _)| *multiple);
        };
        let (mut low, mut high) = (curve[below].0, curve[below + 1].0);
        let steps = if is_exact { 40 } else { 4 };
        for _ in 0..steps {
            let middle = (low * high).sqrt();
            if saves(&self.at(values, middle))? < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }

    /// Break-even against both ways of renting, and the curve for the chart.
    pub(crate) fn look(&self, draws: &[[f64; INPUTS]]) -> (Vec<BreakEven>, Vec<VolumePoint>) {
        let base = self.ranges.base();
        let curve = self.curve(&base);
        let draws = draws.iter().take(BAND_DRAWS);
        let drawn: Vec<(Values, Curve)> = draws
            .map(|draw| {
                let values = self.ranges.at(draw);
                let curve = self.curve(&values);
                (values, curve)
            })
            .collect();
        let versus = [Versus::Api, Versus::Hosted].into_iter();
        let versus = versus.filter(|versus| *versus == Versus::Api || self.need.hosted.is_some());
        let told = versus.map(|versus| self.break_even(versus, &base, &curve, &drawn));
        (told.collect(), self.points(&curve, &drawn))
    }

    fn break_even(
        &self,
        versus: Versus,
        base: &Values,
        curve: &Curve,
        drawn: &[(Values, Curve)],
    ) -> BreakEven {
        let multiple = self.crossing(base, curve, versus, true);
        let found: Vec<f64> = drawn
            .iter()
            .filter_map(|(values, curve)| self.crossing(values, curve, versus, false))
            .collect();
        let share = found.len() as f64 / drawn.len().max(1) as f64;
        let band = (found.len() * 10 >= drawn.len()).then(|| Quantiles::of(found));
        let point = multiple.map(|multiple| {
            let middle = f64::from(self.months) / 2.0;
            let load = costing::load(base, self.need, middle) * multiple;
            self.way.candidate.curve.at(load)
        });
        let best = self.way.candidate.best_output_per_gpu();
        let (needed, now) = self.fullness(base, versus);
        BreakEven {
            versus,
            multiple: multiple.map(four),
            tokens_per_day: multiple.map(|multiple| {
                let daily = self.tokens_per_month * 24.0 / crate::HOURS_PER_MONTH;
                (daily * multiple).round()
            }),
            band: band.map(|band| Quantiles {
                p10: four(band.p10),
                p50: four(band.p50),
                p90: four(band.p90),
            }),
            share_of_draws: four(share),
            gpus: point.map(|point| point.gpus_peak),
            busy: point.map(|point| four(point.utilisation)),
            utilisation: point
                .filter(|_| best > 0.0)
                .map(|point| four(point.output_tokens_per_s / point.gpus_mean / best)),
            utilisation_needed: needed.map(four),
            utilisation_now: four(now),
        }
    }

    /// How full today's fleet must be to be worth it once built, and how full it is.
    fn fullness(&self, base: &Values, versus: Versus) -> (Option<f64>, f64) {
        let curve = &self.way.candidate.curve;
        let load = costing::load(base, self.need, 0.0);
        let point = curve.at(load);
        let per_gpu = self.way.candidate.best_load_per_gpu();
        let capacity = per_gpu * point.gpus_mean;
        if capacity <= 0.0 || load <= 0.0 {
            return (None, 0.0);
        }
        let now = load / capacity;
        let (api, hosted) = costing::rented_month(base, self.need, 0.0);
        let own = costing::month(base, self.need, self.way, 0.0);
        // What is left at the API is left there either way.
        let fallback = own.fallback_usd;
        let rent = match versus {
            Versus::Api => Some(api),
            Versus::Hosted => hosted,
        };
        let needed = rent
            .map(|rent| rent - fallback)
            .filter(|rent| *rent > 0.0)
            .map(|rent| (own.total_usd() - fallback) / rent * now);
        (needed, now)
    }

    fn points(&self, curve: &Curve, drawn: &[(Values, Curve)]) -> Vec<VolumePoint> {
        let months = f64::from(self.months);
        let point = |(index, (multiple, totals)): (usize, &(f64, Totals))| {
            let own = drawn.iter().map(|(_, curve)| curve[index].1.own / months);
            VolumePoint {
                multiple: four(*multiple),
                tokens_per_month: (self.tokens_per_month * multiple).round(),
                api_usd: cents(totals.api / months),
                hosted_usd: totals.hosted.map(|usd| cents(usd / months)),
                own_usd: cents(totals.own / months),
                own: Quantiles::of(own.collect()).rounded(),
            }
        };
        curve.iter().enumerate().map(point).collect()
    }
}

impl Volumes<'_> {
    /// Only where it breaks even with today's API, most likely values.
    pub(crate) fn multiple(&self) -> Option<f64> {
        let base = self.ranges.base();
        let curve = self.curve(&base);
        self.crossing(&base, &curve, Versus::Api, true).map(four)
    }
}
