//! Over random policies and requests: what is decided is what a naive reading of the settings says,
//! whatever the order of the rules, and nothing ever widens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_guard::Scan;
use freehold_policy::settings::{
    FindingSettings, OneOrMany, RequireSettings, RuleSettings, WhenSettings,
};
use freehold_policy::{
    Claim, Facts, KeepSettings, Labels, MaskMethod, MaskSettings, MaskWhere, Masked, Masks, Permit,
    Policy, PolicySettings, Refusal, StoreSettings, StoredText, Surroundings,
};
use freehold_types::{Deployment, Perimeter, RequestId, Sensitivity};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::support::{deployment, scan};

const ENTITIES: [&str; 6] = [
    "person",
    "email_address",
    "iban",
    "api_key",
    "private_key",
    "diagnosis",
];

/// Expressions, and what they say in Rust; `None` when they fail.
type Meaning = fn(&Request) -> Option<bool>;
const EXPRESSIONS: [(&str, Meaning); 4] = [
    ("key == 'ci'", |request| Some(request.key == Some("ci"))),
    ("!('iban' in findings)", |request| {
        Some(!request.found.contains(&"iban"))
    }),
    ("labels.team == 'legal'", |request| {
        request.team.map(|team| team == "legal")
    }),
    ("has(labels.team) || tenant == 'acme'", |request| {
        Some(request.team.is_some() || request.tenant == Some("acme"))
    }),
];

#[derive(Clone, Debug)]
struct Request {
    default: Sensitivity,
    previous: Option<Sensitivity>,
    found: Vec<&'static str>,
    tenant: Option<&'static str>,
    key: Option<&'static str>,
    team: Option<&'static str>,
}

impl Request {
    fn decide(&self, policy: &Policy) -> Result<Permit, Refusal> {
        let team = self.team.map(|team| ("team".to_owned(), team.to_owned()));
        let labels = team.into_iter().collect();
        let facts = Facts {
            tenant: self.tenant,
            key: self.key,
            labels: Some(&labels),
            previous: self.previous,
            ..Facts::default()
        };
        let scan = self.scan();
        let labels = Labels {
            default: self.default,
            route: None,
            key: None,
            claim: Claim::None,
            scan: &scan,
        };
        policy.decide(&labels, &facts, [])
    }

    fn scan(&self) -> Scan {
        scan(&self.found)
    }
}

fn label() -> impl Strategy<Value = Sensitivity> {
    select(Sensitivity::ALL.to_vec())
}

prop_compose! {
    fn request()(
        default in label(),
        previous in proptest::option::weighted(0.2, label()),
        found in proptest::collection::vec(select(ENTITIES.to_vec()), 0..5),
        tenant in proptest::option::of(select(vec!["acme", "umbrella"])),
        key in proptest::option::of(select(vec!["ci", "prod", "prod-eu"])),
        team in proptest::option::of(select(vec!["legal", "sales"])),
    ) -> Request {
        Request { default, previous, found, tenant, key, team }
    }
}

fn one_or_many(names: &'static [&'static str]) -> impl Strategy<Value = OneOrMany<String>> {
    subsequence(names.to_vec(), 1..=2)
        .prop_map(|names| OneOrMany(names.into_iter().map(str::to_owned).collect()))
}

prop_compose! {
    fn finding()(
        entity in one_or_many(&["person", "iban", "secrets", "*_key", "diagnosis"]),
        count in 1_u32..3,
    ) -> FindingSettings {
        FindingSettings { entity, count, confidence: 0.0 }
    }
}

prop_compose! {
    fn when()(
        sensitivity in proptest::option::weighted(0.4, label()),
        findings in proptest::option::weighted(0.4, proptest::collection::vec(finding(), 1..3)),
        tenant in proptest::option::weighted(0.2, one_or_many(&["acme", "umb*"])),
        key in proptest::option::weighted(0.2, one_or_many(&["ci", "prod*", "prod"])),
        team in proptest::option::weighted(0.1, one_or_many(&["legal", "sales"])),
        expression in proptest::option::weighted(0.2, 0..EXPRESSIONS.len()),
    ) -> WhenSettings {
        WhenSettings {
            sensitivity,
            findings: findings.map(OneOrMany),
            tenant,
            key,
            labels: team.into_iter().map(|team| ("team".to_owned(), team)).collect(),
            cel: expression.map(|index| EXPRESSIONS[index].0.to_owned()),
            ..WhenSettings::default()
        }
    }
}

fn require() -> impl Strategy<Value = RequireSettings> {
    prop_oneof![
        select(vec![Perimeter::Inside, Perimeter::Outside]).prop_map(|perimeter| RequireSettings {
            perimeter: Some(perimeter),
            ..RequireSettings::default()
        }),
        one_or_many(&["eu-*", "us-1", "eu-1"]).prop_map(|regions| RequireSettings {
            regions: Some(regions),
            ..RequireSettings::default()
        }),
        one_or_many(&["hipaa", "soc2"]).prop_map(|tags| RequireSettings {
            tags: Some(tags),
            ..RequireSettings::default()
        }),
        one_or_many(&["a/*", "b/m", "*/m"]).prop_map(|deployments| RequireSettings {
            deployments: Some(deployments),
            ..RequireSettings::default()
        }),
    ]
}

fn mask() -> impl Strategy<Value = MaskSettings> {
    let method = select(vec![
        MaskMethod::Surrogate,
        MaskMethod::Pseudonym,
        MaskMethod::Redact,
    ]);
    let entity = select(vec!["person", "iban", "secrets", "*"]).prop_map(str::to_owned);
    let at = select(vec![MaskWhere::Outside, MaskWhere::Always]);
    let entities = proptest::collection::btree_map(entity, method, 1..3);
    (at, entities).prop_map(|(at, entities)| MaskSettings { at, entities })
}

fn store() -> impl Strategy<Value = StoreSettings> {
    let what = select(vec![StoredText::Original, StoredText::Masked]);
    let keep = (1..=3_u32, what, label()).prop_map(|(keep_days, what, up_to)| {
        StoreSettings::Keep(KeepSettings {
            sample: 1.0,
            keep_days,
            what,
            up_to,
        })
    });
    prop_oneof![1 => Just(StoreSettings::Never), 4 => keep]
}

prop_compose! {
    fn rule()(
        when in when(),
        require in proptest::option::weighted(0.3, require()),
        mask in proptest::option::weighted(0.3, mask()),
        block in proptest::bool::weighted(0.1),
        raise in proptest::option::weighted(0.3, label()),
        store in proptest::option::weighted(0.4, store()),
    ) -> RuleSettings {
        RuleSettings {
            when,
            require,
            mask,
            block: block.then(|| "no".to_owned()),
            raise,
            store,
            // Something must come of every rule.
            review: true,
            ..RuleSettings::default()
        }
    }
}

prop_compose! {
    fn settings()(
        outside_up_to in select(vec![
            Sensitivity::Public, Sensitivity::Internal, Sensitivity::Confidential,
        ]),
        mut rules in proptest::collection::vec(rule(), 0..7),
    ) -> PolicySettings {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("r{index}");
        }
        PolicySettings { outside_up_to, rules, ..PolicySettings::default() }
    }
}

fn compile(settings: &PolicySettings) -> Policy {
    let surroundings = Surroundings::default();
    let compiled = Policy::compile(settings, &surroundings);
    compiled.unwrap_or_else(|errors| panic!("{errors:?}")).0
}

/// Every perimeter, with and without each region and tag.
fn all_deployments() -> Vec<Deployment> {
    let mut all = Vec::new();
    for perimeter in [Perimeter::Inside, Perimeter::Outside] {
        for region in ["", "eu-1", "eu-2", "us-1"] {
            for tags in [&[][..], &["hipaa"], &["soc2", "hipaa"]] {
                for id in ["a/m", "b/m", "b/n"] {
                    all.push(deployment(id, perimeter, region, tags));
                }
            }
        }
    }
    all
}

/// What has consequences.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Refused(&'static str, BTreeSet<String>),
    Permitted {
        label: Sensitivity,
        rules: BTreeSet<String>,
        /// For each deployment, what must be masked; `None` where it may not serve.
        deployments: Vec<Option<BTreeMap<String, MaskMethod>>>,
        review: bool,
        /// Which text is stored, and for how many days.
        store: Option<(StoredText, u64)>,
    },
}

fn outcome(decision: Result<Permit, Refusal>) -> Outcome {
    let masks = |masks: &Masks| {
        let entities = masks.iter();
        entities
            .map(|(name, method)| (name.to_string(), method))
            .collect()
    };
    match decision {
        Err(refusal) => {
            Outcome::Refused(refusal.code.as_str(), refusal.rules.into_iter().collect())
        }
        Ok(permit) => Outcome::Permitted {
            label: permit.sensitivity(),
            rules: permit.rules().map(str::to_owned).collect(),
            deployments: all_deployments()
                .iter()
                .map(|one| {
                    permit
                        .allows(one)
                        .is_ok()
                        .then(|| masks(permit.masks_for(one)))
                })
                .collect(),
            review: permit.review(),
            store: stored(&permit),
        },
    }
}

fn stored(permit: &Permit) -> Option<(StoredText, u64)> {
    let storing = permit.storing(RequestId::at(1_700_000_000_000))?;
    let scan = Scan::default();
    let masked = Masked::as_asked(&storing.masks(&scan));
    let pass = storing.pass(&scan, &masked).expect("masked as asked");
    Some((pass.what(), pass.keep().as_secs() / 86_400))
}

// The naive reading: straight from the settings, with none of the crate's own machinery.

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
    }
}

fn means(name: &str, entity: &str) -> bool {
    match name {
        "secrets" => ["api_key", "private_key"].contains(&entity),
        pattern => fits(pattern, entity),
    }
}

fn any_fits(patterns: &OneOrMany<String>, name: Option<&str>) -> bool {
    name.is_some_and(|name| patterns.iter().any(|pattern| fits(pattern, name)))
}

/// Whether a rule matches; `None` when its expression fails.
fn holds(when: &WhenSettings, request: &Request, label: Sensitivity) -> Option<bool> {
    let enough = |test: &FindingSettings| {
        let named = |entity: &&&str| test.entity.iter().any(|name| means(name, entity));
        request.found.iter().filter(named).count() >= test.count as usize
    };
    let fields = when.sensitivity.is_none_or(|least| label >= least)
        && when
            .findings
            .as_ref()
            .is_none_or(|tests| tests.iter().any(enough))
        && when
            .tenant
            .as_ref()
            .is_none_or(|names| any_fits(names, request.tenant))
        && when
            .key
            .as_ref()
            .is_none_or(|names| any_fits(names, request.key))
        && when
            .labels
            .values()
            .all(|values| any_fits(values, request.team));
    if !fields {
        return Some(false);
    }
    let Some(text) = &when.cel else {
        return Some(true);
    };
    let expression = EXPRESSIONS.iter().find(|(one, _)| one == text);
    expression.expect("one of ours").1(request)
}

fn naive(settings: &PolicySettings, request: &Request) -> Outcome {
    let found = request.scan().sensitivity();
    let said = [Some(request.default), request.previous, found];
    let mut label = said.into_iter().flatten().max().expect("a label");
    loop {
        let raises = settings.rules.iter().filter_map(|rule| {
            let matched = holds(&rule.when, request, label) == Some(true);
            rule.raise.filter(|raise| matched && *raise > label)
        });
        match raises.max() {
            Some(raise) => label = raise,
            None => break,
        }
    }
    let with = |verdict: Option<bool>| {
        let all = settings.rules.iter();
        all.filter(move |rule| holds(&rule.when, request, label) == verdict)
    };
    let names = |rules: &mut dyn Iterator<Item = &RuleSettings>| -> BTreeSet<String> {
        rules.map(|rule| rule.name.clone()).collect()
    };
    let blocking = names(&mut with(Some(true)).filter(|rule| rule.block.is_some()));
    if !blocking.is_empty() {
        return Outcome::Refused("policy_blocked", blocking);
    }
    let failing = names(&mut with(None));
    if !failing.is_empty() {
        return Outcome::Refused("policy_evaluation_failed", failing);
    }
    let may_leave = label <= settings.outside_up_to && label != Sensitivity::Restricted;
    let demanding = |perimeter| {
        names(&mut with(Some(true)).filter(|rule| {
            let require = rule.require.as_ref();
            require.and_then(|require| require.perimeter) == Some(perimeter)
        }))
    };
    let (outside, inside) = (demanding(Perimeter::Outside), demanding(Perimeter::Inside));
    if !outside.is_empty() && !may_leave {
        return Outcome::Refused("policy_unsatisfiable", outside);
    }
    if !outside.is_empty() && !inside.is_empty() {
        return Outcome::Refused("policy_unsatisfiable", &outside | &inside);
    }
    let matching: Vec<_> = with(Some(true)).collect();
    Outcome::Permitted {
        label,
        rules: names(&mut matching.iter().copied()),
        deployments: all_deployments()
            .iter()
            .map(|one| {
                let leaves = one.site.perimeter == Perimeter::Outside;
                let served = (may_leave || !leaves)
                    && matching
                        .iter()
                        .all(|rule| fulfils(rule.require.as_ref(), one));
                served.then(|| naive_masks(&matching, request, leaves))
            })
            .collect(),
        review: !matching.is_empty(),
        store: naive_store(&matching, label),
    }
}

fn naive_store(rules: &[&RuleSettings], label: Sensitivity) -> Option<(StoredText, u64)> {
    let mut keeps = Vec::new();
    for rule in rules {
        match &rule.store {
            None => {}
            Some(StoreSettings::Never) => return None,
            Some(StoreSettings::Keep(keep)) => keeps.push(keep),
        }
    }
    if keeps.iter().any(|keep| label > keep.up_to) {
        return None;
    }
    let original = keeps.iter().all(|keep| keep.what == StoredText::Original);
    let what = if original {
        StoredText::Original
    } else {
        StoredText::Masked
    };
    let days = keeps.iter().map(|keep| keep.keep_days).min()?;
    Some((what, days.into()))
}

fn fulfils(require: Option<&RequireSettings>, one: &Deployment) -> bool {
    let Some(require) = require else {
        return true;
    };
    let site = &one.site;
    let region = site.region.as_ref().map(|region| region.as_str());
    let tags: Vec<_> = site.tags.iter().map(|tag| tag.as_str()).collect();
    require
        .perimeter
        .is_none_or(|perimeter| perimeter == site.perimeter)
        && require
            .regions
            .as_ref()
            .is_none_or(|names| any_fits(names, region))
        && require
            .tags
            .iter()
            .flatten()
            .all(|tag| tags.contains(&tag.as_str()))
        && require
            .deployments
            .as_ref()
            .is_none_or(|names| any_fits(names, Some(one.id.as_str())))
}

fn naive_masks(
    rules: &[&RuleSettings],
    request: &Request,
    leaves: bool,
) -> BTreeMap<String, MaskMethod> {
    let mut masks = BTreeMap::new();
    for entity in &request.found {
        let due = rules.iter().filter_map(|rule| rule.mask.as_ref());
        let strictest = due
            .filter(|mask| leaves || mask.at == MaskWhere::Always)
            .flat_map(|mask| &mask.entities)
            .filter(|(name, _)| means(name, entity))
            .map(|(_, method)| *method)
            .max();
        if let Some(method) = strictest {
            masks.insert((*entity).to_owned(), method);
        }
    }
    masks
}

/// Whether the one allows nothing that the other does not, and masks as strictly.
fn narrower(one: &Outcome, other: &Outcome) -> bool {
    let Outcome::Permitted {
        label, deployments, ..
    } = one
    else {
        return true;
    };
    let Outcome::Permitted {
        label: lower,
        deployments: more,
        ..
    } = other
    else {
        return false;
    };
    lower <= label
        && deployments
            .iter()
            .zip(more)
            .all(|(one, other)| match (one, other) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(strict), Some(lax)) => lax.iter().all(|(entity, method)| {
                    strict.get(entity).is_some_and(|strict| strict >= method)
                }),
            })
}

/// Whether the one stores nothing that the other does not, and no longer.
fn stores_no_more(one: &Outcome, other: &Outcome) -> bool {
    let store = |outcome: &Outcome| match outcome {
        Outcome::Refused(..) => None,
        Outcome::Permitted { store, .. } => *store,
    };
    match (store(one), store(other)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((what, days)), Some((wider, longer))) => what >= wider && days <= longer,
    }
}

proptest! {
    #[test]
    fn nothing_is_stored_where_a_rule_says_never(
        mut settings in settings(),
        mut never in rule(),
        place in 0..8_usize,
        request in request(),
    ) {
        never.name = "never".to_owned();
        never.store = Some(StoreSettings::Never);
        settings.rules.insert(place.min(settings.rules.len()), never);
        let decided = outcome(request.decide(&compile(&settings)));
        if let Outcome::Permitted { rules, store, .. } = decided
            && rules.contains("never")
        {
            prop_assert_eq!(store, None);
        }
    }

    #[test]
    fn nothing_is_stored_without_a_rule(mut settings in settings(), request in request()) {
        for rule in &mut settings.rules {
            rule.store = None;
        }
        let policy = compile(&settings);
        prop_assert!(!policy.stores());
        if let Outcome::Permitted { store, .. } = outcome(request.decide(&policy)) {
            prop_assert_eq!(store, None);
        }
    }

    #[test]
    fn a_second_rule_stores_no_more_than_the_first(
        mut settings in settings(),
        added in store(),
        request in request(),
    ) {
        let matching_twice = |settings: &mut PolicySettings, store| {
            let rules = settings.rules.iter().filter(|rule| rule.store.is_some()).cloned();
            let again: Vec<_> = rules
                .enumerate()
                .map(|(index, rule)| RuleSettings {
                    name: format!("again{index}"),
                    store: Some(StoreSettings::clone(store)),
                    ..rule
                })
                .collect();
            settings.rules.extend(again);
        };
        let before = outcome(request.decide(&compile(&settings)));
        matching_twice(&mut settings, &added);
        let after = outcome(request.decide(&compile(&settings)));
        prop_assert!(stores_no_more(&after, &before), "{before:?} became {after:?}");
    }

    #[test]
    fn decisions_are_what_the_settings_say(settings in settings(), request in request()) {
        let decided = outcome(request.decide(&compile(&settings)));
        prop_assert_eq!(decided, naive(&settings, &request));
    }

    #[test]
    fn the_order_of_rules_decides_nothing(
        (settings, shuffled) in settings().prop_flat_map(|settings| {
            let rules = Just(settings.rules.clone()).prop_shuffle();
            let shuffled = {
                let settings = settings.clone();
                rules.prop_map(move |rules| PolicySettings { rules, ..settings.clone() })
            };
            (Just(settings), shuffled)
        }),
        request in request(),
    ) {
        let one = outcome(request.decide(&compile(&settings)));
        let other = outcome(request.decide(&compile(&shuffled)));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn another_rule_never_widens(
        settings in settings(),
        mut added in rule(),
        place in 0..8_usize,
        request in request(),
    ) {
        added.name = "added".to_owned();
        let mut more = settings.clone();
        more.rules.insert(place.min(settings.rules.len()), added);
        let before = outcome(request.decide(&compile(&settings)));
        let after = outcome(request.decide(&compile(&more)));
        prop_assert!(narrower(&after, &before), "{before:?} became {after:?}");
    }

    #[test]
    fn a_higher_label_never_widens(
        settings in settings(),
        request in request(),
        label in label(),
        by_conversation in any::<bool>(),
    ) {
        let policy = compile(&settings);
        let mut higher = request.clone();
        if by_conversation {
            higher.previous = higher.previous.max(Some(label));
        } else {
            higher.default = higher.default.max(label);
        }
        let before = outcome(request.decide(&policy));
        let after = outcome(higher.decide(&policy));
        prop_assert!(narrower(&after, &before), "{before:?} became {after:?}");
    }

    #[test]
    fn what_is_restricted_never_goes_outside(settings in settings(), request in request()) {
        let Ok(permit) = request.decide(&compile(&settings)) else {
            return Ok(());
        };
        for one in all_deployments() {
            let outside = one.site.perimeter == Perimeter::Outside;
            if permit.sensitivity() == Sensitivity::Restricted && outside {
                let receipt = freehold_policy::Masked::as_asked(permit.masks_for(&one));
                prop_assert!(permit.passage_masked(&one, &receipt).is_err());
            }
            // And without a receipt, nothing leaves that had to be masked.
            if permit.passage(&one).is_ok() {
                prop_assert!(permit.masks_for(&one).is_empty());
            }
        }
    }

    #[test]
    fn analysis_and_explanation_agree_with_the_decision(
        settings in settings(),
        request in request(),
    ) {
        let deployments: Vec<_> = all_deployments().into_iter().map(Arc::new).collect();
        let surroundings = Surroundings { deployments: Some(&deployments), ..Surroundings::default() };
        let (policy, warnings) = Policy::compile(&settings, &surroundings).unwrap();
        let decided = outcome(request.decide(&policy));
        for warning in warnings {
            let (index, name) = warning.place.rule.clone().unwrap();
            let matched = matches!(&decided, Outcome::Permitted { rules, .. } if rules.contains(&name));
            if warning.message.starts_with("no deployment is left") && matched {
                let Outcome::Permitted { deployments, .. } = &decided else { unreachable!() };
                prop_assert!(
                    request.default < settings.default_sensitivity
                        || deployments.iter().all(Option::is_none),
                    "{warning}"
                );
            }
            // Without a rule that never matters, all is as it was.
            if warning.message.starts_with("never matters") {
                let mut fewer = settings.clone();
                fewer.rules.remove(index);
                let without = outcome(request.decide(&compile(&fewer)));
                prop_assert!(narrower(&without, &decided), "{warning}");
                prop_assert!(stores_no_more(&without, &decided), "{warning}");
            }
        }
    }
}
