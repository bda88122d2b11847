//! `linstor resource-definition`: sets of volumes and how they are layered, without a place.

use clap::{Args, Subcommand};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::flag;
use linstor_api::resource::AutoPlaceRequest;
use linstor_api::resource_definition::{
    ResourceDefinition, ResourceDefinitionCreate, ResourceDefinitionLayer, ResourceDefinitionModify,
};

use super::drbd_options::{self, DrbdOptions};
use super::list_options::{FilterByProps, GroupBy, Pastable, ShowProps, property_cells};
use super::property::{self, SetProperty};
use super::select::{self, Providers, Select};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::v0;
use crate::plan::{Plan, Screen};
use crate::request::Request;

/// The path of all definitions.
pub const PATH: &str = "resource-definitions";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a definition
    #[command(visible_alias = "c")]
    Create(Create),
    /// List the definitions
    #[command(visible_alias = "l")]
    List(List),
    /// Change a definition
    #[command(visible_alias = "m")]
    Modify(Modify),
    /// Delete definitions, with their resources
    #[command(visible_alias = "d")]
    Delete {
        /// Kept for old scripts
        #[arg(long, hide = true)]
        r#async: bool,
        /// Names of the definitions
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Place replicas of a definition on nodes
    #[command(visible_alias = "ap")]
    AutoPlace(Box<AutoPlace>),
    /// Wait until all replicas are up to date
    #[command(visible_alias = "ws")]
    WaitSync {
        /// Seconds to wait; no limit when not given
        #[arg(long, value_name = "SECONDS")]
        wait_timeout: Option<u64>,
        /// Name of the definition
        name: String,
    },
    /// Set or remove a property
    #[command(visible_alias = "sp")]
    SetProperty {
        /// Name of the definition
        name: String,
        #[command(flatten)]
        property: SetProperty,
    },
    /// List the properties
    #[command(visible_alias = "lp")]
    ListProperties {
        #[command(flatten)]
        pastable: Pastable,
        /// Name of the definition
        name: String,
    },
    /// Set options of DRBD; --unset-<option> removes one
    #[command(visible_alias = "opt")]
    DrbdOptions {
        /// Name of the definition
        name: String,
        #[command(flatten)]
        options: DrbdOptions<{ drbd_options::RESOURCE }>,
    },
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// TCP port that DRBD uses where it is free
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A name of which the definition's name is made
    #[arg(short = 'e', long)]
    external_name: Option<String>,
    /// Layers, top first, separated by commas
    #[arg(short = 'l', long, value_name = "LAYERS")]
    layer_list: Option<String>,
    /// How many peers a replica's metadata has room for
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31))]
    peer_slots: Option<i32>,
    /// The resource group it belongs to
    #[arg(long)]
    resource_group: Option<String>,
    /// Name of the definition
    #[arg(required_unless_present = "external_name")]
    name: Option<String>,
}

/// Arguments of `modify`.
#[derive(Debug, Args)]
pub struct Modify {
    /// How many peers the metadata of a later replica has room for
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31))]
    peer_slots: Option<i32>,
    /// TCP port that later resources use where it is free
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The resource group it shall belong to
    #[arg(long)]
    resource_group: Option<String>,
    /// Name of the definition
    name: String,
}

/// Arguments of `auto-place`.
#[derive(Debug, Args)]
pub struct AutoPlace {
    /// Number of replicas with a disk: 2, or +1 for one more than there are
    #[arg(long, value_name = "NUMBER")]
    place_count: Option<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: Providers,
    /// Place diskless replicas
    #[arg(long, conflicts_with = "nvme_initiator")]
    drbd_diskless: bool,
    /// Place users of NVMe over fabrics
    #[arg(long)]
    nvme_initiator: bool,
    /// Name of the definition
    name: String,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only these definitions
    #[arg(short = 'r', long, num_args = 1.., value_name = "NAME")]
    resource_definitions: Vec<String>,
    /// Show external names
    #[arg(short = 'e', long)]
    external_name: bool,
    #[command(flatten)]
    filter: FilterByProps,
    #[command(flatten)]
    show: ShowProps,
    /// Show the TCP ports that DRBD uses where they are free
    #[arg(long, visible_alias = "ports")]
    show_preferred_drbd_ports: bool,
}

impl Command {
    /// What the command is going to do.
    pub fn plan(self) -> Result<Plan, Failure> {
        match self {
            Command::Create(args) => create(args),
            Command::List(args) => {
                let request = Request::get(&[PATH])
                    .query("resource_definitions", &args.resource_definitions)
                    .query("props", &args.filter.props);
                Ok(Plan::list(
                    request,
                    Some(v0::resource_definitions),
                    move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
                ))
            }
            Command::Modify(args) => {
                let body = ResourceDefinitionModify {
                    drbd_peer_slots: args.peer_slots,
                    drbd_port: args.port.map(i32::from),
                    resource_group: args.resource_group,
                    ..ResourceDefinitionModify::default()
                };
                Plan::modify(Request::put(&[PATH, &args.name], &body))
            }
            Command::Delete { names, .. } => {
                let requests = names.iter().map(|name| Request::delete(&[PATH, name]));
                Ok(Plan::Modify(requests.collect()))
            }
            Command::AutoPlace(args) => {
                let diskless_type = match (args.drbd_diskless, args.nvme_initiator) {
                    (true, _) => Some("DRBD_DISKLESS"),
                    (_, true) => Some("NVME_INITIATOR"),
                    _ => None,
                };
                let kinds = args.providers.providers.as_deref();
                let filter = AutoSelectFilter {
                    diskless_type: diskless_type.map(str::to_owned),
                    ..args.select.filter(kinds)?
                };
                auto_place(&args.name, args.place_count.as_deref(), filter)
            }
            Command::WaitSync { wait_timeout, name } => Ok(Plan::WaitSync {
                request: Request::get(&[PATH, &name, "sync-status"]),
                timeout_s: wait_timeout,
            }),
            Command::SetProperty { name, property } => property.put(&[PATH, &name]),
            Command::ListProperties { pastable, name } => {
                let request = Request::get(&[PATH]).query("resource_definitions", &[&name]);
                property::list(
                    request,
                    &pastable,
                    |definitions: Vec<ResourceDefinition>| {
                        Ok(definitions
                            .into_iter()
                            .next()
                            .map(|definition| definition.props))
                    },
                )
            }
            Command::DrbdOptions { name, options } => {
                Plan::modify(Request::put(&[PATH, &name], &options.change()?))
            }
        }
    }
}

fn create(args: Create) -> Result<Plan, Failure> {
    let layers = select::layers(args.layer_list.as_deref())?.unwrap_or_default();
    let layer = |kind: String| ResourceDefinitionLayer {
        r#type: Some(kind.into()),
        data: None,
    };
    let name = match args.external_name {
        // The external name decides; the other one would be taken as it is.
        Some(_) => String::new(),
        None => args.name.unwrap_or_default(),
    };
    let body = ResourceDefinitionCreate {
        drbd_port: args.port.map(i32::from),
        drbd_peer_slots: args.peer_slots,
        resource_definition: ResourceDefinition {
            name,
            external_name: args.external_name,
            layer_data: layers.into_iter().map(layer).collect(),
            resource_group_name: args.resource_group,
            ..ResourceDefinition::default()
        },
        ..ResourceDefinitionCreate::default()
    };
    Plan::modify(Request::post(&[PATH], &body))
}

/// Places replicas; also what `resource create --auto-place` does.
pub fn auto_place(
    name: &str,
    count: Option<&str>,
    mut filter: AutoSelectFilter,
) -> Result<Plan, Failure> {
    select::place_count(count, &mut filter)?;
    let body = AutoPlaceRequest {
        diskless_on_remaining: filter.diskless_on_remaining == Some(true),
        layer_list: filter
            .layer_stack
            .clone()
            .filter(|layers| !layers.is_empty()),
        select_filter: filter,
        ..AutoPlaceRequest::default()
    };
    Plan::modify(Request::post(&[PATH, name, "autoplace"], &body))
}

fn state(definition: &ResourceDefinition) -> Cell {
    let has = |flag| flag::has(&definition.flags, flag);
    if has("DELETE") || has("FAILED") {
        Cell::colored("DELETE", Color::Red)
    } else if has("CLONING") || has("RESTORE_TARGET") {
        Cell::colored("CLONING", Color::Yellow)
    } else {
        Cell::colored("ok", Color::DarkGreen)
    }
}

fn show_list(
    args: &List,
    definitions: &[ResourceDefinition],
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = args.pastable.table(screen.look).column("ResourceName");
    if args.external_name {
        table = table.column("External");
    }
    if args.show_preferred_drbd_ports {
        table = table.column("Port");
    }
    table = table
        .column("ResourceGroup")
        .column("Layers")
        .column("State")
        .properties(&args.show.show_props)
        .group_by(&args.group_by.groupby);
    for definition in definitions {
        let mut row: Vec<Cell> = vec![definition.name.as_str().into()];
        if args.external_name {
            row.push(definition.external_name.as_deref().unwrap_or("").into());
        }
        if args.show_preferred_drbd_ports {
            let mut layers = definition.layer_data.iter();
            let port = layers.find_map(|layer| layer.data.as_ref()?.port);
            row.push(port.map_or("-".to_owned(), |port| port.to_string()).into());
        }
        let layers: Vec<&str> = definition
            .layer_data
            .iter()
            .filter_map(|layer| layer.r#type.as_deref())
            .collect();
        row.push(
            definition
                .resource_group_name
                .as_deref()
                .unwrap_or("")
                .into(),
        );
        row.push(layers.join(",").into());
        row.push(state(definition));
        row.extend(property_cells(&args.show.show_props, &definition.props));
        table.row(row);
    }
    screen.table(table)
}
