//! A program as a scorer: the case on standard input, its score on standard output.
//!
//! It runs in a [`Sandbox`], unless that is declined: then it runs in an empty directory of its own, without this process's
//! environment, in a process group that is killed when its time is over, with this user's rights, files and network.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freehold_proof::dataset::Case;
use freehold_proof::scorers::{Outcome, ScorerSpec};
use freehold_types::audit::HexBytes;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::sandbox::Sandbox;
use crate::commands::usage::printable;

/// More output than this is no score.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// Of what it says is wrong, no more is told.
const REASON_CHARS_MAX: usize = 160;
/// How often one looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A program that scores.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    timeout: Duration,
    sandbox: Option<Sandbox>,
    /// Whether what it says is wrong may be told: it may quote the answer.
    tells: bool,
}

impl Program {
    pub(super) fn new(
        path: &str,
        timeout: Duration,
        sandbox: Option<Sandbox>,
        tells: bool,
    ) -> Result<(Self, ScorerSpec)> {
        let whole = Path::new(path)
            .canonicalize()
            .with_context(|| format!("there is no program {path}"))?;
        let bytes = std::fs::read(&whole).with_context(|| format!("cannot read {path}"))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&whole.metadata()?.permissions());
        ensure!(
            mode & 0o111 != 0,
            "{path} is no program: make it one with `chmod +x {path}`"
        );
        let Some(name) = whole.file_name() else {
            bail!("{path} is no program");
        };
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let spec = ScorerSpec::Command {
            program: name.to_string_lossy().into_owned(),
            sha256: HexBytes(digest).to_string(),
        };
        let program = Self {
            path: whole,
            timeout,
            sandbox,
            tells,
        };
        Ok((program, spec))
    }

    pub(super) fn is_sandboxed(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Runs it on one answer.
    pub(super) async fn score(&self, case: &Case, answer: &str) -> Outcome {
        let input = json!({
            "id": case.id, "messages": case.messages, "expected": case.expected, "stratum": case.stratum,
            "tags": case.tags, "answer": answer,
        });
        let (program, input) = (self.clone(), input.to_string());
        match tokio::task::spawn_blocking(move || program.run(input)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::failed(format!("the program cannot be run: {error:#}")),
            Err(_) => Outcome::failed("the program cannot be run"),
        }
    }

    fn run(&self, input: String) -> Result<Outcome> {
        let place = tempfile::tempdir().context("cannot make a directory for it")?;
        let mut command = match &self.sandbox {
            Some(sandbox) => {
                let mut command = sandbox.command(Some(&self.path), self.timeout);
                command.arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        let mut child = command
            .env_clear()
            .envs(environment(place.path().as_os_str()))
            .current_dir(place.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let ended = self.watch(&mut child, input);
        // Also what it left running, and what is left of it when anything went wrong here. Its number is not given to
        // another group so soon after its end.
        let group = Pid::from_raw(i32::try_from(child.id())?);
        let killed = killpg(group, Signal::SIGKILL);
        ensure!(
            matches!(killed, Ok(()) | Err(Errno::ESRCH | Errno::EPERM)),
            "what it started cannot be ended"
        );
        let _ = child.wait();
        ended
    }

    /// Until it has ended and said all, or its time is over.
    fn watch(&self, child: &mut Child, input: String) -> Result<Outcome> {
        let deadline = Instant::now() + self.timeout;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read its input may still know the score.
            std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        }
        let said = child.stdout.take().map(gathered);
        let complained = child.stderr.take().map(gathered);
        let late = || {
            Outcome::failed(format!(
                "the program did not end within {} s",
                self.timeout.as_secs()
            ))
        };
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= deadline {
                return Ok(late());
            }
            std::thread::sleep(LOOK);
        };
        let text = |from: Option<mpsc::Receiver<Vec<u8>>>| {
            let left = deadline.saturating_duration_since(Instant::now());
            from.map(|from| from.recv_timeout(left)).transpose()
        };
        // Whoever it started may hold its output open.
        let (Ok(said), Ok(complained)) = (text(said), text(complained)) else {
            return Ok(late());
        };
        let complained = if self.tells { complained } else { None };
        Ok(judged(
            ended(status, self.sandbox.is_some()),
            &said.unwrap_or_default(),
            &complained.unwrap_or_default(),
        ))
    }
}

/// All of a program's environment, where this is its own directory.
pub(super) fn environment(room: &OsStr) -> [(&str, &OsStr); 4] {
    [
        ("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin")),
        ("LANG", OsStr::new("C.UTF-8")),
        ("HOME", room),
        ("TMPDIR", room),
    ]
}

/// How a program ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Code(i32),
    Signal(i32),
}

/// Bubblewrap ends with 128 and the signal's number if a signal ended the program, as shells do.
fn ended(status: ExitStatus, wrapped: bool) -> End {
    match status.code() {
        Some(code) if wrapped && code > 128 => End::Signal(code - 128),
        Some(code) => End::Code(code),
        None => End::Signal(status.signal().unwrap_or_default()),
    }
}

/// All that is written, up to a byte more than is allowed; the rest is read and thrown away, so that nobody waits.
fn gathered(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (to, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = (&mut from)
            .take(OUTPUT_BYTES_MAX + 1)
            .read_to_end(&mut bytes);
        // Who writes without end is killed when the time is over.
        let _ = std::io::copy(&mut from, &mut std::io::sink());
        let _ = to.send(bytes);
    });
    receiver
}

/// A number from 0 to 1 and status 0; or nothing, and then status 0 is right and 1 is wrong.
fn judged(end: End, said: &[u8], complained: &[u8]) -> Outcome {
    let complaint = || {
        let text = String::from_utf8_lossy(complained);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        let last: String = printable(last.unwrap_or_default().trim())
            .chars()
            .take(REASON_CHARS_MAX)
            .collect();
        if last.is_empty() {
            last
        } else {
            format!(": {last}")
        }
    };
    if said.len() as u64 > OUTPUT_BYTES_MAX {
        return Outcome::failed(format!(
            "the program wrote more than {OUTPUT_BYTES_MAX} bytes"
        ));
    }
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    match (end, said.is_empty()) {
        (End::Code(0), true) => Outcome::of(1.0, ""),
        (End::Code(1), true) => Outcome::of(0.0, complaint().trim_start_matches(": ")),
        (End::Code(0), false) => match said.parse::<f64>() {
            Ok(score) => Outcome::of(score, ""),
            Err(_) => Outcome::failed("the program did not write a number from 0 to 1"),
        },
        (End::Code(code), _) => {
            Outcome::failed(format!("the program ended with {code}{}", complaint()))
        }
        (End::Signal(signal), _) => {
            Outcome::failed(format!("signal {signal} ended the program{}", complaint()))
        }
    }
}
