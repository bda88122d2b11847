//! The options of the command line and its tree of commands.

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;

use crate::action::{Action, OutputVersion};
use crate::commands;
use crate::failure::Failure;

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
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command has. They are given before the command.
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
    /// Print the curl command for each request instead of sending it
    #[arg(long)]
    pub curl: bool,
    /// Controllers to try, separated by commas: host, host:port, https://host; those of LS_CONTROLLERS come after them
    #[arg(long, value_name = "LIST")]
    pub controllers: Option<String>,
    /// Print JSON
    #[arg(short = 'm', long)]
    pub machine_readable: bool,
    /// Format of the JSON; without this option LS_OUTPUT_VERSION, or v1
    #[arg(long, value_enum, value_name = "VERSION")]
    pub output_version: Option<OutputVersion>,
    /// Print which controller is used
    #[arg(short = 'V', long)]
    pub verbose: bool,
    /// Seconds to wait for an answer of the controller
    #[arg(short = 't', long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
    /// Ignore configuration files
    #[arg(long)]
    pub disable_config: bool,
    /// User for HTTP basic authentication
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Password of the user
    #[arg(short = 'P', long, requires = "user")]
    pub password: Option<String>,
    /// Send the password even over plain HTTP
    #[arg(long)]
    pub allow_insecure_auth: bool,
}

/// The objects that commands work on, and the commands without an object.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Nodes of the cluster
    #[command(subcommand, visible_alias = "n")]
    Node(commands::node::Command),
    /// Storage pools on nodes
    #[command(subcommand, visible_alias = "sp")]
    StoragePool(commands::storage_pool::Command),
    /// Physical storage: block devices of nodes, and pools that are made of them
    #[command(subcommand, visible_alias = "ps")]
    PhysicalStorage(commands::physical_storage::Command),
    /// Storage pool definitions: properties that all storage pools of one name share
    #[command(subcommand, visible_alias = "spd")]
    StoragePoolDefinition(commands::storage_pool_definition::Command),
    /// Resource groups: templates for resource definitions
    #[command(subcommand, visible_alias = "rg")]
    ResourceGroup(commands::resource_group::Command),
    /// Volume groups: templates for volume definitions
    #[command(subcommand, visible_alias = "vg")]
    VolumeGroup(commands::volume_group::Command),
    /// Resource definitions: name, volumes and layers of a resource on all nodes
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
    /// Encryption: the master passphrase, which unlocks the keys of encrypted volumes
    #[command(subcommand, visible_alias = "e")]
    Encryption(commands::encryption::Command),
    /// The controller
    #[command(subcommand, visible_alias = "c")]
    Controller(commands::controller::Command),
    /// Jobs: operations in progress, which node each waits for, and why
    #[command(subcommand, visible_alias = "j", alias = "jobs")]
    Job(commands::job::Command),
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
    /// The action of the command.
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Node(command) => command.action(),
            Command::StoragePool(command) => command.action(),
            Command::PhysicalStorage(command) => command.action(),
            Command::StoragePoolDefinition(command) => command.action(),
            Command::ResourceGroup(command) => command.action(),
            Command::VolumeGroup(command) => command.action(),
            Command::ResourceDefinition(command) => command.action(),
            Command::VolumeDefinition(command) => command.action(),
            Command::Resource(command) => command.action(),
            Command::Volume(command) => command.action(),
            Command::Encryption(command) => command.action(),
            Command::Controller(command) => command.action(),
            Command::Job(command) => command.action(),
            Command::ListCommands { tree } => Ok(Action::Print(commands::help::list(tree))),
            Command::Completion { shell } => Ok(Action::Print(commands::help::completion(shell))),
            Command::Interactive => Ok(Action::Interactive),
        }
    }
}
