//! `linstor storage-pool-definition`: properties that all storage pools of one name share.

use clap::Subcommand;
use linstor_api::storage_pool_definition::StoragePoolDefinition;

use super::list_options::{Pastable, ShowProps, property_cells};
use crate::action::{Action, Screen, read};
use crate::define::{
    Arg, Command as Define, Names, Verbs, each, list_properties, set_property, value,
};
use crate::failure::Failure;
use crate::output::table::Cell;
use crate::output::v0;
use crate::request::Request;

const PATH: &str = "storage-pool-definitions";

/// Subcommands of `storage-pool-definition`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a storage pool definition
    #[command(visible_alias = "c")]
    Create {
        /// Name of the storage pool definition
        name: String,
    },
    /// List the storage pool definitions
    #[command(visible_alias = "l")]
    List {
        #[command(flatten)]
        pastable: Pastable,
        #[command(flatten)]
        show: ShowProps,
    },
}

const NAME: Arg = value("name", "Name of the storage pool definition").of(Names::StoragePool);

/// The other commands of `storage-pool-definition`.
pub const MORE: &[Define] = &[
    each(
        "delete d",
        "Delete storage pool definitions",
        "DELETE storage-pool-definitions/{name}",
        &[NAME.many()],
        "name",
    ),
    set_property("PUT storage-pool-definitions/{name}", &[NAME]),
    list_properties("GET storage-pool-definitions", &[NAME], |given, answer| {
        let definitions: Vec<StoragePoolDefinition> = read(answer)?;
        let same = |definition: &StoragePoolDefinition| {
            let name = definition.storage_pool_name.as_deref().unwrap_or("");
            name.eq_ignore_ascii_case(given.need("name"))
        };
        Ok(definitions
            .into_iter()
            .find(same)
            .map(|definition| definition.props))
    }),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create { name } => {
                let body = StoragePoolDefinition {
                    storage_pool_name: Some(name),
                    ..StoragePoolDefinition::default()
                };
                Action::modify(Request::post(&[PATH], &body))
            }
            Command::List { pastable, show } => Ok(Action::list(
                Request::get(&[PATH]),
                Some(v0::storage_pool_definitions),
                move |rows: Vec<_>, screen| show_list(&pastable, &show, &rows, screen),
            )),
        }
    }
}

fn show_list(
    pastable: &Pastable,
    show: &ShowProps,
    definitions: &[StoragePoolDefinition],
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = pastable
        .table(screen.style)
        .column("StoragePool")
        .properties(&show.show_props)
        .group_by(&[]);
    for definition in definitions {
        let name = definition.storage_pool_name.as_deref().unwrap_or("");
        let mut row: Vec<Cell> = vec![name.into()];
        row.extend(property_cells(&show.show_props, &definition.props));
        table.row(row);
    }
    screen.table(table)
}
