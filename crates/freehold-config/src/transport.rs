//! How connections are made and taken: TLS on both sides, and where the gateway may dial.

use std::path::PathBuf;
use std::time::SystemTime;

use freehold_hosted::{ClientCertificate, Networks, Row, SettingsError};
use freehold_http::{Tls, TlsError, TlsSettings};
use freehold_types::Perimeter;
use schemars::JsonSchema;
use serde::Deserialize;

use super::certificates::{self, Fault};
use super::settings::Environment;
use super::{Complaint, raw};

/// TLS of the clients' listener.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTls {
    /// A file with the certificate and those that vouch for it, as PEM. A change of the file is
    /// noticed and shown from the next connection on.
    pub(crate) certificate: PathBuf,
    /// A file with its private key, as PEM, without a passphrase.
    pub(crate) key: PathBuf,
    /// A file of authorities, as PEM. With it, only clients that show a certificate of theirs get
    /// a connection (mutual TLS); they need an API key nonetheless.
    pub(crate) client_ca: Option<PathBuf>,
}

/// TLS towards one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackendTls {
    /// A file of authorities to trust, as PEM.
    pub(crate) ca: Option<PathBuf>,
    /// Trust only `ca`, not the system's authorities beside it. Default: false.
    pub(crate) only_ca: bool,
    /// A file with the gateway's own certificate, as PEM, for servers that ask for one (mutual
    /// TLS).
    pub(crate) certificate: Option<PathBuf>,
    /// A file with its private key, as PEM, without a passphrase.
    pub(crate) key: Option<PathBuf>,
    /// The name that the server's certificate must be for. Default: the host of `base_url`.
    pub(crate) server_name: Option<String>,
}

/// Where the gateway may dial, beside the rule that it dials only the addresses of backends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Outbound {
    /// The networks in which inside backends stand, e.g. `[10.20.0.0/16, "fd12::/16"]`. A backend
    /// that is inside, and whose name resolves to anything else, is not dialled. Default: loopback,
    /// RFC 1918 and IPv6 unique local addresses, and what `base_url` names as a literal address.
    pub(crate) allow: Option<Vec<String>>,
}

/// What the listener's TLS was made of, to make it again when a file changes.
pub struct ListenerTls {
    /// As the configuration names the files.
    pub settings: TlsSettings,
    /// What was made of them.
    pub tls: Tls,
}

impl std::fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListenerTls").finish_non_exhaustive()
    }
}

/// Reads and checks the listener's certificate.
pub(super) fn listener(
    raw: &ServerTls,
    now: SystemTime,
    hints: &mut Vec<String>,
) -> Result<ListenerTls, Complaint> {
    let at = |field| move |fault: Fault| fault.complain(["server", "tls", field]);
    let settings = TlsSettings {
        chain_pem: certificates::chain(&raw.certificate, now).map_err(at("certificate"))?,
        key_pem: certificates::key(&raw.key, hints).map_err(at("key"))?,
        client_authorities_pem: raw
            .client_ca
            .as_deref()
            .map(|path| certificates::authorities(path, now).map_err(at("client_ca")))
            .transpose()?,
    };
    let tls = Tls::new(&settings).map_err(|error| {
        let (field, path) = match &error {
            TlsError::Key(_) => ("key", &raw.key),
            TlsError::ClientAuthorities(_) => (
                "client_ca",
                raw.client_ca.as_ref().unwrap_or(&raw.certificate),
            ),
            TlsError::Certificate(_) | TlsError::Other(_) => ("certificate", &raw.certificate),
        };
        let message = format!("{}: {error}", path.display());
        Complaint::new(["server", "tls", field], message)
    })?;
    Ok(ListenerTls { settings, tls })
}

/// Reads and checks the certificates for one backend. `ca_file` is the short form of `tls.ca`.
pub(super) fn backend(
    name: &str,
    backend: &raw::Backend,
    now: SystemTime,
    hints: &mut Vec<String>,
) -> Result<freehold_hosted::Tls, Complaint> {
    let raw = &backend.tls;
    let in_the_clear = backend
        .base_url
        .as_ref()
        .is_some_and(|url| url.as_str().trim_start().starts_with("http:"));
    if in_the_clear && *raw != BackendTls::default() {
        return Err(Complaint::new(
            ["backends", name, "tls"],
            "`base_url` begins with http:, so that nothing is encrypted",
        )
        .hint("begin it with https:"));
    }
    let Some(ca_file) = backend.ca_file.as_deref() else {
        return towards(&["backends", name, "tls"], raw, now, hints);
    };
    if raw.ca.is_some() {
        return Err(Complaint::new(
            ["backends", name, "tls", "ca"],
            "`ca_file` says the same; keep one of them",
        ));
    }
    let authorities = certificates::authorities(ca_file, now)
        .map_err(|fault| fault.complain(["backends", name, "ca_file"]))?;
    let without_ca = BackendTls {
        only_ca: false,
        ..raw.clone()
    };
    let tls = towards(&["backends", name, "tls"], &without_ca, now, hints)?;
    Ok(freehold_hosted::Tls {
        system_roots: !raw.only_ca,
        extra_roots_pem: Some(authorities),
        ..tls
    })
}

/// Reads and checks the certificates for what is dialled; `place` is where the file names them.
pub(super) fn towards(
    place: &[&str],
    raw: &BackendTls,
    now: SystemTime,
    hints: &mut Vec<String>,
) -> Result<freehold_hosted::Tls, Complaint> {
    let path = |field| -> Vec<&str> { place.iter().copied().chain([field]).collect() };
    let at = |field| move |fault: Fault| fault.complain(path(field));
    if raw.ca.is_none() && raw.only_ca {
        return Err(Complaint::new(path("only_ca"), "there is no `ca` to trust"));
    }
    let authorities = raw.ca.as_deref();
    let authorities = authorities
        .map(|file| certificates::authorities(file, now).map_err(at("ca")))
        .transpose()?;
    let client = match (&raw.certificate, &raw.key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate {
            chain_pem: certificates::chain(certificate, now).map_err(at("certificate"))?,
            key_pem: certificates::key(key, hints).map_err(at("key"))?,
        }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Complaint::new(
                path("certificate"),
                "its private key is missing: `key`",
            ));
        }
        (None, Some(_)) => {
            return Err(Complaint::new(
                path("key"),
                "its certificate is missing: `certificate`",
            ));
        }
    };
    Ok(freehold_hosted::Tls {
        system_roots: !raw.only_ca,
        extra_roots_pem: authorities,
        client,
        server_name: raw.server_name.clone(),
    })
}

/// The networks that count as inside.
pub(super) fn inside(raw: &Outbound) -> Result<Networks, Complaint> {
    let Some(allow) = &raw.allow else {
        return Ok(Networks::private());
    };
    Networks::declared(allow).map_err(|error| {
        Complaint::new(
            ["outbound", "allow", &error.index.to_string()],
            error.to_string(),
        )
    })
}

/// A sealed gateway has no outside backend, and nobody calls a vendor's own servers inside.
pub(super) fn check_perimeter(
    name: &str,
    raw: &raw::Backend,
    row: &Row,
    perimeter: Perimeter,
    sealed: bool,
) -> Result<(), Complaint> {
    let at_vendor = raw
        .base_url
        .as_ref()
        .is_none_or(|url| same_host(url.as_str(), &row.base_url));
    if row.perimeter == Perimeter::Outside && perimeter == Perimeter::Inside && at_vendor {
        let host = host(&row.base_url).unwrap_or_default();
        return Err(Complaint::new(
            ["backends", name, "perimeter"],
            format!(
                "{host} is {}'s own server, which is outside whatever is written here",
                row.name
            ),
        )
        .hint("set `base_url` to your own server, or leave `perimeter` out"));
    }
    if !(sealed && perimeter == Perimeter::Outside) {
        return Ok(());
    }
    let url = raw
        .base_url
        .as_ref()
        .map_or(row.base_url.as_str(), |url| url.as_str());
    let message = format!(
        "the backend `{name}` ({}) is outside, and the perimeter is sealed",
        host(url).unwrap_or_else(|| row.name.clone())
    );
    let complaint = if raw.perimeter.is_some() {
        Complaint::new(["backends", name, "perimeter"], message)
    } else {
        Complaint::new(["backends", name], message)
    };
    Err(complaint.hint(
        "remove it, or write `perimeter: inside` if it runs on your own machines; \
         to use it, drop `perimeter: sealed` and --sealed",
    ))
}

fn host(url: &str) -> Option<String> {
    Some(url::Url::parse(url).ok()?.host_str()?.to_owned())
}

fn same_host(one: &str, other: &str) -> bool {
    let one = host(one);
    one.is_some() && one == host(other)
}

/// A backend that cannot be used, at the place in the file that says so.
pub(super) fn complain(name: &str, error: &SettingsError) -> Complaint {
    let message = error.to_string();
    match error {
        SettingsError::BaseUrl { .. } => Complaint::new(["backends", name, "base_url"], message),
        SettingsError::Address { .. } => Complaint::new(["backends", name, "base_url"], message)
            .hint("the gateway dials the addresses of models, inside networks of `outbound.allow`"),
        SettingsError::Tls(_) => Complaint::new(["backends", name, "tls"], message),
        _ => Complaint::new(["backends", name], message),
    }
}

/// Says what works but may surprise: readable traffic, and proxies that are not asked.
pub(super) fn warn(
    raw: &raw::Config,
    environment: &Environment,
    dials_nobody: bool,
    hints: &mut Vec<String>,
) {
    if raw.server.tls.is_none() && !raw.server.listen.ip().is_loopback() {
        hints.push(format!(
            "{} is reachable from other machines without TLS: set server.tls, or put a proxy that \
             speaks it in front",
            raw.server.listen
        ));
    }
    if let Some(admin) = raw.server.admin
        && raw.server.tls.is_none()
        && !admin.ip().is_loopback()
    {
        hints.push(format!(
            "the operator's listener {admin} is reachable from other machines without TLS: set \
             server.tls, or put a proxy that speaks it in front"
        ));
    }
    let proxies = [
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "https_proxy",
        "http_proxy",
        "all_proxy",
    ];
    let set = proxies
        .into_iter()
        .find(|name| (environment.variable)(name).is_some_and(|value| !value.is_empty()));
    if let (Some(name), false) = (set, dials_nobody) {
        hints.push(format!(
            "{name} is set and ignored: backends are dialled directly"
        ));
    }
}

/// The files of certificates that a configuration names: their changes are a reload, too.
pub(super) fn files(raw: &raw::Config) -> Vec<PathBuf> {
    let server = raw.server.tls.iter().flat_map(|tls| {
        let files = [
            Some(&tls.certificate),
            Some(&tls.key),
            tls.client_ca.as_ref(),
        ];
        files.into_iter().flatten()
    });
    let backends = raw.backends.values().flat_map(|backend| {
        let tls = &backend.tls;
        let files = [&backend.ca_file, &tls.ca, &tls.certificate, &tls.key];
        files.into_iter().flatten()
    });
    server.chain(backends).cloned().collect()
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
