//! The text of a resource's `.res` file: a pure function of its spec and the devices below.
//!
//! DRBD 9 and 8.4 have different grammars, and one option that the loaded kind does not know makes the whole file
//! unreadable, so that each kind gets its own form and only its own options.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use linstor_api::drbd_option::{self, Section};
use linstor_api::kind::DrbdKind;
use linstor_wire::Secret;
use linstor_wire::spec::{DrbdSpec, PeerSpec, Props, ResourceSpec, Target, VolumeSpec};

/// What stands for the device of a peer: a path that is never opened, as the true one is the peer's business.
const PEER_DISK: &str = "/dev/drbd/this/is/not/used";

/// DRBD 8.4 starts a resync at 250 KiB/s and takes minutes to get faster; a fixed rate still yields to applications.
const RESYNC_84: [(&str, &str); 2] = [("c-plan-ahead", "0"), ("resync-rate", "100M")];

/// Which DRBD the file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The module's kind.
    pub kind: DrbdKind,
    /// The tools know the `tiebreaker` word.
    pub tiebreaker: bool,
}

/// A file's text and what had to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResFile {
    /// The text.
    pub text: String,
    /// Options that this DRBD does not know, as `section/key`.
    pub dropped: BTreeSet<String>,
}

/// Writes the file of a resource. `disks` has the backing device of each volume with a local disk.
pub fn generate(
    spec: &ResourceSpec,
    drbd: &DrbdSpec,
    disks: &BTreeMap<u32, String>,
    dialect: Dialect,
) -> ResFile {
    let mut w = Writer {
        text: String::from("# Written by linstor-satellite. Changes made here are overwritten.\n"),
        depth: 0,
        dropped: BTreeSet::new(),
        kind: dialect.kind,
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
        peer_host(&mut w, spec, peer, dialect);
    }
    if dialect.kind == DrbdKind::Drbd84 && drbd.peers.is_empty() {
        nobody(&mut w, spec, drbd);
    }
    if dialect.kind == DrbdKind::Drbd9 {
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
pub fn live_volumes(spec: &ResourceSpec) -> impl Iterator<Item = &VolumeSpec> {
    spec.volumes.iter().filter(|v| v.target == Target::Up)
}

fn net_options(drbd: &DrbdSpec, kind: DrbdKind) -> Props {
    let mut net = Props::from([
        ("cram-hmac-alg".to_owned(), "sha1".to_owned()),
        ("shared-secret".to_owned(), drbd.secret.reveal().to_owned()),
    ]);
    net.extend(drbd.net_options.clone());
    if kind == DrbdKind::Drbd84 {
        net.entry("protocol".to_owned()).or_insert("C".to_owned());
        // There is only one connection, so that its options are everybody's.
        net.extend(drbd.peers.iter().flat_map(|p| p.net_options.clone()));
    }
    net
}

fn disk_options(drbd: &DrbdSpec, kind: DrbdKind) -> Props {
    let mut disk = drbd.disk_options.clone();
    if kind == DrbdKind::Drbd84 {
        disk.extend(drbd.peers.iter().flat_map(|p| p.disk_options.clone()));
        let paced = |key: &String| key.starts_with("c-") || key == "resync-rate";
        if !disk.keys().any(paced) {
            disk.extend(RESYNC_84.map(|(k, v)| (k.to_owned(), v.to_owned())));
        }
    }
    disk
}

fn local_host(w: &mut Writer, spec: &ResourceSpec, drbd: &DrbdSpec, disks: &BTreeMap<u32, String>) {
    w.open(&format!("on \"{}\"", drbd.uname));
    if w.kind == DrbdKind::Drbd84 {
        w.line(&format!("address {};", address(drbd.address, drbd.port)));
    }
    for volume in live_volumes(spec) {
        let Some(layer) = &volume.drbd else { continue };
        w.open(&format!("volume {}", volume.number));
        match disks.get(&volume.number) {
            Some(path) => w.line(&format!("disk {};", word(path))),
            None => w.line("disk none;"),
        }
        w.options("disk", &layer.disk_options, Some(Section::Disk));
        w.line("meta-disk internal;");
        w.line(&format!("device minor {};", layer.minor));
        w.close();
    }
    if w.kind == DrbdKind::Drbd9 {
        w.line(&format!("node-id {};", drbd.node_id));
    }
    w.close();
}

fn peer_host(w: &mut Writer, spec: &ResourceSpec, peer: &PeerSpec, dialect: Dialect) {
    w.open(&format!("on \"{}\"", peer.uname));
    if w.kind == DrbdKind::Drbd84 {
        w.line(&format!("address {};", address(peer.address, peer.port)));
    }
    for volume in live_volumes(spec) {
        let Some(layer) = &volume.drbd else { continue };
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
            w.line(&format!("disk {PEER_DISK};"));
        }
        w.line("meta-disk internal;");
        w.line(&format!("device minor {};", layer.minor));
        w.close();
    }
    if w.kind == DrbdKind::Drbd9 {
        w.line(&format!("node-id {};", peer.node_id));
    }
    w.close();
}

/// 8.4 does not adjust a resource without a peer. This one never answers. Its address is one that no other resource of
/// the node has, as neither the kernel nor drbdadm lets two of them share it.
fn nobody(w: &mut Writer, spec: &ResourceSpec, drbd: &DrbdSpec) {
    let [high, low] = drbd.port.to_be_bytes();
    w.open("on \"_none\"");
    w.line(&format!("address ipv4 127.{high}.{low}.1:9;"));
    for volume in live_volumes(spec) {
        let Some(layer) = &volume.drbd else { continue };
        w.open(&format!("volume {}", volume.number));
        w.line(&format!("disk {PEER_DISK};"));
        w.line("meta-disk internal;");
        w.line(&format!("device minor {};", layer.minor));
        w.close();
    }
    w.close();
}

fn connection(w: &mut Writer, drbd: &DrbdSpec, peer: &PeerSpec) {
    let local = peer.local_address.unwrap_or(drbd.address);
    w.open("connection");
    w.options("net", &peer.net_options, None);
    w.options("disk", &peer.disk_options, None);
    w.line(&format!(
        "host \"{}\" address {};",
        drbd.uname,
        address(local, drbd.port)
    ));
    w.line(&format!(
        "host \"{}\" address {};",
        peer.uname,
        address(peer.address, peer.port)
    ));
    w.close();
}

fn address(address: IpAddr, port: u16) -> String {
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

struct Writer {
    text: String,
    depth: usize,
    dropped: BTreeSet<String>,
    kind: DrbdKind,
}

impl Writer {
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

    /// A section of options; `of_84` says which ones DRBD 8.4 has in it.
    fn options(&mut self, section: &str, options: &Props, of_84: Option<Section>) {
        let (kind, mut kept) = (self.kind, Vec::new());
        for (key, value) in options {
            let unknown = kind == DrbdKind::Drbd84
                && of_84.is_some_and(|of| !drbd_option::is_in_drbd84(of, key));
            if unknown {
                self.dropped.insert(format!("{section}/{key}"));
            } else {
                kept.push((key, value));
            }
        }
        if kept.is_empty() {
            return;
        }
        self.open(section);
        for (key, value) in kept {
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
