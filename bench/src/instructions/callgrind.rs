//! A process under callgrind, and how much it has executed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use crate::process::Process;

/// A process counts as idle when it used less than `IDLE_CPU` in each of `IDLE_WINDOWS` in a row.
const IDLE_WINDOW: Duration = Duration::from_millis(250);
const IDLE_WINDOWS: usize = 3;
const IDLE_CPU: Duration = Duration::from_millis(20);
/// What has not come to rest by then never will.
const REST: Duration = Duration::from_secs(60);

/// The command that counts what another one executes; profiles go into this folder.
pub(crate) fn command(profiles: &Path) -> Vec<String> {
    vec![
        "valgrind".to_owned(),
        "--quiet".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", profiles.join(NAME).display()),
    ]
}

/// Begin of the profiles' names.
const NAME: &str = "callgrind.out";

/// A process that [`command`] has started.
pub(crate) struct Callgrind {
    process: Process,
    profiles: PathBuf,
    taken: usize,
}

impl Callgrind {
    pub(crate) fn of(process: Process, profiles: &Path) -> Self {
        Self {
            process,
            profiles: profiles.to_owned(),
            taken: 0,
        }
    }

    /// Instructions executed since the last call, or since the start, once the process has come to rest.
    pub(crate) async fn take(&mut self) -> anyhow::Result<u64> {
        self.rest().await?;
        let command = Command::new("vgdb")
            .arg(format!("--pid={}", self.process.pid()))
            .arg("dump")
            .output()
            .context("cannot run vgdb, which comes with valgrind")?;
        ensure!(
            command.status.success(),
            "valgrind cannot be reached: {}",
            String::from_utf8_lossy(&command.stderr)
        );
        self.taken += 1;
        let profile = self.profiles.join(format!("{NAME}.{}", self.taken));
        let text = std::fs::read_to_string(&profile)
            .with_context(|| format!("valgrind wrote no {}", profile.display()))?;
        total(&text).with_context(|| format!("{} has no total", profile.display()))
    }

    /// Waits until the process has nothing more to do: what runs behind requests counts, too.
    async fn rest(&self) -> anyhow::Result<()> {
        let mut idle = 0;
        let mut before = self.process.cpu_time()?;
        let mut waited = Duration::ZERO;
        while idle < IDLE_WINDOWS {
            tokio::time::sleep(IDLE_WINDOW).await;
            waited += IDLE_WINDOW;
            if waited > REST {
                bail!("the gateway does not come to rest");
            }
            let now = self.process.cpu_time()?;
            idle = if now.saturating_sub(before) < IDLE_CPU {
                idle + 1
            } else {
                0
            };
            before = now;
        }
        Ok(())
    }
}

/// What a profile says was executed while it was made.
fn total(profile: &str) -> Option<u64> {
    let totals = profile.lines().rev().find_map(|line| {
        line.strip_prefix("totals:")
            .or_else(|| line.strip_prefix("summary:"))
    });
    totals?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn a_profile_ends_with_its_total() {
        let profile = "version: 1\nevents: Ir\nsummary: 7\n\nfn=(1) main\n3 40\n\ntotals: 12345\n";
        assert_eq!(total(profile), Some(12_345));
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 7\n"), Some(7));
        assert_eq!(total("version: 1\nevents: Ir\n"), None);
    }
}
