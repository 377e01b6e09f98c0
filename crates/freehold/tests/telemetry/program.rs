//! The program with an upstream and a collector.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use freehold_testkit::{FakeCollector, FakeUpstream};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A caller's trace context, sampled.
pub(crate) const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Its trace.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const KEY: &str = "fh-trace-5Tg7Yh2Uj9Ik4Ol1";

/// Two upstreams, a collector, and a directory for the program.
pub(crate) struct Site {
    pub(crate) inside: FakeUpstream,
    pub(crate) outside: FakeUpstream,
    pub(crate) collector: FakeCollector,
    home: TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            inside: FakeUpstream::start().await.unwrap(),
            outside: FakeUpstream::start().await.unwrap(),
            collector: FakeCollector::start().await.unwrap(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes a configuration with this section `telemetry`, and these words over the rest.
    pub(crate) fn configure(&self, telemetry: &Value, over: &[(&str, Value)]) {
        let model = json!({
            "name": "fake",
            "context_tokens": 8000,
            "price": {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0},
        });
        let mut config = json!({
            "server": {"listen": "127.0.0.1:0", "admin": null, "drain_s": 5},
            "discover": false,
            "keys": [{"name": "app", "key": KEY, "flow": "triage"}],
            "backends": {
                "in": {
                    "type": "vllm",
                    "base_url": format!("{}/v1", self.inside.url()),
                    "models": [model],
                },
                "out": {
                    "type": "openai",
                    "base_url": format!("{}/v1", self.outside.url()),
                    "api_key": "sk-upstream-canary-0123456789",
                    "models": [model],
                },
            },
            "routes": {"both": {"targets": ["in/fake", "out/fake"], "retries": 0}},
            "telemetry": telemetry,
        });
        for (name, value) in over {
            config[*name] = value.clone();
        }
        std::fs::write(self.config(), config.to_string()).unwrap();
    }

    fn config(&self) -> std::path::PathBuf {
        self.home.path().join("freehold.yaml")
    }

    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command
            .env_clear()
            .env("FREEHOLD_HOME", self.home.path())
            // Tests do not wait for others to fill a batch.
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .envs(variables.iter().copied())
            .arg("--config")
            .arg(self.config());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = self.command(variables);
        command.args(arguments);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        run.await.unwrap()
    }

    /// Serves.
    pub(crate) async fn serve(&self, variables: &[(&str, &str)]) -> Gateway {
        let mut command = self.command(variables);
        let started = tokio::task::spawn_blocking(move || Gateway::start(&mut command));
        started.await.unwrap()
    }
}

/// A running gateway. Killed when dropped.
pub(crate) struct Gateway {
    process: Child,
    url: String,
    client: reqwest::Client,
    log: Option<JoinHandle<String>>,
}

impl Gateway {
    fn start(command: &mut Command) -> Self {
        let mut process = command
            .arg("serve")
            .env("FREEHOLD_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = process.stderr.take().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.split(" on ").nth(1).map(|url| url.trim().to_owned());
        let log = std::thread::spawn(move || {
            let (mut notice, mut log) = (Vec::new(), Vec::new());
            stderr.read_to_end(&mut log).unwrap();
            stdout.read_to_end(&mut notice).unwrap();
            String::from_utf8_lossy(&notice).into_owned() + &String::from_utf8_lossy(&log)
        });
        let Some(url) = url else {
            panic!("{line} {}", log.join().unwrap());
        };
        Self {
            process,
            url,
            client: reqwest::Client::new(),
            log: Some(log),
        }
    }

    /// A chat, on its way.
    pub(crate) fn chat(
        &self,
        model: &str,
        stream: bool,
        text: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let body = json!({
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": text}],
        });
        let request = self
            .client
            .post(format!("{}/v1/chat/completions", self.url));
        let request = request.bearer_auth(KEY).json(&body);
        let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        headers.iter().fold(request, with)
    }

    /// A chat to its end: its status, and its id without `req_`.
    pub(crate) async fn ask(
        &self,
        model: &str,
        stream: bool,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let request = self.chat(model, stream, "one two three", headers);
        let response = soon(request.send()).await.unwrap();
        let status = response.status().as_u16();
        let id = response.headers()["x-request-id"].to_str().unwrap();
        let id = id.trim_start_matches("req_").to_owned();
        soon(response.bytes()).await.unwrap();
        (status, id)
    }

    /// What the gateway's own metrics say.
    pub(crate) async fn metrics(&self) -> String {
        let request = self.client.get(format!("{}/metrics", self.url));
        let response = soon(request.bearer_auth(KEY).send()).await.unwrap();
        soon(response.text()).await.unwrap()
    }

    /// Ends it as an operator does; all that it said.
    pub(crate) async fn stop(mut self) -> String {
        let id = self.process.id().to_string();
        let stopped = tokio::task::spawn_blocking(move || {
            let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
            assert!(sent.unwrap().success());
            assert!(self.process.wait().unwrap().success());
            self.log.take().unwrap().join().unwrap()
        });
        soon(stopped).await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What happens within a minute.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it happens within 60 s")
}
