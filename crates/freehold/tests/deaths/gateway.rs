//! The program as a gateway that can be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use freehold_types::Outcome;
use freehold_types::outcome::CostGap;

/// A running gateway. Killed when dropped.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) url: String,
    /// Open, so that the gateway can go on writing.
    _stdout: BufReader<ChildStdout>,
}

impl Gateway {
    /// Starts the program as the command says.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line
            .split(" on ")
            .nth(1)
            .unwrap_or_else(|| panic!("{line}"));
        Self {
            process,
            url: url.trim().to_owned(),
            _stdout: stdout,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid());
        let sent = Command::new("sh").arg("-c").arg(script).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it as an operator does: it drains before it goes.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        assert!(self.process.wait().unwrap().success());
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the gateway died before it could tell how the request ended.
pub(crate) fn is_interrupted(outcome: &&Outcome) -> bool {
    let mut costs = outcome.attempts.iter().filter_map(|attempt| attempt.cost);
    costs.any(|cost| cost.gap == Some(CostGap::Interrupted))
}
