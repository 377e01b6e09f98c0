//! The accept loop that the mock upstream and the bare proxy share.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    net::SocketAddr,
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::mock::Reset;

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
    H: Fn(Request<Incoming>, &Reset) -> F + Clone + Send + Sync + 'static,
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
    H: Fn(Request<Incoming>, &Reset) -> F + Clone + Send + Sync + 'static,
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
            let reset = Reset::default();
            let service = service_fn(|request| {
                let response = handler(request, &reset);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).pipeline_flush(true);
            // Clients that leave end a connection with an error; the load generator counts those that matter.
            let stream = Closing {
                stream,
                reset: Reset::clone(&reset),
            };
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A connection that ends as its handler wishes.
struct Closing {
    stream: TcpStream,
    reset: Reset,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.reset.load(Relaxed) {
            // A connection that has gone already needs no reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Closing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Closing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

async fn stdin_closed() {
    let mut ignored = [0_u8; 64];
    while matches!(tokio::io::stdin().read(&mut ignored).await, Ok(count) if count > 0) {}
}
