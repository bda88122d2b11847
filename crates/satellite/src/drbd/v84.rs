//! DRBD 8.4 of the Linux kernel: everything in which it differs from DRBD 9 is in this file.
//!
//! The other files call what is here at the points where the kinds differ, for either kind.

use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use linstor_api::drbd_option::{self, Section};
use linstor_api::kind::DrbdKind;
use linstor_api::name::ResourceName;
use linstor_host::{Cmd, Deadline};
use linstor_wire::spec::{DrbdSpec, Props, ResourceSpec};
use tokio::time::{Instant, sleep};

use super::grow::decided;
use super::metadata::Layout;
use super::resfile::address;
use super::status::{DrbdConnection, DrbdResource};
use super::{adm, promotion};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::machine::Machine;
use crate::tools::error::ErrorKind;

/// DRBD 8.4 starts a resync at 250 KiB/s and takes minutes to get faster; a fixed rate still yields to applications.
const RESYNC: [(&str, &str); 2] = [("c-plan-ahead", "0"), ("resync-rate", "100M")];
/// How 8.4 refuses to resize a volume that is primary nowhere (`ERR_NO_PRIMARY`).
const NEEDS_PRIMARY: ErrorKind = ErrorKind::Drbd(131);

/// The counters of each minor.
const COUNTERS: &str = "/proc/drbd";
/// How long a flush may take that has held requests completed.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// Time that requests need to be completed once nothing holds them.
const COMPLETION: Duration = Duration::from_millis(200);
/// How long counters are looked at.
const COUNTERS_LIMIT: Duration = Duration::from_secs(1);
/// Interval at which they are read.
const COUNTERS_POLL: Duration = Duration::from_millis(50);
/// How often they must show held requests: a request that DRBD is about to send looks like one, for a moment.
const SEEN_MIN: u32 = 3;

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

/// Has requests completed that were under way when the I/O of a minor was suspended, after it was resumed.
///
/// 8.4 holds them back for longer: it completes a write only when the peer confirms its epoch, which ends with a later write
/// or a flush, and a read only when the connection ends (`RQ_COMPLETION_SUSP` in `drbd_req.c`). An application that waits
/// for such a request before it sends another one would wait for ever. So the device is flushed, and where that does not
/// suffice the connection is made anew. `kind` is `None` while it is not known.
pub async fn release_requests(
    machine: &Machine,
    kind: Option<DrbdKind>,
    file: &Path,
    resource: &ResourceName,
    minor: u32,
) -> Result<()> {
    if kind.is_some_and(|kind| !is_84(kind)) || !holds_requests(machine, minor).await {
        return Ok(());
    }
    let flush = Cmd::new("sync").args(["--data".to_owned(), format!("/dev/drbd{minor}")]);
    let flush = flush.deadline(Deadline::run(FLUSH_LIMIT));
    if let Err(failure) = machine.run(flush).await {
        tracing::debug!(%resource, minor, %failure, "not flushed");
    }
    sleep(COMPLETION).await;
    // All volumes of the resource have one connection.
    let _turn = machine.lock(&format!("drbd-connection/{resource}")).await;
    if !holds_requests(machine, minor).await {
        return Ok(());
    }
    tracing::warn!(%resource, minor, "DRBD 8.4 holds requests back after a suspension of I/O; the connection is made anew");
    adm::reconnect(machine, file, resource).await?;
    sleep(COMPLETION).await;
    if !holds_requests(machine, minor).await {
        return Ok(());
    }
    let message = format!("DRBD holds requests of resource '{resource}' back.");
    Err(Failure::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause("They were under way when I/O was suspended; a flush and a new connection have not had them completed.")
        .correction(format!("Run 'drbdadm disconnect {resource}', then 'drbdadm connect {resource}'.")))
}

/// Whether requests of applications wait for neither a disk nor the peer.
async fn holds_requests(machine: &Machine, minor: u32) -> bool {
    let (begun, mut seen) = (Instant::now(), 0);
    while begun.elapsed() < COUNTERS_LIMIT {
        let text = machine.host().read(Path::new(COUNTERS)).await;
        let text = text.unwrap_or_default();
        let Some(counters) = parse_counters(&String::from_utf8_lossy(&text), minor) else {
            return false;
        };
        if counters.applications == 0 {
            return false;
        }
        seen += u32::from(counters.applications > counters.disk + counters.peer);
        if seen >= SEEN_MIN {
            return true;
        }
        sleep(COUNTERS_POLL).await;
    }
    false
}

/// Requests that are not completed.
#[derive(Debug, PartialEq, Eq)]
struct Counters {
    /// All of applications (`ap`).
    applications: u64,
    /// Those that wait for the disk (`lo`).
    disk: u64,
    /// Those that wait for the peer (`pe`).
    peer: u64,
}

/// The counters of a minor in `/proc/drbd`, on the line behind the one that begins with its number.
fn parse_counters(text: &str, minor: u32) -> Option<Counters> {
    let head = format!("{minor}:");
    let mut lines = text.lines();
    lines.find(|line| line.split_whitespace().next() == Some(&head))?;
    let line = lines.next()?;
    let value = |key: &str| {
        let mut words = line.split_whitespace();
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix(':')?.parse().ok())
    };
    Some(Counters {
        applications: value("ap")?,
        disk: value("lo")?,
        peer: value("pe")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_minor() {
        let text = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 0\n\n \
                    0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n    \
                    ns:8 nr:0 dw:8 dr:664 al:1 bm:0 lo:2 pe:1 ua:0 ap:4 ep:1 wo:f oos:0\n\n\
                    1000: cs:Unconfigured\n";
        let expected = Counters {
            applications: 4,
            disk: 2,
            peer: 1,
        };
        assert_eq!(parse_counters(text, 0), Some(expected));
        assert_eq!(parse_counters(text, 1000), None);
        assert_eq!(parse_counters(text, 1), None);
    }
}
