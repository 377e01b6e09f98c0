//! Where prompts are stored, under which master key, and how much may wait.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

/// Where a master key comes from. A key is 32 bytes, as 64 hex digits or as base64.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// A file.
    File(PathBuf),
    /// A file of Freehold's own, made when it is not there.
    OwnFile(PathBuf),
    /// An environment variable.
    Variable {
        /// Its name, for messages.
        name: String,
        /// Its value; empty when it is not set.
        value: SecretString,
    },
    /// A program that wraps and unwraps keys, as a key-management service's client does: it is
    /// called with `wrap` or `unwrap` as last argument, reads one line from standard input and
    /// writes one line to standard output. `wrap` is given a key in base64, and its line is stored;
    /// `unwrap` is given that line, and writes the key in base64.
    Command {
        /// Names it in the database: the same name must unwrap what it wrapped.
        name: String,
        /// The program and its arguments.
        command: Vec<String>,
    },
}

/// Everything a store of prompts needs to know.
#[derive(Clone, Debug)]
pub struct PromptSettings {
    /// The SQLite database file. Its directory is created.
    pub database: PathBuf,
    /// The chain of receipts of what was erased.
    pub receipts: PathBuf,
    /// Wraps tenants' keys.
    pub master_key: MasterKeySource,
    /// Unwrap what was wrapped before the master key was changed.
    pub previous_master_keys: Vec<MasterKeySource>,
    /// The database is not filled beyond this, in bytes.
    pub limit_bytes: u64,
    /// So many samples wait to be written at most.
    pub queue_records: usize,
    /// They take so much memory at most, in bytes.
    pub queue_bytes: usize,
    /// So many samples are written in one transaction.
    pub batch_records: usize,
    /// So many expired records are deleted in one transaction.
    pub purge_rows: u32,
    /// The pause after it.
    pub purge_pause: Duration,
    /// How often expired records are looked for.
    pub purge_interval: Duration,
    /// How long a statement waits for another process's lock.
    pub busy_timeout: Duration,
    /// How long a database or master key that failed is left alone.
    pub retry: Duration,
}

impl PromptSettings {
    /// `prompts.db`, `prompts-erased.jsonl` and `prompts.key` in the data directory, at most 1 GiB;
    /// 256 samples or 64 MiB wait.
    pub fn new(data_dir: impl AsRef<Path>) -> Self {
        let data_dir = data_dir.as_ref();
        Self {
            database: data_dir.join("prompts.db"),
            receipts: data_dir.join("prompts-erased.jsonl"),
            master_key: MasterKeySource::OwnFile(data_dir.join("prompts.key")),
            previous_master_keys: Vec::new(),
            limit_bytes: 1 << 30,
            queue_records: 256,
            queue_bytes: 64 << 20,
            batch_records: 32,
            purge_rows: 500,
            purge_pause: Duration::from_millis(20),
            purge_interval: Duration::from_secs(60),
            busy_timeout: Duration::from_secs(5),
            retry: Duration::from_secs(5),
        }
    }
}
