//! Names that callers and upstreams wrote, and that records keep: a route that led nowhere, a flow, a
//! field at fault, the model that an answer names. They are the only text of others in a record, so
//! whoever wants data in the ledger, the audit trail or the log would write it there. Where the guard
//! sees data in one, it is left out.

use std::sync::OnceLock;

use freehold_guard::{Guard, TextScan};
use freehold_types::outcome::ErrorSummary;
use freehold_types::{FlowName, Outcome, RouteName, Sensitivity};

/// What stands where a name stood.
const WITHHELD: &str = "withheld";

/// What the guard said of a request's names: a request is recorded twice, and looked at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    flow_is_data: OnceLock<bool>,
}

impl Names {
    /// The names of a request whose flow is of our own making, and can hold no data.
    pub(crate) fn of_own_flow() -> Self {
        Self {
            flow_is_data: OnceLock::from(false),
        }
    }
}

/// Takes out of a record what is no name. `is_found` says that a route was found.
pub(crate) fn withhold(outcome: &mut Outcome, guard: &Guard, is_found: bool, names: &Names) {
    // A route that was found stands in the configuration, or the guard has looked at its name.
    let is_known = is_found && outcome.findings.is_empty();
    let looks = if is_found { names_data } else { holds_data };
    if !is_known && looks(guard, outcome.route.as_str()) {
        outcome.route = RouteName::new(WITHHELD);
        if let Some(decision) = &mut outcome.decision {
            decision.inputs.route = WITHHELD.to_owned();
        }
    }
    if let Some(flow) = &outcome.flow
        && *names
            .flow_is_data
            .get_or_init(|| holds_data(guard, flow.as_str()))
    {
        outcome.flow = Some(FlowName::new(WITHHELD));
    }
    withhold_param(outcome.error.as_mut(), guard);
    for attempt in &mut outcome.attempts {
        withhold_param(attempt.error.as_mut(), guard);
        let reported = attempt.reported_model.as_deref();
        let is_expected = reported.is_none_or(|model| attempt.deployment.as_str().ends_with(model));
        if !is_expected && reported.is_some_and(|model| names_data(guard, model)) {
            attempt.reported_model = None;
        }
    }
}

fn withhold_param(error: Option<&mut ErrorSummary>, guard: &Guard) {
    if let Some(error) = error
        && error
            .param
            .as_deref()
            .is_some_and(|param| holds_data(guard, param))
    {
        error.param = None;
    }
}

/// Whether the guard sees something in a name that may not leave, or cannot read it.
pub(crate) fn holds_data(guard: &Guard, name: &str) -> bool {
    is_data(guard, &guard.scan_text(name))
}

/// The same of the name of a model, in which words mean little.
fn names_data(guard: &Guard, name: &str) -> bool {
    is_data(guard, &guard.scan_name(name))
}

fn is_data(guard: &Guard, scan: &TextScan) -> bool {
    let labels = scan.hits.iter().map(|hit| guard.label(&hit.entity));
    scan.incomplete.is_some() || labels.max() > Some(Sensitivity::Internal)
}
