//! A private PostgreSQL server, from the machine's own package.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::certificates::Identity;
use crate::watched::{Place, ServerError, Watched, directory, free_port, on_path};

const PACKAGE: &str = "postgresql";
/// The role that owns everything.
const OWNER: &str = "freehold";

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether commits reach the disk before they are answered. A killed server loses nothing
    /// either way: the kernel has every page. Off is quicker.
    pub fsync: bool,
    /// Speaks TLS with this certificate as well.
    pub tls: Option<Identity>,
    /// The owner's password, asked for at loopback; without it nobody is asked.
    pub password: Option<String>,
    /// More settings, as in `postgresql.conf`.
    pub more: Vec<(&'static str, String)>,
}

/// A running server with a directory of its own, at a Unix socket and a port of loopback. It ends,
/// and its directory goes, when it is dropped, and also when the test's process is killed.
///
/// The first start on a machine takes a second, because the data directory is made; it is kept
/// beside the test's program as a template, and later starts take a fifth of that.
#[derive(Debug)]
pub struct Server {
    place: Place,
    binaries: Binaries,
    port: u16,
    settings: Settings,
    databases: AtomicU32,
}

impl Server {
    /// The server that the tests of this process share. It ends with the process.
    ///
    /// # Panics
    /// When it cannot be started: a test cannot go on without it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start(Settings::default()) {
            Ok(server) => server,
            Err(error) => panic!("no PostgreSQL for this test: {error}"),
        })
    }

    /// Starts one that may be killed.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start.
    pub fn start(settings: Settings) -> Result<Self, ServerError> {
        let binaries = Binaries::find()?;
        let server = Self {
            place: Place::new(directory("postgres")?),
            binaries,
            port: free_port()?,
            settings,
            databases: AtomicU32::new(0),
        };
        server.prepare()?;
        server.restart()?;
        if let Some(password) = &server.settings.password {
            let quoted = password.replace('\'', "''");
            server.sql(
                "postgres",
                &format!("ALTER ROLE {OWNER} PASSWORD '{quoted}'"),
            )?;
        }
        Ok(server)
    }

    /// Makes an empty database and returns its name.
    ///
    /// # Errors
    /// When the server does not make it.
    pub fn database(&self) -> Result<String, ServerError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// The URL of a database through the Unix socket: `postgres://freehold@%2F…/NAME`.
    pub fn url(&self, database: &str) -> String {
        let socket = self
            .place
            .directory
            .display()
            .to_string()
            .replace('/', "%2F");
        format!("postgres://{OWNER}@{socket}:{}/{database}", self.port)
    }

    /// The URL of a database at loopback, with the password if there is one.
    pub fn tcp_url(&self, database: &str) -> String {
        let password = self.settings.password.as_ref();
        let password = password.map_or_else(String::new, |password| format!(":{password}"));
        let port = self.port;
        format!("postgres://{OWNER}{password}@127.0.0.1:{port}/{database}")
    }

    /// The port at loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL with `psql`, and returns what it prints, without headings.
    ///
    /// # Errors
    /// When the SQL fails.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        let mut psql = Command::new(self.binaries.directory.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", OWNER, "-d", database, "-c", sql, "-h"])
            .arg(&self.place.directory)
            .args(["-p", &self.port.to_string()]);
        run(&mut psql)
    }

    /// Ends it, and everything it is doing, with SIGKILL.
    pub fn kill(&self) {
        self.place.end_with("KILL");
    }

    /// Ends it in order; clients are cut off.
    pub fn stop(&self) {
        self.place.end_with("INT");
    }

    /// Holds it: connections stay open and nothing is answered, as when its machine hangs.
    pub fn freeze(&self) {
        self.place.signal("STOP");
    }

    /// Lets a held one go on.
    pub fn thaw(&self) {
        self.place.signal("CONT");
    }

    /// Starts it again with its old data, at the same addresses; one that runs is ended first.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop();
        let command = self.command();
        let start = || {
            Watched::start(
                &self.place.directory,
                &command,
                "ready to accept connections",
            )
        };
        let mut started = start();
        // After SIGKILL its children may live a moment longer, with the memory that they share.
        for _ in 0..50 {
            match &started {
                Err(ServerError::Failed { output, .. }) if output.contains("still in use") => {
                    started = start();
                }
                _ => break,
            }
        }
        self.place.run(started?);
        Ok(())
    }

    /// What it wrote since its last start.
    pub fn log(&self) -> String {
        self.place.log()
    }

    fn data(&self) -> PathBuf {
        self.place.directory.join("data")
    }

    /// Makes the data directory, from the template if there is one.
    fn prepare(&self) -> Result<(), ServerError> {
        let data = self.data();
        self.binaries.give(&self.place.directory)?;
        let template = self.binaries.template()?;
        match template.filter(|template| template.exists()) {
            Some(template) => copy(&template, &data)?,
            None => self.initialise(&data)?,
        }
        let files = [&data, &self.place.directory];
        for path in files {
            let mode = fs::Permissions::from_mode(if path == &data { 0o700 } else { 0o755 });
            fs::set_permissions(path, mode).map_err(at("set the rights of", path))?;
        }
        if let Some(tls) = &self.settings.tls {
            let private = [("tls.crt", &tls.certificate_pem), ("tls.key", &tls.key_pem)];
            for (name, pem) in private {
                let path = data.join(name);
                fs::write(&path, pem).map_err(at("write", &path))?;
                let mode = fs::Permissions::from_mode(0o600);
                fs::set_permissions(&path, mode).map_err(at("set the rights of", &path))?;
            }
        }
        let asked = if self.settings.password.is_some() {
            "scram-sha-256"
        } else {
            "trust"
        };
        let access = format!("local all all trust\nhost all all 127.0.0.1/32 {asked}\n");
        let path = data.join("pg_hba.conf");
        fs::write(&path, access).map_err(at("write", &path))?;
        self.binaries.give_all(&data)
    }

    fn initialise(&self, data: &Path) -> Result<(), ServerError> {
        let mut initdb = self.binaries.command("initdb");
        initdb
            .args([
                "--no-sync",
                "--no-instructions",
                "--auth=trust",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "--wal-segsize=4", "--username", OWNER, "-D"])
            .arg(data)
            .current_dir(&self.place.directory);
        run(&mut initdb)?;
        if let Some(template) = self.binaries.template()? {
            let part = template.with_extension(std::process::id().to_string());
            copy(data, &part)?;
            // Another process may have been quicker: then its template stays.
            if fs::rename(&part, &template).is_err() {
                let _ = fs::remove_dir_all(&part);
            }
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = self.binaries.command("postgres");
        command.arg("-D").arg(self.data());
        let on = |yes| if yes { "on" } else { "off" }.to_owned();
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            (
                "unix_socket_directories",
                self.place.directory.display().to_string(),
            ),
            ("fsync", on(self.settings.fsync)),
            ("full_page_writes", on(self.settings.fsync)),
            ("shared_buffers", "32MB".to_owned()),
            ("ssl", on(self.settings.tls.is_some())),
        ];
        if self.settings.tls.is_some() {
            settings.push(("ssl_cert_file", "tls.crt".to_owned()));
            settings.push(("ssl_key_file", "tls.key".to_owned()));
        }
        settings.extend(self.settings.more.iter().cloned());
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }
}

/// Where the programs are, and who may run them: PostgreSQL refuses to be root's.
#[derive(Debug)]
struct Binaries {
    directory: PathBuf,
    version: String,
    user: Option<(u32, u32)>,
}

impl Binaries {
    fn find() -> Result<Self, ServerError> {
        let missing = || ServerError::Missing {
            program: "PostgreSQL's `postgres` and `initdb`",
            package: PACKAGE,
        };
        let directory = packaged().or_else(linked).ok_or_else(missing)?;
        let version = run(Command::new(directory.join("postgres")).arg("--version"))?;
        let version = version.split_whitespace().nth(2).unwrap_or("unknown");
        Ok(Self {
            version: version.to_owned(),
            user: user()?,
            directory,
        })
    }

    /// One of the programs, as the user who may run it.
    fn command(&self, program: &str) -> Command {
        let path = self.directory.join(program);
        let mut command = match self.user {
            None => Command::new(path),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", &user.to_string(), "--regid", &group.to_string()])
                    .args(["--clear-groups", "--"])
                    .arg(path);
                command
            }
        };
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command
    }

    fn give(&self, path: &Path) -> Result<(), ServerError> {
        match self.user {
            None => Ok(()),
            Some((user, group)) => {
                chown(path, Some(user), Some(group)).map_err(at("give away", path))
            }
        }
    }

    fn give_all(&self, path: &Path) -> Result<(), ServerError> {
        match self.user {
            None => Ok(()),
            Some((user, group)) => {
                let owner = format!("{user}:{group}");
                run(Command::new("chown").args(["-R", &owner]).arg(path)).map(drop)
            }
        }
    }

    /// A fresh data directory, kept beside the test's program.
    fn template(&self) -> Result<Option<PathBuf>, ServerError> {
        let program = std::env::current_exe().map_err(ServerError::io("find this program"))?;
        let beside = program.ancestors().find(|path| path.ends_with("deps"));
        let name = format!("postgres-{}", self.version.replace('.', "-"));
        Ok(beside
            .and_then(Path::parent)
            .map(|target| target.join(name)))
    }
}

/// The newest version that Debian's packages have put in place.
fn packaged() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/initdb").is_file())
        .max_by_key(number)?;
    Some(newest.join("bin"))
}

/// What the search path leads to, where its other programs are.
fn linked() -> Option<PathBuf> {
    let program = fs::canonicalize(on_path(&["initdb"])?).ok()?;
    program.parent().map(Path::to_owned)
}

/// The user and group to run as; `None` when this process is not root's.
fn user() -> Result<Option<(u32, u32)>, ServerError> {
    let me = run(Command::new("id").arg("-u"))?;
    if me.trim() != "0" {
        return Ok(None);
    }
    let path = "/etc/passwd";
    let users = fs::read_to_string(path).map_err(ServerError::io(format!("read {path}")))?;
    let ids = |name: &str| {
        let mut fields = users
            .lines()
            .find_map(|line| line.strip_prefix(name))?
            .split(':');
        let numbers = (fields.nth(2)?, fields.next()?);
        Some((numbers.0.parse().ok()?, numbers.1.parse().ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    let none = || io::Error::other("there is neither `postgres` nor `nobody`");
    found
        .map(Some)
        .ok_or_else(none)
        .map_err(ServerError::io("find a user who is not root"))
}

fn copy(from: &Path, to: &Path) -> Result<(), ServerError> {
    run(Command::new("cp").arg("-R").arg(from).arg(to)).map(drop)
}

fn run(command: &mut Command) -> Result<String, ServerError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(ServerError::io(format!("run {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(ServerError::Failed {
        action: name,
        output: String::from_utf8_lossy(&said).into_owned(),
    })
}

fn at(action: &str, path: &Path) -> impl FnOnce(io::Error) -> ServerError {
    ServerError::io(format!("{action} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_killed_server_comes_back_with_what_was_committed() {
        let server = Server::start(Settings::default()).unwrap();
        let name = server.database().unwrap();
        server
            .sql(&name, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
            .unwrap();
        server.kill();
        let error = server.sql(&name, "SELECT 1").unwrap_err().to_string();
        assert!(
            error.contains("psql failed") || error.contains("refused"),
            "{error}"
        );
        server.restart().unwrap();
        assert_eq!(server.sql(&name, "SELECT n FROM t").unwrap(), "7");
        server.stop();
        server.restart().unwrap();
        assert_eq!(server.sql(&name, "SELECT n FROM t").unwrap(), "7");
        let directory = server.place.directory.clone();
        drop(server);
        assert!(!directory.exists());
    }

    /// Not a test of its own: what the next one runs and kills.
    #[test]
    fn process_with_a_server() {
        if std::env::var_os("FREEHOLD_TESTKIT_SERVER").is_none() {
            return;
        }
        let server = Server::shared();
        println!(
            "socket {}/.s.PGSQL.{}",
            server.place.directory.display(),
            server.port
        );
        let mut line = String::new();
        // For ever: nobody writes.
        std::io::stdin().read_line(&mut line).unwrap();
    }

    #[test]
    fn a_server_goes_with_its_process_however_that_ends() {
        use std::io::{BufRead, BufReader};
        use std::process::Stdio;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "postgres::tests::process_with_a_server",
                "--exact",
                "--nocapture",
            ])
            .env("FREEHOLD_TESTKIT_SERVER", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let socket = lines
            .find_map(|line| Some(line.ok()?.split_once("socket ")?.1.to_owned()))
            .unwrap();
        let mut connection = UnixStream::connect(&socket).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // The end of the server is the end of its connections.
        let _ = connection.read_to_end(&mut Vec::new());
        let deadline = Instant::now() + Duration::from_secs(20);
        while Path::new(&socket).exists() {
            assert!(Instant::now() < deadline, "{socket} is left");
            std::thread::yield_now();
        }
    }
}
