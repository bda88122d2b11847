//! Requests that DRBD 8.4 holds back after a suspension of I/O that they were under way at: a write until a flush (or another
//! write), a read until the connection ends.

use super::{DrbdKind, Kernel, Link, Role};
use crate::world::World;

/// Requests of applications that are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) write: bool,
    pub(crate) read: bool,
}

/// I/O is suspended: an application that has a device open is writing.
pub(super) fn begin(world: &mut World, node: &str, name: &str) {
    let v84 = world
        .kernel(node)
        .is_some_and(|kernel| kernel.kind == DrbdKind::V84);
    let Some(resource) = world.resource_mut(node, name).filter(|_| v84) else {
        return;
    };
    for volume in resource.volumes.values_mut() {
        volume.held.write |= volume.opened > 0;
    }
}

/// I/O is resumed, or the connection was lost: without a connection nothing is held.
pub(super) fn end_without_connection(world: &mut World, node: &str, name: &str) {
    let Some(resource) = world.resource_mut(node, name) else {
        return;
    };
    let mut connections = resource.connections.values();
    let connected = connections.any(|connection| connection.link == Link::Connected);
    if !resource.suspended && !connected {
        let volumes = resource.volumes.values_mut();
        volumes.for_each(|volume| volume.held = Held::default());
    }
}

/// A device is flushed; `None` if it cannot be opened.
pub(crate) fn flush(world: &mut World, node: &str, minor: u32) -> Option<()> {
    let (name, _) = world.kernel(node)?.find_minor(minor)?;
    let resource = world.resource_mut(node, &name)?;
    if resource.role != Role::Primary {
        return None;
    }
    if !resource.suspended {
        let volumes = resource.volumes.values_mut();
        volumes.for_each(|volume| volume.held.write = false);
    }
    Some(())
}

/// The minors in `/proc/drbd` of 8.4, with the counters of requests.
pub(crate) fn counters(kernel: &Kernel) -> String {
    let mut text = String::new();
    for resource in kernel.resources.values() {
        for volume in resource.volumes.values() {
            let held = u32::from(volume.held.write) + u32::from(volume.held.read);
            text += &format!(
                "\n{:>2}: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n    ns:0 nr:0 dw:0 dr:0 al:0 \
                 bm:0 lo:0 pe:0 ua:0 ap:{held} ep:1 wo:f oos:0\n",
                volume.minor
            );
        }
    }
    text
}
