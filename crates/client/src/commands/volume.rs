//! `linstor volume`: the volumes of resources.

use clap::{Args, Subcommand};
use linstor_api::drbd_state;
use linstor_api::flag;
use linstor_api::layer::VolumeLayer;
use linstor_api::reply::Reply;
use linstor_api::resource::Resource;
use linstor_api::size::format_kib;
use linstor_api::volume::{ReplicationState, Volume};

use super::list_options::{Pastable, ShowPropsLong, property_cells};
use super::resource_list::{
    broken_connections, explain_skip_disk, in_use_count, name, node, skip_disk, usage, view,
    volume_state,
};
use crate::action::{Action, Screen, read};
use crate::define::{Arg, Command as Define, Names, Verbs, list_properties, set_property, value};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::v0;

/// Subcommands of `volume`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the volumes
    #[command(visible_alias = "l")]
    List(List),
}

/// Arguments of `volume list` and `resource list-volumes`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    /// Only on these nodes
    #[arg(short = 'n', long, num_args = 1.., value_name = "NODE")]
    nodes: Vec<String>,
    /// Only in these storage pools
    #[arg(short = 's', long, num_args = 1.., value_name = "POOL")]
    storage_pools: Vec<String>,
    /// Only of these resources
    #[arg(short = 'r', long, num_args = 1.., value_name = "RESOURCE")]
    resources: Vec<String>,
    /// Accepted for compatibility; all volumes are shown in any case
    #[arg(short = 'a', long, hide = true)]
    all: bool,
    /// Do not show the replication states
    #[arg(long, visible_alias = "hrep")]
    hide_replication_states: bool,
    #[command(flatten)]
    show: ShowPropsLong,
}

const NODE: Arg = value("node", "Name of the node").of(Names::Node);
const RESOURCE: Arg = value("resource", "Name of the resource").of(Names::Resource);
const VOLUME: Arg = value("volume", "Number of the volume").number();

/// The other commands of `volume`.
pub const MORE: &[Define] = &[
    set_property(
        "PUT resource-definitions/{resource}/resources/{node}/volumes/{volume}",
        &[NODE, RESOURCE, VOLUME],
    ),
    list_properties(
        "GET view/resources",
        &[NODE.query("nodes"), RESOURCE.query("resources"), VOLUME],
        |given, answer| {
            let resources: Vec<Resource> = read(answer)?;
            let number = given.need("volume").parse().ok();
            let mut volumes = resources.into_iter().flat_map(|resource| resource.volumes);
            let found = volumes.find(|volume| volume.volume_number == number);
            Ok(found.map(|volume| volume.props))
        },
    ),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::List(args) => Ok(args.action()),
        }
    }
}

impl List {
    /// The action of the command.
    pub fn action(self) -> Action {
        let request =
            view(&self.nodes, &self.resources).query("storage_pools", &self.storage_pools);
        Action::list(request, Some(v0::resources), move |rows: Vec<_>, screen| {
            self.show(&rows, screen)
        })
    }

    fn show(&self, resources: &[Resource], screen: &mut Screen<'_>) -> Result<(), Failure> {
        let mut table = self
            .pastable
            .table(screen.style)
            .column("Resource")
            .column("Node")
            .column("StoragePool")
            .right("VolNr")
            .right("MinorNr")
            .column("DeviceName")
            .right("Allocated")
            .column("InUse")
            .colored_right("State", Color::DarkGreen);
        if !self.hide_replication_states {
            table = table.column("Repl");
        }
        table = table.properties(&self.show.show_props);
        let in_use = in_use_count(resources);
        let mut reports: Vec<Reply> = Vec::new();
        let mut skips_disk = false;
        for resource in resources {
            // An inactive resource has no devices; on an evicted node they may still exist.
            if flag::has(&resource.flags, "INACTIVE") && !flag::has(&resource.flags, "EVICTED") {
                continue;
            }
            skips_disk |= skip_disk(resource).is_some() && !resource.volumes.is_empty();
            for volume in &resource.volumes {
                let mut row = vec![
                    name(resource).into(),
                    node(resource).into(),
                    volume.storage_pool_name.as_deref().unwrap_or("").into(),
                    volume
                        .volume_number
                        .map(|n| n.to_string())
                        .unwrap_or_default()
                        .into(),
                    minor(volume).into(),
                    volume.device_path.as_deref().unwrap_or("").into(),
                    allocated(volume).into(),
                    usage(resource, &in_use),
                    state(volume, resource),
                ];
                if !self.hide_replication_states {
                    row.push(replication(volume));
                }
                row.extend(property_cells(&self.show.show_props, &volume.props));
                table.row(row);
                reports.extend(volume.reports.iter().cloned());
            }
        }
        screen.table(table)?;
        if skips_disk {
            explain_skip_disk(screen)?;
        }
        screen.reports(&reports)
    }
}

fn minor(volume: &Volume) -> String {
    let minor = volume.layer_data_list.iter().find_map(|layer| match layer {
        VolumeLayer::Drbd(drbd) => drbd.drbd_volume_definition.as_ref()?.minor_number,
        _ => None,
    });
    minor.map(|minor| minor.to_string()).unwrap_or_default()
}

fn allocated(volume: &Volume) -> String {
    match volume.allocated_size_kib {
        Some(kib) if kib > 0 => format_kib(kib as u64),
        _ => String::new(),
    }
}

fn state(volume: &Volume, resource: &Resource) -> Cell {
    if volume.reports.iter().any(Reply::is_error) {
        return Cell::colored("Error", Color::Red);
    }
    let (mut text, mut color) = if flag::has(&resource.flags, "INACTIVE") {
        ("INACTIVE".to_owned(), Some(Color::Yellow))
    } else {
        volume_state(volume, &resource.flags)
    };
    if !broken_connections(resource).is_empty() {
        color = Some(Color::Red);
    }
    if let Some(skip) = skip_disk(resource) {
        text.push_str(&skip);
        color = color.or(Some(Color::Yellow));
    }
    Cell::colored(text, color)
}

/// The Repl column: the number of peers if all are Established, otherwise one line per peer.
fn replication(volume: &Volume) -> Cell {
    use drbd_state::ReplicationState::{
        Established, PausedSyncS, PausedSyncT, SyncTarget, VerifyT,
    };
    let Some(state) = volume.state.as_ref() else {
        return "".into();
    };
    let states = &state.replication_states;
    if states.is_empty() {
        return "".into();
    }
    let parse = |state: &ReplicationState| {
        drbd_state::ReplicationState::from(state.replication_state.as_deref().unwrap_or_default())
    };
    if states.values().all(|state| parse(state) == Established) {
        return Cell::colored(format!("Established({})", states.len()), Color::Green);
    }
    let line = |(peer, state): (&String, &ReplicationState)| {
        let parsed = parse(state);
        let percent = match state.done_percentage {
            Some(percent) => format!("{percent:.2}%"),
            None => "?".to_owned(),
        };
        match parsed {
            SyncTarget | PausedSyncS | PausedSyncT | VerifyT => {
                format!("{peer}: {parsed}({percent})")
            }
            _ => format!("{peer}: {parsed}"),
        }
    };
    let lines: Vec<String> = states.iter().map(line).collect();
    Cell::colored(lines.join("\n"), Color::Yellow)
}
