//! What the gateway's own configuration adds to the question: flows that its policy keeps inside.

use freehold_config::Settings;
use freehold_guard::Scan;
use freehold_planner::{FlowBound, Must};
use freehold_policy::{Claim, Facts, Labels};
use freehold_store::KeySettings;
use freehold_workload::Workload;

/// The flows that the policy lets nobody outside serve, but those in `known`. A flow that belongs to a key is decided as
/// that key's requests are; nothing of the requests' text is known here, so that a rule that looks at text decides
/// nothing.
pub(super) fn bounds(
    settings: &Settings,
    workload: &Workload,
    known: &[FlowBound],
    notes: &mut Vec<String>,
) -> Vec<FlowBound> {
    let mut bounds = Vec::new();
    for flow in &workload.flows {
        if known.iter().any(|bound| bound.flow == *flow) {
            continue;
        }
        match why_inside(settings, flow) {
            Ok(None) => {}
            Ok(Some(why)) => bounds.push(FlowBound {
                flow: flow.clone(),
                must: Must::Own,
                why,
            }),
            Err(reason) => notes.push(format!("policy refuses the flow {flow} as it is: {reason}")),
        }
    }
    if let [first, ..] = bounds.as_slice() {
        notes.push(format!(
            "policy keeps {} of {} flows inside, {} among them (`freehold policy explain --flow FLOW` tells why)",
            bounds.len(),
            workload.flows.len(),
            first.flow
        ));
    }
    bounds
}

/// Why a flow may not go outside, if it may not.
fn why_inside(settings: &Settings, flow: &str) -> Result<Option<String>, String> {
    let is_its = |key: &&KeySettings| key.flow.as_ref().is_some_and(|own| own.as_str() == flow);
    let key = settings.keys.iter().find(is_its);
    let scan = Scan::default();
    let labels = Labels {
        default: settings.default_sensitivity,
        route: None,
        key: key.and_then(|key| key.sensitivity),
        claim: Claim::None,
        scan: &scan,
    };
    let facts = Facts {
        tenant: key.and_then(|key| key.tenant.as_deref()),
        key: key.map(|key| key.name.as_str()),
        flow: Some(flow),
        route: None,
        region: key.and_then(|key| key.region.as_deref()),
        labels: None,
        previous: None,
        before: &[],
    };
    let constraint = key.map(|key| key.constraint.clone()).unwrap_or_default();
    let permit = settings
        .policy
        .decide(&labels, &facts, [constraint])
        .map_err(|refusal| refusal.reason)?;
    Ok(permit
        .kept_inside_by()
        .map(|what| format!("policy: {what}")))
}
