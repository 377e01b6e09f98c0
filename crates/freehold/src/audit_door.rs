//! A door to the audit trail of a running gateway, for the commands of the same machine.
//!
//! One process writes the trail. A command that must record something takes the trail's lock when
//! nobody has it; otherwise it asks the gateway that has it, through a socket in the trail's
//! directory that only the owner may open. The command goes on only when the gateway has said that
//! the act is in the trail. Whoever may open the socket could write the trail's files as well.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use freehold_config::AuditChoice;
use freehold_ports::Audit;
use freehold_store::audit::{AuditLog, AuditLogError};
use freehold_types::audit::{Administration, AdministrativeAct, AuditEvent, AuditName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream as AsyncStream};
use tokio::task::JoinHandle;

/// The socket's name in the trail's directory.
const SOCKET: &str = "door.sock";
/// Neither side waits longer for the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// No act and no answer is longer, in bytes.
const LINE_BYTES_MAX: u64 = 4_096;

/// What the gateway answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// The act is in the trail, at this place.
    Recorded(u64),
    /// It is not.
    Refused(String),
}

/// The gateway's side of the door. It is shut when this is dropped.
pub(crate) struct AuditDoor {
    task: JoinHandle<()>,
    path: PathBuf,
}

impl AuditDoor {
    /// Opens the door to this trail. Without it the gateway serves all the same.
    pub(crate) fn open(trail: &Arc<AuditLog>, choice: &AuditChoice) -> Option<Self> {
        let path = choice.settings.dir.join(SOCKET);
        match listen(&path) {
            Ok(listener) => Some(Self {
                task: tokio::spawn(serve(listener, Arc::clone(trail))),
                path,
            }),
            Err(error) => {
                tracing::warn!(
                    %error,
                    path = %path.display(),
                    "commands on this machine cannot reach the audit trail while the gateway runs",
                );
                None
            }
        }
    }
}

impl Drop for AuditDoor {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody may have removed it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> std::io::Result<UnixListener> {
    // The trail's lock is held: a socket that is there is left over.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(listener: UnixListener, trail: Arc<AuditLog>) {
    loop {
        match listener.accept().await {
            // One after the other: people type these commands.
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(PATIENCE, answer(stream, &trail)).await;
                if !matches!(answered, Ok(Ok(()))) {
                    tracing::warn!("a command left before its act was recorded");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the door to the audit trail");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(stream: AsyncStream, trail: &AuditLog) -> std::io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(LINE_BYTES_MAX));
    if reader.read_line(&mut line).await? == 0 {
        // It only looked whether there is somebody.
        return Ok(());
    }
    let answer = match serde_json::from_str::<Administration>(&line) {
        Ok(act) if is_a_commands(act.act) => {
            let act = Administration {
                actor: actor(uid),
                ..act
            };
            match trail.record(&AuditEvent::Administration(act)) {
                Ok(sequence) => Answer::Recorded(sequence),
                Err(error) => Answer::Refused(error.to_string()),
            }
        }
        Ok(_) => Answer::Refused("no command does that".to_owned()),
        Err(error) => Answer::Refused(error.to_string()),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// What commands may have recorded; everything else is the gateway's own.
fn is_a_commands(act: AdministrativeAct) -> bool {
    matches!(
        act,
        AdministrativeAct::PromptShown
            | AdministrativeAct::PromptsExported
            | AdministrativeAct::PromptsErased
            | AdministrativeAct::MasterKeyChanged
    )
}

fn actor(uid: u32) -> AuditName {
    AuditName::new(format!("cli/uid-{uid}"))
}

/// The command's side: where acts are recorded.
pub(crate) enum Recorder {
    /// Nobody else writes the trail.
    Trail(Box<AuditLog>),
    /// A gateway does.
    Door(PathBuf),
}

impl Recorder {
    /// Takes the trail, or finds the gateway that has it.
    ///
    /// # Errors
    /// When there is no trail to record in: then nothing may be done that must be recorded.
    pub(crate) fn open(choice: &AuditChoice) -> Result<Self> {
        if !choice.enabled {
            bail!(
                "this must go into the audit trail, and `audit.enabled` is false in the configuration"
            );
        }
        match AuditLog::open(choice.settings.clone()) {
            Ok(trail) => Ok(Self::Trail(Box::new(trail))),
            Err(AuditLogError::Locked { .. }) => {
                let path = choice.settings.dir.join(SOCKET);
                let reached = UnixStream::connect(&path);
                reached.with_context(|| {
                    format!(
                        "this must go into the audit trail, which a gateway holds that cannot be \
                         asked through {}; run the command as the gateway's user, or stop the gateway",
                        path.display()
                    )
                })?;
                Ok(Self::Door(path))
            }
            Err(error) => Err(error).context("this must go into the audit trail"),
        }
    }

    /// Records an act; returns its place in the trail.
    ///
    /// # Errors
    /// When it is not in the trail, or nobody knows.
    pub(crate) fn record(&self, mut act: Administration) -> Result<u64> {
        match self {
            Self::Trail(trail) => {
                act.actor = actor(own_uid()?);
                let sequence = trail.record(&AuditEvent::Administration(act))?;
                trail.flush()?;
                Ok(sequence)
            }
            Self::Door(path) => ask(path, &act).context("the gateway's audit trail"),
        }
    }
}

fn ask(path: &Path, act: &Administration) -> Result<u64> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(act)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer)?;
    match serde_json::from_str(&answer)? {
        Answer::Recorded(sequence) => Ok(sequence),
        Answer::Refused(why) => bail!("{why}"),
    }
}

/// Who runs this command: the owner of a file that it makes.
fn own_uid() -> Result<u32> {
    use std::os::unix::fs::MetadataExt;
    let own = std::env::temp_dir().join(format!("freehold-{}", std::process::id()));
    let file = std::fs::File::create_new(&own).context("cannot tell who runs this command")?;
    let uid = file.metadata().map(|metadata| metadata.uid());
    let removed = std::fs::remove_file(&own);
    removed?;
    Ok(uid?)
}
