//! Posts reports to one configured address: the collector of traces and metrics. It is dialled as a
//! backend is: through the same gate, with the same TLS, without proxies and redirects.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use freehold_ports::Timeouts;
use freehold_types::{BackendId, Error, Perimeter};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::connection::{self, HttpClient};
use crate::dial::Networks;
use crate::exchange::{self, Deadlines};
use crate::settings::{self, Dialled, Limits, SettingsError, Tls};

/// Answers to reports are short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Everything that a [`Poster`] needs.
#[derive(Clone, Debug)]
pub struct PostSettings {
    /// What to call the place in errors.
    pub name: String,
    /// Where each report goes, path and all.
    pub url: String,
    /// On whose machines that is.
    pub perimeter: Perimeter,
    /// The networks that the name of an inside place may resolve to.
    pub inside: Networks,
    /// Whom to trust, and who we are.
    pub tls: Tls,
    /// What each report carries beside the body, credentials among them.
    pub headers: Vec<(String, SecretString)>,
    /// What the bodies are.
    pub content_type: &'static str,
    /// How long a report may take.
    pub timeout: Duration,
}

/// What the other side said to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status.
    pub status: u16,
    /// How long it asks to be left alone, when it says so in seconds.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Posts bodies to one address.
pub struct Poster {
    name: BackendId,
    uri: Uri,
    headers: HeaderMap,
    client: HttpClient,
    timeout: Duration,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Poster {
    /// A poster with its own connections. Connects to nothing yet.
    ///
    /// # Errors
    /// When the settings cannot be used: no URL, an address that may not be dialled, a header that
    /// cannot be sent, credentials that would be readable on the way, no trusted authority.
    pub fn new(settings: &PostSettings) -> Result<Self, SettingsError> {
        let base = settings::parse_base(&settings.url)?;
        let plain = !settings.headers.is_empty();
        if plain && settings::is_readable_on_the_way(&base, settings.perimeter) {
            return Err(SettingsError::PlaintextKey {
                backend: settings.name.clone(),
            });
        }
        let client = connection::client(&Dialled {
            base_url: &settings.url,
            perimeter: settings.perimeter,
            inside: &settings.inside,
            tls: &settings.tls,
            http2_prior_knowledge: false,
            limits: Limits::default(),
        })?;
        // The path as it is written: a base URL ends with a slash.
        let url = Url::parse(settings.url.trim());
        let unusable = |reason: String| SettingsError::Path {
            path: base.path().to_owned(),
            reason,
        };
        let url = url.map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            uri: Uri::from_str(url.as_str()).map_err(|error| unusable(error.to_string()))?,
            headers: headers(settings)?,
            name: BackendId::new(&settings.name),
            client,
            timeout: settings.timeout,
        })
    }

    /// Sends one body and waits for the whole answer. `encoding` names how the body is compressed.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn post(&self, body: Bytes, encoding: Option<&'static str>) -> Result<Posted, Error> {
        let deadlines = Deadlines::start(Timeouts {
            connect: self.timeout,
            first_byte: self.timeout,
            idle: self.timeout,
        });
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(encoding) = encoding {
            let encoding = HeaderValue::from_static(encoding);
            request
                .headers_mut()
                .insert(header::CONTENT_ENCODING, encoding);
        }
        let mut response = exchange::send(&self.client, &self.name, request, &deadlines).await?;
        let body = response.body_mut();
        let body = exchange::read_whole(&self.name, body, &deadlines, ANSWER_BYTES_MAX).await?;
        let seconds = response.headers().get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Ok(Posted {
            status: response.status().as_u16(),
            retry_after: seconds.map(Duration::from_secs),
            body,
        })
    }
}

fn headers(settings: &PostSettings) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let error = |reason: &str| SettingsError::Header {
            name: name.clone(),
            reason: reason.to_owned(),
        };
        let parsed = HeaderName::from_str(name).map_err(|_| error("it is no header name"))?;
        if settings::is_the_connections(&parsed) {
            return Err(error("it belongs to the connection"));
        }
        let value = HeaderValue::from_str(value.expose_secret());
        let mut value = value.map_err(|_| error("its value cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(settings.content_type),
    );
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    headers.insert(header::USER_AGENT, settings::user_agent());
    Ok(headers)
}
