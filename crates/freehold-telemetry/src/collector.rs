//! One signal's way to the collector: encode, compress, post, and say once when nobody takes it.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use freehold_hosted::{PostSettings, Poster};
use prost::Message;

/// Statuses at which the protocol says to try again.
const AGAIN: [u16; 4] = [429, 502, 503, 504];

/// Why a report was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Untaken {
    pub(crate) why: String,
    /// Whether it may be taken later.
    pub(crate) again: bool,
    /// How long the collector asks to be left alone.
    pub(crate) after: Option<Duration>,
}

/// The collector, as one signal sees it.
pub(crate) struct Collector {
    signal: &'static str,
    poster: Poster,
    gzip: bool,
    /// Whether the last report was not taken.
    failing: bool,
}

impl Collector {
    pub(crate) fn new(
        signal: &'static str,
        settings: &PostSettings,
        gzip: bool,
    ) -> Result<Self, freehold_hosted::SettingsError> {
        Ok(Self {
            signal,
            poster: Poster::new(settings)?,
            gzip,
            failing: false,
        })
    }

    /// Whether the last report was not taken.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Sends a report, once.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(crate) async fn send<M, A>(&self, report: &M) -> Result<A, Untaken>
    where
        M: Message,
        A: Message + Default,
    {
        let plain = report.encode_to_vec();
        let packed = self.gzip.then(|| packed(&plain)).flatten();
        let (body, encoding) = match packed {
            Some(packed) => (packed, Some("gzip")),
            None => (plain, None),
        };
        let posted = self.poster.post(Bytes::from(body), encoding).await;
        let posted = posted.map_err(|error| Untaken {
            why: error.message,
            again: true,
            after: None,
        })?;
        if !(200..300).contains(&posted.status) {
            return Err(Untaken {
                // What the other side writes is its text, and stays out of the log.
                why: format!("it answered with status {}", posted.status),
                again: AGAIN.contains(&posted.status),
                after: posted.retry_after,
            });
        }
        // An answer in another form says no more than its status.
        Ok(A::decode(posted.body).unwrap_or_default())
    }

    /// Says when reports begin not to be taken, and when they are taken again.
    pub(crate) fn note(&mut self, failure: Option<&str>) {
        let signal = self.signal;
        match (failure, self.failing) {
            (Some(why), false) => {
                tracing::warn!(
                    "{signal} do not reach the collector, and are lost until they do: {why}"
                );
            }
            (None, true) => tracing::info!("{signal} reach the collector again"),
            (Some(_), true) | (None, false) => {}
        }
        self.failing = failure.is_some();
    }
}

/// The same bytes, compressed; `None` when that fails, which it does not in memory.
fn packed(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}
