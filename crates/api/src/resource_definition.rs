//! A resource definition: a set of volumes and how they are layered, without a place.

use crate::layer::DrbdResourceDefinition;
use crate::lenient::{Word, object};
use crate::properties::{Overrides, Properties};
use crate::reply::Reply;
use crate::secret_text::SecretText;
use crate::volume_definition::VolumeDefinition;

object! {
    /// A resource definition, in answers and inside the body that creates one.
    pub struct ResourceDefinition {
        /// Its name; may be empty in a request that has an external name.
        pub name: String,
        /// A name of which the name was made.
        pub external_name: Option<String>,
        /// Properties.
        pub props: Properties,
        /// Flags (see [`crate::flag::resource_definition`]).
        pub flags: Vec<Word>,
        /// Its layers, top first.
        pub layer_data: Vec<ResourceDefinitionLayer>,
        /// Unique id.
        pub uuid: Option<String>,
        /// The resource group it belongs to.
        pub resource_group_name: Option<String>,
        /// Its volume definitions; in lists only on request.
        pub volume_definitions: Vec<VolumeDefinition>,
    }

    /// One layer of a resource definition.
    pub struct ResourceDefinitionLayer {
        /// Which layer (see [`crate::kind::LayerKind`]).
        pub r#type: Option<Word>,
        /// What it has on this level; only DRBD has anything.
        pub data: Option<DrbdResourceDefinition>,
    }

    /// `POST /v1/resource-definitions`.
    pub struct ResourceDefinitionCreate {
        /// The TCP port its resources shall use where it is free.
        pub drbd_port: Option<i32>,
        /// The secret its replicas share.
        pub drbd_secret: Option<String>,
        /// How many peers a replica's metadata has room for.
        pub drbd_peer_slots: Option<i32>,
        /// The transport of the connections, for example `IP`.
        pub drbd_transport_type: Option<String>,
        /// The definition; `null`, which is refused, is not the same as a missing one.
        pub resource_definition: Option<Option<ResourceDefinition>>,
    }

    /// `PUT /v1/resource-definitions/{definition}`.
    pub struct ResourceDefinitionModify {
        /// Properties to set.
        pub override_props: Overrides,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
        /// The TCP port that later resources shall use where it is free.
        pub drbd_port: Option<i32>,
        /// How many peers a later replica's metadata has room for.
        pub drbd_peer_slots: Option<i32>,
        /// New layers, top first.
        pub layer_stack: Vec<String>,
        /// The resource group it shall belong to.
        pub resource_group: Option<String>,
    }

    /// `POST /v1/resource-definitions/{definition}/clone`.
    pub struct ResourceDefinitionClone {
        /// Name of the clone.
        pub name: Option<String>,
        /// Name of the clone in other systems.
        pub external_name: Option<String>,
        /// Whether a ZFS clone that depends on the source is good enough.
        pub use_zfs_clone: bool,
        /// Layers of the clone, top first.
        pub layer_list: Vec<String>,
        /// Passphrases of its volumes.
        pub volume_passphrases: Vec<SecretText>,
        /// Its resource group.
        pub resource_group: Option<String>,
        /// Properties to set.
        pub override_props: Properties,
        /// Properties of the source that it does not get.
        pub delete_props: Vec<String>,
        /// Namespaces of such properties.
        pub delete_namespaces: Vec<String>,
    }

    /// The answer to a request for a clone.
    pub struct ResourceDefinitionCloneStarted {
        /// Path of the clone's status.
        pub location: String,
        /// The definition that is cloned.
        pub source_name: String,
        /// The clone.
        pub clone_name: String,
        /// What happened.
        pub messages: Vec<Reply>,
    }

    /// `GET /v1/resource-definitions/{definition}/clone/{clone}`.
    pub struct ResourceDefinitionCloneStatus {
        /// `CLONING`, `COMPLETE` or `FAILED`.
        pub status: Option<String>,
    }

    /// `GET /v1/resource-definitions/{definition}/sync-status`.
    pub struct ResourceDefinitionSyncStatus {
        /// Whether all replicas with a disk are up to date.
        pub synced_on_all: bool,
    }
}
