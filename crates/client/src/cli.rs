//! The command line's options and its tree of commands.

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands;
use crate::failure::Failure;
use crate::plan::{OutputVersion, Plan};

/// Manage a cluster of replicated block storage.
#[derive(Debug, Parser)]
#[command(
    name = "linstor",
    infer_long_args = true,
    disable_version_flag = true,
    version = concat!(env!("CARGO_PKG_VERSION"), " (linstor-rs)"),
    override_usage = "linstor [OPTIONS] <COMMAND> ...",
    max_term_width = 110,
)]
pub struct Cli {
    /// Options that every command has.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command has. They stand before the command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Print the version of this program
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Print no colours
    #[arg(long)]
    pub no_color: bool,
    /// Draw tables with ASCII characters only
    #[arg(long)]
    pub no_utf8: bool,
    /// Exit with an error code when there are warnings
    #[arg(long)]
    pub warn_as_error: bool,
    /// Send nothing; print the curl command that would
    #[arg(long)]
    pub curl: bool,
    /// Controllers to try, separated by commas: host, host:port, https://host; those of LS_CONTROLLERS come after them
    #[arg(long, value_name = "LIST")]
    pub controllers: Option<String>,
    /// Print JSON
    #[arg(short = 'm', long)]
    pub machine_readable: bool,
    /// Format of the JSON; v1 unless LS_OUTPUT_VERSION says otherwise
    #[arg(long, value_enum, value_name = "VERSION")]
    pub output_version: Option<OutputVersion>,
    /// Tell which controller answers
    #[arg(short = 'V', long)]
    pub verbose: bool,
    /// Seconds that an answer may take
    #[arg(short = 't', long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
    /// Ignore configuration files
    #[arg(long)]
    pub disable_config: bool,
    /// User to sign in as
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Password of the user
    #[arg(short = 'P', long, requires = "user")]
    pub password: Option<String>,
    /// Send the password even over plain HTTP
    #[arg(long)]
    pub allow_insecure_auth: bool,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Nodes of the cluster
    #[command(subcommand, visible_alias = "n")]
    Node(commands::node::Command),
    /// Storage pools on nodes
    #[command(subcommand, visible_alias = "sp")]
    StoragePool(commands::storage_pool::Command),
    /// What storage pools of one name have in common
    #[command(subcommand, visible_alias = "spd")]
    StoragePoolDefinition(commands::storage_pool_definition::Command),
    /// Templates for resource definitions
    #[command(subcommand, visible_alias = "rg")]
    ResourceGroup(commands::resource_group::Command),
    /// Templates for volume definitions
    #[command(subcommand, visible_alias = "vg")]
    VolumeGroup(commands::volume_group::Command),
    /// Resource definitions: volumes without a place
    #[command(subcommand, visible_alias = "rd")]
    ResourceDefinition(commands::resource_definition::Command),
    /// Volume definitions: the volumes of a resource definition
    #[command(subcommand, visible_alias = "vd")]
    VolumeDefinition(commands::volume_definition::Command),
    /// Resources: the replicas of a resource definition on nodes
    #[command(subcommand, visible_alias = "r")]
    Resource(commands::resource::Command),
    /// Volumes of resources
    #[command(subcommand, visible_alias = "v")]
    Volume(commands::volume::Command),
    /// The controller
    #[command(subcommand, visible_alias = "c")]
    Controller(commands::controller::Command),
    /// Work in progress: what it waits for, and why
    #[command(subcommand, visible_alias = "j")]
    Jobs(commands::jobs::Command),
    /// Print the commands
    #[command(visible_aliases = ["commands", "list"])]
    ListCommands {
        /// With the commands of every noun
        #[arg(short, long)]
        tree: bool,
    },
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Read commands from standard input
    Interactive,
}

impl Command {
    /// What the command is going to do.
    pub fn plan(self) -> Result<Plan, Failure> {
        match self {
            Command::Node(command) => command.plan(),
            Command::StoragePool(command) => command.plan(),
            Command::StoragePoolDefinition(command) => command.plan(),
            Command::ResourceGroup(command) => command.plan(),
            Command::VolumeGroup(command) => command.plan(),
            Command::ResourceDefinition(command) => command.plan(),
            Command::VolumeDefinition(command) => command.plan(),
            Command::Resource(command) => command.plan(),
            Command::Volume(command) => command.plan(),
            Command::Controller(command) => command.plan(),
            Command::Jobs(command) => command.plan(),
            Command::ListCommands { tree } => Ok(Plan::Print(commands::help::list(tree))),
            Command::Completion { shell } => Ok(Plan::Print(commands::help::completion(shell))),
            Command::Interactive => Ok(Plan::Interactive),
        }
    }
}
