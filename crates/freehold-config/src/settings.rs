//! What a configuration means: every default decided, every name resolved, nothing that cannot run.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use freehold_guard::Guard;
use freehold_hosted::{Catalogue, Networks, Row};
use freehold_policy::{Constraint, Policy};
use freehold_store::audit::AuditSettings;
use freehold_store::meter::SharedSettings;
use freehold_store::prompts::PromptSettings;
use freehold_store::{KeySettings, StoreSettings};
use freehold_types::{BackendId, Capability, Deployment, Perimeter, PriceBasis, Sensitivity, Site};
use secrecy::SecretString;

use super::access::{self, LoginSettings};
use super::policy::PolicySource;
use super::raw::{self, PerimeterMode};
use super::transport::{self, BackendTls, ListenerTls};
use super::{Complaint, accounts, prices, routes, storage, telemetry};
use freehold_pipeline::FlowLimits;
use freehold_ports::{Bound, Scope};
use freehold_route::RouteSpec;

/// The name of the embedded engine's kind of backend.
pub const EMBEDDED: &str = "embedded";
/// The model that a gateway without configuration serves.
pub(crate) const DEFAULT_MODEL: &str = "smollm2-135m-instruct";
/// The backend that a gateway without configuration serves it on.
pub(crate) const DEFAULT_BACKEND: &str = "local";

/// Looks an environment variable up.
pub type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// What a configuration is read together with: the process's environment.
pub struct Environment {
    /// Looks a variable up.
    pub variable: Lookup,
    /// Freehold's directory for data.
    pub home: PathBuf,
    /// Whether the model store has a model of this name.
    pub has_model: Box<dyn Fn(&str) -> bool>,
    /// Whether this program has an engine for models of its own.
    pub has_engine: bool,
}

impl Environment {
    /// No variables, no models, no engine; only a directory.
    pub fn bare(home: impl Into<PathBuf>) -> Self {
        Self {
            variable: Box::new(|_| None),
            home: home.into(),
            has_model: Box::new(|_| false),
            has_engine: false,
        }
    }
}

/// A configuration that can be run.
pub struct Settings {
    /// Where clients are served.
    pub listen: SocketAddr,
    /// Where operators are served, if anywhere.
    pub admin: Option<SocketAddr>,
    /// How clients' connections are encrypted, if they are.
    pub tls: Option<ListenerTls>,
    /// Files of certificates, whose change is a change of the configuration.
    pub files: Vec<PathBuf>,
    /// Bounds on the bodies of requests.
    pub decode: freehold_wire::Limits,
    /// How long a begun head of a request may take.
    pub header_timeout: Duration,
    /// How long a connection may be idle.
    pub keep_alive: Duration,
    /// How long the body of a request may pause.
    pub body_timeout: Duration,
    /// Most connections of clients at a time.
    pub connections_max: usize,
    /// How long requests may go on once the gateway was told to stop.
    pub drain: Duration,
    /// Looks for what is sensitive.
    pub guard: Guard,
    /// Decides which side may serve what.
    pub policy: Policy,
    /// What the policy was compiled from, to compare it with the deployments once they are known.
    pub policy_source: PolicySource,
    /// Of requests that nothing labels.
    pub default_sensitivity: Sensitivity,
    /// Who may ask, and how much.
    pub keys: Vec<KeySettings>,
    /// How people sign in, if they can.
    pub login: Option<LoginSettings>,
    /// What flows may use.
    pub flow_limits: FlowLimits,
    /// Where several gateways keep their accounts together, if they do.
    pub accounts: Option<SharedSettings>,
    /// Backends over HTTP.
    pub hosted: Vec<HostedEntry>,
    /// Models of the embedded engine.
    pub embedded: Vec<EmbeddedEntry>,
    /// Names that stand for several deployments.
    pub routes: Vec<RouteSpec>,
    /// Where outcomes are kept.
    pub ledger: StoreSettings,
    /// Where decisions are kept.
    pub audit: AuditChoice,
    /// Where policy's samples of prompts are kept.
    pub prompts: PromptSettings,
    /// Where reports go, if anywhere.
    pub telemetry: Option<freehold_telemetry::Settings>,
    /// The vendors that the program knows.
    pub catalogue: Arc<Catalogue>,
    /// What is probably not meant, or could be better, in words.
    pub hints: Vec<String>,
}

/// A backend over HTTP.
#[derive(Debug)]
pub struct HostedEntry {
    /// How it is reached.
    pub settings: freehold_hosted::Settings,
    /// The models that are known now.
    pub deployments: Vec<Deployment>,
    /// Any other model's name is served, too.
    pub any_model: bool,
    /// The server is asked for its models.
    pub discover: bool,
    /// How its use is paid for when not by the price book.
    pub price: Option<PriceBasis>,
    /// The environment variable that its key came from, when it was found there.
    pub found_by: Option<String>,
}

/// One model of the embedded engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedEntry {
    /// What routes and policy know of it.
    pub deployment: Deployment,
    /// A file that is not in the model store.
    pub file: Option<PathBuf>,
    /// Tokens of one conversation; `None` for what the model was made for.
    pub context_tokens: Option<u32>,
    /// Answers at a time.
    pub slots: Option<u32>,
    /// Threads that compute.
    pub threads: Option<u32>,
    /// Layers of the model that a GPU computes.
    pub gpu_layers: Option<u32>,
    /// Requests that may wait.
    pub queue: Option<u32>,
}

impl Settings {
    /// What a file means.
    ///
    /// # Errors
    /// The first thing that cannot be run, with the path of the value.
    pub(crate) fn from_raw(raw: raw::Config, environment: &Environment) -> Result<Self, Complaint> {
        let catalogue = catalogue()?;
        let sealed = raw.perimeter == PerimeterMode::Sealed;
        let inside = transport::inside(&raw.outbound)?;
        let mut reader = BackendReader {
            catalogue: &catalogue,
            environment,
            sealed,
            inside: inside.clone(),
            hosted: vec![],
            embedded: vec![],
            hints: vec![],
        };
        for (name, backend) in &raw.backends {
            reader.read(name, backend)?;
        }
        if raw.discover.unwrap_or(true) {
            reader.discover(&raw);
        }
        let BackendReader {
            hosted,
            embedded,
            mut hints,
            ..
        } = reader;
        let tls = raw.server.tls.as_ref();
        let tls = tls.map(|tls| transport::listener(tls, SystemTime::now(), &mut hints));
        let tls = tls.transpose()?;
        transport::warn(&raw, environment, hosted.is_empty(), &mut hints);
        let keys = accounts::keys(&raw)?;
        let login = access::login(&raw, sealed, &inside)?;
        let guard =
            Guard::new(&raw.guard).map_err(|error| Complaint::new(["guard"], error.to_string()))?;
        let policy_source = PolicySource::new(&raw, sealed, &guard);
        let (policy, _) = policy_source.compile(None)?;
        let prompts = storage::prompts(&raw.prompts, &policy, environment)?;
        let beside = (environment, sealed, &inside);
        let telemetry = telemetry::settings(&raw.telemetry, beside, &mut hints)?;
        check_listen(&raw.server, &keys, login.is_some())?;
        Ok(Self {
            listen: raw.server.listen,
            admin: raw.server.admin,
            tls,
            files: vec![],
            decode: decode(&raw.server),
            header_timeout: Duration::from_secs(raw.server.header_timeout_s.max(1).into()),
            keep_alive: Duration::from_secs(raw.server.keep_alive_s.max(1).into()),
            body_timeout: Duration::from_secs(raw.server.body_timeout_s.into()),
            connections_max: raw.server.connections_max.max(1) as usize,
            drain: Duration::from_secs(raw.server.drain_s.into()),
            guard,
            policy,
            policy_source,
            default_sensitivity: raw.policy.default_sensitivity,
            keys,
            login,
            flow_limits: accounts::flows(&raw.flows)?,
            accounts: accounts::shared(&raw.accounts, environment)?,
            hosted,
            embedded,
            routes: routes::entries(&raw.routes)?,
            ledger: super::ledger::settings(&raw.ledger, environment)?,
            audit: audit(&raw.audit, environment),
            prompts,
            telemetry,
            catalogue,
            hints,
        })
    }
}

/// The vendors that the program knows.
fn catalogue() -> Result<Arc<Catalogue>, Complaint> {
    let builtin = Catalogue::builtin().map(Arc::new);
    builtin.map_err(|error| Complaint::new([], format!("the built-in catalogue: {error}")))
}

impl Settings {
    /// Everything that is limited.
    pub fn bounds(&self) -> Vec<Bound> {
        let keys = self.keys.iter().flat_map(|key| key.bounds.iter().cloned());
        let flows = self.flow_limits.iter().map(|(flow, limits)| Bound {
            scope: Scope::Flow(flow.clone()),
            limits: Arc::clone(limits),
        });
        keys.chain(flows).collect()
    }
}

/// Bounds on bodies.
fn decode(server: &raw::Server) -> freehold_wire::Limits {
    freehold_wire::Limits {
        body_bytes: server.body_mib_max as usize * 1024 * 1024,
        depth: server.body_depth_max as usize,
    }
}

/// Beyond loopback, strangers can reach the gateway: keys are needed then.
fn check_listen(
    server: &raw::Server,
    keys: &[KeySettings],
    has_login: bool,
) -> Result<(), Complaint> {
    if keys.is_empty() && !server.listen.ip().is_loopback() {
        return Err(Complaint::new(
            ["server", "listen"],
            format!(
                "{} is reachable from other machines, and no keys are configured",
                server.listen
            ),
        )
        .hint("add an entry under `keys`, or listen on 127.0.0.1"));
    }
    let is_guarded = has_login || keys.iter().any(|key| key.grant.is_some());
    if let Some(admin) = server.admin
        && !admin.ip().is_loopback()
        && !is_guarded
    {
        return Err(Complaint::new(
            ["server", "admin"],
            format!("{admin} is reachable from other machines, and nobody has a role there"),
        )
        .hint("give a key a `role`, configure `login`, or use 127.0.0.1"));
    }
    if let Some(admin) = server.admin
        && admin.port() != 0
        && admin.port() == server.listen.port()
    {
        return Err(Complaint::new(
            ["server", "admin"],
            "clients and operators need a port each",
        )
        .hint("give `admin` another port, or set it to null"));
    }
    Ok(())
}

/// What becomes of the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditChoice {
    /// Whether there is one.
    pub enabled: bool,
    /// Whether a request that cannot be recorded is refused.
    pub required: bool,
    /// Where it is, and how it is signed.
    pub settings: AuditSettings,
}

fn audit(raw: &raw::Audit, environment: &Environment) -> AuditChoice {
    let mut settings = AuditSettings::new(&environment.home);
    if let Some(directory) = &raw.directory {
        settings.dir.clone_from(directory);
    }
    if let Some(file) = &raw.key_file {
        settings.key_file.clone_from(file);
    }
    settings.checkpoint_interval = Duration::from_secs(raw.checkpoint_s.max(1).into());
    settings.checkpoint_records = raw.checkpoint_records.max(1).into();
    AuditChoice {
        enabled: raw.enabled,
        required: raw.required,
        settings,
    }
}

/// Reads backends, one at a time.
struct BackendReader<'a> {
    catalogue: &'a Catalogue,
    environment: &'a Environment,
    sealed: bool,
    /// The networks in which inside backends stand.
    inside: Networks,
    hosted: Vec<HostedEntry>,
    embedded: Vec<EmbeddedEntry>,
    hints: Vec<String>,
}

impl BackendReader<'_> {
    fn read(&mut self, name: &str, raw: &raw::Backend) -> Result<(), Complaint> {
        let kind = raw.kind.as_deref().unwrap_or(name);
        if kind == EMBEDDED {
            return self.read_embedded(name, raw);
        }
        let Some(row) = self.catalogue.row(kind) else {
            let mut known: Vec<_> = self
                .catalogue
                .rows
                .iter()
                .map(|row| row.id.as_str())
                .collect();
            known.push(EMBEDDED);
            known.sort_unstable();
            return Err(Complaint::new(
                ["backends", name, "type"],
                format!("`{kind}` is no type of backend"),
            )
            .hint(format!("one of: {}", known.join(", "))));
        };
        self.read_hosted(name, raw, row)
    }

    fn read_hosted(&mut self, name: &str, raw: &raw::Backend, row: &Row) -> Result<(), Complaint> {
        for (value, field) in [
            (raw.slots, "slots"),
            (raw.threads, "threads"),
            (raw.gpu_layers, "gpu_layers"),
            (raw.queue, "queue"),
        ] {
            if value.is_some() {
                return Err(Complaint::new(
                    ["backends", name, field],
                    "only the embedded engine has this setting",
                ));
            }
        }
        let id = BackendId::new(name);
        let site = site(raw, row.site());
        transport::check_perimeter(name, raw, row, site.perimeter, self.sealed)?;
        let price = prices::by_hour(name, raw.usd_per_hour, raw.owned.as_ref())?;
        let mut settings = freehold_hosted::Settings::for_row(Arc::new(row.clone()));
        settings.id = id.clone();
        settings.site = site.clone();
        if let Some(url) = &raw.base_url {
            settings.base_url = url.as_str().to_owned();
        }
        settings.key = match &raw.api_key {
            Some(key) => Some(SecretString::from(key.as_str().to_owned())),
            None => row.key_from(&self.environment.variable),
        };
        settings.tls = transport::backend(name, raw, SystemTime::now(), &mut self.hints)?;
        settings.inside = self.inside.clone();
        freehold_hosted::HostedBackend::new(settings.clone())
            .map_err(|error| transport::complain(name, &error))?;
        let deployments = self.deployments(name, raw, row, &id, &site, price.as_ref())?;
        let inside = row.perimeter == Perimeter::Inside;
        self.hosted.push(HostedEntry {
            any_model: raw.any_model.unwrap_or(!inside),
            discover: inside && raw.models.is_empty(),
            settings,
            deployments,
            price,
            found_by: None,
        });
        Ok(())
    }

    fn deployments(
        &self,
        name: &str,
        raw: &raw::Backend,
        row: &Row,
        id: &BackendId,
        site: &Site,
        price: Option<&PriceBasis>,
    ) -> Result<Vec<Deployment>, Complaint> {
        let mut deployments = if raw.models.is_empty() {
            row.deployments(id, site)
        } else {
            raw.models
                .iter()
                .map(|model| self.catalogue.deployment(row, id, site, &model.name))
                .collect()
        };
        for deployment in &mut deployments {
            if let Some(price) = price {
                deployment.price = price.clone();
            }
        }
        for (index, (model, deployment)) in raw.models.iter().zip(&mut deployments).enumerate() {
            if model.file.is_some() {
                return Err(Complaint::new(
                    ["backends", name, "models", &index.to_string(), "file"],
                    "only the embedded engine reads model files",
                ));
            }
            apply(model, deployment, name, index)?;
        }
        Ok(deployments)
    }

    fn read_embedded(&mut self, name: &str, raw: &raw::Backend) -> Result<(), Complaint> {
        let has_tls = raw.tls != BackendTls::default() || raw.ca_file.is_some();
        if raw.base_url.is_some() || raw.api_key.is_some() || has_tls {
            return Err(Complaint::new(
                ["backends", name],
                "the embedded engine has no address, key or certificate",
            ));
        }
        let site = site(raw, Site::inside());
        if site.perimeter == Perimeter::Outside {
            return Err(Complaint::new(
                ["backends", name, "perimeter"],
                "the embedded engine runs in this process, which is inside",
            ));
        }
        let price = prices::by_hour(name, raw.usd_per_hour, raw.owned.as_ref())?
            .unwrap_or(PriceBasis::Unknown);
        let named = [raw::Model::named(DEFAULT_MODEL)];
        let models = if raw.models.is_empty() {
            &named[..]
        } else {
            &raw.models[..]
        };
        for (index, model) in models.iter().enumerate() {
            let mut deployment = embedded_deployment(name, &model.name, &site, price.clone());
            apply(model, &mut deployment, name, index)?;
            self.embedded.push(EmbeddedEntry {
                deployment,
                file: model.file.clone(),
                context_tokens: model.context_tokens,
                slots: raw.slots,
                threads: raw.threads,
                gpu_layers: raw.gpu_layers,
                queue: raw.queue,
            });
        }
        Ok(())
    }

    /// Vendors whose key is in the environment, and the default model when it is in the store.
    fn discover(&mut self, raw: &raw::Config) {
        if self.embedded.is_empty() && !raw.backends.contains_key(DEFAULT_BACKEND) {
            if (self.environment.has_model)(DEFAULT_MODEL) {
                let site = Site::inside();
                let deployment =
                    embedded_deployment(DEFAULT_BACKEND, DEFAULT_MODEL, &site, PriceBasis::Unknown);
                self.embedded.push(EmbeddedEntry {
                    deployment,
                    file: None,
                    context_tokens: None,
                    slots: None,
                    threads: None,
                    gpu_layers: None,
                    queue: None,
                });
            } else if self.environment.has_engine {
                self.hints.push(format!(
                    "no local model yet: freehold models pull {DEFAULT_MODEL}"
                ));
            }
        }
        let used: BTreeSet<&str> = raw
            .backends
            .iter()
            .map(|(name, backend)| backend.kind.as_deref().unwrap_or(name))
            .collect();
        let found: Vec<_> = self
            .catalogue
            .rows_with_keys(&self.environment.variable)
            .filter(|(row, _)| !used.contains(row.id.as_str()))
            .filter(|(row, _)| !raw.backends.contains_key(&row.id))
            .collect();
        for (row, key) in found {
            let variable = row.auth.env.join(" or ");
            if self.sealed {
                self.hints.push(format!(
                    "{variable} is set and ignored: the perimeter is sealed"
                ));
                continue;
            }
            let id = BackendId::new(&row.id);
            self.hosted.push(HostedEntry {
                deployments: row.deployments(&id, &row.site()),
                settings: freehold_hosted::Settings::for_row(Arc::new(row.clone())).with_key(key),
                any_model: true,
                discover: false,
                price: None,
                found_by: Some(variable),
            });
        }
    }
}

impl raw::Model {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: None,
            context_tokens: None,
            capabilities: None,
            quality: None,
            tokens_per_second: None,
            first_token_ms: None,
            price: None,
        }
    }
}

/// What the embedded engine can do with any chat model. Quality and speed are those of a small
/// model on a few CPU cores until something better is known.
fn embedded_deployment(backend: &str, model: &str, site: &Site, price: PriceBasis) -> Deployment {
    use Capability as C;
    Deployment {
        id: format!("{backend}/{model}").into(),
        backend: backend.into(),
        model: model.to_owned(),
        site: site.clone(),
        dialects: vec![],
        capabilities: [
            C::Chat,
            C::Completions,
            C::Tools,
            C::JsonObject,
            C::JsonSchema,
            C::Logprobs,
            C::Choices,
        ]
        .into(),
        context_window_tokens: None,
        price,
        quality: 0.2,
        tokens_per_second: 40.0,
        first_token_ms: 300,
    }
}

/// Applies what the operator says about a model.
fn apply(
    model: &raw::Model,
    deployment: &mut Deployment,
    backend: &str,
    index: usize,
) -> Result<(), Complaint> {
    let index = index.to_string();
    let path = |field| ["backends", backend, "models", &index, field];
    if let Some(tokens) = model.context_tokens {
        deployment.context_window_tokens = Some(tokens);
    }
    if let Some(names) = &model.capabilities {
        deployment.capabilities = names
            .iter()
            .map(|name| {
                serde_json::from_value::<Capability>(name.as_str().into()).map_err(|_| {
                    Complaint::new(path("capabilities"), format!("`{name}` is no capability")).hint(
                        "one of: chat, completions, tools, images, audio, files, json_object, \
                         json_schema, logprobs, choices, reasoning",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
    }
    if let Some(quality) = model.quality {
        if !(0.0..=1.0).contains(&quality) {
            return Err(Complaint::new(
                path("quality"),
                "quality lies between 0 and 1",
            ));
        }
        deployment.quality = quality;
    }
    if let Some(speed) = model.tokens_per_second {
        if !(speed > 0.0 && speed.is_finite()) {
            return Err(Complaint::new(
                path("tokens_per_second"),
                "a speed is greater than 0",
            ));
        }
        deployment.tokens_per_second = speed;
    }
    if let Some(ms) = model.first_token_ms {
        deployment.first_token_ms = ms;
    }
    if let Some(price) = &model.price {
        deployment.price = prices::by_token(price, &path("price"))?;
    }
    Ok(())
}

fn site(raw: &raw::Backend, default: Site) -> Site {
    Site {
        perimeter: raw.perimeter.map_or(default.perimeter, perimeter),
        region: raw.region.as_deref().map(Into::into),
        tags: raw.tags.iter().map(|tag| tag.as_str().into()).collect(),
    }
}

pub(super) fn constraint(require: &raw::Require) -> Constraint {
    Constraint {
        perimeter: require.perimeter.map(perimeter),
        regions: require
            .regions
            .iter()
            .map(|region| region.as_str().into())
            .collect(),
        tags: require.tags.iter().map(|tag| tag.as_str().into()).collect(),
        deployments: (!require.deployments.is_empty()).then(|| {
            require
                .deployments
                .iter()
                .map(|id| id.as_str().into())
                .collect()
        }),
    }
}

fn perimeter(raw: raw::Perimeter) -> Perimeter {
    match raw {
        raw::Perimeter::Inside => Perimeter::Inside,
        raw::Perimeter::Outside => Perimeter::Outside,
    }
}

pub(super) fn sensitivity(raw: raw::Sensitivity) -> Sensitivity {
    match raw {
        raw::Sensitivity::Public => Sensitivity::Public,
        raw::Sensitivity::Internal => Sensitivity::Internal,
        raw::Sensitivity::Confidential => Sensitivity::Confidential,
        raw::Sensitivity::Restricted => Sensitivity::Restricted,
    }
}
