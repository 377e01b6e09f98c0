//! The configuration file as it is written. Nothing here is checked beyond its shape; see
//! `settings` for what it means.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use freehold_policy::PolicySettings;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{RawLogin, RawRole};
use super::accounts::{Limited, Previous, RawAccounts, RawBudget, RawLimits};
use super::prices::{Owned, Price};
use super::storage::RawPrompts;
use super::telemetry::RawTelemetry;
use super::text::Text;
use super::transport::{BackendTls, Outbound, ServerTls};

/// `freehold.yaml`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where and how to listen.
    pub(crate) server: Server,
    /// `open`: outside backends may serve what policy lets out. `sealed`: nothing leaves.
    pub(crate) perimeter: PerimeterMode,
    /// Where the gateway may dial.
    pub(crate) outbound: Outbound,
    /// What is looked for in requests and answers.
    pub(crate) guard: freehold_guard::Settings,
    /// Which backends may serve which requests, and what must be masked first.
    pub(crate) policy: PolicySettings,
    /// Who may ask. Without any, the gateway serves everybody who reaches it, on loopback only.
    pub(crate) keys: Vec<Key>,
    /// How people sign in at the operator's surface.
    pub(crate) login: Option<RawLogin>,
    /// Teams, `acme`, and parts of them, `acme/search`: what the keys of a team may use together.
    pub(crate) teams: BTreeMap<String, Limited>,
    /// Where limits and budgets are counted.
    pub(crate) accounts: RawAccounts,
    /// Workloads: what all requests of one may use together.
    pub(crate) flows: BTreeMap<String, Limited>,
    /// Places where models are served, by name. Vendors whose API key is in the environment need
    /// no entry.
    pub(crate) backends: BTreeMap<String, Backend>,
    /// What clients may name in `model`, beside `backend/model`. `auto` is built in and can be
    /// redefined.
    pub(crate) routes: BTreeMap<String, Route>,
    /// The record of outcomes.
    pub(crate) ledger: Ledger,
    /// The chain of decisions.
    pub(crate) audit: Audit,
    /// Requests and answers that rules of the policy let be stored.
    pub(crate) prompts: RawPrompts,
    /// Traces and metrics for an OpenTelemetry collector.
    pub(crate) telemetry: RawTelemetry,
    /// Whether vendors whose API key is in the environment, and the default model when it is in
    /// the store, become backends by themselves. Default: true.
    pub(crate) discover: Option<bool>,
}

/// Where and how to listen.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Clients' address. Beyond loopback, keys are required.
    pub(crate) listen: SocketAddr,
    /// The operator's address (metrics, health, questions). Beyond loopback, a key with a role or
    /// `login` is required, and TLS is as for clients. `null` turns it off.
    pub(crate) admin: Option<SocketAddr>,
    /// TLS for clients. Without it, prompts and keys cross the network readable by all on it.
    pub(crate) tls: Option<ServerTls>,
    /// The largest body, in MiB.
    pub(crate) body_mib_max: u32,
    /// The deepest nesting of a body's JSON.
    pub(crate) body_depth_max: u32,
    /// How long a client may take to shake hands (TLS), and to send a request's head, in seconds.
    pub(crate) header_timeout_s: u32,
    /// How long a client may keep a connection open between two requests, in seconds. More than clients themselves do (many 60, some
    /// 90), so that none is closed just when a request goes out; no longer than `header_timeout_s` while more than half of
    /// `connections_max` are open.
    pub(crate) keep_alive_s: u32,
    /// How long a client may take to send a body, in seconds.
    pub(crate) body_timeout_s: u32,
    /// Connections at a time.
    pub(crate) connections_max: u32,
    /// How long answers under way may go on after a stop, in seconds.
    pub(crate) drain_s: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 4001))),
            tls: None,
            body_mib_max: 32,
            body_depth_max: 128,
            header_timeout_s: 30,
            keep_alive_s: 120,
            body_timeout_s: 60,
            connections_max: 10_000,
            drain_s: 30,
        }
    }
}

/// Whether anything may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PerimeterMode {
    /// Outside backends may serve what policy lets out.
    #[default]
    Open,
    /// Nothing leaves; an outside backend in the configuration is an error.
    Sealed,
}

/// How sensitive something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sensitivity {
    /// Anybody may read it.
    Public,
    /// For the owner's staff.
    Internal,
    /// For few.
    Confidential,
    /// Must not leave.
    Restricted,
}

/// The chain of decisions: who asked, what was seen, what policy allowed, where it went; no text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// Whether decisions are kept. Default: true.
    pub(crate) enabled: bool,
    /// Whether a request is refused when its decision could not be kept.
    pub(crate) required: bool,
    /// Where. Default: `audit` in Freehold's directory.
    pub(crate) directory: Option<PathBuf>,
    /// The signing key's file, made when it is not there; the public key lies beside it. Default:
    /// `audit.key` in Freehold's directory.
    pub(crate) key_file: Option<PathBuf>,
    /// A checkpoint is signed this long after a record at the latest, in seconds.
    pub(crate) checkpoint_s: u32,
    /// A checkpoint is signed after so many records at the latest.
    pub(crate) checkpoint_records: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            enabled: true,
            required: false,
            directory: None,
            key_file: None,
            checkpoint_s: 10,
            checkpoint_records: 1_000,
        }
    }
}

/// On whose machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Perimeter {
    /// The owner's.
    Inside,
    /// Somebody else's.
    Outside,
}

/// What a route or key demands of backends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Require {
    /// Only this perimeter.
    pub(crate) perimeter: Option<Perimeter>,
    /// Only these regions.
    pub(crate) regions: Vec<String>,
    /// All of these compliance tags.
    pub(crate) tags: Vec<String>,
    /// Only these deployments (`backend/model`).
    pub(crate) deployments: Vec<String>,
}

/// An API key of the gateway's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// Its name, shown in the ledger.
    pub(crate) name: String,
    /// The key: at least 16 characters, or `sha256:` and the hex digest of the key.
    pub(crate) key: Text,
    /// How the key begins, to tell it from others in lists.
    pub(crate) prefix: Option<String>,
    /// From when on it is not taken any more: a date, `2027-01-31` (its first moment, UTC), or a
    /// time, `2027-01-31T18:00:00Z`.
    pub(crate) expires: Option<String>,
    /// Keys that it replaces and that are still taken for a while.
    #[serde(default)]
    pub(crate) previous: Vec<Previous>,
    /// The team that its requests are billed to; one of `teams`.
    pub(crate) team: Option<String>,
    /// What it may do at the operator's surface, for its team or, without one, for the whole
    /// gateway. A key of any role but `developer` asks no models. Default: nothing.
    pub(crate) role: Option<RawRole>,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: RawLimits,
    /// How much it may spend.
    #[serde(default)]
    pub(crate) budgets: Vec<RawBudget>,
    /// The least sensitive label of its requests.
    pub(crate) sensitivity: Option<Sensitivity>,
    /// The models it may name; `*` matches anything. Empty: all.
    #[serde(default)]
    pub(crate) routes: Vec<String>,
    /// What it demands of backends.
    #[serde(default)]
    pub(crate) require: Require,
    /// The workload of its requests, unless a request names one.
    pub(crate) flow: Option<String>,
    /// The region that its requests come from, e.g. `eu`: rules can ask for it.
    pub(crate) region: Option<String>,
    /// Whose key it is: rules can ask for it, and what is masked for one tenant is never put back
    /// for another. Default: the largest team that it belongs to.
    pub(crate) tenant: Option<String>,
}

/// A place where models are served.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Backend {
    /// `embedded`, or a row of the catalogue: `openai`, `anthropic`, `mistral`, `deepseek`,
    /// `huggingface`, `groq`, `together`, `openrouter`, `vllm`, `tgi`, `ollama`, `llama-cpp`,
    /// `lm-studio`. Default: the backend's own name.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Where it is, e.g. `http://127.0.0.1:8000/v1`. Default: the catalogue's.
    pub(crate) base_url: Option<Text>,
    /// Its API key, e.g. `${OPENAI_API_KEY}`. Default: the catalogue's environment variable.
    pub(crate) api_key: Option<Text>,
    /// A file of PEM certificates to trust beside the system's; the short form of `tls.ca`.
    pub(crate) ca_file: Option<PathBuf>,
    /// TLS towards it: own authorities, a client certificate, another server's name.
    pub(crate) tls: BackendTls,
    /// On whose machines it runs. Default: the catalogue's.
    pub(crate) perimeter: Option<Perimeter>,
    /// Where its machines stand.
    pub(crate) region: Option<String>,
    /// What it is certified for.
    pub(crate) tags: Vec<String>,
    /// What an hour of it costs in US dollars, busy or idle (owned machines).
    pub(crate) usd_per_hour: Option<f64>,
    /// What it cost and what it takes to run it, in the place of `usd_per_hour`.
    pub(crate) owned: Option<Owned>,
    /// Its models. Default: the catalogue's, or, for a self-hosted server, whatever it lists.
    pub(crate) models: Vec<Model>,
    /// Serves any model name under `backend/...`, also ones that are not listed. Default: true for
    /// hosted vendors.
    pub(crate) any_model: Option<bool>,
    /// Embedded engine only: answers generated at once.
    pub(crate) slots: Option<u32>,
    /// Embedded engine only: CPU threads.
    pub(crate) threads: Option<u32>,
    /// Embedded engine only: layers to put on the GPU.
    pub(crate) gpu_layers: Option<u32>,
    /// Embedded engine only: requests that may wait.
    pub(crate) queue: Option<u32>,
}

/// One model of a backend.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// Its name at the backend; for the embedded engine, in the model store.
    pub(crate) name: String,
    /// Embedded engine only: a GGUF file that is not in the model store.
    pub(crate) file: Option<PathBuf>,
    /// Tokens of prompt and answer together.
    pub(crate) context_tokens: Option<u32>,
    /// What it can do: `tools`, `images`, `json_schema`, ... Default: the catalogue's.
    pub(crate) capabilities: Option<Vec<String>>,
    /// Prior belief in its answers' quality, 0 to 1.
    pub(crate) quality: Option<f64>,
    /// Prior belief in its speed: tokens per second of one stream.
    pub(crate) tokens_per_second: Option<f64>,
    /// Prior belief in its time to the first token, in ms.
    pub(crate) first_token_ms: Option<u32>,
    /// Your own price instead of the price book's.
    pub(crate) price: Option<Price>,
}

/// What a route optimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Objective {
    /// The cheapest that is good enough for the request's difficulty.
    #[default]
    Cheapest,
    /// The one that is done first.
    Fastest,
    /// The one that answers best.
    Best,
    /// The order in which the targets are written.
    Ordered,
}

/// How much each side counts; any scale.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Weights {
    /// Money.
    pub(crate) cost: f64,
    /// Time.
    pub(crate) latency: f64,
    /// Quality.
    pub(crate) quality: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            cost: 1.0,
            latency: 1.0,
            quality: 1.0,
        }
    }
}

/// Something clients may name in `model`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Route {
    /// Deployments it may use, as `backend/model`, with `*` wildcards. Default: all.
    pub(crate) targets: Vec<String>,
    /// What it optimises. Default: `cheapest`; `ordered` when it has more than one target and
    /// no objective.
    pub(crate) objective: Option<Objective>,
    /// How much each side counts.
    pub(crate) weights: Option<Weights>,
    /// The least sensitive label of its requests.
    pub(crate) sensitivity: Option<Sensitivity>,
    /// What it demands of backends.
    pub(crate) require: Require,
    /// Attempts at different deployments.
    pub(crate) attempts_max: Option<u32>,
    /// Further tries on one deployment after an error that may pass.
    pub(crate) retries: Option<u32>,
    /// Start the next attempt when the current one has not begun to answer after this long.
    pub(crate) hedge_after_ms: Option<u32>,
    /// Time limit for a connection, in ms.
    pub(crate) connect_timeout_ms: Option<u32>,
    /// Time limit for the first byte of an answer, in ms; for answers that are not streamed, this
    /// is the whole generation.
    pub(crate) first_byte_timeout_ms: Option<u32>,
    /// Time limit between two pieces of a streamed answer, in ms.
    pub(crate) idle_timeout_ms: Option<u32>,
}

/// The record of outcomes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    /// Its directory. Default: `$FREEHOLD_HOME/ledger`, or below the user's data directory.
    pub(crate) directory: Option<PathBuf>,
    /// Where its rows go: `postgres://USER:PASSWORD@HOST/DATABASE`, which several gateways may
    /// share, or `sqlite:PATH`. Default: `$DATABASE_URL`, else `ledger.db` in the directory.
    pub(crate) database_url: Option<Text>,
    /// How often the spool is forced to disk, in ms. A crash of the process loses nothing; a power
    /// cut loses at most this much.
    pub(crate) fsync_ms: u32,
    /// How much may wait for a database that is away, in MiB. Beyond it, requests are refused.
    pub(crate) spool_mib_max: u32,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            directory: None,
            database_url: None,
            fsync_ms: 200,
            spool_mib_max: 1_024,
        }
    }
}
