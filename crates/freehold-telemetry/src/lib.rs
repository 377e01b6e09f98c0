//! Traces and metrics for an OpenTelemetry collector, over OTLP (HTTP, protobuf).
//!
//! In: outcomes of requests that have ended ([`freehold_ports::Tracer`]) and the text of the Prometheus
//! registry. Out: spans and metrics by the GenAI semantic conventions, posted to one address by
//! [`freehold_hosted::Poster`]. A request pays for one hand-over into a bounded queue; all else happens in
//! tasks of its own. What does not fit, or nobody takes, is dropped, counted and logged once.
//!
//! It never sees text of a request, never counts anything that the registry does not count, and never
//! makes a request wait.

mod attributes;
mod collector;
mod registry;
mod sampler;
mod spans;
mod telemetry;

pub use sampler::{Root, Sampler};
pub use spans::Place;
pub use telemetry::{MetricSettings, Settings, Telemetry, TraceSettings, describe_metrics, knock};
