//! Policy only ever takes away: property tests over random rules, labels, constraints, deployments.

use std::collections::BTreeSet;

use freehold_guard::{Finding, Scan};
use freehold_policy::{Claim, Constraint, Labels, Rules, decide};
use freehold_types::{Deployment, Perimeter, PriceBasis, Region, Sensitivity, Site, Tag};
use proptest::prelude::*;

fn label() -> impl Strategy<Value = Sensitivity> {
    proptest::sample::select(Sensitivity::ALL.to_vec())
}

fn perimeter() -> impl Strategy<Value = Perimeter> {
    prop_oneof![Just(Perimeter::Inside), Just(Perimeter::Outside)]
}

fn region() -> impl Strategy<Value = Region> {
    proptest::sample::select(vec!["eu", "us", "ap"]).prop_map(Region::new)
}

fn tags() -> impl Strategy<Value = BTreeSet<Tag>> {
    proptest::collection::btree_set(
        proptest::sample::select(vec!["hipaa", "soc2"]).prop_map(Tag::new),
        0..2,
    )
}

prop_compose! {
    fn constraint()(
        perimeter in proptest::option::of(perimeter()),
        regions in proptest::collection::btree_set(region(), 0..2),
        tags in tags(),
    ) -> Constraint {
        Constraint { perimeter, regions, tags, deployments: None }
    }
}

prop_compose! {
    fn deployment()(
        perimeter in perimeter(),
        region in proptest::option::of(region()),
        tags in tags(),
    ) -> Deployment {
        Deployment {
            id: "b/m".into(),
            backend: "b".into(),
            model: "m".into(),
            site: Site { perimeter, region, tags },
            dialects: vec![],
            capabilities: BTreeSet::new(),
            context_window_tokens: None,
            price: PriceBasis::Unknown,
            quality: 0.5,
            tokens_per_second: 10.0,
            first_token_ms: 100,
        }
    }
}

fn scan(label: Option<Sensitivity>, incomplete: bool) -> Scan {
    let findings = label.map(|sensitivity| Finding {
        entity: "test".into(),
        path: String::new(),
        range: 0..1,
        confidence: 1.0,
        sensitivity,
    });
    Scan {
        findings: findings.into_iter().collect(),
        incomplete: incomplete.then(|| "cut".to_owned()),
    }
}

proptest! {
    /// Nothing above the limit, and nothing a constraint forbids, ever gets a passage.
    #[test]
    fn no_passage_breaks_a_rule(
        limit in proptest::option::of(label()),
        default in label(),
        route in proptest::option::of(label()),
        key in proptest::option::of(label()),
        claim in prop_oneof![Just(Claim::None), Just(Claim::Unreadable), label().prop_map(Claim::Label)],
        found in proptest::option::of(label()),
        incomplete in any::<bool>(),
        constraints in proptest::collection::vec(constraint(), 0..3),
        deployment in deployment(),
    ) {
        let scan = scan(found, incomplete);
        let labels = Labels { default, route, key, claim, scan: &scan };
        let Ok(permit) = decide(&Rules { outside_up_to: limit }, &labels, constraints.clone()) else {
            return Ok(());
        };
        let said = [Some(default), route, key, found];
        for label in said.into_iter().flatten() {
            prop_assert!(permit.sensitivity() >= label);
        }
        if incomplete || claim == Claim::Unreadable {
            prop_assert_eq!(permit.sensitivity(), Sensitivity::Restricted);
        }
        if permit.passage(&deployment).is_ok() {
            if deployment.site.perimeter == Perimeter::Outside {
                prop_assert!(limit.is_some_and(|limit| permit.sensitivity() <= limit));
            }
            for constraint in constraints {
                prop_assert!(constraint.perimeter.is_none_or(|p| p == deployment.site.perimeter));
                prop_assert!(constraint.tags.is_subset(&deployment.site.tags));
                prop_assert!(
                    constraint.regions.is_empty()
                        || deployment.site.region.as_ref().is_some_and(|r| constraint.regions.contains(r))
                );
            }
        }
    }

    /// A caller's claim never makes a request less sensitive.
    #[test]
    fn a_claim_only_raises(default in label(), claimed in label()) {
        let scan = Scan::default();
        let labels = |claim| Labels { default, route: None, key: None, claim, scan: &scan };
        let without = decide(&Rules::open(), &labels(Claim::None), []).unwrap();
        let with = decide(&Rules::open(), &labels(Claim::Label(claimed)), []).unwrap();
        prop_assert!(with.sensitivity() >= without.sensitivity());
    }
}

#[test]
fn sealed_rules_permit_no_outside_deployment_even_for_public_data() {
    let scan = Scan::default();
    let labels = Labels {
        default: Sensitivity::Public,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &scan,
    };
    let permit = decide(&Rules::sealed(), &labels, []).unwrap();
    let outside = Deployment {
        id: "b/m".into(),
        backend: "b".into(),
        model: "m".into(),
        site: Site::outside(),
        dialects: vec![],
        capabilities: BTreeSet::new(),
        context_window_tokens: None,
        price: PriceBasis::Unknown,
        quality: 0.5,
        tokens_per_second: 10.0,
        first_token_ms: 100,
    };
    let denial = permit.passage(&outside).unwrap_err();
    assert_eq!(denial.to_string(), "outside, and the request is public");
}

#[test]
fn an_outside_only_route_refuses_what_must_stay_inside() {
    let scan = Scan::default();
    let labels = Labels {
        default: Sensitivity::Confidential,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &scan,
    };
    let outside_only = Constraint {
        perimeter: Some(Perimeter::Outside),
        ..Constraint::default()
    };
    let refusal = decide(&Rules::open(), &labels, [outside_only]).unwrap_err();
    assert_eq!(refusal.sensitivity, Sensitivity::Confidential);
}
