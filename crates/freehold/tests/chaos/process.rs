//! The program's process, seen from outside.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::world::KEY;

/// Where Debian's `faketime` puts its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Models of each backend: one that fails is left alone for a while, and the others are not.
pub(crate) const MODELS: usize = 61;

/// Under which limits the program runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// File descriptors.
    pub(crate) files: Option<u64>,
    /// Bytes of any file.
    pub(crate) file_bytes: Option<u64>,
    /// Its wall clock follows a file.
    pub(crate) clock: bool,
}

/// The program, with its configuration and everything else in `home`.
pub(crate) fn command(home: &Path, bounds: Bounds) -> Command {
    let mut command = match bounds {
        Bounds {
            files: None,
            file_bytes: None,
            ..
        } => Command::new(env!("CARGO_BIN_EXE_freehold")),
        Bounds {
            files, file_bytes, ..
        } => {
            let files = files.map(|files| format!("ulimit -n {files};"));
            // In units of 512 bytes. A process that does not ignore the signal dies of a file that is too large.
            let bytes = file_bytes.map(|bytes| format!("trap '' XFSZ; ulimit -f {};", bytes / 512));
            let limits = [files, bytes].into_iter().flatten().collect::<String>();
            let mut command = Command::new("sh");
            command
                .arg("-c")
                .arg(format!("{limits} exec \"$0\" \"$@\""))
                .arg(env!("CARGO_BIN_EXE_freehold"));
            command
        }
    };
    command
        .arg("--config")
        .arg(home.join("freehold.yaml"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("FREEHOLD_HOME", home.join("state"))
        .stderr(std::fs::File::create(home.join("log")).unwrap());
    if bounds.clock {
        assert!(
            Path::new(FAKETIME).exists(),
            "{FAKETIME} was not found: apt-get install faketime (scripts/setup.sh does it)"
        );
        std::fs::write(home.join("clock"), "+0").unwrap();
        command
            .env("LD_PRELOAD", FAKETIME)
            .env("FAKETIME_TIMESTAMP_FILE", home.join("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
    command
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holds {
    pub(crate) files: usize,
    pub(crate) tasks: f64,
    pub(crate) resident_mib: u64,
}

/// What the gateway holds now. `None` when it does not answer.
pub(crate) async fn holds(gateway: &Gateway) -> Option<Holds> {
    let metrics = metrics(&gateway.url).await?;
    let pid = gateway.pid();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().ok()?;
    Some(Holds {
        files,
        tasks: value(&metrics, "freehold_tasks"),
        resident_mib: kib / 1_024,
    })
}

/// The sum of a metric's series.
pub(crate) fn value(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// What the gateway says of itself, on a connection that does not stay.
pub(crate) async fn metrics(url: &str) -> Option<String> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let request = client.get(format!("{url}/metrics")).bearer_auth(KEY);
    let request = request.header("connection", "close");
    request.send().await.ok()?.text().await.ok()
}

/// Polls until something is there.
///
/// # Panics
/// When it is not there after a minute.
pub(crate) async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {seen}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The configuration.
pub(crate) fn config(openai: [&str; 2], anthropic: &str) -> Value {
    let models: Vec<_> = (0..MODELS)
        .map(|number| {
            json!({
                "name": format!("m{number}"),
                "context_tokens": 100_000,
                "capabilities": ["chat", "completions"],
                "price": {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0},
            })
        })
        .collect();
    let backend = |kind: &str, url: &str| json!({"type": kind, "base_url": url, "api_key": "sk-fake", "models": models});
    let route = |targets: &[&str]| {
        json!({
            "targets": targets,
            "objective": "ordered",
            "retries": 1,
            "connect_timeout_ms": 1_000,
            "first_byte_timeout_ms": 2_000,
            "idle_timeout_ms": 1_000,
        })
    };
    json!({
        "server": {
            "listen": "127.0.0.1:0",
            "admin": null,
            "body_mib_max": 1,
            "header_timeout_s": 2,
            "body_timeout_s": 2,
            "connections_max": 300,
            "drain_s": 10,
        },
        "discover": false,
        "keys": [{
            "name": "app",
            "key": KEY,
            "budgets": [{"per": "total", "usd": 1_000.0}],
            "limits": {"concurrent": 10_000},
        }],
        "backends": {
            "a": backend("vllm", &format!("{}/v1", openai[0])),
            "b": backend("vllm", &format!("{}/v1", openai[1])),
            "c": backend("anthropic", anthropic),
            "nowhere": backend("openai", "https://nowhere.invalid/v1"),
        },
        "routes": {
            "any-*": route(&["a/*", "b/*"]),
            "claude-*": route(&["c/*", "a/*"]),
            "astray-*": route(&["nowhere/*", "b/*"]),
        },
    })
}
