//! The guard as it stands between requests: settings, checked and compiled once.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use freehold_types::{Request, Sensitivity};

use crate::detect::{ENTITIES, Hit, Operator};
use crate::labels::Labels;
use crate::scan::Walk;
use crate::settings::{Limits, Opaque, Settings, SettingsError};
use crate::view::Looking;
use crate::{Entity, Scan};

/// Compiled and immutable: share one among all requests.
#[derive(Clone, Debug)]
pub struct Guard {
    pub(crate) limits: Limits,
    pub(crate) opaque_is_restricted: bool,
    pub(crate) labels: Labels,
    min_confidence: f32,
    operator: Arc<Operator>,
    classifiers: Classifiers,
}

/// A hook for what patterns cannot say: an embedding or a classifier that knows a topic.
///
/// It is asked about each text of a request once, normalised, and must be fast, bounded and without
/// input or output.
pub trait Classifier: Send + Sync {
    /// The entity type it reports.
    fn entity(&self) -> &str;

    /// How certain the text is about its topic, between 0 and 1.
    fn score(&self, text: &str) -> f32;
}

#[derive(Clone, Default)]
struct Classifiers(Vec<Arc<dyn Classifier>>);

impl fmt::Debug for Classifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entities = self.0.iter().map(|classifier| classifier.entity());
        f.debug_list().entries(entities).finish()
    }
}

impl Guard {
    /// Checks and compiles the settings.
    ///
    /// # Errors
    ///
    /// The first entry that cannot be used, with what to do about it.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            limits: settings.limits,
            opaque_is_restricted: settings.opaque == Opaque::Restricted,
            labels: Labels::new(settings.own_labels()?, &settings.labels, &settings.off),
            min_confidence: settings.min_confidence,
            operator: Arc::new(Operator::new(settings)?),
            classifiers: Classifiers::default(),
        })
    }

    /// The guard without settings, for callers that have only limits.
    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            opaque_is_restricted: limits.opaque_is_restricted,
            labels: Labels::default(),
            min_confidence: Settings::default().min_confidence,
            operator: Arc::new(Operator::default()),
            classifiers: Classifiers::default(),
        }
    }

    /// The same guard with one more classifier.
    #[must_use]
    pub fn with_classifier(mut self, classifier: Arc<dyn Classifier>) -> Self {
        self.classifiers.0.push(classifier);
        self
    }

    /// Looks at every string, key and long number of a request.
    ///
    /// Never fails: what goes wrong, a panic in a detector included, makes the scan incomplete, which
    /// policy treats as `restricted`.
    pub fn scan(&self, request: &Request) -> Scan {
        let scanned = catch_unwind(AssertUnwindSafe(|| Walk::new(self).run(request)));
        scanned.unwrap_or_else(|_| Scan {
            incomplete: Some("the guard failed".to_owned()),
            ..Scan::default()
        })
    }

    /// What is in one text: a model's answer, a document. Never fails, as [`Guard::scan`].
    pub fn scan_text(&self, text: &str) -> TextScan {
        self.scan_as(text, Looking::text())
    }

    /// What is in the name of a model: only what is verified by a checksum or a telling shape, for
    /// people are called Claude, too. [`Guard::scan`] looks at `model` in the same way.
    pub fn scan_name(&self, name: &str) -> TextScan {
        self.scan_as(name, Looking::name())
    }

    fn scan_as(&self, text: &str, looking: Looking) -> TextScan {
        let mut hits = Vec::new();
        let unread = catch_unwind(AssertUnwindSafe(|| {
            self.look(text, looking, &mut |hit| hits.push(hit))
        }));
        merge(&mut hits);
        TextScan {
            hits,
            incomplete: unread.unwrap_or(Some(Unread::Failed)),
        }
    }

    /// Every entity type that this guard can report, with its label: its own detectors', the
    /// operator's recognisers, topics and classifiers; without those that are off.
    pub fn entities(&self) -> BTreeMap<String, Sensitivity> {
        let own = ENTITIES.iter().copied();
        let operator = self.operator.entities().map(Entity::as_str);
        let classifiers = self.classifiers.0.iter();
        own.chain(operator)
            .chain(classifiers.map(|classifier| classifier.entity()))
            .filter(|entity| !self.labels.is_off(entity))
            .map(|entity| (entity.to_owned(), self.labels.of(entity)))
            .collect()
    }

    /// The label that an entity type deserves.
    pub fn label(&self, entity: &Entity) -> Sensitivity {
        self.labels.of(entity.as_str())
    }

    /// Whether nothing at all is found in a text, however uncertain.
    pub(crate) fn is_clean(&self, text: &str) -> bool {
        let mut clean = true;
        let unread = self.look(text, Looking::text(), &mut |_| clean = false);
        crate::detect::all(text, &mut |_| clean = false);
        clean && unread.is_none()
    }

    /// Runs every detector over one view of a text and keeps what the settings want to hear of.
    pub(crate) fn detect(&self, text: &str, how: Detectors, found: &mut dyn FnMut(Hit)) {
        let mut wanted = |hit: Hit| {
            if hit.confidence >= self.min_confidence && !self.labels.is_off(hit.entity.as_str()) {
                found(hit);
            }
        };
        match how {
            Detectors::All => crate::detect::all(text, &mut wanted),
            Detectors::Instructions => crate::detect::instructions(text, &mut wanted),
            Detectors::Firm => crate::detect::firm(text, &mut wanted),
        }
        if !self.operator.is_empty() {
            self.operator.detect(text, &mut wanted);
        }
    }

    /// Asks the classifiers about a text.
    pub(crate) fn classify(&self, text: &str, found: &mut dyn FnMut(Hit)) {
        for classifier in &self.classifiers.0 {
            let confidence = classifier.score(text);
            let entity = classifier.entity();
            if confidence >= self.min_confidence && !self.labels.is_off(entity) {
                found(Hit {
                    entity: Entity::from(entity.to_owned()),
                    range: 0..text.len(),
                    confidence: confidence.min(1.0),
                });
            }
        }
    }
}

/// The result of scanning one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextScan {
    /// What was seen, sorted by where it begins. Of one entity no two overlap.
    pub hits: Vec<Hit>,
    /// Why the guard could not look at all of the text, when it could not: such a text is to be
    /// treated as restricted.
    pub incomplete: Option<Unread>,
}

/// Which detectors run over a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detectors {
    /// All.
    All,
    /// All but prompt injection.
    Instructions,
    /// Those whose findings are verified by a checksum or a telling shape.
    Firm,
}

/// Why a text could not be looked at in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The text holds a long blob that no decoding turns into text.
    #[error("an encoded or encrypted blob cannot be read")]
    Blob,
    /// Encodings within encodings, more than the guard follows.
    #[error("more encodings than the limit")]
    TooMuch,
    /// A detector failed.
    #[error("the guard failed")]
    Failed,
}

/// Sorts hits by place; of one entity, those within another disappear and those that overlap become
/// one.
pub(crate) fn merge(hits: &mut Vec<Hit>) {
    hits.sort_by(|a, b| {
        let place = |hit: &Hit| (hit.range.start, std::cmp::Reverse(hit.range.end));
        place(a)
            .cmp(&place(b))
            .then_with(|| a.entity.cmp(&b.entity))
    });
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits.drain(..) {
        let overlapping = kept
            .iter_mut()
            .rev()
            .take(MERGE_BACK)
            .find(|known| known.entity == hit.entity && known.range.end > hit.range.start);
        match overlapping {
            Some(known) => {
                known.range.end = known.range.end.max(hit.range.end);
                known.confidence = known.confidence.max(hit.confidence);
            }
            None => kept.push(hit),
        }
    }
    *hits = kept;
}

/// How many earlier hits are compared with each: ones further back seldom overlap it, and an extra
/// finding does no harm.
const MERGE_BACK: usize = 32;
