//! The room a program that scores runs in: bubblewrap's namespaces, and limits of util-linux's `prlimit`.
//!
//! It sees the system's programs and libraries, itself and what `--scorer-read` names, all read-only; no network, no
//! other process, no environment; and memory disks of its own to write to. That holds against a program, or an answer
//! that a program executes, that means harm, as far as the kernel does. Where it cannot be had, nothing runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::SandboxArgs;

/// What a program sees of the machine, where it is there.
const SYSTEM: [&str; 15] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
];
/// Where it stands, and its `HOME` and `TMPDIR`.
const ROOM: &str = "/room";
/// So many bytes it can write in its room, as many in `/tmp`, and as many as shared memory.
const DISK_BYTES: &str = "268435456";
/// So many processes and threads at once. The kernel does not count those of root.
const PROCESSES_MAX: u32 = 256;
const FILES_MAX: u32 = 256;
/// The user and the group it has, which are nobody's.
const NOBODY: &str = "65534";

/// How a program is kept from everything else.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    bubblewrap: PathBuf,
    reads: Vec<PathBuf>,
    memory_bytes: u64,
}

impl Sandbox {
    /// The sandbox that is asked for; `None` if it is that there be none.
    ///
    /// # Errors
    ///
    /// Fails when a path to read is not there, and when this machine cannot make a sandbox.
    pub(super) fn of(args: &SandboxArgs) -> Result<Option<Self>> {
        if args.scorer_unsandboxed {
            return Ok(None);
        }
        let reads = args.scorer_read.iter().map(|path| {
            let found = path.canonicalize();
            let found = found
                .with_context(|| format!("there is no {} for --scorer-read", path.display()))?;
            ensure!(
                found.parent().is_some(),
                "--scorer-read / would show all there is: name what the program needs"
            );
            Ok(found)
        });
        let reads = reads.collect::<Result<_>>()?;
        let otherwise = "--scorer-unsandboxed runs it with your user's rights, files and network";
        // Without a PATH, as execvp(3) does.
        let paths =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let found = which::which_in("bwrap", Some(paths), "/");
        let bubblewrap = found.with_context(|| {
            format!(
                "a program that scores runs in a sandbox, and bubblewrap (`bwrap`) is not installed: install it (on \
                 Debian, `apt install bubblewrap`); {otherwise}"
            )
        })?;
        let sandbox = Self {
            bubblewrap,
            reads,
            memory_bytes: u64::from(args.scorer_memory) << 20,
        };
        sandbox.probe().with_context(|| {
            format!(
                "a program that scores runs in a sandbox, and none can be made here (in a container, user namespaces \
                 must be allowed); {otherwise}"
            )
        })?;
        Ok(Some(sandbox))
    }

    /// Whether a program that starts another runs in it.
    fn probe(&self) -> Result<()> {
        let mut probe = self.command(None, Duration::from_secs(10));
        let output = probe
            .args(["/bin/sh", "-c", "true | true"])
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}",
            said.trim().lines().last().unwrap_or("it ended at once")
        );
    }

    /// What runs a program that may take so long, whose path and arguments are to be added.
    pub(super) fn command(&self, program: Option<&Path>, timeout: Duration) -> Command {
        let mut command = Command::new(&self.bubblewrap);
        command
            .args(["--unshare-all", "--unshare-user", "--disable-userns"])
            .args(["--uid", NOBODY, "--gid", NOBODY, "--cap-drop", "ALL"])
            .args([
                "--new-session",
                "--die-with-parent",
                "--hostname",
                "sandbox",
            ])
            .args(["--proc", "/proc", "--dev", "/dev"]);
        for place in ["/tmp", "/dev/shm", ROOM] {
            command.args(["--size", DISK_BYTES, "--tmpfs", place]);
        }
        let system = SYSTEM.map(Path::new);
        let own = self.reads.iter().map(PathBuf::as_path).chain(program);
        for path in system.into_iter().chain(own) {
            command.arg("--ro-bind-try").args([path, path]);
        }
        // Its own roots are memory without a limit.
        command
            .args(["--remount-ro", "/dev", "--remount-ro", "/"])
            .args(["--chdir", ROOM, "--clearenv"]);
        for (name, value) in super::program::environment(OsStr::new(ROOM)) {
            command.arg("--setenv").arg(name).arg(value);
        }
        // In the user namespace: of the processes, only those in it count.
        command
            .args(["--", "prlimit", "--core=0"])
            .arg(format!("--as={}", self.memory_bytes))
            .arg(format!("--cpu={}", timeout.as_secs() + 1))
            .arg(format!("--fsize={DISK_BYTES}"))
            .arg(format!("--nofile={FILES_MAX}"))
            .arg(format!("--nproc={PROCESSES_MAX}"))
            .arg("--");
        command
    }
}
