//! The configuration: a file as written (`raw`), what it means ([`Settings`]), and errors that point at
//! the line.
//!
//! Input: a [`Source`], what the command line says over it ([`Overrides`]), and the [`Environment`] of the
//! process. Output: [`Settings`] in which every default is decided and every name resolved, or a
//! [`ConfigError`] for people. The files that it names (certificates, keys) are read here, once; nothing
//! is connected to.

mod access;
mod accounts;
mod certificates;
mod ledger;
mod locate;
mod policy;
mod prices;
mod raw;
mod routes;
mod settings;
mod storage;
mod telemetry;
mod text;
mod transport;

pub use access::{LoginSettings, Mapping, is_private, literal};
pub use accounts::moment;
pub use policy::PolicySource;
pub use settings::{
    AuditChoice, EMBEDDED, EmbeddedEntry, Environment, HostedEntry, Lookup, Settings,
};
pub use transport::ListenerTls;

use std::path::{Path, PathBuf};

use freehold_types::audit::{Digest, HexBytes};
use miette::{Diagnostic, NamedSource, SourceSpan};
use sha2::{Digest as _, Sha256};

/// Where a configuration is looked for when none is named.
pub(crate) const DEFAULT_FILE: &str = "freehold.yaml";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {path}: {reason}")]
    #[diagnostic(help("name another file with --config, or leave it out to run without one"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// It does not have the shape of a configuration, or means nothing that can be run.
    #[error("{message}")]
    Wrong {
        /// What is wrong.
        message: String,
        /// What to do.
        #[help]
        hint: Option<String>,
        /// The file's text.
        #[source_code]
        source_code: std::sync::Arc<NamedSource<String>>,
        /// The place.
        #[label("here")]
        place: Option<SourceSpan>,
    },
}

/// Something wrong with the meaning of the value at a path.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Keys and indices that lead to the value.
    pub path: Vec<String>,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Complaint {
    pub(crate) fn new<'a>(path: impl AsRef<[&'a str]>, message: impl Into<String>) -> Self {
        Self {
            path: path.as_ref().iter().map(ToString::to_string).collect(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What the command line says over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<std::net::SocketAddr>,
    /// `--sealed`.
    pub sealed: bool,
}

/// A configuration's text, and where it came from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file; `None` when there is none and the defaults hold.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Reads the named file, or `freehold.yaml` in the working directory if there is one.
    ///
    /// # Errors
    ///
    /// Where there is a file that cannot be read as text.
    pub fn read(named: Option<&Path>) -> Result<Self, ConfigError> {
        let path = match named {
            Some(path) => path,
            None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
            None => return Ok(Self::default()),
        };
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            text,
        })
    }

    /// SHA-256 of its text.
    pub fn digest(&self) -> Digest {
        HexBytes(Sha256::digest(self.text.as_bytes()).into())
    }

    /// What the text means.
    ///
    /// # Errors
    ///
    /// The first thing that is not understood or cannot be run, with its place in the text.
    pub fn settings(
        &self,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Settings, ConfigError> {
        let mut raw = self.parse()?;
        if let Some(listen) = overrides.listen {
            raw.server.listen = listen;
        }
        if overrides.sealed {
            raw.perimeter = raw::PerimeterMode::Sealed;
        }
        let files = transport::files(&raw);
        Settings::from_raw(raw, environment)
            .map(|settings| Settings { files, ..settings })
            .map_err(|complaint| self.meaning(complaint))
    }

    fn parse(&self) -> Result<raw::Config, ConfigError> {
        if self.text.trim().is_empty() {
            return Ok(raw::Config::default());
        }
        let options = bounds(self.text.len());
        serde_saphyr::from_str_with_options(&self.text, options.clone()).map_err(|error| {
            let mut options = options;
            options.with_snippet = false;
            let error =
                match serde_saphyr::from_str_with_options::<raw::Config>(&self.text, options) {
                    Err(without_snippet) => without_snippet,
                    Ok(_) => error,
                };
            self.shape(&error)
        })
    }

    fn shape(&self, error: &serde_saphyr::Error) -> ConfigError {
        let span = error.location().map(|location| location.span());
        let place = span.and_then(|span| Some((span.byte_offset()?, span.byte_len()?)));
        let place = place.and_then(|(offset, bytes)| {
            let (offset, bytes) = (usize::try_from(offset).ok()?, usize::try_from(bytes).ok()?);
            Some(SourceSpan::from((offset, bytes)))
        });
        let message = error.to_string();
        // The place is shown with its line.
        let message = match message.rsplit_once(" at line ") {
            Some((message, _)) if place.is_some() => message.to_owned(),
            _ => message,
        };
        self.wrong(message, None, place)
    }

    fn meaning(&self, complaint: Complaint) -> ConfigError {
        let place = locate::locate(&self.text, &complaint.path).map(SourceSpan::from);
        let path = complaint.path.join(".");
        let message = if path.is_empty() {
            complaint.message
        } else {
            format!("{path}: {}", complaint.message)
        };
        self.wrong(message, complaint.hint, place)
    }

    fn wrong(
        &self,
        message: String,
        hint: Option<String>,
        place: Option<SourceSpan>,
    ) -> ConfigError {
        ConfigError::Wrong {
            message,
            hint,
            source_code: std::sync::Arc::new(
                NamedSource::new(self.name(), self.text.clone()).with_language("yaml"),
            ),
            place,
        }
    }

    /// What to call it.
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "(no configuration file)".to_owned(),
        }
    }
}

/// How much a file of so many bytes may hold: what fits into it without aliases, so that neither a
/// hundred thousand keys nor a few lines of aliases of aliases are too many.
fn bounds(bytes: usize) -> serde_saphyr::Options {
    let usual = serde_saphyr::Budget::default();
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: usual.max_nodes.max(bytes),
            // A node begins and ends.
            max_events: usual.max_events.max(bytes.saturating_mul(2)),
            max_total_scalar_bytes: usual.max_total_scalar_bytes.max(bytes),
        },
    }
}

/// The JSON Schema of the configuration file.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(raw::Config);
    schema.insert("title".into(), "Freehold configuration".into());
    schema.to_value()
}

#[cfg(test)]
mod mutated_tests;
#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: String) -> Result<raw::Config, ConfigError> {
        Source { path: None, text }.parse()
    }

    #[test]
    fn a_file_may_be_as_large_as_what_it_describes() {
        // More nodes than the parser takes of files whose size it does not know.
        let routes = "a,".repeat(260_000);
        let text = format!("keys: [{{name: app, key: sk-0123456789abcdef, routes: [{routes}]}}]");
        let config = parsed(text.clone()).unwrap();
        assert_eq!(config.keys[0].routes.len(), 260_000);
        // An error in it points at its place.
        let place = locate::locate(&text, &["keys", "0", "name"].map(str::to_owned)).unwrap();
        assert_eq!(&text[place.0..][..place.1], "app");
    }

    #[test]
    fn aliases_of_aliases_are_too_many() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(
            serde_saphyr::from_str_with_options::<serde_json::Value>(&text, bounds(text.len()))
                .is_err()
        );
        assert!(parsed(text).is_err());
    }
}
