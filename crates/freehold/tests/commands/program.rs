//! The program, run to its end or as a gateway.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A machine with Freehold on it: a directory of its own, and nothing of this process's environment.
pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    config: PathBuf,
}

/// What a command that ended said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    /// What it wrote as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All that it said, without a terminal's frames and line ends.
    pub(crate) fn flat(&self) -> String {
        let all = format!("{} {}", self.out, self.err);
        let words = all.split_whitespace().filter(|word| *word != "│");
        words.collect::<Vec<_>>().join(" ")
    }
}

impl Machine {
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("freehold.yaml");
        std::fs::write(&file, config).unwrap();
        Self {
            folder,
            config: file,
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Its configuration as it is now.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.config).unwrap()
    }

    /// Writes another configuration.
    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
    }

    /// A file in the machine's directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command
            .env_clear()
            .env("FREEHOLD_HOME", self.home())
            .env("HOME", self.folder.path())
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Told {
        self.run_with(arguments, "")
    }

    /// The same, with this on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Told {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may refuse its configuration before it reads.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
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

    /// Serves, logging everything.
    pub(crate) fn serve(&self) -> Gateway {
        let mut child = self
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .env("FREEHOLD_LOG", "trace")
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut notice = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "{notice}");
            notice += &line;
            if let Some((_, address)) = line.trim().split_once("http://") {
                break address.parse().unwrap();
            }
        };
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).unwrap();
            rest
        });
        Gateway {
            child,
            address,
            log: Some(log),
            notice: Some(rest),
        }
    }
}

/// A running gateway. Killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    log: Option<JoinHandle<String>>,
    notice: Option<JoinHandle<String>>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    /// Where clients reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Stops it as an operator does; everything that it logged and printed.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success());
        let log = self.log.take().unwrap().join().unwrap();
        log + &self.notice.take().unwrap().join().unwrap()
    }

    /// Posts a body: the status, the request's id, and what came back.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, String, String) {
        self.post_with(path, "", body)
    }

    /// The same with further headers, each with its line's end.
    pub(crate) fn post_with(
        &self,
        path: &str,
        headers: &str,
        body: &Value,
    ) -> (u16, String, String) {
        let body = body.to_string();
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let id = answer
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "))
            .unwrap_or_default()
            .to_owned();
        (status, id, answer)
    }
}

/// A server that answers every chat with the same, and keeps what it was sent.
pub(crate) struct House {
    pub(crate) port: u16,
    bodies: Arc<Mutex<Vec<String>>>,
    tokens: Arc<Mutex<(u64, u64)>>,
}

impl House {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        let tokens = Arc::new(Mutex::new((1, 1)));
        let used = Arc::clone(&tokens);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                let used = *used.lock().unwrap();
                std::thread::spawn(move || answer(&stream.unwrap(), &kept, used));
            }
        });
        Self {
            port,
            bodies,
            tokens,
        }
    }

    /// The tokens in and out that it counts for whatever it is asked from now on.
    pub(crate) fn use_tokens(&self, input: u64, output: u64) {
        *self.tokens.lock().unwrap() = (input, output);
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }
}

fn answer(
    stream: &TcpStream,
    bodies: &Mutex<Vec<String>>,
    (input, output): (u64, u64),
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let sent = String::from_utf8_lossy(&body).into_owned();
    bodies.lock().unwrap().push(sent);
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "as asked"}}],
        "usage": {"prompt_tokens": input, "completion_tokens": output,
            "total_tokens": input + output},
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()
}

/// Every file below a directory.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
