//! The HTTP client: pooled connections, HTTP/1.1 and HTTP/2, TLS. It follows no redirect, speaks to no
//! proxy and decompresses nothing. Where it may connect to is [`crate::dial`]'s affair.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::dial::connector::GatedConnector;
use crate::dial::gate::Gate;
use crate::dial::tls;
use crate::settings::{Dialled, SettingsError, parse_base};

pub(crate) type HttpClient = Client<HttpsConnector<GatedConnector>, Full<Bytes>>;

/// A broken HTTP/2 connection carries many answers: notice it before their idle timeouts do.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Enough that one stream is not held up by round trips, and a bound on what a stalled reader buffers.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const HTTP2_HEADER_LIST_BYTES: u32 = 64 * 1024;
const HTTP1_BUFFER_BYTES: usize = 256 * 1024;

pub(crate) fn client(settings: &Dialled<'_>) -> Result<HttpClient, SettingsError> {
    let base = parse_base(settings.base_url)?;
    let gate = Gate::new(&base, settings.perimeter, settings.inside)?;
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls::config(settings)?)
        .https_or_http();
    let builder = match tls::server_name(settings.tls)? {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    let connector = builder
        .enable_all_versions()
        .wrap_connector(GatedConnector::new(gate));
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
