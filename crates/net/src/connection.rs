//! Messages on a byte stream: a length of four bytes, then JSON.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use linstor_wire::message::FRAME_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec, length_delimited};

use crate::error::NetError;

/// Unknown frames within [`UNKNOWN_FRAMES_INTERVAL`] that a connection tolerates.
const UNKNOWN_FRAMES_MAX: u32 = 16;
/// Interval after which the count of unknown frames starts again.
const UNKNOWN_FRAMES_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes of a frame that cannot be parsed that are quoted in the error.
const EXCERPT_BYTES_MAX: usize = 120;

type BoxedRead = Box<dyn AsyncRead + Send + Unpin>;
type BoxedWrite = Box<dyn AsyncWrite + Send + Unpin>;

/// A byte stream that carries messages: `Tx` is sent, `Rx` is received.
pub struct Connection<Tx, Rx> {
    sender: Sender<Tx>,
    receiver: Receiver<Rx>,
}

impl<Tx: Serialize, Rx: DeserializeOwned> Connection<Tx, Rx> {
    /// A connection over a byte stream.
    pub fn new<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (read, write): (ReadHalf<S>, WriteHalf<S>) = tokio::io::split(stream);
        let read: BoxedRead = Box::new(read);
        let write: BoxedWrite = Box::new(write);
        Connection {
            sender: Sender {
                frames: FramedWrite::new(write, codec()),
                _message: PhantomData,
            },
            receiver: Receiver {
                frames: FramedRead::new(read, codec()),
                unknown: (Instant::now(), 0),
                _message: PhantomData,
            },
        }
    }

    /// The two directions, for two tasks: neither waits for the other.
    pub fn split(self) -> (Sender<Tx>, Receiver<Rx>) {
        (self.sender, self.receiver)
    }

    /// See [`Sender::send`].
    pub async fn send(&mut self, message: &Tx) -> Result<(), NetError> {
        self.sender.send(message).await
    }

    /// See [`Receiver::next`].
    pub async fn next(&mut self) -> Result<Option<Rx>, NetError> {
        self.receiver.next().await
    }
}

fn codec() -> LengthDelimitedCodec {
    length_delimited::Builder::new()
        .max_frame_length(FRAME_BYTES_MAX)
        .new_codec()
}

/// The outgoing direction.
pub struct Sender<Tx> {
    frames: FramedWrite<BoxedWrite, LengthDelimitedCodec>,
    _message: PhantomData<fn(Tx)>,
}

impl<Tx: Serialize> Sender<Tx> {
    /// Sends a message and all buffered ones. Not cancel-safe: a dropped send may have sent half a frame.
    pub async fn send(&mut self, message: &Tx) -> Result<(), NetError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Puts a message into the buffer, which is sent by the next [`Sender::flush`] or when it is full.
    pub async fn feed(&mut self, message: &Tx) -> Result<(), NetError> {
        let json = serde_json::to_vec(message).map_err(|e| NetError::NotWritable {
            reason: e.to_string(),
        })?;
        if json.len() > FRAME_BYTES_MAX {
            return Err(too_large("outgoing"));
        }
        self.frames.feed(Bytes::from(json)).await.map_err(closed)
    }

    /// Sends all buffered messages.
    pub async fn flush(&mut self) -> Result<(), NetError> {
        SinkExt::<Bytes>::flush(&mut self.frames)
            .await
            .map_err(closed)
    }

    /// Sends all buffered messages and ends this direction.
    pub async fn close(&mut self) -> Result<(), NetError> {
        SinkExt::<Bytes>::close(&mut self.frames)
            .await
            .map_err(closed)
    }
}

/// The incoming direction.
pub struct Receiver<Rx> {
    frames: FramedRead<BoxedRead, LengthDelimitedCodec>,
    /// The start of the current interval, and the number of unknown frames in it.
    unknown: (Instant, u32),
    _message: PhantomData<fn() -> Rx>,
}

impl<Rx: DeserializeOwned> Receiver<Rx> {
    /// The next message; `None` if the peer ended its direction between two frames. Cancel-safe.
    ///
    /// After [`NetError::NotUnderstood`] the next frame can be read; after any other error it cannot.
    pub async fn next(&mut self) -> Result<Option<Rx>, NetError> {
        match self.frames.next().await {
            None => Ok(None),
            Some(Ok(frame)) => parse(&frame).map(Some),
            Some(Err(e)) if is_too_large(&e) => Err(too_large("incoming")),
            Some(Err(e)) => Err(closed(e)),
        }
    }
}

impl<Rx: DeserializeOwned> Receiver<Rx> {
    /// The next message that is understood. Others are logged and skipped: a newer peer may send messages that this
    /// version does not know. Fails when there are too many of them in a minute. Cancel-safe.
    pub async fn next_understood(&mut self) -> Result<Option<Rx>, NetError> {
        loop {
            let error = match self.next().await {
                Err(error @ NetError::NotUnderstood { .. }) => error,
                done => return done,
            };
            let (since, count) = &mut self.unknown;
            if since.elapsed() >= UNKNOWN_FRAMES_INTERVAL {
                (*since, *count) = (Instant::now(), 0);
            }
            *count += 1;
            if *count > UNKNOWN_FRAMES_MAX {
                return Err(error);
            }
            tracing::warn!(%error, "frame skipped");
        }
    }
}

fn parse<Rx: DeserializeOwned>(frame: &[u8]) -> Result<Rx, NetError> {
    serde_json::from_slice(frame).map_err(|e| {
        let start = &frame[..frame.len().min(EXCERPT_BYTES_MAX)];
        NetError::NotUnderstood {
            bytes: frame.len(),
            reason: e.to_string(),
            excerpt: String::from_utf8_lossy(start).into_owned(),
        }
    })
}

fn is_too_large(e: &io::Error) -> bool {
    e.get_ref()
        .is_some_and(|inner| inner.is::<tokio_util::codec::LengthDelimitedCodecError>())
}

fn too_large(direction: &'static str) -> NetError {
    NetError::FrameTooLarge {
        direction,
        bytes_max: FRAME_BYTES_MAX,
    }
}

fn closed(source: io::Error) -> NetError {
    NetError::Closed {
        source: Some(source),
    }
}

#[cfg(test)]
mod tests {
    use linstor_wire::{ToController, ToSatellite};
    use tokio::io::AsyncWriteExt;

    use super::*;

    type Ctrl = Connection<ToSatellite, ToController>;
    type Stlt = Connection<ToController, ToSatellite>;

    /// A message is received as it was sent, and `None` follows when the peer ends its direction.
    #[tokio::test]
    async fn messages_cross_a_pipe() {
        let (a, b) = tokio::io::duplex(64);
        let (mut ctrl, mut stlt) = (Ctrl::new(a), Stlt::new(b));
        let sent = tokio::spawn(async move {
            ctrl.send(&ToSatellite::Ping { id: 7 }).await.unwrap();
            ctrl.next().await.unwrap()
        });
        assert_eq!(
            stlt.next().await.unwrap(),
            Some(ToSatellite::Ping { id: 7 })
        );
        stlt.send(&ToController::Pong { id: 7 }).await.unwrap();
        assert_eq!(sent.await.unwrap(), Some(ToController::Pong { id: 7 }));
        assert_eq!(stlt.next().await.unwrap(), None);
    }

    /// The error of a frame that cannot be parsed quotes a bounded part of it, and the next frame can be read.
    #[tokio::test]
    async fn an_unknown_message_is_quoted_and_passed_over() {
        let (mut a, b) = tokio::io::duplex(4096);
        let mut stlt = Stlt::new(b);
        let junk = format!(r#"{{"dance":{{"text":"{}"}}}}"#, "x".repeat(500));
        for text in [junk.as_str(), r#"{"ping":{"id":1,"later":true}}"#] {
            a.write_all(&(text.len() as u32).to_be_bytes())
                .await
                .unwrap();
            a.write_all(text.as_bytes()).await.unwrap();
        }
        let error = stlt.next().await.unwrap_err().to_string();
        assert!(error.contains("dance") && error.len() < 700, "{error}");
        assert_eq!(
            stlt.next().await.unwrap(),
            Some(ToSatellite::Ping { id: 1 })
        );
    }

    /// Unknown frames are skipped, unless there are too many of them within the interval.
    #[tokio::test(start_paused = true)]
    async fn unknown_frames_are_counted_per_minute() {
        let (mut a, b) = tokio::io::duplex(1 << 16);
        let (_sender, mut receiver) = Stlt::new(b).split();
        let mut send = async |texts: &[&str]| {
            for text in texts {
                let length = (text.len() as u32).to_be_bytes();
                a.write_all(&length).await.unwrap();
                a.write_all(text.as_bytes()).await.unwrap();
            }
        };
        let (unknown, ping) = (r#"{"dance":{}}"#, r#"{"ping":{"id":1}}"#);
        for _minute in 0..5 {
            send(&[[unknown; 16].as_slice(), &[ping]].concat()).await;
            let next = receiver.next_understood().await.unwrap();
            assert_eq!(next, Some(ToSatellite::Ping { id: 1 }));
            tokio::time::sleep(UNKNOWN_FRAMES_INTERVAL).await;
        }
        send(&[unknown; 17]).await;
        let error = receiver.next_understood().await.unwrap_err();
        assert!(matches!(error, NetError::NotUnderstood { .. }), "{error}");
    }

    /// A length above the limit is refused before any of the frame is read.
    #[tokio::test]
    async fn a_frame_above_the_limit_is_refused() {
        let (mut a, b) = tokio::io::duplex(64);
        let mut stlt = Stlt::new(b);
        let bytes = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes();
        a.write_all(&bytes).await.unwrap();
        let error = stlt.next().await.unwrap_err();
        assert!(matches!(error, NetError::FrameTooLarge { .. }), "{error}");
    }

    /// Half a frame followed by the end of the stream is an error, not an end.
    #[tokio::test]
    async fn a_cut_frame_is_an_error() {
        let (mut a, b) = tokio::io::duplex(64);
        let mut stlt = Stlt::new(b);
        a.write_all(&[0, 0, 0, 9, b'{']).await.unwrap();
        drop(a);
        let error = stlt.next().await.unwrap_err();
        assert!(matches!(error, NetError::Closed { .. }), "{error}");
    }
}
