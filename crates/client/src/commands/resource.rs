//! `linstor resource`: resource definitions deployed on nodes.

use clap::{Args, Subcommand};
use linstor_api::prop;
use linstor_api::resource::{
    Resource, ResourceCreate, ResourceMakeAvailable, ToggleDiskOperation, ToggleDiskRequest,
};

use super::connection::PEER_OPTIONS;
use super::property;
use super::resource_definition::{PATH, auto_place};
use super::resource_list::{Involved, List};
use super::select::{self, Providers, Select};
use super::transaction::CREATE_TRANSACTIONAL;
use super::volume;
use crate::action::Action;
use crate::define::{Arg, Command as Define, Names, Verbs, list_properties, set_property, value};
use crate::failure::Failure;
use crate::request::{Method, Request};

/// Subcommands of `resource`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create resources on nodes, or let the controller choose the nodes
    #[command(
        visible_alias = "c",
        override_usage = "linstor resource create [OPTIONS] [NODE]... <RESOURCE>"
    )]
    Create(Box<Create>),
    /// List the resources
    #[command(visible_alias = "l")]
    List(List),
    /// List the volumes of resources
    #[command(visible_alias = "lv")]
    ListVolumes(volume::List),
    /// List the resources that an outage of a node would affect
    #[command(visible_alias = "inv")]
    Involved(Involved),
    /// Delete resources and their data
    #[command(
        visible_alias = "d",
        override_usage = "linstor resource delete [OPTIONS] <NODE>... <RESOURCE>"
    )]
    Delete {
        /// Accepted for compatibility; has no effect
        #[arg(long, hide = true)]
        r#async: bool,
        /// If a tie-breaker is deleted, keep automatic tie-breakers enabled
        #[arg(long)]
        keep_tiebreaker: bool,
        /// Names of the nodes, then the name of the resource
        #[arg(required = true, num_args = 2.., value_name = "NODE... RESOURCE")]
        names: Vec<String>,
    },
    /// Make a resource available on a node; does nothing if it already is
    #[command(visible_alias = "mkavail")]
    MakeAvailable {
        /// Create the resource with a disk
        #[arg(long)]
        diskful: bool,
        /// Layers, top first, separated by commas
        #[arg(short = 'l', long, value_name = "LAYERS")]
        layer_list: Option<String>,
        /// TCP port of DRBD on this node
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        drbd_tcp_port: Option<u16>,
        #[command(flatten)]
        place: Place,
    },
    /// Make a diskless resource diskful, or a diskful resource diskless
    #[command(visible_alias = "td")]
    ToggleDisk(ToggleDisk),
    /// Activate a resource that was deactivated
    #[command(visible_alias = "act")]
    Activate(Place),
    /// Deactivate a resource; its data is preserved
    #[command(visible_alias = "deact")]
    Deactivate(Place),
}

/// A resource on a node.
#[derive(Debug, Args)]
pub struct Place {
    /// Name of the node
    node: String,
    /// Name of the resource
    resource: String,
}

impl Place {
    fn request(&self, method: Method, below: Option<&str>) -> Request {
        let mut path = vec![PATH, &self.resource, "resources", &self.node];
        path.extend(below);
        Request::new(method, &path)
    }
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Create a diskless resource
    #[arg(short = 'd', long)]
    diskless: bool,
    /// Create a diskless DRBD resource
    #[arg(long)]
    drbd_diskless: bool,
    /// Create an NVMe initiator
    #[arg(long)]
    nvme_initiator: bool,
    /// Create an EBS initiator
    #[arg(long)]
    ebs_initiator: bool,
    /// Create the resource inactive
    #[arg(long)]
    inactive: bool,
    /// DRBD node ID
    #[arg(long)]
    node_id: Option<i32>,
    /// TCP port of DRBD on this node
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    drbd_tcp_port: Option<u16>,
    /// Accepted for compatibility; has no effect
    #[arg(long, hide = true)]
    r#async: bool,
    /// Number of replicas for which the controller chooses the nodes: 2, or +1 for one more than exist
    #[arg(long, value_name = "NUMBER")]
    auto_place: Option<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: Providers,
    /// Names of the nodes, then the name of the resource
    #[arg(required = true, value_name = "NODE... RESOURCE")]
    names: Vec<String>,
}

/// Arguments of `toggle-disk`.
#[derive(Debug, Args)]
pub struct ToggleDisk {
    /// Storage pool of the new disk
    #[arg(short = 's', long, conflicts_with_all = ["default_storage_pool", "diskless"])]
    storage_pool: Option<String>,
    /// Use the storage pool that the property StorPoolName names
    #[arg(long, visible_alias = "dflt", conflicts_with = "diskless")]
    default_storage_pool: bool,
    /// Make the resource diskless
    #[arg(short = 'd', long, conflicts_with = "migrate_from")]
    diskless: bool,
    /// Accepted for compatibility; has no effect
    #[arg(long, hide = true)]
    r#async: bool,
    /// Delete the resource on this node once the new disk is UpToDate
    #[arg(long, value_name = "NODE")]
    migrate_from: Option<String>,
    #[command(flatten)]
    place: Place,
}

const NODE: Arg = value("node", "Name of the node").of(Names::Node);
const RESOURCE: Arg = value("resource", "Name of the resource").of(Names::Resource);

/// The other commands of `resource`.
pub const MORE: &[Define] = &[
    set_property(
        "PUT resource-definitions/{resource}/resources/{node}",
        &[NODE, RESOURCE],
    ),
    list_properties(
        "GET view/resources",
        &[NODE.query("nodes"), RESOURCE.query("resources")],
        |_, answer| property::first(answer, |resource: Resource| resource.props),
    ),
    PEER_OPTIONS,
    CREATE_TRANSACTIONAL,
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create(args) => create(*args),
            Command::List(args) => Ok(args.action()),
            Command::ListVolumes(args) => Ok(args.action()),
            Command::Involved(args) => Ok(args.action()),
            Command::Delete {
                keep_tiebreaker,
                names,
                ..
            } => {
                let (resource, nodes) = names.split_last().expect("clap demands two names");
                let keep: &[&str] = if keep_tiebreaker { &["True"] } else { &[] };
                let delete = |node: &String| {
                    Request::delete(&[PATH, resource, "resources", node])
                        .query("keep_tiebreaker", keep)
                };
                Ok(Action::Modify(nodes.iter().map(delete).collect()))
            }
            Command::MakeAvailable {
                diskful,
                layer_list,
                drbd_tcp_port,
                place,
            } => {
                let body = ResourceMakeAvailable {
                    diskful,
                    layer_list: select::layers(layer_list.as_deref())?.unwrap_or_default(),
                    drbd_tcp_ports: drbd_tcp_port.map(i32::from).into_iter().collect(),
                    ..ResourceMakeAvailable::default()
                };
                Action::modify(
                    place
                        .request(Method::Post, Some("make-available"))
                        .body(&body),
                )
            }
            Command::ToggleDisk(args) => toggle_disk(args),
            Command::Activate(place) => {
                Action::modify(place.request(Method::Post, Some("activate")))
            }
            Command::Deactivate(place) => {
                Action::modify(place.request(Method::Post, Some("deactivate")))
            }
        }
    }
}

fn create(args: Create) -> Result<Action, Failure> {
    let (name, nodes) = args.names.split_last().expect("clap demands a name");
    let flags = [
        (args.diskless, "DISKLESS"),
        (args.drbd_diskless, "DRBD_DISKLESS"),
        (args.nvme_initiator, "NVME_INITIATOR"),
        (args.ebs_initiator, "EBS_INITIATOR"),
        (args.inactive, "INACTIVE"),
    ];
    let given = || flags.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag);
    if args.auto_place.is_some() {
        if !nodes.is_empty() {
            return Err(Failure::usage(
                "--auto-place lets the controller choose the nodes; give either nodes or --auto-place",
            ));
        }
        let mut filter = args.select.filter(args.providers.providers.as_deref())?;
        filter.diskless_type = given().find(|flag| *flag != "INACTIVE").map(str::to_owned);
        return auto_place(name, args.auto_place.as_deref(), filter);
    }
    if nodes.is_empty() {
        return Err(Failure::usage(
            "no node is given; give the nodes before the resource, or --auto-place with a number of replicas",
        ));
    }
    let layer_list = select::layers(args.select.layer_list.as_deref())?.unwrap_or_default();
    let pools = args.select.storage_pool.unwrap_or_default();
    let pool = match pools.as_slice() {
        [] => None,
        [pool] => Some(pool).filter(|pool| !pool.is_empty()),
        _ => {
            return Err(Failure::usage(
                "--storage-pool has several values; without --auto-place a resource uses one storage pool",
            ));
        }
    };
    let props = pool.map(|pool| (prop::STOR_POOL_NAME.to_owned(), pool.clone()));
    let one = |node: &String| ResourceCreate {
        resource: Resource {
            node_name: Some(node.clone()),
            props: props.clone().into_iter().collect(),
            flags: given().map(Into::into).collect(),
            ..Resource::default()
        },
        layer_list: layer_list.clone(),
        drbd_node_id: args.node_id,
        drbd_tcp_ports: args.drbd_tcp_port.map(i32::from).into_iter().collect(),
        ..ResourceCreate::default()
    };
    let body: Vec<ResourceCreate> = nodes.iter().map(one).collect();
    Action::modify(Request::post(&[PATH, name, "resources"], &body))
}

fn toggle_disk(args: ToggleDisk) -> Result<Action, Failure> {
    let operation = if args.diskless {
        ToggleDiskOperation::IntoDiskless
    } else {
        ToggleDiskOperation::IntoDiskful
    };
    let body = ToggleDiskRequest {
        operation: Some(operation.as_str().to_owned()),
        storage_pool: args.storage_pool,
        migrate_from: args.migrate_from,
        ..ToggleDiskRequest::default()
    };
    Action::modify(
        args.place
            .request(Method::Put, Some("toggle-disk"))
            .body(&body),
    )
}
