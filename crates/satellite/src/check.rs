//! Checks everything from the wire again before it reaches a command line or a file.
//!
//! The controller has checked the same. But what is executed as root here is checked here.

use linstor_api::code;
use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::name::ResourceName;
use linstor_api::tool_option::{self, LVCREATE_THIN_POOL, PVCREATE, VGCREATE, ZPOOL_CREATE};
use linstor_wire::question::{DevicePool, RaidLevel};
use linstor_wire::spec::{
    DrbdSpec, DrbdVolumeSpec, LayerSpec, LuksSpec, PoolSpec, Props, ResourceSpec, SnapshotSpec,
    SnapshotTarget, Target, VolumeSpec,
};

use crate::failure::{Failure, Result};

/// Longest name of an option.
const KEY_BYTES_MAX: usize = 48;
/// Longest host name.
const HOST_BYTES_MAX: usize = 255;
/// Longest value of an option, in bytes.
const VALUE_BYTES_MAX: usize = 1024;
/// Longest secret that DRBD takes, in bytes.
const SECRET_BYTES_MAX: usize = 64;
/// Longest key that cryptsetup takes from a line, in bytes.
const LUKS_KEY_BYTES_MAX: usize = 512;
/// Largest LUKS header, in KiB.
const LUKS_HEADER_KIB_MAX: u64 = 1 << 20;
/// Longest key of an object in a bucket, and longest id of an upload, in bytes.
const OBJECT_BYTES_MAX: usize = 1024;
/// Largest volume number.
const VOLUME_MAX: u32 = 65_534;
/// Largest device minor.
const MINOR_MAX: u32 = (1 << 20) - 1;
/// Largest DRBD node id.
const NODE_ID_MAX: u32 = 31;
/// Largest volume, in KiB (1 PiB).
const SIZE_KIB_MAX: u64 = 1 << 40;
/// The property with the volume group, thin pool, dataset or directory of a storage pool.
pub const POOL_NAME_KEY: &str = "StorDriver/StorPoolName";

/// Whether a text may be the name of a host, as the kernel has it: more than [`NodeName`](linstor_api::name::NodeName)
/// allows.
fn is_host_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !name.is_empty()
        && name.len() <= HOST_BYTES_MAX
        && name.chars().all(inner)
        && !name.starts_with(['-', '.'])
}

fn refuse(ret_code: i64, what: &str, why: &str) -> Failure {
    Failure::new(ret_code, format!("{what} is refused by the satellite."))
        .cause(why.to_owned())
        .correction("Correct the value on the controller; nothing was changed on this node.")
}

/// Checks a resource's spec.
pub fn resource(spec: &ResourceSpec) -> Result<()> {
    let mut before = None;
    for volume in &spec.volumes {
        if before.is_some_and(|n| n >= volume.number) {
            return Err(refuse(
                code::FAIL_INVLD_VLM_NR,
                &format!("Volume number {} of '{}'", volume.number, spec.name),
                "The volumes are not in ascending order.",
            ));
        }
        before = Some(volume.number);
        volume_spec(spec, volume)?;
    }
    for removed in &spec.destroy_storage {
        number(removed.number, &spec.name)?;
        let in_use = spec.volumes.iter().any(|volume| {
            volume.number == removed.number && volume.storage.contains_key(&removed.suffix)
        });
        if in_use {
            let what = format!("Volume {} of '{}'", removed.number, spec.name);
            let why = "Its storage is to be used and to be destroyed.";
            return Err(refuse(code::FAIL_INVLD_RSC_STATE, &what, why));
        }
    }
    if spec.roll_back.is_some() && spec.target != Target::Down {
        let why = "The resource is not to be down.";
        let what = format!("The rollback of '{}'", spec.name);
        return Err(refuse(code::FAIL_INVLD_RSC_STATE, &what, why));
    }
    layers(spec)?;
    if let Some(luks) = spec.luks() {
        luks_spec(spec, luks)?;
    }
    match spec.drbd() {
        Some(drbd) => drbd_spec(spec, drbd),
        None => Ok(()),
    }
}

/// Checks a snapshot's spec. Names are checked by their types.
pub fn snapshot(spec: &SnapshotSpec) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for volume in &spec.volumes {
        number(volume.number, &spec.resource)?;
        let what = format!(
            "Volume {} of snapshot '{}' of '{}'",
            volume.number, spec.name, spec.resource
        );
        if !seen.insert((volume.number, volume.suffix)) {
            let why = "The same volume is in it twice.";
            return Err(refuse(code::FAIL_INVLD_VLM_NR, &what, why));
        }
        if !(1..=SIZE_KIB_MAX).contains(&volume.size_kib) {
            let why = "Its size is out of range.";
            return Err(refuse(code::FAIL_INVLD_VLM_SIZE, &what, why));
        }
    }
    let is_text = |text: &str| {
        let plain = |c: char| !c.is_control();
        (1..=OBJECT_BYTES_MAX).contains(&text.len()) && text.chars().all(plain)
    };
    let names: Vec<(u32, &str)> = match &spec.target {
        SnapshotTarget::Sent(shipment) => {
            let objects = shipment.objects.iter();
            let names =
                objects.map(|(volume, object)| [(*volume, &object.key), (*volume, &object.upload)]);
            names
                .flatten()
                .map(|(volume, name)| (volume, name.as_str()))
                .collect()
        }
        SnapshotTarget::Received(receipt) => {
            let objects = receipt.objects.iter();
            let names =
                objects.flat_map(|(volume, objects)| objects.iter().map(|of| (*volume, &of.key)));
            names
                .map(|(volume, name)| (volume, name.as_str()))
                .collect()
        }
        SnapshotTarget::SentToPeer(of) => {
            peer(spec, of.port)?;
            Vec::new()
        }
        SnapshotTarget::ReceivedFromPeer(of) => {
            peer(spec, of.port)?;
            Vec::new()
        }
        SnapshotTarget::Taken { .. }
        | SnapshotTarget::TakenWhileDown
        | SnapshotTarget::Destroyed => Vec::new(),
    };
    for (volume, name) in names {
        number(volume, &spec.resource)?;
        if !is_text(name) {
            let (name, snapshot) = (&spec.resource, &spec.name);
            let what = format!("Volume {volume} of snapshot '{snapshot}' of '{name}'");
            let why = "The name of its object is not valid.";
            return Err(refuse(code::FAIL_INVLD_BACKUP_CONFIG, &what, why));
        }
    }
    Ok(())
}

/// Nodes of different clusters meet at a port.
fn peer(spec: &SnapshotSpec, port: u16) -> Result<()> {
    if port != 0 {
        return Ok(());
    }
    let (name, snapshot) = (&spec.resource, &spec.name);
    let what = format!("The shipment of snapshot '{snapshot}' of '{name}'");
    let why = "Its TCP port is 0.";
    Err(refuse(code::FAIL_INVLD_BACKUP_CONFIG, &what, why))
}

/// Checks the order of the layers: what this satellite can build stands above the storage, each layer once.
fn layers(spec: &ResourceSpec) -> Result<()> {
    let kinds: Vec<LayerKind> = spec.layers.iter().map(LayerSpec::kind).collect();
    match kinds[..] {
        [LayerKind::Storage]
        | [LayerKind::Luks, LayerKind::Storage]
        | [LayerKind::Drbd, LayerKind::Storage]
        | [LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage] => Ok(()),
        _ => Err(refuse(
            code::FAIL_INVLD_LAYER_STACK,
            &format!("The layer stack of '{}'", spec.name),
            "The satellite supports STORAGE, and DRBD, LUKS or both above it.",
        )),
    }
}

/// A key is read as a line of standard input; the data begins within the volume.
fn luks_spec(spec: &ResourceSpec, luks: &LuksSpec) -> Result<()> {
    for volume in &luks.volumes {
        let what = format!(
            "The encryption of volume {} of '{}'",
            volume.number, spec.name
        );
        let key = volume.key.reveal();
        if key.len() > LUKS_KEY_BYTES_MAX || key.contains(|c: char| c.is_control()) {
            let why = "Its key is too long, or has characters that cannot be in a line.";
            return Err(refuse(code::FAIL_INVLD_CRYPT_PASSPHRASE, &what, why));
        }
        if !(1024..=LUKS_HEADER_KIB_MAX).contains(&volume.header_kib) {
            let why = "The size of its header is out of range.";
            return Err(refuse(code::FAIL_INVLD_VLM_SIZE, &what, why));
        }
    }
    Ok(())
}

fn number(number: u32, name: &ResourceName) -> Result<()> {
    if number <= VOLUME_MAX {
        return Ok(());
    }
    Err(refuse(
        code::FAIL_INVLD_VLM_NR,
        &format!("Volume number {number} of '{name}'"),
        "It is out of range.",
    ))
}

fn volume_spec(spec: &ResourceSpec, volume: &VolumeSpec) -> Result<()> {
    number(volume.number, &spec.name)?;
    let what = format!("Volume {} of '{}'", volume.number, spec.name);
    let sizes = volume.storage.values().map(|storage| storage.size_kib);
    if sizes
        .into_iter()
        .any(|kib| !(4..=SIZE_KIB_MAX).contains(&kib))
        || volume.usable_kib > SIZE_KIB_MAX
    {
        return Err(refuse(
            code::FAIL_INVLD_VLM_SIZE,
            &what,
            "Its size is out of range.",
        ));
    }
    let diskless = spec.drbd().is_some_and(|drbd| drbd.diskless);
    let has_data = volume.storage.contains_key(&StorageSuffix::Data);
    let has_metadata = volume.storage.contains_key(&StorageSuffix::DrbdMeta);
    if diskless == has_data || (has_metadata && (diskless || spec.drbd().is_none())) {
        return Err(refuse(
            code::FAIL_INVLD_LAYER_STACK,
            &what,
            "It does not have the backing volumes that its layers need.",
        ));
    }
    let unencrypted = |luks: &LuksSpec| has_data && luks.volume(volume.number).is_none();
    if spec.luks().is_some_and(unencrypted) {
        return Err(refuse(
            code::FAIL_INVLD_LAYER_STACK,
            &what,
            "The resource has a LUKS layer, and the volume has no LUKS configuration.",
        ));
    }
    match spec.drbd() {
        Some(drbd) => drbd_volume(drbd.volume(volume.number), &what),
        None => Ok(()),
    }
}

fn drbd_volume(volume: Option<&DrbdVolumeSpec>, what: &str) -> Result<()> {
    let Some(drbd) = volume else {
        return Err(refuse(
            code::FAIL_INVLD_LAYER_STACK,
            what,
            "The resource has a DRBD layer, and the volume has no DRBD configuration.",
        ));
    };
    if drbd.minor > MINOR_MAX {
        return Err(refuse(
            code::FAIL_INVLD_MINOR_NR,
            what,
            "Its minor number is out of range.",
        ));
    }
    if u64::from_str_radix(&drbd.day0_gi, 16).is_err() || drbd.day0_gi.len() != 16 {
        return Err(refuse(
            code::FAIL_INVLD_PROP,
            what,
            "Its day-0 generation id is not 16 hex digits.",
        ));
    }
    options(&drbd.disk_options, what)
}

fn drbd_spec(spec: &ResourceSpec, drbd: &DrbdSpec) -> Result<()> {
    let what = format!("The DRBD configuration of '{}'", spec.name);
    let bad = |ret_code, why: &str| Err(refuse(ret_code, &what, why));
    let names = std::iter::once(&drbd.uname).chain(drbd.peers.iter().map(|p| &p.uname));
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !is_host_name(name) || !seen.insert(name) {
            let shown = name.escape_debug();
            let why = format!("'{shown}' is not a host name, or two nodes have it.");
            return bad(code::FAIL_INVLD_NODE_NAME, &why);
        }
    }
    let ids = std::iter::once(drbd.node_id).chain(drbd.peers.iter().map(|p| p.node_id));
    let mut seen = std::collections::BTreeSet::new();
    for id in ids {
        if id > NODE_ID_MAX || !seen.insert(id) {
            let why = format!("Node id {id} is out of range or given twice.");
            return bad(code::FAIL_INVLD_NODE_ID, &why);
        }
    }
    if drbd.port == 0 || drbd.peers.iter().any(|p| p.port == 0) {
        return bad(code::FAIL_INVLD_RSC_PORT, "Port 0 is not a port.");
    }
    if !(1..=NODE_ID_MAX).contains(&drbd.peer_slots) {
        return bad(
            code::FAIL_INSUFFICIENT_PEER_SLOTS,
            "The number of peer slots is out of range.",
        );
    }
    let striped = u64::from(drbd.al_stripes) * u64::from(drbd.al_stripe_kib);
    if !drbd.al_stripe_kib.is_multiple_of(4) || !(4..=1 << 20).contains(&striped) {
        return bad(
            code::FAIL_INVLD_CONF,
            "The activity log's layout is out of range.",
        );
    }
    let secret = drbd.secret.reveal();
    if !is_quotable(secret) || secret.len() > SECRET_BYTES_MAX {
        return bad(
            code::FAIL_INVLD_CONF,
            "The shared secret is too long, or has characters that cannot be written.",
        );
    }
    // The satellite's own files do not have it, and DRBD's file is there only while the resource is up.
    if drbd.secret.is_empty() && spec.target == Target::Up {
        return bad(
            code::FAIL_INVLD_CONF,
            "The shared secret is not known until the controller connects.",
        );
    }
    options(&drbd.options, &what)?;
    options(&drbd.net_options, &what)?;
    options(&drbd.disk_options, &what)?;
    handlers(&drbd.handlers, &what)?;
    for peer in &drbd.peers {
        options(&peer.net_options, &what)?;
        options(&peer.disk_options, &what)?;
    }
    Ok(())
}

/// Whether a text can stand between double quotes in a `.res` file, which has no escapes.
fn is_quotable(text: &str) -> bool {
    text.len() <= VALUE_BYTES_MAX && !text.contains(|c: char| c.is_control() || "\"\\".contains(c))
}

fn is_option_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.len() <= KEY_BYTES_MAX
        && key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Options of DRBD: one value each, nothing that could end the statement.
fn options(options: &Props, what: &str) -> Result<()> {
    for (key, value) in options {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/+-, @%".contains(c);
        let fine = !value.is_empty() && value.len() <= VALUE_BYTES_MAX && value.chars().all(plain);
        if !is_option_key(key) || !fine {
            let (key, value) = (key.escape_debug(), value.escape_debug());
            return Err(refuse(
                code::FAIL_INVLD_PROP,
                what,
                &format!(
                    "Option '{key}' with value '{value}' has characters that are not allowed."
                ),
            ));
        }
    }
    Ok(())
}

/// Handlers are shell lines of an administrator's choice, which must not end their quotes.
fn handlers(options: &Props, what: &str) -> Result<()> {
    for (key, value) in options {
        if !is_option_key(key) || value.is_empty() || !is_quotable(value) {
            let key = key.escape_debug();
            return Err(refuse(
                code::FAIL_INVLD_PROP,
                what,
                &format!("Handler '{key}' has characters that cannot be written."),
            ));
        }
    }
    Ok(())
}

/// Where a pool is, checked for its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolPlace {
    /// Nowhere.
    Diskless,
    /// A volume group.
    Lvm {
        /// Its name.
        vg: String,
    },
    /// A thin pool.
    LvmThin {
        /// The volume group.
        vg: String,
        /// The thin pool in it.
        pool: String,
    },
    /// A dataset.
    Zfs {
        /// Its full name.
        dataset: String,
        /// Whether volumes are sparse.
        sparse: bool,
    },
    /// A directory.
    File {
        /// Its path.
        directory: String,
        /// Whether files are sparse.
        sparse: bool,
    },
}

/// Finds out where a pool is.
pub fn pool_place(pool: &PoolSpec) -> Result<PoolPlace> {
    let name = pool.props.get(POOL_NAME_KEY).map_or("", String::as_str);
    let thin_without_pool = pool.kind == ProviderKind::LvmThin && !name.contains('/');
    let ret_code = match name.is_empty() || thin_without_pool {
        true => code::FAIL_UNKNOWN_ERROR,
        false => code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
    };
    let bad = |why: &str| {
        refuse(
            ret_code,
            &format!("Storage pool '{}'", pool.name),
            &format!(
                "Property {POOL_NAME_KEY} is '{}': {why}",
                name.escape_debug()
            ),
        )
    };
    match pool.kind {
        ProviderKind::Diskless => Ok(PoolPlace::Diskless),
        ProviderKind::Lvm if is_lvm_name(name) => Ok(PoolPlace::Lvm {
            vg: name.to_owned(),
        }),
        ProviderKind::Lvm => Err(bad("not the name of a volume group.")),
        ProviderKind::LvmThin => match name.split_once('/') {
            Some((vg, thin)) if is_lvm_name(vg) && is_lvm_name(thin) => Ok(PoolPlace::LvmThin {
                vg: vg.to_owned(),
                pool: thin.to_owned(),
            }),
            _ => Err(bad("not a volume group and a thin pool joined by '/'.")),
        },
        ProviderKind::Zfs | ProviderKind::ZfsThin if is_dataset(name) => Ok(PoolPlace::Zfs {
            dataset: name.to_owned(),
            sparse: pool.kind == ProviderKind::ZfsThin,
        }),
        ProviderKind::Zfs | ProviderKind::ZfsThin => Err(bad("not a ZFS pool or dataset.")),
        ProviderKind::File | ProviderKind::FileThin if is_directory(name) => Ok(PoolPlace::File {
            directory: name.trim_end_matches('/').to_owned(),
            sparse: pool.kind == ProviderKind::FileThin,
        }),
        ProviderKind::File | ProviderKind::FileThin => Err(bad(
            "not an absolute path made of letters, digits and '._-' below the root.",
        )),
        ProviderKind::Spdk
        | ProviderKind::RemoteSpdk
        | ProviderKind::EbsInit
        | ProviderKind::EbsTarget
        | ProviderKind::StorageSpaces
        | ProviderKind::StorageSpacesThin => Err(Failure::new(
            code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER,
            format!(
                "This satellite does not support storage pools of kind {}.",
                pool.kind
            ),
        )),
    }
}

/// Where a pool of devices is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevicePlace {
    /// A volume group, and a thin pool in it.
    Lvm {
        /// Its name.
        vg: String,
        /// The thin pool's name.
        thin_pool: Option<String>,
    },
    /// A zpool.
    Zpool {
        /// Its name.
        name: String,
    },
}

/// Checks what is asked for in a pool of devices, and finds out where it is to be.
pub fn device_pool(pool: &DevicePool) -> Result<DevicePlace> {
    let name = pool.place.as_str();
    let what = format!("The pool '{}'", name.escape_debug());
    let bad = |ret_code, why: &str| Err(refuse(ret_code, &what, why));
    let arguments = [
        (&PVCREATE, &pool.pv_arguments),
        (&VGCREATE, &pool.vg_arguments),
        (&LVCREATE_THIN_POOL, &pool.lv_arguments),
        (&ZPOOL_CREATE, &pool.zpool_arguments),
    ];
    for (tool, words) in arguments {
        if let Err(why) = tool_option::check(tool, words) {
            return bad(code::FAIL_INVLD_PROP, &format!("Option {why}."));
        }
    }
    if let Some(path) = pool.devices.iter().find(|path| !is_device_path(path)) {
        let why = format!("'{}' is no path of a device.", path.escape_debug());
        return bad(code::FAIL_UNKNOWN_ERROR, &why);
    }
    if pool.devices.len() < pool.raid.devices_min() {
        return bad(
            code::FAIL_UNKNOWN_ERROR,
            "It has fewer devices than it needs.",
        );
    }
    if pool.raid == RaidLevel::Raid10 && !pool.devices.len().is_multiple_of(2) {
        return bad(code::FAIL_UNKNOWN_ERROR, "The devices of RAID10 are pairs.");
    }
    let is_lvm = matches!(pool.kind, ProviderKind::Lvm | ProviderKind::LvmThin);
    if is_lvm && pool.raid != RaidLevel::Jbod {
        return bad(
            code::FAIL_UNKNOWN_ERROR,
            "Volume groups have no RAID level: logical volumes have one each.",
        );
    }
    let no_name = || bad(code::FAIL_INVLD_STOR_POOL_NAME, "Its name cannot be used.");
    match pool.kind {
        ProviderKind::Lvm if is_lvm_name(name) => Ok(DevicePlace::Lvm {
            vg: name.to_owned(),
            thin_pool: None,
        }),
        ProviderKind::LvmThin => match name.split_once('/') {
            Some((vg, thin)) if is_lvm_name(vg) && is_lvm_name(thin) => Ok(DevicePlace::Lvm {
                vg: vg.to_owned(),
                thin_pool: Some(thin.to_owned()),
            }),
            _ => no_name(),
        },
        ProviderKind::Zfs | ProviderKind::ZfsThin if is_zpool_name(name) => {
            Ok(DevicePlace::Zpool {
                name: name.to_owned(),
            })
        }
        ProviderKind::Lvm | ProviderKind::Zfs | ProviderKind::ZfsThin => no_name(),
        kind => bad(
            code::FAIL_INVLD_PROVIDER,
            &format!("Pools of kind {kind} are not made of devices."),
        ),
    }
}

/// Whether a text is a path of a device below `/dev`, without a way out of it.
pub fn is_device_path(path: &str) -> bool {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-+:@=,".contains(c))
    };
    let below = path.strip_prefix("/dev/");
    path.len() <= 255 && below.is_some_and(|rest| rest.split('/').all(part))
}

/// ZFS reserves the words that combine devices, and what begins with them.
fn is_zpool_name(name: &str) -> bool {
    let reserved = ["mirror", "raidz", "draid", "spare"];
    is_dataset(name)
        && !name.contains('/')
        && name != "log"
        && !reserved.iter().any(|word| name.starts_with(word))
}

fn is_lvm_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    !name.is_empty()
        && name.len() <= 127
        && name.chars().all(inner)
        && !name.starts_with('-')
        && name != "."
        && name != ".."
}

fn is_dataset(name: &str) -> bool {
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['-', '.'])
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c))
    };
    name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.split('/').all(component)
}

fn is_directory(path: &str) -> bool {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-+@".contains(c))
    };
    path.len() <= 1024
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.trim_end_matches('/').split('/').all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(kind: ProviderKind, name: &str) -> PoolSpec {
        PoolSpec {
            name: "pool".parse().unwrap(),
            uuid: uuid::Uuid::nil(),
            kind,
            props: Props::from([(POOL_NAME_KEY.to_owned(), name.to_owned())]),
            turns: None,
        }
    }

    /// A name that cannot be one of the pool's kind is refused.
    #[test]
    fn hostile_pools_are_refused() {
        use ProviderKind::{File, Lvm, LvmThin, Zfs};
        for (kind, name) in [
            (Lvm, "-vg"),
            (Lvm, "vg/x"),
            (Lvm, ""),
            (LvmThin, "vg"),
            (LvmThin, "vg/a/b"),
            (Zfs, "tank/../x"),
            (Zfs, "-tank"),
            (Zfs, "tank@snap"),
            (File, "relative"),
            (File, "/"),
            (File, "/srv/../etc"),
            (File, "/srv/a b"),
            (File, "/srv/$(x)"),
        ] {
            assert!(pool_place(&pool(kind, name)).is_err(), "{kind} {name:?}");
        }
        assert!(pool_place(&pool(File, "/srv/pool/")).is_ok());
        assert!(pool_place(&pool(LvmThin, "vg0/thin")).is_ok());
    }

    fn device_pool_of(kind: ProviderKind, place: &str, device: &str) -> Result<DevicePlace> {
        device_pool(&DevicePool {
            kind,
            place: place.into(),
            devices: vec![device.into()],
            raid: RaidLevel::Jbod,
            wipe: false,
            pv_arguments: Vec::new(),
            vg_arguments: Vec::new(),
            lv_arguments: Vec::new(),
            zpool_arguments: Vec::new(),
        })
    }

    /// A pool of devices has a name of its kind, and devices.
    #[test]
    fn hostile_pools_of_devices_are_refused() {
        use ProviderKind::{FileThin, Lvm, LvmThin, Spdk, Zfs};
        for (kind, place, device) in [
            (Lvm, "vg1", "sdb"),
            (Lvm, "vg1", "/dev/../etc/passwd"),
            (Lvm, "vg1", "/dev/"),
            (Lvm, "vg1", "/dev//sdb"),
            (Lvm, "vg1", "/dev/sdb;reboot"),
            (Lvm, "vg1", "--force"),
            (Lvm, "vg1/x", "/dev/sdb"),
            (Lvm, "-y", "/dev/sdb"),
            (LvmThin, "thin", "/dev/sdb"),
            (Zfs, "mirror1", "/dev/sdb"),
            (Zfs, "tank/x", "/dev/sdb"),
            (Zfs, "log", "/dev/sdb"),
            (Spdk, "x1", "/dev/sdb"),
            (FileThin, "x1", "/dev/sdb"),
        ] {
            let checked = device_pool_of(kind, place, device);
            assert!(checked.is_err(), "{kind} {place} {device}");
        }
        for (kind, place, device) in [
            (Lvm, "vg1", "/dev/sdb"),
            (LvmThin, "vg1/thin", "/dev/disk/by-id/wwn-0x5000:1"),
            (Zfs, "tank", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1"),
        ] {
            let checked = device_pool_of(kind, place, device);
            assert!(checked.is_ok(), "{kind} {place} {device}");
        }
    }

    /// Nothing can leave its statement in a `.res` file.
    #[test]
    fn hostile_options_are_refused() {
        for value in ["a;b", "a\nb", "a\"b", "a}b", "{", "", "a#b", "a\\b"] {
            let props = Props::from([("ping-int".to_owned(), value.to_owned())]);
            assert!(options(&props, "x").is_err(), "{value:?}");
        }
        for key in ["Ping", "ping int", "", "a;b", "-x"] {
            let props = Props::from([(key.to_owned(), "1".to_owned())]);
            assert!(options(&props, "x").is_err(), "{key:?}");
        }
        let line = "/usr/lib/drbd/notify.sh root; echo '{}' | logger";
        let props = Props::from([("split-brain".to_owned(), line.to_owned())]);
        assert!(handlers(&props, "x").is_ok() && options(&props, "x").is_err());
    }
}
