//! One file over HTTP: continued where an earlier attempt stopped, hashed while it arrives.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::blocking;
use crate::digest::Sha256Digest;
use crate::error::{ModelError, TransferFailure};
use crate::http::{Exchange, Follow, Scope, Subject, Transport, bad, connection_failure, header};
use crate::layout::{Layout, PullLock};
use crate::partial::{Partial, PartialState, Writer};
use crate::progress::{Progress, ProgressEvent};
use crate::retry::{Attempts, Failure};
use crate::settings::Limits;

/// What every transfer of one pull shares.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) transport: Arc<Transport>,
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    pub(crate) lock: Arc<PullLock>,
    pub(crate) progress: Arc<dyn Progress>,
}

/// One file to fetch.
pub(crate) struct Download<'a> {
    pub(crate) context: &'a Context,
    pub(crate) url: &'a Url,
    pub(crate) scope: Option<&'a Scope>,
    pub(crate) subject: Subject,
    /// The name for progress events.
    pub(crate) file_name: String,
    /// Place and number of files in this pull, from 1.
    pub(crate) part: (u32, u32),
    pub(crate) expected_sha256: Option<Sha256Digest>,
    pub(crate) expected_bytes: Option<u64>,
    /// What the endpoint says the content is; bytes of another identity are not continued.
    pub(crate) identity: Option<String>,
}

/// A fetched file, still at its temporary place.
#[derive(Debug)]
pub(crate) struct Downloaded {
    pub(crate) path: PathBuf,
    pub(crate) digest: Sha256Digest,
    pub(crate) size_bytes: u64,
    /// Bytes that came over the network in this call.
    pub(crate) transferred_bytes: u64,
}

/// The end of one successful attempt.
struct Complete {
    digest: Sha256Digest,
    size_bytes: u64,
    continued: bool,
}

impl Download<'_> {
    /// Fetches the file with as many attempts as the settings allow.
    pub(crate) async fn run(&self) -> Result<Downloaded, ModelError> {
        let partial = Partial::of(&self.context.layout, self.url.as_str());
        let mut attempts = Attempts::new(
            &self.context.transport,
            &self.file_name,
            self.context.progress.as_ref(),
        );
        let mut transferred_bytes = 0;
        let mut began_anew = false;
        loop {
            let before = transferred_bytes;
            match self.attempt(&partial, &mut transferred_bytes).await {
                Ok(complete) => match self.expected_sha256 {
                    Some(expected) if expected != complete.digest => {
                        discard(&partial).await?;
                        if !complete.continued || began_anew {
                            let found = complete.digest;
                            return Err(ModelError::HashMismatch {
                                what: self.subject.what.clone(),
                                expected,
                                found,
                            });
                        }
                        // The beginning on disk may be the damaged part: once more from zero.
                        began_anew = true;
                        self.tell_restart("the joined file has the wrong SHA-256");
                    }
                    _ => {
                        let Complete {
                            digest, size_bytes, ..
                        } = complete;
                        return Ok(Downloaded {
                            path: partial.data,
                            digest,
                            size_bytes,
                            transferred_bytes,
                        });
                    }
                },
                Err(failure) => {
                    if matches!(
                        &failure,
                        Failure::Fatal(
                            ModelError::SizeMismatch { .. } | ModelError::TooLarge { .. }
                        )
                    ) {
                        discard(&partial).await?;
                    }
                    attempts.failed(failure, transferred_bytes > before).await?;
                }
            }
        }
    }

    async fn attempt(
        &self,
        partial: &Partial,
        transferred_bytes: &mut u64,
    ) -> Result<Complete, Failure> {
        let (known, offset) = self.usable(partial).await?;
        let lock = Arc::clone(&self.context.lock);
        let is_identified = self.expected_sha256.is_some() || self.identity.is_some();
        if offset > 0 && is_identified && known.total_bytes == Some(offset) {
            let (digest, size_bytes) = Writer::open(&partial.data, offset, lock).finish().await?;
            return Ok(Complete {
                digest,
                size_bytes,
                continued: true,
            });
        }
        let response = match self.request(&known, offset).await {
            Err(Failure::Retry {
                failure: TransferFailure::Status { status: 416 },
                ..
            }) if offset > 0 => {
                return Err(self
                    .changed(partial, "the range on disk does not fit any more")
                    .await);
            }
            other => other?,
        };
        let (start, total_bytes) = self.read_head(&response, partial, &known, offset).await?;
        self.check_total(start, total_bytes)?;
        let state = PartialState {
            url: self.url.to_string(),
            validator: header(&response, ETAG.as_str())
                .filter(|tag| !tag.starts_with("W/"))
                .map(str::to_owned),
            identity: self.identity.clone(),
            total_bytes,
        };
        save(partial, state).await?;
        let writer = Writer::open(&partial.data, start, lock);
        self.context.progress.event(&ProgressEvent::Started {
            file_name: self.file_name.clone(),
            part: self.part.0,
            parts: self.part.1,
            resumed_bytes: start,
            size_bytes: total_bytes,
        });
        let streamed = self
            .stream(response, &writer, start, total_bytes, transferred_bytes)
            .await;
        // Also after a failure the bytes received so far are to be on disk for the next attempt.
        let (digest, size_bytes) = writer.finish().await?;
        streamed?;
        match total_bytes {
            Some(expected) if size_bytes < expected => {
                Err(Failure::retry(TransferFailure::Truncated {
                    received: size_bytes,
                    expected,
                }))
            }
            _ => Ok(Complete {
                digest,
                size_bytes,
                continued: start > 0,
            }),
        }
    }

    /// How many bytes on disk can be kept, and what is known about them.
    async fn usable(&self, partial: &Partial) -> Result<(PartialState, u64), ModelError> {
        let fresh = (
            PartialState {
                total_bytes: self.expected_bytes,
                ..PartialState::default()
            },
            0,
        );
        let owned = partial.clone();
        let Some((state, length)) = blocking::run(move |_| owned.load()).await else {
            return Ok(fresh);
        };
        let is_same = state.url == self.url.as_str() && state.identity == self.identity;
        // Without either, nothing would notice that the two halves do not belong together.
        let is_checkable = state.validator.is_some() || self.expected_sha256.is_some();
        let is_right_size = state.total_bytes.is_none_or(|total| length <= total)
            && (self.expected_bytes.is_none()
                || state.total_bytes.is_none()
                || state.total_bytes == self.expected_bytes);
        if is_same && is_checkable && is_right_size {
            return Ok((state, length));
        }
        if !is_same && length > 0 {
            self.tell_restart("the file has changed on the server");
        }
        discard(partial).await?;
        Ok(fresh)
    }

    async fn request(&self, known: &PartialState, offset: u64) -> Result<Response, Failure> {
        let mut headers: Vec<(HeaderName, String)> = Vec::new();
        if offset > 0 {
            headers.push((RANGE, format!("bytes={offset}-")));
            headers.extend(
                known
                    .validator
                    .clone()
                    .map(|validator| (IF_RANGE, validator)),
            );
        }
        let exchange = Exchange {
            method: Method::GET,
            url: self.url,
            scope: self.scope,
            headers,
            follow: Follow::All,
            subject: &self.subject,
        };
        self.context.transport.exchange(exchange).await
    }

    /// Where the body begins in the file, and the size of the whole file.
    async fn read_head(
        &self,
        response: &Response,
        partial: &Partial,
        known: &PartialState,
        offset: u64,
    ) -> Result<(u64, Option<u64>), Failure> {
        match response.status() {
            StatusCode::OK => {
                if offset > 0 {
                    self.tell_restart("the server sends the whole file again");
                }
                let length = header(response, CONTENT_LENGTH.as_str())
                    .and_then(|length| length.parse().ok());
                Ok((0, length.or(self.expected_bytes)))
            }
            StatusCode::PARTIAL_CONTENT if offset > 0 => {
                let range = header(response, CONTENT_RANGE.as_str()).and_then(parse_content_range);
                let Some((start, total)) = range else {
                    return Err(bad(
                        &self.subject,
                        "a part without a usable Content-Range".to_owned(),
                    )
                    .into());
                };
                let fits =
                    known.total_bytes.is_none() || total.is_none() || total == known.total_bytes;
                if start != offset || !fits {
                    return Err(self
                        .changed(partial, "the server sends another range")
                        .await);
                }
                Ok((start, total.or(known.total_bytes)))
            }
            status => Err(bad(
                &self.subject,
                format!("status {status} to a request for a file"),
            )
            .into()),
        }
    }

    fn check_total(&self, start: u64, total_bytes: Option<u64>) -> Result<(), ModelError> {
        let what = || self.subject.what.clone();
        let Some(total) = total_bytes else {
            return Ok(());
        };
        if let Some(expected) = self.expected_bytes.filter(|expected| *expected != total) {
            return Err(ModelError::SizeMismatch {
                what: what(),
                expected,
                found: total,
            });
        }
        if total > self.context.limits.file_bytes_max {
            return Err(ModelError::TooLarge {
                what: what(),
                limit: self.context.limits.file_bytes_max,
            });
        }
        self.context.layout.check_space(
            total.saturating_sub(start),
            self.context.limits.disk_reserve_bytes,
        )
    }

    async fn stream(
        &self,
        mut response: Response,
        writer: &Writer,
        start: u64,
        total_bytes: Option<u64>,
        transferred_bytes: &mut u64,
    ) -> Result<(), Failure> {
        let mut received_bytes = start;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Failure::retry(connection_failure(error)))?
        {
            received_bytes += chunk.len() as u64;
            *transferred_bytes += chunk.len() as u64;
            if let Some(expected) = total_bytes.filter(|total| received_bytes > *total) {
                let what = self.subject.what.clone();
                return Err(ModelError::SizeMismatch {
                    what,
                    expected,
                    found: received_bytes,
                }
                .into());
            }
            if received_bytes > self.context.limits.file_bytes_max {
                let (what, limit) = (
                    self.subject.what.clone(),
                    self.context.limits.file_bytes_max,
                );
                return Err(ModelError::TooLarge { what, limit }.into());
            }
            if !writer.write(chunk).await {
                return Ok(()); // The disk failed; `finish` tells how.
            }
            self.context.progress.event(&ProgressEvent::Advanced {
                file_name: self.file_name.clone(),
                received_bytes,
                size_bytes: total_bytes,
            });
        }
        Ok(())
    }

    /// Drops what is on disk; the next attempt begins at zero.
    async fn changed(&self, partial: &Partial, detail: &str) -> Failure {
        self.tell_restart(detail);
        match discard(partial).await {
            Ok(()) => Failure::retry(TransferFailure::Changed {
                detail: detail.to_owned(),
            }),
            Err(error) => error.into(),
        }
    }

    fn tell_restart(&self, reason: &str) {
        self.context.progress.event(&ProgressEvent::Restarted {
            file_name: self.file_name.clone(),
            reason: reason.to_owned(),
        });
    }
}

async fn discard(partial: &Partial) -> Result<(), ModelError> {
    let owned = partial.clone();
    blocking::run(move |_| owned.discard()).await
}

async fn save(partial: &Partial, state: PartialState) -> Result<(), ModelError> {
    let owned = partial.clone();
    blocking::run(move |_| owned.save_state(&state)).await
}

/// `bytes 5-9/10` or `bytes 5-9/*`: the first byte and the size of the whole.
fn parse_content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" {
        None
    } else {
        Some(total.parse().ok()?)
    };
    Some((start.parse().ok()?, total))
}
