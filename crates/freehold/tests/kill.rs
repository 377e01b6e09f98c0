//! A gateway that is killed under load, as a whole program: every answer that a client saw complete
//! is in the ledger, once.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use freehold_store::{Edges, Filters, Reader, RecentQuery, StoreSettings, UsageQuery};
use freehold_testkit::FakeUpstream;
use freehold_types::{Outcome, OutcomeStatus, RequestId};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const KEY: &str = "fh-kill-5Tg7Yh2Uj9Ik4Ol1";
const CLIENTS: usize = 24;
/// Whoever is not killed by then stops by itself.
const REQUESTS_PER_CLIENT: usize = 200;
/// The gateway dies when clients have seen so many complete answers.
const ANSWERS_BEFORE_DEATH: usize = 300;
const TOKENS: u64 = 6;

/// A running gateway. Killed when dropped.
struct Gateway {
    process: Child,
    url: String,
    /// Open, so that the gateway can go on writing.
    _stdout: BufReader<ChildStdout>,
}

impl Gateway {
    fn start(home: &Path, config: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_freehold"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .env_clear()
            .env("FREEHOLD_HOME", home)
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

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as an operator does: it drains before it goes.
    fn terminate(&mut self) {
        let script = format!("kill -TERM {}", self.process.id());
        let sent = Command::new("sh").arg("-c").arg(script).status().unwrap();
        assert!(sent.success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_config(home: &Path, upstream: &str) -> PathBuf {
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "admin": null},
        "discover": false,
        "keys": [{"name": "app", "key": KEY}],
        "backends": {"fake": {
            "type": "openai",
            "base_url": format!("{upstream}/v1"),
            "api_key": "sk-fake",
            "models": [{
                "name": "fake",
                "context_tokens": 8000,
                "price": {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0},
            }],
        }},
    });
    let path = home.join("freehold.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// One request; its id when the answer was complete, as far as a client can tell.
async fn ask(client: &reqwest::Client, url: &str, stream: bool) -> Option<RequestId> {
    // A millisecond per token, so that many answers are half-way when the gateway dies.
    let text = r#"[[fake:{"pace":{"inter_token_ms":1}}]] one two three four five six"#;
    let body = json!({
        "model": "fake/fake",
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    });
    let request = client
        .post(format!("{url}/v1/chat/completions"))
        .bearer_auth(KEY)
        .json(&body);
    let response = request.send().await.ok()?;
    let status = response.status();
    let id = response.headers()["x-request-id"].to_str().unwrap().parse();
    let text = response.text().await.ok()?;
    assert_eq!(status, 200, "{text}");
    let complete = if stream {
        text.ends_with("data: [DONE]\n\n")
    } else {
        serde_json::from_str::<serde_json::Value>(&text).is_ok()
    };
    complete.then(|| id.unwrap())
}

/// One client after another request, until the gateway is gone.
async fn load(url: String, number: usize, answers: mpsc::UnboundedSender<RequestId>) {
    let client = reqwest::Client::new();
    for request in 0..REQUESTS_PER_CLIENT {
        let Some(id) = ask(&client, &url, (number + request).is_multiple_of(2)).await else {
            return;
        };
        answers.send(id).unwrap();
    }
}

/// Everything in the ledger, by the two ways of reading it.
async fn recorded(home: &Path) -> (Vec<Outcome>, freehold_store::Totals) {
    let settings = StoreSettings::new(home.join("ledger"));
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let outcomes = reader.recent(&RecentQuery::newest(100_000)).await.unwrap();
    let query = UsageQuery {
        since_unix_ms: None,
        until_unix_ms: None,
        group_by: vec![],
        filters: Filters::default(),
        edges: Edges::Exact,
    };
    (outcomes, reader.usage(&query).await.unwrap().totals)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it happens within 60 s")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_under_load_loses_no_complete_answer() {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let upstream = Arc::new(FakeUpstream::start().await.unwrap());
    let home = tempfile::tempdir().unwrap();
    let config = write_config(home.path(), &upstream.url());

    let mut gateway = Gateway::start(home.path(), &config);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(load(gateway.url.clone(), number, answers.clone()));
    }
    drop(answers);
    let mut complete = Vec::new();
    while complete.len() < ANSWERS_BEFORE_DEATH {
        complete.push(soon(answered.recv()).await.unwrap());
    }
    gateway.kill();
    while let Some(id) = soon(answered.recv()).await {
        complete.push(id);
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let asked = upstream.requests().len();
    assert!(asked > complete.len(), "answers were under way: {asked}");

    // A new one takes over what the old one left, and serves.
    let mut gateway = Gateway::start(home.path(), &config);
    let client = reqwest::Client::new();
    for stream in [false, true] {
        let id = soon(ask(&client, &gateway.url, stream)).await;
        complete.push(id.unwrap());
    }
    gateway.terminate();

    let (outcomes, totals) = recorded(home.path()).await;
    let ids: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.id).collect();
    assert_eq!(ids.len(), outcomes.len(), "no outcome is there twice");
    assert_eq!(totals.requests, outcomes.len() as u64, "none counts twice");
    for id in &complete {
        let outcome = outcomes.iter().find(|outcome| outcome.id == *id);
        let outcome = outcome.unwrap_or_else(|| panic!("the outcome of {id} is lost"));
        assert_eq!(outcome.status, OutcomeStatus::Completed);
        assert_eq!(outcome.usage.output_tokens, TOKENS);
    }
    assert!(outcomes.len() <= upstream.requests().len());
}
