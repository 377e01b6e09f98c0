//! Labels as the database writes them. They are stored for ever: never change one.

use freehold_types::{ErrorSource, OutcomeStatus, Perimeter, UsageBasis};

pub(crate) const fn status(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Completed => "completed",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Failed => "failed",
        OutcomeStatus::Refused => "refused",
    }
}

/// The label for a stored text; what this program does not know counts as failed.
pub(crate) fn status_of(text: &str) -> &'static str {
    let all = [
        OutcomeStatus::Completed,
        OutcomeStatus::Cancelled,
        OutcomeStatus::Refused,
    ];
    all.into_iter()
        .map(status)
        .find(|name| *name == text)
        .unwrap_or(status(OutcomeStatus::Failed))
}

pub(crate) const fn perimeter(perimeter: Perimeter) -> &'static str {
    match perimeter {
        Perimeter::Inside => "inside",
        Perimeter::Outside => "outside",
    }
}

pub(crate) const fn side(side: ErrorSource) -> &'static str {
    match side {
        ErrorSource::Client => "client",
        ErrorSource::Upstream => "upstream",
        ErrorSource::Internal => "internal",
    }
}

pub(crate) const fn basis(basis: UsageBasis) -> &'static str {
    match basis {
        UsageBasis::Reported => "reported",
        UsageBasis::Counted => "counted",
        UsageBasis::Estimated => "estimated",
    }
}
