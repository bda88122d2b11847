//! `drbdsetup status` without `--json`.

use super::view::{done, is_client, out_of_sync, peer_disk, peer_role, suspended};
use super::{Connection, Disk, DrbdKind, Link, PeerDevice, Repl, Resource, Volume};
use crate::world::World;

/// Line width that drbdsetup assumes if its output is not a terminal.
const COLUMNS: usize = 80;

/// The options of `status`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    pub(super) verbose: bool,
    pub(super) statistics: bool,
}

/// Text that breaks lines between fields, as drbdsetup does.
#[derive(Default)]
struct Wrapped {
    text: String,
    column: usize,
}

impl Wrapped {
    fn put(&mut self, indent: usize, field: &str) {
        let mut field = field;
        if self.column > 0 && self.column + field.len() > COLUMNS {
            self.end();
        }
        if self.column == 0 {
            field = field.trim_start_matches(' ');
            self.text.push_str(&" ".repeat(indent));
            self.column = indent;
        }
        self.text.push_str(field);
        self.column += field.len();
    }

    fn end(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }
}

/// One resource.
pub(super) fn text(world: &World, node: &str, name: &str, detail: Detail) -> String {
    let Some(resource) = world.resource(node, name) else {
        return String::new();
    };
    let kind = world
        .kernel(node)
        .map_or(DrbdKind::V9, |kernel| kernel.kind);
    let mut printer = Printer {
        world,
        node,
        name,
        kind,
        detail,
        out: Wrapped::default(),
    };
    printer.resource(resource);
    let single = resource.volumes.len() == 1;
    for (number, volume) in &resource.volumes {
        printer.device(*number, volume, single);
    }
    for (key, connection) in &resource.connections {
        printer.connection(*key, connection);
        if detail.verbose || detail.statistics || connection.link == Link::Connected {
            for number in resource.volumes.keys() {
                printer.peer_device(*key, connection, *number, single);
            }
        }
    }
    printer.out.end();
    printer.out.text
}

struct Printer<'a> {
    world: &'a World,
    node: &'a str,
    name: &'a str,
    kind: DrbdKind,
    detail: Detail,
    out: Wrapped,
}

impl Printer<'_> {
    fn is_9(&self) -> bool {
        self.kind == DrbdKind::V9
    }

    fn resource(&mut self, resource: &Resource) {
        let verbose = self.detail.verbose;
        self.out.put(0, self.name);
        if verbose && self.is_9() {
            self.out.put(4, &format!(" node-id:{}", resource.node_id));
        }
        self.out.put(4, &format!(" role:{}", resource.role));
        let suspended = suspended(resource);
        if verbose || suspended != "no" {
            self.out.put(4, &format!(" suspended:{suspended}"));
        }
        if verbose && self.is_9() {
            self.out.put(4, " force-io-failures:no");
        }
        if verbose && self.detail.statistics {
            self.out.end();
            self.out.put(4, " write-ordering:flush");
        }
        self.out.end();
    }

    fn device(&mut self, number: u32, volume: &Volume, single: bool) {
        let verbose = self.detail.verbose;
        let mut indent = 2;
        if verbose || !single || number != 0 {
            self.out.put(indent, &format!("volume:{number}"));
            indent = 6;
            if verbose {
                self.out.put(indent, &format!(" minor:{}", volume.minor));
            }
        }
        self.out.put(indent, &format!(" disk:{}", volume.disk));
        if verbose && !self.is_9() && !self.detail.statistics {
            self.out.put(indent, " blocked:no");
        }
        if self.is_9() {
            if volume.disk == Disk::Diskless {
                let client = if volume.client { "yes" } else { "no" };
                self.out.put(indent, &format!(" client:{client}"));
            }
            if verbose {
                let backing = volume
                    .backing
                    .as_ref()
                    .map_or("none", |backing| &backing.path);
                self.out.put(indent, &format!(" backing_dev:{backing}"));
            }
            if verbose || !volume.quorum {
                let quorum = if volume.quorum { "yes" } else { "no" };
                self.out.put(indent, &format!(" quorum:{quorum}"));
            }
            if verbose && !self.detail.statistics {
                self.out.end();
                self.out.put(6, " blocked:no");
            }
        }
        if self.detail.statistics {
            self.out.end();
            let size = format!(" size:{}", volume.size_kib);
            let fields = [
                &size,
                " read:0",
                " written:0",
                " al-writes:0",
                " bm-writes:0",
            ];
            let more = [
                " upper-pending:0",
                " lower-pending:0",
                " al-suspended:no",
                " blocked:no",
            ];
            for field in fields.into_iter().chain(more) {
                self.out.put(6, field);
            }
        }
        self.out.end();
    }

    fn connection(&mut self, key: u32, connection: &Connection) {
        let verbose = self.detail.verbose;
        self.out.put(2, &connection.name);
        if verbose && self.is_9() {
            self.out.put(6, &format!(" node-id:{key}"));
        }
        if verbose || connection.link != Link::Connected {
            self.out.put(6, &format!(" connection:{}", connection.link));
        }
        if verbose || connection.link == Link::Connected {
            self.out
                .put(6, &format!(" role:{}", peer_role(self.world, connection)));
        }
        if verbose {
            self.out.put(6, " congested:no");
            if self.is_9() {
                self.out.put(6, " ap-in-flight:0");
                self.out.put(6, " rs-in-flight:0");
            }
        }
        self.out.end();
    }

    fn peer_device(&mut self, key: u32, connection: &Connection, number: u32, single: bool) {
        let verbose = self.detail.verbose;
        let fallback = PeerDevice::new();
        let device = connection.devices.get(&number).unwrap_or(&fallback);
        let mut indent = 4;
        if verbose || !single || number != 0 {
            self.out.put(indent, &format!("volume:{number}"));
            indent = 8;
        }
        if verbose || !self.is_9() || device.repl > Repl::Established {
            self.out
                .put(indent, &format!(" replication:{}", device.repl));
            indent = 8;
        }
        let disk = peer_disk(self.world, self.node, self.name, key, connection, number);
        self.out.put(indent, &format!(" peer-disk:{disk}"));
        if self.is_9() && disk == Disk::Diskless {
            let client = is_client(self.world, connection, device, number);
            let client = if client { "yes" } else { "no" };
            self.out.put(indent, &format!(" peer-client:{client}"));
        }
        let left = out_of_sync(self.world, self.node, self.name, key, number);
        if let Some(done) = done(device, left) {
            self.out.put(8, &format!(" done:{done}"));
        }
        let paused = matches!(device.repl, Repl::PausedSyncS | Repl::PausedSyncT);
        if verbose || paused {
            let why = if paused { "dependency" } else { "no" };
            self.out.put(8, &format!(" resync-suspended:{why}"));
        }
        if self.detail.statistics {
            self.out.end();
            let marked = format!(" out-of-sync:{}", left * 4);
            for field in [
                " received:0",
                " sent:0",
                &marked,
                " pending:0",
                " unacked:0",
            ] {
                self.out.put(8, field);
            }
        }
        self.out.end();
    }
}
