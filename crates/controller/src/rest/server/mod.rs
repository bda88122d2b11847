//! Serves the API over HTTP/1.1 within limits: how many connections and requests there may be, how large they may be, and
//! how long a caller may take.
//!
//! Connections are tasks, and nothing of a slow caller's holds a thread. One more connection than the limit waits until
//! another is closed; one more request is refused.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

mod connection;
mod stream;

use self::connection::Server;

/// Pause after a connection could not be accepted because the machine lacks something.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What callers may take, and where they may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Requests at a time. Streams of events do not count.
    pub requests_max: usize,
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Bytes of a request's line and headers.
    pub header_bytes_max: usize,
    /// Time for a request's line and headers, from when the connection is ready for it: an idle connection is closed then.
    pub header_time_max: Duration,
    /// Time for a body.
    pub body_time_max: Duration,
    /// Time for an answer. What the request has begun continues after it.
    pub request_time_max: Duration,
    /// Time in which a caller takes nothing of its answer.
    pub write_time_max: Duration,
    /// Origins whose web pages may call besides the controller's own; `*` is any.
    pub allowed_origins: Vec<String>,
    /// Directory of the web interface's pages.
    pub ui_directory: PathBuf,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 16 * 1024,
            requests_max: 4096,
            body_bytes_max: 8 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            header_time_max: Duration::from_secs(120),
            body_time_max: Duration::from_secs(60),
            request_time_max: Duration::from_secs(600),
            write_time_max: Duration::from_secs(60),
            allowed_origins: Vec::new(),
            ui_directory: "/usr/share/linstor-server/ui".into(),
        }
    }
}

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// From where.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_secure: bool,
}

/// Serves until `ended` is done; then accepts nothing more and returns when all requests are answered. HTTPS, if there is an
/// acceptor.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: &Limits,
    ended: impl Future<Output = ()>,
) {
    let free = Arc::new(Semaphore::new(limits.connections_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_time_max)
        .max_buf_size(limits.header_bytes_max);
    let (end, ended_by_now) = watch::channel(false);
    let server = Server {
        router,
        http: Arc::new(http),
        limits: Arc::new(limits.clone()),
        tls,
        ended: ended_by_now,
    };
    // Each connection has a sender until it is closed.
    let (open, mut closed) = mpsc::channel::<Infallible>(1);
    let mut ended = pin!(ended);
    loop {
        let accepted = async {
            let permit = Arc::clone(&free).acquire_owned().await;
            let permit = permit.expect("nothing closes it");
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            // Cancel-safe: the end is asked for once.
            () = &mut ended => break,
            // Cancel-safe: a connection that is not taken is offered again.
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_connection(&error) {
                    tracing::warn!(%error, "a connection to the REST API cannot be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
                continue;
            }
        };
        // The end of an answer must not wait until the caller has confirmed what came before it; without this it is only
        // later.
        let _ = stream.set_nodelay(true);
        let (server, open) = (server.clone(), open.clone());
        tokio::spawn(async move {
            connection::connection(stream, peer, server).await;
            drop((permit, open));
        });
    }
    drop((listener, open));
    end.send_replace(true);
    closed.recv().await;
}

/// Whether only the connection that was about to be accepted is concerned.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    struct Served {
        address: SocketAddr,
        end: oneshot::Sender<()>,
        serving: tokio::task::JoinHandle<()>,
    }

    async fn served(limits: Limits) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(async || "answer");
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(async move {
            serve(listener, None, router, &limits, async { drop(ended.await) }).await;
        });
        Served {
            address,
            end,
            serving,
        }
    }

    /// What comes back within the time, until the connection is closed or the answer is complete.
    async fn answer(stream: &mut TcpStream) -> Option<String> {
        let mut text = Vec::new();
        let mut buffer = [0; 1024];
        let read = async {
            while !text.ends_with(b"answer") {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => text.extend_from_slice(&buffer[..count]),
                }
            }
        };
        timeout(SOON, read).await.ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Most of what thousands of idle connections cost is the state of their tasks.
    #[tokio::test]
    async fn an_idle_connection_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap());
        let server = Server {
            router: Router::new(),
            http: Arc::new(http1::Builder::new()),
            limits: Arc::default(),
            tls: None,
            ended: watch::channel(false).1,
        };
        let address = listener.local_addr().unwrap();
        let task = connection::connection(socket.await.unwrap(), address, server);
        assert!(size_of_val(&task) <= 2048, "{} bytes", size_of_val(&task));
    }

    /// A connection that is new is not taken for one on which something came: that would cost it a buffer.
    #[tokio::test]
    async fn a_new_connection_has_nothing_to_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let stream = stream::Stream::new(stream::Socket::Plain(socket), SOON);
        let soon = Duration::from_millis(100);
        assert!(timeout(soon, stream.readable()).await.is_err());
        caller.write_all(b"G").await.unwrap();
        timeout(SOON, stream.readable()).await.unwrap().unwrap();
    }

    /// A caller who does not finish a request loses the connection; one that never begins too.
    #[tokio::test]
    async fn slow_callers_are_cut_off() {
        let limits = Limits {
            header_time_max: Duration::from_millis(100),
            ..Limits::default()
        };
        let served = served(limits).await;
        for begun in [&b"GET / HTTP/1.1\r\nHo"[..], b""] {
            let mut slow = TcpStream::connect(served.address).await.unwrap();
            slow.write_all(begun).await.unwrap();
            let text = answer(&mut slow).await.expect("the connection is closed");
            assert!(!text.contains("answer"), "{text}");
        }
    }

    /// One connection more than the limit waits for another to end, and is served then.
    #[tokio::test]
    async fn connections_are_counted() {
        let limits = Limits {
            connections_max: 1,
            ..Limits::default()
        };
        let served = served(limits).await;
        let mut first = TcpStream::connect(served.address).await.unwrap();
        first.write_all(GET).await.unwrap();
        assert!(answer(&mut first).await.unwrap().contains("200 OK"));
        let mut second = TcpStream::connect(served.address).await.unwrap();
        second.write_all(GET).await.unwrap();
        let early = timeout(Duration::from_millis(200), second.readable()).await;
        assert!(early.is_err(), "it is not served yet");
        drop(first);
        assert!(answer(&mut second).await.unwrap().contains("200 OK"));
    }

    /// Headers beyond the limit are refused.
    #[tokio::test]
    async fn headers_are_bounded() {
        let limits = Limits {
            header_bytes_max: 8 * 1024,
            ..Limits::default()
        };
        let served = served(limits).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(16 * 1024));
        // The rest may be refused while it is written.
        let _ = stream.write_all(long.as_bytes()).await;
        let text = answer(&mut stream).await.expect("the connection is closed");
        assert!(!text.contains("200 OK"), "{text}");
    }

    /// The end does not wait for idle connections.
    #[tokio::test]
    async fn idle_connections_do_not_delay_the_end() {
        let served = served(Limits::default()).await;
        let mut idle = TcpStream::connect(served.address).await.unwrap();
        idle.write_all(GET).await.unwrap();
        answer(&mut idle).await.unwrap();
        served.end.send(()).unwrap();
        timeout(SOON, served.serving).await.unwrap().unwrap();
    }

    /// After a while without a request a connection has no buffers any more, and is served as before, requests in parts
    /// and several at once too.
    #[tokio::test]
    async fn quiet_connections_are_served_on() {
        let served = served(Limits::default()).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        for pause in [0, 1500, 1500, 0] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            stream.write_all(&GET[..9]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            stream.write_all(&GET[9..]).await.unwrap();
            let text = answer(&mut stream).await.expect("an answer");
            assert!(text.contains("200 OK"), "{text}");
        }
        // One and a half requests, and the other half when the connection has been quiet.
        stream.write_all(&[GET, &GET[..12]].concat()).await.unwrap();
        assert!(answer(&mut stream).await.unwrap().contains("200 OK"));
        tokio::time::sleep(Duration::from_millis(2500)).await;
        stream.write_all(&GET[12..]).await.unwrap();
        assert!(answer(&mut stream).await.unwrap().contains("200 OK"));
    }

    /// A body that the answer did not wait for is not taken for a request, however late it comes.
    #[tokio::test]
    async fn bodies_are_no_requests() {
        let served = served(Limits::default()).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            GET.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.unwrap().contains("200 OK"));
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let _ = stream.write_all(GET).await;
        let mut buffer = [0; 64];
        let more = timeout(Duration::from_secs(1), stream.read(&mut buffer)).await;
        assert!(matches!(more, Err(_) | Ok(Ok(0) | Err(_))), "{more:?}");
    }

    /// A caller who takes nothing of its answer loses the connection.
    #[tokio::test]
    async fn callers_who_read_nothing_are_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            write_time_max: Duration::from_millis(200),
            ..Limits::default()
        };
        let router = Router::new().fallback(async || vec![b'a'; 64 * 1024 * 1024]);
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            serve(listener, None, router, &limits, async { drop(ended.await) }).await;
        });
        let mut caller = TcpStream::connect(address).await.unwrap();
        caller.write_all(GET).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        end.send(()).unwrap();
        // The end waits for the answer, and the answer only so long for its reader.
        timeout(SOON, serving).await.unwrap().unwrap();
    }
}
