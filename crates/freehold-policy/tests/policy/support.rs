//! Requests, deployments and policies to try.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_guard::{Finding, Scan};
use freehold_policy::{
    Claim, Facts, Labels, Permit, Policy, PolicyError, PolicySettings, Refusal, Surroundings,
    Warning,
};
use freehold_types::{Deployment, Perimeter, PriceBasis, Region, Sensitivity, Site, Tag};

pub(crate) fn settings(yaml: &str) -> PolicySettings {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

pub(crate) fn policy(yaml: &str) -> Policy {
    let compiled = Policy::compile(&settings(yaml), &Surroundings::default());
    compiled.unwrap_or_else(|errors| panic!("{errors:?}")).0
}

pub(crate) fn deployment(
    id: &str,
    perimeter: Perimeter,
    region: &str,
    tags: &[&str],
) -> Deployment {
    let (backend, model) = id.split_once('/').expect("a backend and a model");
    Deployment {
        id: id.into(),
        backend: backend.into(),
        model: model.into(),
        site: Site {
            perimeter,
            region: (!region.is_empty()).then(|| Region::new(region)),
            tags: tags.iter().map(Tag::new).collect(),
        },
        dialects: vec![],
        capabilities: BTreeSet::new(),
        context_window_tokens: None,
        price: PriceBasis::Unknown,
        quality: 0.5,
        tokens_per_second: 10.0,
        first_token_ms: 100,
    }
}

/// One on our own machines, two rented ones.
pub(crate) fn deployments() -> Vec<Arc<Deployment>> {
    [
        deployment("local/small", Perimeter::Inside, "eu-1", &["hipaa"]),
        deployment("openai/gpt", Perimeter::Outside, "us-1", &["soc2"]),
        deployment("mistral/large", Perimeter::Outside, "eu-2", &[]),
    ]
    .into_iter()
    .map(Arc::new)
    .collect()
}

pub(crate) fn entities() -> BTreeMap<String, Sensitivity> {
    [
        ("person", Sensitivity::Internal),
        ("email_address", Sensitivity::Internal),
        ("iban", Sensitivity::Confidential),
        ("api_key", Sensitivity::Confidential),
        ("private_key", Sensitivity::Restricted),
        ("diagnosis", Sensitivity::Restricted),
    ]
    .map(|(name, label)| (name.to_owned(), label))
    .into()
}

pub(crate) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Findings of these entities, each certain.
pub(crate) fn scan(found: &[&str]) -> Scan {
    let known = entities();
    let finding = |name: &&str| Finding {
        entity: (*name).to_owned().into(),
        path: "messages[0].content[0].text".to_owned(),
        range: 0..4,
        confidence: 1.0,
        sensitivity: known[*name],
    };
    Scan {
        findings: found.iter().map(finding).collect(),
        incomplete: None,
    }
}

pub(crate) fn labels(scan: &Scan) -> Labels<'_> {
    Labels {
        default: Sensitivity::Public,
        route: None,
        key: None,
        claim: Claim::None,
        scan,
    }
}

/// Decides a request of the key `ci` of the tenant `acme`.
pub(crate) fn decide(policy: &Policy, found: &[&str]) -> Result<Permit, Refusal> {
    let scan = scan(found);
    policy.decide(&labels(&scan), &facts(), [])
}

pub(crate) fn facts() -> Facts<'static> {
    Facts {
        tenant: Some("acme"),
        key: Some("ci"),
        route: Some("auto"),
        ..Facts::default()
    }
}

/// The ids of the deployments that a permit allows.
pub(crate) fn allowed(permit: &Permit) -> Vec<String> {
    let all = deployments();
    let allowed = all.iter().filter(|one| permit.allows(one).is_ok());
    allowed.map(|one| one.id.to_string()).collect()
}

/// Compiles with everything known.
pub(crate) fn compile(yaml: &str) -> Result<(Policy, Vec<Warning>), Vec<PolicyError>> {
    let (deployments, entities) = (deployments(), entities());
    let (keys, tenants) = (names(&["ci", "prod"]), names(&["acme", "umbrella"]));
    let routes = names(&["auto", "cheap"]);
    let regions = names(&["eu-central-1", "us-east-1"]);
    let surroundings = Surroundings {
        sealed: false,
        deployments: Some(&deployments),
        entities: Some(&entities),
        tenants: Some(&tenants),
        keys: Some(&keys),
        routes: Some(&routes),
        regions: Some(&regions),
        flows: None,
    };
    Policy::compile(&settings(yaml), &surroundings)
}
