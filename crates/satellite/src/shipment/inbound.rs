//! Receives the volumes of a snapshot from a node of another cluster: listens, and writes the stream of `thin_send` into new thin
//! volumes, or into ones made of the snapshot that the others are based on. They become a snapshot once all of it is there. A
//! connection that breaks off is waited for again; volumes that are durable are not sent again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_net::{NetError, tcp};
use linstor_wire::Key;
use linstor_wire::spec::{InboundSpec, NodeSpec, SnapshotSpec, SnapshotVolumeSpec};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{self, Answer, CONNECT_LIMIT, VolumeHead, within};
use super::receive::Device;
use super::unpack::decompress;
use super::{BUFFER, Progress, base_of, failed, volume_failed};
use crate::check::PoolPlace;
use crate::failure::{Failure, Result};
use crate::providers::{self, Wanted, lvm};
use crate::shared::Shared;
use crate::snapshot::{name_of, place, snapshot_of};
use crate::thin_stream;

/// How many connections that are not known yet are listened to at a time.
const HANDSHAKES_MAX: usize = 8;
/// How long after a connection could not be accepted the next one is.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a connection has ended early.
enum Broken {
    /// It has failed, and the other side is told.
    Failed(Failure),
    /// The connection has broken off.
    Connection(std::io::Error),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Failed(failure)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Broken {
        Broken::Connection(error)
    }
}

/// Receives all volumes, and notes that they are there.
pub(super) async fn receive_all(
    shared: &Arc<Shared>,
    key: &Key,
    spec: &SnapshotSpec,
    inbound: &InboundSpec,
    node: &NodeSpec,
    progress: &Arc<Progress>,
) -> Result<()> {
    // What is made is found again, and destroyed with the snapshot.
    shared.save(&Key::Node).await?;
    shared.save(key).await?;
    let tls = peer::server(&inbound.link).map_err(|why| failed(spec, why))?;
    let listener = tcp::listen_everywhere(inbound.port);
    let listener = listener.map_err(|error| not_listening(spec, inbound.port, &error))?;
    let limit = Duration::from_millis(inbound.limit_ms.max(1));
    let (known, mut connections) = mpsc::channel(1);
    let accept = accept(listener, TlsAcceptor::from(tls), known);
    let mut receiving = Inbound {
        shared,
        key,
        spec,
        inbound,
        node,
        progress,
        limit,
        durable: BTreeSet::new(),
    };
    tokio::select! {
        // Cancel-safe: it only gives connections.
        never = accept => match never {},
        // Cancel-safe: what ends here is the shipment.
        done = receiving.serve(&mut connections) => done,
    }
}

/// The port can be another one: the controller is told so by the code.
fn not_listening(spec: &SnapshotSpec, port: u16, error: &NetError) -> Failure {
    match error {
        NetError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            let message = format!("TCP port {port} is in use.");
            Failure::new(code::FAIL_POOL_EXHAUSTED_BACKUP_SHIPPING_TCP_PORT, message)
                .about("TcpPort", port.to_string())
        }
        _ => failed(spec, format!("The node cannot listen: {error}")),
    }
}

/// Accepts connections, and hands on those whose other end has the certificate.
async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    known: mpsc::Sender<TlsStream<TcpStream>>,
) -> std::convert::Infallible {
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            // Cancel-safe.
            Some(_) = handshakes.join_next(), if !handshakes.is_empty() => {}
            // Cancel-safe.
            accepted = tcp::accept(&listener), if handshakes.len() < HANDSHAKES_MAX => match accepted {
                Ok((stream, from)) => {
                    let (tls, known) = (tls.clone(), known.clone());
                    handshakes.spawn(async move {
                        match timeout(CONNECT_LIMIT, tls.accept(stream)).await {
                            // Nobody waits for it once the shipment has ended.
                            Ok(Ok(stream)) => drop(known.send(stream).await),
                            Ok(Err(error)) => tracing::warn!(%from, %error, "a connection for a shipment was refused"),
                            Err(_) => tracing::warn!(%from, "a connection for a shipment said nothing"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for a shipment was not accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

struct Inbound<'a> {
    shared: &'a Arc<Shared>,
    key: &'a Key,
    spec: &'a SnapshotSpec,
    inbound: &'a InboundSpec,
    node: &'a NodeSpec,
    progress: &'a Arc<Progress>,
    limit: Duration,
    /// The numbers of the volumes that are durable.
    durable: BTreeSet<u32>,
}

impl Inbound<'_> {
    fn failed(&self, number: u32, cause: impl std::fmt::Display) -> Failure {
        volume_failed(self.spec, number, cause)
    }

    /// Serves one connection after the other. A new one replaces the one before, whose end is perhaps not known here.
    async fn serve(
        &mut self,
        connections: &mut mpsc::Receiver<TlsStream<TcpStream>>,
    ) -> Result<()> {
        let mut next = None;
        let mut why = "It has not connected.".to_owned();
        let mut since = Instant::now();
        loop {
            let connection = match next.take() {
                Some(connection) => connection,
                None => {
                    let left = self.limit.saturating_sub(since.elapsed());
                    match timeout(left, connections.recv()).await {
                        Ok(Some(connection)) => connection,
                        Ok(None) | Err(_) => return Err(self.silent(&why)),
                    }
                }
            };
            let (mut from, mut to) = tokio::io::split(connection);
            let ended = tokio::select! {
                // Cancel-safe: what a connection has left undone is done again.
                ended = self.connection(&mut from, &mut to) => ended,
                // Cancel-safe.
                Some(newer) = connections.recv() => {
                    next = Some(newer);
                    continue;
                }
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(Broken::Failed(failure)) => {
                    let said = Answer::Failed(failure.to_string());
                    let told = within(CONNECT_LIMIT, peer::answer(&mut to, &said)).await;
                    if let Err(error) = told {
                        tracing::debug!(%error, "the sender was not told");
                    }
                    return Err(failure);
                }
                Err(Broken::Connection(error)) => {
                    tracing::info!(resource = %self.spec.resource, snapshot = %self.spec.name, %error, "the connection broke off");
                    why = format!("The connection broke off: {error}.");
                    if self.progress.hundredths() > 0 {
                        since = Instant::now();
                    }
                }
            }
        }
    }

    fn silent(&self, why: &str) -> Failure {
        let cause = format!(
            "The other cluster's node has sent nothing for {} s. {why}",
            self.limit.as_secs()
        );
        failed(self.spec, cause).correction(
            "Check that the other cluster's node is there and that it can reach this node's port.",
        )
    }

    async fn connection(
        &mut self,
        from: &mut (impl AsyncRead + Send + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::result::Result<(), Broken> {
        let count = within(self.limit, peer::greeted(from, self.inbound.shipment)).await?;
        let spec = self.spec;
        let volumes = spec.volumes.iter();
        let volumes: Vec<_> = volumes
            .filter(|v| v.suffix == StorageSuffix::Data)
            .collect();
        if usize::try_from(count).ok() != Some(volumes.len()) {
            let cause = format!("{count} volumes are sent, and it has {}.", volumes.len());
            return Err(failed(spec, cause).into());
        }
        for index in 0..u64::from(count) {
            let head = within(self.limit, peer::offered(from)).await?;
            let volume = volumes.iter().find(|volume| volume.number == head.number);
            let volume = volume.ok_or_else(|| self.failed(head.number, "It does not have it."))?;
            self.progress.begin(index, u64::from(count));
            if self.durable.contains(&head.number) {
                within(self.limit, peer::answer(to, &Answer::Have)).await?;
                continue;
            }
            self.volume(volume, head, from, to).await?;
            self.durable.insert(head.number);
            within(self.limit, peer::answer(to, &Answer::Received)).await?;
        }
        let wanted = volumes
            .iter()
            .all(|volume| self.durable.contains(&volume.number));
        if !wanted {
            return Err(failed(spec, "A volume was not sent.".to_owned()).into());
        }
        self.shared.space_unsettled();
        let id = self.inbound.id;
        let noted = self
            .shared
            .note(self.key, spec.uuid, |notes| notes.received = Some(id));
        noted.await?;
        // Whether the sender hears of it does not matter: its controller is told as well.
        if let Err(error) = within(CONNECT_LIMIT, peer::answer(to, &Answer::All)).await {
            tracing::debug!(%error, "the sender was not told");
        }
        Ok(())
    }

    async fn volume(
        &self,
        volume: &SnapshotVolumeSpec,
        head: VolumeHead,
        from: &mut (impl AsyncRead + Send + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::result::Result<(), Broken> {
        let number = volume.number;
        let name = name_of(self.spec, volume);
        let place = place(self.node, volume)?;
        let PoolPlace::LvmThin { vg, .. } = &place else {
            let cause =
                "Nothing can be received from another cluster into a storage pool of its kind.";
            return Err(self.failed(number, cause).into());
        };
        let of = snapshot_of(self.spec, self.node, volume, &name);
        let storage = self.shared.storage();
        // What an attempt has received that was interrupted, nobody knows.
        providers::destroy_snapshot(storage, &place, &of).await?;
        let own = of.name();
        let base = self.inbound.base.as_ref();
        let base = base.map(|base| base_of(base, of));
        let wanted = Wanted {
            name: &own,
            size_kib: volume.size_kib,
            owner: of.owner,
            props: of.props,
            is_new: true,
            source: base,
        };
        let backing = providers::ensure(storage, &place, &wanted).await?;
        let bytes = backing.size_kib * 1024;
        if head.bytes > bytes {
            let cause = format!("{} bytes are sent, and the volume has {bytes}.", head.bytes);
            return Err(self.failed(number, cause).into());
        }
        within(self.limit, peer::answer(to, &Answer::Send)).await?;
        let expected = within(self.limit, from.read_u64()).await?;
        self.progress.expect(expected);
        self.stream(number, &backing.path, bytes, from).await?;
        let host = self.shared.machine.host();
        host.sync(Path::new(&backing.path))
            .await
            .map_err(Failure::from)?;
        lvm::seal(storage, vg, &own).await?;
        Ok(())
    }

    async fn stream(
        &self,
        number: u32,
        path: &str,
        bytes: u64,
        from: &mut (impl AsyncRead + Send + Unpin),
    ) -> std::result::Result<(), Broken> {
        let (mut packed, mut frames) = tokio::io::duplex(BUFFER);
        let (mut plain, mut stream) = tokio::io::duplex(BUFFER);
        let receive = async {
            let received = peer::receive_frames(from, &mut packed, self.limit).await;
            received.map_err(Broken::from)
        };
        let host = self.shared.machine.host();
        let unpack = async {
            let ended = decompress(host, &mut frames, &mut plain).await;
            ended.map_err(|error| Broken::Failed(self.failed(number, error)))
        };
        let mut device = Counted {
            device: Device {
                shared: Arc::clone(self.shared),
                path: path.into(),
            },
            progress: Arc::clone(self.progress),
        };
        let write = async {
            let written = thin_stream::receive(&mut stream, bytes, &mut device).await;
            written.map_err(|error| Broken::Failed(self.failed(number, error)))
        };
        tokio::try_join!(receive, unpack, write)?;
        Ok(())
    }
}

/// A device of which is counted what is written.
struct Counted {
    device: Device,
    progress: Arc<Progress>,
}

#[async_trait::async_trait]
impl thin_stream::Target for Counted {
    async fn write(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.device.write(offset, bytes).await?;
        let written = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.progress.done.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    async fn discard(&mut self, offset: u64, bytes: u64) -> std::io::Result<()> {
        self.device.discard(offset, bytes).await
    }
}
