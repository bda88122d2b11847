//! Sends the volumes of a snapshot to a node of another cluster: the map of a thin volume, the stream of `thin_send`, zstd,
//! frames on a connection with TLS. A connection that breaks off is made again, and the volume that was on its way is sent again.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use linstor_api::kind::StorageSuffix;
use linstor_net::tcp;
use linstor_wire::spec::{NodeSpec, OutboundSpec, SnapshotSpec, SnapshotVolumeSpec};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::peer::{self, Answer, CONNECT_LIMIT, VolumeHead, within};
use super::send::{compress, find, map, stream_thin};
use super::{BUFFER, Progress, base_of, failed, volume_failed};
use crate::check::PoolPlace;
use crate::failure::{Failure, Result};
use crate::providers::{Backing, lvm};
use crate::shared::Shared;
use crate::snapshot::{name_of, place, snapshot_of};
use crate::tools::thin;

/// How long after a connection that broke off, or was refused, the next one is tried.
const PAUSE: Duration = Duration::from_secs(1);
/// How many connections on which something was sent may break off.
const BREAKS_MAX: u32 = 20;

/// Why sending has ended early.
enum Broken {
    /// It has failed, and is not tried again.
    Failed(Failure),
    /// The connection has broken off.
    Connection(String),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Failed(failure)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Broken {
        Broken::Connection(error.to_string())
    }
}

/// Sends all volumes.
pub(super) async fn send_all(
    shared: &Arc<Shared>,
    spec: &SnapshotSpec,
    outbound: &OutboundSpec,
    node: &NodeSpec,
    progress: &Arc<Progress>,
) -> Result<()> {
    let tls = peer::client(&outbound.link).map_err(|why| failed(spec, why))?;
    let address = SocketAddr::new(outbound.address, outbound.port);
    let sending = Outbound {
        shared,
        spec,
        outbound,
        node,
        progress,
        limit: Duration::from_millis(outbound.limit_ms.max(1)),
        tls: TlsConnector::from(tls),
        address,
    };
    let (mut since, mut breaks) = (Instant::now(), 0);
    loop {
        let why = match sending.attempt().await {
            Ok(()) => return Ok(()),
            Err(Broken::Failed(failure)) => return Err(failure),
            Err(Broken::Connection(why)) => why,
        };
        if progress.hundredths() > 0 && breaks < BREAKS_MAX {
            (since, breaks) = (Instant::now(), breaks + 1);
        }
        // Nothing is sent before the next connection is there.
        progress.begin(0, 1);
        if since.elapsed() >= sending.limit {
            let limit = sending.limit.as_secs();
            let cause = format!("The node at {address} has taken nothing for {limit} s: {why}");
            return Err(failed(spec, cause).correction(
                "Check that the other cluster's node is there, and that this node can reach its port.",
            ));
        }
        tracing::info!(%address, resource = %spec.resource, snapshot = %spec.name, "not sent yet: {why}");
        sleep(PAUSE.min(sending.limit)).await;
    }
}

struct Outbound<'a> {
    shared: &'a Arc<Shared>,
    spec: &'a SnapshotSpec,
    outbound: &'a OutboundSpec,
    node: &'a NodeSpec,
    progress: &'a Arc<Progress>,
    limit: Duration,
    tls: TlsConnector,
    address: SocketAddr,
}

impl Outbound<'_> {
    fn failed(&self, number: u32, cause: impl std::fmt::Display) -> Failure {
        volume_failed(self.spec, number, cause)
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = tcp::dial(self.address, CONNECT_LIMIT.min(self.limit)).await;
        let tcp = tcp.map_err(std::io::Error::other)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        within(CONNECT_LIMIT, self.tls.connect(name, tcp)).await
    }

    /// One connection.
    async fn attempt(&self) -> std::result::Result<(), Broken> {
        let (mut from, mut to) = tokio::io::split(self.connect().await?);
        let volumes = self.spec.volumes.iter();
        let volumes: Vec<_> = volumes
            .filter(|v| v.suffix == StorageSuffix::Data)
            .collect();
        within(
            self.limit,
            peer::greet(&mut to, self.outbound.shipment, volumes.len()),
        )
        .await?;
        let count = volumes.len() as u64;
        for (index, volume) in volumes.into_iter().enumerate() {
            self.progress.begin(index as u64, count);
            self.volume(volume, &mut from, &mut to).await?;
        }
        match within(self.limit, peer::answered(&mut from)).await? {
            Answer::All => Ok(()),
            answer => Err(self.refused(answer)),
        }
    }

    fn refused(&self, answer: Answer) -> Broken {
        let cause = match answer {
            Answer::Failed(why) => format!("The node at {} has failed: {why}", self.address),
            answer => format!("The node at {} has answered {answer:?}.", self.address),
        };
        Broken::Failed(failed(self.spec, cause))
    }

    async fn volume(
        &self,
        volume: &SnapshotVolumeSpec,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::result::Result<(), Broken> {
        let name = name_of(self.spec, volume);
        let place = place(self.node, volume)?;
        let PoolPlace::LvmThin { vg, pool } = &place else {
            let cause =
                "Snapshots in a storage pool of its kind cannot be sent to another cluster.";
            return Err(self.failed(volume.number, cause).into());
        };
        let of = snapshot_of(self.spec, self.node, volume, &name);
        let number = volume.number;
        let backing = find(self.shared, self.spec, number, &place, &of).await?;
        let base = self.outbound.base.as_ref();
        let base = base.map(|base| base_of(base, of));
        if let Some(base) = &base {
            find(self.shared, self.spec, number, &place, base).await?;
        }
        let bytes = backing.size_kib * 1024;
        let head = VolumeHead {
            number: volume.number,
            bytes,
        };
        within(self.limit, peer::offer(to, head)).await?;
        match within(self.limit, peer::answered(from)).await? {
            Answer::Have => return Ok(()),
            Answer::Send => {}
            answer => return Err(self.refused(answer)),
        }
        lvm::activate(self.shared.storage(), vg, &of.name()).await?;
        let base = base.map(|base| base.name());
        let read = map(self.shared, (vg, pool), of.name(), base);
        let ranges = read.await.map_err(|error| self.failed(number, error))??;
        self.progress.expect(ranges.mapped_bytes);
        within(self.limit, to.write_u64(ranges.mapped_bytes)).await?;
        // A failure may be answered before all is sent.
        let mut answer = pin!(peer::answered(from));
        let sent = tokio::select! {
            biased;
            // It is polled to its end, here or below.
            early = &mut answer => return Err(self.refused(early?)),
            // Cancel-safe: what is cancelled here ends the connection.
            sent = self.stream(volume, ranges, &backing, to) => sent,
        };
        match sent {
            Ok(()) => match within(self.limit, answer).await? {
                Answer::Received => Ok(()),
                answer => Err(self.refused(answer)),
            },
            // Who has failed says so before the connection is closed.
            Err(Broken::Connection(why)) => match timeout(CONNECT_LIMIT, answer).await {
                Ok(Ok(answer @ Answer::Failed(_))) => Err(self.refused(answer)),
                _ => Err(Broken::Connection(why)),
            },
            Err(failed) => Err(failed),
        }
    }

    /// The stream of `thin_send` through zstd.
    async fn stream(
        &self,
        volume: &SnapshotVolumeSpec,
        ranges: thin::Ranges,
        backing: &Backing,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::result::Result<(), Broken> {
        let number = volume.number;
        let failed = |error: &dyn std::fmt::Display| Broken::Failed(self.failed(number, error));
        let (mut into, mut plain) = tokio::io::duplex(BUFFER);
        let stream = async {
            let sent = stream_thin(self.shared, self.progress, ranges, backing, &mut into).await;
            sent.map_err(|error| failed(&error))
        };
        let (mut packed, mut frames) = tokio::io::duplex(BUFFER);
        let pack = async {
            let ended = compress(self.shared.machine.host(), &mut plain, &mut packed).await;
            ended.map_err(|error| failed(&error))
        };
        let send = async {
            let sent = peer::send_frames(&mut frames, to, self.limit).await;
            sent.map_err(Broken::from)
        };
        tokio::try_join!(send, stream, pack)?;
        Ok(())
    }
}
