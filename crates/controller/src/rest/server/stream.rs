//! A caller's socket as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// A connection, encrypted or not.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Until there is something to read, or the end.
    async fn readable(&self) -> io::Result<()> {
        let socket = match self {
            Socket::Plain(stream) => stream,
            // What came with the end of the handshake is decrypted already.
            Socket::Tls(stream) if !stream.get_ref().1.wants_read() => return Ok(()),
            Socket::Tls(stream) => stream.get_ref().0,
        };
        // A new socket counts as readable until a read says that it is not; whoever read then would keep a buffer for nothing.
        socket.peek(&mut [0]).await.map(drop)
    }
}

/// Calls a method of the stream that is there.
macro_rules! poll {
    ($socket:expr, $method:ident($($argument:expr),*)) => {
        match &mut $socket {
            Socket::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Socket::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
        }
    };
}

/// A socket whose caller is cut off if it takes nothing of an answer for some time.
pub(super) struct Stream {
    socket: Socket,
    /// What was read of the next request already.
    ahead: Bytes,
    write_time_max: Duration,
    /// Runs while the caller takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    blocked: Arc<AtomicBool>,
}

impl Stream {
    pub(super) fn new(socket: Socket, write_time_max: Duration) -> Self {
        Stream {
            socket,
            ahead: Bytes::new(),
            write_time_max,
            stalled: None,
            blocked: Arc::default(),
        }
    }

    /// The same socket with what was read of the next request already.
    pub(super) fn with_ahead(self, ahead: Bytes) -> Self {
        Stream { ahead, ..self }
    }

    /// Whether the caller has not taken all that was written, now and later.
    pub(super) fn blocked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.blocked)
    }

    /// Until there is something to read, or the end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self.ahead.is_empty() {
            true => self.socket.readable().await,
            false => Ok(()),
        }
    }

    fn within_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.blocked.store(written.is_pending(), Ordering::Relaxed);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let time = self.write_time_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(stalled.as_mut().poll(cx));
        let error = io::Error::new(io::ErrorKind::TimedOut, "the caller reads nothing");
        Poll::Ready(Err(error))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return poll!(self.socket, poll_read(cx, buffer));
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = poll!(self.socket, poll_write(cx, bytes));
        self.within_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = poll!(self.socket, poll_write_vectored(cx, parts));
        self.within_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written of an encrypted answer may be waiting for the caller here.
        let flushed = poll!(self.socket, poll_flush(cx));
        self.within_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = poll!(self.socket, poll_shutdown(cx));
        self.within_time(cx, done)
    }
}
