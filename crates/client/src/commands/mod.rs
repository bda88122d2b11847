//! The commands: one module per kind of object, and the arguments that several of them share.

pub mod drbd_options;
pub mod help;
pub mod list_options;
pub mod property;
pub mod rows;
pub mod select;

mod advise;
mod auth_token;
mod backup;
mod clone;
mod connection;
mod controller;
mod drbd_proxy;
mod encryption;
mod error_report;
mod external_file;
mod forget;
pub mod job;
mod key_value_store;
mod migrate;
mod node;
mod node_describe;
mod physical_storage;
mod quorum;
mod remote;
mod resource;
mod resource_definition;
mod resource_group;
pub mod resource_list;
mod schedule;
mod snapshot;
mod sos_report;
mod storage_pool;
mod storage_pool_definition;
pub mod transaction;
mod volume;
mod volume_definition;
mod volume_group;

use crate::define::{Command, derived};

/// All commands.
pub const COMMANDS: &[Command] = &[
    derived::<node::Command>("node n", "Nodes of the cluster", node::MORE),
    connection::NODE_CONNECTION,
    derived::<storage_pool::Command>(
        "storage-pool sp",
        "Storage pools on nodes",
        storage_pool::MORE,
    ),
    derived::<physical_storage::Command>(
        "physical-storage ps",
        "Physical storage: block devices of nodes, and pools that are made of them",
        &[],
    ),
    derived::<storage_pool_definition::Command>(
        "storage-pool-definition spd",
        "Storage pool definitions: properties that all storage pools of one name share",
        storage_pool_definition::MORE,
    ),
    derived::<resource_group::Command>(
        "resource-group rg",
        "Resource groups: templates for resource definitions",
        resource_group::MORE,
    ),
    derived::<volume_group::Command>(
        "volume-group vg",
        "Volume groups: templates for volume definitions",
        volume_group::MORE,
    ),
    derived::<resource_definition::Command>(
        "resource-definition rd",
        "Resource definitions: name, volumes and layers of a resource on all nodes",
        resource_definition::MORE,
    ),
    derived::<volume_definition::Command>(
        "volume-definition vd",
        "Volume definitions: the volumes of a resource definition",
        volume_definition::MORE,
    ),
    derived::<resource::Command>(
        "resource r",
        "Resources: the replicas of a resource definition on nodes",
        resource::MORE,
    ),
    connection::RESOURCE_CONNECTION,
    derived::<volume::Command>("volume v", "Volumes of resources", volume::MORE),
    snapshot::SNAPSHOT_COMMANDS,
    backup::BACKUP_COMMANDS,
    remote::REMOTE_COMMANDS,
    schedule::SCHEDULE_COMMANDS,
    external_file::FILE_COMMANDS,
    key_value_store::KEY_VALUE_STORE,
    drbd_proxy::DRBD_PROXY,
    derived::<encryption::Command>(
        "encryption e",
        "Encryption: the master passphrase, which unlocks the keys of encrypted volumes",
        &[],
    ),
    derived::<controller::Command>("controller c", "The controller", controller::MORE),
    derived::<job::Command>(
        "job j jobs",
        "Jobs: operations in progress, which node each waits for, and why",
        &[],
    ),
    advise::ADVISE,
    error_report::ERROR_REPORTS,
    sos_report::SOS_REPORT,
    sos_report::SPACE_REPORTING,
    migrate::DM_MIGRATE,
    help::LIST_COMMANDS,
    help::COMPLETION,
    help::COMPLETE,
    help::ZSH_COMPLETION,
    help::MANUAL_PAGES,
    help::INTERACTIVE,
    help::EXIT,
];
