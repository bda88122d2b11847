//! The commands: one module per kind of object, and the arguments that several of them share.

pub mod drbd_options;
pub mod help;
pub mod list_options;
pub mod property;
pub mod select;

pub mod controller;
pub mod encryption;
pub mod forget;
pub mod job;
pub mod node;
pub mod node_describe;
pub mod physical_storage;
pub mod quorum;
pub mod resource;
pub mod resource_definition;
pub mod resource_group;
pub mod resource_list;
pub mod storage_pool;
pub mod storage_pool_definition;
pub mod volume;
pub mod volume_definition;
pub mod volume_group;
