//! The HTTP client: pooled connections, HTTP/1.1 and HTTP/2, TLS. It follows no redirect, speaks to no
//! proxy and decompresses nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::settings::{Settings, SettingsError, Tls};

pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A connection that the call which wanted it no longer waits for may still be finished for the pool,
/// but not for longer than this.
const BACKGROUND_CONNECT: Duration = Duration::from_secs(60);
const TCP_KEEPALIVE: Duration = Duration::from_secs(45);
/// A broken HTTP/2 connection carries many answers: notice it before their idle timeouts do.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Enough that one stream is not held up by round trips, and a bound on what a stalled reader buffers.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const HTTP2_HEADER_LIST_BYTES: u32 = 64 * 1024;
const HTTP1_BUFFER_BYTES: usize = 256 * 1024;

pub(crate) fn client(settings: &Settings) -> Result<HttpClient, SettingsError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Requests and tokens are small: Nagle's algorithm would hold them back.
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.set_connect_timeout(Some(BACKGROUND_CONNECT));

    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls_config(settings)?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let limits = &settings.limits;
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(limits.idle_connections)
        .pool_idle_timeout(limits.idle_connection_time)
        .http1_max_buf_size(HTTP1_BUFFER_BYTES)
        .http2_only(settings.http2_prior_knowledge)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HTTP2_HEADER_LIST_BYTES)
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .build(connector))
}

fn tls_config(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let https = settings.base_url.trim_start().starts_with("https:");
    // A plaintext server on a machine without certificate authorities must work too.
    let roots = if https {
        roots(&settings.tls)?
    } else {
        Arc::new(RootCertStore::empty())
    };
    // Named, not taken from the process: another crate may have installed none, or a different one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots(tls: &Tls) -> Result<Arc<RootCertStore>, SettingsError> {
    let system = tls.system_roots.then(system_roots);
    let Some(pem) = &tls.extra_roots_pem else {
        return match system {
            Some(roots) if !roots.is_empty() => Ok(roots),
            _ => Err(SettingsError::Tls(
                "no certificate authority is trusted: install the system's (package ca-certificates) \
                 or name some in the settings"
                    .to_owned(),
            )),
        };
    };
    let mut roots = system.map_or_else(RootCertStore::empty, |roots| (*roots).clone());
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| {
            SettingsError::Tls(format!("the extra certificates are not PEM: {error}"))
        })?;
        roots
            .add(certificate)
            .map_err(|error| SettingsError::Tls(format!("an extra certificate: {error}")))?;
    }
    if roots.len() == before {
        return Err(SettingsError::Tls(
            "the extra certificates hold none".to_owned(),
        ));
    }
    Ok(Arc::new(roots))
}

/// The machine's certificate authorities, read once: there are many and they change rarely.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system certificate store could not be read");
        }
        let mut roots = RootCertStore::empty();
        let (valid, invalid) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(valid, invalid, "read the system's certificate authorities");
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(load))
}
