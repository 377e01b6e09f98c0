//! One connection and one request at a time on it.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Uri,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::{net::TcpStream, time::Instant};

use crate::{answers::Dialect, loopback::Target};

/// Where and what to send.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    stream: bool,
    /// A connection for each request.
    fresh: bool,
    variants: Rc<[Variant]>,
    next: Rc<Cell<usize>>,
}

/// What is different from one request to the next.
#[derive(Clone)]
pub(crate) enum Variant {
    Key(HeaderValue, HeaderValue),
    Body(Bytes),
}

/// An open connection.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// No connection.
    Connect,
    /// The connection broke before or in the answer.
    Broken,
    /// A status other than 200.
    Status,
    /// A body without the end that its protocol demands.
    Incomplete,
    /// No end in time.
    Timeout,
}

/// What one answer took, from the moment its request was sent.
pub(crate) struct Timing {
    /// Until the first byte of the body.
    pub(crate) first: Duration,
    /// Until the end.
    pub(crate) total: Duration,
    /// Stream events seen.
    pub(crate) events: u64,
    /// Between frames with events.
    pub(crate) gaps: Vec<Duration>,
}

impl Endpoint {
    pub(crate) fn new(
        target: &Target,
        dialect: Dialect,
        key: Option<&str>,
        body: Bytes,
        stream: bool,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, target.host.parse()?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if dialect == Dialect::Anthropic {
            headers.insert(
                HeaderName::from_static("anthropic-version"),
                HeaderValue::from_static("2023-06-01"),
            );
        }
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, format!("Bearer {key}").parse()?);
            headers.insert(HeaderName::from_static("x-api-key"), key.parse()?);
        }
        let uri = format!("{}{}", target.prefix, dialect.path()).parse()?;
        Ok(Self {
            address: target.address,
            uri,
            headers,
            body,
            stream,
            fresh: false,
            variants: Rc::default(),
            next: Rc::default(),
        })
    }

    /// Opens a connection for each request.
    pub(crate) fn with_fresh_connections(self, fresh: bool) -> Self {
        Self { fresh, ..self }
    }

    /// Asks with these keys in turn.
    pub(crate) fn with_keys(mut self, keys: &[String]) -> anyhow::Result<Self> {
        let variant = |key: &String| {
            let bearer = format!("Bearer {key}").parse()?;
            anyhow::Ok(Variant::Key(bearer, key.parse()?))
        };
        self.variants = keys.iter().map(variant).collect::<anyhow::Result<_>>()?;
        Ok(self)
    }

    /// Sends these bodies in turn.
    pub(crate) fn with_bodies(mut self, bodies: Vec<Bytes>) -> Self {
        self.variants = bodies.into_iter().map(Variant::Body).collect();
        self
    }

    /// The next request.
    fn request(&self) -> Request<Full<Bytes>> {
        let (mut body, mut headers) = (self.body.clone(), self.headers.clone());
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        match self.variants.get(number % self.variants.len().max(1)) {
            Some(Variant::Key(bearer, key)) => {
                headers.insert(AUTHORIZATION, bearer.clone());
                headers.insert(HeaderName::from_static("x-api-key"), key.clone());
            }
            Some(Variant::Body(other)) => body = other.clone(),
            None => {}
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::Connect)?;
        // Its error shows at the request it breaks.
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    /// Sends the request and reads the whole answer.
    pub(crate) async fn exchange(
        &self,
        connection: &mut Connection,
        limit: Duration,
    ) -> Result<Timing, Failure> {
        self.exchange_stepwise(connection, limit, &mut || {}).await
    }

    /// The same, calling `on_frame` after each frame of the answer.
    pub(crate) async fn exchange_stepwise(
        &self,
        connection: &mut Connection,
        limit: Duration,
        on_frame: &mut dyn FnMut(),
    ) -> Result<Timing, Failure> {
        tokio::time::timeout(limit, self.exchange_unbounded(connection, on_frame))
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn exchange_unbounded(
        &self,
        connection: &mut Connection,
        on_frame: &mut dyn FnMut(),
    ) -> Result<Timing, Failure> {
        if self.fresh {
            *connection = self.connect().await?;
        }
        connection.ready().await.map_err(|_| Failure::Broken)?;
        let request = self.request();
        let start = Instant::now();
        let response = connection
            .send_request(request)
            .await
            .map_err(|_| Failure::Broken)?;
        let status = response.status();
        let timing = read(response.into_body(), start, self.stream, on_frame).await;
        if status == hyper::StatusCode::OK {
            timing
        } else {
            Err(Failure::Status)
        }
    }
}

async fn read(
    mut body: Incoming,
    start: Instant,
    stream: bool,
    on_frame: &mut dyn FnMut(),
) -> Result<Timing, Failure> {
    let mut timing = Timing {
        first: Duration::ZERO,
        total: Duration::ZERO,
        events: 0,
        gaps: Vec::new(),
    };
    let mut last: Option<Instant> = None;
    // Events and end marks may straddle frames: keep the end of what came before.
    let mut tail: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::Broken)?;
        let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else {
            continue;
        };
        let now = Instant::now();
        match last.replace(now) {
            None => timing.first = now - start,
            Some(before) if stream => timing.gaps.push(now - before),
            Some(_) => {}
        }
        if stream {
            timing.events += count_events(&mut tail, data);
        } else {
            tail.clear();
            tail.extend_from_slice(&data[data.len().saturating_sub(1)..]);
        }
        on_frame();
    }
    timing.total = start.elapsed();
    let complete = if stream {
        is_end(&tail)
    } else {
        tail == b"}" || tail == b"\n"
    };
    if last.is_some() && complete {
        Ok(timing)
    } else {
        Err(Failure::Incomplete)
    }
}

/// Bytes that are kept from one frame to the next: longer than any end mark.
const TAIL_BYTES: usize = 64;

/// Counts the events that end in `data`; `tail` carries the end of the earlier frames.
fn count_events(tail: &mut Vec<u8>, data: &[u8]) -> u64 {
    let straddles = tail.last() == Some(&b'\n') && data.first() == Some(&b'\n');
    let events = memmem::find_iter(data, b"\n\n").count() as u64 + u64::from(straddles);
    tail.extend_from_slice(data);
    tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
    events
}

/// Whether the stream ended as its protocol demands.
fn is_end(tail: &[u8]) -> bool {
    let tail = tail.trim_ascii_end();
    tail.ends_with(b"[DONE]") || memmem::find(tail, b"message_stop").is_some()
}

#[cfg(test)]
mod tests {
    use super::{count_events, is_end};

    #[test]
    fn events_are_counted_across_frames() {
        let whole = b"data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\n";
        for size in 1..whole.len() {
            let mut tail = Vec::new();
            let events: u64 = whole
                .chunks(size)
                .map(|frame| count_events(&mut tail, frame))
                .sum();
            assert_eq!(events, 3, "frames of {size} bytes");
            assert!(is_end(&tail));
        }
    }

    #[test]
    fn cut_streams_are_seen() {
        assert!(!is_end(b"data: {\"a\":1}\n\n"));
        assert!(is_end(
            b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
        ));
    }
}
