//! `linstor resource-definition`: name, volumes and layers of a resource on all nodes.

use clap::{Args, Subcommand};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::flag;
use linstor_api::resource::AutoPlaceRequest;
use linstor_api::resource_definition::{
    ResourceDefinition, ResourceDefinitionCreate, ResourceDefinitionLayer, ResourceDefinitionModify,
};

use super::clone::CLONE;
use super::drbd_options;
use super::list_options::{FilterByProps, GroupBy, Pastable, ShowProps, property_cells};
use super::property;
use super::quorum::Quorum;
use super::select::{self, Providers, Select};
use crate::action::{Action, Screen};
use crate::define::{
    Arg, Command as Define, Names, Verbs, drbd, each, flag, list_properties, set_property, value,
};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::v0;
use crate::request::Request;

pub const PATH: &str = "resource-definitions";

/// Subcommands of `resource-definition`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a resource definition
    #[command(visible_alias = "c")]
    Create(Create),
    /// List the resource definitions
    #[command(visible_alias = "l")]
    List(List),
    /// Change a resource definition
    #[command(visible_alias = "m")]
    Modify(Modify),
    /// Place resources automatically
    #[command(visible_alias = "ap")]
    AutoPlace(Box<AutoPlace>),
    /// Wait until all replicas are UpToDate
    #[command(visible_alias = "ws")]
    WaitSync {
        /// Seconds to wait; no limit if not given
        #[arg(long, value_name = "SECONDS")]
        wait_timeout: Option<u64>,
        /// Name of the resource definition
        name: String,
    },
    /// Show the quorum, which nodes vote in it, and why
    Quorum(Quorum),
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Preferred TCP port of DRBD; a node where it is taken uses another one
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// External name, from which the name of the resource definition is generated
    #[arg(short = 'e', long)]
    external_name: Option<String>,
    /// Layers, top first, separated by commas
    #[arg(short = 'l', long, value_name = "LAYERS")]
    layer_list: Option<String>,
    /// Number of peer slots in the DRBD metadata of new resources
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31))]
    peer_slots: Option<i32>,
    /// Resource group of the resource definition
    #[arg(long)]
    resource_group: Option<String>,
    /// Name of the resource definition
    #[arg(required_unless_present = "external_name")]
    name: Option<String>,
}

/// Arguments of `modify`.
#[derive(Debug, Args)]
pub struct Modify {
    /// Number of peer slots in the DRBD metadata of resources created later
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31))]
    peer_slots: Option<i32>,
    /// Preferred TCP port of DRBD for resources created later
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// New resource group of the resource definition
    #[arg(long)]
    resource_group: Option<String>,
    /// Name of the resource definition
    name: String,
}

/// Arguments of `auto-place`.
#[derive(Debug, Args)]
pub struct AutoPlace {
    /// Number of diskful replicas: 2, or +1 for one more than exist
    #[arg(long, value_name = "NUMBER")]
    place_count: Option<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: Providers,
    /// Place diskless DRBD resources
    #[arg(long, conflicts_with = "nvme_initiator")]
    drbd_diskless: bool,
    /// Place NVMe initiators
    #[arg(long)]
    nvme_initiator: bool,
    /// Name of the resource definition
    name: String,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only these resource definitions
    #[arg(short = 'r', long, num_args = 1.., value_name = "NAME")]
    resource_definitions: Vec<String>,
    /// Show external names
    #[arg(short = 'e', long)]
    external_name: bool,
    #[command(flatten)]
    filter: FilterByProps,
    #[command(flatten)]
    show: ShowProps,
    /// Show the preferred TCP ports of DRBD
    #[arg(long, visible_alias = "ports")]
    show_preferred_drbd_ports: bool,
}

const NAME: Arg = value("name", "Name of the resource definition").of(Names::Resource);

/// The other commands of `resource-definition`.
pub const MORE: &[Define] = &[
    each(
        "delete d",
        "Delete resource definitions and their resources",
        "DELETE resource-definitions/{name}",
        &[
            flag("--async", "Has no effect").hidden(),
            flag("--quiet -q", "Has no effect").hidden(),
            NAME.many(),
        ],
        "name",
    ),
    CLONE,
    set_property("PUT resource-definitions/{name}", &[NAME]),
    list_properties(
        "GET resource-definitions",
        &[NAME.query("resource_definitions")],
        |_, answer| property::first(answer, |definition: ResourceDefinition| definition.props),
    ),
    drbd(
        "drbd-options opt",
        "PUT resource-definitions/{name}",
        drbd_options::RESOURCE,
        &[NAME],
    ),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create(args) => create(args),
            Command::List(args) => {
                let request = Request::get(&[PATH])
                    .query("resource_definitions", &args.resource_definitions)
                    .query("props", &args.filter.props);
                Ok(Action::list(
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
                Action::modify(Request::put(&[PATH, &args.name], &body))
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
            Command::WaitSync { wait_timeout, name } => Ok(Action::WaitSync {
                request: Request::get(&[PATH, &name, "sync-status"]),
                resource: name,
                timeout_s: wait_timeout,
            }),
            Command::Quorum(args) => Ok(args.action()),
        }
    }
}

fn create(args: Create) -> Result<Action, Failure> {
    let layers = select::layers(args.layer_list.as_deref())?.unwrap_or_default();
    let layer = |kind: String| ResourceDefinitionLayer {
        r#type: Some(kind.into()),
        data: None,
    };
    let name = match args.external_name {
        // The controller generates the name from the external name only if no name is sent.
        Some(_) => String::new(),
        None => args.name.unwrap_or_default(),
    };
    let body = ResourceDefinitionCreate {
        drbd_port: args.port.map(i32::from),
        drbd_peer_slots: args.peer_slots,
        resource_definition: Some(Some(ResourceDefinition {
            name,
            external_name: args.external_name,
            layer_data: layers.into_iter().map(layer).collect(),
            resource_group_name: args.resource_group,
            ..ResourceDefinition::default()
        })),
        ..ResourceDefinitionCreate::default()
    };
    Action::modify(Request::post(&[PATH], &body))
}

/// Places resources; `resource create --auto-place` sends the same request.
pub fn auto_place(
    name: &str,
    count: Option<&str>,
    mut filter: AutoSelectFilter,
) -> Result<Action, Failure> {
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
    Action::modify(Request::post(&[PATH, name, "autoplace"], &body))
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
    let mut table = args.pastable.table(screen.style).column("ResourceName");
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
