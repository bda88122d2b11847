//! A resource group: the template from which resource definitions are spawned.

use crate::auto_select_filter::AutoSelectFilter;
use crate::lenient::object;
use crate::properties::{Overrides, Properties};
use crate::secret_text::SecretText;

object! {
    /// A resource group, in answers and as the body that creates one.
    pub struct ResourceGroup {
        /// Its name.
        pub name: String,
        /// Free text.
        pub description: String,
        /// Properties.
        pub props: Properties,
        /// How replicas are placed.
        pub select_filter: Option<AutoSelectFilter>,
        /// Unique id.
        pub uuid: Option<String>,
        /// How many peers a replica's metadata has room for.
        pub peer_slots: Option<i32>,
    }

    /// `PUT /v1/resource-groups/{group}`.
    pub struct ResourceGroupModify {
        /// New free text.
        pub description: Option<String>,
        /// Properties to set.
        pub override_props: Overrides,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
        /// New placement rules; a missing member changes nothing.
        pub select_filter: Option<AutoSelectFilter>,
        /// New number of peer slots.
        pub peer_slots: Option<i32>,
        /// Snapshots to copy to replicas that come into being.
        pub snap_names: Vec<String>,
        /// Copy all snapshots to replicas that come into being.
        pub copy_all_snaps: Option<bool>,
    }

    /// `POST /v1/resource-groups/{group}/spawn`.
    pub struct ResourceGroupSpawn {
        /// The name of the new resource definition.
        pub resource_definition_name: Option<String>,
        /// A name of which the resource definition's name is made.
        pub resource_definition_external_name: Option<String>,
        /// One size per volume, in KiB.
        pub volume_sizes: Vec<i64>,
        /// Placement rules that go before the group's.
        pub select_filter: Option<AutoSelectFilter>,
        /// Whether the number of sizes may differ from the number of volume groups.
        pub partial: bool,
        /// Make no resources.
        pub definitions_only: bool,
        /// How many peers a replica's metadata has room for.
        pub peer_slots: Option<i32>,
        /// One passphrase per volume.
        pub volume_passphrases: Vec<SecretText>,
        /// Properties of the new resource definition.
        pub resource_definition_props: Properties,
    }

    /// `POST /v1/resource-groups/{group}/adjust` and `/v1/resource-groups/adjustall`.
    pub struct ResourceGroupAdjust {
        /// Placement rules that go before the group's.
        pub select_filter: Option<AutoSelectFilter>,
        /// Snapshots to copy to replicas that come into being.
        pub snap_names: Vec<String>,
        /// Copy all snapshots to replicas that come into being.
        pub copy_all_snaps: Option<bool>,
    }
}
