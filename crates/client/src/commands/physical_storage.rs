//! `linstor physical-storage`: block devices of nodes, and pools that are made of them.

use clap::{Args, Subcommand, ValueEnum};
use linstor_api::kind::ProviderKind;
use linstor_api::physical_storage::{
    PhysicalStorage, PhysicalStorageCreate, PhysicalStorageDevice, PhysicalStoragePool,
};
use linstor_api::size::format_kib;

use super::list_options::Pastable;
use super::volume_definition::parse_size;
use crate::action::{Action, Screen};
use crate::define::Verbs;
use crate::failure::Failure;
use crate::output::table::Cell;
use crate::request::Request;

/// Subcommands of `physical-storage`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the block devices of which pools can be made
    #[command(visible_alias = "l")]
    List(List),
    /// Make a volume group, thin pool or zpool of block devices
    #[command(visible_alias = "cdp")]
    CreateDevicePool(Box<CreateDevicePool>),
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    /// Also the devices of which no pool can be made, with the reason
    #[arg(short, long)]
    all: bool,
    /// Also the links to the devices whose names remain
    #[arg(short, long)]
    links: bool,
}

/// What a pool is made of.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// A volume group
    #[value(alias = "LVM")]
    Lvm,
    /// A volume group with a thin pool
    #[value(aliases = ["LVMTHIN", "LVM_THIN"])]
    Lvmthin,
    /// A zpool, for volumes with a reservation
    #[value(alias = "ZFS")]
    Zfs,
    /// A zpool, for sparse volumes
    #[value(aliases = ["ZFSTHIN", "ZFS_THIN"])]
    Zfsthin,
    /// A pool of SPDK
    #[value(alias = "SPDK")]
    Spdk,
}

/// Arguments of `create-device-pool`.
#[derive(Debug, Args)]
pub struct CreateDevicePool {
    /// What the pool is
    kind: Kind,
    /// Name of the node
    node: String,
    /// Full paths of the devices
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<String>,
    /// Name of the volume group or zpool, or VG/POOL
    #[arg(long, value_name = "NAME")]
    pool_name: String,
    /// How a zpool combines its devices: JBOD, RAID1, RAID5, RAID6 or RAID10
    #[arg(long, value_name = "LEVEL")]
    raid_level: Option<String>,
    /// Create a storage pool with this name on it
    #[arg(long, value_name = "NAME")]
    storage_pool: Option<String>,
    /// Erase signatures of file systems, volume groups and partition tables on the devices
    #[arg(long)]
    wipe_signatures: bool,
    /// Deduplicate and compress with VDO
    #[arg(long)]
    vdo_enable: bool,
    /// Logical size of the VDO volume
    #[arg(long, value_name = "SIZE")]
    vdo_logical_size: Option<String>,
    /// Size of VDO's slabs
    #[arg(long, value_name = "SIZE")]
    vdo_slab_size: Option<String>,
    /// Set a random password on self-encrypting disks
    #[arg(long)]
    sed: bool,
    /// Argument of pvcreate; may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pv_create_arguments: Vec<String>,
    /// Argument of vgcreate; may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    vg_create_arguments: Vec<String>,
    /// Argument of lvcreate for the thin pool; may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    lv_create_arguments: Vec<String>,
    /// Argument of zpool create; may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    zpool_create_arguments: Vec<String>,
}

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::List(args) => {
                let request = Request::get(&["physical-storage"]);
                let request = match args.all {
                    true => request.query("all", &["true"]),
                    false => request,
                };
                Ok(Action::list(
                    request,
                    None,
                    move |rows: Vec<PhysicalStorage>, screen| show_list(&args, &rows, screen),
                ))
            }
            Command::CreateDevicePool(args) => args.action(),
        }
    }
}

impl CreateDevicePool {
    fn action(self) -> Result<Action, Failure> {
        let kind = match self.kind {
            Kind::Lvm => ProviderKind::Lvm,
            Kind::Lvmthin => ProviderKind::LvmThin,
            Kind::Zfs => ProviderKind::Zfs,
            Kind::Zfsthin => ProviderKind::ZfsThin,
            Kind::Spdk => ProviderKind::Spdk,
        };
        let body = PhysicalStorageCreate {
            provider_kind: kind.into(),
            device_paths: self.devices,
            raid_level: self.raid_level.unwrap_or_default().into(),
            pool_name: self.pool_name,
            vdo_enable: self.vdo_enable,
            vdo_slab_size_kib: kib(self.vdo_slab_size.as_deref())?,
            vdo_logical_size_kib: kib(self.vdo_logical_size.as_deref())?,
            with_storage_pool: self.storage_pool.map(|name| PhysicalStoragePool {
                name,
                ..PhysicalStoragePool::default()
            }),
            sed: self.sed,
            pv_create_arguments: self.pv_create_arguments,
            vg_create_arguments: self.vg_create_arguments,
            lv_create_arguments: self.lv_create_arguments,
            zpool_create_arguments: self.zpool_create_arguments,
            wipe_signatures: self.wipe_signatures.then_some(true),
        };
        Action::modify(Request::post(&["physical-storage", &self.node], &body))
    }
}

fn kib(size: Option<&str>) -> Result<i64, Failure> {
    size.map_or(Ok(0), parse_size)
}

fn show_list(
    args: &List,
    rows: &[PhysicalStorage],
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .right("Size")
        .column("Rotational")
        .column("Nodes");
    for group in rows {
        let nodes = group.nodes.iter().map(|(node, devices)| {
            let devices: Vec<String> = devices.iter().map(|d| device_text(args, d)).collect();
            format!("{node}[{}]", devices.join(","))
        });
        let row: Vec<Cell> = vec![
            format_kib(group.size.max(0) as u64 / 1024).into(),
            if group.rotational { "True" } else { "False" }.into(),
            nodes.collect::<Vec<_>>().join("\n").into(),
        ];
        table.row(row);
    }
    screen.table(table)
}

fn device_text(args: &List, device: &PhysicalStorageDevice) -> String {
    let facts = [&device.serial, &device.wwn];
    let facts: Vec<&str> = facts
        .into_iter()
        .map(String::as_str)
        .filter(|fact| !fact.is_empty())
        .collect();
    let mut text = device.device.clone();
    if !facts.is_empty() {
        text = format!("{text}({})", facts.join(","));
    }
    let links = device.links.iter().filter(|_| args.links);
    for link in links {
        text = format!("{text} {link}");
    }
    match &device.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}
