//! `drbdsetup status --json` of DRBD 9.

use super::view::{done, is_client, out_of_sync, peer_disk, peer_role, suspended};
use super::{Connection, Disk, PeerDevice, Repl, Resource, Volume};
use crate::world::World;

/// The JSON of these resources.
pub(super) fn text(world: &World, node: &str, names: &[String]) -> String {
    let resources: Vec<String> = names
        .iter()
        .filter_map(|name| Some(resource(world, node, name, world.resource(node, name)?)))
        .collect();
    format!("[\n{}\n]\n\n", resources.join("\n,\n"))
}

/// Lines of an object, as drbdsetup indents them.
struct Fields {
    indent: &'static str,
    lines: Vec<String>,
}

impl Fields {
    fn new(indent: &'static str) -> Fields {
        Fields {
            indent,
            lines: Vec::new(),
        }
    }

    fn raw(mut self, name: &str, value: impl ToString) -> Fields {
        self.lines
            .push(format!("{}\"{name}\": {}", self.indent, value.to_string()));
        self
    }

    fn string(self, name: &str, value: impl ToString) -> Fields {
        let value = format!("\"{}\"", value.to_string());
        self.raw(name, value)
    }

    fn list(self, name: &str, objects: &[String]) -> Fields {
        let value = format!("[\n{} ]", objects.join(",\n"));
        self.raw(name, value)
    }

    fn zeros(self, names: &[&str]) -> Fields {
        names.iter().fold(self, |fields, name| fields.raw(name, 0))
    }

    fn object(self) -> String {
        let outer = &self.indent[2..];
        format!("{outer}{{\n{}\n{outer}}}", self.lines.join(",\n"))
    }
}

fn resource(world: &World, node: &str, name: &str, resource: &Resource) -> String {
    let user = resource.suspended;
    let quorum = suspended(resource).contains("quorum");
    let devices: Vec<String> = resource
        .volumes
        .iter()
        .map(|(number, volume)| device(*number, volume))
        .collect();
    let connections: Vec<String> = resource
        .connections
        .iter()
        .map(|(key, link)| connection(world, node, name, *key, link, resource))
        .collect();
    Fields::new("  ")
        .string("name", name)
        .raw("node-id", resource.node_id)
        .string("role", resource.role)
        .raw("suspended", user || quorum)
        .raw("suspended-user", user)
        .raw("suspended-no-data", false)
        .raw("suspended-fencing", false)
        .raw("suspended-quorum", quorum)
        .raw("force-io-failures", false)
        .string("write-ordering", "flush")
        .list("devices", &devices)
        .list("connections", &connections)
        .object()
}

fn device(number: u32, volume: &Volume) -> String {
    Fields::new("      ")
        .raw("volume", number)
        .raw("minor", volume.minor)
        .string("disk-state", volume.disk)
        .raw("client", volume.client && volume.disk == Disk::Diskless)
        .raw("quorum", volume.quorum)
        .raw("size", volume.size_kib)
        .zeros(&[
            "read",
            "written",
            "al-writes",
            "bm-writes",
            "upper-pending",
            "lower-pending",
        ])
        .object()
}

fn connection(
    world: &World,
    node: &str,
    name: &str,
    key: u32,
    connection: &Connection,
    resource: &Resource,
) -> String {
    let fallback = PeerDevice::new();
    let devices: Vec<String> = resource
        .volumes
        .iter()
        .map(|(number, volume)| {
            let device = connection.devices.get(number).unwrap_or(&fallback);
            let left = out_of_sync(world, node, name, key, *number);
            let in_sync = 100.0 * (1.0 - (left * 4) as f64 / volume.size_kib.max(1) as f64);
            let paused = matches!(device.repl, Repl::PausedSyncS | Repl::PausedSyncT);
            let progress = done(device, left);
            let fields = Fields::new("          ")
                .raw("volume", number)
                .string("replication-state", device.repl)
                .string(
                    "peer-disk-state",
                    peer_disk(world, node, name, key, connection, *number),
                )
                .raw("peer-client", is_client(world, connection, device, *number))
                .string("resync-suspended", if paused { "dependency" } else { "no" })
                .zeros(&["received", "sent"])
                .raw("out-of-sync", left * 4)
                .zeros(&["pending", "unacked"])
                .raw("has-sync-details", progress.is_some())
                .raw("has-online-verify-details", false)
                .raw("percent-in-sync", format!("{in_sync:.2}"));
            match progress {
                Some(done) => fields
                    .raw("rs-total", device.resync_total * 8)
                    .raw("percent-resync-done", done)
                    .object(),
                None => fields.object(),
            }
        })
        .collect();
    Fields::new("      ")
        .raw("peer-node-id", key)
        .string("name", &connection.name)
        .string("connection-state", connection.link)
        .raw("congested", false)
        .string("peer-role", peer_role(world, connection))
        .zeros(&["ap-in-flight", "rs-in-flight"])
        .list("peer_devices", &devices)
        .object()
}
