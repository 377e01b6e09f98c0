//! Master keys: they wrap tenants' keys, and nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::PromptError;
use super::keys::{Address, KeyId, Secret};
use super::settings::{MasterKeySource, PromptSettings};

/// A program that wraps keys answers within this time, or is ended.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// It writes a line of at most so many bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// The master keys that can be used.
pub(crate) struct Keyring {
    current: Master,
    previous: Vec<Master>,
}

/// A tenant's key as it is stored.
pub(crate) struct Wrapped {
    pub(crate) by: String,
    pub(crate) bytes: Vec<u8>,
}

impl Keyring {
    /// The keyring of these settings. With `create`, Freehold's own key file is made when it is not
    /// there.
    pub(crate) fn open(settings: &PromptSettings, create: bool) -> Result<Self, PromptError> {
        let previous = settings.previous_master_keys.iter();
        Ok(Self {
            current: Master::open(&settings.master_key, create)?,
            previous: previous
                .map(|source| Master::open(source, false))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The id of the key that wraps.
    pub(crate) fn current(&self) -> String {
        self.current.id()
    }

    pub(crate) fn wrap(
        &self,
        address: &Address,
        id: KeyId,
        key: &Secret,
    ) -> Result<Wrapped, PromptError> {
        Ok(Wrapped {
            by: self.current.id(),
            bytes: self.current.wrap(&address.about(id), key)?,
        })
    }

    pub(crate) fn unwrap(
        &self,
        address: &Address,
        id: KeyId,
        wrapped: &Wrapped,
    ) -> Result<Secret, PromptError> {
        let mut all = std::iter::once(&self.current).chain(&self.previous);
        let Some(master) = all.find(|master| master.id() == wrapped.by) else {
            let known = std::iter::once(&self.current).chain(&self.previous);
            let known: Vec<_> = known.map(Master::id).collect();
            return Err(PromptError::OtherMasterKey {
                wrapped_by: wrapped.by.clone(),
                known: known.join(", "),
            });
        };
        let key = master.unwrap(&address.about(id), &wrapped.bytes)?;
        key.ok_or_else(|| PromptError::ChangedKey {
            key: id.to_string(),
        })
    }
}

/// One master key.
enum Master {
    Local {
        id: String,
        key: Secret,
    },
    /// The program wraps a key of its own for each tenant, which wraps the tenant's: so what is
    /// bound to the tenant's row does not depend on the program.
    Command {
        name: String,
        command: Vec<String>,
    },
}

impl Master {
    fn open(source: &MasterKeySource, create: bool) -> Result<Self, PromptError> {
        let local = |text: &str, whence: &str| {
            let key = parse(text).ok_or_else(|| PromptError::MasterKey {
                why: format!(
                    "{whence} holds no key: 32 bytes as 64 hex digits or as base64; make one with \
                     `openssl rand -hex 32`"
                ),
            })?;
            let id = id_of(&key);
            Ok(Self::Local { id, key })
        };
        match source {
            MasterKeySource::File(path) | MasterKeySource::OwnFile(path) => {
                let create = create && matches!(source, MasterKeySource::OwnFile(_));
                let text = match fs::read_to_string(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && create => make(path)?,
                    read => Zeroizing::new(
                        read.map_err(PromptError::io("cannot read the master key", path))?,
                    ),
                };
                local(&text, &path.display().to_string())
            }
            MasterKeySource::Variable { name, value } => local(
                value.expose_secret(),
                &format!("the environment variable {name}"),
            ),
            MasterKeySource::Command { name, command } => Ok(Self::Command {
                name: name.clone(),
                command: command.clone(),
            }),
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Local { id, .. } => id.clone(),
            Self::Command { name, .. } => format!("command:{name}"),
        }
    }

    fn wrap(&self, about: &[u8], key: &Secret) -> Result<Vec<u8>, PromptError> {
        match self {
            Self::Local { key: master, .. } => master.seal(about, key.bytes()),
            Self::Command { command, .. } => {
                let own = Secret::random()?;
                let line = Zeroizing::new(BASE64.encode(own.bytes()));
                let kept = call(command, "wrap", &line)?;
                if kept.is_empty() {
                    return Err(failed(command, "wrap", "it wrote nothing"));
                }
                let mut wrapped = (kept.len() as u64).to_be_bytes().to_vec();
                wrapped.extend_from_slice(kept.as_bytes());
                wrapped.extend_from_slice(&own.seal(about, key.bytes())?);
                Ok(wrapped)
            }
        }
    }

    /// `None` when the bytes are not what was wrapped.
    fn unwrap(&self, about: &[u8], wrapped: &[u8]) -> Result<Option<Secret>, PromptError> {
        let open = |master: &Secret, wrapped: &[u8]| {
            let key = master.open(about, wrapped)?;
            Secret::from_slice(&key)
        };
        match self {
            Self::Local { key, .. } => Ok(open(key, wrapped)),
            Self::Command { command, .. } => {
                let Some((kept, sealed)) = split(wrapped) else {
                    return Ok(None);
                };
                let line = call(command, "unwrap", kept)?;
                let own = BASE64.decode(line.as_bytes()).ok().map(Zeroizing::new);
                let own = own.as_ref().and_then(|own| Secret::from_slice(own));
                let own = own.ok_or_else(|| {
                    failed(command, "unwrap", "it wrote no key of 32 bytes in base64")
                })?;
                Ok(open(&own, sealed))
            }
        }
    }
}

fn split(wrapped: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = wrapped.split_at_checked(8)?;
    let length = u64::from_be_bytes(length.try_into().ok()?);
    let (kept, sealed) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((std::str::from_utf8(kept).ok()?, sealed))
}

fn parse(text: &str) -> Option<Secret> {
    let text = text.trim();
    let bytes = match text.len() {
        64 => hex::decode(text).ok()?,
        _ => BASE64.decode(text).ok()?,
    };
    Secret::from_slice(&Zeroizing::new(bytes))
}

/// Names a key without telling anything of it.
fn id_of(key: &Secret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
    let tag = hmac::sign(&key, b"freehold prompt master key");
    hex::encode(tag.as_ref().get(..8).unwrap_or_default())
}

/// Makes a key file for the owner's eyes only, whole or not at all.
fn make(path: &Path) -> Result<Zeroizing<String>, PromptError> {
    let key = Secret::random()?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(key.bytes())));
    match write_private(path, text.as_bytes()) {
        // Another process made one at the same moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(path);
            let text = text.map_err(PromptError::io("cannot read the master key", path))?;
            return Ok(Zeroizing::new(text));
        }
        written => written.map_err(PromptError::io("cannot write the master key", path))?,
    }
    tracing::warn!(
        path = %path.display(),
        "a master key for stored prompts was made beside them; keep a copy elsewhere, or better the \
         key itself: `prompts.master_key` takes an environment variable or a command",
    );
    Ok(text)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // A rename would replace the key of a process that was faster.
    let linked = fs::hard_link(&new, path);
    let removed = fs::remove_file(&new);
    linked.and(removed)
}

fn failed(command: &[String], verb: &str, why: impl std::fmt::Display) -> PromptError {
    let program = command.first().map_or("(none)", String::as_str);
    PromptError::MasterKey {
        why: format!("`{program} ... {verb}` failed: {why}"),
    }
}

/// Runs the program with one line, and reads one line.
fn call(command: &[String], verb: &str, line: &str) -> Result<Zeroizing<String>, PromptError> {
    let fail = |why: String| failed(command, verb, why);
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| fail("no program is named".to_owned()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| fail(error.to_string()))?;
    let answer = converse(&mut child, line);
    if answer.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| fail(error.to_string()))?;
    let answer = answer.map_err(|error| fail(error.to_string()))?;
    if !status.success() {
        return Err(fail(status.to_string()));
    }
    Ok(Zeroizing::new(answer.trim().to_owned()))
}

fn converse(child: &mut Child, line: &str) -> io::Result<Zeroizing<String>> {
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut stdin = child.stdin.take().ok_or_else(broken)?;
    let stdout = child.stdout.take().ok_or_else(broken)?;
    let (told, answer) = mpsc::channel();
    std::thread::Builder::new()
        .name("master-key".to_owned())
        .spawn(move || {
            let mut text = Zeroizing::new(String::new());
            let read = stdout.take(LINE_BYTES_MAX).read_to_string(&mut text);
            // Nobody listens any more when the time is over.
            let _ = told.send(read.map(|_| text));
        })?;
    let written = stdin.write_all(line.as_bytes());
    let written = written.and_then(|()| stdin.write_all(b"\n"));
    drop(stdin);
    match written {
        // A program may know its answer without reading.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    answer
        .recv_timeout(COMMAND_PATIENCE)
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}
