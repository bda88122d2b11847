//! Access to resources, volumes and metadata of all machines.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::metadata::{CONSISTENT, Metadata, WAS_UP_TO_DATE};
use super::{Backing, Connection, Disk, Kernel, PeerDevice, PeerRef, Resource, Role, Volume};
use crate::content::Block;
use crate::machine::Machine;
use crate::world::World;

/// A resource on a host.
pub(super) type PeerEnd = (String, String);

impl World {
    pub(crate) fn kernel(&self, node: &str) -> Option<&Kernel> {
        self.machines.get(node).map(|machine| &machine.drbd)
    }

    pub(crate) fn resource(&self, node: &str, name: &str) -> Option<&Resource> {
        self.machines.get(node)?.drbd.resources.get(name)
    }

    /// A resource to change. Events about it are sent afterwards, here and at its peers.
    pub(crate) fn resource_mut(&mut self, node: &str, name: &str) -> Option<&mut Resource> {
        self.touched.insert((node.to_owned(), name.to_owned()));
        self.machines.get_mut(node)?.drbd.resources.get_mut(name)
    }

    pub(crate) fn volume(&self, node: &str, name: &str, number: u32) -> Option<&Volume> {
        self.resource(node, name)?.volumes.get(&number)
    }

    pub(crate) fn volume_mut(
        &mut self,
        node: &str,
        name: &str,
        number: u32,
    ) -> Option<&mut Volume> {
        self.resource_mut(node, name)?.volumes.get_mut(&number)
    }

    pub(crate) fn connection(&self, node: &str, name: &str, key: u32) -> Option<&Connection> {
        self.resource(node, name)?.connections.get(&key)
    }

    pub(crate) fn connection_mut(
        &mut self,
        node: &str,
        name: &str,
        key: u32,
    ) -> Option<&mut Connection> {
        self.resource_mut(node, name)?.connections.get_mut(&key)
    }

    pub(crate) fn peer_device_mut(
        &mut self,
        node: &str,
        name: &str,
        key: u32,
        number: u32,
    ) -> Option<&mut PeerDevice> {
        let connection = self.connection_mut(node, name, key)?;
        Some(
            connection
                .devices
                .entry(number)
                .or_insert_with(PeerDevice::new),
        )
    }

    /// The other ends of all established connections, with this node's key for each.
    pub(crate) fn peers(&self, node: &str, name: &str) -> Vec<(u32, PeerRef)> {
        let Some(resource) = self.resource(node, name) else {
            return Vec::new();
        };
        resource
            .connections
            .iter()
            .filter_map(|(key, connection)| Some((*key, connection.peer.clone()?)))
            .collect()
    }

    /// All nodes connected to this one, directly or through others, and this node itself.
    pub(crate) fn partition(&self, node: &str, name: &str) -> BTreeSet<(String, String)> {
        let mut reached = BTreeSet::from([(node.to_owned(), name.to_owned())]);
        let mut todo = vec![(node.to_owned(), name.to_owned())];
        while let Some((host, resource)) = todo.pop() {
            for (_, peer) in self.peers(&host, &resource) {
                let end = (peer.host, peer.resource);
                if reached.insert(end.clone()) {
                    todo.push(end);
                }
            }
        }
        reached
    }

    /// Whether there is a primary that is connected only through others.
    pub(crate) fn far_primary(&self, node: &str, name: &str) -> bool {
        let near: BTreeSet<(String, String)> = self
            .peers(node, name)
            .into_iter()
            .map(|(_, peer)| (peer.host, peer.resource))
            .chain([(node.to_owned(), name.to_owned())])
            .collect();
        self.partition(node, name).iter().any(|end| {
            !near.contains(end)
                && self
                    .resource(&end.0, &end.1)
                    .is_some_and(|r| r.role == Role::Primary)
        })
    }

    pub(crate) fn metadata(&self, node: &str, name: &str, number: u32) -> Option<&Metadata> {
        let machine = self.machines.get(node)?;
        let backing = self.volume(node, name, number)?.backing.as_ref()?;
        metadata_at(machine, backing)
    }

    /// Changes metadata and writes it to disk. `None` if there is no metadata, or its device fails.
    pub(crate) fn edit_metadata<T>(
        &mut self,
        node: &str,
        name: &str,
        number: u32,
        edit: impl FnOnce(&mut Metadata) -> T,
    ) -> Option<T> {
        let backing = self.volume(node, name, number)?.backing.clone()?;
        let machine = self.machines.get_mut(node)?;
        edit_metadata_at(machine, &backing, edit)
    }

    /// Sets a disk's state, and the flags in its metadata that determine the state after a restart.
    pub(crate) fn set_disk(&mut self, node: &str, name: &str, number: u32, disk: Disk) {
        let Some(volume) = self.volume_mut(node, name, number) else {
            return;
        };
        volume.disk = disk;
        self.edit_metadata(node, name, number, |metadata| {
            metadata.set(CONSISTENT, disk > Disk::Inconsistent);
            metadata.set(WAS_UP_TO_DATE, disk > Disk::Outdated);
        });
    }

    /// Detaches a disk that failed.
    pub(crate) fn fail_disk(&mut self, node: &str, name: &str, number: u32) {
        let current = self
            .metadata(node, name, number)
            .map(|metadata| metadata.current);
        if let Some(volume) = self.volume_mut(node, name, number) {
            volume.disk = Disk::Diskless;
            volume.backing = None;
            volume.exposed = current.or(volume.exposed);
        }
        for (key, peer) in self.peers(node, name) {
            self.stop_replication(node, name, key, number);
            self.stop_replication(&peer.host, &peer.resource, peer.key, number);
        }
        // Whatever ends a resync, others that it had paused on the same target go on.
        for (_, peer) in self.peers(node, name) {
            super::resync::resume_paused(self, &peer.host, &peer.resource, number);
        }
    }

    fn stop_replication(&mut self, node: &str, name: &str, key: u32, number: u32) {
        if let Some(device) = self.peer_device_mut(node, name, key, number) {
            device.repl = super::Repl::Established;
            device.resync_total = 0;
        }
    }
}

pub(crate) fn metadata_at<'a>(machine: &'a Machine, backing: &Backing) -> Option<&'a Metadata> {
    match machine.block(&backing.meta, backing.superblock)? {
        Block::Metadata(metadata) => Some(metadata),
        Block::Bytes(_) => None,
    }
}

pub(crate) fn edit_metadata_at<T>(
    machine: &mut Machine,
    backing: &Backing,
    edit: impl FnOnce(&mut Metadata) -> T,
) -> Option<T> {
    match machine.block_mut(&backing.meta, backing.superblock)? {
        Block::Metadata(metadata) => Some(edit(Arc::make_mut(metadata))),
        Block::Bytes(_) => None,
    }
}
