//! When a rule matches.

use std::fmt;

use freehold_guard::Scan;
use freehold_types::Sensitivity;

use crate::Facts;
use crate::expression::{Expression, Failure, Variables};
use crate::pattern::Patterns;
use crate::selector::{Seen, Selector, seen};

/// A request as conditions see it, all but its label.
pub(crate) struct View<'a> {
    pub(crate) facts: Facts<'a>,
    pub(crate) scan: &'a Scan,
    pub(crate) seen: &'a [Seen<'a>],
    variables: Variables<'a>,
}

/// Looks at a request: first what was seen, which the view borrows.
pub(crate) fn with_view<T>(scan: &Scan, facts: &Facts<'_>, look: impl FnOnce(&View<'_>) -> T) -> T {
    let seen = seen(scan);
    look(&View {
        facts: *facts,
        scan,
        seen: &seen,
        variables: Variables::new(*facts, &seen, scan.incomplete.is_some()),
    })
}

/// So many findings of these entities, at least so certain.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FindingTest {
    pub(crate) entities: Vec<Selector>,
    pub(crate) count: u32,
    pub(crate) confidence: f32,
}

impl FindingTest {
    fn holds(&self, view: &View<'_>) -> bool {
        let selected = |seen: &&Seen<'_>| self.entities.iter().any(|one| one.selects(seen));
        if self.confidence <= 0.0 {
            let counts = view.seen.iter().filter(selected).map(|seen| seen.count);
            return counts.fold(0, u32::saturating_add) >= self.count;
        }
        view.seen
            .iter()
            .filter(selected)
            .flat_map(|seen| {
                let findings = view.scan.findings.iter();
                findings.filter(|finding| finding.entity == *seen.entity)
            })
            .filter(|finding| finding.confidence >= self.confidence)
            .take(self.count as usize)
            .count()
            >= self.count as usize
    }
}

/// A fact that rules compare with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Tenant,
    Key,
    Flow,
    Route,
    Region,
}

impl Fact {
    pub(crate) const ALL: [Self; 5] = [
        Self::Tenant,
        Self::Key,
        Self::Flow,
        Self::Route,
        Self::Region,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Flow => "flow",
            Self::Route => "route",
            Self::Region => "region",
        }
    }

    pub(crate) fn of<'a>(self, facts: &Facts<'a>) -> Option<&'a str> {
        match self {
            Self::Tenant => facts.tenant,
            Self::Key => facts.key,
            Self::Flow => facts.flow,
            Self::Route => facts.route,
            Self::Region => facts.region,
        }
    }
}

/// When a rule matches: everything in it must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Condition {
    /// The least label.
    pub(crate) sensitivity: Option<Sensitivity>,
    /// One of these.
    pub(crate) findings: Option<Vec<FindingTest>>,
    /// Each of these facts must fit.
    pub(crate) facts: Vec<(Fact, Patterns)>,
    /// Each of these labels must fit.
    pub(crate) labels: Vec<(String, Patterns)>,
    pub(crate) expression: Option<Expression>,
}

/// The first thing in a condition that does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mismatch<'a> {
    /// The least label, and the one there is.
    Sensitivity(Sensitivity, Sensitivity),
    /// Nothing of the kind was found, or not enough.
    Findings,
    /// What the fact should be, and whether it is known.
    Fact(Fact, &'a Patterns, bool),
    /// What the label of this name should be, and whether it is given.
    Label(&'a str, &'a Patterns, bool),
    /// The expression is false.
    Expression(&'a str),
}

/// What came of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict<'a> {
    Holds,
    Differs(Mismatch<'a>),
    Fails(Failure),
}

impl Condition {
    /// Whether a label is high enough.
    pub(crate) fn reached_by(&self, label: Sensitivity) -> bool {
        self.sensitivity.is_none_or(|least| label >= least)
    }

    /// Everything but the label. The costly expression comes last.
    pub(crate) fn verdict(&self, view: &View<'_>) -> Verdict<'_> {
        for (fact, patterns) in &self.facts {
            let name = fact.of(&view.facts);
            if !name.is_some_and(|name| patterns.matches(name)) {
                return Verdict::Differs(Mismatch::Fact(*fact, patterns, name.is_some()));
            }
        }
        for (name, patterns) in &self.labels {
            let value = view.facts.labels.and_then(|labels| labels.get(name));
            if !value.is_some_and(|value| patterns.matches(value)) {
                return Verdict::Differs(Mismatch::Label(name, patterns, value.is_some()));
            }
        }
        if let Some(tests) = &self.findings
            && !tests.iter().any(|test| test.holds(view))
        {
            return Verdict::Differs(Mismatch::Findings);
        }
        match &self.expression {
            None => Verdict::Holds,
            Some(expression) => match expression.holds(&view.variables) {
                Ok(true) => Verdict::Holds,
                Ok(false) => Verdict::Differs(Mismatch::Expression(expression.text())),
                Err(failure) => Verdict::Fails(failure),
            },
        }
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what_is = |known| {
            if known {
                "it is another"
            } else {
                "it is not known"
            }
        };
        match self {
            Self::Sensitivity(least, label) => {
                write!(f, "sensitivity: {label} is below {least}")
            }
            Self::Findings => f.write_str("findings: none of these, or too few"),
            Self::Fact(fact, patterns, known) => {
                write!(f, "{}: not {patterns}; {}", fact.as_str(), what_is(*known))
            }
            Self::Label(name, patterns, known) => {
                write!(f, "labels.{name}: not {patterns}; {}", what_is(*known))
            }
            Self::Expression(text) => write!(f, "cel: `{text}` is false"),
        }
    }
}
