//! Sends the volumes of a snapshot: the map of a thin volume, the stream of `thin_send`, zstd, parts of an object.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use linstor_api::kind::StorageSuffix;
use linstor_host::{Cmd, Deadline, Host, Pipe, PipeError, Place};
use linstor_s3::{Bucket, Parts, UploadError};
use linstor_wire::spec::{NodeSpec, ObjectSpec, ShipmentSpec, SnapshotSpec, SnapshotVolumeSpec};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinError;

use super::{BUFFER, Progress, STALL, base_of, failed, of_store, open, volume_failed};
use crate::check::PoolPlace;
use crate::failure::{Failure, Result};
use crate::providers::{self, Backing, Presence, SnapshotOf, lvm};
use crate::shared::Shared;
use crate::snapshot::{name_of, place, snapshot_of};
use crate::thin_stream::{self, Source, StreamError};
use crate::tools::thin;

/// Sends all volumes.
pub(super) async fn send_all(
    shared: &Arc<Shared>,
    spec: &SnapshotSpec,
    shipment: &ShipmentSpec,
    node: &NodeSpec,
    progress: &Arc<Progress>,
) -> Result<()> {
    let bucket = open(&shipment.bucket);
    let bucket = bucket.map_err(|error| of_store(spec, &error))?;
    let count = shipment.objects.len() as u64;
    for (index, (number, object)) in shipment.objects.iter().enumerate() {
        let mut volumes = spec.volumes.iter();
        let volume = volumes.find(|v| v.number == *number && v.suffix == StorageSuffix::Data);
        let volume = volume.ok_or_else(|| failed(spec, format!("It has no volume {number}.")))?;
        progress.begin(index as u64, count);
        let sending = Sending {
            shared,
            spec,
            shipment,
            node,
            volume,
            bucket: &bucket,
            object,
            progress,
        };
        sending.send().await?;
    }
    Ok(())
}

/// A volume on its way.
pub(super) struct Sending<'a> {
    pub(super) shared: &'a Arc<Shared>,
    spec: &'a SnapshotSpec,
    shipment: &'a ShipmentSpec,
    node: &'a NodeSpec,
    volume: &'a SnapshotVolumeSpec,
    bucket: &'a Bucket,
    object: &'a ObjectSpec,
    pub(super) progress: &'a Arc<Progress>,
}

impl Sending<'_> {
    pub(super) fn failed(&self, cause: impl std::fmt::Display) -> Failure {
        volume_failed(self.spec, self.volume.number, cause)
    }

    async fn send(&self) -> Result<()> {
        let name = name_of(self.spec, self.volume);
        let place = place(self.node, self.volume)?;
        let of = snapshot_of(self.spec, self.node, self.volume, &name);
        let (spec, number) = (self.spec, self.volume.number);
        let backing = find(self.shared, spec, number, &place, &of).await?;
        let base = self.shipment.base.as_ref();
        let base = base.map(|base| base_of(base, of));
        let based_on = match &base {
            Some(base) => Some(find(self.shared, spec, number, &place, base).await?),
            None => None,
        };
        match &place {
            PoolPlace::LvmThin { vg, pool } => {
                lvm::activate(self.shared.storage(), vg, &of.name()).await?;
                let base = base.map(|base| base.name());
                let read = map(self.shared, (vg, pool), of.name(), base);
                let ranges = read.await.map_err(|error| self.failed(error))??;
                let total = ranges.mapped_bytes;
                self.progress.expect(total);
                self.send_thin(ranges, &backing).await
            }
            PoolPlace::Zfs { .. } => {
                let base = based_on.as_ref().map(|base| base.path.as_str());
                self.send_zfs(&backing.path, base).await
            }
            PoolPlace::Diskless | PoolPlace::Lvm { .. } | PoolPlace::File { .. } => {
                Err(self.failed("Snapshots in a storage pool of its kind cannot be sent."))
            }
        }
    }

    /// The stream of `thin_send` through zstd into the object.
    async fn send_thin(&self, ranges: thin::Ranges, backing: &Backing) -> Result<()> {
        let (mut into, mut plain) = tokio::io::duplex(BUFFER);
        let stream = async {
            let sent = stream_thin(self.shared, self.progress, ranges, backing, &mut into).await;
            sent.map_err(|error| self.failed(error))
        };
        tokio::try_join!(stream, self.pack(&mut plain))?;
        Ok(())
    }

    /// A stream through zstd into the object.
    pub(super) async fn pack(&self, plain: &mut DuplexStream) -> Result<()> {
        let (mut packed, mut from) = tokio::io::duplex(BUFFER);
        let pack = async {
            let ended = compress(self.shared.machine.host(), plain, &mut packed).await;
            ended.map_err(|error| self.failed(error))
        };
        tokio::try_join!(pack, self.write(&mut from))?;
        Ok(())
    }

    async fn write(&self, from: &mut (dyn tokio::io::AsyncRead + Send + Unpin)) -> Result<()> {
        let (key, upload) = (&self.object.key, &self.object.upload);
        let parts = Parts::new(self.shared.options.state_directory.clone());
        let sent = Arc::new(AtomicU64::new(0));
        let written = self.bucket.write(key, upload, from, &parts, &sent).await;
        match written {
            Ok(bytes) => {
                tracing::info!(key, bytes, "object written");
                Ok(())
            }
            // The outcome of an earlier attempt was lost: nobody else completes this upload.
            Err(UploadError::Store(error)) if error.is_not_found() && self.is_there().await => {
                // The stream is read to its end nevertheless: its programs have to end well.
                let drained = tokio::io::copy(from, &mut tokio::io::sink()).await;
                drained.map(drop).map_err(|error| self.failed(error))
            }
            Err(UploadError::Store(error)) => Err(of_store(self.spec, &error)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether the object is complete.
    async fn is_there(&self) -> bool {
        let key = &self.object.key;
        let listed = self.bucket.list(key, None).await;
        listed.is_ok_and(|page| page.objects.iter().any(|object| object.key == *key))
    }
}

/// The volume of a snapshot.
pub(super) async fn find(
    shared: &Shared,
    spec: &SnapshotSpec,
    number: u32,
    place: &PoolPlace,
    of: &SnapshotOf<'_>,
) -> Result<Backing> {
    match providers::find_snapshot(shared.storage(), place, of).await? {
        Presence::Present(backing) => Ok(backing),
        Presence::Foreign(failure) => Err(failure),
        Presence::PoolAbsent | Presence::Absent => {
            let cause = format!("The snapshot '{}' is not on this node.", of.snapshot);
            Err(volume_failed(spec, number, cause))
        }
    }
}

/// The map of a thin volume. In a task of its own: whatever becomes of the shipment, the snapshot of the pool's metadata is
/// released.
pub(super) async fn map(
    shared: &Arc<Shared>,
    (vg, pool): (&str, &str),
    name: String,
    base: Option<String>,
) -> std::result::Result<Result<thin::Ranges>, JoinError> {
    let shared = Arc::clone(shared);
    let (vg, pool) = (vg.to_owned(), pool.to_owned());
    let reading = tokio::spawn(async move {
        let directory = shared.options.state_directory.clone();
        let place = (vg.as_str(), pool.as_str());
        thin::map(&shared.machine, place, &name, base.as_deref(), &directory).await
    });
    reading.await
}

/// The stream of `thin_send`. It is shut down after all was sent only: what breaks off must not be taken for the whole.
pub(super) async fn stream_thin(
    shared: &Arc<Shared>,
    progress: &Arc<Progress>,
    ranges: thin::Ranges,
    backing: &Backing,
    into: &mut DuplexStream,
) -> std::result::Result<(), StreamError> {
    let ranges = ranges.read().map_err(StreamError::Stream)?;
    let device = Device {
        shared: Arc::clone(shared),
        path: backing.path.clone(),
        progress: Arc::clone(progress),
    };
    thin_stream::send(ranges, backing.size_kib * 1024, &device, into).await?;
    into.shutdown().await.map_err(StreamError::Stream)
}

/// A stream through zstd; its result is shut down if all of it was read.
pub(super) async fn compress(
    host: &dyn Host,
    plain: &mut DuplexStream,
    packed: &mut DuplexStream,
) -> std::result::Result<(), PipeError> {
    let pipe = Pipe::new(Cmd::new("zstd").args(["--stdout", "--quiet"]));
    let pipe = pipe.deadline(Deadline::stall(STALL));
    host.pipe(pipe, Some(plain), Some(packed)).await.map(drop)
}

/// The device of a snapshot.
struct Device {
    shared: Arc<Shared>,
    path: String,
    progress: Arc<Progress>,
}

#[async_trait]
impl Source for Device {
    async fn read(&self, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        let host = self.shared.machine.host();
        let place = Place::FromStart(offset);
        let read = host.read_at(Path::new(&self.path), place, length).await;
        let content = read.map_err(|error| error.source)?;
        self.progress.add(bytes);
        Ok(content)
    }
}
