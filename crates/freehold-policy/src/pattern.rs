//! Names with `*` and `?`.

use std::fmt;

use wildmatch::WildMatch;

/// A name that a rule looks for. Compared in full, and letter for letter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Exactly this.
    Exact(Box<str>),
    /// This and anything after it.
    Prefix(Box<str>),
    /// This and anything before it.
    Suffix(Box<str>),
    /// With `*` (any text) or `?` (one letter) elsewhere.
    Wild(WildMatch),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        if !is_wild(text) {
            return Self::Exact(text.into());
        }
        // Nearly all patterns are of these two forms, which need no walk through the name.
        match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(head), _) if !is_wild(head) => Self::Prefix(head.into()),
            (_, Some(tail)) if !is_wild(tail) => Self::Suffix(tail.into()),
            _ => Self::Wild(WildMatch::new(text)),
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *name,
            Self::Prefix(head) => name.starts_with(&**head),
            Self::Suffix(tail) => name.ends_with(&**tail),
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(head) => write!(f, "{head}*"),
            Self::Suffix(tail) => write!(f, "*{tail}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names_and_show_as_they_are_written() {
        for (pattern, fits, misfits) in [
            ("ci", &["ci"][..], &["c", "cii", "CI", ""][..]),
            ("ci-*", &["ci-", "ci-eu"], &["ci", "xci-"]),
            ("*-eu", &["-eu", "ci-eu"], &["eu", "ci-eux"]),
            ("*", &["", "anything"], &[]),
            ("a*z", &["az", "abz"], &["a", "abzb"]),
            ("*a*", &["a", "xax"], &["", "x"]),
            ("c?", &["ci", "cö"], &["c", "cii"]),
            ("?*", &["c", "ci"], &[""]),
        ] {
            let one = Pattern::new(pattern);
            assert_eq!(one.to_string(), pattern);
            for name in fits {
                assert!(one.matches(name), "{pattern} {name}");
            }
            for name in misfits {
                assert!(!one.matches(name), "{pattern} {name}");
            }
        }
    }
}
