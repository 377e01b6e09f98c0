//! Which lives of a gateway have kept a journal, so that a later one can tell what they never sent.
//!
//! A life is the time from one start of a gateway to its end. Each request is noted in the journal
//! before it is sent, and its outcome is in the spool before the note is crossed out. So what a life
//! reserved, and neither its journal nor the ledger knew when the next one had begun, was never
//! sent. That holds as long as the notes are as they were written: a kill leaves them, a power cut
//! may not. Lives that ended with their machine are therefore not vouched for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::StoreError;
use crate::home::now_unix_ms;

/// Lives that ended longer ago are forgotten, in milliseconds: 31 days, a day more than shared
/// accounts keep what lapsed.
const KEPT_MS: u64 = 31 * 24 * 3_600_000;
/// No more are kept, however often a gateway starts.
const KEPT_MAX: usize = 1_000;

/// From a start of a gateway to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Life(Uuid);

impl Life {
    /// A new one.
    pub fn begin() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for Life {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

impl TryFrom<String> for Life {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Life> for String {
    fn from(life: Life) -> Self {
        life.0.to_string()
    }
}

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    life: Life,
    /// Which start of the machine it began in.
    boot: Option<String>,
    /// When the next one began, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_unix_ms: Option<u64>,
}

/// This life, and those before it.
#[derive(Debug)]
pub(crate) struct Lives {
    pub(crate) now: Life,
    pub(crate) before: HashSet<Life>,
}

impl Lives {
    /// Ends the last life of this directory and begins one, in this start of the machine.
    pub(crate) fn begin(dir: &Path, boot: Option<&str>) -> Self {
        let path = dir.join("lives.json");
        let now = Life::begin();
        let mut lines = match read(&path) {
            Ok(lines) => lines,
            Err(error) => {
                let path = path.display();
                tracing::warn!(%error, %path, "what killed gateways never sent stays spent");
                vec![]
            }
        };
        let now_unix_ms = now_unix_ms();
        for line in &mut lines {
            // Without a name of the machine's start nobody can vouch.
            let same_boot = boot.is_some() && line.boot.as_deref() == boot;
            if line.ended_unix_ms.is_none() && same_boot {
                line.ended_unix_ms = Some(now_unix_ms);
            }
        }
        lines.retain(|line| {
            let ended = line.ended_unix_ms;
            ended.is_some_and(|ended| ended.saturating_add(KEPT_MS) > now_unix_ms)
        });
        lines.drain(..lines.len().saturating_sub(KEPT_MAX));
        let before = lines.iter().map(|line| line.life).collect();
        lines.push(Line {
            life: now,
            boot: boot.map(str::to_owned),
            ended_unix_ms: None,
        });
        if let Err(error) = write(&path, &lines) {
            let path = path.display();
            tracing::warn!(
                %error, %path,
                "if this gateway is killed, what it reserved and never sent stays spent"
            );
        }
        Self { now, before }
    }
}

fn read(path: &Path) -> Result<Vec<Line>, StoreError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(StoreError::io("cannot read", path)(error)),
    };
    serde_json::from_slice(&text)
        .map_err(|error| StoreError::io("cannot read", path)(std::io::Error::other(error)))
}

/// Whole or not at all: a torn file would be none.
fn write(path: &Path, lines: &[Line]) -> Result<(), StoreError> {
    let next: PathBuf = path.with_extension("json.new");
    let text = serde_json::to_vec(lines).unwrap_or_default();
    std::fs::write(&next, text)
        .and_then(|()| std::fs::rename(&next, path))
        .map_err(StoreError::io("cannot write", path))
}

/// Which start of the machine this is; `None` where that is not told.
pub(crate) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_one_start_of_the_machine_are_vouched_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lives::begin(dir.path(), Some("boot 1"));
        assert!(first.before.is_empty());
        let second = Lives::begin(dir.path(), Some("boot 1"));
        assert_eq!(second.before, HashSet::from([first.now]));
        // The machine went down under the second: what it noted may be lost. What the first noted
        // was read before.
        let third = Lives::begin(dir.path(), Some("boot 2"));
        assert_eq!(third.before, HashSet::from([first.now]));
        let fourth = Lives::begin(dir.path(), Some("boot 2"));
        assert_eq!(fourth.before, HashSet::from([first.now, third.now]));
    }

    #[test]
    fn without_a_name_of_the_machines_start_nobody_is_vouched_for() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            assert!(Lives::begin(dir.path(), None).before.is_empty());
        }
    }

    #[test]
    fn a_damaged_list_vouches_for_nobody_and_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        Lives::begin(dir.path(), Some("boot"));
        std::fs::write(dir.path().join("lives.json"), "[{").unwrap();
        let second = Lives::begin(dir.path(), Some("boot"));
        assert!(second.before.is_empty());
        let third = Lives::begin(dir.path(), Some("boot"));
        assert_eq!(third.before, HashSet::from([second.now]));
    }

    #[test]
    fn a_gateway_that_starts_for_ever_does_not_grow_its_list() {
        let dir = tempfile::tempdir().unwrap();
        let line = |number| Line {
            life: Life(Uuid::from_u128(number)),
            boot: Some("boot".to_owned()),
            ended_unix_ms: Some(now_unix_ms()),
        };
        let mut lines: Vec<_> = (0..KEPT_MAX as u128 + 9).map(line).collect();
        lines.push(Line {
            ended_unix_ms: Some(now_unix_ms() - KEPT_MS),
            ..line(u128::MAX)
        });
        write(&dir.path().join("lives.json"), &lines).unwrap();
        let lives = Lives::begin(dir.path(), Some("boot"));
        assert_eq!(lives.before.len(), KEPT_MAX);
        assert!(lives.before.contains(&line(KEPT_MAX as u128 + 8).life));
        assert!(!lives.before.contains(&line(0).life));
        assert!(!lives.before.contains(&line(u128::MAX).life));
    }
}
