//! The program, run to its end in a directory of its own.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::Told;

/// A directory, and nothing of this process's environment.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Where a file of this name stands, or would.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// What a file holds as JSON.
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    /// Runs a command to its end. Files are named relative to the directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Told {
        self.run_with(&[], arguments)
    }

    /// The same, with more in its environment.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Told {
        let output = Command::new(env!("CARGO_BIN_EXE_freehold"))
            .env_clear()
            .envs(variables.iter().copied())
            .env("FREEHOLD_HOME", self.path("home"))
            .env("HOME", self.folder.path())
            .env("SERVER_KEY", "the-key")
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        Told {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> Told {
        let told = self.run(arguments);
        assert_eq!(told.code, Some(0), "{arguments:?}: {told:?}");
        told
    }

    /// Runs a command that must fail; what it says.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let told = self.run(arguments);
        assert_ne!(told.code, Some(0), "{arguments:?}: {told:?}");
        told.flat()
    }
}
