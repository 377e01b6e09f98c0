//! What one backend is made of: a row, an address, a key, bounds.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use freehold_types::{BackendId, Dialect, Perimeter, Site};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::catalogue::{AuthScheme, Row, TokenCount};
use crate::dial::Networks;

/// Everything that a [`crate::HostedBackend`] needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The backend's id; usually the row's.
    pub id: BackendId,
    /// What kind of backend it is.
    pub row: Arc<Row>,
    /// Where the API begins, with scheme and version: `http://10.0.0.7:8000/v1`.
    pub base_url: String,
    /// The key, when there is one.
    pub key: Option<SecretString>,
    /// Where its machines stand. Deployments must declare the same site.
    pub site: Site,
    /// Whom to trust, and who we are.
    pub tls: Tls,
    /// The networks that an inside backend's name may resolve to.
    pub inside: Networks,
    /// True for a plaintext server that speaks HTTP/2 without being asked (h2c).
    pub http2_prior_knowledge: bool,
    /// Bounds.
    pub limits: Limits,
    /// How long a look at the backend may take in all.
    pub probe_timeout: Duration,
}

impl Settings {
    /// A backend of this row at the row's own address.
    pub fn for_row(row: Arc<Row>) -> Self {
        Self {
            id: BackendId::new(&row.id),
            base_url: row.base_url.clone(),
            key: None,
            site: row.site(),
            tls: Tls::default(),
            inside: Networks::private(),
            http2_prior_knowledge: false,
            limits: Limits::default(),
            probe_timeout: Duration::from_secs(5),
            row,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: SecretString) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the address.
    #[must_use]
    pub fn with_base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = base_url.into();
        self
    }
}

/// What a connection needs to know of the place that it is made to.
pub(crate) struct Dialled<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) perimeter: Perimeter,
    pub(crate) inside: &'a Networks,
    pub(crate) tls: &'a Tls,
    pub(crate) http2_prior_knowledge: bool,
    pub(crate) limits: Limits,
}

impl Settings {
    pub(crate) fn dialled(&self) -> Dialled<'_> {
        Dialled {
            base_url: &self.base_url,
            perimeter: self.site.perimeter,
            inside: &self.inside,
            tls: &self.tls,
            http2_prior_knowledge: self.http2_prior_knowledge,
            limits: self.limits,
        }
    }
}

/// Whom to trust on the other end of a TLS connection, and how to show who we are.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whether the machine's own certificate authorities are trusted.
    pub system_roots: bool,
    /// Further certificate authorities, as PEM text.
    pub extra_roots_pem: Option<String>,
    /// What to show a server that asks who we are (mutual TLS).
    pub client: Option<ClientCertificate>,
    /// The name that the server's certificate must be for; the URL's host when `None`.
    pub server_name: Option<String>,
}

/// A certificate of our own.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those that vouch for it, as PEM text.
    pub chain_pem: String,
    /// Its private key, as PEM text.
    pub key_pem: SecretString,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            system_roots: true,
            extra_roots_pem: None,
            client: None,
            server_name: None,
        }
    }
}

/// Bounds of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a whole answer's body.
    pub response_bytes: usize,
    /// Of a streamed answer, from its first to its last byte.
    pub stream_bytes: usize,
    /// Of requests at the same time; one more is refused as overloaded, never queued.
    pub in_flight: usize,
    /// Of connections that are kept open while nobody uses them.
    pub idle_connections: usize,
    /// How long they are kept.
    pub idle_connection_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            response_bytes: 64 * 1024 * 1024,
            stream_bytes: 512 * 1024 * 1024,
            in_flight: 4096,
            idle_connections: 256,
            idle_connection_time: Duration::from_secs(75),
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The address is none.
    #[error("`{url}` is not a base URL: {reason}")]
    BaseUrl {
        /// The address, without user and password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is one, but may not be dialled.
    #[error("`{url}` cannot be a backend: {reason}")]
    Address {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A path of the row leads elsewhere.
    #[error("the path `{path}` is not usable: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The backend needs a key.
    #[error("{backend} needs a key: set {variables}")]
    MissingKey {
        /// The row's name.
        backend: String,
        /// Environment variables that may hold it.
        variables: String,
    },
    /// The key cannot be sent in a header.
    #[error("the key of {backend} has characters that cannot be sent in a header")]
    BadKey {
        /// The row's name.
        backend: String,
    },
    /// The key would cross other people's networks readable by all.
    #[error(
        "{backend} is outside and its base URL is not https: the key would be readable on the way"
    )]
    PlaintextKey {
        /// The row's name.
        backend: String,
    },
    /// A header of the row cannot be sent.
    #[error("the header `{name}` cannot be set: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate authorities cannot be used.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Where each thing is asked for, resolved once.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) dialects: Vec<(Dialect, Uri)>,
    pub(crate) listing: Uri,
    pub(crate) context: Option<Uri>,
    /// The URIs of the row's [`TokenCount`], in its order.
    pub(crate) token_count: Vec<Uri>,
}

impl Endpoints {
    pub(crate) fn resolve(row: &Row, base_url: &str) -> Result<Self, SettingsError> {
        let base = parse_base(base_url)?;
        let dialects = row
            .dialects
            .iter()
            .map(|endpoint| {
                let usual = freehold_wire::path(endpoint.dialect).trim_start_matches('/');
                let path = endpoint.path.as_deref().unwrap_or(usual);
                Ok((endpoint.dialect, join(&base, path)?))
            })
            .collect::<Result<_, SettingsError>>()?;
        let context = row.context.as_ref();
        let token_count: &[&String] = match &row.token_count {
            None => &[],
            Some(
                TokenCount::AnthropicMessages { path } | TokenCount::ChatTokenize { path, .. },
            ) => &[path],
            Some(TokenCount::TemplateThenTokenize {
                template_path,
                tokenize_path,
            }) => &[template_path, tokenize_path],
        };
        Ok(Self {
            dialects,
            listing: join(&base, &row.listing.path)?,
            context: context
                .map(|source| join(&base, &source.path))
                .transpose()?,
            token_count: token_count
                .iter()
                .map(|path| join(&base, path))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn of(&self, dialect: Dialect) -> Option<&Uri> {
        let found = self.dialects.iter().find(|(known, _)| *known == dialect);
        found.map(|(_, uri)| uri)
    }
}

/// Checks an address and gives it the final slash that paths are resolved against.
pub(crate) fn parse_base(base_url: &str) -> Result<Url, SettingsError> {
    let error = |url: String, reason: &str| SettingsError::BaseUrl {
        url,
        reason: reason.to_owned(),
    };
    // Before it is parsed, nobody knows where a password might stand in it, so it is not repeated.
    let mut url = Url::parse(base_url.trim())
        .map_err(|reason| error("the given text".to_owned(), &reason.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        let host = url.host_str().unwrap_or_default().to_owned();
        return Err(error(host, "it must hold no user and no password"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(error(url.into(), "it must begin with http:// or https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(error(url.into(), "it must have no `?` and no `#`"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Resolves a path of a row. It must not lead to another server: the key goes with it.
fn join(base: &Url, path: &str) -> Result<Uri, SettingsError> {
    let error = |reason: String| SettingsError::Path {
        path: path.to_owned(),
        reason,
    };
    let url = base
        .join(path)
        .map_err(|reason| error(reason.to_string()))?;
    if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
        return Err(error("it leads to another server".to_owned()));
    }
    Uri::from_str(url.as_str()).map_err(|reason| error(reason.to_string()))
}

/// Headers that the connection or the adapter itself sets.
const RESERVED: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
];

/// The row's own headers.
pub(crate) fn extra_headers(row: &Row) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &row.headers {
        let error = |reason: &str| SettingsError::Header {
            name: name.clone(),
            reason: reason.to_owned(),
        };
        let parsed = HeaderName::from_str(name).map_err(|_| error("it is no header name"))?;
        if RESERVED.contains(&parsed) {
            return Err(error("it belongs to the connection or holds credentials"));
        }
        let value = HeaderValue::from_str(value).map_err(|_| error("its value cannot be sent"))?;
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// Whether a header is set by the connection or the adapter, or would be taken for the connection's.
pub(crate) fn is_the_connections(name: &HeaderName) -> bool {
    RESERVED.contains(name) && *name != header::AUTHORIZATION
}

/// Who we are.
pub(crate) fn user_agent() -> HeaderValue {
    HeaderValue::from_static(concat!("freehold/", env!("CARGO_PKG_VERSION")))
}

/// The headers that every request to the backend carries, the key among them.
pub(crate) fn base_headers(settings: &Settings) -> Result<HeaderMap, SettingsError> {
    let row = &settings.row;
    let mut headers = extra_headers(row)?;
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    headers.insert(header::USER_AGENT, user_agent());
    let Some(key) = &settings.key else {
        if row.auth.required {
            return Err(SettingsError::MissingKey {
                backend: row.name.clone(),
                variables: row.auth.env.join(" or "),
            });
        }
        return Ok(headers);
    };
    let (name, text) = match row.auth.scheme {
        AuthScheme::None => return Ok(headers),
        AuthScheme::Bearer => (
            header::AUTHORIZATION,
            format!("Bearer {}", key.expose_secret()),
        ),
        AuthScheme::XApiKey => (
            HeaderName::from_static("x-api-key"),
            key.expose_secret().to_owned(),
        ),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| SettingsError::BadKey {
        backend: row.name.clone(),
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    refuse_readable_key(settings)?;
    Ok(headers)
}

/// A key may travel in the clear to this machine or within the owner's perimeter, never further.
fn refuse_readable_key(settings: &Settings) -> Result<(), SettingsError> {
    let url = parse_base(&settings.base_url)?;
    if is_readable_on_the_way(&url, settings.site.perimeter) {
        return Err(SettingsError::PlaintextKey {
            backend: settings.row.name.clone(),
        });
    }
    Ok(())
}

/// Whether what is sent crosses other people's networks readable by all.
pub(crate) fn is_readable_on_the_way(url: &Url, perimeter: Perimeter) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && !loopback && perimeter == Perimeter::Outside
}
