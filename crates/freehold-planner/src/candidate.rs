//! What could be owned, and how it could be come by.

use freehold_sim::LoadCurve;
use serde::Serialize;

use crate::error::PlanError;
use crate::offers::Offer;

/// One way to serve the traffic oneself: a model on a kind of GPU with a scaling policy.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The open model.
    pub model: String,
    /// How its weights are stored, such as `fp8`.
    pub weights: String,
    /// The serving engine.
    pub engine: String,
    /// How replicas are started and stopped, such as `fixed fleet` or `autoscaled`.
    pub scaling: String,
    /// Load to GPUs; load 1 is the recorded traffic.
    pub curve: LoadCurve,
    /// Power limit of one board, watts.
    pub board_power_w: f64,
    /// What the GPU costs.
    pub offer: Offer,
    /// What somebody should know who trusts the curve.
    pub notes: Vec<String>,
}

impl Candidate {
    /// What it is called in reports.
    #[must_use]
    pub fn name(&self) -> String {
        let gpus = self.curve.gpus_per_replica();
        let each = if gpus == 1 {
            String::new()
        } else {
            format!("{gpus} x ")
        };
        format!(
            "{} ({}) on {each}{}, {}",
            self.model, self.weights, self.offer.gpu, self.scaling
        )
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// When a price or the power makes no sense.
    pub fn check(&self) -> Result<(), PlanError> {
        self.offer.check()?;
        if self.board_power_w.is_finite() && self.board_power_w >= 0.0 {
            return Ok(());
        }
        Err(PlanError::Setting {
            name: "the power of a GPU",
            value: self.board_power_w.to_string(),
            must_be: "watts, 0 or more",
        })
    }

    /// Tokens per second and GPU where the curve serves most.
    #[must_use]
    pub fn best_output_per_gpu(&self) -> f64 {
        let points = self.curve.points().iter();
        points
            .filter(|point| point.gpus_mean > 0.0)
            .map(|point| point.output_tokens_per_s / point.gpus_mean)
            .fold(0.0, f64::max)
    }

    /// Most load that one GPU carries, in the curve's unit.
    #[must_use]
    pub fn best_load_per_gpu(&self) -> f64 {
        let points = self.curve.points().iter();
        points
            .filter(|point| point.gpus_mean > 0.0)
            .map(|point| point.load / point.gpus_mean)
            .fold(0.0, f64::max)
    }
}

/// How GPUs are come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Procurement {
    /// Rented by the hour; those that scaling frees cost nothing.
    OnDemand,
    /// Rented by the hour, and taken away at times.
    Spot,
    /// Rented over the whole horizon at a discount: the peak is paid all the time.
    Reserved,
    /// Bought, with the server, and run in rented space.
    Buy,
}

impl Procurement {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OnDemand, Self::Spot, Self::Reserved, Self::Buy];

    /// As a person would say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "rented on demand",
            Self::Spot => "rented as spot",
            Self::Reserved => "rented with a commitment",
            Self::Buy => "bought",
        }
    }

    /// Whether the offer has a price for it.
    #[must_use]
    pub fn is_offered(self, offer: &Offer) -> bool {
        match self {
            Self::OnDemand | Self::Reserved => offer.on_demand.is_some(),
            Self::Spot => offer.spot.is_some(),
            Self::Buy => offer.buy.is_some(),
        }
    }
}
