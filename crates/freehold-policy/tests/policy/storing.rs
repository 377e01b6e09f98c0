//! Which text may be stored: by rule only, the strictest, in a sample that ids decide.

use freehold_guard::Scan;
use freehold_policy::{
    Facts, Masked, Permit, Policy, PolicyError, StoredText, Storing, Surroundings,
};
use freehold_types::RequestId;

use crate::support::{decide, entities, facts, labels, policy, scan, settings};

fn ids(count: u64) -> Vec<RequestId> {
    (0..count)
        .map(|index| RequestId::at(1_700_000_000_000 + index))
        .collect()
}

/// What is stored of a request with these findings: which text, and for how many days.
fn stored(yaml: &str, found: &[&str]) -> Option<(StoredText, u64)> {
    let permit = decide(&policy(yaml), found).expect("a permit");
    let storing = permit.storing(RequestId::at(1_700_000_000_000))?;
    let scan = scan(found);
    let masked = Masked::as_asked(&storing.masks(&scan));
    let pass = storing.pass(&scan, &masked).expect("masked as asked");
    Some((pass.what(), pass.keep().as_secs() / 86_400))
}

#[test]
fn nothing_is_stored_unless_a_rule_says_so() {
    assert_eq!(stored("rules: []", &[]), None);
    assert_eq!(stored("rules: [{name: r, review: true}]", &[]), None);
    let keeps = "rules: [{name: r, store: {keep_days: 30}}]";
    assert_eq!(stored(keeps, &[]), Some((StoredText::Masked, 30)));
    let elsewhere = "rules: [{name: r, when: {tenant: umbrella}, store: {keep_days: 30}}]";
    assert_eq!(stored(elsewhere, &[]), None);
}

#[test]
fn the_strictest_of_several_rules_holds() {
    let two = |one: &str, other: &str| {
        let yaml = format!("rules: [{{name: a, store: {one}}}, {{name: b, store: {other}}}]");
        stored(&yaml, &[])
    };
    let long = "{keep_days: 90, what: original}";
    assert_eq!(two(long, long), Some((StoredText::Original, 90)));
    assert_eq!(two(long, "{keep_days: 7}"), Some((StoredText::Masked, 7)));
    assert_eq!(two("{keep_days: 7}", long), Some((StoredText::Masked, 7)));
    assert_eq!(two(long, "never"), None);
    assert_eq!(two("never", long), None);
    assert_eq!(two(long, "{keep_days: 1, sample: 0.0000000001}"), None);
}

#[test]
fn what_is_restricted_is_stored_only_where_that_is_written() {
    let up_to = |label: &str| format!("rules: [{{name: r, store: {{keep_days: 1{label}}}}}]");
    let found = &["diagnosis"][..];
    assert_eq!(stored(&up_to(""), found), None);
    assert_eq!(stored(&up_to(", up_to: confidential"), found), None);
    assert!(stored(&up_to(", up_to: restricted"), found).is_some());
    assert!(stored(&up_to(""), &["iban"]).is_some());
    assert_eq!(stored(&up_to(", up_to: internal"), &["iban"]), None);
    let both = "rules: [{name: a, store: {keep_days: 1, up_to: restricted}}, \
                {name: b, store: {keep_days: 1}}]";
    assert_eq!(stored(both, found), None, "both must say so");
}

#[test]
fn what_cannot_be_scanned_cannot_be_stored_masked() {
    let decide = |what: &str| {
        let yaml =
            format!("rules: [{{name: r, store: {{keep_days: 1, up_to: restricted{what}}}}}]");
        let mut scan = crate::support::scan(&[]);
        scan.incomplete = Some("too deep".to_owned());
        let labels = crate::support::labels(&scan);
        let permit = policy(&yaml).decide(&labels, &crate::support::facts(), []);
        permit
            .expect("a permit")
            .storing(RequestId::at(1_700_000_000_000))
    };
    assert_eq!(decide(""), None);
    let original = decide(", what: original").expect("it is stored as it came");
    assert_eq!(original.what(), StoredText::Original);
}

#[test]
fn the_sample_depends_on_the_id_alone_and_grows_with_the_share() {
    let permit = |sample: f64| -> Permit {
        let yaml = format!("rules: [{{name: r, store: {{keep_days: 1, sample: {sample}}}}}]");
        decide(&policy(&yaml), &[]).expect("a permit")
    };
    let ids = ids(20_000);
    let sampled = |permit: &Permit| -> Vec<RequestId> {
        let stored = ids.iter().filter(|id| permit.storing(**id).is_some());
        stored.copied().collect()
    };
    let (few, more) = (permit(0.05), permit(0.25));
    let of_few = sampled(&few);
    assert_eq!(of_few, sampled(&few), "the same ids every time");
    let of_more = sampled(&more);
    assert!(of_few.iter().all(|id| of_more.contains(id)));
    // Four standard deviations: 1000 of 20,000 give or take 123, 5000 give or take 245.
    assert!((877..=1_123).contains(&of_few.len()), "{}", of_few.len());
    assert!(
        (4_755..=5_245).contains(&of_more.len()),
        "{}",
        of_more.len()
    );
    assert_eq!(sampled(&permit(1.0)).len(), ids.len());
}

#[test]
fn masked_text_needs_the_receipt() {
    let storing = |what: &str| -> Storing {
        let yaml = format!(
            "outside_up_to: confidential\nrules: [{{name: m, mask: {{iban: redact}}}}, \
             {{name: r, store: {{keep_days: 1, what: {what}}}}}]"
        );
        let permit = decide(&policy(&yaml), &["iban"]).expect("a permit");
        permit
            .storing(RequestId::at(1_700_000_000_000))
            .expect("it is stored")
    };
    let whole = scan(&["iban"]);
    let denied = storing("masked")
        .pass(&whole, &Masked::nothing())
        .expect_err("it is not masked");
    assert_eq!(
        denied.to_string(),
        "iban must be masked before it is stored (redact)"
    );
    let masked = storing("masked");
    let receipt = Masked::as_asked(&masked.masks(&whole));
    assert!(masked.pass(&whole, &receipt).unwrap().masked());
    let original = storing("original");
    assert!(original.masks(&whole).is_empty());
    assert!(!original.pass(&whole, &Masked::nothing()).unwrap().masked());
}

#[test]
fn what_only_the_answer_holds_counts_as_well() {
    let storing = |more: &str| -> Storing {
        let yaml = format!(
            "outside_up_to: confidential\nrules: [{{name: m, mask: [financial, contact]}}, \
             {{name: r, store: {{keep_days: 1{more}}}}}]"
        );
        let permit = decide(&policy(&yaml), &["iban"]).expect("a permit");
        permit
            .storing(RequestId::at(1_700_000_000_000))
            .expect("it is stored")
    };
    let mail = scan(&["iban", "email_address"]);
    let of_request = Masked::as_asked(&storing("").masks(&scan(&["iban"])));
    let denied = storing("").pass(&mail, &of_request).expect_err("a mail");
    assert!(denied.to_string().contains("email_address"), "{denied}");
    let all = Masked::as_asked(&storing("").masks(&mail));
    assert!(storing("").pass(&mail, &all).is_ok());

    let diagnosis = scan(&["diagnosis"]);
    let original = ", what: original";
    let denied = storing(original).pass(&diagnosis, &Masked::nothing());
    let denied = denied.expect_err("the answer is restricted");
    assert!(denied.to_string().contains("restricted"), "{denied}");
    let up_to = ", what: original, up_to: restricted";
    assert!(storing(up_to).pass(&diagnosis, &Masked::nothing()).is_ok());

    let unread = Scan {
        incomplete: Some("too deep".to_owned()),
        ..Scan::default()
    };
    let pass = |more: &str| storing(more).pass(&unread, &Masked::nothing());
    assert!(pass("").is_err());
    assert!(pass(", up_to: restricted").is_err());
    assert!(pass(original).is_err());
    assert!(pass(up_to).is_ok());
}

#[test]
fn what_is_added_is_stored_as_the_request_was_or_stricter() {
    let id = RequestId::at(1_700_000_000_000);
    let rules = "outside_up_to: confidential\nrules: [{name: m, when: {labels: {team: hr}}, mask: contact}, \
                 {name: never, when: {labels: {team: legal}}, store: never}, \
                 {name: r, store: {keep_days: 5, what: original}}]";
    let policy = policy(rules);
    let found = scan(&["email_address"]);
    let decide = |before: &[String]| {
        let facts = Facts { before, ..facts() };
        policy
            .decide(&labels(&found), &facts, [])
            .expect("a permit")
    };
    // As the request's record tells it.
    let request = decide(&["m".to_owned()]);
    let storing = request.storing_beside(id, StoredText::Masked).unwrap();
    assert_eq!(
        storing.what(),
        StoredText::Masked,
        "never less than the request"
    );
    let masks = storing.masks(&found);
    assert!(
        !masks.is_empty(),
        "the rule m holds, though nobody knows the label"
    );
    assert!(storing.pass(&found, &Masked::nothing()).is_err());
    let storing = request.storing_beside(id, StoredText::Masked).unwrap();
    let pass = storing.pass(&found, &Masked::as_asked(&masks)).unwrap();
    assert_eq!(pass.rules(), ["m", "r"]);
    // Without that rule nothing is masked, and a rule that is gone is passed over.
    let other = decide(&["gone".to_owned()]);
    let storing = other.storing_beside(id, StoredText::Original).unwrap();
    assert!(storing.masks(&found).is_empty());
    assert_eq!(
        decide(&["never".to_owned()]).storing_beside(id, StoredText::Original),
        None
    );
}

fn errors(yaml: &str) -> Vec<PolicyError> {
    Policy::compile(&settings(yaml), &Surroundings::default()).expect_err("an error")
}

#[test]
fn what_cannot_be_meant_is_an_error_in_its_field() {
    for (store, field) in [
        ("{keep_days: 0}", "store.keep_days"),
        ("{keep_days: 4000}", "store.keep_days"),
        ("{keep_days: 1, sample: 0}", "store.sample"),
        ("{keep_days: 1, sample: 1.5}", "store.sample"),
        ("{keep_days: 1, sample: .nan}", "store.sample"),
    ] {
        let errors = errors(&format!("rules: [{{name: r, store: {store}}}]"));
        assert_eq!(errors[0].place.field, field, "{store}");
    }
    for (store, why) in [
        ("{sample: 1}", "keep_days"),
        ("always", "never"),
        ("{keep_days: 1, what: text}", "unknown variant"),
        ("{keep_days: 1, forever: true}", "unknown field"),
    ] {
        let yaml = format!("rules: [{{name: r, store: {store}}}]");
        let error =
            serde_saphyr::from_str::<freehold_policy::PolicySettings>(&yaml).expect_err(store);
        assert!(error.to_string().contains(why), "{store}: {error}");
    }
}

#[test]
fn a_rule_that_can_store_nothing_is_warned_of() {
    let warnings = |yaml: &str| {
        let entities = entities();
        let surroundings = Surroundings {
            entities: Some(&entities),
            ..Surroundings::default()
        };
        let (_, warnings) = Policy::compile(&settings(yaml), &surroundings).unwrap();
        warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let told =
        warnings("rules: [{name: r, when: {sensitivity: restricted}, store: {keep_days: 1}}]");
    assert!(told.contains("stores nothing"), "{told}");
    assert!(told.contains("up_to: restricted"), "{told}");
    let fine = warnings(
        "rules: [{name: r, when: {sensitivity: restricted}, store: {keep_days: 1, up_to: restricted}}]",
    );
    assert_eq!(fine, "");
}
