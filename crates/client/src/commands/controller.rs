//! `linstor controller`: the controller itself.

use clap::{Args, Subcommand};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::controller::ControllerVersion;

use super::drbd_options;
use super::list_options::Pastable;
use super::resource_group::show_max_sizes;
use super::select::Select;
use crate::action::{Action, read};
use crate::define::{
    Arg, Command as Define, Given, Verbs, drbd, flag, list_properties, modify, own, set_property,
    value,
};
use crate::failure::Failure;
use crate::request::{Method, Request};

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

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
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
            Command::QueryMaxVolumeSize(args) => query_max_volume_size(*args),
        }
    }
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

/// The other commands of `controller`.
pub const MORE: &[Define] = &[
    set_property("POST controller/properties", &[]),
    list_properties("GET controller/properties", &[], |_, answer| {
        Ok(Some(read(answer)?))
    }),
    drbd(
        "drbd-options opt",
        "POST controller/properties",
        drbd_options::RESOURCE,
        &[],
    ),
    own(
        "set-log-level setloglevel",
        "Set the log level",
        &[
            LEVEL,
            flag("--library --lib", "Of the libraries, not of LINSTOR itself"),
            flag("--global", "Also on all satellites"),
        ],
        |given| log_level(given, &["controller", "config"], given.has("global")),
    ),
    modify(
        "backupdb bakdb",
        "Write a backup of the database on the controller",
        "POST controller/backup/db",
        &[value("name", "Name of the backup").body("backup_name")],
    ),
    super::auth_token::AUTH,
];

/// Log level, of controller and satellites.
pub const LEVEL: Arg =
    value("level", "The level").one_of_upper(&["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]);

/// The request that sets a log level.
pub fn log_level(given: &Given, path: &[&str], global: bool) -> Result<Action, Failure> {
    let of = if given.has("library") {
        "level"
    } else {
        "level_linstor"
    };
    let key = if global {
        format!("{of}_global")
    } else {
        of.to_owned()
    };
    let level = given.need("level").to_uppercase();
    Action::modify(Request::put(
        path,
        &serde_json::json!({"log": {key: level}}),
    ))
}
