//! Connections that are open and do nothing.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    answers::{self, Dialect},
    loopback,
};

/// How many are opened at the same time.
const AT_ONCE: usize = 64;
/// How long one may take to open.
const LIMIT: Duration = Duration::from_secs(30);

/// Open connections; they close with this value.
#[derive(Default)]
pub(super) struct Still {
    held: Vec<Held>,
}

struct Held {
    /// Closing the sender closes the connection.
    _sender: SendRequest<Full<Bytes>>,
    /// The rest of a stream.
    _stream: Option<Incoming>,
}

impl Still {
    /// Opens so many, each having had one whole answer, or the first event of a stream.
    pub(super) async fn open(
        count: usize,
        url: &str,
        key: &str,
        model: &str,
        stream: bool,
    ) -> anyhow::Result<Self> {
        let request = answers::request(Dialect::Openai, model, stream, 120);
        let mut left = count;
        let mut opening = JoinSet::new();
        let mut held = VecDeque::with_capacity(count);
        while left > 0 || !opening.is_empty() {
            while left > 0 && opening.len() < AT_ONCE {
                let (url, key, request) = (url.to_owned(), key.to_owned(), request.clone());
                opening.spawn_local(async move {
                    tokio::time::timeout(LIMIT, one(&url, &key, request, stream))
                        .await
                        .context("a connection took too long to open")?
                });
                left -= 1;
            }
            if let Some(opened) = opening.join_next().await {
                held.push_back(opened??);
            }
        }
        Ok(Self { held: held.into() })
    }

    pub(super) fn count(&self) -> usize {
        self.held.len()
    }
}

async fn one(url: &str, key: &str, body: Bytes, stream: bool) -> anyhow::Result<Held> {
    let target = loopback::target(url)?;
    let socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::task::spawn_local(connection);
    let path = Dialect::Openai.path();
    let request = Request::post(format!("{}{path}", target.prefix))
        .header(HOST, &target.host)
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .body(Full::new(body))?;
    let answer = sender.send_request(request).await?;
    ensure!(
        answer.status() == hyper::StatusCode::OK,
        "a connection that was to rest was refused: {}",
        answer.status()
    );
    let mut body = answer.into_body();
    if !stream {
        body.collect().await?;
        return Ok(Held {
            _sender: sender,
            _stream: None,
        });
    }
    match body.frame().await {
        Some(Ok(_)) => Ok(Held {
            _sender: sender,
            _stream: Some(body),
        }),
        other => bail!("a stream ended before its first event: {other:?}"),
    }
}
