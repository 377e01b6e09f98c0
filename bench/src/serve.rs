//! The accept loop that the mock upstream and the bare proxy share.

use std::{convert::Infallible, io::Write as _, net::SocketAddr};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

/// Options of a server process.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ListenOptions {
    /// Loopback address; port 0 takes a free one. The URL is the first line of output.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Exit when standard input closes, so that nothing is left behind when the parent dies.
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// Binds, prints the URL and serves HTTP/1.1 until interrupted.
pub(crate) async fn run<H, F, B>(options: ListenOptions, handler: H) -> anyhow::Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let listener = TcpListener::bind(crate::loopback::listen(options.listen)?).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    tokio::select! {
        () = accept(listener, handler) => {}
        () = stdin_closed(), if options.until_stdin_closes => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    // Reading standard input blocks a thread that the runtime would wait for.
    std::process::exit(0);
}

/// Serves connections forever.
pub(crate) async fn accept<H, F, B>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        // Without it small events would wait for the peer's acknowledgement.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).pipeline_flush(true);
            // Clients that leave end a connection with an error; the load generator counts those that matter.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn stdin_closed() {
    let mut ignored = [0_u8; 64];
    while matches!(tokio::io::stdin().read(&mut ignored).await, Ok(count) if count > 0) {}
}
