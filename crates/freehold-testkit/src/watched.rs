//! A real server as a child process: started for a test, and gone with it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Far more than a start takes; only a broken server meets it.
const START_BOUND: Duration = Duration::from_secs(60);

/// The shell between a test and its server. It passes signals on, says when the server has ended,
/// and ends it when the test's process goes away, however it goes: then its standard input ends.
/// Background jobs of PostgreSQL are process groups of their own, so they are signalled one by one.
const WATCHER: &str = r#"
directory=$1
shift
"$@" >&2 </dev/null &
server=$!
# Nobody may be left to read what this shell says.
trap '' PIPE
exec 2>/dev/null
children() { cat "/proc/$server/task/$server/children"; }
while read -r order; do
    case $order in
        wait) wait "$server"; echo ended ;;
        leave) exit 0 ;;
        INT | TERM) kill -s "$order" "$server"; echo sent ;;
        *) kill -s "$order" "$server" $(children); echo sent ;;
    esac
done
kill -s KILL "$server" $(children)
wait "$server"
rm -rf -- "$directory"
"#;

/// Why a server of a test cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its program is not installed.
    #[error("{program} was not found: apt-get install {package} (scripts/setup.sh does it)")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file, directory or process could not be made.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ended with an error, or the server did not start.
    #[error("{action} failed:\n{output}")]
    Failed {
        /// What was run.
        action: String,
        /// What it said.
        output: String,
    },
}

impl ServerError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// A running server and the shell that watches it.
#[derive(Debug)]
pub(crate) struct Watched {
    watcher: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    log: Arc<Log>,
}

impl Watched {
    /// Starts `server` and waits until it writes a line with `ready` in it. `directory` is removed
    /// when the test's process goes away without having said goodbye.
    pub(crate) fn start(
        directory: &Path,
        server: &Command,
        ready: &str,
    ) -> Result<Self, ServerError> {
        let name = server.get_program().to_string_lossy().into_owned();
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCHER, "watcher"]).arg(directory);
        watcher.arg(server.get_program()).args(server.get_args());
        for (key, value) in server.get_envs() {
            match value {
                Some(value) => watcher.env(key, value),
                None => watcher.env_remove(key),
            };
        }
        let mut watcher = watcher
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ServerError::io(format!("start {name}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (
            watcher.stdin.take(),
            watcher.stdout.take(),
            watcher.stderr.take(),
        ) else {
            return Err(ServerError::io(format!("start {name}"))(io::Error::other(
                "no pipes",
            )));
        };
        let log = Arc::new(Log::default());
        let reading = Arc::clone(&log);
        std::thread::spawn(move || reading.read(stderr));
        let mut watched = Self {
            watcher,
            orders: Some(stdin),
            answers: BufReader::new(stdout),
            log,
        };
        if watched.log.wait_for(ready) {
            return Ok(watched);
        }
        // Its files stay: the next start, or their owner's end, decides about them.
        let output = watched.log.text();
        watched.signal("KILL");
        watched.ended();
        Err(ServerError::Failed {
            action: format!("starting {name}"),
            output,
        })
    }

    /// Sends a signal, by its name without `SIG`, to the server and its children.
    pub(crate) fn signal(&mut self, name: &str) {
        self.order(name);
    }

    /// Waits until the server has ended after a signal; leaves its files.
    pub(crate) fn ended(mut self) {
        self.order("wait");
        self.tell("leave");
        self.orders = None;
        // Only its own end is waited for; how it ended does not matter.
        let _ = self.watcher.wait();
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Tells the watcher, and waits for its answer. A watcher that is gone has no server.
    fn order(&mut self, word: &str) {
        if self.tell(word) {
            let mut answer = String::new();
            let _ = self.answers.read_line(&mut answer);
        }
    }

    fn tell(&mut self, word: &str) -> bool {
        let line = format!("{word}\n");
        let orders = self.orders.as_mut();
        orders.is_some_and(|orders| orders.write_all(line.as_bytes()).is_ok())
    }
}

impl Drop for Watched {
    /// The end of its input is the watcher's order to end the server and remove its files.
    fn drop(&mut self) {
        if self.orders.take().is_some() {
            let _ = self.watcher.wait();
        }
    }
}

/// A server that may be ended and started again, and the directory that goes with it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    running: Mutex<Option<Watched>>,
}

impl Place {
    /// A place where nothing runs yet.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            running: Mutex::new(None),
        }
    }

    /// From now on this one runs here.
    pub(crate) fn run(&self, server: Watched) {
        *self.running.lock() = Some(server);
    }

    /// Sends a signal, by its name without `SIG`, if a server runs.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(server) = self.running.lock().as_mut() {
            server.signal(name);
        }
    }

    /// Ends the server by a signal, if one runs, and leaves its files.
    pub(crate) fn end_with(&self, signal: &str) {
        if let Some(mut server) = self.running.lock().take() {
            server.signal(signal);
            server.ended();
        }
    }

    /// What the server wrote since its last start.
    pub(crate) fn log(&self) -> String {
        let running = self.running.lock();
        running.as_ref().map_or_else(String::new, Watched::log)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end_with("KILL");
        // What cannot be removed lies in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What a server wrote.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn read(&self, from: impl Read) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let mut state = self.state.lock();
            state.lines.push(text);
            self.more.notify_all();
        }
        self.state.lock().ended = true;
        self.more.notify_all();
    }

    /// False when the server ended, or took too long, without having written it.
    fn wait_for(&self, part: &str) -> bool {
        let deadline = Instant::now() + START_BOUND;
        let mut state = self.state.lock();
        loop {
            if state.lines.iter().any(|line| line.contains(part)) {
                return true;
            }
            if state.ended || self.more.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
    }

    fn text(&self) -> String {
        self.state.lock().lines.join("\n")
    }
}

/// A directory of its own for one server, below the system's temporary directory: the paths of
/// sockets must be short.
pub(crate) fn directory(kind: &str) -> Result<PathBuf, ServerError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("freehold-{kind}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // Left by a process with the same number, long ago.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let action = format!("create the directory {}", path.display());
                return Err(ServerError::io(action)(error));
            }
        }
    }
}

/// A port of loopback that nobody listens at for now.
pub(crate) fn free_port() -> Result<u16, ServerError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    Ok(free.map_err(ServerError::io("find a free port"))?.port())
}

/// The first of `programs` on the search path.
pub(crate) fn on_path(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = |program: &&str| {
        std::env::split_paths(&path)
            .map(|directory| directory.join(program))
            .find(|candidate| candidate.is_file())
    };
    programs.iter().find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_start_leaves_its_files() {
        let place = Place::new(directory("watched").unwrap());
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo still in use; exit 1"]);
        let error = Watched::start(&place.directory, &failing, "ready").unwrap_err();
        assert!(error.to_string().contains("still in use"), "{error}");
        assert!(place.directory.exists());
    }
}
