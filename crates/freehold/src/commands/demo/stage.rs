//! The gateway of the demo, and the program's own commands beside it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::traffic;
use crate::commands::models;

/// How long the gateway may take until it serves, loading both models.
const START_MAX: Duration = Duration::from_secs(180);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// The model's file, verified.
pub(super) async fn model(name: &str) -> Result<PathBuf> {
    models::verified_path(name)
        .await
        .with_context(|| format!("the demo needs the default model: `freehold models pull {name}`"))
}

/// Writes a copy with 8-bit weights.
#[cfg(feature = "embedded")]
pub(super) async fn requantised(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let made = tokio::task::spawn_blocking(move || {
        freehold_llama::requantise(&from, &to, freehold_llama::WeightFormat::Q8_0)
    });
    Ok(made.await??)
}

#[cfg(not(feature = "embedded"))]
pub(super) async fn requantised(_: &Path, _: &Path) -> Result<()> {
    bail!("this program was built without the embedded engine, which the demo needs")
}

/// A gateway with both models, in a directory of its own.
pub(super) struct Theatre {
    folder: PathBuf,
    config: PathBuf,
    /// Ends with the demo.
    _gateway: Running,
    url: String,
    client: reqwest::Client,
}

impl Theatre {
    pub(super) async fn open(folder: &Path, small: &Path, large: &Path) -> Result<Self> {
        let config = folder.join("freehold.yaml");
        let settings = json!({
            "discover": false,
            "server": {"admin": null},
            "backends": {
                "large": backend(large),
                "small": backend(small),
            },
        });
        // JSON is YAML.
        std::fs::write(&config, serde_json::to_string_pretty(&settings)?)?;
        std::fs::write(folder.join("wrong.txt"), traffic::WRONG_INSTRUCTIONS)?;
        let mut command = base(folder, &config)?;
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("gateway.log"))?);
        let mut gateway = Running(
            command
                .spawn()
                .context("the demo's gateway cannot be started")?,
        );
        let out = gateway
            .0
            .stdout
            .take()
            .context("the gateway says nothing")?;
        let (tell, told) = oneshot::channel();
        // To its end, so that the gateway never waits for a reader.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("http://")
                    && let Some(tell) = tell.take()
                {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        let log = || std::fs::read_to_string(folder.join("gateway.log")).unwrap_or_default();
        let address = tokio::time::timeout(START_MAX, told)
            .await
            .context("the demo's gateway takes too long to start")?
            .map_err(|_| anyhow!("the demo's gateway does not serve:\n{}", log()))?;
        Ok(Self {
            folder: folder.to_owned(),
            config,
            _gateway: gateway,
            url: format!("http://{address}/v1/chat/completions"),
            client: reqwest::Client::builder().timeout(ANSWER_MAX).build()?,
        })
    }

    /// Asks the gateway a question of a flow; the answer's text.
    pub(super) async fn ask(&self, flow: &str, number: usize) -> Result<String> {
        let body = traffic::question(flow, "large/model", number);
        let answer = self.client.post(&self.url).json(&body).send().await?;
        let status = answer.status();
        let answer: Value = answer.json().await?;
        let text = answer["choices"][0]["message"]["content"].as_str();
        match text {
            Some(text) if status.is_success() => Ok(text.to_owned()),
            _ => bail!(
                "the demo's gateway answered {status}: {}",
                answer["error"]["message"]
            ),
        }
    }

    /// Runs one of the program's commands to its end; what it printed.
    pub(super) async fn command(&self, arguments: &[&str]) -> Result<String> {
        let mut command = base(&self.folder, &self.config)?;
        command.args(arguments);
        let ran = tokio::task::spawn_blocking(move || command.output()).await??;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            bail!("`freehold {}` failed: {said}", arguments.join(" "));
        }
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// The same, shown as somebody would type it.
    pub(super) async fn shown(&self, arguments: &[&str]) -> Result<()> {
        super::say(&format!("$ freehold {}\n", arguments.join(" ")))?;
        let told = self.command(arguments).await?;
        super::say(&told)
    }
}

/// A process that must not outlive the demo.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing left to do, and its directory may go.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn backend(file: &Path) -> Value {
    json!({
        "type": "embedded",
        "threads": 1,
        "slots": 2,
        "models": [{"name": "model", "file": file, "context_tokens": 1024}],
    })
}

/// The program, with the demo's directory and configuration.
fn base(folder: &Path, config: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .current_dir(folder)
        .env("FREEHOLD_HOME", folder.join("home"))
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null());
    Ok(command)
}
