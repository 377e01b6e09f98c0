//! Who may look at the gateway and change it: roles of keys, and the login for people.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use freehold_hosted::Networks;
use freehold_http::SessionKey;
use freehold_types::access::Role;
use freehold_types::{Grant, TeamName};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use url::{Host, Url};

use super::accounts::Limited;
use super::text::Text;
use super::{Complaint, raw};

/// Shorter secrets can be guessed.
const SESSION_KEY_BYTES_MIN: usize = 32;
const SESSION_HOURS_MAX: u32 = 24 * 7;

/// What somebody is at the operator's surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawRole {
    /// Sees usage, flows, keys and limits.
    Developer,
    /// Sees that, requests' records, metrics and the audit trail.
    Auditor,
    /// Sees usage, requests' records and metrics, and reloads the configuration.
    Operator,
    /// Does everything, and alone reads stored text.
    Admin,
}

impl From<RawRole> for Role {
    fn from(raw: RawRole) -> Self {
        match raw {
            RawRole::Developer => Self::Developer,
            RawRole::Auditor => Self::Auditor,
            RawRole::Operator => Self::Operator,
            RawRole::Admin => Self::Admin,
        }
    }
}

/// How people sign in at the operator's surface: by an `OpenID` Connect service.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLogin {
    /// The service, e.g. `https://id.example.com/realms/acme`. It is asked for its other addresses.
    pub(crate) issuer: String,
    /// The gateway's name there.
    pub(crate) client_id: String,
    /// Its secret there; not for public clients.
    pub(crate) client_secret: Option<Text>,
    /// How browsers reach the operator's listener, e.g. `https://freehold.example.com`. The service
    /// must let people back to this with `/login/callback` behind it.
    pub(crate) url: String,
    /// What the service is asked for beside `openid`. Default: `email`, `profile`.
    #[serde(default = "default_scopes")]
    pub(crate) scopes: Vec<String>,
    /// How long one stays signed in.
    #[serde(default = "default_session_hours")]
    pub(crate) session_hours: u32,
    /// At least 32 characters; gateways that share it know each other's sessions. Default: a random
    /// one, so that sessions end with the gateway.
    pub(crate) session_key: Option<Text>,
    /// A file of PEM certificates to trust beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Who is what, by what the service says of them.
    pub(crate) roles: Vec<RawMapping>,
}

fn default_scopes() -> Vec<String> {
    vec!["email".to_owned(), "profile".to_owned()]
}

const fn default_session_hours() -> u32 {
    8
}

/// Who is what.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMapping {
    /// The name of a claim of the ID token, e.g. `groups`, `email` or `sub`.
    pub(crate) claim: String,
    /// Its value, or one of its values where it is a list.
    pub(crate) is: String,
    /// What they are.
    pub(crate) role: RawRole,
    /// Of which teams, with all that are a part of them. Default: of the whole gateway.
    #[serde(default)]
    pub(crate) teams: Vec<String>,
}

/// How people sign in.
#[derive(Clone)]
pub struct LoginSettings {
    /// As it is written: the service's own spelling is a part of its name.
    pub issuer: String,
    /// This gateway's name there.
    pub client_id: String,
    /// Its password there; `None` for a public client.
    pub client_secret: Option<SecretString>,
    /// Scheme, host and port.
    pub origin: String,
    /// What is asked of the service.
    pub scopes: Vec<String>,
    /// How long somebody stays signed in.
    pub session: Duration,
    /// What sessions are sealed with; `None` for a random one.
    pub session_key: Option<SessionKey>,
    /// Authorities that vouch for the service.
    pub ca_file: Option<PathBuf>,
    /// Who is what there.
    pub mappings: Vec<Mapping>,
    /// Where the service must stand; `None` when it may stand anywhere.
    pub confined_to: Option<Networks>,
}

/// Who is what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The claim of a token.
    pub claim: String,
    /// What it must be, or hold.
    pub value: String,
    /// What its bearer may do.
    pub grant: Grant,
}

/// The role of a key: over its team where it has one, otherwise over the whole gateway.
pub(super) fn grant_of(role: Option<RawRole>, team: Option<&TeamName>) -> Option<Grant> {
    Some(Grant {
        role: role?.into(),
        teams: team.cloned().into_iter().collect(),
    })
}

/// How people sign in, if they do. A sealed gateway's login service stands inside.
pub(super) fn login(
    raw: &raw::Config,
    is_sealed: bool,
    inside: &Networks,
) -> Result<Option<LoginSettings>, Complaint> {
    let Some(login) = &raw.login else {
        return Ok(None);
    };
    let issuer = address(&login.issuer, "issuer")?;
    if let Some(address) = literal(&issuer)
        && is_sealed
        && !inside.hold(address)
    {
        let message = format!("{address} is not inside, and the gateway is sealed");
        return Err(Complaint::new(["login", "issuer"], message).hint(
            "name a login service of your own network, or add its network to outbound.allow",
        ));
    }
    let url = address(&login.url, "url")?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(
            Complaint::new(["login", "url"], "a path here leads nowhere")
                .hint(format!("write {}", url.origin().ascii_serialization())),
        );
    }
    if login.roles.is_empty() {
        return Err(Complaint::new(["login", "roles"], "nobody has a role")
            .hint("add one:  roles: [{claim: email, is: ann@example.com, role: admin}]"));
    }
    if !(1..=SESSION_HOURS_MAX).contains(&login.session_hours) {
        let message = format!("{} hours are no session", login.session_hours);
        return Err(Complaint::new(["login", "session_hours"], message)
            .hint(format!("write a number from 1 to {SESSION_HOURS_MAX}")));
    }
    Ok(Some(LoginSettings {
        issuer: login.issuer.clone(),
        client_id: login.client_id.clone(),
        client_secret: login
            .client_secret
            .as_ref()
            .map(|secret| SecretString::from(secret.as_str().to_owned())),
        origin: url.origin().ascii_serialization(),
        scopes: login.scopes.clone(),
        session: Duration::from_secs(u64::from(login.session_hours) * 3_600),
        session_key: session_key(login.session_key.as_ref())?,
        ca_file: login.ca_file.clone(),
        mappings: mappings(&login.roles, &raw.teams)?,
        confined_to: is_sealed.then(|| inside.clone()),
    }))
}

fn session_key(text: Option<&Text>) -> Result<Option<SessionKey>, Complaint> {
    let Some(text) = text else {
        return Ok(None);
    };
    let key = SessionKey::from_secret(text.as_str().as_bytes()).ok_or_else(|| {
        let message =
            format!("a secret of fewer than {SESSION_KEY_BYTES_MIN} bytes can be guessed");
        Complaint::new(["login", "session_key"], message)
            .hint("make one with: openssl rand -hex 32")
    })?;
    Ok(Some(key))
}

fn mappings(
    raw: &[RawMapping],
    teams: &BTreeMap<String, Limited>,
) -> Result<Vec<Mapping>, Complaint> {
    let mut mappings = Vec::with_capacity(raw.len());
    for (index, mapping) in raw.iter().enumerate() {
        let index = index.to_string();
        for (place, team) in mapping.teams.iter().enumerate() {
            if !teams.contains_key(team) {
                let place = place.to_string();
                let path = ["login", "roles", &index, "teams", &place];
                return Err(Complaint::new(path, format!("there is no team `{team}`"))
                    .hint(format!("add it:  teams: {{\"{team}\": {{}}}}")));
            }
        }
        mappings.push(Mapping {
            claim: mapping.claim.clone(),
            value: mapping.is.clone(),
            grant: Grant {
                role: mapping.role.into(),
                teams: mapping
                    .teams
                    .iter()
                    .map(|team| team.as_str().into())
                    .collect(),
            },
        });
    }
    Ok(mappings)
}

/// An address over which secrets may go: TLS, or this machine.
fn address(text: &str, field: &str) -> Result<Url, Complaint> {
    let complaint = |message| Complaint::new(["login", field], message);
    let url =
        Url::parse(text).map_err(|error| complaint(format!("`{text}` is no address: {error}")))?;
    if !is_private(&url) {
        return Err(complaint(format!(
            "{url} would carry secrets readable by all on the way"
        ))
        .hint("use https://; http:// is for 127.0.0.1 only"));
    }
    Ok(url)
}

/// Whether nobody on the way reads what goes to an address.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(url))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        _ => literal(url).is_some_and(|address| address.is_loopback()),
    }
}

/// The address that stands in a URL itself.
pub fn literal(url: &Url) -> Option<std::net::IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}
