//! A volume definition: the size of one volume of a resource definition.

use crate::layer::DrbdVolumeDefinition;
use crate::lenient::{Word, object};
use crate::properties::{Overrides, Properties};
use crate::secret_text::SecretText;

object! {
    /// A volume definition, in answers and inside the body that creates one.
    pub struct VolumeDefinition {
        /// Its number; the lowest free one when a request gives none.
        pub volume_number: Option<i32>,
        /// Its size in KiB.
        pub size_kib: i64,
        /// Properties.
        pub props: Properties,
        /// Flags (see [`crate::flag::volume_definition`]).
        pub flags: Vec<Word>,
        /// Its layers, top first.
        pub layer_data: Vec<VolumeDefinitionLayer>,
        /// Unique id.
        pub uuid: Option<String>,
    }

    /// One layer of a volume definition.
    pub struct VolumeDefinitionLayer {
        /// Which layer (see [`crate::kind::LayerKind`]).
        pub r#type: Word,
        /// What it has on this level; only DRBD has anything.
        pub data: Option<DrbdVolumeDefinition>,
    }

    /// `POST /v1/resource-definitions/{definition}/volume-definitions`.
    pub struct VolumeDefinitionCreate {
        /// The definition.
        pub volume_definition: VolumeDefinition,
        /// The minor number of its DRBD device.
        pub drbd_minor_number: Option<i32>,
        /// The passphrase of an encrypted volume.
        pub passphrase: Option<SecretText>,
    }

    /// `PUT .../volume-definitions/{number}/encryption-passphrase`.
    pub struct VolumeDefinitionPassphrase {
        /// The passphrase that its volumes are encrypted with from now on.
        pub new_passphrase: Option<SecretText>,
    }

    /// `PUT /v1/resource-definitions/{definition}/volume-definitions/{number}`.
    pub struct VolumeDefinitionModify {
        /// Its new size in KiB.
        pub size_kib: Option<i64>,
        /// Properties to set.
        pub override_props: Overrides,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
        /// Flags to set or, with a leading `-`, to unset.
        pub flags: Vec<String>,
    }
}
