//! `linstor resource`: the replicas of resource definitions on nodes.

use clap::{Args, Subcommand};
use linstor_api::prop;
use linstor_api::resource::{
    Resource, ResourceCreate, ResourceMakeAvailable, ToggleDiskOperation, ToggleDiskRequest,
};

use super::drbd_options::{self, DrbdOptions};
use super::list_options::Pastable;
use super::property::{self, SetProperty};
use super::resource_definition::{PATH, auto_place};
use super::resource_list::{self, Involved, List};
use super::select::{self, Providers, Select};
use super::volume;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::request::{Method, Request};

/// The verbs.
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
    /// List the resources that a node's outage would touch
    #[command(visible_alias = "inv")]
    Involved(Involved),
    /// Delete resources, and their data
    #[command(
        visible_alias = "d",
        override_usage = "linstor resource delete [OPTIONS] <NODE>... <RESOURCE>"
    )]
    Delete {
        /// Kept for old scripts
        #[arg(long, hide = true)]
        r#async: bool,
        /// Do not stop adding tie breakers because one is deleted
        #[arg(long)]
        keep_tiebreaker: bool,
        /// Names of the nodes, and last the name of the resource
        #[arg(required = true, num_args = 2.., value_name = "NODE... RESOURCE")]
        names: Vec<String>,
    },
    /// Make a resource's data usable on a node
    #[command(visible_alias = "mkavail")]
    MakeAvailable {
        /// With a disk
        #[arg(long)]
        diskful: bool,
        /// Layers, top first, separated by commas
        #[arg(short = 'l', long, value_name = "LAYERS")]
        layer_list: Option<String>,
        /// TCP port of DRBD
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        drbd_tcp_port: Option<u16>,
        #[command(flatten)]
        place: Place,
    },
    /// Add a disk to a diskless resource, or take it away
    #[command(visible_alias = "td")]
    ToggleDisk(ToggleDisk),
    /// Bring a resource up that was taken down
    #[command(visible_alias = "act")]
    Activate(Place),
    /// Take a resource down and keep its data
    #[command(visible_alias = "deact")]
    Deactivate(Place),
    /// Set or remove a property
    #[command(visible_alias = "sp")]
    SetProperty {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        property: SetProperty,
    },
    /// List the properties
    #[command(visible_alias = "lp")]
    ListProperties {
        #[command(flatten)]
        pastable: Pastable,
        #[command(flatten)]
        place: Place,
    },
    /// Set options of DRBD on the connection of two nodes; --unset-<option> removes one
    #[command(visible_alias = "popt")]
    DrbdPeerOptions {
        /// Name of one node
        node_a: String,
        /// Name of the other node
        node_b: String,
        /// Name of the resource
        resource: String,
        #[command(flatten)]
        options: DrbdOptions<{ drbd_options::CONNECTION }>,
    },
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
    /// Without a disk
    #[arg(short = 'd', long)]
    diskless: bool,
    /// Without a disk, by DRBD
    #[arg(long)]
    drbd_diskless: bool,
    /// Without a disk, by NVMe over fabrics
    #[arg(long)]
    nvme_initiator: bool,
    /// Without a disk, by Elastic Block Store
    #[arg(long)]
    ebs_initiator: bool,
    /// Taken down from the beginning
    #[arg(long)]
    inactive: bool,
    /// Node id of DRBD
    #[arg(long)]
    node_id: Option<i32>,
    /// TCP port of DRBD
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    drbd_tcp_port: Option<u16>,
    /// Kept for old scripts
    #[arg(long, hide = true)]
    r#async: bool,
    /// Let the controller choose nodes for so many replicas: 2, or +1 for one more than there are
    #[arg(long, value_name = "NUMBER")]
    auto_place: Option<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: Providers,
    /// Names of the nodes, and last the name of the resource
    #[arg(required = true, value_name = "NODE... RESOURCE")]
    names: Vec<String>,
}

/// Arguments of `toggle-disk`.
#[derive(Debug, Args)]
pub struct ToggleDisk {
    /// Storage pool of the new disk
    #[arg(short = 's', long, conflicts_with_all = ["default_storage_pool", "diskless"])]
    storage_pool: Option<String>,
    /// Put the new disk where the properties say
    #[arg(long, visible_alias = "dflt", conflicts_with = "diskless")]
    default_storage_pool: bool,
    /// Take the disk away
    #[arg(short = 'd', long, conflicts_with = "migrate_from")]
    diskless: bool,
    /// Kept for old scripts
    #[arg(long, hide = true)]
    r#async: bool,
    /// Delete the resource of this node once the new disk is up to date
    #[arg(long, value_name = "NODE")]
    migrate_from: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Command {
    /// What the command is going to do.
    pub fn plan(self) -> Result<Plan, Failure> {
        match self {
            Command::Create(args) => create(*args),
            Command::List(args) => Ok(args.plan()),
            Command::ListVolumes(args) => Ok(args.plan()),
            Command::Involved(args) => Ok(args.plan()),
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
                Ok(Plan::Modify(nodes.iter().map(delete).collect()))
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
                Plan::modify(
                    place
                        .request(Method::Post, Some("make-available"))
                        .body(&body),
                )
            }
            Command::ToggleDisk(args) => toggle_disk(args),
            Command::Activate(place) => Plan::modify(place.request(Method::Post, Some("activate"))),
            Command::Deactivate(place) => {
                Plan::modify(place.request(Method::Post, Some("deactivate")))
            }
            Command::SetProperty { place, property } => {
                property.modify(place.request(Method::Put, None))
            }
            Command::ListProperties { pastable, place } => {
                let request = resource_list::view(&[&place.node], &[&place.resource]);
                property::list(request, &pastable, |resources: Vec<Resource>| {
                    Ok(resources.into_iter().next().map(|resource| resource.props))
                })
            }
            Command::DrbdPeerOptions {
                node_a,
                node_b,
                resource,
                options,
            } => {
                let path = [PATH, &resource, "resource-connections", &node_a, &node_b];
                Plan::modify(Request::put(&path, &options.change()?))
            }
        }
    }
}

fn create(args: Create) -> Result<Plan, Failure> {
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
            return Err(Failure::usage("--auto-place chooses the nodes; give none"));
        }
        let mut filter = args.select.filter(args.providers.providers.as_deref())?;
        filter.diskless_type = given().find(|flag| *flag != "INACTIVE").map(str::to_owned);
        return auto_place(name, args.auto_place.as_deref(), filter);
    }
    if nodes.is_empty() {
        return Err(Failure::usage(
            "give the nodes before the resource, or --auto-place and a number of replicas",
        ));
    }
    let layer_list = select::layers(args.select.layer_list.as_deref())?.unwrap_or_default();
    let pools = args.select.storage_pool.unwrap_or_default();
    let pool = match pools.as_slice() {
        [] => None,
        [pool] => Some(pool).filter(|pool| !pool.is_empty()),
        _ => return Err(Failure::usage("a resource has one --storage-pool")),
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
    Plan::modify(Request::post(&[PATH, name, "resources"], &body))
}

fn toggle_disk(args: ToggleDisk) -> Result<Plan, Failure> {
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
    Plan::modify(
        args.place
            .request(Method::Put, Some("toggle-disk"))
            .body(&body),
    )
}
