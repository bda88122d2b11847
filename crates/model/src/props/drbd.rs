//! Properties in DRBD's configuration: its sections, and the address that peers use.

use std::net::IpAddr;

use linstor_api::drbd_option::Section;
use linstor_api::kind::DrbdKind;
use linstor_api::prop::{
    DRBD_AUTO_DISCARD_GRANULARITY, DRBD_AUTO_RS_DISCARD_GRANULARITY, DRBD_CURRENT_GI,
    DRBD_DISABLE_AUTO_VERIFY_ALGO, DRBD_DISK_OPTIONS, DRBD_FORCE_INITIAL_SYNC_PERMANENT,
    DRBD_HANDLER_OPTIONS, DRBD_NET_OPTIONS, DRBD_PEER_DEVICE_OPTIONS, DRBD_RESOURCE_OPTIONS,
    PREF_NIC, is_true,
};

use super::inherit::{Chain, Purpose, Scope, below, chain, effective};
use crate::automatic;
use crate::connection;
use crate::device_size;
use crate::layer::drbd84;
use crate::model::Model;
use crate::name::NodeName;
use crate::{Resource, ResourceDefinition, VolumeDefinition};
use linstor_wire::spec::Props;

/// The sections of a resource that apply to all its volumes and connections. Keys are without their namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrbdOptions {
    /// Section `options`.
    pub options: Props,
    /// Section `net`.
    pub net: Props,
    /// Section `disk`, including options of peer devices.
    pub disk: Props,
    /// Section `handlers`.
    pub handlers: Props,
}

/// The sections of one connection, as far as they differ from those of the resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// Section `net`.
    pub net: Props,
    /// Section `disk`.
    pub disk: Props,
}

/// The sections of a resource on its node.
pub fn drbd_options(
    model: &Model,
    definition: &ResourceDefinition,
    resource: &Resource,
) -> DrbdOptions {
    let scope = Scope::resource(model, definition, resource);
    let levels = chain(model, Purpose::DrbdResource, &scope);
    let mut sections = DrbdOptions {
        options: levels.namespace(DRBD_RESOURCE_OPTIONS),
        net: levels.namespace(DRBD_NET_OPTIONS),
        disk: levels.namespace(DRBD_PEER_DEVICE_OPTIONS),
        handlers: levels.namespace(DRBD_HANDLER_OPTIONS),
    };
    sections.disk.append(&mut disk_section(&levels));
    let transport = definition.drbd.as_ref().map_or("", |drbd| &drbd.transport);
    if ["RDMA", "RoCE"].contains(&transport) {
        let key = "transport".to_owned();
        sections.net.entry(key).or_insert_with(|| "rdma".to_owned());
    }
    choose_verify_algorithm(model, definition, &mut sections.net);
    drbd84::retain_options(kind_of(model, resource), &mut sections);
    sections
}

/// Section `disk` of one volume, complete.
pub fn volume_disk_options(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    resource: &Resource,
) -> Props {
    let scope = Scope::volume(model, definition, resource, number);
    let levels = chain(model, Purpose::DrbdVolume, &scope);
    let mut disk = disk_section(&levels);
    if let Some(bitmap) = levels.get(BITMAP) {
        disk.insert("bitmap".to_owned(), bitmap.to_owned());
    }
    // If the controller manages a granularity, only its value on the volume definition counts.
    if let Some(volume) = definition.volumes.get(&number) {
        for (option, _) in MANAGED {
            if let Some(value) = volume.props.get(&format!("{DRBD_DISK_OPTIONS}/{option}")) {
                disk.insert((*option).to_owned(), value.clone());
            }
        }
    }
    if let Some(kib) = device_size::pinned_kib(model, definition, number) {
        disk.insert("size".to_owned(), format!("{kib}k"));
    }
    drbd84::retain(kind_of(model, resource), Section::Disk, &mut disk);
    disk
}

/// The sections of the connection between two nodes, seen from `local`.
pub fn connection_options(
    model: &Model,
    definition: &ResourceDefinition,
    local: &NodeName,
    peer: &NodeName,
) -> ConnectionOptions {
    let Some(resource) = model.resource(&definition.name, local) else {
        return ConnectionOptions::default();
    };
    let scope = Scope {
        connection: connection::of_resources(definition, local, peer),
        node_connection: connection::of_nodes(model, local, peer),
        ..Scope::resource(model, definition, resource)
    };
    let connections = [scope.connection, scope.node_connection];
    // The levels resource and node count for all connections of a resource but not for a single one, those of connections
    // the other way round, so there is a difference only if one of them has a value.
    let differs = [Some(&resource.props), scope.node.map(|node| &node.props)]
        .into_iter()
        .chain(connections.map(|row| row.map(|row| &row.props)))
        .flatten()
        .any(|props| {
            let net = below(props, DRBD_NET_OPTIONS).next();
            net.or_else(|| below(props, DRBD_PEER_DEVICE_OPTIONS).next())
                .is_some()
        });
    if !differs {
        return ConnectionOptions::default();
    }
    let common = drbd_options(model, definition, resource);
    let levels = chain(model, Purpose::DrbdConnection, &scope);
    let mut net = levels.namespace(DRBD_NET_OPTIONS);
    net.retain(|key, value| common.net.get(key) != Some(value));
    drbd84::retain(kind_of(model, resource), Section::Net, &mut net);
    let mut disk = levels.namespace(DRBD_PEER_DEVICE_OPTIONS);
    disk.retain(|key, value| common.disk.get(key) != Some(value));
    drbd84::retain(kind_of(model, resource), Section::Disk, &mut disk);
    ConnectionOptions { net, disk }
}

/// The address by which peers connect to a replica: that of the preferred net interface, else of `default`, else of the
/// first one; none if the node has no net interface.
pub fn address_of(model: &Model, resource: &Resource) -> Option<IpAddr> {
    let node = model.nodes.get(&resource.node)?;
    let definition = model.definitions.get(&resource.name)?;
    let scope = Scope::resource(model, definition, resource);
    let preferred = effective(model, Purpose::Address, &scope, PREF_NIC);
    let named = |wanted: &str| {
        node.net_interfaces
            .iter()
            .find(|nic| nic.name.as_str().eq_ignore_ascii_case(wanted))
    };
    preferred
        .and_then(named)
        .or_else(|| named("default"))
        .or_else(|| node.net_interfaces.first())
        .map(|nic| nic.address)
}

/// The day-0 generation of a volume; zeros if the volume definition has none, which is never the case for a volume
/// that was written.
pub fn day0_gi(volume: &VolumeDefinition) -> String {
    let key = format!("DrbdOptions/{DRBD_CURRENT_GI}");
    volume
        .props
        .get(&key)
        .or_else(|| volume.props.get(DRBD_CURRENT_GI))
        .cloned()
        .unwrap_or_else(|| "0".repeat(16))
}

/// Whether new replicas get a full sync even if the day-0 generation proves them equal. The value at the creation of
/// the first replica counts.
pub fn force_initial_sync(definition: &ResourceDefinition) -> bool {
    definition
        .props
        .get(DRBD_FORCE_INITIAL_SYNC_PERMANENT)
        .is_some_and(|value| is_true(value))
}

/// The one option of peer devices that volumes have.
const BITMAP: &str = "DrbdOptions/PeerDevice/bitmap";

/// Disk options that the controller manages, and the properties that disable that.
const MANAGED: &[(&str, &str)] = &[
    ("rs-discard-granularity", DRBD_AUTO_RS_DISCARD_GRANULARITY),
    ("discard-granularity", DRBD_AUTO_DISCARD_GRANULARITY),
];

/// Options of disks without those that the controller manages, and without those that no file has: whether a replica has a
/// disk belongs to its resource, and drbdadm, which reads the file of one resource, knows no other one to wait for.
fn disk_section(levels: &Chain<'_>) -> Props {
    let mut disk = levels.namespace(DRBD_DISK_OPTIONS);
    for option in ["diskless", "resync-after"] {
        disk.remove(option);
    }
    for (option, switch) in MANAGED {
        if levels.get(switch).is_none_or(is_true) {
            disk.remove(*option);
        }
    }
    disk
}

/// The automatically chosen verify algorithm is used unless a user has set one.
fn choose_verify_algorithm(model: &Model, definition: &ResourceDefinition, net: &mut Props) {
    let policy = Scope::definition(definition);
    let disabled = effective(
        model,
        Purpose::Policy,
        &policy,
        DRBD_DISABLE_AUTO_VERIFY_ALGO,
    );
    if disabled.is_some_and(is_true) || net.contains_key("verify-alg") {
        return;
    }
    if let Some(algorithm) = automatic::verify_algorithm(model, definition) {
        net.insert("verify-alg".to_owned(), algorithm.to_owned());
    }
}

fn kind_of(model: &Model, resource: &Resource) -> Option<DrbdKind> {
    model.nodes.get(&resource.node)?.host.as_ref()?.drbd
}
