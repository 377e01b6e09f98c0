//! One HTTP exchange under the deadlines of an attempt, and what its failures mean.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use freehold_ports::Timeouts;
use freehold_types::{BackendId, Error, ErrorKind, Retry};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::{Instant, timeout_at};

use crate::connection::HttpClient;
use crate::dial::connector::Used;
use crate::dial::gate::DialError;
use crate::dial::resolver::ResolveError;
use crate::secret::Scrubber;

/// The [`Error::code`] of a connection that ended before an answer began.
const CONNECTION_RESET: &str = "connection_reset";
/// A server that closes a kept connection later has seen the request.
const STALE: Duration = Duration::from_secs(1);

/// The moments by which things must have happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    connected: Instant,
    /// The answer's first byte, counted from the attempt's begin.
    pub(crate) first_byte: Instant,
    timeouts: Timeouts,
}

impl Deadlines {
    pub(crate) fn start(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            connected: after(now, timeouts.connect),
            first_byte: after(now, timeouts.first_byte),
            timeouts,
        }
    }

    pub(crate) fn idle(&self) -> Duration {
        self.timeouts.idle
    }

    pub(crate) fn first_byte_error(&self, backend: &BackendId) -> Error {
        let limit = seconds(self.timeouts.first_byte);
        timeout(
            format!("`{backend}` sent no first byte of an answer within {limit}"),
            "first_byte_timeout",
        )
    }

    pub(crate) fn idle_error(&self, backend: &BackendId) -> Error {
        let limit = seconds(self.timeouts.idle);
        timeout(
            format!(
                "`{backend}` stopped sending in the middle of an answer and was idle for {limit}"
            ),
            "idle_timeout",
        )
    }

    fn connect_error(&self, backend: &BackendId) -> Error {
        let limit = seconds(self.timeouts.connect);
        timeout(
            format!("no connection to `{backend}` was established within {limit}"),
            "connect_timeout",
        )
    }
}

/// A moment as far ahead as a clock can tell when the duration is absurd.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    now + duration.min(FAR)
}

fn timeout(message: String, code: &str) -> Error {
    Error::new(ErrorKind::Timeout, message).with_code(code)
}

/// `10 s`, `1.5 s`, `250 ms`.
fn seconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis < 1_000 => format!("{millis} ms"),
        _ => format!("{} s", duration.as_secs_f64()),
    }
}

/// Sends a request and waits for the head of the response.
pub(crate) async fn send(
    client: &HttpClient,
    backend: &BackendId,
    mut request: Request<Full<Bytes>>,
    deadlines: &Deadlines,
) -> Result<Response<Incoming>, Error> {
    let connection = capture_connection(&mut request);
    let begun = Instant::now();
    let mut response = client.request(request);
    let first = deadlines.connected.min(deadlines.first_byte);
    let mut outcome = timeout_at(first, &mut response).await;
    if outcome.is_err() && deadlines.first_byte > first {
        if connection.connection_metadata().is_none() {
            return Err(deadlines.connect_error(backend));
        }
        outcome = timeout_at(deadlines.first_byte, &mut response).await;
    }
    let kept = carried_before(&connection);
    match outcome {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => {
            let error = no_response(backend, &error);
            let closed = error.code.as_deref() == Some(CONNECTION_RESET);
            if closed && kept && begun.elapsed() < STALE {
                return Err(error.with_code(Error::CONNECTION_STALE));
            }
            Err(error)
        }
        Err(_) => Err(deadlines.first_byte_error(backend)),
    }
}

/// Whether the connection of this request has carried another one. Those of HTTP/2 always say goodbye.
fn carried_before(connection: &CaptureConnection) -> bool {
    let metadata = connection.connection_metadata();
    let Some(connected) = metadata.as_ref().filter(|one| !one.is_negotiated_h2()) else {
        return false;
    };
    let mut extras = http::Extensions::new();
    connected.get_extras(&mut extras);
    extras.get::<Used>().is_some_and(Used::again)
}

/// Reads a whole body, at most `limit_bytes` of it.
pub(crate) async fn read_whole(
    backend: &BackendId,
    body: &mut Incoming,
    deadlines: &Deadlines,
    limit_bytes: usize,
) -> Result<Bytes, Error> {
    if body.size_hint().lower() > u64::try_from(limit_bytes).unwrap_or(u64::MAX) {
        return Err(too_long(backend, limit_bytes));
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut deadline = deadlines.first_byte;
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(cut(backend, &error)),
            Ok(None) => break,
            Err(_) if deadline == deadlines.first_byte => {
                return Err(deadlines.first_byte_error(backend));
            }
            Err(_) => return Err(deadlines.idle_error(backend)),
        };
        deadline = after(Instant::now(), deadlines.idle());
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + whole.len() + data.len() > limit_bytes {
            return Err(too_long(backend, limit_bytes));
        }
        // Most answers come in one piece, which then need not be copied.
        match (first.is_empty(), whole.is_empty()) {
            (true, true) => first = data,
            (false, true) => {
                whole.reserve(first.len() + data.len());
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&data);
            }
            (_, false) => whole.extend_from_slice(&data),
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

/// Checks bytes that clients will see: they must be text, and not hold our key. A decoder may skip
/// what it does not know, so it vouches for neither.
pub(crate) fn check_bytes(scrubber: &Scrubber, bytes: &[u8]) -> Result<(), Error> {
    if scrubber.occurs_in(bytes) {
        return Err(scrubber.leak());
    }
    std::str::from_utf8(bytes).map(|_| ()).map_err(|_| {
        let message = "the upstream's answer cannot be read: it is no UTF-8";
        Error::new(ErrorKind::BadUpstream, message)
    })
}

/// An answer that exceeds its bound.
pub(crate) fn too_long(backend: &BackendId, limit_bytes: usize) -> Error {
    let message = format!("`{backend}` sent an answer of more than {limit_bytes} bytes");
    Error::new(ErrorKind::BadUpstream, message)
        .with_code("answer_too_large")
        .with_retry(Retry::Elsewhere)
}

/// An answer that broke off.
pub(crate) fn cut(backend: &BackendId, error: &hyper::Error) -> Error {
    tracing::debug!(%backend, %error, cause = cause(error), "answer cut");
    let message = format!("`{backend}` closed the connection in the middle of an answer");
    Error::new(ErrorKind::BadUpstream, message).with_code("answer_cut")
}

/// No response at all: not reached, or the connection broke before the head of one.
fn no_response(backend: &BackendId, error: &hyper_util::client::legacy::Error) -> Error {
    tracing::debug!(%backend, %error, cause = cause(error), "no response");
    let (what, code) = chain(error)
        .find_map(known_failure)
        .unwrap_or(if error.is_connect() {
            ("no connection could be made", "connect_failure")
        } else {
            (
                "it closed the connection before it answered",
                CONNECTION_RESET,
            )
        });
    let message = format!("`{backend}` cannot be reached: {what}");
    Error::new(ErrorKind::Unavailable, message).with_code(code)
}

/// What kept a connection from being made. In words of our own: the system's texts name addresses.
fn known_failure(error: &(dyn StdError + 'static)) -> Option<(&'static str, &'static str)> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some((tls_failure(error), "tls_failure"));
    }
    match error.downcast_ref::<ResolveError>() {
        Some(ResolveError::Refused(DialError::NoAddress(_)) | ResolveError::System(_)) => {
            return Some(("its name does not resolve", "dns_failure"));
        }
        Some(ResolveError::Refused(_)) => return Some(REFUSED),
        None => {}
    }
    if error.is::<DialError>() {
        return Some(REFUSED);
    }
    let io = error.downcast_ref::<std::io::Error>()?;
    (io.kind() == std::io::ErrorKind::ConnectionRefused)
        .then_some(("it refused the connection", "connection_refused"))
}

const REFUSED: (&str, &str) = (
    "its address is none that the gateway may dial; the operator's log names it",
    "address_refused",
);

fn tls_failure(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as C;
    match error {
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "the TLS handshake failed: its certificate has expired"
        }
        rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "the TLS handshake failed: its certificate is not valid yet"
        }
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
            "the TLS handshake failed: no trusted authority vouches for its certificate"
        }
        rustls::Error::InvalidCertificate(
            C::NotValidForName | C::NotValidForNameContext { .. },
        ) => "the TLS handshake failed: its certificate is for another name",
        rustls::Error::AlertReceived(_) => {
            "the TLS handshake failed: it refused us; it may want a client certificate"
        }
        _ => "the TLS handshake failed",
    }
}

type Cause<'e> = &'e (dyn StdError + 'static);

/// An error and everything below it.
fn chain<'e>(error: Cause<'e>) -> impl Iterator<Item = Cause<'e>> {
    std::iter::successors(Some(error), |error| below(*error))
}

fn below(error: Cause<'_>) -> Option<Cause<'_>> {
    // The error that an I/O error wraps is not its source, but stands in its place.
    let io = error.downcast_ref::<std::io::Error>();
    match io.and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The innermost reason, for logs.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error.source();
    while let Some(inner) = last.and_then(std::error::Error::source) {
        last = Some(inner);
    }
    last.map(ToString::to_string).unwrap_or_default()
}
