//! [`HostedBackend`]: calls one endpoint, whoever's it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freehold_ports::{Backend, BoxFuture, Call, Chunk, ChunkStream, Probe, Timeouts};
use freehold_types::{BackendId, Dialect, Error, ErrorKind, Retry, Site};
use freehold_wire::{EncodeOptions, Encoded, StreamDecoder};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::{Answer, AnswerSource};
use crate::catalogue::Row;
use crate::connection::{self, HttpClient};
use crate::exchange::{self, Deadlines};
use crate::failure;
use crate::secret::Scrubber;
use crate::settings::{self, Endpoints, Limits, Settings, SettingsError};

/// Error bodies are read so far; what is longer is no error message.
const ERROR_BODY_BYTES_MAX: usize = 256 * 1024;
/// The rest of an error body is not worth waiting for.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(10);
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// One hosted API or self-hosted server, called over HTTP.
pub struct HostedBackend {
    pub(crate) id: BackendId,
    pub(crate) row: Arc<Row>,
    pub(crate) endpoints: Endpoints,
    pub(crate) probe_timeout: Duration,
    site: Site,
    headers: HeaderMap,
    limits: Limits,
    client: HttpClient,
    slots: Arc<Semaphore>,
    scrubber: Arc<Scrubber>,
}

impl std::fmt::Debug for HostedBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostedBackend")
            .field("id", &self.id)
            .field("row", &self.row.id)
            .finish_non_exhaustive()
    }
}

/// How an answer's body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Events,
}

impl HostedBackend {
    /// A backend with its own pool of connections. Connects to nothing yet.
    ///
    /// # Errors
    /// When the settings cannot be used: no URL, no key where one is needed, no trusted authority.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let endpoints = Endpoints::resolve(&settings.row, &settings.base_url)?;
        let headers = settings::base_headers(&settings)?;
        let client = connection::client(&settings.dialled())?;
        Ok(Self {
            endpoints,
            headers,
            client,
            slots: Arc::new(Semaphore::new(
                settings.limits.in_flight.min(Semaphore::MAX_PERMITS),
            )),
            scrubber: Arc::new(Scrubber::new(settings.key.as_ref())),
            limits: settings.limits,
            probe_timeout: settings.probe_timeout,
            id: settings.id,
            row: settings.row,
            site: settings.site,
        })
    }

    /// The catalogue row that describes the backend.
    pub fn row(&self) -> &Row {
        &self.row
    }

    async fn begin(&self, call: Call) -> Result<ChunkStream, Error> {
        call.check(&self.id, &self.site)?;
        let slot = self.take_slot()?;
        let deadlines = Deadlines::start(call.timeouts);
        let (dialect, uri, mut encoded) = self.encode(&call)?;
        call.note_left_out(std::mem::take(&mut encoded.left_out));
        let asked = if call.request.stream {
            Form::Events
        } else {
            Form::Whole
        };
        let mut request = self.post(uri, encoded.body, asked, &call);
        if dialect == Dialect::AnthropicMessages && call.request.dialect == dialect {
            self.add_betas(request.headers_mut(), &call);
        }
        let response = exchange::send(&self.client, &self.id, request, &deadlines).await?;
        if !response.status().is_success() {
            return Err(self.failure(dialect, response, &deadlines).await);
        }
        match (asked, self.form(response.headers(), asked)?) {
            (_, Form::Events) => {
                let source = AnswerSource {
                    backend: self.id.clone(),
                    dialect,
                    deadlines,
                    limit_bytes: self.limits.stream_bytes,
                    scrubber: Arc::clone(&self.scrubber),
                    _slot: slot,
                };
                let decoder = StreamDecoder::new(dialect, encoded.usage_was_added);
                Ok(Box::pin(Answer::new(source, response.into_body(), decoder)))
            }
            (asked, Form::Whole) => {
                let mut chunk = self.whole(dialect, response, &deadlines).await?;
                if asked == Form::Events {
                    // The bytes are no stream, so that a streaming client needs the events instead.
                    chunk.raw = None;
                }
                Ok(Box::pin(stream::iter([Ok(chunk)])))
            }
        }
    }

    /// Makes the body in the client's dialect if the backend speaks it, else in the first one that can
    /// express the request.
    fn encode(&self, call: &Call) -> Result<(Dialect, &Uri, Encoded), Error> {
        let own = call.request.dialect;
        let spoken = &self.endpoints.dialects;
        let mut candidates: Vec<_> = spoken
            .iter()
            .filter(|(dialect, _)| {
                let allowed = &call.deployment.dialects;
                allowed.is_empty() || allowed.contains(dialect)
            })
            .collect();
        candidates.sort_by_key(|(dialect, _)| *dialect != own);
        let quirks = self.row.quirks_of(&call.deployment.model);
        let options = EncodeOptions {
            model: &call.deployment.model,
            request_usage: call.request.stream && quirks.stream_usage,
            quirks,
        };
        let mut refusal = None;
        for (dialect, uri) in candidates {
            match freehold_wire::encode_request(*dialect, &call.request, &options) {
                Ok(encoded) => {
                    if !encoded.left_out.is_empty() {
                        let fields = encoded.left_out.len();
                        tracing::debug!(backend = %self.id, request = %call.id, fields, "hints left out");
                    }
                    return Ok((*dialect, uri, encoded));
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| {
            let model = &call.deployment.model;
            let message = format!("`{model}` on `{}` cannot be asked in any dialect", self.id);
            Error::new(ErrorKind::Unsupported, message)
        }))
    }

    fn take_slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        let slots = Arc::clone(&self.slots);
        slots.try_acquire_owned().map_err(|_| {
            let limit = self.limits.in_flight;
            let message = format!("`{}` already has {limit} requests in flight", self.id);
            Error::new(ErrorKind::Overloaded, message).with_code("too_many_in_flight")
        })
    }

    fn post(&self, uri: &Uri, body: Bytes, asked: Form, call: &Call) -> Request<Full<Bytes>> {
        let mut request = self.request(Method::POST, uri, body);
        let headers = request.headers_mut();
        if asked == Form::Events {
            headers.insert(header::ACCEPT, EVENT_STREAM);
        }
        if let Ok(id) = HeaderValue::try_from(call.id.to_string()) {
            headers.insert(X_REQUEST_ID, id);
        }
        let trace = call.traceparent.map(|trace| trace.to_string());
        if let Some(Ok(trace)) = trace.map(HeaderValue::try_from) {
            headers.insert(TRACEPARENT, trace);
        }
        request
    }

    /// The client's own betas, after those of the backend's row.
    fn add_betas(&self, headers: &mut HeaderMap, call: &Call) {
        let betas = call.betas.as_deref();
        if let Some(Ok(betas)) = betas.map(HeaderValue::try_from) {
            headers.append(ANTHROPIC_BETA, betas);
        }
    }

    fn request(&self, method: Method, uri: &Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::ACCEPT, JSON);
        if method == Method::POST {
            request.headers_mut().insert(header::CONTENT_TYPE, JSON);
        }
        *request.method_mut() = method;
        request
    }

    /// A small exchange besides an answer: a listing, a count. Gives the body of a success.
    pub(crate) async fn ask(
        &self,
        method: Method,
        uri: &Uri,
        body: Bytes,
        timeouts: Timeouts,
    ) -> Result<Bytes, Error> {
        let _slot = self.take_slot()?;
        let deadlines = Deadlines::start(timeouts);
        let request = self.request(method, uri, body);
        let mut response = exchange::send(&self.client, &self.id, request, &deadlines).await?;
        if !response.status().is_success() {
            let dialect = self.row.dialects[0].dialect;
            return Err(self.failure(dialect, response, &deadlines).await);
        }
        self.form(response.headers(), Form::Whole)?;
        let limit = self.limits.response_bytes;
        let body = exchange::read_whole(&self.id, response.body_mut(), &deadlines, limit).await?;
        exchange::check_bytes(&self.scrubber, &body)?;
        Ok(body)
    }

    /// Reads a whole answer.
    async fn whole(
        &self,
        dialect: Dialect,
        mut response: Response<Incoming>,
        deadlines: &Deadlines,
    ) -> Result<Chunk, Error> {
        let limit = self.limits.response_bytes;
        let body = exchange::read_whole(&self.id, response.body_mut(), deadlines, limit).await?;
        exchange::check_bytes(&self.scrubber, &body)?;
        let answer = freehold_wire::decode_response(dialect, &body)
            .map_err(|error| self.scrubber.scrub(error))?;
        Ok(Chunk {
            events: answer.into_events().into(),
            raw: Some((dialect, body)),
            hidden: false,
        })
    }

    /// The error that a response without success stands for.
    async fn failure(
        &self,
        dialect: Dialect,
        mut response: Response<Incoming>,
        deadlines: &Deadlines,
    ) -> Error {
        let read = exchange::read_whole(
            &self.id,
            response.body_mut(),
            deadlines,
            ERROR_BODY_BYTES_MAX,
        );
        // The status alone says enough when the body does not come.
        let body = match tokio::time::timeout(ERROR_BODY_WAIT, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        let (status, headers) = (response.status(), response.headers());
        let error = failure::classify(&self.id, &self.row, dialect, status, headers, body);
        self.scrubber.scrub(error)
    }

    /// How the body is to be read, from what it calls itself.
    fn form(&self, headers: &HeaderMap, asked: Form) -> Result<Form, Error> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(self.unexpected("compressed, although it was asked not to"));
        }
        let Some(value) = headers.get(header::CONTENT_TYPE) else {
            return Ok(asked);
        };
        let value = value.as_bytes();
        let essence = value.split(|byte| *byte == b';').next().unwrap_or(value);
        let essence = essence.trim_ascii().to_ascii_lowercase();
        match (essence.as_slice(), asked) {
            (b"text/event-stream", Form::Events) => Ok(Form::Events),
            (b"text/event-stream", Form::Whole) => {
                Err(self.unexpected("a stream nobody asked for"))
            }
            (kind, _) if kind == b"application/json" || kind.ends_with(b"+json") => Ok(Form::Whole),
            (b"text/html", _) => Err(self.unexpected("HTML; its base URL may be wrong")),
            _ => Err(self.unexpected("neither JSON nor an event stream")),
        }
    }

    fn unexpected(&self, what: &str) -> Error {
        let message = format!("`{}` sent an answer that is {what}", self.id);
        Error::new(ErrorKind::BadUpstream, message)
            .with_code("unexpected_content")
            .with_retry(Retry::Elsewhere)
    }
}

impl Backend for HostedBackend {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn start(&self, call: Call) -> BoxFuture<'_, Result<ChunkStream, Error>> {
        Box::pin(self.begin(call))
    }

    fn count_tokens(&self, call: Call) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        Box::pin(self.count(call))
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Error>> {
        Box::pin(self.look())
    }
}
