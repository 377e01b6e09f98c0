//! The bare reverse proxy: pooled connections, bytes in, bytes out. No gateway on hyper can do less.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{Request, Response, StatusCode, Uri, body::Incoming, header::HOST};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    loopback::{self, Target},
    serve,
};

/// Options of `bare-proxy`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) listen: serve::ListenOptions,
    /// Base URL of the upstream, on loopback.
    #[arg(long)]
    pub(crate) upstream: String,
}

/// Serves until interrupted.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let proxy = Proxy::new(loopback::target(&options.upstream)?);
    serve::run(options.listen, move |request, _| {
        proxy.clone().forward(request)
    })
    .await
}

/// Forwards requests to one upstream.
#[derive(Clone)]
pub(crate) struct Proxy {
    client: Client<HttpConnector, Incoming>,
    target: Target,
}

impl Proxy {
    pub(crate) fn new(target: Target) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            target,
        }
    }

    pub(crate) async fn forward(
        self,
        mut request: Request<Incoming>,
    ) -> Response<Either<Full<Bytes>, Incoming>> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.target.host.as_str())
            .path_and_query(format!("{}{path}", self.target.prefix))
            .build();
        let Ok(uri) = uri else {
            return failed(StatusCode::BAD_REQUEST);
        };
        *request.uri_mut() = uri;
        request.headers_mut().remove(HOST);
        match self.client.request(request).await {
            Ok(response) => response.map(Either::Right),
            Err(_) => failed(StatusCode::BAD_GATEWAY),
        }
    }
}

fn failed(status: StatusCode) -> Response<Either<Full<Bytes>, Incoming>> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}
