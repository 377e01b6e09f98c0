//! The real program, and requests to it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
/// What an operator's machine may have in its environment.
pub(crate) const VENDORS: [(&str, &str); 4] = [
    ("OPENAI_API_KEY", "sk-test-R7gPz0Qm4LwXc9VbN2kJ"),
    ("ANTHROPIC_API_KEY", "sk-ant-test-R7gPz0Qm4LwXc9VbN2kJ"),
    ("OPENAI_BASE_URL", "http://203.0.113.10/v1"),
    ("ANTHROPIC_BASE_URL", "http://203.0.113.10"),
];

/// `freehold` with a directory of its own and nothing of this process's environment.
pub(crate) fn freehold(folder: &TempDir, config: &str) -> Command {
    let file = folder.path().join("freehold.yaml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command
        .env_clear()
        .env("FREEHOLD_HOME", folder.path().join("home"))
        .env("HOME", folder.path())
        .arg("--config")
        .arg(file);
    command
}

pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    notice: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
    lines: Receiver<String>,
    pub(crate) folder: TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines into a text, and sends each on.
fn follow(stream: impl std::io::Read + Send + 'static) -> (Arc<Mutex<String>>, Receiver<String>) {
    let text = Arc::new(Mutex::new(String::new()));
    let (sender, lines) = channel();
    let kept = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            kept.lock().unwrap().push_str(&format!("{line}\n"));
            let _ = sender.send(line);
        }
    });
    (text, lines)
}

impl Gateway {
    /// Starts it with these lines of configuration, which must not say where to listen.
    pub(crate) fn start(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config, environment)
    }

    pub(crate) fn start_in(folder: TempDir, config: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = freehold(&folder, config)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (notice, said) = follow(child.stdout.take().unwrap());
        let (log, lines) = follow(child.stderr.take().unwrap());
        let address = loop {
            let line = said
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("it did not start: {}", log.lock().unwrap()));
            if let Some((_, address)) = line.split_once("://") {
                break address.parse().unwrap();
            }
        };
        // The notice is one write, and its last part, the snippets, is long.
        while !notice.lock().unwrap().contains("OpenAI SDK") {
            said.recv_timeout(PATIENCE).unwrap();
        }
        Self {
            child,
            address,
            notice,
            log,
            lines,
            folder,
        }
    }

    pub(crate) fn notice(&self) -> String {
        self.notice.lock().unwrap().clone()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log with these words.
    pub(crate) fn wait_for(&self, words: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            if line
                .unwrap_or_else(|_| panic!("no `{words}` in {}", self.log()))
                .contains(words)
            {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// The most memory it ever held, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// Posts a body.
    pub(crate) fn post(&self, surface: Surface, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.post_at(surface.path(), headers, &body.to_string())
    }

    pub(crate) fn post_at(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut text = format!("POST {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            text += "Host: gateway\r\n";
        }
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(
            text,
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.tell(text.as_bytes())
    }

    /// Sends bytes, and reads until the gateway closes.
    pub(crate) fn tell(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // It may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        Reply::new(&text)
    }
}

/// Runs a command that ends by itself.
pub(crate) fn told(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let text = text.into_owned();
    (output, text)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Reply {
    fn new(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or(0),
            text,
        }
    }
}

/// A surface of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Chat,
    Messages,
}

impl Surface {
    pub(crate) const BOTH: [Self; 2] = [Self::Chat, Self::Messages];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
        }
    }

    /// A request with this content, a text or a list of parts.
    pub(crate) fn body(self, model: &str, content: impl Into<Value>) -> Value {
        json!({
            "model": model,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": content.into()}],
        })
    }
}
