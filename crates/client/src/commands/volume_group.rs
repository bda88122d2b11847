//! `linstor volume-group`: templates for the volume definitions of a resource group's resource definitions.

use clap::{Args, Subcommand};
use linstor_api::volume_group::VolumeGroup;

use super::drbd_options::{self, DrbdOptions};
use super::list_options::{GroupBy, Pastable, ShowProps, property_cells};
use super::property::{self, SetProperty};
use crate::action::{Action, Screen};
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
    /// Set or remove a property
    #[command(visible_alias = "sp")]
    SetProperty {
        #[command(flatten)]
        number: Number,
        #[command(flatten)]
        property: SetProperty,
    },
    /// List the properties
    #[command(visible_alias = "lp")]
    ListProperties {
        #[command(flatten)]
        pastable: Pastable,
        #[command(flatten)]
        number: Number,
    },
    /// Set options of DRBD; --unset-<option> removes one
    #[command(visible_alias = "opt")]
    DrbdOptions {
        #[command(flatten)]
        number: Number,
        #[command(flatten)]
        options: DrbdOptions<{ drbd_options::VOLUME }>,
    },
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

impl Command {
    /// The action of the command.
    pub fn action(self) -> Result<Action, Failure> {
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
            Command::SetProperty { number, property } => {
                property.modify(number.request(Method::Put))
            }
            Command::ListProperties { pastable, number } => {
                let request = Request::get(&all_of(&number.group));
                property::list(request, &pastable, move |volumes: Vec<VolumeGroup>| {
                    let same = |volume: &VolumeGroup| volume.volume_number == Some(number.volume);
                    Ok(volumes.into_iter().find(same).map(|volume| volume.props))
                })
            }
            Command::DrbdOptions { number, options } => {
                Action::modify(number.request(Method::Put).body(&options.change()?))
            }
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
