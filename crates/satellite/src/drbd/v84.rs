//! DRBD 8.4 of the Linux kernel: everything in which it differs from DRBD 9 is in this file.
//!
//! The other files call what is here at the points where the kinds differ, for either kind.

use std::path::Path;

use linstor_api::code;
use linstor_api::drbd_option::{self, Section};
use linstor_api::kind::DrbdKind;
use linstor_api::name::ResourceName;
use linstor_wire::spec::{DrbdSpec, Props, ResourceSpec};

use super::grow::decided;
use super::metadata::Layout;
use super::resfile::address;
use super::status::{DrbdConnection, DrbdResource};
use super::{adm, promotion};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::tools::error::ErrorKind;

/// DRBD 8.4 starts a resync at 250 KiB/s and takes minutes to get faster; a fixed rate still yields to applications.
const RESYNC: [(&str, &str); 2] = [("c-plan-ahead", "0"), ("resync-rate", "100M")];
/// How 8.4 refuses to resize a volume that is primary nowhere (`ERR_NO_PRIMARY`).
const NEEDS_PRIMARY: ErrorKind = ErrorKind::Drbd(131);

const fn is_84(kind: DrbdKind) -> bool {
    matches!(kind, DrbdKind::Drbd84)
}

/// Refuses what 8.4 cannot do.
pub fn check(kind: DrbdKind, spec: &ResourceSpec, drbd: &DrbdSpec) -> Result<()> {
    let name = &spec.name;
    let cause = if !is_84(kind) {
        return Ok(());
    } else if drbd.peers.len() > 1 {
        format!(
            "DRBD 8.4 replicates between two nodes, and resource '{name}' is to be on {}.",
            drbd.peers.len() + 1
        )
    } else if drbd.diskless || drbd.peers.iter().any(|p| p.diskless) {
        "DRBD 8.4 has no diskless replicas.".to_owned()
    } else if drbd.skip_disk {
        "The tools of DRBD 8.4 cannot leave out a disk ('DrbdOptions/SkipDisk').".to_owned()
    } else if drbd.options.get("quorum").is_some_and(|q| q != "off") {
        "DRBD 8.4 has no quorum.".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::new(
        code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
        format!("The DRBD on this node does not support resource '{name}' as it is configured."),
    )
    .cause(cause)
    .correction("Install DRBD 9 on the nodes, or place the resource on two nodes with disks.")
    .about("RscDfn", name.as_str()))
}

/// Whether peers have node ids, connections of their own, and a choice of slots in the metadata.
pub const fn has_node_ids(kind: DrbdKind) -> bool {
    !is_84(kind)
}

/// Whether an option of a section is known. Sections of a connection, which 8.4 does not have, have no `section`.
pub fn knows_option(kind: DrbdKind, section: Option<Section>, key: &str) -> bool {
    !is_84(kind) || section.is_none_or(|section| drbd_option::is_in_drbd84(section, key))
}

/// Section `net`: 8.4 has one connection, whose options are the resource's.
pub fn net_options(kind: DrbdKind, drbd: &DrbdSpec, net: &mut Props) {
    if is_84(kind) {
        net.entry("protocol".to_owned()).or_insert("C".to_owned());
        net.extend(drbd.peers.iter().flat_map(|p| p.net_options.clone()));
    }
}

/// Section `disk`.
pub fn disk_options(kind: DrbdKind, drbd: &DrbdSpec, disk: &mut Props) {
    if !is_84(kind) {
        return;
    }
    disk.extend(drbd.peers.iter().flat_map(|p| p.disk_options.clone()));
    let paced = |key: &String| key.starts_with("c-") || key == "resync-rate";
    if !disk.keys().any(paced) {
        disk.extend(RESYNC.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}

/// The address that 8.4 requires in the section of a host, in place of a section for the connection.
pub fn host_address(kind: DrbdKind, ip: std::net::IpAddr, port: u16) -> Option<String> {
    is_84(kind).then(|| format!("address {};", address(ip, port)))
}

/// 8.4 does not adjust a resource without a peer: the address of one that never answers. No other resource of the node
/// has it, as neither the kernel nor drbdadm lets two of them share it.
pub fn absent_peer(kind: DrbdKind, drbd: &DrbdSpec) -> Option<String> {
    let [high, low] = drbd.port.to_be_bytes();
    let wanted = is_84(kind) && drbd.peers.is_empty();
    wanted.then(|| format!("address ipv4 127.{high}.{low}.1:9;"))
}

/// The argument of `drbdsetup primary` and `secondary`: 8.4 changes the role per volume.
pub fn role_object(kind: DrbdKind, resource: &ResourceName, minor: u32) -> String {
    match kind {
        DrbdKind::Drbd9 => resource.to_string(),
        DrbdKind::Drbd84 => minor.to_string(),
    }
}

/// Whether the one connection that 8.4 has, even to a peer that is away, is missing, as 8.4 removes a connection that
/// it gives up. `None` where connections have names.
pub fn connection_dropped(
    kind: DrbdKind,
    drbd: &DrbdSpec,
    connections: &std::collections::BTreeMap<String, DrbdConnection>,
) -> Option<bool> {
    is_84(kind).then_some(connections.is_empty() && !drbd.peers.is_empty())
}

/// Whether this is the name that 8.4 gives its only connection.
pub fn is_unnamed(connection: &str) -> bool {
    matches!(connection, "" | "peer")
}

/// Whether events show how far a resync is.
pub const fn events_have_progress(kind: DrbdKind) -> bool {
    !is_84(kind)
}

/// The version of the metadata's format.
pub const fn metadata_format(kind: DrbdKind) -> &'static str {
    match kind {
        DrbdKind::Drbd9 => "v09",
        DrbdKind::Drbd84 => "v08",
    }
}

/// The text from which `restore-md` sets generation ids in 8.4's metadata.
pub fn metadata_dump(
    kind: DrbdKind,
    layout: &Layout,
    ids: (u64, u64),
    up_to_date: bool,
    device_uuid: u64,
    last_size_sectors: u64,
) -> Option<String> {
    if !is_84(kind) {
        return None;
    }
    let (current, bitmap) = ids;
    let (flags, stripe_4k) = (
        if up_to_date { 0x11 } else { 0x01 },
        layout.al_stripe_kib / 4,
    );
    Some(format!(
        "version \"v08\";\n\
         uuid {{ 0x{current:016X}; 0x{bitmap:016X}; 0x{:016X}; 0x{:016X}; flags 0x{flags:08X}; }}\n\
         la-size-sect {last_size_sectors};\nbm-byte-per-bit 4096;\ndevice-uuid 0x{device_uuid:016X};\n\
         la-peer-max-bio-size 0;\nal-stripes {};\nal-stripe-size-4k {stripe_4k};\nbm {{ }}\n",
        0, 0, layout.al_stripes
    ))
}

/// Whether a volume must be made primary to be resized: 8.4 grows a connected volume only while it is primary
/// somewhere.
pub fn resizes_only_primary(kind: DrbdKind, now: Option<&DrbdResource>) -> bool {
    is_84(kind) && now.is_some_and(|resource| !resource.has_primary())
}

/// `adjust`. In the middle of a growth it resizes, too, as the size of the first step is in no file; 8.4 requires a
/// primary for that.
pub async fn adjust(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    drbd: &DrbdSpec,
    file: &Path,
) -> Result<()> {
    let (machine, name) = (&attempt.shared.machine, &attempt.spec.name);
    let failure = match adm::adjust(machine, file, name, drbd.skip_disk).await {
        Err(failure) if is_84(kind) && failure.kind() == NEEDS_PRIMARY => failure,
        done => return done,
    };
    let minors: Vec<u32> = attempt
        .live_volumes()
        .filter_map(|volume| Some(drbd.volume(volume.number)?.minor))
        .collect();
    let mut adjusted = Err(failure);
    for (done, minor) in minors.iter().enumerate() {
        if let Err(failure) = promotion::begin(attempt, kind, *minor).await {
            tracing::debug!(resource = %name, minor, %failure, "not made primary");
            for minor in &minors[..done] {
                promotion::end(attempt, kind, *minor).await?;
            }
            return adjusted;
        }
    }
    adjusted = adm::adjust(machine, file, name, drbd.skip_disk).await;
    if adjusted.is_ok() {
        decided(attempt, |_| true).await;
    }
    for minor in minors {
        promotion::end(attempt, kind, minor).await?;
    }
    adjusted
}
