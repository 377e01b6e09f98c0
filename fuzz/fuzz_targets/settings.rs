//! What operators write: a policy as JSON, a policy as YAML, or the order of a rollout. It is refused with a reason, or
//! means something: a policy then lets nothing restricted out, and a rollout takes only steps that there are.
//! The first byte says which.
#![no_main]

use freehold_guard::Scan;
use freehold_policy::{Claim, Facts, Labels, Policy, PolicySettings, Surroundings};
use freehold_proof::rollout::{Evidence, Order, Stage, State, Step, next};
use freehold_types::Sensitivity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((form, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match form % 3 {
        0 => serde_json::from_str(text).map_or((), |settings| policy(&settings)),
        1 => serde_saphyr::from_str(text).map_or((), |settings| policy(&settings)),
        _ => serde_saphyr::from_str(text).map_or((), |ordered| order(&ordered)),
    }
});

fn policy(settings: &PolicySettings) {
    let compiled = match Policy::compile(settings, &Surroundings::default()) {
        Ok((compiled, _)) => compiled,
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            return;
        }
    };
    let scan = Scan::default();
    for label in Sensitivity::ALL {
        let labels = Labels {
            default: Sensitivity::Internal,
            route: None,
            key: None,
            claim: Claim::Label(label),
            scan: &scan,
        };
        let decided = compiled.decide(&labels, &Facts::default(), []);
        if let Ok(permit) = decided {
            assert!(permit.sensitivity() >= label, "a claim was lowered");
            let is_out = permit.outside() && permit.sensitivity() == Sensitivity::Restricted;
            assert!(!is_out, "restricted, and let out");
        }
    }
}

fn order(order: &Order) {
    if order.check().is_err() {
        return;
    }
    let state = State::new(1_700_000_000_000);
    let day = 24 * 60 * 60 * 1_000;
    let shares = [Stage::Shadow, Stage::Promoted].map(|stage| stage.share(order));
    assert_eq!(shares, [0.0, 1.0]);
    // Nothing was seen: nothing may go forward.
    let step = next(
        order,
        &state,
        &Evidence::default(),
        state.entered_unix_ms + day,
    );
    assert!(!matches!(step, Step::Propose { .. }), "{step:?}");
    let written = serde_json::to_string(order).expect("what was read can be written");
    let read: Order = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(&read, order);
}
