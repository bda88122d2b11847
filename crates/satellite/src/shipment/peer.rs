//! The connection between two nodes of different clusters: TLS with certificates that were made for one shipment, and what
//! is said on it.
//!
//! The sender greets with [`MAGIC`], the shipment and the number of volumes. For each volume it says the number and the
//! size, and is told whether it is to be sent ([`Answer`]); it then says how many bytes are mapped, and sends the stream in frames, whose
//! length is before them, up to an empty one. The receiver answers once the volume is durable, and once more when it has
//! noted that it has all of them. A failure can be answered at any time, and ends the shipment on both sides; a connection that breaks
//! off is made again, and what was not answered is sent again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use linstor_tls::{Authorities, Identity, Names};
use linstor_wire::spec::ShippingLink;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use uuid::Uuid;

/// What a connection begins with; its last byte is the version of what follows.
const MAGIC: &[u8; 8] = b"linship\x01";
/// How much is sent at a time, in bytes.
const FRAME_BYTES: usize = 256 * 1024;
/// Most volumes of a resource.
const VOLUMES_MAX: u32 = 65_535;
/// Longest text of a failure, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// What the certificates are called in errors.
const CERTIFICATE: &str = "the certificate of the shipment";
/// How long a connection may take to be made.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

const HAVE: u8 = 0;
const SEND: u8 = 1;
const RECEIVED: u8 = 2;
const ALL: u8 = 3;
const FAILED: u8 = 4;

/// What the receiver says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has this volume already.
    Have,
    /// The volume is to be sent.
    Send,
    /// The volume is durable.
    Received,
    /// All volumes are, and that is noted.
    All,
    /// It does not go on, and why.
    Failed(String),
}

/// What a volume begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeHead {
    /// Its number.
    pub number: u32,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Why the certificates cannot be used.
fn unusable(error: impl std::fmt::Display) -> String {
    format!("A certificate of the shipment cannot be used: {error}")
}

fn sides(link: &ShippingLink) -> Result<(Identity, Authorities), String> {
    let name = Path::new(CERTIFICATE);
    let own = Identity::of_text(link.own.reveal(), name).map_err(unusable)?;
    let peer = Authorities::of_text(&link.peer, name).map_err(unusable)?;
    Ok((own, peer))
}

/// The receiver's side of TLS.
pub fn server(link: &ShippingLink) -> Result<Arc<ServerConfig>, String> {
    let (own, peer) = sides(link)?;
    let config = linstor_tls::server(&own, Some(peer));
    config.map(Arc::new).map_err(unusable)
}

/// The sender's side of TLS.
pub fn client(link: &ShippingLink) -> Result<Arc<ClientConfig>, String> {
    let (own, peer) = sides(link)?;
    let config = linstor_tls::client(peer, Names::Ignored, Some(&own));
    config.map(Arc::new).map_err(unusable)
}

/// Fails once nothing has happened for as long.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => {
            let text = format!("nothing passed for {} seconds", limit.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Says which shipment it is, of how many volumes.
pub async fn greet(
    to: &mut (impl AsyncWrite + Unpin),
    shipment: Uuid,
    volumes: usize,
) -> io::Result<()> {
    let volumes = u32::try_from(volumes).map_err(io::Error::other)?;
    to.write_all(MAGIC).await?;
    to.write_all(shipment.as_bytes()).await?;
    to.write_u32(volumes).await?;
    to.flush().await
}

/// Reads which shipment it is, which has to be this one; returns the number of its volumes.
pub async fn greeted(from: &mut (impl AsyncRead + Unpin), shipment: Uuid) -> io::Result<u32> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Err(damaged("the other node speaks another version"));
    }
    let mut id = [0; 16];
    from.read_exact(&mut id).await?;
    if id != *shipment.as_bytes() {
        return Err(damaged("the other node sends another shipment"));
    }
    let volumes = from.read_u32().await?;
    match volumes {
        0..=VOLUMES_MAX => Ok(volumes),
        _ => Err(damaged("it has too many volumes")),
    }
}

/// Begins a volume.
pub async fn offer(to: &mut (impl AsyncWrite + Unpin), head: VolumeHead) -> io::Result<()> {
    to.write_u32(head.number).await?;
    to.write_u64(head.bytes).await?;
    to.flush().await
}

/// Reads the begin of a volume.
pub async fn offered(from: &mut (impl AsyncRead + Unpin)) -> io::Result<VolumeHead> {
    Ok(VolumeHead {
        number: from.read_u32().await?,
        bytes: from.read_u64().await?,
    })
}

/// Answers.
pub async fn answer(to: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let code = match answer {
        Answer::Have => HAVE,
        Answer::Send => SEND,
        Answer::Received => RECEIVED,
        Answer::All => ALL,
        Answer::Failed(_) => FAILED,
    };
    to.write_u8(code).await?;
    if let Answer::Failed(text) = answer {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        to.write_u32(u32::try_from(end).map_err(io::Error::other)?)
            .await?;
        to.write_all(&text.as_bytes()[..end]).await?;
    }
    to.flush().await
}

/// Reads an answer.
pub async fn answered(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
    Ok(match from.read_u8().await? {
        HAVE => Answer::Have,
        SEND => Answer::Send,
        RECEIVED => Answer::Received,
        ALL => Answer::All,
        FAILED => {
            let length = usize::try_from(from.read_u32().await?).map_err(io::Error::other)?;
            if length > TEXT_BYTES_MAX {
                return Err(damaged("the reason of its failure is too long"));
            }
            let mut text = vec![0; length];
            from.read_exact(&mut text).await?;
            let text = String::from_utf8_lossy(&text);
            // It is shown to people.
            let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            Answer::Failed(plain.collect())
        }
        _ => return Err(damaged("its answer is not understood")),
    })
}

/// Sends all of a stream in frames. Nothing may be awaited for longer than the limit.
pub async fn send_frames(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    limit: Duration,
) -> io::Result<()> {
    let mut frame = vec![0; FRAME_BYTES];
    loop {
        // What is before it has a limit of its own.
        let length = from.read(&mut frame).await?;
        let head = u32::try_from(length).map_err(io::Error::other)?;
        let write = async {
            to.write_u32(head).await?;
            to.write_all(&frame[..length]).await?;
            to.flush().await
        };
        within(limit, write).await?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Receives the frames of a stream, and shuts the writer down after the last one: what breaks off must not be taken for the
/// whole.
pub async fn receive_frames(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    limit: Duration,
) -> io::Result<()> {
    let mut frame = vec![0; FRAME_BYTES];
    loop {
        let read = async {
            let length = usize::try_from(from.read_u32().await?).map_err(io::Error::other)?;
            if length > FRAME_BYTES {
                return Err(damaged("a frame is too long"));
            }
            from.read_exact(&mut frame[..length]).await?;
            Ok(length)
        };
        let length = within(limit, read).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&frame[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// What one side says the other side reads.
    #[tokio::test]
    async fn what_is_said_is_read() {
        let (mut a, mut b) = tokio::io::duplex(1 << 20);
        let id = Uuid::from_u128(7);
        greet(&mut a, id, 3).await.unwrap();
        assert_eq!(greeted(&mut b, id).await.unwrap(), 3);
        let head = VolumeHead {
            number: 2,
            bytes: 1 << 40,
        };
        offer(&mut a, head).await.unwrap();
        assert_eq!(offered(&mut b).await.unwrap(), head);
        for said in [
            Answer::Have,
            Answer::Send,
            Answer::Received,
            Answer::All,
            Answer::Failed("The pool is full.".to_owned()),
        ] {
            answer(&mut a, &said).await.unwrap();
            assert_eq!(answered(&mut b).await.unwrap(), said);
        }
        let long = Answer::Failed("ü\n".repeat(3000));
        answer(&mut a, &long).await.unwrap();
        let Answer::Failed(text) = answered(&mut b).await.unwrap() else {
            panic!("it is no failure")
        };
        assert!(text.len() <= TEXT_BYTES_MAX && !text.contains('\n'));
    }

    /// Frames end with an empty one: what breaks off is an error, and the writer is not shut down.
    #[tokio::test]
    async fn a_stream_that_breaks_off_is_not_whole() {
        let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut framed = Vec::new();
        send_frames(&mut content.as_slice(), &mut framed, LIMIT)
            .await
            .unwrap();
        let mut whole = Vec::new();
        receive_frames(&mut framed.as_slice(), &mut whole, LIMIT)
            .await
            .unwrap();
        assert_eq!(whole, content);
        for cut in [0, 3, 4, 1000, framed.len() - 4, framed.len() - 1] {
            let (mut into, mut out) = tokio::io::duplex(content.len() + 1);
            let received = receive_frames(&mut &framed[..cut], &mut into, LIMIT).await;
            assert!(received.is_err(), "{cut}");
            // The other end is not told that this was all of it.
            let mut read = vec![0; content.len()];
            let reading = async {
                loop {
                    if out.read(&mut read).await.unwrap() == 0 {
                        break;
                    }
                }
            };
            let ended = timeout(Duration::from_millis(20), reading).await;
            assert!(ended.is_err(), "{cut}");
            drop(into);
        }
    }

    /// Nonsense is refused, and takes no memory.
    #[tokio::test]
    async fn nonsense_is_refused() {
        let id = Uuid::from_u128(7);
        let mut other = Vec::new();
        greet(&mut other, Uuid::from_u128(8), 1).await.unwrap();
        assert!(greeted(&mut other.as_slice(), id).await.is_err());
        let mut version = other.clone();
        version[7] = 9;
        assert!(greeted(&mut version.as_slice(), id).await.is_err());
        assert!(answered(&mut [9_u8].as_slice()).await.is_err());
        assert!(
            answered(&mut [FAILED, 255, 255, 255, 255].as_slice())
                .await
                .is_err()
        );
        let mut into = Vec::new();
        let huge = [255_u8; 64];
        assert!(
            receive_frames(&mut huge.as_slice(), &mut into, LIMIT)
                .await
                .is_err()
        );
    }

    /// Who says nothing is not waited for.
    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        let (mut a, _b) = tokio::io::duplex(16);
        let error = receive_frames(&mut a, &mut Vec::new(), LIMIT)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "nothing passed for 5 seconds");
    }
}
