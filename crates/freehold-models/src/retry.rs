//! Repeating what failed: bounded, with growing waits, and as long as the server wishes.

use std::time::Duration;

use crate::error::{ModelError, TransferFailure};
use crate::http::Transport;
use crate::progress::{Progress, ProgressEvent};

/// How one attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt would fail the same way.
    Fatal(ModelError),
    /// Another attempt may succeed.
    Retry {
        failure: TransferFailure,
        retry_after: Option<Duration>,
        host: String,
    },
}

impl Failure {
    pub(crate) fn retry(failure: TransferFailure) -> Self {
        Self::Retry {
            failure,
            retry_after: None,
            host: String::new(),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::Fatal(error)
    }
}

/// The attempts made for one thing.
pub(crate) struct Attempts<'a> {
    transport: &'a Transport,
    progress: &'a dyn Progress,
    what: String,
    total: u32,
    fruitless: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(transport: &'a Transport, what: &str, progress: &'a dyn Progress) -> Self {
        Self {
            transport,
            progress,
            what: what.to_owned(),
            total: 0,
            fruitless: 0,
        }
    }

    /// Takes note of a failed attempt and returns when the next may begin.
    /// `progressed` says whether the attempt brought new bytes.
    pub(crate) async fn failed(
        &mut self,
        failure: Failure,
        progressed: bool,
    ) -> Result<(), ModelError> {
        let (failure, retry_after, host) = match failure {
            Failure::Fatal(error) => return Err(error),
            Failure::Retry {
                failure,
                retry_after,
                host,
            } => (failure, retry_after, host),
        };
        let retry = &self.transport.settings.retry;
        self.total += 1;
        self.fruitless = if progressed { 1 } else { self.fruitless + 1 };
        if self.fruitless >= retry.fruitless_attempts_max || self.total >= retry.attempts_max {
            return Err(ModelError::Network {
                what: self.what.clone(),
                attempts: self.fruitless,
                source: failure,
            });
        }
        let wait = match retry_after {
            Some(wait) if wait.as_secs() > retry.retry_after_max_seconds => {
                return Err(ModelError::RateLimited {
                    host,
                    wait_seconds: wait.as_secs(),
                });
            }
            Some(wait) => wait,
            None => {
                let doubled = retry
                    .backoff_first_ms
                    .saturating_mul(1 << (self.fruitless - 1).min(20));
                Duration::from_millis(doubled.min(retry.backoff_max_ms))
            }
        };
        tracing::debug!(what = %self.what, %failure, wait_ms = wait.as_millis(), "an attempt failed, trying again");
        self.progress.event(&ProgressEvent::Retrying {
            file_name: self.what.clone(),
            attempt: self.fruitless,
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            reason: failure.to_string(),
        });
        self.transport.settings.pause.pause(wait).await;
        Ok(())
    }
}
