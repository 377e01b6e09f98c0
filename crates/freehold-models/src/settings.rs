//! Where models are stored and fetched from: the environment, turned into settings
//! without holes. Hosts other than the public defaults are never built in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use crate::catalogue::Catalogue;
use crate::error::ModelError;
use crate::reference::is_loopback;

mod pip;
#[cfg(test)]
mod tests;

const HUGGING_FACE_PUBLIC: &str = "https://huggingface.co";
const PYTHON_INDEX_PUBLIC: &str = "https://pypi.org/simple";
const TOKEN_LENGTH_MAX: u64 = 4096;

/// Everything a [`crate::Store`] needs to know.
#[derive(Clone)]
pub struct StoreSettings {
    /// The directory of the store; created when missing.
    pub root: PathBuf,
    /// The Hugging Face endpoint, `https://huggingface.co` unless `HF_ENDPOINT` says otherwise.
    pub hub_endpoint: Url,
    /// The token for that endpoint, never sent to another host.
    pub hub_token: Option<SecretString>,
    /// The simple index of Python packages.
    pub index: PythonIndex,
    /// Timeouts, retries and proxies.
    pub transport: TransportSettings,
    /// Upper bounds of what is fetched.
    pub limits: Limits,
    /// The models known by name.
    pub catalogue: Arc<Catalogue>,
}

/// A simple index of Python packages (PEP 503 and PEP 691).
#[derive(Clone)]
pub struct PythonIndex {
    /// The base address, without credentials.
    pub base: Url,
    /// Credentials from the address, never sent to another host.
    pub credentials: Option<Credentials>,
    /// Why the configured index cannot be used; told when a pull needs it, because pip's
    /// configuration must not stand in the way of everything else.
    pub problem: Option<IndexProblem>,
}

/// A configured index that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexProblem {
    /// The variable, or the file and key.
    pub setting: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What proves to one host who is asking.
#[derive(Clone)]
pub enum Credentials {
    /// `Authorization: Bearer`.
    Bearer(SecretString),
    /// `Authorization: Basic`.
    Basic {
        /// The user's name.
        user: String,
        /// The password or token.
        password: SecretString,
    },
}

/// How transfers behave.
#[derive(Clone)]
pub struct TransportSettings {
    /// Longest time to connect, milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest silence while waiting for an answer or its next bytes, milliseconds.
    pub idle_timeout_ms: u64,
    /// Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count.
    pub proxies_from_environment: bool,
    /// How often and after which waits a failed attempt is repeated.
    pub retry: RetrySettings,
    /// What waits between attempts.
    pub pause: Arc<dyn Pause>,
}

/// How failed attempts are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts in a row without any new byte before giving up.
    pub fruitless_attempts_max: u32,
    /// Attempts in total, for a connection that is cut again and again.
    pub attempts_max: u32,
    /// The first wait, milliseconds; doubles each time.
    pub backoff_first_ms: u64,
    /// The longest wait of our own choice, milliseconds.
    pub backoff_max_ms: u64,
    /// The longest wait a server may ask for, seconds; beyond it the pull ends.
    pub retry_after_max_seconds: u64,
}

/// Upper bounds, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest single file.
    pub file_bytes_max: u64,
    /// The largest index page.
    pub page_bytes_max: u64,
    /// What must stay free on the disk after a pull.
    pub disk_reserve_bytes: u64,
}

/// Waits between attempts; replaced in tests.
#[async_trait]
pub trait Pause: Send + Sync {
    /// Returns after `duration`.
    async fn pause(&self, duration: Duration);
}

/// Waits with the runtime's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuntimePause;

#[async_trait]
impl Pause for RuntimePause {
    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            fruitless_attempts_max: 5,
            attempts_max: 100,
            backoff_first_ms: 500,
            backoff_max_ms: 20_000,
            retry_after_max_seconds: 300,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 1 << 40,
            page_bytes_max: 64 << 20,
            disk_reserve_bytes: 64 << 20,
        }
    }
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 20_000,
            idle_timeout_ms: 60_000,
            proxies_from_environment: true,
            retry: RetrySettings::default(),
            pause: Arc::new(RuntimePause),
        }
    }
}

impl StoreSettings {
    /// Settings with the public defaults for a store at `root`; reads nothing.
    ///
    /// # Errors
    /// Never in practice; the public addresses are parsed here.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self, ModelError> {
        Ok(Self {
            root: root.into(),
            hub_endpoint: base_url("HF_ENDPOINT", HUGGING_FACE_PUBLIC)?.0,
            hub_token: None,
            index: PythonIndex::parse("the public index", PYTHON_INDEX_PUBLIC)?,
            transport: TransportSettings::default(),
            limits: Limits::default(),
            catalogue: Arc::new(Catalogue::built_in().clone()),
        })
    }

    /// Settings from the process's environment, pip's configuration and the Hugging Face login.
    ///
    /// # Errors
    /// `InvalidSettings` names the variable that cannot be used.
    pub fn from_environment() -> Result<Self, ModelError> {
        Self::from_variables(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The same from any source of variables; files are read at the places these name.
    ///
    /// # Errors
    /// `InvalidSettings` names the variable that cannot be used.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ModelError> {
        let mut settings = Self::at(default_root(variable)?)?;
        if let Some(endpoint) = variable("HF_ENDPOINT") {
            settings.hub_endpoint = base_url("HF_ENDPOINT", &endpoint)?.0;
        }
        settings.hub_token = hub_token(variable);
        if let Some((setting, address)) = pip::index_address(variable) {
            match PythonIndex::parse(&setting, &address) {
                Ok(index) => settings.index = index,
                Err(error) => {
                    let reason = error.to_string();
                    settings.index.problem = Some(IndexProblem { setting, reason });
                }
            }
        }
        Ok(settings)
    }
}

impl PythonIndex {
    /// An index from its address, which may carry `user:password@`.
    ///
    /// # Errors
    /// `InvalidSettings`, naming `setting`, when it is not an http or https address.
    pub fn parse(setting: &str, address: &str) -> Result<Self, ModelError> {
        let (base, credentials) = base_url(setting, address)?;
        Ok(Self {
            base,
            credentials,
            problem: None,
        })
    }
}

/// Parses a base address; it ends in `/` and carries no credentials afterwards.
fn base_url(setting: &str, address: &str) -> Result<(Url, Option<Credentials>), ModelError> {
    let invalid = |reason: String| ModelError::InvalidSettings {
        setting: setting.to_owned(),
        reason,
    };
    let mut url = Url::parse(address.trim())
        .map_err(|error| invalid(format!("it is not an address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(invalid("it is not an http or https address".to_owned()));
    }
    let credentials = (!url.username().is_empty()).then(|| Credentials::Basic {
        user: decode_percent(url.username()),
        password: decode_percent(url.password().unwrap_or_default()).into(),
    });
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| invalid("its credentials cannot be separated".to_owned()))?;
    url.set_fragment(None);
    url.set_query(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok((url, credentials))
}

/// Percent-decodes one component of an address.
pub(crate) fn decode_percent(text: &str) -> String {
    // `+` is a plain plus outside of forms, so it is kept from the form decoder.
    let escaped = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn home(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    variable("HOME")
        .or_else(|| variable("USERPROFILE"))
        .map(PathBuf::from)
}

fn default_root(variable: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, ModelError> {
    if let Some(root) = variable("FREEHOLD_HOME") {
        return Ok(PathBuf::from(root).join("models"));
    }
    // The XDG specification says that a relative path there is to be ignored.
    let data = variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    data.or_else(|| home(variable).map(|home| home.join(".local/share")))
        .map(|data| data.join("freehold").join("models"))
        .ok_or_else(|| ModelError::InvalidSettings {
            setting: "FREEHOLD_HOME".to_owned(),
            reason: "it is not set, and neither is HOME, so there is no place for the models"
                .to_owned(),
        })
}

fn hub_token(variable: &dyn Fn(&str) -> Option<String>) -> Option<SecretString> {
    let from_variable = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN"));
    let token = from_variable.or_else(|| read_token(&token_path(variable)?))?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned().into())
}

fn token_path(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(path) = variable("HF_TOKEN_PATH") {
        return Some(PathBuf::from(path));
    }
    let hub_home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
        let cache = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| home(variable).map(|home| home.join(".cache")))?;
        Some(cache.join("huggingface"))
    })?;
    Some(hub_home.join("token"))
}

fn read_token(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    (size <= TOKEN_LENGTH_MAX).then(|| std::fs::read_to_string(path).ok())?
}

/// Whether credentials may travel to this address at all: encrypted, or not leaving the machine.
pub(crate) fn may_carry_credentials(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoreSettings")
            .field("root", &self.root)
            .field("hub_endpoint", &self.hub_endpoint.as_str())
            .field("hub_token", &self.hub_token.as_ref().map(|_| "set"))
            .field("index", &self.index.base.as_str())
            .finish_non_exhaustive()
    }
}
