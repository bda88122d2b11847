//! Making a diskless resource diskful. Node id, ports and peer slots do not change.

use linstor_api::code;
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::draft::Draft;
use crate::layer::luks;
use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::observed::Observed;
use crate::process::add_disk::AddDisk;
use crate::process::migrate::{self, Migrate};
use crate::process::{Kind, Process};
use crate::{DiskKind, Resource};

use super::{Seeds, checks, pools, shared, volumes};

/// How a diskless resource becomes diskful.
#[derive(Debug, Clone, Default)]
pub struct GiveDisk {
    /// The storage pool, if the request or the placement names one.
    pub pool: Option<StoragePoolName>,
    /// Node of the resource to delete once this one is UpToDate.
    pub migrate_from: Option<NodeName>,
    /// Who gives the disk (`user`, `auto-placer`, `make-available`...), stored as a property. A resource that is created with
    /// one has no such property, as with LINSTOR.
    pub diskful_by: Option<&'static str>,
}

/// Makes a diskless resource diskful. One that is losing its disk keeps that, with what is left of it.
///
/// Refuses when the resource has a disk, is being deleted, or is losing its disk in another pool than the one that is named.
pub fn give_disk(
    draft: &mut Draft,
    observed: &Observed,
    seeds: &mut Seeds<'_>,
    name: &ResourceName,
    node: &NodeName,
    disk: GiveDisk,
) -> Result<(), Vec<Reply>> {
    let definition = checks::definition(draft, name)?;
    let host = checks::node(draft, node)?;
    let mut row = diskless_row(draft, name, node)?;
    if let Some(process) = draft.process_of(&row).cloned() {
        return keep_disk(draft, &row, &process, &disk, seeds.now_ms);
    }
    note_origin(&mut row, &disk);
    let wanted = pools::Wanted {
        named: disk.pool.as_ref(),
        diskless: false,
    };
    for (number, pool) in pools::resolve(draft, &definition, &row, &wanted)? {
        if !draft
            .pool(node, &pool)
            .is_some_and(|pool| pool.kind.has_backing_device())
        {
            let text = format!("Storage pool '{pool}' on node '{node}' has no storage for a disk.");
            return Err(vec![
                Reply::new(code::FAIL_INVLD_STOR_DRIVER, text)
                    .correction("Name a storage pool with backing storage."),
            ]);
        }
        let extra_storage = pools::extra(draft, &definition, &row, number)?;
        if let Some(volume) = row.volumes.get_mut(&number) {
            volume.pool = pool;
            volume.extra_storage = extra_storage;
            volume.source = None;
        }
        volumes::set_unit(draft, &definition, number, &mut row);
    }
    if let Some(other) = shared::siblings(draft, &row).first() {
        let text = format!("Resource '{name}' on node '{node}' cannot be given that disk.");
        return Err(vec![
            Reply::new(code::FAIL_INVLD_STOR_DRIVER, text)
                .cause(format!(
                    "The resource on node '{}' has its volumes in the same shared storage pool, with a DRBD node id of its own.",
                    other.node
                ))
                .correction("Delete the resource, and create it in that pool."),
        ]);
    }
    let mut was = DiskKind::Diskless;
    if let Some(drbd) = &mut row.drbd {
        was = std::mem::replace(&mut drbd.disk, DiskKind::Diskful);
    }
    checks::layers(observed, &host, &row, DiskKind::Diskful)?;
    checks::drbd(draft, observed, &definition, &host, &row, DiskKind::Diskful)?;
    checks::pools(draft, observed, &definition, &host, &row)?;
    checks::peer_slots(draft, &definition, &row)?;
    luks::generate_keys(draft, seeds, &row)?;
    let add = AddDisk {
        resource: row.name.clone(),
        node: row.node.clone(),
        was,
    };
    draft.begin_process(process(add, disk.migrate_from), seeds.now_ms);
    draft.put_resource(row.clone());
    volumes::note_replica(draft, observed, &row);
    Ok(())
}

/// Notes in the row which pool was asked for, and where the disk comes from.
fn note_origin(row: &mut Resource, disk: &GiveDisk) {
    row.props.remove(prop::STOR_POOL_NAME);
    let pool = disk.pool.as_ref().map(ToString::to_string);
    let from = disk.migrate_from.as_ref().map(ToString::to_string);
    let noted = [
        (prop::STOR_POOL_NAME, pool),
        (prop::DISKFUL_BY, disk.diskful_by.map(str::to_owned)),
        (prop::MIGRATE_FROM, from),
    ];
    for (key, value) in noted {
        if let Some(value) = value {
            row.props.insert(key.to_owned(), value);
        }
    }
}

/// How the disk is added: alone, or in place of another one.
fn process(add: AddDisk, migrate_from: Option<NodeName>) -> Kind {
    match migrate_from {
        None => add.into(),
        Some(from) => Migrate {
            resource: add.resource,
            node: add.node,
            from,
            was: add.was,
            step: migrate::Step::AddDisk,
        }
        .into(),
    }
}

/// Has a resource that is losing its disk use what is left of it again, in place of removing it.
fn keep_disk(
    draft: &mut Draft,
    row: &Resource,
    going_on: &Process,
    disk: &GiveDisk,
    now_ms: u64,
) -> Result<(), Vec<Reply>> {
    let refuse = |cause: String| {
        let (name, node) = (&row.name, &row.node);
        let message = format!("Resource '{name}' on node '{node}' cannot get a disk now.");
        vec![
            Reply::new(code::FAIL_RSC_BUSY, message)
                .cause(cause)
                .correction("Wait until that is done, then try again."),
        ]
    };
    let Kind::RemoveDisk(remove) = &going_on.kind else {
        return Err(refuse("It is being deleted.".to_owned()));
    };
    let pool = disk.pool.as_ref();
    let other = remove
        .storage
        .values()
        .find(|of| pool.is_some_and(|pool| pool != *of));
    if let Some(other) = other {
        let cause = format!("The disk that it had in storage pool '{other}' is being removed.");
        return Err(refuse(cause));
    }
    let add = remove.give_back(draft);
    draft.edit_resource(&row.name, &row.node, |row| note_origin(row, disk));
    let kind = process(add, disk.migrate_from.clone());
    draft.restart_step(going_on.id, kind, now_ms);
    Ok(())
}

fn diskless_row(
    draft: &Draft,
    name: &ResourceName,
    node: &NodeName,
) -> Result<Resource, Vec<Reply>> {
    let Some(row) = draft.resource(name, node) else {
        let text = format!("Resource '{name}' on node '{node}' not found.");
        return Err(vec![Reply::new(code::FAIL_NOT_FOUND_RSC, text)]);
    };
    if !row.is_diskless() {
        let text = format!("Resource '{name}' on node '{node}' has a disk already.");
        return Err(vec![Reply::new(code::WARN_RSC_ALREADY_HAS_DISK, text)]);
    }
    Ok(Resource::clone(row))
}
