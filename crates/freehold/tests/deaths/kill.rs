//! A gateway that is killed under load, as a whole program: every answer that a client saw complete
//! is in the ledger, once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use freehold_store::{Edges, Filters, Reader, RecentQuery, StoreSettings, UsageQuery};
use freehold_testkit::FakeUpstream;
use freehold_testkit::postgres::{Server, Settings};
use freehold_types::{Outcome, OutcomeStatus, RequestId};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, is_interrupted};

const KEY: &str = "fh-kill-5Tg7Yh2Uj9Ik4Ol1";
const CLIENTS: usize = 24;
/// Whoever is not killed by then stops by itself.
const REQUESTS_PER_CLIENT: usize = 200;
/// The gateway dies when clients have seen so many complete answers.
const ANSWERS_BEFORE_DEATH: usize = 300;
const TOKENS: u64 = 6;

/// Where a ledger lives.
enum Database {
    File,
    Server(Box<Server>, String),
}

impl Database {
    fn url(&self) -> Option<String> {
        match self {
            Self::File => None,
            Self::Server(server, name) => Some(server.url(name)),
        }
    }
}

/// The program, with its configuration in `home`.
fn freehold(home: &Path, database: &Database) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command
        .arg("--config")
        .arg(home.join("freehold.yaml"))
        .env_clear()
        .env("FREEHOLD_HOME", home)
        .envs(database.url().map(|url| ("DATABASE_URL", url)));
    command
}

/// What a command prints as JSON.
fn told(home: &Path, database: &Database, arguments: &[&str]) -> serde_json::Value {
    let output = freehold(home, database).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn write_config(home: &Path, upstream: &str) {
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
    std::fs::write(home.join("freehold.yaml"), config.to_string()).unwrap();
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
async fn recorded(home: &Path, database: &Database) -> (Vec<Outcome>, freehold_store::Totals) {
    let mut settings = StoreSettings::new(home.join("ledger"));
    if let Some(url) = database.url() {
        settings.database = url.parse().unwrap();
    }
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
    kill_under_load(&Database::File).await;
}

/// The gateway starts, serves and dies while the database that it shares with others is away; the
/// next one brings everything there, and every command finds it there.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_and_dies_before_its_shared_database_is_there() {
    let server = Server::start(Settings::default()).unwrap();
    let name = server.database().unwrap();
    server.kill();
    let database = Database::Server(Box::new(server), name);
    let (home, last) = kill_under_load(&database).await;
    let home = home.path();
    let Database::Server(server, name) = &database else {
        panic!("a server");
    };
    let rows = server.sql(name, "SELECT count(*) FROM outcomes").unwrap();
    let rows: u64 = rows.parse().unwrap();
    // Not even a part of it is in a file.
    assert!(!home.join("ledger/ledger.db").exists());
    let usage = told(home, &database, &["usage", "--json", "--by", "model,day"]);
    assert_eq!(usage["totals"]["requests"], rows);
    let flows = told(home, &database, &["flows", "--json"]);
    assert!(flows.to_string().contains("\"requests\""), "{flows}");
    let explained = told(home, &database, &["explain", &last.to_string(), "--json"]);
    assert_eq!(explained["outcome"]["id"], last.to_string());
    let doctor = freehold(home, &database)
        .args(["doctor", "--offline"])
        .output()
        .unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains(&format!("{name} answers")), "{doctor}");
}

async fn kill_under_load(database: &Database) -> (tempfile::TempDir, RequestId) {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let upstream = Arc::new(FakeUpstream::start().await.unwrap());
    let home = tempfile::tempdir().unwrap();
    write_config(home.path(), &upstream.url());

    let mut gateway = Gateway::start(freehold(home.path(), database));
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
    if let Database::Server(server, _) = database {
        server.restart().unwrap();
    }
    let mut gateway = Gateway::start(freehold(home.path(), database));
    let client = reqwest::Client::new();
    for stream in [false, true] {
        let id = soon(ask(&client, &gateway.url, stream)).await;
        complete.push(id.unwrap());
    }
    gateway.terminate();

    let (outcomes, totals) = recorded(home.path(), database).await;
    let ids: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.id).collect();
    assert_eq!(ids.len(), outcomes.len(), "no outcome is there twice");
    assert_eq!(totals.requests, outcomes.len() as u64, "none counts twice");
    for id in &complete {
        let outcome = outcomes.iter().find(|outcome| outcome.id == *id);
        let outcome = outcome.unwrap_or_else(|| panic!("the outcome of {id} is lost"));
        assert_eq!(outcome.status, OutcomeStatus::Completed);
        assert_eq!(outcome.usage.output_tokens, TOKENS);
    }
    // What the upstream was asked is there, and nothing else but what was about to be sent when the
    // gateway died: one request of each client at most.
    let asked = upstream.requests().len();
    let interrupted = outcomes.iter().filter(is_interrupted).count();
    assert!(interrupted <= CLIENTS, "{interrupted}");
    assert!(outcomes.len() - interrupted <= asked && asked <= outcomes.len());
    (home, complete[complete.len() - 1])
}
