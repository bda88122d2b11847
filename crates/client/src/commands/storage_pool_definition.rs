//! `linstor storage-pool-definition`: properties that all storage pools of one name share.

use clap::Subcommand;
use linstor_api::storage_pool_definition::StoragePoolDefinition;

use super::list_options::{Pastable, ShowProps, property_cells};
use super::property::{self, SetProperty};
use crate::action::{Action, Screen};
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
    /// Delete storage pool definitions
    #[command(visible_alias = "d")]
    Delete {
        /// Names of the storage pool definitions
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Set or remove a property
    #[command(visible_alias = "sp")]
    SetProperty {
        /// Name of the storage pool definition
        name: String,
        #[command(flatten)]
        property: SetProperty,
    },
    /// List the properties
    #[command(visible_alias = "lp")]
    ListProperties {
        #[command(flatten)]
        pastable: Pastable,
        /// Name of the storage pool definition
        name: String,
    },
}

impl Command {
    /// The action of the command.
    pub fn action(self) -> Result<Action, Failure> {
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
            Command::Delete { names } => {
                let requests = names.iter().map(|name| Request::delete(&[PATH, name]));
                Ok(Action::Modify(requests.collect()))
            }
            Command::SetProperty { name, property } => property.put(&[PATH, &name]),
            Command::ListProperties { pastable, name } => property::list(
                Request::get(&[PATH]),
                &pastable,
                move |definitions: Vec<StoragePoolDefinition>| {
                    let same = |definition: &StoragePoolDefinition| {
                        let given = definition.storage_pool_name.as_deref().unwrap_or("");
                        given.eq_ignore_ascii_case(&name)
                    };
                    Ok(definitions
                        .into_iter()
                        .find(same)
                        .map(|definition| definition.props))
                },
            ),
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
