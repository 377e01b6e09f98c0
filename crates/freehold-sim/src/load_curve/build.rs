//! Finds, load by load, the smallest fleet that keeps the service level.

use freehold_workload::Workload;
use serde::{Deserialize, Serialize};

use super::scale::scaled;
use super::{LoadCurve, LoadPoint};
use crate::constants::Constants;
use crate::error::SimError;
use crate::server::Server;
use crate::service::Slo;
use crate::simulate::{Autoscaler, Fleet, Report, Scaling, simulate};

/// How a [`LoadCurve`] is worked out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveSettings {
    /// Loads, rising: times the workload's own traffic.
    pub loads: Vec<f64>,
    /// Never more replicas.
    pub replicas_max: u32,
    /// Replicas that are bought beside those that the load takes, for when one breaks (N+1: 1).
    pub spares: u32,
    /// About how many requests one simulation has: of longer workloads the busiest stretch, of 5 minutes to
    /// an hour, decides how many replicas there are, and the mean traffic against it how busy they are.
    pub requests_max: usize,
    /// For all random choices.
    pub seed: u64,
}

impl Default for CurveSettings {
    fn default() -> Self {
        Self {
            loads: vec![0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
            replicas_max: 256,
            spares: 0,
            requests_max: 200_000,
            seed: 1,
        }
    }
}

/// A workload with replicas of one kind, and what is asked of them.
#[derive(Clone, Copy, Debug)]
pub struct CurveInput<'a> {
    /// The traffic.
    pub workload: &'a Workload,
    /// One replica.
    pub server: &'a Server,
    /// Its constants.
    pub constants: &'a Constants,
    /// How the fleet is run. A fixed number of replicas in it is only where the search begins; an
    /// autoscaler's most are searched for, its other settings stay.
    pub fleet: &'a Fleet,
    /// What is asked of the service.
    pub slo: &'a Slo,
}

impl LoadCurve {
    /// Simulates a workload at several loads.
    ///
    /// # Errors
    /// As [`simulate`](crate::simulate()), and [`SimError::Unreachable`] when no allowed fleet keeps
    /// the service level even at the smallest load. Larger loads that cannot be served end the curve.
    pub fn build(input: &CurveInput, settings: &CurveSettings) -> Result<Self, SimError> {
        input.workload.check()?;
        if !(1..=100_000).contains(&settings.replicas_max) {
            let value = f64::from(settings.replicas_max);
            return Err(SimError::setting("replicas_max", value, "1 to 100000"));
        }
        if settings.requests_max == 0 {
            return Err(SimError::setting("requests_max", 0.0, "at least 1"));
        }
        let mut points: Vec<LoadPoint> = Vec::new();
        for load in &settings.loads {
            if !(load.is_finite() && *load > 0.0 && *load <= 1e6) {
                return Err(SimError::setting(
                    "a load",
                    *load,
                    "above 0 and at most a million",
                ));
            }
            let begin = points
                .last()
                .map_or(1, |point| point.replicas_peak - settings.spares);
            match point(input, settings, *load, begin) {
                Ok(point) => points.push(point),
                Err(error @ SimError::Unreachable { .. }) if points.is_empty() => {
                    return Err(error);
                }
                Err(SimError::Unreachable { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Self::from_points(input.server.gpus, points)
    }
}

/// One load: the smallest fleet by the busiest stretch, then how it does over the whole.
fn point(
    input: &CurveInput,
    settings: &CurveSettings,
    load: f64,
    begin: u32,
) -> Result<LoadPoint, SimError> {
    let requests = input.workload.arrivals.len() as f64 * load;
    let is_whole = requests <= settings.requests_max as f64;
    let end_us = input.workload.duration_us + 1;
    let (from_us, until_us) = if is_whole {
        (0, end_us)
    } else {
        busiest(input.workload, load, settings.requests_max)
    };
    let peak = scaled(input.workload, load, from_us, until_us, settings.seed);
    // Nothing is left of a small workload at a small load: its own requests decide.
    let peak = if peak.arrivals.is_empty() {
        input.workload.clone()
    } else {
        peak
    };
    let (replicas, report) = smallest(input, settings, &peak, load, begin)?;
    let report = if settings.spares > 0 {
        let fleet = fleet_of(input.fleet, replicas + settings.spares);
        run(input, &peak, &fleet, settings.seed)?
    } else {
        report
    };
    let whole = Whole::of(input, load, &report, &peak, is_whole);
    let replicas_peak = report.replicas_peak.max(1);
    Ok(LoadPoint {
        load,
        requests_per_s: whole.requests_per_s,
        output_tokens_per_s: whole.output_tokens_per_s,
        replicas_peak,
        gpus_peak: replicas_peak * input.server.gpus,
        gpus_mean: whole.gpus_mean,
        utilisation: whole.utilisation,
        ttft_ms: report.ttft_ms,
        tpot_ms: report.tpot_ms,
        e2e_ms: report.e2e_ms,
        slo_share: report.slo_share,
        meets_slo: report.slo_share >= input.slo.share,
    })
}

/// Means over the whole workload, from the stretch that was simulated.
struct Whole {
    requests_per_s: f64,
    output_tokens_per_s: f64,
    gpus_mean: f64,
    utilisation: f64,
}

impl Whole {
    /// The stretch's busy time per token holds for the rest too; quieter hours batch less, so for
    /// them it is too low. A fleet that scales has, at each time, the whole replicas that the traffic then takes.
    fn of(input: &CurveInput, load: f64, report: &Report, peak: &Workload, is_whole: bool) -> Self {
        let workload = input.workload;
        let seconds = (workload.duration_us as f64 / 1e6).max(1e-6);
        let tokens = |load: &Workload| -> f64 {
            load.arrivals
                .iter()
                .map(|arrival| f64::from(arrival.output_tokens.max(1)))
                .sum()
        };
        let all_tokens = tokens(workload) * load;
        let requests_per_s = workload.arrivals.len() as f64 * load / seconds;
        let output_tokens_per_s = all_tokens / seconds;
        let paid = report.gpu_hours / (report.seconds / 3600.0).max(1e-9);
        if is_whole {
            return Self {
                requests_per_s,
                output_tokens_per_s,
                gpus_mean: paid,
                utilisation: report.utilisation,
            };
        }
        let stretch_rate = tokens(peak) / (peak.duration_us as f64 / 1e6);
        let share = (output_tokens_per_s / stretch_rate).min(1.0);
        let busy = paid * report.utilisation * share;
        let gpus_mean = match input.fleet.scaling {
            Scaling::Fixed(_) => paid,
            Scaling::Auto(auto) => {
                let gpus = f64::from(input.server.gpus);
                let stretch = Stretch {
                    replicas: paid / gpus - f64::from(auto.warm),
                    replicas_peak: f64::from(report.replicas_peak),
                    tokens_per_s: stretch_rate / load,
                };
                (gpus * replicas_mean(workload, &auto, &stretch)).max(busy)
            }
        };
        Self {
            requests_per_s,
            output_tokens_per_s,
            gpus_mean,
            utilisation: (busy / gpus_mean).min(1.0),
        }
    }
}

/// What a simulated stretch took.
struct Stretch {
    /// On the mean, warm ones left out.
    replicas: f64,
    /// At most.
    replicas_peak: f64,
    /// Tokens that the workload writes in it.
    tokens_per_s: f64,
}

/// Replicas that an autoscaler has on the mean of the whole workload: in proportion to the traffic of each time, whole,
/// and kept for as long as it cools down.
fn replicas_mean(workload: &Workload, auto: &Autoscaler, stretch: &Stretch) -> f64 {
    let bin_us = (auto.cool_down_s.max(60.0) * 1e6) as u64;
    let bins = workload.duration_us.div_ceil(bin_us).max(1);
    let mut tokens = vec![0.0; bins as usize];
    for arrival in &workload.arrivals {
        let bin = (arrival.at_us / bin_us).min(bins - 1);
        tokens[bin as usize] += f64::from(arrival.output_tokens.max(1));
    }
    let least = f64::from(auto.replicas_min.max(1));
    let needed = |tokens: &f64| {
        let rate = tokens / (bin_us as f64 / 1e6) / stretch.tokens_per_s;
        (stretch.replicas * rate)
            .ceil()
            .min(stretch.replicas_peak)
            .max(least)
    };
    let all: f64 = tokens.iter().map(needed).sum();
    all / bins as f64 + f64::from(auto.warm)
}

/// A stretch begins with empty replicas: much shorter ones would end before those are as busy as they get.
const STRETCH_US: u64 = 300_000_000;
const HOUR_US: u64 = 3_600_000_000;

/// The stretch with the most tokens, about as long as has the allowed number of requests.
fn busiest(workload: &Workload, load: f64, requests_max: usize) -> (u64, u64) {
    let share = requests_max as f64 / (workload.arrivals.len() as f64 * load);
    let length_us = ((workload.duration_us as f64 * share) as u64).clamp(STRETCH_US, HOUR_US);
    let weight = |index: usize| {
        let arrival = &workload.arrivals[index];
        // A token written costs several times a token read.
        u64::from(arrival.input_tokens) + 4 * u64::from(arrival.output_tokens)
    };
    let (mut first, mut sum, mut best) = (0, 0u64, (0u64, 0u64));
    for last in 0..workload.arrivals.len() {
        sum += weight(last);
        while workload.arrivals[last].at_us - workload.arrivals[first].at_us > length_us {
            sum -= weight(first);
            first += 1;
        }
        if sum > best.0 {
            best = (sum, workload.arrivals[first].at_us);
        }
    }
    (best.1, best.1 + length_us)
}

fn fleet_of(fleet: &Fleet, replicas: u32) -> Fleet {
    match fleet.scaling {
        Scaling::Fixed(_) => fleet.with_replicas(replicas),
        Scaling::Auto(auto) => Fleet {
            scaling: Scaling::Auto(Autoscaler {
                replicas_max: replicas,
                // The stretch is the busiest of a longer time: what it needs was started before.
                replicas_begin: replicas,
                replicas_min: auto.replicas_min.min(replicas),
                ..auto
            }),
            ..*fleet
        },
    }
}

fn run(
    input: &CurveInput,
    workload: &Workload,
    fleet: &Fleet,
    seed: u64,
) -> Result<Report, SimError> {
    simulate(
        workload,
        input.server,
        input.constants,
        fleet,
        input.slo,
        seed,
    )
}

/// The smallest number of replicas that keeps the service level: doubles, then halves the interval.
fn smallest(
    input: &CurveInput,
    settings: &CurveSettings,
    workload: &Workload,
    load: f64,
    begin: u32,
) -> Result<(u32, Report), SimError> {
    let try_with = |replicas: u32| {
        run(
            input,
            workload,
            &fleet_of(input.fleet, replicas),
            settings.seed,
        )
    };
    let keeps = |report: &Report| report.slo_share >= input.slo.share;
    let mut too_few = 0;
    let mut replicas = begin.clamp(1, settings.replicas_max);
    let mut best_share: f64 = 0.0;
    let mut best = loop {
        let report = try_with(replicas)?;
        best_share = best_share.max(report.slo_share);
        if keeps(&report) {
            break (replicas, report);
        }
        // Requests that nobody can hold, or that are too slow even alone, are not helped by more.
        let is_hopeless = replicas >= settings.replicas_max
            || (report.slo_share <= 0.0 && too_few > 0 && replicas >= 64);
        if is_hopeless {
            return Err(SimError::Unreachable {
                load,
                replicas_max: settings.replicas_max,
                best_share: best_share * 100.0,
                hint: hint(input, &report),
            });
        }
        too_few = replicas;
        replicas = replicas.saturating_mul(2).min(settings.replicas_max);
    };
    while best.0 - too_few > 1 {
        let middle = too_few + (best.0 - too_few) / 2;
        let report = try_with(middle)?;
        if keeps(&report) {
            best = (middle, report);
        } else {
            too_few = middle;
        }
    }
    Ok(best)
}

/// What stands in the way.
fn hint(input: &CurveInput, report: &Report) -> String {
    let slo = input.slo;
    if report.rejected > report.requests / 100 {
        return "many requests are longer than the cache: take more or larger GPUs per replica"
            .to_owned();
    }
    if slo.tpot_ms.is_some_and(|limit| report.tpot_ms.p50 > limit) {
        return format!(
            "half of the answers come at over {:.0} ms a token: allow more, or take faster or more GPUs per \
             replica",
            report.tpot_ms.p50
        );
    }
    if slo.ttft_ms.is_some_and(|limit| report.ttft_ms.p95 > limit) {
        return format!(
            "5 % of the answers begin after over {:.0} ms: allow more, or take faster or more GPUs per replica",
            report.ttft_ms.p95
        );
    }
    "allow longer answers' times, or more replicas".to_owned()
}

#[cfg(test)]
mod tests {
    use freehold_workload::Arrival;

    use super::*;

    #[test]
    fn a_fleet_that_scales_has_whole_replicas_at_night_too() {
        // Ten hours; in the first, 40 tokens a second, later 2.
        let hour = |hour: u64, tokens: u32| {
            (0..3_600).map(move |second| Arrival {
                at_us: (hour * 3_600 + second) * 1_000_000,
                input_tokens: 1,
                output_tokens: tokens,
                ..Arrival::default()
            })
        };
        let day = hour(0, 40).chain((1..10).flat_map(|at| hour(at, 2)));
        let workload = Workload {
            arrivals: day.collect(),
            duration_us: 36_000_000_000,
            flows: vec!["all".to_owned()],
            ..Workload::default()
        };
        let stretch = Stretch {
            replicas: 4.0,
            replicas_peak: 5.0,
            tokens_per_s: 40.0,
        };
        let auto = Autoscaler::default();
        // Four for an hour, and one, not a fifth of one, for nine.
        let mean = replicas_mean(&workload, &auto, &stretch);
        assert!((mean - 1.3).abs() < 1e-9, "{mean}");
        let warm = Autoscaler {
            warm: 2,
            replicas_min: 2,
            ..auto
        };
        let mean = replicas_mean(&workload, &warm, &stretch);
        assert!((mean - 4.2).abs() < 1e-9, "{mean}");
    }
}
