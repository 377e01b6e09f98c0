//! A private Redis or Valkey server, from the machine's own package.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::watched::{Place, ServerError, Watched, directory, free_port, on_path};

/// What becomes of the data when the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// A restart begins empty.
    None,
    /// Every write is in a log on disk before it is answered, so that a restart has all of it.
    AppendOnly,
}

/// A running server with a directory of its own, at a port of loopback and at a Unix socket. It
/// ends, and its directory goes, when it is dropped, and also when the test's process is killed.
///
/// Starting takes about 20 ms, so a test can have one of its own; give each test its own keys or
/// database number where several share one.
#[derive(Debug)]
pub struct Server {
    place: Place,
    program: PathBuf,
    port: u16,
    persistence: Persistence,
}

impl Server {
    /// Starts one.
    ///
    /// # Errors
    /// When neither `valkey-server` nor `redis-server` is installed, or it does not start.
    pub fn start(persistence: Persistence) -> Result<Self, ServerError> {
        let program = on_path(&["valkey-server", "redis-server"]).ok_or(ServerError::Missing {
            program: "valkey-server or redis-server",
            package: "redis-server",
        })?;
        let server = Self {
            place: Place::new(directory("redis")?),
            program,
            port: free_port()?,
            persistence,
        };
        server.restart()?;
        Ok(server)
    }

    /// The address at loopback: `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port at loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.place.directory.join("redis.sock")
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.place.directory
    }

    /// Ends it with SIGKILL, as when its machine's memory runs out.
    pub fn kill(&self) {
        self.place.end_with("KILL");
    }

    /// Ends it in order.
    pub fn stop(&self) {
        self.place.end_with("TERM");
    }

    /// Holds it: connections stay open and nothing is answered, as when its machine hangs.
    pub fn freeze(&self) {
        self.place.signal("STOP");
    }

    /// Lets a held one go on.
    pub fn thaw(&self) {
        self.place.signal("CONT");
    }

    /// Starts it again with its old files, at the same addresses; one that runs is ended first.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop();
        let started = Watched::start(
            &self.place.directory,
            &self.command(),
            "eady to accept connections",
        )?;
        self.place.run(started);
        Ok(())
    }

    /// What it wrote since its last start.
    pub fn log(&self) -> String {
        self.place.log()
    }

    fn command(&self) -> Command {
        let append_only = match self.persistence {
            Persistence::None => "no",
            Persistence::AppendOnly => "yes",
        };
        let mut command = Command::new(&self.program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--unixsocket")
            .arg(self.socket())
            .args(["--appendonly", append_only, "--appendfsync", "always"])
            .args(["--save", "", "--dir"])
            .arg(&self.place.directory);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Sends one command in the plain form and reads as much as the answer has.
    fn ask(server: &Server, command: &str, answer: &str) {
        let mut socket = UnixStream::connect(server.socket()).unwrap();
        socket
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut found = vec![0; answer.len()];
        socket.read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), answer);
    }

    #[test]
    fn a_killed_server_comes_back_with_what_its_log_has() {
        for (persistence, left) in [
            (Persistence::AppendOnly, "$5\r\nvalue\r\n"),
            (Persistence::None, "$-1\r\n"),
        ] {
            let server = Server::start(persistence).unwrap();
            ask(&server, "SET key value", "+OK\r\n");
            server.kill();
            assert!(UnixStream::connect(server.socket()).is_err());
            server.restart().unwrap();
            ask(&server, "GET key", left);
            let directory = server.directory().to_owned();
            drop(server);
            assert!(!directory.exists());
        }
    }

    #[test]
    fn a_held_server_answers_when_it_may_go_on() {
        let server = Server::start(Persistence::None).unwrap();
        server.freeze();
        let mut socket = UnixStream::connect(server.socket()).unwrap();
        socket.write_all(b"PING\r\n").unwrap();
        server.thaw();
        let mut answer = [0; 7];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
        server.stop();
        assert!(UnixStream::connect(server.socket()).is_err());
    }
}
