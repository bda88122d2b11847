//! Properties of nodes, pools and backing volumes in the specs of a satellite.

use super::inherit::{Purpose, Scope, chain};
use super::{FILE_SYSTEM, STOR_DRIVER};
use crate::model::Model;
use crate::{Node, Resource, ResourceDefinition, StoragePool};
use linstor_wire::spec::Props;

/// Throttles of the kernel's block I/O controller.
const THROTTLE: &str = "sys/fs";

/// Keys below `StorDriver` with the backing storage of a pool. They belong to the pool, not to its volumes.
const PLACE_OF_POOL: &[&str] = &[
    "StorPoolName",
    "LvmVg",
    "ThinPool",
    "ZPool",
    "ZPoolThin",
    "FileDir",
];

/// Namespaces that only the controller uses.
const CONTROLLER_NAMESPACES: &[&str] = &[
    "Autoplacer/",
    "Cluster/Remote/",
    "Internal/",
    "NetCom/",
    "REST/",
    "Watermark/",
    "encrypted/",
];

/// Keys, or prefixes of keys, that only the controller uses.
const CONTROLLER_KEYS: &[&str] = &[
    "AllowMixingStoragePoolDriver",
    "AutoplaceTarget",
    "BalanceResources",
    "BackupShipping/AllowForceRestore",
    "BackupShipping/MaxConcurrentBackups",
    "BackupShipping/TcpPortRange",
    "Clone/BalanceAfterClone",
    "DrbdOptions/",
    "DrbdProxy/AutoEnable",
    "Linstor/Drbd/auto-block-size",
    "MaxFreeCapacityOversubscriptionRatio",
    "MaxOversubscriptionRatio",
    "MaxTotalCapacityOversubscriptionRatio",
    "MinorNrAutoRange",
    "SearchDomain",
    "Snapshot/BalanceAfterRestore",
    "SnapshotShipping/TcpPortRange",
    "StorDriver/Zfs/",
    "TcpPortAutoRange",
    "TcpPortsBlocked",
    "UpdateCacheInterval",
    "defaultDebugSslConnector",
    "defaultPlainConSvc",
    "defaultSslConSvc",
];

/// Whether a satellite uses a property of the controller or of its node directly. DRBD's options are not among them:
/// a satellite gets them as the sections of each resource.
pub fn is_for_satellite(key: &str) -> bool {
    !(key.starts_with("Aux/")
        || CONTROLLER_NAMESPACES
            .iter()
            .any(|prefix| key.starts_with(prefix))
        || CONTROLLER_KEYS.iter().any(|prefix| key.starts_with(prefix)))
}

/// The properties of a satellite: the controller's values, overridden by those of the node.
pub fn satellite_props(model: &Model, node: &Node) -> Props {
    model
        .controller
        .props
        .iter()
        .chain(&node.props)
        .filter(|(key, _)| is_for_satellite(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The properties of a pool on its satellite: its own values, and inherited options of the storage driver.
pub fn pool_props(model: &Model, pool: &StoragePool) -> Props {
    let scope = Scope::pool(model, pool);
    let mut props: Props = chain(model, Purpose::StorageDriver, &scope)
        .namespace(STOR_DRIVER)
        .into_iter()
        .map(|(key, value)| (format!("{STOR_DRIVER}/{key}"), value))
        .collect();
    for (key, value) in &pool.props {
        if !key.starts_with("Aux/") {
            props.insert(key.clone(), value.clone());
        }
    }
    props
}

/// The properties of a backing volume on its satellite: options of the storage driver, and throttles.
pub fn volume_storage_props(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    resource: &Resource,
    pool: Option<&StoragePool>,
) -> Props {
    let scope = Scope {
        pool,
        ..Scope::volume(model, definition, resource, number)
    };
    let driver = chain(model, Purpose::StorageDriver, &scope);
    let mut props = Props::new();
    for (key, value) in driver.namespace(STOR_DRIVER) {
        let place = PLACE_OF_POOL.contains(&key.as_str()) || key.starts_with("internal/");
        if !place {
            props.insert(format!("{STOR_DRIVER}/{key}"), value);
        }
    }
    for (key, value) in driver.namespace(THROTTLE) {
        props.insert(format!("{THROTTLE}/{key}"), value);
    }
    props
}

/// The file system to create on a new volume: its type, and parameters of mkfs.
pub fn file_system(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    resource: &Resource,
) -> Option<(String, String)> {
    let scope = Scope::volume(model, definition, resource, number);
    let mut values = chain(model, Purpose::FileSystem, &scope).namespace(FILE_SYSTEM);
    let kind = values.remove("Type")?;
    Some((kind, values.remove("MkfsParams").unwrap_or_default()))
}
