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

/// A connection, as who sent its requests is told.
pub(super) async fn accept(
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
    let stream = timeout(time, tls.accept(socket)).await??;
    Ok((Socket::Tls(Box::new(stream)), peer))
}

/// Serves a connection until it is closed, or `ended` is true and its last request is answered.
pub(super) async fn serve(
    (socket, peer): (Socket, Peer),
    router: Router,
    http: Arc<http1::Builder>,
    limits: Arc<Limits>,
    mut ended: watch::Receiver<bool>,
) -> Result<(), hyper::Error> {
    let mut stream = Stream::new(socket, limits.write_time_max);
    loop {
        let comes = timeout(limits.header_time_max, stream.readable());
        let is_over = tokio::select! {
            biased;
            // Cancel-safe: it is true from then on.
            _ = ended.wait_for(|ended| *ended) => true,
            // Cancel-safe: nothing is read.
            comes = comes => !matches!(comes, Ok(Ok(()))),
        };
        if is_over {
            // Whoever waits is told that nothing more comes, which TLS has a message for.
            let _ = timeout(CLOSE_MAX, stream.shutdown()).await;
            return Ok(());
        }
        // Its state is there only as long as it runs.
        match Box::pin(exchange(stream, peer, &router, &http, &mut ended)).await? {
            Some(idle) => stream = idle,
            None => return Ok(()),
        }
    }
}

/// Serves requests until none comes for a while; returns nothing when the connection is at its end.
async fn exchange(
    stream: Stream,
    peer: Peer,
    router: &Router,
    http: &http1::Builder,
    ended: &mut watch::Receiver<bool>,
) -> Result<Option<Stream>, hyper::Error> {
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
