//! Receives the volumes of a snapshot: objects, zstd, the stream of `thin_send` into a new thin volume, which becomes a
//! snapshot once all of it is there. An interruption begins it anew.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use linstor_api::kind::StorageSuffix;
use linstor_host::Place;
use linstor_s3::{Bucket, DownloadError};
use linstor_wire::Key;
use linstor_wire::spec::{NodeSpec, ReceiptSpec, ReceivedObject, SnapshotSpec, SnapshotVolumeSpec};
use tokio::io::DuplexStream;

use super::unpack::{self, Broken};
use super::{BUFFER, Progress, failed, of_store, open, volume_failed};
use crate::check::PoolPlace;
use crate::failure::{Failure, Result};
use crate::providers::{self, SnapshotOf, Wanted, lvm};
use crate::shared::Shared;
use crate::snapshot::{name_of, place, snapshot_of};
use crate::thin_stream::{self, Target};

/// Receives all volumes, and notes that they are there.
pub(super) async fn receive_all(
    shared: &Arc<Shared>,
    key: &Key,
    spec: &SnapshotSpec,
    receipt: &ReceiptSpec,
    node: &NodeSpec,
    progress: &Arc<Progress>,
) -> Result<()> {
    // What is made is found again, and destroyed with the snapshot.
    shared.save(&Key::Node).await?;
    shared.save(key).await?;
    let bucket = open(&receipt.bucket);
    let bucket = bucket.map_err(|error| of_store(spec, &error))?;
    let count = receipt.objects.len() as u64;
    for (index, (number, objects)) in receipt.objects.iter().enumerate() {
        let mut volumes = spec.volumes.iter();
        let volume = volumes.find(|v| v.number == *number && v.suffix == StorageSuffix::Data);
        let volume = volume.ok_or_else(|| failed(spec, format!("It has no volume {number}.")))?;
        progress.begin(index as u64, count);
        progress.expect(objects.iter().map(|object| object.bytes).sum());
        let receiving = Receiving {
            shared,
            spec,
            node,
            volume,
            bucket: &bucket,
            progress,
        };
        receiving.receive(objects).await?;
    }
    shared.space_unsettled();
    let id = receipt.id;
    shared
        .note(key, spec.uuid, |notes| notes.received = Some(id))
        .await
}

/// A volume on its way.
pub(super) struct Receiving<'a> {
    pub(super) shared: &'a Arc<Shared>,
    spec: &'a SnapshotSpec,
    node: &'a NodeSpec,
    pub(super) volume: &'a SnapshotVolumeSpec,
    bucket: &'a Bucket,
    progress: &'a Arc<Progress>,
}

impl Receiving<'_> {
    pub(super) fn failed(&self, cause: impl std::fmt::Display) -> Failure {
        volume_failed(self.spec, self.volume.number, cause)
    }

    async fn receive(&self, objects: &[ReceivedObject]) -> Result<()> {
        let name = name_of(self.spec, self.volume);
        let place = place(self.node, self.volume)?;
        let of = snapshot_of(self.spec, self.node, self.volume, &name);
        let storage = self.shared.storage();
        // What an attempt has received that was interrupted, nobody knows.
        providers::destroy_snapshot(storage, &place, &of).await?;
        match &place {
            PoolPlace::LvmThin { vg, .. } => self.receive_thin(vg, &place, &of, objects).await,
            PoolPlace::Zfs { dataset, .. } => self.receive_zfs(dataset, &of, objects).await,
            PoolPlace::Diskless | PoolPlace::Lvm { .. } | PoolPlace::File { .. } => {
                Err(self.failed("Nothing can be received into a storage pool of its kind."))
            }
        }
    }

    /// Receives a snapshot as a new thin volume.
    async fn receive_thin(
        &self,
        vg: &str,
        place: &PoolPlace,
        of: &SnapshotOf<'_>,
        objects: &[ReceivedObject],
    ) -> Result<()> {
        let storage = self.shared.storage();
        let own = of.name();
        let wanted = Wanted {
            name: &own,
            size_kib: self.volume.size_kib,
            owner: of.owner,
            props: of.props,
            is_new: true,
            source: None,
        };
        let backing = providers::ensure(storage, place, &wanted).await?;
        let bytes = backing.size_kib * 1024;
        for object in objects {
            let mut device = Device {
                shared: Arc::clone(self.shared),
                path: backing.path.clone().into(),
            };
            let (plain, mut stream) = tokio::io::duplex(BUFFER);
            let written = async {
                let written = thin_stream::receive(&mut stream, bytes, &mut device).await;
                written.map_err(Broken::from)
            };
            self.unpack(object, plain, written).await?;
        }
        let host = self.shared.machine.host();
        host.sync(Path::new(&backing.path)).await?;
        lvm::seal(storage, vg, &own).await
    }

    /// Downloads an object through zstd, while its stream is read.
    pub(super) async fn unpack(
        &self,
        object: &ReceivedObject,
        plain: DuplexStream,
        read: impl Future<Output = std::result::Result<(), Broken>> + Send,
    ) -> Result<()> {
        let (host, received) = (self.shared.machine.host(), &self.progress.done);
        let unpacked = unpack::unpack(host, self.bucket, object, received, plain, read);
        unpacked.await.map_err(|broken| {
            let failure = match &broken {
                Broken::Download(DownloadError::Store(error)) => of_store(self.spec, error),
                broken => self.failed(broken),
            };
            failure.details(format!("Object: {}", object.key))
        })
    }
}

/// The device of a volume that is filled.
pub(super) struct Device {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
}

#[async_trait]
impl Target for Device {
    async fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let host = self.shared.machine.host();
        let written = host.write_at(&self.path, offset, bytes.to_vec()).await;
        written.map_err(|error| error.source)
    }

    async fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        let host = self.shared.machine.host();
        let zeroed = host.zero(&self.path, Place::FromStart(offset), bytes).await;
        zeroed.map_err(|error| error.source)
    }
}
