//! One connection. While nothing comes on it, only its socket is there: hyper's buffers for reading and writing would be
//! most of what thousands of idle connections cost.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::stream::{Socket, Stream};
use super::{Limits, Peer};

/// How long nothing happens on a connection before its buffers are given back.
const QUIET: Duration = Duration::from_secs(1);
/// How long the end of an idle connection may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What is under way on a connection.
#[derive(Default)]
struct Traffic {
    /// Requests whose answers are not complete.
    answering: AtomicUsize,
    /// Whether what comes next is a request: there was one, and it had no body that may not have been read to its end.
    between: AtomicBool,
}

/// A body that is sent; dropped when it is complete.
struct Answer {
    body: Body,
    traffic: Arc<Traffic>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.traffic.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What all connections have.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) http: Arc<http1::Builder>,
    pub(super) limits: Arc<Limits>,
    /// HTTPS, if there is one.
    pub(super) tls: Option<TlsAcceptor>,
    /// True once nothing more is served.
    pub(super) ended: watch::Receiver<bool>,
}

/// A connection from its beginning to its end. Thousands of them may be idle, so its state is small.
pub(super) async fn connection(socket: TcpStream, address: SocketAddr, server: Server) {
    let time = server.limits.header_time_max;
    let accepted = match accept(socket, address, server.tls.clone(), time).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(peer = %address, %error, "a connection to the REST API was not encrypted");
            return;
        }
    };
    // That a caller hangs up, or sends what is not HTTP, ends the connection and nothing else.
    if let Err(error) = serve(accepted, server).await {
        tracing::debug!(peer = %address, %error, "a connection to the REST API ended");
    }
}

/// A connection, as who sent its requests is told.
async fn accept(
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    time: Duration,
) -> io::Result<(Socket, Peer)> {
    let peer = Peer {
        address,
        is_secure: tls.is_some(),
    };
    let Some(tls) = tls else {
        return Ok((Socket::Plain(socket), peer));
    };
    // The state of a handshake is larger than all that an idle connection has, so it is there only as long as it runs.
    let stream = Box::pin(timeout(time, tls.accept(socket))).await??;
    Ok((Socket::Tls(Box::new(stream)), peer))
}

/// Serves a connection until it is closed, or `ended` is true and its last request is answered.
async fn serve((socket, peer): (Socket, Peer), mut server: Server) -> Result<(), hyper::Error> {
    let mut stream = Stream::new(socket, server.limits.write_time_max);
    loop {
        let comes = timeout(server.limits.header_time_max, stream.readable());
        let is_over = tokio::select! {
            biased;
            // Cancel-safe: it is true from then on.
            _ = server.ended.wait_for(|ended| *ended) => true,
            // Cancel-safe: nothing is read.
            comes = comes => !matches!(comes, Ok(Ok(()))),
        };
        if is_over {
            // Whoever waits is told that nothing more comes, which TLS has a message for.
            let _ = timeout(CLOSE_MAX, stream.shutdown()).await;
            return Ok(());
        }
        // Its state is there only as long as it runs.
        match Box::pin(exchange(stream, peer, &mut server)).await? {
            Some(idle) => stream = idle,
            None => return Ok(()),
        }
    }
}

/// Serves requests until none comes for a while; returns nothing when the connection is at its end.
async fn exchange(
    stream: Stream,
    peer: Peer,
    server: &mut Server,
) -> Result<Option<Stream>, hyper::Error> {
    let (router, http, ended) = (&server.router, &server.http, &mut server.ended);
    let traffic = Arc::<Traffic>::default();
    let blocked = stream.blocked();
    let service = service_fn(|request: Request<Incoming>| {
        let bodiless = request.body().is_end_stream();
        traffic.answering.fetch_add(1, Ordering::Relaxed);
        traffic.between.store(bodiless, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let (answer, traffic) = (router.clone().oneshot(request), Arc::clone(&traffic));
        async move {
            let Ok(answer) = answer.await;
            let answer: Response<Body> = answer;
            Ok::<_, Infallible>(answer.map(|body| Answer { body, traffic }))
        }
    });
    let mut connection = Box::new(http.serve_connection(TokioIo::new(stream), service));
    let mut ended = pin!(ended.wait_for(|ended| *ended));
    let mut ending = false;
    let mut quiet = Box::pin(sleep(QUIET));
    let mut last = Instant::now();
    let closed = poll_fn(|cx| {
        if !ending && ended.as_mut().poll(cx).is_ready() {
            ending = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(done) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(done.map(|()| true));
        }
        let idle = traffic.answering.load(Ordering::Relaxed) == 0
            && traffic.between.load(Ordering::Relaxed)
            && !blocked.load(Ordering::Relaxed);
        let now = Instant::now();
        if quiet.as_mut().poll(cx).is_pending() {
            // Something else than the timer has woken it.
            last = now;
            return Poll::Pending;
        }
        if idle && now.duration_since(last) >= QUIET {
            return Poll::Ready(Ok(false));
        }
        // The timer is not set anew with every request: that would cost more than it is worth.
        quiet.as_mut().reset(now + QUIET);
        quiet.as_mut().poll(cx).map(|()| Ok(false))
    });
    if closed.await? {
        return Ok(None);
    }
    let parts = connection.into_parts();
    Ok(Some(parts.io.into_inner().with_ahead(parts.read_buf)))
}
