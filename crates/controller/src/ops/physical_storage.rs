//! Physical storage: block devices of nodes, and pools that are made of them.

use std::collections::BTreeMap;

use linstor_api::kind::ProviderKind;
use linstor_api::physical_storage::{
    PhysicalStorage, PhysicalStorageCreate, PhysicalStorageDevice, PhysicalStorageNode,
    PhysicalStoragePool,
};
use linstor_api::reply::Reply;
use linstor_api::storage_pool::StoragePool as StoragePoolJson;
use linstor_api::tool_option::{self, LVCREATE_THIN_POOL, PVCREATE, VGCREATE, ZPOOL_CREATE};
use linstor_api::{code, prop};
use linstor_model::Props;
use linstor_model::name::NodeName;
use linstor_wire::question::{Answer, BlockDevice, DevicePool, Question, RaidLevel};
use tokio::time::Instant;

use super::name;
use super::property::{self, Owner};
use super::reply::exists;
use super::request::WAIT;
use super::storage_pool::{self, WAIT_SPACE};
use crate::cluster::Cluster;
use crate::transaction::Refusal;
use crate::wait::not_answered;

/// The devices of all nodes that are online, those of one size and kind together; with `all` also those of which no
/// pool can be made.
pub async fn list(cluster: &Cluster, all: bool) -> Vec<PhysicalStorage> {
    let observed = cluster.observed();
    let model = cluster.model();
    let nodes = model
        .nodes
        .values()
        .filter(|node| node.node_type.has_satellite() && observed.is_online(&node.name));
    let nodes: Vec<NodeName> = nodes.map(|node| node.name.clone()).collect();
    let asked = nodes.iter().map(|node| devices(cluster, node, all));
    let answers = futures::future::join_all(asked).await;
    let mut groups: BTreeMap<(u64, bool), PhysicalStorage> = BTreeMap::new();
    for (node, answer) in nodes.iter().zip(answers) {
        let devices = answer.unwrap_or_else(|reply| {
            tracing::warn!(%node, message = reply.message, "the node's devices are not known");
            Vec::new()
        });
        for device in devices {
            let key = (device.size_bytes, device.rotational);
            let group = groups.entry(key).or_insert_with(|| PhysicalStorage {
                size: signed(device.size_bytes),
                rotational: device.rotational,
                ..PhysicalStorage::default()
            });
            let row = PhysicalStorageDevice {
                device: device.path,
                model: device.model,
                serial: device.serial,
                wwn: device.wwn,
                links: device.links,
                reason: device.unusable,
            };
            let of_node = group.nodes.get_or_insert_with(node.to_string(), Vec::new);
            of_node.push(row);
        }
    }
    groups.into_values().collect()
}

/// The devices of one node; with `all` also those of which no pool can be made.
pub async fn of_node(
    cluster: &Cluster,
    node: &str,
    all: bool,
) -> Result<Vec<PhysicalStorageNode>, Refusal> {
    let node = known_node(cluster, node)?;
    let devices = devices(cluster, &node, all).await?;
    let rows = devices.into_iter().map(|device| PhysicalStorageNode {
        size: signed(device.size_bytes),
        rotational: device.rotational,
        device: device.path,
        model: device.model,
        serial: device.serial,
        wwn: device.wwn,
        links: device.links,
        reason: device.unusable,
    });
    Ok(rows.collect())
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn known_node(cluster: &Cluster, node: &str) -> Result<NodeName, Refusal> {
    let node = name::node(node)?;
    let model = cluster.model();
    Ok(name::known_node(&model, &node)?.name.clone())
}

async fn devices(cluster: &Cluster, node: &NodeName, all: bool) -> Result<Vec<BlockDevice>, Reply> {
    let deadline = Instant::now() + WAIT_SPACE;
    match cluster.ask(node, Question::BlockDevices, deadline).await? {
        Answer::BlockDevices(devices) => {
            let wanted = devices.into_iter();
            Ok(wanted
                .filter(|device| all || device.unusable.is_none())
                .collect())
        }
        answer => Err(not_answered(node, answer)),
    }
}

/// Makes a pool of devices, and a storage pool on it if one is asked for.
pub async fn create(
    cluster: &Cluster,
    node: &str,
    kind: ProviderKind,
    request: PhysicalStorageCreate,
) -> Vec<Reply> {
    make(cluster, node, kind, request)
        .await
        .unwrap_or_else(|Refusal(replies)| replies)
}

async fn make(
    cluster: &Cluster,
    node: &str,
    kind: ProviderKind,
    mut request: PhysicalStorageCreate,
) -> Result<Vec<Reply>, Refusal> {
    let storage_pool = request.with_storage_pool.take();
    let raid = check(&request)?;
    let node = known_node(cluster, node)?;
    let pool = device_pool(&node, kind, raid, request)?;
    let place = pool.place.clone();
    let storage_pool = match storage_pool {
        Some(wanted) => Some(storage_pool_on(cluster, &node, kind, &place, wanted)?),
        None => None,
    };
    let question = Question::CreateDevicePool(Box::new(pool));
    let answer = cluster.ask(&node, question, Instant::now() + WAIT).await?;
    let mut replies = match answer {
        Answer::Done(replies) => crate::wait::of_satellite(&node, &replies),
        answer => return Err(not_answered(&node, answer).into()),
    };
    if let Some(wanted) = storage_pool {
        let created = storage_pool::create(cluster, node.to_string(), wanted).await;
        let failed = created.iter().any(Reply::is_error);
        replies.extend(created);
        if failed {
            let message = format!("The pool '{place}' was made; the storage pool has an error.");
            replies.push(
                Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                    .cause("The entries before this one have the reason.")
                    .correction(
                        "Create the storage pool on it with 'linstor storage-pool create'.",
                    ),
            );
        }
    }
    Ok(replies)
}

fn refuse(message: impl Into<String>, cause: &str, correction: &str) -> Reply {
    Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause(cause)
        .correction(correction)
}

/// Refuses what no node can do.
fn check(request: &PhysicalStorageCreate) -> Result<RaidLevel, Reply> {
    if request.device_paths.is_empty() {
        return Err(refuse(
            "Field 'device_paths' is null or empty.",
            "A pool is made of devices.",
            "Name at least one; 'linstor physical-storage list' shows those that can be used.",
        ));
    }
    if request.vdo_enable {
        return Err(refuse(
            "Pools with VDO are not supported.",
            "This version makes volume groups directly on the devices.",
            "Make the pool without VDO, or make it by hand and create a storage pool on it.",
        ));
    }
    if request.sed {
        return Err(refuse(
            "Self-encrypting disks are not supported.",
            "This version sets no passwords of disks.",
            "Make the pool without 'sed'.",
        ));
    }
    let given = &*request.raid_level;
    if given.is_empty() {
        return Ok(RaidLevel::Jbod);
    }
    let mut known = RaidLevel::WORDS.iter();
    let known = known.find(|(word, _)| word.eq_ignore_ascii_case(given));
    known.map(|(_, level)| *level).ok_or_else(|| {
        let words: Vec<&str> = RaidLevel::WORDS.iter().map(|(word, _)| *word).collect();
        let shown: String = given
            .chars()
            .take(32)
            .flat_map(char::escape_debug)
            .collect();
        refuse(
            format!("The RAID level '{shown}' is not known."),
            "A pool has one of a few levels.",
            &format!("Use one of {}.", words.join(", ")),
        )
    })
}

/// What a node is asked to make.
fn device_pool(
    node: &NodeName,
    kind: ProviderKind,
    raid: RaidLevel,
    request: PhysicalStorageCreate,
) -> Result<DevicePool, Reply> {
    let is_lvm = matches!(kind, ProviderKind::Lvm | ProviderKind::LvmThin);
    if !is_lvm && !matches!(kind, ProviderKind::Zfs | ProviderKind::ZfsThin) {
        let message = format!("({node}) Pools of kind {kind} are not made of devices.");
        return Err(Reply::new(code::FAIL_INVLD_PROVIDER, message)
            .cause("Volume groups, thin pools and zpools can be.")
            .correction("Use LVM, LVM_THIN, ZFS or ZFS_THIN."));
    }
    if is_lvm && raid != RaidLevel::Jbod {
        return Err(refuse(
            "A volume group has no RAID level.",
            "With LVM each logical volume has a RAID type of its own.",
            "Use JBOD, and the property 'StorDriver/LvcreateType' on the storage pool.",
        ));
    }
    for (tool, words) in [
        (&PVCREATE, &request.pv_create_arguments),
        (&VGCREATE, &request.vg_create_arguments),
        (&LVCREATE_THIN_POOL, &request.lv_create_arguments),
        (&ZPOOL_CREATE, &request.zpool_create_arguments),
    ] {
        tool_option::check(tool, words).map_err(|why| {
            refuse(
                format!("An argument of {} cannot be used.", tool.name),
                &format!("{why}."),
                "Leave it out, or make the pool by hand and create a storage pool on it.",
            )
        })?;
    }
    Ok(DevicePool {
        kind,
        place: place(kind, &request),
        devices: request.device_paths,
        raid,
        wipe: request.wipe_signatures.unwrap_or(false),
        pv_arguments: request.pv_create_arguments,
        vg_arguments: request.vg_create_arguments,
        lv_arguments: request.lv_create_arguments,
        zpool_arguments: request.zpool_create_arguments,
    })
}

/// Volume group, zpool, or volume group and thin pool; named after the first device where the request has no name.
fn place(kind: ProviderKind, request: &PhysicalStorageCreate) -> String {
    let name = match request.pool_name.as_str() {
        "" => {
            let device = request.device_paths.first().map_or("", String::as_str);
            format!("linstor_{}", device.rsplit('/').next().unwrap_or(device))
        }
        name => name.to_owned(),
    };
    match kind {
        ProviderKind::LvmThin if !name.contains('/') => format!("linstor_{name}/{name}"),
        _ => name,
    }
}

/// The storage pool that is to be created on a new pool, checked as far as that is possible before there is one.
fn storage_pool_on(
    cluster: &Cluster,
    node: &NodeName,
    kind: ProviderKind,
    place: &str,
    wanted: PhysicalStoragePool,
) -> Result<StoragePoolJson, Refusal> {
    let mut request = StoragePoolJson {
        storage_pool_name: wanted.name,
        provider_kind: kind.into(),
        props: wanted.props,
        shared_space: wanted.shared_space,
        external_locking: wanted.external_locking,
        ..StoragePoolJson::default()
    };
    let key = prop::STOR_DRIVER_STOR_POOL_NAME.to_owned();
    request.props.insert(key, place.to_owned());
    let row = storage_pool::parse(node.as_str(), &request, cluster.env().uuid())?;
    property::set(Owner::StoragePool, &mut Props::new(), request.props.clone())?;
    if cluster.model().pool(&row.node, &row.name).is_some() {
        let what = storage_pool::label(&row.node, &row.name);
        return Err(exists(code::FAIL_EXISTS_STOR_POOL, &what).into());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a pool is when its name is given, not given, or has no volume group.
    #[test]
    fn names_of_pools() {
        let place = |kind, name: &str| {
            let request = PhysicalStorageCreate {
                device_paths: vec!["/dev/sdb".into(), "/dev/sdc".into()],
                pool_name: name.into(),
                ..PhysicalStorageCreate::default()
            };
            super::place(kind, &request)
        };
        assert_eq!(place(ProviderKind::Lvm, "vg"), "vg");
        assert_eq!(place(ProviderKind::Lvm, ""), "linstor_sdb");
        assert_eq!(place(ProviderKind::LvmThin, "fast"), "linstor_fast/fast");
        assert_eq!(place(ProviderKind::LvmThin, "vg/fast"), "vg/fast");
        assert_eq!(
            place(ProviderKind::LvmThin, ""),
            "linstor_linstor_sdb/linstor_sdb"
        );
        assert_eq!(place(ProviderKind::Zfs, "tank"), "tank");
    }
}
