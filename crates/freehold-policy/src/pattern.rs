//! Names with `*` and `?`.

use std::fmt;

use wildmatch::WildMatch;

/// A name that a rule looks for. Compared in full, and letter for letter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Exactly this.
    Exact(Box<str>),
    /// With `*` (any text) or `?` (one letter).
    Wild(WildMatch),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        if is_wild(text) {
            Self::Wild(WildMatch::new(text))
        } else {
            Self::Exact(text.into())
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *name,
            Self::Wild(pattern) => pattern.matches(name),
        }
    }
}

/// True when the text is more than one name.
pub(crate) fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Several patterns, of which one must fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Patterns(Vec<Pattern>);

impl Patterns {
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().map(Pattern::new).collect())
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Wild(pattern) => write!(f, "{pattern}"),
        }
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let or = if index > 0 { " or " } else { "" };
            write!(f, "{or}{pattern}")?;
        }
        Ok(())
    }
}
