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
use crate::{DiskKind, Resource};

use super::{Seeds, checks, pools, volumes};

/// How a diskless resource becomes diskful.
#[derive(Debug, Clone, Default)]
pub struct GiveDisk {
    /// The storage pool, if the request or the placement names one.
    pub pool: Option<StoragePoolName>,
    /// Node of the resource to delete once this one is UpToDate.
    pub migrate_from: Option<NodeName>,
    /// The origin of the disk (see [`super::NewResource::diskful_by`]).
    pub diskful_by: Option<&'static str>,
}

/// Makes a diskless resource diskful. The caller has checked that it exists and has no operation in progress.
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
    row.props.remove(prop::STOR_POOL_NAME);
    if let Some(pool) = &disk.pool {
        row.props
            .insert(prop::STOR_POOL_NAME.to_owned(), pool.to_string());
    }
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
    let mut was = DiskKind::Diskless;
    if let Some(drbd) = &mut row.drbd {
        was = std::mem::replace(&mut drbd.disk, DiskKind::Diskful);
    }
    checks::layers(observed, &host, &row, DiskKind::Diskful)?;
    checks::drbd(draft, observed, &definition, &host, &row, DiskKind::Diskful)?;
    checks::pools(draft, observed, &definition, &host, &row)?;
    checks::peer_slots(draft, &definition, &row)?;
    luks::generate_keys(draft, seeds, &row)?;
    if let Some(by) = disk.diskful_by {
        row.props.insert(prop::DISKFUL_BY.to_owned(), by.to_owned());
    }
    if let Some(source) = &disk.migrate_from {
        row.props
            .insert(prop::MIGRATE_FROM.to_owned(), source.to_string());
    }
    let (resource, node) = (row.name.clone(), row.node.clone());
    match disk.migrate_from {
        None => {
            let add = AddDisk {
                resource,
                node,
                was,
            };
            draft.begin_process(add, seeds.now_ms)
        }
        Some(from) => {
            let migrate = Migrate {
                resource,
                node,
                from,
                was,
                step: migrate::Step::AddDisk,
            };
            draft.begin_process(migrate, seeds.now_ms)
        }
    };
    draft.put_resource(row.clone());
    volumes::note_replica(draft, observed, &row);
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
