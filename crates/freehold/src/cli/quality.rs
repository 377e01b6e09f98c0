//! `freehold quality`: its arguments.

use clap::{Args, ValueEnum};

/// How good answers are: errors, what users say, and what agents' work shows, by flow and deployment.
///
/// Users' scores come by `POST /v1/feedback`. Agents' signals are read off each request: tools' results that report an
/// error, calls repeated with the same arguments since the user's last words, agents that go round in a circle, and
/// requests sent again (docs/quality.md).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold quality                               of the last 30 days, by flow and deployment
  freehold quality --flow support --by day       how it went
  freehold quality --by model --json             for scripts")]
pub(crate) struct QualityArgs {
    /// From then on: a date, a time, or an age such as 24h or 30d
    #[arg(long, default_value = "30d")]
    pub(crate) since: String,
    /// Of this flow only
    #[arg(long)]
    pub(crate) flow: Option<String>,
    /// A line for each of these
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [QualityBy::Flow, QualityBy::Deployment])]
    pub(crate) by: Vec<QualityBy>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What quality is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum QualityBy {
    /// The flow
    Flow,
    /// What answered
    Deployment,
    /// The same without its backend
    Model,
    /// Who asked
    Key,
    /// The day (UTC)
    Day,
}
