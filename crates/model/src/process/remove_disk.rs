//! Making a diskful resource diskless: DRBD detaches its disk once another resource has the data, then the storage is
//! destroyed. Its peers take it for diskful until all of that is done.

use std::collections::BTreeMap;

use linstor_api::prop;
use serde::{Deserialize, Serialize};

use super::{Context, Kind, Next, Object, Process, Progress, Steps, Undone, Wait};
use crate::draft::Draft;
use crate::model::{DEFAULT_DISKLESS_POOL, Model, RowKey};
use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::observed::Observed;
use crate::once;
use crate::process::add_disk::AddDisk;
use crate::{DiskKind, Resource};

/// Storage of a disk: volume numbers and their pools.
pub type Storage = BTreeMap<u32, StoragePoolName>;

/// A disk that is being removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveDisk {
    /// The resource's definition.
    pub resource: ResourceName,
    /// The resource's node.
    pub node: NodeName,
    /// The storage that is to be destroyed.
    pub storage: Storage,
}

/// Makes a diskful resource diskless, of this kind; in place of what else is being done with it.
///
/// Nothing happens when it is not there or has no disk. Whether others have the data is for the caller to check.
pub fn begin(draft: &mut Draft, name: &ResourceName, node: &NodeName, to: DiskKind, now_ms: u64) {
    let Some(remove) = detach(draft, name, node, to) else {
        return;
    };
    let before = draft.resource(name, node);
    let before = before.and_then(|row| draft.process_of(row)).cloned();
    if let Some(process) = before {
        draft.remove(&RowKey::Process(process.id));
    }
    draft.begin_process(remove, now_ms);
}

/// Uses what is left of a disk that is being removed again; lost volumes are created again and synchronised from a
/// peer. Returns whether one was being removed.
pub fn withdraw(draft: &mut Draft, replica: &Resource, now_ms: u64) -> bool {
    let Some(process) = draft.process_of(replica).cloned() else {
        return false;
    };
    let Kind::RemoveDisk(remove) = &process.kind else {
        return false;
    };
    let add = remove.give_back(draft);
    draft.restart_step(process.id, add.into(), now_ms);
    true
}

/// Changes the row of a diskful resource to a diskless one; none when it has no disk.
pub(super) fn detach(
    draft: &mut Draft,
    name: &ResourceName,
    node: &NodeName,
    to: DiskKind,
) -> Option<RemoveDisk> {
    let row = draft
        .resource(name, node)
        .filter(|row| !row.is_diskless())?;
    let mut row = Resource::clone(row);
    let diskless =
        StoragePoolName::parse(DEFAULT_DISKLESS_POOL).expect("a default pool's name is a name");
    let volumes = row.volumes.iter_mut();
    let storage = volumes
        .map(|(number, volume)| {
            let pool = std::mem::replace(&mut volume.pool, diskless.clone());
            (*number, pool)
        })
        .collect();
    if let Some(drbd) = &mut row.drbd {
        drbd.disk = to;
    }
    for key in [prop::STOR_POOL_NAME, prop::DISKFUL_BY, prop::MIGRATE_FROM] {
        row.props.remove(key);
    }
    let remove = RemoveDisk {
        resource: row.name.clone(),
        node: row.node.clone(),
        storage,
    };
    draft.put_resource(row);
    Some(remove)
}

impl RemoveDisk {
    /// Makes the resource diskful again, on the storage it had.
    pub(crate) fn give_back(&self, draft: &mut Draft) -> AddDisk {
        let mut was = DiskKind::Diskless;
        draft.edit_resource(&self.resource, &self.node, |row| {
            for (number, pool) in &self.storage {
                if let Some(volume) = row.volumes.get_mut(number) {
                    volume.pool = pool.clone();
                }
            }
            if let Some(drbd) = &mut row.drbd {
                was = std::mem::replace(&mut drbd.disk, DiskKind::Diskful);
            }
        });
        AddDisk {
            resource: self.resource.clone(),
            node: self.node.clone(),
            was,
        }
    }
}

impl Steps for RemoveDisk {
    fn subject(&self) -> Object {
        Object::Resource(self.resource.clone(), self.node.clone())
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        Progress::only("removing-disk")
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let Some(replica) = now.draft.resource(&self.resource, &self.node) else {
            return Next::Done;
        };
        // One that is deactivated was not asked to detach its disk.
        if replica.inactive {
            let why = "it is deactivated; the disk is removed once it is activated";
            return Next::Wait(vec![Wait::activate(replica, why)]);
        }
        if !process.reached(now.observed, replica) {
            return Next::Wait(vec![Wait::apply(replica)]);
        }
        now.draft
            .edit_resource(&self.resource, &self.node, |replica| {
                for volume in replica.volumes.values_mut() {
                    volume.extra_storage.clear();
                }
            });
        once::pass_on(now.draft, &self.resource, &self.node);
        Next::Done
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        Ok(Next::Step(self.give_back(now.draft).into()).into())
    }
}
