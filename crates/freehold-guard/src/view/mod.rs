//! The views of one text: as it stands, normalised, decoded, with the spacing undone.

use crate::Guard;
use crate::detect::Hit;
use crate::guard::{Detectors, Unread};

/// How a text is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looking {
    pub(crate) detectors: Detectors,
}

impl Looking {
    /// Everything, as for a text that people wrote.
    pub(crate) fn text() -> Self {
        Self {
            detectors: Detectors::All,
        }
    }
}

impl Guard {
    /// Looks at one text in all views. Ranges are those of the text itself.
    pub(crate) fn look(
        &self,
        text: &str,
        looking: Looking,
        found: &mut dyn FnMut(Hit),
    ) -> Option<Unread> {
        self.detect(text, looking.detectors, found);
        self.classify(text, found);
        None
    }
}
