//! `linstor storage-pool`: the storage of nodes in which volumes are created.

use clap::{Args, Subcommand};
use linstor_api::code;
use linstor_api::kind::ProviderKind;
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_api::size::format_kib;
use linstor_api::storage_pool::StoragePool;

use super::list_options::{FilterByProps, GroupBy, Pastable, ShowPropsLong, property_cells};
use super::property;
use crate::action::{Action, Screen};
use crate::define::{Arg, Command as Define, Names, Verbs, list_properties, set_property, value};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::v0;
use crate::request::Request;

/// Subcommands of `storage-pool`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a storage pool from existing storage of a node
    #[command(subcommand, visible_alias = "c")]
    Create(Create),
    /// List the storage pools
    #[command(visible_alias = "l")]
    List(List),
    /// Delete a storage pool; its volume group, zpool or directory is not deleted
    #[command(
        visible_alias = "d",
        override_usage = "linstor storage-pool delete [OPTIONS] <NODE>... <POOL>"
    )]
    Delete {
        /// Accepted for compatibility; has no effect
        #[arg(short = 'q', long, hide = true)]
        quiet: bool,
        /// Names of the nodes, then the name of the storage pool
        #[arg(required = true, num_args = 2.., value_name = "NODE... POOL")]
        names: Vec<String>,
    },
}

/// Subcommands of `storage-pool create`, one per storage provider.
#[derive(Debug, Subcommand)]
pub enum Create {
    /// Logical volumes of an LVM volume group
    Lvm(Backed),
    /// Thin logical volumes of an LVM thin pool, given as VG/POOL
    Lvmthin(Backed),
    /// ZFS volumes with a reservation, in a zpool or dataset
    Zfs(Backed),
    /// Sparse ZFS volumes, in a zpool or dataset
    Zfsthin(Backed),
    /// Fully allocated files in a directory, on loop devices
    File(Backed),
    /// Sparse files in a directory, on loop devices
    Filethin(Backed),
    /// Volumes of SPDK
    Spdk(Backed),
    /// Volumes of SPDK on another host
    Remotespdk(Backed),
    /// Windows storage spaces
    Storagespaces(Backed),
    /// Thin Windows storage spaces
    Storagespacesthin(Backed),
    /// No storage: for diskless resources
    Diskless {
        /// Name of the node
        node: String,
        /// Name of the storage pool
        pool: String,
    },
    /// Volumes of Elastic Block Store, attached to this node
    #[command(name = "ebs_initiator", visible_alias = "ebs_init")]
    EbsInitiator {
        /// Name of the node
        node: String,
        /// Name of the storage pool
        pool: String,
        /// Name of the remote
        remote: String,
    },
}

/// A storage pool with backing storage.
#[derive(Debug, Args)]
pub struct Backed {
    /// Name of the node
    node: String,
    /// Name of the storage pool
    pool: String,
    /// Backing storage: volume group, VG/POOL, zpool, dataset or directory
    backing: String,
    /// Name of the shared space, if several nodes use the same storage
    #[arg(long, value_name = "NAME")]
    shared_space: Option<String>,
    /// Changes of the shared space are serialized by an external lock manager
    #[arg(long)]
    external_locking: bool,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only storage pools of these names
    #[arg(short = 's', long, num_args = 1.., value_name = "POOL")]
    storage_pools: Vec<String>,
    /// Only storage pools on these nodes
    #[arg(short = 'n', long, num_args = 1.., value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    filter: FilterByProps,
    #[command(flatten)]
    show: ShowPropsLong,
}

impl Create {
    fn action(self) -> Result<Action, Failure> {
        let (kind, backed) = match self {
            Create::Lvm(backed) => (ProviderKind::Lvm, backed),
            Create::Lvmthin(backed) => (ProviderKind::LvmThin, backed),
            Create::Zfs(backed) => (ProviderKind::Zfs, backed),
            Create::Zfsthin(backed) => (ProviderKind::ZfsThin, backed),
            Create::File(backed) => (ProviderKind::File, backed),
            Create::Filethin(backed) => (ProviderKind::FileThin, backed),
            Create::Spdk(backed) => (ProviderKind::Spdk, backed),
            Create::Remotespdk(backed) => (ProviderKind::RemoteSpdk, backed),
            Create::Storagespaces(backed) => (ProviderKind::StorageSpaces, backed),
            Create::Storagespacesthin(backed) => (ProviderKind::StorageSpacesThin, backed),
            Create::Diskless { node, pool } => {
                return create(&node, pool, ProviderKind::Diskless, None);
            }
            Create::EbsInitiator { node, pool, remote } => {
                let property = ("StorDriver/EBS/Remote", remote);
                return create(&node, pool, ProviderKind::EbsInit, Some(property));
            }
        };
        let body = StoragePool {
            storage_pool_name: backed.pool,
            provider_kind: kind.into(),
            props: [(prop::STOR_DRIVER_STOR_POOL_NAME.to_owned(), backed.backing)].into(),
            free_space_mgr_name: backed.shared_space,
            external_locking: backed.external_locking,
            ..StoragePool::default()
        };
        Action::modify(Request::post(
            &["nodes", &backed.node, "storage-pools"],
            &body,
        ))
    }
}

fn create(
    node: &str,
    pool: String,
    kind: ProviderKind,
    property: Option<(&str, String)>,
) -> Result<Action, Failure> {
    let body = StoragePool {
        storage_pool_name: pool,
        provider_kind: kind.into(),
        props: property
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        ..StoragePool::default()
    };
    Action::modify(Request::post(&["nodes", node, "storage-pools"], &body))
}

const NODE: Arg = value("node", "Name of the node").of(Names::Node);
const POOL: Arg = value("pool", "Name of the storage pool").of(Names::StoragePool);

/// The other commands of `storage-pool`.
pub const MORE: &[Define] = &[
    set_property("PUT nodes/{node}/storage-pools/{pool}", &[NODE, POOL]),
    list_properties(
        "GET view/storage-pools",
        &[NODE.query("nodes"), POOL.query("storage_pools")],
        |_, answer| property::first(answer, |pool: StoragePool| pool.props),
    ),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create(kind) => kind.action(),
            Command::List(args) => {
                let request = Request::get(&["view", "storage-pools"])
                    .query("nodes", &args.nodes)
                    .query("storage_pools", &args.storage_pools)
                    .query("props", &args.filter.props);
                Ok(Action::list(
                    request,
                    Some(v0::storage_pools),
                    move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
                ))
            }
            Command::Delete { names, .. } => {
                let (pool, nodes) = names.split_last().expect("clap demands two names");
                let delete =
                    |node: &String| Request::delete(&["nodes", node, "storage-pools", pool]);
                Ok(Action::Modify(nodes.iter().map(delete).collect()))
            }
        }
    }
}

/// The State column of a storage pool with these reports.
fn state(reports: &[Reply]) -> Cell {
    if reports.iter().any(Reply::is_error) {
        Cell::colored("Error", Color::Red)
    } else if reports
        .iter()
        .any(|report| code::is_warning(report.ret_code))
    {
        Cell::colored("Warning", Color::Yellow)
    } else {
        Cell::colored("Ok", Color::Green)
    }
}

/// The backing storage of a pool. Older controllers have one property per provider.
fn backing(pool: &StoragePool) -> String {
    let get = |key: &str| {
        pool.props
            .get(&format!("StorDriver/{key}"))
            .map_or("", String::as_str)
    };
    if let Some(name) = pool.props.get(prop::STOR_DRIVER_STOR_POOL_NAME) {
        return name.clone();
    }
    match &*pool.provider_kind {
        "LVM" | "SPDK" => get("LvmVg").to_owned(),
        "LVM_THIN" if !get("ThinPool").is_empty() => {
            format!("{}/{}", get("LvmVg"), get("ThinPool"))
        }
        "ZFS" => get("ZPool").to_owned(),
        "ZFS_THIN" => get("ZPoolThin").to_owned(),
        _ => String::new(),
    }
}

fn show_list(args: &List, pools: &[StoragePool], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("StoragePool")
        .column("Node")
        .column("Driver")
        .column("PoolName")
        .right("FreeCapacity")
        .right("TotalCapacity")
        .column("CanSnapshots")
        .column("State")
        .column("SharedName")
        .properties(&args.show.show_props)
        .group_by(&args.group_by.groupby);
    let mut reports: Vec<Reply> = Vec::new();
    for pool in pools {
        let has_space = !matches!(&*pool.provider_kind, "DISKLESS" | "EBS_INIT" | "EBS_TARGET");
        let size = |kib: Option<i64>| match kib {
            Some(kib) if has_space => format_kib(kib.max(0) as u64),
            _ => String::new(),
        };
        let static_trait = || pool.static_traits.get(prop::TRAIT_SUPPORTS_SNAPSHOTS);
        let snapshots = pool
            .supports_snapshots
            .unwrap_or_else(|| static_trait().is_some_and(|value| prop::is_true(value)));
        let shared = pool.free_space_mgr_name.as_deref().unwrap_or("");
        let mut row: Vec<Cell> = vec![
            pool.storage_pool_name.as_str().into(),
            pool.node_name.as_deref().unwrap_or("").into(),
            pool.provider_kind.as_ref().into(),
            backing(pool).into(),
            size(pool.free_capacity).into(),
            size(pool.total_capacity).into(),
            if snapshots { "True" } else { "False" }.into(),
            state(&pool.reports),
            // The controller names a space that is not shared "node;pool". LINSTOR's table shows such names, but not
            // names with a colon.
            if shared.contains(':') { "" } else { shared }.into(),
        ];
        row.extend(property_cells(&args.show.show_props, &pool.props));
        table.row(row);
        for report in &pool.reports {
            let known = |r: &Reply| r.ret_code == report.ret_code && r.message == report.message;
            if !reports.iter().any(known) {
                reports.push(report.clone());
            }
        }
    }
    screen.table(table)?;
    screen.reports(&reports)
}
