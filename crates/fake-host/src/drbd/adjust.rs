//! `drbdadm adjust`: makes the kernel's configuration equal to that of a file.

use std::collections::BTreeMap;

use super::attach::{self, Failure};
use super::grow::{self, Resize};
use super::link;
use super::resfile::{Config, ConnectionConfig, HostConfig, VolumeConfig};
use super::{Disk, DrbdKind, Link, Options};
use crate::tool::{Stop, ToolOutput, ToolResult, fail};
use crate::world::World;

/// A peer as a file defines it.
struct WantedPeer {
    key: u32,
    name: String,
    net: Options,
    paths: Vec<(String, String)>,
    /// Volumes for which the peer has a disk.
    diskful: BTreeMap<u32, bool>,
}

/// Makes one resource equal to its file.
pub(super) fn adjust(
    world: &mut World,
    node: &str,
    config: &Config,
    skip_disk: bool,
) -> ToolResult {
    let name = config.name.as_str();
    let (kind, host) = local(world, node, config)?;
    let host = host.clone();
    let peers = wanted_peers(world, node, config, kind)?;
    if world.resource(node, name).is_none() {
        let made = attach::new_resource(world, node, name, host.node_id, config.options.clone());
        step(made, name, || {
            format!("new-resource {name} {}", host.node_id)
        })?;
    }
    if let Some(resource) = world.resource_mut(node, name) {
        resource.options = config.options.clone();
    }
    drop_volumes(world, node, name, &host)?;
    for (number, volume) in &host.volumes {
        if world.volume(node, name, *number).is_none() {
            let client = volume.disk.is_none();
            let made = attach::new_minor(world, node, name, volume.minor, *number, client);
            step(made, name, || {
                format!("new-minor {name} {} {number}", volume.minor)
            })?;
        }
    }
    drop_peers(world, node, name, &peers);
    for peer in &peers {
        adjust_peer(world, node, name, peer, kind)?;
    }
    if !skip_disk {
        for (number, volume) in &host.volumes {
            adjust_disk(world, node, name, *number, volume, &config.disk, kind)?;
        }
    }
    connect_peers(world, node, name, &peers);
    if kind == DrbdKind::V84 && peers.is_empty() {
        return fail(
            1,
            format!("resource {name}: cannot configure network without knowing my peer.\n"),
        );
    }
    Ok(ToolOutput::nothing())
}

/// Makes the connections of one resource that are in its file.
pub(super) fn connect(world: &mut World, node: &str, config: &Config) -> ToolResult {
    let (kind, _) = local(world, node, config)?;
    let peers = wanted_peers(world, node, config, kind)?;
    for peer in &peers {
        adjust_peer(world, node, &config.name, peer, kind)?;
    }
    connect_peers(world, node, &config.name, &peers);
    Ok(ToolOutput::nothing())
}

fn connect_peers(world: &mut World, node: &str, name: &str, peers: &[WantedPeer]) {
    for peer in peers {
        let standalone = world
            .connection(node, name, peer.key)
            .is_some_and(|c| c.link == Link::StandAlone);
        if standalone {
            link::connect(world, node, name, peer.key);
        }
    }
}

/// This host's section of a resource.
pub(super) fn local<'a>(
    world: &World,
    node: &str,
    config: &'a Config,
) -> Result<(DrbdKind, &'a HostConfig), Stop> {
    let machine = world.machines.get(node);
    let found = machine.and_then(|machine| Some((machine, config.hosts.get(&machine.uname)?)));
    match found {
        Some((machine, host)) => Ok((machine.drbd.kind, host)),
        None => fail(
            1,
            format!(
                "'{}' not defined in your config (for this host).\n",
                config.name
            ),
        ),
    }
}

fn wanted_peers(
    world: &World,
    node: &str,
    config: &Config,
    kind: DrbdKind,
) -> Result<Vec<WantedPeer>, Stop> {
    let me = world
        .machines
        .get(node)
        .map_or("", |machine| machine.uname.as_str());
    match kind {
        DrbdKind::V9 => config
            .connections
            .iter()
            .filter(|connection| connection.paths[0].contains_key(me))
            .filter_map(|connection| wanted_peer_9(config, connection, me).transpose())
            .collect(),
        DrbdKind::V84 => wanted_peer_84(config, me).map(|peer| peer.into_iter().collect()),
    }
}

fn wanted_peer_9(
    config: &Config,
    connection: &ConnectionConfig,
    me: &str,
) -> Result<Option<WantedPeer>, Stop> {
    let Some(other) = connection.paths[0].keys().find(|host| *host != me) else {
        return Ok(None);
    };
    let Some(host) = config.hosts.get(other) else {
        let name = &config.name;
        let text =
            format!("resource {name}: host \"{other}\" of a connection has no 'on' section\n");
        return fail(10, text);
    };
    let mut net = config.net.clone();
    net.extend(connection.net.clone());
    let ends =
        |path: &BTreeMap<String, String>| Some((path.get(me)?.clone(), path.get(other)?.clone()));
    Ok(Some(WantedPeer {
        key: host.node_id,
        name: other.clone(),
        net,
        paths: connection.paths.iter().filter_map(ends).collect(),
        diskful: diskful(host),
    }))
}

fn wanted_peer_84(config: &Config, me: &str) -> Result<Option<WantedPeer>, Stop> {
    let others: Vec<_> = config
        .hosts
        .iter()
        .filter(|(name, _)| *name != me)
        .collect();
    let my_address = config.hosts.get(me).and_then(|host| host.address.clone());
    match (others.as_slice(), my_address) {
        ([], _) => Ok(None),
        ([(_, host)], Some(local)) => Ok(Some(WantedPeer {
            key: 1,
            name: "peer".to_owned(),
            net: config.net.clone(),
            paths: host
                .address
                .iter()
                .map(|remote| (local.clone(), remote.clone()))
                .collect(),
            diskful: diskful(host),
        })),
        _ => fail(
            10,
            format!("resource {}: too many or incomplete hosts\n", config.name),
        ),
    }
}

fn diskful(host: &HostConfig) -> BTreeMap<u32, bool> {
    host.volumes
        .iter()
        .map(|(number, volume)| (*number, volume.disk.is_some()))
        .collect()
}

fn drop_volumes(world: &mut World, node: &str, name: &str, host: &HostConfig) -> Result<(), Stop> {
    let gone: Vec<(u32, u32)> = world
        .resource(node, name)
        .map(|resource| {
            resource
                .volumes
                .iter()
                .filter(|(number, volume)| {
                    host.volumes
                        .get(number)
                        .is_none_or(|wanted| wanted.minor != volume.minor)
                })
                .map(|(number, volume)| (*number, volume.minor))
                .collect()
        })
        .unwrap_or_default();
    for (number, minor) in gone {
        let attached = world
            .volume(node, name, number)
            .is_some_and(|v| v.backing.is_some());
        if attached {
            let done = attach::detach(world, node, minor, true);
            step(done, &minor.to_string(), || format!("detach {minor}"))?;
        }
        if world
            .volume(node, name, number)
            .is_some_and(|volume| volume.opened > 0)
        {
            let text =
                format!("{minor}: State change failed: (-12) Device is held open by someone\n");
            return fail(11, text);
        }
        if let Some(resource) = world.resource_mut(node, name) {
            resource.volumes.remove(&number);
            for connection in resource.connections.values_mut() {
                connection.devices.remove(&number);
            }
        }
    }
    Ok(())
}

fn drop_peers(world: &mut World, node: &str, name: &str, wanted: &[WantedPeer]) {
    let gone: Vec<u32> = world
        .resource(node, name)
        .map(|resource| {
            let known = |key: &u32| wanted.iter().any(|peer| peer.key == *key);
            resource
                .connections
                .keys()
                .copied()
                .filter(|key| !known(key))
                .collect()
        })
        .unwrap_or_default();
    for key in gone {
        // It exists, as it was just listed.
        let _gone = attach::del_peer(world, node, name, key);
    }
}

/// In 8.4 each connection of a node needs its own addresses on both ends.
fn addresses_are_free(
    world: &World,
    node: &str,
    name: &str,
    peer: &WantedPeer,
) -> Result<(), Failure> {
    let machine = world.machines.get(node);
    let others = machine
        .into_iter()
        .flat_map(|machine| &machine.drbd.resources);
    let taken: Vec<&(String, String)> = others
        .filter(|(other, _)| other.as_str() != name)
        .flat_map(|(_, resource)| resource.connections.values())
        .flat_map(|connection| &connection.paths)
        .collect();
    for (local, remote) in &peer.paths {
        if taken.iter().any(|(mine, _)| mine == local) {
            return attach::failure(102, "Local address(port) already in use.");
        }
        if taken.iter().any(|(_, theirs)| theirs == remote) {
            return attach::failure(103, "Remote address(port) already in use.");
        }
    }
    Ok(())
}

/// The arguments as drbdadm prints them after a failure, including the secret.
fn connect_84(name: &str, peer: &WantedPeer) -> String {
    let mut args = format!("connect {name}");
    for (local, remote) in &peer.paths {
        args.push_str(&format!(" {local} {remote}"));
    }
    for (key, value) in &peer.net {
        args.push_str(&format!(" --{key}={value}"));
    }
    args
}

fn adjust_peer(
    world: &mut World,
    node: &str,
    name: &str,
    peer: &WantedPeer,
    kind: DrbdKind,
) -> Result<(), Stop> {
    if world.connection(node, name, peer.key).is_none() {
        let made = attach::new_peer(world, node, name, peer.key, &peer.name, peer.net.clone());
        step(made, name, || format!("new-peer {name} {}", peer.key))?;
    }
    let moved = world
        .connection(node, name, peer.key)
        .is_some_and(|c| c.paths != peer.paths);
    if moved {
        let active = world
            .connection(node, name, peer.key)
            .is_some_and(|c| c.link != Link::StandAlone);
        if active {
            link::lose(world, node, name, peer.key, link::Loss::Disconnect);
        }
        if world.connection(node, name, peer.key).is_none() {
            let made = attach::new_peer(world, node, name, peer.key, &peer.name, peer.net.clone());
            step(made, name, || format!("new-peer {name} {}", peer.key))?;
        }
        if kind == DrbdKind::V84 {
            step(addresses_are_free(world, node, name, peer), name, || {
                connect_84(name, peer)
            })?;
        }
        if let Some(connection) = world.connection_mut(node, name, peer.key) {
            connection.paths = peer.paths.clone();
        }
    }
    if let Some(connection) = world.connection_mut(node, name, peer.key) {
        connection.net = peer.net.clone();
    }
    for (number, bitmap) in &peer.diskful {
        attach::want_bitmap(world, node, name, peer.key, *number, *bitmap);
    }
    Ok(())
}

/// `adjust` resizes where the kernel has another size than the file, or only one of them has one: the new part is
/// resynchronised. Tools for DRBD 9 ignore a failure if the volume has the size of the file already.
fn adjust_size(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    kind: DrbdKind,
) -> Result<(), Stop> {
    let Some(volume) = world.volume(node, name, number) else {
        return Ok(());
    };
    let wanted_kib = attach::user_kib(&volume.disk_options);
    if volume.user_kib == wanted_kib {
        return Ok(());
    }
    let (minor, has_it) = (volume.minor, Some(volume.size_kib) == wanted_kib);
    let how = Resize {
        assume_clean: false,
        user_kib: wanted_kib,
    };
    match grow::resize(world, node, minor, how) {
        Err(_) if has_it && kind == DrbdKind::V9 => {}
        done => step(done, &minor.to_string(), || format!("resize {minor}"))?,
    }
    // Also where nothing was moved, as a peer is away.
    grow::remember_size(world, node, minor);
    Ok(())
}

fn adjust_disk(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    wanted: &VolumeConfig,
    common: &Options,
    kind: DrbdKind,
) -> Result<(), Stop> {
    let Some(volume) = world.volume(node, name, number) else {
        return Ok(());
    };
    let minor = volume.minor;
    let attached = volume.backing.as_ref().map(|backing| {
        let meta = if backing.is_internal() {
            "internal".to_owned()
        } else {
            backing.meta_path.clone()
        };
        (backing.path.clone(), meta)
    });
    let mut options = common.clone();
    options.extend(wanted.options.clone());
    match (&attached, &wanted.disk) {
        (Some((path, meta)), Some(disk)) if path == disk && *meta == wanted.meta_disk => {
            if let Some(volume) = world.volume_mut(node, name, number) {
                volume.disk_options = options;
            }
            return adjust_size(world, node, name, number, kind);
        }
        (None, None) => {
            if let Some(volume) = world.volume_mut(node, name, number) {
                volume.client = true;
            }
            return Ok(());
        }
        (Some(_), _) => {
            let done = attach::detach(world, node, minor, wanted.disk.is_none());
            step(done, &minor.to_string(), || format!("detach {minor}"))?;
        }
        (None, Some(_)) => {}
    }
    let Some(disk) = &wanted.disk else {
        return Ok(());
    };
    apply_activity_log(world, node, minor, disk, &wanted.meta_disk, kind)?;
    let done = attach::attach(world, node, minor, disk, &wanted.meta_disk, options);
    let meta = if wanted.meta_disk == "internal" {
        disk
    } else {
        &wanted.meta_disk
    };
    step(done, &minor.to_string(), || {
        let index = if wanted.meta_disk == "internal" {
            "internal"
        } else {
            "flexible"
        };
        format!("attach {minor} {disk} {meta} {index}")
    })?;
    debug_assert!(
        world
            .volume(node, name, number)
            .is_some_and(|v| v.disk > Disk::Failed)
    );
    Ok(())
}

/// `drbdmeta apply-al`, which drbdadm runs before every attach, and which fails if there is no metadata.
fn apply_activity_log(
    world: &World,
    node: &str,
    minor: u32,
    disk: &str,
    meta_disk: &str,
    kind: DrbdKind,
) -> Result<(), Stop> {
    let format = match kind {
        DrbdKind::V9 => "v09",
        DrbdKind::V84 => "v08",
    };
    let Some(machine) = world.machines.get(node) else {
        return Ok(());
    };
    let command = format!("drbdmeta {minor} {format} {disk} {meta_disk} apply-al");
    let Ok(backing) = attach::find_backing(machine, disk, meta_disk) else {
        let text = format!(
            "open({disk}) failed: No such file or directory\n\
             Command '{command}' terminated with exit code 20\n"
        );
        return fail(1, text);
    };
    let found = super::res::metadata_at(machine, &backing).filter(|md| md.version == kind);
    if found.is_none() {
        return fail(1, "No valid meta data found\n");
    }
    Ok(())
}

/// Turns an error of the kernel into the message of drbdadm.
pub(super) fn step(
    done: Result<(), Failure>,
    subject: &str,
    command: impl FnOnce() -> String,
) -> Result<(), Stop> {
    done.or_else(|failure| {
        // drbdadm prints which command failed with which exit code, and itself ends with 1.
        fail(
            1,
            format!(
                "{}Command 'drbdsetup {}' terminated with exit code {}\n",
                message(&failure, subject),
                command(),
                failure.exit_code
            ),
        )
    })
}

/// The message of drbdsetup for an error of the kernel.
pub(super) fn message(failure: &Failure, subject: &str) -> String {
    format!("{subject}: {}\n", failure.text)
}
