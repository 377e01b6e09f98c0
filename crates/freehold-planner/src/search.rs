//! Which machines could serve the traffic: models x GPUs x GPUs per replica x ways to scale, each simulated.

use freehold_sim::{
    Autoscaler, CurveInput, CurveSettings, Engine, FittedConstants, Fleet, Gpu, LoadCurve,
    ModelShape, Scaling, Server, SimError, Slo, Weights,
};
use freehold_workload::Workload;

use crate::candidate::Candidate;
use crate::case::Rejected;
use crate::error::PlanError;
use crate::offers::Offer;

/// GPUs of one replica that are tried, fewest first.
const GPUS_PER_REPLICA: [u32; 5] = [1, 2, 4, 8, 16];
/// Of the sizes in which a model fits, so many are simulated.
const SIZES: usize = 2;
/// Requests per replica that autoscalers which are tried aim for.
const TARGETS: [f64; 3] = [8.0, 32.0, 128.0];

/// What to look for.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    /// The traffic.
    pub workload: &'a Workload,
    /// The open models.
    pub models: Vec<ModelShape>,
    /// How weights are stored; `None` takes 8 bits where a GPU computes in them, else the model's own.
    pub weights: Option<Weights>,
    /// The GPUs with what they cost.
    pub gpus: Vec<(Gpu, Offer)>,
    /// The serving engine.
    pub engine: Engine,
    /// What is asked of the service.
    pub slo: Slo,
    /// Whether replicas may be started and stopped with the load, too.
    pub scales: bool,
    /// Replicas more than the load needs, for failures.
    pub spares: u32,
    /// How curves are worked out.
    pub curve: CurveSettings,
}

/// What was found, and what was left out.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What could be owned.
    pub candidates: Vec<Candidate>,
    /// What could not, with the reason.
    pub rejected: Vec<Rejected>,
}

impl Search<'_> {
    /// How many pairs of model and GPU there are.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.models.len() * self.gpus.len()
    }

    /// Simulates everything; `tell` hears the number of pairs done and which is next.
    ///
    /// # Errors
    /// When the traffic or a setting makes no sense. What does not fit or keeps no service level is no error
    /// but rejected.
    pub fn run(&self, tell: &mut dyn FnMut(usize, &str)) -> Result<Found, PlanError> {
        self.workload.check()?;
        self.slo
            .check()
            .map_err(|error| fatal("the service level", error))?;
        let constants = FittedConstants::bundled();
        let longest = longest_usual(self.workload);
        let mut found = Found::default();
        let mut done = 0;
        for shape in &self.models {
            for (gpu, offer) in &self.gpus {
                tell(done, &format!("{} on {}", shape.name, gpu.name));
                self.pair(shape, gpu, offer, &constants, longest, &mut found)?;
                done += 1;
            }
        }
        tell(done, "");
        Ok(found)
    }

    fn pair(
        &self,
        shape: &ModelShape,
        gpu: &Gpu,
        offer: &Offer,
        constants: &FittedConstants,
        longest: f64,
        found: &mut Found,
    ) -> Result<(), PlanError> {
        let weights = self.weights.unwrap_or_else(|| usual_weights(shape, gpu));
        let one = Server::new(shape.clone(), weights, gpu.clone(), 1, self.engine);
        let fitting: Vec<Server> = GPUS_PER_REPLICA
            .iter()
            .map(|gpus| one.on(*gpus))
            .filter(|server| server.check(longest).is_ok())
            .take(SIZES)
            .collect();
        let name = format!("{} ({weights}) on {}", shape.name, gpu.name);
        if fitting.is_empty() {
            let why = one.check(longest).err();
            let why = why.map_or("it does not fit".to_owned(), |error| error.to_string());
            found.rejected.push(Rejected { name, why });
            return Ok(());
        }
        let mut unreachable = None;
        for server in &fitting {
            let fleets = self.fleets(server, constants);
            for fleet in fleets.map_err(|error| fatal(&name, error))? {
                match self.curve(server, constants, &fleet, &self.curve) {
                    Ok(curve) => found
                        .candidates
                        .push(candidate(server, constants, &fleet, curve, offer)),
                    Err(error @ SimError::Unreachable { .. }) => unreachable = Some(error),
                    Err(error) => return Err(fatal(&name, error)),
                }
            }
            // More GPUs per replica are only looked at when fewer are too slow.
            if unreachable.is_none() {
                break;
            }
        }
        let is_in = found
            .candidates
            .iter()
            .any(|in_| in_.model == shape.name && in_.offer.gpu == gpu.name);
        if let (false, Some(error)) = (is_in, unreachable) {
            let why = error.to_string();
            found.rejected.push(Rejected { name, why });
        }
        Ok(())
    }

    /// A fixed fleet, and the autoscaler that takes the fewest GPUs for today's traffic, if one keeps the service level.
    fn fleets(&self, server: &Server, constants: &FittedConstants) -> Result<Vec<Fleet>, SimError> {
        let fixed = Fleet::fixed(1);
        let mut fleets = vec![fixed];
        if !self.scales {
            return Ok(fleets);
        }
        let today = CurveSettings {
            loads: vec![1.0],
            ..self.curve.clone()
        };
        let mut best: Option<(f64, Fleet)> = None;
        for target_outstanding in TARGETS {
            let fleet = Fleet {
                scaling: Scaling::Auto(Autoscaler {
                    target_outstanding,
                    ..Autoscaler::default()
                }),
                ..fixed
            };
            let gpus = match self.curve(server, constants, &fleet, &today) {
                Ok(curve) => curve.at(1.0).gpus_mean,
                Err(SimError::Unreachable { .. }) => continue,
                Err(error) => return Err(error),
            };
            if best.is_none_or(|(least, _)| gpus < least) {
                best = Some((gpus, fleet));
            }
        }
        fleets.extend(best.map(|(_, fleet)| fleet));
        Ok(fleets)
    }

    fn curve(
        &self,
        server: &Server,
        constants: &FittedConstants,
        fleet: &Fleet,
        settings: &CurveSettings,
    ) -> Result<LoadCurve, SimError> {
        let input = CurveInput {
            workload: self.workload,
            server,
            constants: &constants.of(server),
            fleet,
            slo: &self.slo,
        };
        let settings = CurveSettings {
            spares: self.spares,
            ..settings.clone()
        };
        LoadCurve::build(&input, &settings)
    }
}

fn candidate(
    server: &Server,
    constants: &FittedConstants,
    fleet: &Fleet,
    curve: LoadCurve,
    offer: &Offer,
) -> Candidate {
    let scaling = match fleet.scaling {
        Scaling::Fixed(_) => "fixed fleet",
        Scaling::Auto(_) => "autoscaled",
    };
    let unseen = constants.unseen(server);
    let mut notes = Vec::new();
    if !unseen.is_empty() {
        notes.push(format!(
            "no measurement went into its speed for: {}",
            unseen.join(", ")
        ));
    }
    Candidate {
        model: server.shape.name.clone(),
        weights: server.weights.to_string(),
        engine: server.engine.name().to_owned(),
        scaling: scaling.to_owned(),
        curve,
        board_power_w: server.gpu.board_power_w,
        offer: offer.clone(),
        notes,
    }
}

/// 8 bits where the GPU computes in them and the model is stored wider; else as its makers publish it.
fn usual_weights(shape: &ModelShape, gpu: &Gpu) -> Weights {
    if gpu.tflops_8.is_some() && shape.native.bits() > 8.5 {
        Weights::Fp8
    } else {
        shape.native
    }
}

/// Tokens of a long request as they usually are: 99 of 100 are shorter. Single longer ones do not decide.
fn longest_usual(workload: &Workload) -> f64 {
    let mut lengths: Vec<u64> = workload
        .arrivals
        .iter()
        .map(|arrival| u64::from(arrival.input_tokens) + u64::from(arrival.output_tokens))
        .collect();
    if lengths.is_empty() {
        return 1.0;
    }
    let place = (lengths.len() - 1) * 99 / 100;
    let (_, length, _) = lengths.select_nth_unstable(place);
    (*length).max(1) as f64
}

/// An error that no other machine would mend.
fn fatal(what: &str, error: SimError) -> PlanError {
    match error {
        SimError::Workload(bad) => bad.into(),
        error => PlanError::Malformed {
            what: what.to_owned(),
            why: error.to_string(),
        },
    }
}
