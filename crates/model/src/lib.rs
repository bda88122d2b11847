//! The cluster as data: the desired state (rows in a [`Model`]), what nodes reported ([`observed`]), and the pure
//! functions between them: placement, numbers, sizes, properties, processes, and the projection on one node.
//!
//! Nothing here does I/O or knows a clock: time and randomness are passed in. Reading order: [`name`], [`row`],
//! [`model`], [`draft`], [`observed`], [`project`], [`process`].

pub mod auth_token;
pub mod automatic;
pub mod connection;
pub mod controller;
pub mod cron;
pub mod device_size;
pub mod draft;
pub mod epoch;
pub mod eviction;
pub mod external_file;
pub mod held;
pub mod key_value_store;
pub mod layer;
mod load;
pub mod master_key;
pub mod model;
pub mod net_interface;
pub mod node;
pub mod numbers;
pub mod observed;
mod once;
pub mod place;
pub mod process;
pub mod project;
pub mod props;
pub mod quorum;
pub mod remote;
pub mod resource;
pub mod resource_definition;
pub mod resource_group;
pub mod row;
pub mod row_version;
pub mod schedule;
pub mod select_filter;
pub mod skip_disk;
pub mod snapshot;
pub mod space;
pub mod stack;
pub mod storage_pool;
pub mod storage_pool_definition;
pub mod unknown;
pub mod volume_definition;
pub mod volume_group;
pub mod watermark;

pub use auth_token::{AuthToken, AuthTokens};
pub use connection::Connection;
pub use controller::{Controller, Settling};
pub use draft::Draft;
pub use epoch::Epoch;
pub use external_file::ExternalFile;
pub use held::{Held, HeldRow};
pub use key_value_store::KeyValueStore;
pub use linstor_api::name;
pub use master_key::MasterKey;
pub use model::Model;
pub use net_interface::NetInterface;
pub use node::{HostFacts, Node};
pub use observed::Observed;
pub use process::Process;
pub use remote::Remote;
pub use resource::{DiskKind, DrbdResource, Resource, Volume};
pub use resource_definition::{DrbdDefinition, ResourceDefinition};
pub use resource_group::ResourceGroup;
pub use row::{Props, Since};
pub use row_version::{DatabaseCopy, Migration, Migrations, NewerRows, RowVersions};
pub use schedule::Schedule;
pub use select_filter::SelectFilter;
pub use snapshot::{Snapshot, SnapshotDefinition};
pub use storage_pool::StoragePool;
pub use storage_pool_definition::StoragePoolDefinition;
pub use volume_definition::{LuksKey, LuksKeyChange, VolumeDefinition};
pub use volume_group::VolumeGroup;
