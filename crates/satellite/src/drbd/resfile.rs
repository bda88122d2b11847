//! The text of a resource's `.res` file: a pure function of its spec and the devices below.
//!
//! DRBD 9 and 8.4 have different grammars, and one option that the loaded kind does not know makes the whole file
//! unreadable, so that each kind gets its own form and only its own options.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use linstor_api::drbd_option::Section;
use linstor_api::kind::DrbdKind;
use linstor_wire::Secret;
use linstor_wire::spec::{DrbdSpec, DrbdVolumeSpec, PeerSpec, Props, ResourceSpec, Target};

use super::layer::Disks;
use super::v84;

/// What stands for the device of a peer and for one that is skipped: a path that is never opened.
const UNUSED_DISK: &str = "/dev/drbd/this/is/not/used";

/// Which DRBD the file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect<'a> {
    /// The module's kind.
    pub kind: DrbdKind,
    /// The tools know option `tiebreaker`.
    pub tiebreaker: bool,
    /// Options that the tools do not know, as `section/key`.
    pub unknown: &'a BTreeSet<String>,
}

/// A file's text and what had to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResFile {
    /// The text.
    pub text: String,
    /// Options that this DRBD does not know, as `section/key`.
    pub dropped: BTreeSet<String>,
}

/// Writes the file of a resource. `disks` has the devices of each volume with a local disk.
pub fn generate(
    spec: &ResourceSpec,
    drbd: &DrbdSpec,
    disks: &Disks,
    dialect: Dialect<'_>,
) -> ResFile {
    let mut w = Writer {
        text: String::from("# Written by linstor-satellite. Changes made here are overwritten.\n"),
        depth: 0,
        dropped: BTreeSet::new(),
        kind: dialect.kind,
        unknown: dialect.unknown,
    };
    w.open(&format!("resource \"{}\"", spec.name));
    w.options("handlers", &drbd.handlers, Some(Section::Handlers));
    w.options("options", &drbd.options, Some(Section::Resource));
    w.options("net", &net_options(drbd, dialect.kind), Some(Section::Net));
    w.options(
        "disk",
        &disk_options(drbd, dialect.kind),
        Some(Section::Disk),
    );
    local_host(&mut w, spec, drbd, disks);
    for peer in &drbd.peers {
        peer_host(&mut w, spec, drbd, peer, dialect);
    }
    if let Some(address) = v84::absent_peer(dialect.kind, drbd) {
        absent_peer(&mut w, spec, drbd, &address);
    }
    if v84::has_node_ids(dialect.kind) {
        for peer in drbd.peers.iter().filter(|p| !(p.diskless && drbd.diskless)) {
            connection(&mut w, drbd, peer);
        }
    }
    w.close();
    ResFile {
        text: w.text,
        dropped: w.dropped,
    }
}

/// The part of a file that counts in comparisons: from the resource's own line on.
pub fn body(text: &str) -> &str {
    if text.starts_with("resource ") {
        return text;
    }
    text.find("\nresource ").map_or("", |at| &text[at + 1..])
}

/// The DRBD node ids that a file names.
pub fn node_ids(text: &str) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if word == "node-id" {
            ids.extend(
                words
                    .next()
                    .and_then(|id| id.trim_end_matches(';').parse::<u32>().ok()),
            );
        }
    }
    ids
}

/// The shared secret in a file that was written here.
pub fn secret(text: &str) -> Option<Secret> {
    let line = |line: &str| {
        let quoted = line.trim().strip_prefix("shared-secret \"")?;
        quoted.strip_suffix("\";").map(Secret::new)
    };
    text.lines().find_map(line)
}

/// Volumes that DRBD is to have.
fn live_volumes<'a>(
    spec: &'a ResourceSpec,
    drbd: &'a DrbdSpec,
) -> impl Iterator<Item = &'a DrbdVolumeSpec> {
    let live = spec.volumes.iter().filter(|v| v.target == Target::Up);
    live.filter_map(|volume| drbd.volume(volume.number))
}

fn net_options(drbd: &DrbdSpec, kind: DrbdKind) -> Props {
    let mut net = Props::from([
        ("cram-hmac-alg".to_owned(), "sha1".to_owned()),
        ("shared-secret".to_owned(), drbd.secret.reveal().to_owned()),
    ]);
    net.extend(drbd.net_options.clone());
    v84::net_options(kind, drbd, &mut net);
    net
}

fn disk_options(drbd: &DrbdSpec, kind: DrbdKind) -> Props {
    let mut disk = drbd.disk_options.clone();
    v84::disk_options(kind, drbd, &mut disk);
    disk
}

fn local_host(w: &mut Writer<'_>, spec: &ResourceSpec, drbd: &DrbdSpec, disks: &Disks) {
    w.open(&format!("on \"{}\"", drbd.uname));
    w.host_address(drbd.address, drbd.port);
    for volume in live_volumes(spec, drbd) {
        let disk = disks.get(&volume.number);
        w.open(&format!("volume {}", volume.number));
        match disk {
            Some(disk) => w.line(&format!("disk {};", word(&disk.data.path))),
            // drbdadm does not touch it.
            None if drbd.skip_disk => w.line(&format!("disk {UNUSED_DISK};")),
            None => w.line("disk none;"),
        }
        w.options("disk", &volume.disk_options, Some(Section::Disk));
        let meta = disk.and_then(|disk| disk.meta.as_ref());
        w.device(meta.map(|meta| meta.path.as_str()), volume.minor);
    }
    w.node_id(drbd.node_id);
    w.close();
}

fn peer_host(
    w: &mut Writer<'_>,
    spec: &ResourceSpec,
    drbd: &DrbdSpec,
    peer: &PeerSpec,
    dialect: Dialect<'_>,
) {
    w.open(&format!("on \"{}\"", peer.uname));
    w.host_address(peer.address, peer.port);
    for volume in live_volumes(spec, drbd) {
        w.open(&format!("volume {}", volume.number));
        if peer.diskless {
            w.line("disk none;");
            if dialect.tiebreaker {
                w.line(if peer.tiebreaker {
                    "tiebreaker yes;"
                } else {
                    "tiebreaker no;"
                });
            }
        } else {
            w.line(&format!("disk {UNUSED_DISK};"));
        }
        w.device(None, volume.minor);
    }
    w.node_id(peer.node_id);
    w.close();
}

fn absent_peer(w: &mut Writer<'_>, spec: &ResourceSpec, drbd: &DrbdSpec, address: &str) {
    w.open("on \"_none\"");
    w.line(address);
    for volume in live_volumes(spec, drbd) {
        w.open(&format!("volume {}", volume.number));
        w.line(&format!("disk {UNUSED_DISK};"));
        w.device(None, volume.minor);
    }
    w.close();
}

fn connection(w: &mut Writer<'_>, drbd: &DrbdSpec, peer: &PeerSpec) {
    let local = peer.local_address.unwrap_or(drbd.address);
    w.open("connection");
    w.options("net", &peer.net_options, None);
    w.options("disk", &peer.disk_options, None);
    if peer.paths.is_empty() {
        hosts(w, drbd, peer, local, peer.address);
    }
    for path in &peer.paths {
        w.open("path");
        hosts(w, drbd, peer, path.local, path.peer);
        w.close();
    }
    w.close();
}

/// Both ends of a connection or of one of its paths.
fn hosts(w: &mut Writer<'_>, drbd: &DrbdSpec, peer: &PeerSpec, local: IpAddr, remote: IpAddr) {
    for (uname, ip, port) in [
        (&drbd.uname, local, drbd.port),
        (&peer.uname, remote, peer.port),
    ] {
        w.line(&format!("host \"{uname}\" address {};", address(ip, port)));
    }
}

/// An address as drbdadm reads it.
pub fn address(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(v4) => format!("ipv4 {v4}:{port}"),
        IpAddr::V6(v6) => format!("ipv6 [{v6}]:{port}"),
    }
}

/// A value as drbdadm reads it: bare where it is one word, else quoted. What cannot be quoted was refused before.
fn word(value: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "._:/+-".contains(c);
    if !value.is_empty() && value.chars().all(bare) {
        value.to_owned()
    } else {
        format!("\"{value}\"")
    }
}

struct Writer<'a> {
    text: String,
    depth: usize,
    dropped: BTreeSet<String>,
    kind: DrbdKind,
    unknown: &'a BTreeSet<String>,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        let indent = self.depth * 4;
        writeln!(self.text, "{:indent$}{line}", "").expect("writing to a string");
    }

    fn open(&mut self, head: &str) {
        self.line(head);
        self.line("{");
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    fn host_address(&mut self, ip: IpAddr, port: u16) {
        if let Some(line) = v84::host_address(self.kind, ip, port) {
            self.line(&line);
        }
    }

    fn node_id(&mut self, id: u32) {
        if v84::has_node_ids(self.kind) {
            self.line(&format!("node-id {id};"));
        }
    }

    /// The end of a volume's section; its metadata is on a device of its own if `meta` names one.
    fn device(&mut self, meta: Option<&str>, minor: u32) {
        self.line(&format!(
            "meta-disk {};",
            meta.map_or("internal".into(), word)
        ));
        self.line(&format!("device minor {minor};"));
        self.close();
    }

    /// A section of options. Those that the loaded DRBD does not know are left out.
    fn options(&mut self, section: &str, options: &Props, of: Option<Section>) {
        let mut known = Vec::new();
        for (key, value) in options {
            let name = format!("{section}/{key}");
            if v84::knows_option(self.kind, of, key) && !self.unknown.contains(&name) {
                known.push((key, value));
            } else {
                self.dropped.insert(name);
            }
        }
        if known.is_empty() {
            return;
        }
        self.open(section);
        for (key, value) in known {
            // drbdadm wants handlers and secrets quoted, whatever they contain.
            if section == "handlers" || key == "shared-secret" {
                self.line(&format!("{key} \"{value}\";"));
            } else {
                self.line(&format!("{key} {};", word(value)));
            }
        }
        self.close();
    }
}
