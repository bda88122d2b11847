//! A volume group: what a resource group says about one volume of its resource definitions.

use crate::lenient::{Word, object};
use crate::properties::{Overrides, Properties};

object! {
    /// A volume group, in answers and as the body that creates one.
    pub struct VolumeGroup {
        /// Its volume number.
        pub volume_number: Option<i32>,
        /// Properties.
        pub props: Properties,
        /// Unique id.
        pub uuid: Option<String>,
        /// Flags (see [`crate::flag::volume_group`]).
        pub flags: Vec<Word>,
    }

    /// `PUT /v1/resource-groups/{group}/volume-groups/{number}`.
    pub struct VolumeGroupModify {
        /// Properties to set.
        pub override_props: Overrides,
        /// Flags to set or, with a leading `-`, to unset.
        pub flags: Vec<String>,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
    }
}
