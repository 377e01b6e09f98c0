//! Keeps the backend's key out of everything that leaves the adapter.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use freehold_types::{Error, ErrorKind};
use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretString};

/// So much of a key in a row, and it counts as leaked.
const WINDOW_BYTES: usize = 12;
/// Shorter keys are placeholders such as `none` or `EMPTY`; words that long occur by chance.
const KEY_BYTES_MIN: usize = 6;
const REDACTED: &str = "[redacted]";

/// Finds and removes a key, or a long enough piece of it, in plain or base64.
pub(crate) struct Scrubber {
    needles: Vec<Vec<u8>>,
    window: usize,
    windows: HashSet<Vec<u8>>,
    whole: Option<Finder<'static>>,
}

impl Scrubber {
    pub(crate) fn new(key: Option<&SecretString>) -> Self {
        let key = key.map_or("", |key| key.expose_secret());
        if key.len() < KEY_BYTES_MIN {
            return Self {
                needles: Vec::new(),
                window: WINDOW_BYTES,
                windows: HashSet::new(),
                whole: None,
            };
        }
        let needles = vec![
            key.as_bytes().to_vec(),
            unpadded(key),
            unpadded(&format!("Bearer {key}")),
        ];
        let window = WINDOW_BYTES.min(key.len());
        let windows = needles
            .iter()
            .flat_map(|needle| needle.windows(window).map(<[u8]>::to_vec))
            .collect();
        Self {
            whole: Some(Finder::new(key.as_bytes()).into_owned()),
            needles,
            window,
            windows,
        }
    }

    /// Whether the whole key occurs, in plain. Fast enough for every piece of an answer.
    pub(crate) fn occurs_in(&self, bytes: &[u8]) -> bool {
        self.whole
            .as_ref()
            .is_some_and(|finder| finder.find(bytes).is_some())
    }

    /// Removes the key from everything in an error that a client gets to see.
    pub(crate) fn scrub(&self, mut error: Error) -> Error {
        if error.kind == ErrorKind::UpstreamAuth {
            // Texts about a refused key quote it, often with a few letters blotted out.
            error.upstream_body = None;
            error.code = None;
        }
        if self.needles.is_empty() {
            return error;
        }
        error.message = self.scrub_text(error.message);
        error.code = error.code.map(|code| self.scrub_text(code));
        error.param = error.param.map(|param| self.scrub_text(param));
        error.upstream_body =
            error
                .upstream_body
                .map(|(dialect, body)| match self.scrub_bytes(&body) {
                    Some(clean) => (dialect, Bytes::from(clean)),
                    None => (dialect, body),
                });
        error
    }

    /// The error for an answer that holds the key: it is withheld, because where one copy was found
    /// there may be others.
    pub(crate) fn leak(&self) -> Error {
        Error::new(
            ErrorKind::BadUpstream,
            "the backend's answer held the gateway's own credentials and was withheld",
        )
        .with_code("credentials_echoed")
        .with_retry(freehold_types::Retry::Elsewhere)
    }

    fn scrub_text(&self, text: String) -> String {
        match self.scrub_bytes(text.as_bytes()) {
            Some(clean) => String::from_utf8_lossy(&clean).into_owned(),
            None => text,
        }
    }

    /// The bytes without the key; `None` when it does not occur.
    fn scrub_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut clean = Vec::new();
        let mut kept = 0;
        let mut at = 0;
        while at + self.window <= bytes.len() {
            if !self.windows.contains(&bytes[at..at + self.window]) {
                at += 1;
                continue;
            }
            // Every further byte is part of the leak as long as the window that it ends is.
            let mut end = at + self.window;
            while end < bytes.len() && self.windows.contains(&bytes[end + 1 - self.window..=end]) {
                end += 1;
            }
            clean.extend_from_slice(&bytes[kept..at]);
            clean.extend_from_slice(REDACTED.as_bytes());
            kept = end;
            at = end;
        }
        if kept == 0 {
            return None;
        }
        clean.extend_from_slice(&bytes[kept..]);
        Some(clean)
    }
}

/// Base64 without its end, which depends on what follows the key.
fn unpadded(text: &str) -> Vec<u8> {
    let whole = text.len() / 3 * 4;
    let mut encoded = STANDARD.encode(text).into_bytes();
    encoded.truncate(whole);
    encoded
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
