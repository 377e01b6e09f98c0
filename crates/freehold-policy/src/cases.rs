//! Cases that a policy must decide as an officer expects: the core of `freehold policy test`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use freehold_guard::{Entity, Finding, Scan};
use freehold_types::{Deployment, Perimeter, Sensitivity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{Verdict, with_view};
use crate::constraint::Constraint;
use crate::mask::{MaskMethod, Masks};
use crate::pattern::Pattern;
use crate::permit::Permit;
use crate::refusal::{Code, Refusal};
use crate::settings::schema;
use crate::settings::{FindingSettings, OneOrMany};
use crate::storing::{StoreSettings, Terms};
use crate::{Claim, Facts, Labels, Policy};

/// Most findings of one kind that a case may give.
const FINDINGS_MAX: u32 = 10_000;

/// A file of cases.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The cases.
    pub cases: Vec<Case>,
}

/// A request, and what policy must make of it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The request.
    #[serde(default)]
    pub given: Given,
    /// What policy must make of it.
    pub expect: Expect,
}

/// A request as policy sees it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// What the caller says of it.
    #[schemars(schema_with = "schema::optional_sensitivity")]
    pub sensitivity: Option<Sensitivity>,
    /// The label that the conversation had until now.
    #[schemars(schema_with = "schema::optional_sensitivity")]
    pub previous: Option<Sensitivity>,
    /// What the guard sees: entities, or `{entity, count, confidence}`. Without a confidence it is
    /// certain.
    pub findings: OneOrMany<FindingSettings>,
    /// Text for the guard itself to scan.
    pub text: Option<String>,
    /// The guard could not read it to its end.
    pub incomplete: bool,
    /// The tenant.
    pub tenant: Option<String>,
    /// The name of the API key.
    pub key: Option<String>,
    /// The workload.
    pub flow: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The region it comes from.
    pub region: Option<String>,
    /// Labels in its metadata.
    pub labels: BTreeMap<String, String>,
}

/// What policy must make of a request. What is not given is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Every deployment that fits one of these may serve it; names may hold `*` and `?`.
    pub allow: Option<OneOrMany<String>>,
    /// No deployment that fits one of these may serve it.
    pub deny: Option<OneOrMany<String>>,
    /// `inside`: nothing outside may be reached. `outside`: something outside may.
    #[schemars(schema_with = "schema::optional_perimeter")]
    pub perimeter: Option<Perimeter>,
    /// Exactly what must be masked before the request goes outside, or, when it must stay inside,
    /// before it goes anywhere: a map of entities to methods.
    pub mask: Option<BTreeMap<String, MaskMethod>>,
    /// Exactly what is removed from answers, as the rules name it.
    pub redact_answers: Option<BTreeSet<String>>,
    /// `never`: nothing is stored. Otherwise exactly this share of the text, for so many days.
    pub store: Option<StoreSettings>,
    /// Whether a rule blocks it.
    pub blocked: Option<bool>,
    /// It is refused with this code, e.g. `policy_unsatisfiable`.
    pub refused: Option<String>,
    /// Its label in the end.
    #[schemars(schema_with = "schema::optional_sensitivity")]
    pub sensitivity: Option<Sensitivity>,
    /// Whether a person shall look at it.
    pub review: Option<bool>,
    /// Rules that match, among others.
    pub rules: Option<OneOrMany<String>>,
    /// Rules that do not match.
    pub unmatched: Option<OneOrMany<String>>,
}

/// What a route or a key adds to a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floor {
    /// The least label.
    pub sensitivity: Option<Sensitivity>,
    /// What it demands of backends.
    pub constraint: Constraint,
}

/// What cases are decided with.
pub struct Stage<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The label of a request about which nobody says more.
    pub default_sensitivity: Sensitivity,
    /// Every deployment.
    pub deployments: &'a [Arc<Deployment>],
    /// The guard, for cases with text.
    pub scan_text: &'a dyn Fn(&str) -> Scan,
    /// The label that a finding of this entity deserves.
    pub label_of: &'a dyn Fn(&Entity) -> Sensitivity,
    /// What the key of this name adds.
    pub of_key: &'a dyn Fn(&str) -> Floor,
    /// What the route of this name adds.
    pub of_route: &'a dyn Fn(&str) -> Floor,
}

/// How cases went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each case, in its order.
    pub cases: Vec<CaseReport>,
}

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// What differs from what is expected; empty when it passed.
    pub differences: Vec<String>,
    /// Why policy decided so, for cases that failed.
    pub explanation: Option<String>,
}

impl Report {
    /// The cases that did not pass.
    pub fn failed(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases
            .iter()
            .filter(|case| !case.differences.is_empty())
    }

    /// True when every case passed.
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            let verdict = if case.differences.is_empty() {
                "ok"
            } else {
                "FAILED"
            };
            writeln!(f, "{verdict:6} {}", case.name)?;
            for difference in &case.differences {
                writeln!(f, "       {difference}")?;
            }
            for line in case.explanation.iter().flat_map(|text| text.lines()) {
                writeln!(f, "       | {line}")?;
            }
        }
        let failed = self.failed().count();
        let passed = self.cases.len() - failed;
        writeln!(f, "{passed} passed, {failed} failed")
    }
}

/// Decides every case, and compares.
pub fn run_cases(stage: &Stage<'_>, cases: &[Case]) -> Report {
    Report {
        cases: cases.iter().map(|case| run(stage, case)).collect(),
    }
}

fn run(stage: &Stage<'_>, case: &Case) -> CaseReport {
    let given = &case.given;
    let scan = scan(stage, given);
    let facts = given.facts();
    let key = given.key.as_deref().map(stage.of_key).unwrap_or_default();
    let route = given
        .route
        .as_deref()
        .map(stage.of_route)
        .unwrap_or_default();
    let labels = Labels {
        default: stage.default_sensitivity,
        route: route.sensitivity,
        key: key.sensitivity,
        claim: given.sensitivity.map_or(Claim::None, Claim::Label),
        scan: &scan,
    };
    let constraints = [route.constraint, key.constraint];
    let matched = with_view(&scan, &facts, |view| {
        let found = stage.policy.matches(&labels, view);
        let rules = stage.policy.rules().zip(found.verdicts);
        rules
            .filter(|(_, (_, verdict))| *verdict == Some(Verdict::Holds))
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    });
    let decision = stage.policy.decide(&labels, &facts, constraints.clone());
    let mut comparison = Comparison {
        stage,
        expect: &case.expect,
        decision: &decision,
        matched: &matched,
        differences: vec![],
    };
    comparison.all();
    let differences = comparison.differences;
    let explanation = (!differences.is_empty()).then(|| {
        let deployments = stage.deployments.iter().map(Arc::as_ref);
        let explained = stage
            .policy
            .explain(&labels, &facts, &constraints, deployments);
        explained.to_string()
    });
    CaseReport {
        name: case.name.clone(),
        differences,
        explanation,
    }
}

impl Given {
    fn facts(&self) -> Facts<'_> {
        Facts {
            tenant: self.tenant.as_deref(),
            key: self.key.as_deref(),
            flow: self.flow.as_deref(),
            route: self.route.as_deref(),
            region: self.region.as_deref(),
            labels: Some(&self.labels),
            previous: self.previous,
            before: &[],
        }
    }
}

fn scan(stage: &Stage<'_>, given: &Given) -> Scan {
    let mut scan = match &given.text {
        Some(text) => (stage.scan_text)(text),
        None => Scan::default(),
    };
    for finding in &given.findings {
        for name in &finding.entity {
            let entity = Entity::from(name.clone());
            let sensitivity = (stage.label_of)(&entity);
            let certain = finding.confidence <= 0.0;
            let one = Finding {
                entity,
                path: "given".to_owned(),
                range: 0..0,
                confidence: if certain { 1.0 } else { finding.confidence },
                sensitivity,
            };
            let count = finding.count.min(FINDINGS_MAX) as usize;
            scan.findings.extend(std::iter::repeat_n(one, count));
        }
    }
    if given.incomplete {
        let why = || "the case says so".to_owned();
        scan.incomplete.get_or_insert_with(why);
    }
    scan
}

/// A decision beside what was expected.
struct Comparison<'a> {
    stage: &'a Stage<'a>,
    expect: &'a Expect,
    decision: &'a Result<Permit, Refusal>,
    matched: &'a [String],
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn all(&mut self) {
        if *self.expect == Expect::default() {
            self.differs("the case expects nothing");
        }
        self.label();
        self.reach();
        self.masks();
        self.redacted();
        self.stored();
        self.refusal();
        self.rules();
    }

    fn differs(&mut self, difference: impl Into<String>) {
        self.differences.push(difference.into());
    }

    fn label(&mut self) {
        let (label, review) = match self.decision {
            Ok(permit) => (permit.sensitivity(), permit.review()),
            Err(refusal) => (refusal.sensitivity, false),
        };
        if let Some(expected) = self.expect.sensitivity
            && expected != label
        {
            self.differs(format!("sensitivity: {label}, not {expected}"));
        }
        if let Some(expected) = self.expect.review
            && expected != review
        {
            self.differs(format!("review: {review}, not {expected}"));
        }
    }

    fn reach(&mut self) {
        let permitted: Vec<_> = self.permitted().map(Arc::clone).collect();
        let is_permitted = |one: &Arc<Deployment>| permitted.iter().any(|d| d.id == one.id);
        let expect = self.expect;
        for (names, wanted) in [(&expect.allow, true), (&expect.deny, false)] {
            for name in names.iter().flatten() {
                let pattern = Pattern::new(name);
                let all = self.stage.deployments.iter();
                let fitting: Vec<_> = all.filter(|d| pattern.matches(d.id.as_str())).collect();
                if fitting.is_empty() {
                    self.differs(format!("there is no deployment {name}"));
                }
                for deployment in fitting {
                    if is_permitted(deployment) != wanted {
                        let verdict = if wanted { "denied" } else { "allowed" };
                        self.differs(format!(
                            "{} is {verdict}{}",
                            deployment.id,
                            self.why(deployment)
                        ));
                    }
                }
            }
        }
        let leaves = permitted
            .iter()
            .find(|d| d.site.perimeter == Perimeter::Outside);
        match (self.expect.perimeter, leaves) {
            (Some(Perimeter::Inside), Some(one)) => {
                self.differs(format!("{} is outside, and allowed", one.id));
            }
            (Some(Perimeter::Outside), None) => self.differs("nothing outside may be reached"),
            _ => {}
        }
    }

    fn permitted(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        let permit = self.decision.as_ref().ok();
        let deployments = self.stage.deployments.iter();
        deployments.filter(move |d| permit.is_some_and(|permit| permit.allows(d).is_ok()))
    }

    fn why(&self, deployment: &Deployment) -> String {
        match self.decision {
            Ok(permit) => permit
                .allows(deployment)
                .err()
                .map(|denial| format!(": {denial}"))
                .unwrap_or_default(),
            Err(refusal) => format!(": {}", refusal.reason),
        }
    }

    fn masks(&mut self) {
        let Some(expected) = &self.expect.mask else {
            return;
        };
        let leaves = self
            .permitted()
            .any(|d| d.site.perimeter == Perimeter::Outside);
        let nothing = Masks::default();
        let masks = match self.decision {
            Ok(permit) if leaves => &permit.masks_outside,
            Ok(permit) => &permit.masks_inside,
            Err(_) => &nothing,
        };
        let mut wanted = Masks::default();
        for (name, method) in expected {
            wanted.demand(&Entity::from(name.clone()), *method);
        }
        if *masks != wanted {
            let words = |masks: &Masks| match masks.is_empty() {
                true => "nothing".to_owned(),
                false => masks.to_string(),
            };
            self.differs(format!("mask: {}, not {}", words(masks), words(&wanted)));
        }
    }

    fn redacted(&mut self) {
        let Some(expected) = &self.expect.redact_answers else {
            return;
        };
        let permit = self.decision.as_ref().ok();
        let names = permit.into_iter().flat_map(Permit::redacted_in_answers);
        let redacted: BTreeSet<String> = names.map(str::to_owned).collect();
        if redacted != *expected {
            let words = |names: &BTreeSet<String>| match names.is_empty() {
                true => "nothing".to_owned(),
                false => names.iter().cloned().collect::<Vec<_>>().join(", "),
            };
            let difference = format!(
                "redact_answers: {}, not {}",
                words(&redacted),
                words(expected)
            );
            self.differs(difference);
        }
    }

    fn stored(&mut self) {
        let Some(expected) = &self.expect.store else {
            return;
        };
        let stored = self.decision.as_ref().ok().and_then(|permit| permit.store);
        let wanted = match expected {
            StoreSettings::Never => None,
            StoreSettings::Keep(keep) => Some(Terms::of(keep)),
        };
        // Up to which label is no part of what becomes of one request.
        if stored.map(Terms::shown) != wanted.map(Terms::shown) {
            let words = |terms: Option<Terms>| {
                terms.map_or_else(|| "nothing".to_owned(), |terms| terms.to_string())
            };
            self.differs(format!("store: {}, not {}", words(stored), words(wanted)));
        }
    }

    fn refusal(&mut self) {
        let refusal = self.decision.as_ref().err();
        let blocked = refusal.is_some_and(|refusal| refusal.code == Code::Blocked);
        if let Some(expected) = self.expect.blocked
            && expected != blocked
        {
            let verdict = if blocked { "blocked" } else { "not blocked" };
            self.differs(verdict);
        }
        let code = refusal.map_or("not refused", |refusal| refusal.code.as_str());
        if let Some(expected) = &self.expect.refused
            && expected != code
        {
            self.differs(format!("refused: {code}, not {expected}"));
        }
    }

    fn rules(&mut self) {
        let expect = self.expect;
        for (names, wanted) in [(&expect.rules, true), (&expect.unmatched, false)] {
            for name in names.iter().flatten() {
                if !self.stage.policy.rules().any(|rule| rule == name) {
                    self.differs(format!("there is no rule {name}"));
                } else if self.matched.contains(name) != wanted {
                    let verdict = if wanted { "does not match" } else { "matches" };
                    self.differs(format!("the rule {name} {verdict}"));
                }
            }
        }
    }
}
