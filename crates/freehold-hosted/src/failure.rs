//! What an HTTP status that is no success means: kind, side, and whether trying again helps.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use freehold_types::{BackendId, Dialect, Error, ErrorKind, ErrorSource, Retry};
use http::{HeaderMap, StatusCode, header};

use crate::catalogue::Row;

/// Longer pauses than this are cut: nobody waits a day, and a clock may be wrong.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What an upstream said about trying again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetryAdvice {
    /// Not before this pause.
    pub(crate) after: Option<Duration>,
    /// Whether at all (`x-should-retry`).
    pub(crate) should: Option<bool>,
}

impl RetryAdvice {
    /// Reads `retry-after-ms`, `retry-after` (seconds or a date) and `x-should-retry`.
    pub(crate) fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let millis = text("retry-after-ms").and_then(|text| pause(text, 1e-3));
        let after = millis.or_else(|| {
            let text = text(header::RETRY_AFTER.as_str())?;
            pause(text, 1.0).or_else(|| until(text, headers, now))
        });
        Self {
            after: after.map(|pause| pause.min(PAUSE_MAX)),
            should: match text("x-should-retry") {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
        }
    }
}

/// How long an answer's headers ask to wait: `retry-after-ms`, or `retry-after` in seconds or as a date. `None` when they
/// do not, or the date is past.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    RetryAdvice::read(headers, now).after
}

/// A number of units, as a pause. Fractions occur.
fn pause(text: &str, unit_s: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let seconds = (number * unit_s).min(PAUSE_MAX.as_secs_f64());
    Duration::try_from_secs_f64(seconds).ok()
}

/// The time until a date, by the upstream's own clock where it tells it; none when it is past.
fn until(text: &str, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let then = date(text)?;
    let told = headers
        .get(header::DATE)
        .and_then(|told| told.to_str().ok());
    let now = told.and_then(date).unwrap_or(now);
    Some(then.duration_since(now).unwrap_or_default())
}

/// The error for a response that is no success. Kind, side and usual retry come from the dialect's
/// decoder, which knows status and body; what only the headers and the row tell is added here.
pub(crate) fn classify(
    backend: &BackendId,
    row: &Row,
    dialect: Dialect,
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
) -> Error {
    let advice = RetryAdvice::read(headers, SystemTime::now());
    if status.is_redirection() {
        return redirect(backend, status);
    }
    let loading = status == StatusCode::SERVICE_UNAVAILABLE && row.is_loading(&body);
    let mut error = freehold_wire::decode_error(dialect, status.as_u16(), advice.after, body);
    error.upstream_status = Some(status.as_u16());
    if error.kind == ErrorKind::UpstreamAuth {
        return refused_credentials(backend, status);
    }
    if loading {
        error.kind = ErrorKind::Unavailable;
        error.source_side = ErrorSource::Upstream;
        error.retry = advice.after.map_or(Retry::Soon, Retry::After);
        return error.with_code(MODEL_LOADING);
    }
    error.retry = match (error.retry, advice.should, advice.after) {
        (Retry::Never | Retry::Elsewhere, Some(true), None) => Retry::Soon,
        (Retry::Never | Retry::Elsewhere, Some(true), Some(pause)) => Retry::After(pause),
        (Retry::Soon | Retry::After(_), Some(false), _) => Retry::Elsewhere,
        (usual, _, _) => usual,
    };
    error
}

/// The code of an error that says: the server is up and is loading the model. No failure, only a wait.
pub const MODEL_LOADING: &str = "model_loading";

impl Row {
    fn is_loading(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body).to_lowercase();
        self.loading.iter().any(|sign| text.contains(sign))
    }
}

fn redirect(backend: &BackendId, status: StatusCode) -> Error {
    let status = status.as_u16();
    let message = format!(
        "`{backend}` answered with a redirect (HTTP {status}), which is never followed; \
         its base URL needs to be corrected"
    );
    let mut error = Error::new(ErrorKind::BadUpstream, message)
        .with_code("redirect")
        .with_retry(Retry::Elsewhere);
    error.upstream_status = Some(status);
    error
}

/// Our key was refused. Nothing of the upstream's text is passed on: such texts quote keys, often in part.
fn refused_credentials(backend: &BackendId, status: StatusCode) -> Error {
    let status = status.as_u16();
    let message = format!(
        "`{backend}` refused the gateway's credentials (HTTP {status}); its key needs to be checked"
    );
    let mut error = Error::new(ErrorKind::UpstreamAuth, message);
    error.upstream_status = Some(status);
    error
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
