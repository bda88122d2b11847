//! `linstor resource-group`: templates from which resource definitions are spawned.

use clap::{Args, Subcommand};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::prop;
use linstor_api::query_size::{MaxVolumeSizes, QuerySizeInfoRequest, QuerySizeInfoResponse};
use linstor_api::resource_group::{ResourceGroup, ResourceGroupModify, ResourceGroupSpawn};
use linstor_api::secret_text::SecretText;
use linstor_api::size::format_kib;
use linstor_api::sorted_map::SortedMap;
use linstor_api::storage_pool_definition::StoragePoolDefinition;
use linstor_api::volume_group::VolumeGroup;

use super::drbd_options;
use super::list_options::{FilterByProps, GroupBy, Pastable, ShowProps, property_cells};
use super::property;
use super::select::{PlaceCount, Providers, ProvidersLong, Select};
use super::volume_definition::parse_size;
use crate::action::{Action, Screen, read};
use crate::define::{
    Arg, Command as Define, Names, Verbs, drbd, list_properties, set_property, value,
};
use crate::failure::Failure;
use crate::output::table::Cell;
use crate::request::{Method, Request};

const PATH: &str = "resource-groups";

/// Subcommands of `resource-group`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a resource group
    #[command(visible_alias = "c")]
    Create(Box<Create>),
    /// List the resource groups
    #[command(visible_alias = "l")]
    List(List),
    /// Change a resource group
    #[command(visible_alias = "m")]
    Modify(Box<Create>),
    /// Delete a resource group
    #[command(visible_alias = "d")]
    Delete {
        /// Name of the resource group
        name: String,
    },
    /// Spawn a resource definition with its volume definitions and resources
    #[command(visible_alias = "spawn")]
    SpawnResources(Box<Spawn>),
    /// Place the replicas that the group's settings require and its resource definitions lack
    #[command(visible_alias = "adj")]
    Adjust {
        /// Accepted for compatibility; has no effect
        #[arg(short = 'p', long, hide = true)]
        pastable: bool,
        /// Name of the resource group; all groups if not given
        name: Option<String>,
    },
    /// Show the maximum size of a volume that could be placed
    #[command(visible_alias = "qmvs")]
    QueryMaxVolumeSize {
        #[command(flatten)]
        pastable: Pastable,
        /// Name of the resource group
        name: String,
    },
    /// Show capacity and free space, and where the next resource would be placed
    #[command(visible_alias = "qsi")]
    QuerySizeInfo(Box<SizeInfo>),
}

/// Arguments of `create` and `modify`.
#[derive(Debug, Args)]
pub struct Create {
    /// Description of the resource group
    #[arg(short = 'd', long)]
    description: Option<String>,
    /// Number of peer slots in the DRBD metadata of new resources
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31))]
    peer_slots: Option<i32>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: Providers,
    #[command(flatten)]
    count: PlaceCount,
    /// Name of the resource group
    name: String,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only these resource groups
    #[arg(short = 'r', long, num_args = 1.., value_name = "GROUP")]
    resource_groups: Vec<String>,
    #[command(flatten)]
    filter: FilterByProps,
    #[command(flatten)]
    show: ShowProps,
}

/// Arguments of `spawn-resources`.
#[derive(Debug, Args)]
pub struct Spawn {
    /// Allow the number of sizes to differ from the number of volume groups
    #[arg(short = 'p', long)]
    partial: bool,
    /// Create the resource and volume definitions only, no resources
    #[arg(short = 'd', long)]
    definition_only: bool,
    /// LUKS passphrases of the volumes, one per size
    #[arg(long, num_args = 0.., value_name = "PASSPHRASE")]
    volume_passphrase: Option<Vec<String>>,
    /// External name, from which the name of the resource definition is generated
    #[arg(long)]
    external_name: Option<String>,
    /// Number of peer slots in the DRBD metadata of new resources
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31))]
    peer_slots: Option<i32>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: ProvidersLong,
    #[command(flatten)]
    count: PlaceCount,
    /// Name of the resource group
    group: String,
    /// Name of the new resource definition
    name: String,
    /// Sizes of the volumes, such as 10G; GiB without a unit
    sizes: Vec<String>,
}

/// Arguments of `query-size-info`.
#[derive(Debug, Args)]
pub struct SizeInfo {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    providers: ProvidersLong,
    #[command(flatten)]
    count: PlaceCount,
    /// Name of the resource group
    name: String,
}

fn filter(
    select: &Select,
    kinds: Option<&str>,
    count: &PlaceCount,
) -> Result<AutoSelectFilter, Failure> {
    Ok(AutoSelectFilter {
        place_count: count.place_count,
        ..select.filter(kinds)?
    })
}

const NAME: Arg = value("name", "Name of the resource group").of(Names::ResourceGroup);

/// The other commands of `resource-group`.
pub const MORE: &[Define] = &[
    set_property("PUT resource-groups/{name}", &[NAME]),
    list_properties(
        "GET resource-groups",
        &[NAME.query("resource_groups")],
        |_, answer| property::first(answer, |group: ResourceGroup| group.props),
    ),
    drbd(
        "drbd-options opt",
        "PUT resource-groups/{name}",
        drbd_options::RESOURCE,
        &[NAME],
    ),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create(args) => create(*args),
            Command::Modify(args) => modify(*args),
            Command::List(args) => {
                let request = Request::get(&[PATH])
                    .query("resource_groups", &args.resource_groups)
                    .query("props", &args.filter.props);
                Ok(Action::list(request, None, move |rows: Vec<_>, screen| {
                    show_list(&args, &rows, screen)
                }))
            }
            Command::Delete { name } => Action::modify(Request::delete(&[PATH, &name])),
            Command::SpawnResources(args) => spawn(*args),
            Command::Adjust { name, .. } => Action::modify(match name {
                Some(name) => Request::new(Method::Post, &[PATH, &name, "adjust"]),
                None => Request::new(Method::Post, &[PATH, "adjustall"]),
            }),
            Command::QueryMaxVolumeSize { pastable, name } => Ok(Action::list(
                Request::get(&[PATH, &name, "query-max-volume-size"]),
                None,
                move |sizes, screen| show_max_sizes(&pastable, &sizes, screen),
            )),
            Command::QuerySizeInfo(args) => {
                let body = QuerySizeInfoRequest {
                    select_filter: Some(filter(
                        &args.select,
                        args.providers.providers.as_deref(),
                        &args.count,
                    )?),
                    ignore_cache_older_than_sec: None,
                };
                Ok(Action::Object {
                    request: Request::post(&[PATH, &args.name, "query-size-info"], &body),
                    show: Box::new(move |text, screen| {
                        show_size_info(&args.pastable, &read(text)?, screen)
                    }),
                })
            }
        }
    }
}

fn create(args: Create) -> Result<Action, Failure> {
    let body = ResourceGroup {
        select_filter: Some(filter(
            &args.select,
            args.providers.providers.as_deref(),
            &args.count,
        )?),
        name: args.name,
        description: args.description.unwrap_or_default(),
        peer_slots: args.peer_slots,
        ..ResourceGroup::default()
    };
    Action::modify(Request::post(&[PATH], &body))
}

fn modify(args: Create) -> Result<Action, Failure> {
    let body = ResourceGroupModify {
        select_filter: Some(filter(
            &args.select,
            args.providers.providers.as_deref(),
            &args.count,
        )?),
        description: args.description,
        peer_slots: args.peer_slots,
        ..ResourceGroupModify::default()
    };
    Action::modify(Request::put(&[PATH, &args.name], &body))
}

fn spawn(args: Spawn) -> Result<Action, Failure> {
    let sizes = args.sizes.iter().map(|size| parse_size(size));
    let volume_sizes = sizes.collect::<Result<Vec<i64>, _>>()?;
    let volume_passphrases = args.volume_passphrase.unwrap_or_default();
    if !volume_passphrases.is_empty() && volume_passphrases.len() != volume_sizes.len() {
        return Err(Failure::usage(format!(
            "--volume-passphrase has {} values for {} volumes; give one passphrase per size",
            volume_passphrases.len(),
            volume_sizes.len()
        )));
    }
    // The controller generates the name from the external name only if no name is sent.
    let name = match &args.external_name {
        Some(_) => String::new(),
        None => args.name,
    };
    let body = ResourceGroupSpawn {
        resource_definition_name: Some(name),
        resource_definition_external_name: args.external_name,
        volume_sizes,
        select_filter: Some(filter(
            &args.select,
            args.providers.providers.as_deref(),
            &args.count,
        )?),
        partial: args.partial,
        definitions_only: args.definition_only,
        peer_slots: args.peer_slots,
        volume_passphrases: volume_passphrases
            .into_iter()
            .map(SecretText::new)
            .collect(),
        ..ResourceGroupSpawn::default()
    };
    Action::modify(Request::post(&[PATH, &args.group, "spawn"], &body))
}

/// The auto-place settings of a group, one per line; lists are written as in LINSTOR's table.
fn filter_text(filter: &AutoSelectFilter) -> String {
    let list = |items: &Option<Vec<String>>| {
        let items = items.as_ref().filter(|items| !items.is_empty())?;
        let quoted: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
        Some(format!("[{}]", quoted.join(", ")))
    };
    let map = |map: &Option<SortedMap<String, i32>>| {
        let map = map.as_ref().filter(|map| !map.is_empty())?;
        let pairs: Vec<String> = map.iter().map(|(key, n)| format!("'{key}': {n}")).collect();
        Some(format!("{{{}}}", pairs.join(", ")))
    };
    let boolean = |on: bool| if on { "True" } else { "False" }.to_owned();
    let count = filter.place_count.filter(|count| *count != 0);
    let pools = filter.pools().filter(|pools| !pools.is_empty());
    let regex = filter
        .not_place_with_rsc_regex
        .clone()
        .filter(|regex| !regex.is_empty());
    let lines = [
        ("PlaceCount", count.map(|count| count.to_string())),
        ("StoragePool(s)", pools.map(|pools| pools.join(", "))),
        (
            "DisklessOnRemaining",
            filter.diskless_on_remaining.map(boolean),
        ),
        ("NotPlaceWithRsc", list(&filter.not_place_with_rsc)),
        ("NotPlaceWithRscRegex", regex),
        ("ReplicasOnSame", list(&filter.replicas_on_same)),
        ("ReplicasOnDifferent", list(&filter.replicas_on_different)),
        (
            "XReplicasOnDifferent",
            map(&filter.x_replicas_on_different_map),
        ),
        ("LayerStack", list(&filter.layer_stack)),
        ("ProviderList", list(&filter.provider_list)),
    ];
    let lines = lines
        .into_iter()
        .filter_map(|(title, text)| Some(format!("{title}: {}", text?)));
    lines.collect::<Vec<_>>().join("\n")
}

fn show_list(
    args: &List,
    groups: &[ResourceGroup],
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("ResourceGroup")
        .column("SelectFilter")
        .column("VlmNrs")
        .column("Description")
        .properties(&args.show.show_props)
        .group_by(&args.group_by.groupby);
    for group in groups {
        let volumes: Vec<VolumeGroup> =
            screen.query(&Request::get(&[PATH, &group.name, "volume-groups"]))?;
        let numbers: Vec<String> = volumes
            .iter()
            .filter_map(|volume| volume.volume_number)
            .map(|number| number.to_string())
            .collect();
        let mut row: Vec<Cell> = vec![
            group.name.as_str().into(),
            group
                .select_filter
                .as_ref()
                .map(filter_text)
                .unwrap_or_default()
                .into(),
            numbers.join(",").into(),
            group.description.as_str().into(),
        ];
        row.extend(property_cells(&args.show.show_props, &group.props));
        table.row(row);
    }
    screen.table(table)
}

/// The list of nodes is cut to this many characters.
const NODES_MAX: usize = 40;

/// The table of `resource-group` and `controller query-max-volume-size`.
pub fn show_max_sizes(
    pastable: &Pastable,
    sizes: &MaxVolumeSizes,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = pastable
        .table(screen.style)
        .column("StoragePool")
        .right("MaxVolumeSize")
        .column("Provisioning")
        .column("Nodes");
    let definitions: Vec<StoragePoolDefinition> =
        screen.query(&Request::get(&["storage-pool-definitions"]))?;
    for candidate in &sizes.candidates {
        let same = |d: &&StoragePoolDefinition| d.storage_pool_name == candidate.storage_pool;
        let ratio = definitions
            .iter()
            .find(same)
            .and_then(|d| {
                d.props
                    .get(prop::MAX_OVERSUBSCRIPTION_RATIO)?
                    .parse::<f64>()
                    .ok()
            })
            .or(sizes.default_max_oversubscription_ratio);
        let provisioning = match ratio {
            Some(ratio) if candidate.all_thin == Some(true) => {
                format!("Thin, oversubscription ratio {ratio:?}")
            }
            None if candidate.all_thin == Some(true) => "Thin".to_owned(),
            _ => "Thick".to_owned(),
        };
        let mut nodes = candidate.node_names.join(", ");
        if nodes.chars().count() > NODES_MAX {
            nodes = nodes
                .chars()
                .take(NODES_MAX - 3)
                .chain("...".chars())
                .collect();
        }
        let size = candidate.max_volume_size_kib.unwrap_or_default();
        table.row(vec![
            candidate.storage_pool.as_deref().unwrap_or("").into(),
            format_kib(size.max(0) as u64).into(),
            provisioning.into(),
            nodes.into(),
        ]);
    }
    screen.table(table)
}

fn show_size_info(
    pastable: &Pastable,
    info: &QuerySizeInfoResponse,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if !info.reports.is_empty() {
        return screen.replies(&info.reports);
    }
    let Some(space) = &info.space_info else {
        return Err(Failure::unexpected(
            "the controller's answer has neither sizes nor reports; check that the controller supports query-size-info",
        ));
    };
    let size = |kib: i64| format_kib(kib.max(0) as u64);
    let next: Vec<String> = space
        .next_spawn_result
        .iter()
        .map(|next| format!("{} on {}", next.stor_pool_name, next.node_name))
        .collect();
    let mut table = pastable
        .table(screen.style)
        .right("MaxVolumeSize")
        .right("AvailableSize")
        .right("Capacity")
        .column("Next Spawn Result");
    table.row(vec![
        size(space.max_vlm_size_in_kib).into(),
        size(space.available_size_in_kib.unwrap_or_default()).into(),
        size(space.capacity_in_kib.unwrap_or_default()).into(),
        if next.is_empty() {
            "-".to_owned()
        } else {
            next.join("\n")
        }
        .into(),
    ]);
    screen.table(table)
}
