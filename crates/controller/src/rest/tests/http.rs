//! The API as its clients see it: HTTP/1.1 through the same server as in the program, over pipes instead of sockets, so
//! that it runs on paused time.

use std::cell::Cell;
use std::io::Read as _;
use std::sync::Once;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use axum::serve::Listener;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Answered;

/// Bytes on their way in each direction: as little as a socket has, so that long answers wait for their reader.
const PIPE_BYTES: usize = 64 * 1024;

/// A server of the API.
pub(super) struct Server {
    dial: mpsc::UnboundedSender<DuplexStream>,
    _serving: AbortOnDropHandle<()>,
    panics: Panics,
}

struct Pipes(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Server {
    pub(super) fn start(app: Router) -> Self {
        let (dial, pipes) = mpsc::unbounded_channel();
        let serving = tokio::spawn(async move {
            let Err(error) = axum::serve(Pipes(pipes), app).await else {
                unreachable!("a server without a signal to end serves on");
            };
            panic!("the server ended: {error}");
        });
        Server {
            dial,
            _serving: AbortOnDropHandle::new(serving),
            panics: Panics::of_this_thread(),
        }
    }

    /// Sends a request on a connection of its own and reads the whole answer, decompressed.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Answered {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        self.dial.send(far).expect("the server runs");
        let (mut sender, connection) = http1::handshake(TokioIo::new(near))
            .await
            .expect("a pipe is ready at once");
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let host = header::HeaderValue::from_static("localhost");
        request.headers_mut().insert(header::HOST, host);
        let path = request.uri().to_string();
        let response = sender.send_request(request).await;
        let response = response.unwrap_or_else(|error| panic!("{path}: {error}"));
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await;
        let mut body = body
            .unwrap_or_else(|error| panic!("{path}: the answer is cut off: {error}"))
            .to_vec();
        if parts.headers.get(header::CONTENT_ENCODING).is_some() {
            let compressed = std::mem::take(&mut body);
            flate2::read::GzDecoder::new(&compressed[..])
                .read_to_end(&mut body)
                .unwrap_or_else(|error| panic!("{path}: broken gzip: {error}"));
        }
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// How many tasks have panicked since the last call, for a test that makes them.
    pub(super) fn take_panics(&self) -> usize {
        self.panics.take()
    }
}

impl Drop for Server {
    /// A task that panics, of the server or of the controller behind it, fails the test that made it run.
    fn drop(&mut self) {
        let panics = self.panics.take();
        assert!(
            std::thread::panicking() || panics == 0,
            "{panics} tasks panicked"
        );
    }
}

thread_local! {
    /// Panics on this thread. All tasks of a test run on its thread.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

struct Panics;

impl Panics {
    /// Counts from now on.
    fn of_this_thread() -> Self {
        static COUNTING: Once = Once::new();
        COUNTING.call_once(|| {
            let default = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                PANICS.set(PANICS.get() + 1);
                default(panic);
            }));
        });
        PANICS.set(0);
        Panics
    }

    fn take(&self) -> usize {
        PANICS.take()
    }
}
