//! How fast an owned model serves a workload, and how many GPUs that takes.
//!
//! Input: a [`freehold_workload::Workload`], a model's shape, a GPU, and what is asked of the service
//! ([`Slo`]). Output: latencies, utilisation and GPU-hours, and a [`LoadCurve`]: load -> GPUs,
//! utilisation, latencies and service level, which the advisor's Monte Carlo draws from.
//! This crate never does I/O, never reads a clock, and gives the same bytes for the same seed.
//!
//! # For those who only want the curve
//! ```
//! use freehold_sim::{LoadCurve, LoadPoint, Percentiles};
//! # let measured = LoadPoint {
//! #     load: 1.0, requests_per_s: 2.0, output_tokens_per_s: 400.0, replicas_peak: 2, gpus_peak: 2,
//! #     gpus_mean: 2.0, utilisation: 0.3, ttft_ms: Percentiles::default(),
//! #     tpot_ms: Percentiles::default(), e2e_ms: Percentiles::default(), slo_share: 1.0,
//! #     meets_slo: true,
//! # };
//! let curve = LoadCurve::from_points(1, vec![measured])?;
//! let ten_times = curve.at(10.0);
//! assert_eq!(ten_times.gpus_peak, 20);
//! # Ok::<(), freehold_sim::SimError>(())
//! ```

mod calibrate;
mod capacity;
mod catalogue;
mod constants;
mod engine;
mod error;
mod fitting;
mod generated;
mod gpu;
mod load_curve;
mod measured;
mod quantisation;
mod recorded_run;
mod server;
mod service;
mod shape;
mod simulate;
mod steady;
mod step;

pub use calibrate::{
    CalibratedServer, Compared, LoadFigures, LoadRun, ServedRequest, ServerLimits, StepConstants,
    calibrate, compare, medians,
};
pub use capacity::{Fit, fit_in};
pub use constants::{Constants, FittedConstants};
pub use engine::{Engine, Limits};
pub use error::SimError;
pub use fitting::{Errors, HeldOut, cross_validate, fit, predict_rows};
pub use generated::poisson;
pub use gpu::{Gpu, Link};
pub use load_curve::{CurveInput, CurveSettings, LoadCurve, LoadPoint};
pub use measured::{Measured, Measurements};
pub use quantisation::{CacheType, Precision, Weights};
pub use recorded_run::{RecordedRun, RunFigures};
pub use server::{Room, Server};
pub use service::{Percentiles, Slo};
pub use shape::{Experts, GgufValue, LatentAttention, ModelShape, SlidingWindow};
pub use simulate::{
    Autoscaler, Failures, Fleet, Hour, Machine, Report, Routing, Scaling, simulate, simulate_on,
};
pub use steady::{Offer, Steady, steady};
pub use step::{StepLoad, StepModel};
