//! `freehold feedback`: its arguments.

use clap::{Args, ValueEnum};

/// What users say of answers: counts, mean scores and labels, by flow and deployment.
///
/// Feedback comes by `POST /v1/feedback` (docs/rollout.md).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold feedback                            of the last 30 days, by flow and deployment
  freehold feedback --since 7d --by day        how it went
  freehold feedback --flow support --json      for scripts")]
pub(crate) struct FeedbackArgs {
    /// From then on: a date, a time, or an age such as 24h or 30d
    #[arg(long, default_value = "30d")]
    pub(crate) since: String,
    /// Of this flow only
    #[arg(long)]
    pub(crate) flow: Option<String>,
    /// A line for each of these
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [FeedbackBy::Flow, FeedbackBy::Deployment])]
    pub(crate) by: Vec<FeedbackBy>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What feedback is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FeedbackBy {
    /// The flow
    Flow,
    /// What answered
    Deployment,
    /// The day (UTC)
    Day,
    /// The rollout and its side
    Rollout,
}
