//! The processes that a comparison starts, and ends: only these.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, header::HOST};
use hyper_util::rt::TokioIo;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::net::TcpStream;

use crate::{
    loopback::{self, Target},
    process::{Process, while_pinned},
};

/// How long a server may take to end on SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(1);

/// A server that ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) process: Process,
    pub(crate) cold_start: Duration,
}

impl Server {
    /// Starts a subcommand of this program, which prints its URL.
    pub(crate) fn own(arguments: &[String], core: Option<usize>) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(arguments)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = while_pinned(core, || command.spawn())??;
        let output = child.stdout.take().context("its output is piped")?;
        let mut url = String::new();
        BufReader::new(output).read_line(&mut url)?;
        ensure!(
            url.starts_with("http://"),
            "`{}` did not start",
            arguments.join(" ")
        );
        let process = Process::new(child.id())?;
        Ok(Self {
            child,
            url: url.trim().to_owned(),
            process,
            cold_start: begin.elapsed(),
        })
    }

    /// Starts a gateway and waits until `ready` answers 200.
    pub(crate) async fn gateway(
        words: &[String],
        core: Option<usize>,
        url: String,
        ready: &str,
        log: &Path,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let Some((program, arguments)) = words.split_first() else {
            bail!("the gateway's command is empty")
        };
        let output = File::create(log)?;
        let errors = output.try_clone()?;
        let begin = Instant::now();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let child = while_pinned(core, || command.spawn())?
            .with_context(|| format!("cannot start {program}"))?;
        let process = Process::new(child.id())?;
        let mut server = Self {
            child,
            url,
            process,
            cold_start: Duration::ZERO,
        };
        let target = loopback::target(&server.url)?;
        while !is_ready(&target, ready).await {
            if let Some(status) = server.child.try_wait()? {
                bail!("{program} ended with {status}; its output:\n{}", tail(log));
            }
            if begin.elapsed() > limit {
                bail!(
                    "{program} was not ready at {}{ready} in {limit:?}; its output:\n{}",
                    server.url,
                    tail(log)
                );
            }
            tokio::time::sleep(POLL).await;
        }
        server.cold_start = begin.elapsed();
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closing standard input ends our own servers, the signal ends the others.
        drop(self.child.stdin.take());
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended already; it has not been waited for, so the id is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let begin = Instant::now();
        while begin.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a gateway is started.
pub(crate) struct Gateway<'a> {
    /// Its command, with placeholders.
    pub(crate) command: &'a str,
    /// A program and its arguments that run the command.
    pub(crate) within: &'a [String],
    /// A file to fill for it.
    pub(crate) template: Option<&'a Path>,
    /// The path that answers 200 once it is ready.
    pub(crate) ready: &'a str,
    /// How long that may take.
    pub(crate) limit: Duration,
    pub(crate) core: Option<usize>,
}

impl Gateway<'_> {
    /// Starts it before an upstream, with an empty folder of its own, and waits until it is ready.
    pub(crate) async fn start(&self, upstream: &str, folder: &Path) -> anyhow::Result<Server> {
        let port = free_port()?;
        let upstream_port = upstream.rsplit(':').next().unwrap_or_default().to_owned();
        let mut values = vec![
            ("upstream", upstream.to_owned()),
            ("upstream_port", upstream_port),
            ("port", port.to_string()),
            ("folder", folder.display().to_string()),
        ];
        if let Some(template) = self.template {
            let config = fill_file(template, folder, "config", &values)?;
            values.push(("config", config.display().to_string()));
        }
        // Splitting first keeps paths with spaces whole.
        let own = shell_words::split(self.command)?;
        let own = own.iter().map(|word| fill(word, &values));
        let words: Vec<String> = self.within.iter().cloned().chain(own).collect();
        let url = format!("http://127.0.0.1:{port}");
        let log = folder.join("output.log");
        Server::gateway(&words, self.core, url, self.ready, &log, self.limit).await
    }
}

async fn is_ready(target: &Target, path: &str) -> bool {
    let attempt = tokio::time::timeout(Duration::from_secs(1), status_of(target, path));
    matches!(attempt.await, Ok(Ok(200)))
}

async fn status_of(target: &Target, path: &str) -> anyhow::Result<u16> {
    Ok(get(target, path).await?.0)
}

/// Asks once, on a connection of its own; the status and the body.
pub(crate) async fn get(target: &Target, path: &str) -> anyhow::Result<(u16, Bytes)> {
    let stream = TcpStream::connect(target.address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(format!("{}{path}", target.prefix)).header(HOST, &target.host);
    let request = request.body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
    };
    tokio::select! {
        answer = answer => answer,
        result = connection => bail!("the connection ended: {result:?}"),
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A port of loopback that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

/// Replaces `{name}` in `text` by its value.
fn fill(text: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

/// Fills a template file into a new one in `folder`.
fn fill_file(
    template: &Path,
    folder: &Path,
    name: &str,
    values: &[(&str, String)],
) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(template)
        .with_context(|| format!("cannot read {}", template.display()))?;
    let extension = template
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or("yaml");
    let path = folder.join(format!("{name}.{extension}"));
    std::fs::write(&path, fill(&text, values))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn only_known_placeholders_are_filled() {
        let values = [
            ("port", "1".to_owned()),
            ("upstream", "http://u".to_owned()),
        ];
        assert_eq!(
            fill("{port} {upstream}/v1 {other} ${HOME}", &values),
            "1 http://u/v1 {other} ${HOME}"
        );
    }
}
