//! `linstor controller`: the controller itself.

use clap::{Args, Subcommand};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::controller::ControllerVersion;
use linstor_api::properties::PropertiesModify;

use super::drbd_options::{self, DrbdOptions};
use super::list_options::Pastable;
use super::property::SetProperty;
use super::resource_group::show_max_sizes;
use super::select::Select;
use crate::action::{Action, read};
use crate::failure::Failure;
use crate::request::{Method, Request};

const PROPERTIES: [&str; 2] = ["controller", "properties"];

/// Subcommands of `controller`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the controller's version
    #[command(visible_alias = "v")]
    Version,
    /// Show which controller is used
    Which,
    /// Make satellites accept this controller after its database was restored; no other controller may run
    TakeOver,
    /// Set or remove a property
    #[command(visible_alias = "sp")]
    SetProperty {
        #[command(flatten)]
        property: SetProperty,
    },
    /// List the properties
    #[command(visible_alias = "lp")]
    ListProperties {
        #[command(flatten)]
        pastable: Pastable,
    },
    /// Set options of DRBD; --unset-<option> removes one
    #[command(visible_alias = "opt")]
    DrbdOptions {
        #[command(flatten)]
        options: DrbdOptions<{ drbd_options::RESOURCE }>,
    },
    /// Show the maximum size of a volume that could be placed
    #[command(visible_alias = "qmvs")]
    QueryMaxVolumeSize(Box<QueryMaxVolumeSize>),
}

/// Arguments of `query-max-volume-size`.
#[derive(Debug, Args)]
pub struct QueryMaxVolumeSize {
    #[command(flatten)]
    pastable: Pastable,
    /// Storage pool to use
    #[arg(short = 's', long)]
    storage_pool: Option<String>,
    /// Not on nodes that have these resources
    #[arg(long, num_args = 1.., value_name = "RESOURCE")]
    do_not_place_with: Option<Vec<String>>,
    /// Not on nodes that have a resource whose name matches
    #[arg(long, value_name = "REGEX")]
    do_not_place_with_regex: Option<String>,
    /// On nodes with the same value of these auxiliary properties
    #[arg(long, num_args = 1.., value_name = "AUX_PROPERTY")]
    replicas_on_same: Option<Vec<String>>,
    /// On nodes with different values of these auxiliary properties
    #[arg(long, num_args = 1.., value_name = "AUX_PROPERTY")]
    replicas_on_different: Option<Vec<String>>,
    /// Pairs of an auxiliary property and a number: at most so many replicas on nodes with the same value
    #[arg(long, num_args = 0.., value_name = "AUX_PROPERTY NUMBER")]
    x_replicas_on_different: Option<Vec<String>>,
    /// Number of replicas
    replica_count: i32,
}

impl Command {
    /// The action of the command.
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Version => Ok(Action::Object {
                request: Request::get(&["controller", "version"]),
                show: Box::new(|text, screen| {
                    let version: ControllerVersion = read(text)?;
                    let text = |text: Option<String>| text.unwrap_or_default();
                    screen.line(&format!(
                        "linstor controller {}; GIT-hash: {}",
                        text(version.version),
                        text(version.git_hash)
                    ))
                }),
            }),
            Command::Which => Ok(Action::Which),
            Command::TakeOver => {
                let path = ["controller", "take-over"];
                Action::modify(Request::new(Method::Post, &path))
            }
            Command::SetProperty { property } => {
                property.modify(Request::new(Method::Post, &PROPERTIES))
            }
            Command::ListProperties { pastable } => Ok(Action::Properties {
                request: Request::get(&PROPERTIES),
                find: Box::new(|text| Ok(Some(read(text)?))),
                pastable: pastable.pastable,
            }),
            Command::DrbdOptions { options } => drbd_options(&options.change()?),
            Command::QueryMaxVolumeSize(args) => query_max_volume_size(*args),
        }
    }
}

fn drbd_options(change: &PropertiesModify) -> Result<Action, Failure> {
    if change.is_empty() {
        return Err(Failure::usage(
            "no DRBD option is given; give --<option> <value> or --unset-<option>",
        ));
    }
    Action::modify(Request::post(&PROPERTIES, change))
}

fn query_max_volume_size(args: QueryMaxVolumeSize) -> Result<Action, Failure> {
    let select = Select {
        do_not_place_with: args.do_not_place_with,
        do_not_place_with_regex: args.do_not_place_with_regex,
        replicas_on_same: args.replicas_on_same,
        replicas_on_different: args.replicas_on_different,
        x_replicas_on_different: args.x_replicas_on_different,
        ..Select::default()
    };
    let body = AutoSelectFilter {
        place_count: Some(args.replica_count),
        storage_pool: args.storage_pool,
        ..select.filter(None)?
    };
    let pastable = args.pastable;
    Ok(Action::list(
        Request::new(Method::Options, &["query-max-volume-size"]).body(&body),
        None,
        move |sizes, screen| show_max_sizes(&pastable, &sizes, screen),
    ))
}
