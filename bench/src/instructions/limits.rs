//! The figures that are allowed, as they stand in a file.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::Figures;
use crate::render::progress;

/// The figures that are allowed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// How much a figure may differ, in percent.
    tolerance_percent: u64,
    start: u64,
    request: u64,
    stream_event: u64,
}

impl Limits {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let limits: Self =
            toml::from_str(&text).with_context(|| format!("{} is unusable", path.display()))?;
        ensure!(
            limits.tolerance_percent < 100,
            "a tolerance is less than 100 %"
        );
        Ok(limits)
    }

    /// Compares; figures that have become much better are told, those that have become much worse are an error.
    pub(crate) fn hold(&self, figures: &Figures) -> anyhow::Result<()> {
        let mut worse = String::new();
        for (name, counted, allowed) in [
            ("start", figures.start, self.start),
            ("request", figures.request, self.request),
            ("stream_event", figures.stream_event, self.stream_event),
        ] {
            let change = counted.abs_diff(allowed) * 100 > allowed * self.tolerance_percent;
            if change && counted > allowed {
                write!(worse, " {name}: {counted} instead of {allowed};")?;
            } else if change {
                progress(&format!(
                    "{name} takes {counted} instructions, {allowed} are allowed: lower the limit"
                ));
            }
        }
        if worse.is_empty() {
            return Ok(());
        }
        bail!(
            "more than {} % more instructions than allowed:{worse} find out why (--profiles), or raise the limit and \
             say why",
            self.tolerance_percent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Limits};

    #[test]
    fn only_what_is_much_worse_is_an_error() {
        let limits = Limits {
            tolerance_percent: 10,
            start: 1_000,
            request: 100,
            stream_event: 10,
        };
        let hold = |start, request, stream_event| {
            let figures = Figures {
                start,
                request,
                stream_event,
            };
            limits.hold(&figures).map_err(|error| error.to_string())
        };
        assert_eq!(hold(1_000, 100, 10), Ok(()));
        assert_eq!(hold(1_100, 110, 11), Ok(()));
        assert_eq!(hold(1, 1, 1), Ok(()));
        let error = hold(1_101, 111, 9).unwrap_err();
        assert!(error.contains("start: 1101 instead of 1000"), "{error}");
        assert!(error.contains("request: 111 instead of 100"), "{error}");
        assert!(!error.contains("stream_event"), "{error}");
        assert!(hold(1_000, 100, 12).is_err());
    }
}
