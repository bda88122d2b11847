//! `linstor volume-group`: templates for the volume definitions of a resource group's resource definitions.

use clap::{Args, Subcommand};
use linstor_api::volume_group::VolumeGroup;

use super::drbd_options;
use super::list_options::{GroupBy, Pastable, ShowProps, property_cells};
use crate::action::{Action, Screen, read};
use crate::define::{
    Arg, Command as Define, Names, Verbs, drbd, list_properties, set_property, value,
};
use crate::failure::Failure;
use crate::output::table::Cell;
use crate::request::{Method, Request};

/// Subcommands of `volume-group`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a volume group in a resource group
    #[command(visible_alias = "c")]
    Create {
        /// Name of the resource group
        group: String,
        /// Number of the volume; the lowest free one if not given
        #[arg(short = 'n', long)]
        vlmnr: Option<i32>,
        /// Sizes include the metadata of DRBD
        #[arg(long)]
        gross: bool,
    },
    /// List the volume groups of a resource group
    #[command(visible_alias = "l")]
    List(List),
    /// Delete a volume group
    #[command(visible_alias = "d")]
    Delete(Number),
}

/// A volume group.
#[derive(Debug, Args)]
pub struct Number {
    /// Name of the resource group
    group: String,
    /// Number of the volume
    volume: i32,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    #[command(flatten)]
    show: ShowProps,
    /// Name of the resource group
    group: String,
}

fn all_of(group: &str) -> [&str; 3] {
    ["resource-groups", group, "volume-groups"]
}

const GROUP: Arg = value("group", "Name of the resource group").of(Names::ResourceGroup);
const VOLUME: Arg = value("volume", "Number of the volume").number();
const ONE: &str = "PUT resource-groups/{group}/volume-groups/{volume}";

/// The other commands of `volume-group`.
pub const MORE: &[Define] = &[
    set_property(ONE, &[GROUP, VOLUME]),
    list_properties(
        "GET resource-groups/{group}/volume-groups",
        &[GROUP, VOLUME],
        |given, answer| {
            let volumes: Vec<VolumeGroup> = read(answer)?;
            let number = given.need("volume").parse().ok();
            let found = volumes
                .into_iter()
                .find(|volume| volume.volume_number == number);
            Ok(found.map(|volume| volume.props))
        },
    ),
    drbd(
        "drbd-options opt",
        ONE,
        drbd_options::VOLUME,
        &[GROUP, VOLUME],
    ),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create {
                group,
                vlmnr,
                gross,
            } => {
                let body = VolumeGroup {
                    volume_number: vlmnr,
                    flags: gross.then_some("GROSS_SIZE".into()).into_iter().collect(),
                    ..VolumeGroup::default()
                };
                Action::modify(Request::post(&all_of(&group), &body))
            }
            Command::List(args) => Ok(Action::list(
                Request::get(&all_of(&args.group)),
                None,
                move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
            )),
            Command::Delete(number) => Action::modify(number.request(Method::Delete)),
        }
    }
}

impl Number {
    fn request(&self, method: Method) -> Request {
        let number = self.volume.to_string();
        let [groups, group, volumes] = all_of(&self.group);
        Request::new(method, &[groups, group, volumes, &number])
    }
}

fn show_list(args: &List, volumes: &[VolumeGroup], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("VolumeNr")
        .column("Flags")
        .properties(&args.show.show_props)
        .group_by(&args.group_by.groupby);
    for volume in volumes {
        let number = volume.volume_number.map(|number| number.to_string());
        let mut row: Vec<Cell> = vec![
            number.unwrap_or_default().into(),
            volume.flags.join(", ").into(),
        ];
        row.extend(property_cells(&args.show.show_props, &volume.props));
        table.row(row);
    }
    screen.table(table)
}
