//! One HTTP exchange: redirects followed by hand, so that credentials stay with their host.
//!
//! reqwest would follow redirects itself, but a Hugging Face token must reach the endpoint
//! and never the storage host that it redirects to, and the headers that describe a large
//! file are on the redirect, not on its target.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, StatusCode};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;
use url::{Origin, Url};

use crate::error::{ModelError, TransferFailure};
use crate::retry::Failure;
use crate::settings::{Credentials, TransportSettings, may_carry_credentials};

const REDIRECTS_MAX: usize = 10;

/// Credentials and the only origin (scheme, host, port) they are sent to.
#[derive(Clone)]
pub(crate) struct Scope {
    origin: Origin,
    credentials: Credentials,
}

impl Scope {
    pub(crate) fn new(base: &Url, credentials: Credentials) -> Self {
        Self {
            origin: base.origin(),
            credentials,
        }
    }

    fn covers(&self, url: &Url) -> bool {
        self.origin == url.origin() && may_carry_credentials(url)
    }
}

/// What is asked for, in words for messages.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// "owner/repo/file", "the package x", or an address without its query.
    pub(crate) what: String,
    /// The page where a person can look at it or ask for access.
    pub(crate) page: Option<String>,
}

/// How far redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// To the end.
    All,
    /// Only within the first origin; the redirect that leaves it is the answer.
    SameOrigin,
}

/// One exchange.
pub(crate) struct Exchange<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) scope: Option<&'a Scope>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) follow: Follow,
    pub(crate) subject: &'a Subject,
}

/// The client with its settings; built when first needed, so that work without a network
/// needs no certificates.
pub(crate) struct Transport {
    client: OnceLock<Client>,
    pub(crate) settings: TransportSettings,
}

impl Transport {
    pub(crate) fn new(settings: TransportSettings) -> Self {
        Self {
            client: OnceLock::new(),
            settings,
        }
    }

    fn client(&self) -> Result<&Client, ModelError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let built = build_client(&self.settings)?;
        Ok(self.client.get_or_init(|| built))
    }

    /// Performs the exchange; the answer has a success status, or is the redirect that
    /// [`Follow::SameOrigin`] stops at.
    pub(crate) async fn exchange(&self, exchange: Exchange<'_>) -> Result<Response, Failure> {
        let client = self.client()?;
        let mut url = exchange.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = client
                .request(exchange.method.clone(), url.clone())
                .header(ACCEPT_ENCODING, "identity");
            for (name, value) in &exchange.headers {
                request = request.header(name, value);
            }
            let scope = exchange.scope.filter(|scope| scope.covers(&url));
            request = match scope.map(|scope| &scope.credentials) {
                Some(Credentials::Bearer(token)) => request.bearer_auth(token.expose_secret()),
                Some(Credentials::Basic { user, password }) => {
                    request.basic_auth(user, Some(password.expose_secret()))
                }
                None => request,
            };
            let response = request
                .send()
                .await
                .map_err(|error| Failure::retry(connection_failure(error)))?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED
            {
                return check_status(response, exchange.subject, &url, scope.is_some());
            }
            let target = redirect_target(&response, &url, exchange.subject)?;
            if exchange.follow == Follow::SameOrigin && target.origin() != url.origin() {
                return Ok(response);
            }
            url = target;
        }
        Err(bad(
            exchange.subject,
            format!("more than {REDIRECTS_MAX} redirects"),
        )
        .into())
    }

    /// Performs the exchange and reads a whole body of bounded size.
    pub(crate) async fn page(
        &self,
        exchange: Exchange<'_>,
        bytes_max: u64,
    ) -> Result<(HeaderMap, Url, Vec<u8>), Failure> {
        let subject = exchange.subject;
        let mut response = self.exchange(exchange).await?;
        let (headers, url) = (response.headers().clone(), response.url().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Failure::retry(connection_failure(error)))?
        {
            if (body.len() + chunk.len()) as u64 > bytes_max {
                return Err(ModelError::TooLarge {
                    what: subject.what.clone(),
                    limit: bytes_max,
                }
                .into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok((headers, url, body))
    }
}

fn build_client(settings: &TransportSettings) -> Result<Client, ModelError> {
    let invalid = |reason: String| ModelError::InvalidSettings {
        setting: "SSL_CERT_FILE or SSL_CERT_DIR, or the system's certificates,".to_owned(),
        reason: format!("{reason} (on Debian, the package ca-certificates brings them)"),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| invalid(error.to_string()))?
        .with_no_client_auth();
    // One stream per connection: HTTP/2 windows would only slow a large file down.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .read_timeout(Duration::from_millis(settings.idle_timeout_ms));
    let builder = if settings.proxies_from_environment {
        builder
    } else {
        builder.no_proxy()
    };
    builder
        .build()
        .map_err(|error| ModelError::InvalidSettings {
            setting: "the HTTP client (proxies, certificates)".to_owned(),
            reason: error_chain(&error),
        })
}

fn redirect_target(response: &Response, from: &Url, subject: &Subject) -> Result<Url, ModelError> {
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let target = location
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| {
            bad(
                subject,
                format!(
                    "status {} without a usable Location",
                    response.status().as_u16()
                ),
            )
        })?;
    if !matches!(target.scheme(), "http" | "https")
        || (from.scheme() == "https" && target.scheme() != "https")
    {
        return Err(bad(
            subject,
            format!(
                "a redirect to {}, which is not encrypted",
                display_url(&target)
            ),
        ));
    }
    Ok(target)
}

fn check_status(
    response: Response,
    subject: &Subject,
    url: &Url,
    token_sent: bool,
) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return check_encoding(response, subject);
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let code = header(&response, "x-error-code")
        .unwrap_or_default()
        .to_owned();
    let what = subject.what.clone();
    Err(match status.as_u16() {
        status @ (401 | 403 | 407) => ModelError::AccessDenied {
            host,
            what,
            status,
            token_sent,
            gated: code == "GatedRepo",
            page: subject.page.clone(),
        }
        .into(),
        404 | 410 => {
            let hint = match code.as_str() {
                "EntryNotFound" => {
                    Some("The repository exists, but has no such file at this revision.".to_owned())
                }
                "RevisionNotFound" => {
                    Some("The repository exists, but has no such branch, tag or commit.".to_owned())
                }
                _ => None,
            };
            ModelError::NotFound {
                what,
                place: display_url(url),
                hint,
            }
            .into()
        }
        // 416 means that what we have on disk does not fit the file of the server any more.
        status @ (408 | 416 | 425 | 429 | 500..=599) => Failure::Retry {
            failure: TransferFailure::Status { status },
            retry_after: retry_after(&response),
            host,
        },
        status => bad(subject, format!("status {status}")).into(),
    })
}

/// The store wants the bytes themselves; an encoding would shift every offset and digest.
fn check_encoding(response: Response, subject: &Subject) -> Result<Response, Failure> {
    match response.headers().get(CONTENT_ENCODING) {
        Some(value) if value.as_bytes() != b"identity" => Err(bad(
            subject,
            "a Content-Encoding that was not asked for".to_owned(),
        )
        .into()),
        _ => Ok(response),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at = time::PrimitiveDateTime::parse(value, &format)
        .ok()?
        .assume_utc();
    Some(
        (at - time::OffsetDateTime::now_utc())
            .try_into()
            .unwrap_or(Duration::ZERO),
    )
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

pub(crate) fn bad(subject: &Subject, reason: String) -> ModelError {
    ModelError::BadResponse {
        what: subject.what.clone(),
        reason,
    }
}

/// The failure without the address, which may carry a signature in its query.
pub(crate) fn connection_failure(error: reqwest::Error) -> TransferFailure {
    TransferFailure::Connection {
        detail: error_chain(&error.without_url()),
    }
}

fn error_chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// An address for messages: without credentials, query and fragment.
pub(crate) fn display_url(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "{}://{}{port}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}
