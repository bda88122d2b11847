//! A resource: a resource definition's presence on one node.

use crate::auto_select_filter::AutoSelectFilter;
use crate::layer::ResourceLayer;
use crate::lenient::{Word, object};
use crate::properties::{EffectiveProperty, Overrides, Properties};
use crate::sorted_map::SortedMap;
use crate::volume::Volume;

object! {
    /// A resource, in answers and inside the body that creates one.
    ///
    /// LINSTOR's type without `volumes` and `shared_name` is this one with both empty.
    pub struct Resource {
        /// The resource definition's name.
        pub name: Option<String>,
        /// The node it is on.
        pub node_name: Option<String>,
        /// Properties.
        pub props: Properties,
        /// The properties in effect and where they come from.
        pub effective_props: SortedMap<String, EffectiveProperty>,
        /// Flags (see [`crate::flag::resource`]).
        pub flags: Vec<Word>,
        /// Its layers.
        pub layer_object: Option<ResourceLayer>,
        /// What its satellite last reported of it; missing when it reported nothing.
        pub state: Option<ResourceState>,
        /// Unique id.
        pub uuid: Option<String>,
        /// When it was made, in milliseconds since 1970.
        pub create_timestamp: Option<i64>,
        /// Its volumes; only in `GET /v1/view/resources`.
        pub volumes: Vec<Volume>,
        /// The name of the space it shares with other nodes; only in answers.
        pub shared_name: Option<String>,
    }

    /// What a satellite says of a resource.
    pub struct ResourceState {
        /// Whether somebody has its device open; missing when unknown.
        pub in_use: Option<bool>,
    }

    /// One element of `POST /v1/resource-definitions/{definition}/resources` and the body of `.../resources/{node}`.
    pub struct ResourceCreate {
        /// The resource.
        pub resource: Resource,
        /// Its layers, top first.
        pub layer_list: Vec<String>,
        /// Its DRBD node id.
        pub drbd_node_id: Option<i32>,
        /// How many TCP ports it gets.
        pub drbd_tcp_port_count: Option<i32>,
        /// The TCP ports it gets.
        pub drbd_tcp_ports: Vec<i32>,
        /// Snapshots to copy to it.
        pub snap_names: Vec<String>,
        /// Copy all snapshots to it.
        pub copy_all_snaps: Option<bool>,
        /// Whether it shall have no vote in the quorum.
        pub drbd_client: Option<bool>,
    }

    /// `PUT /v1/resource-definitions/{definition}/resources/{node}`.
    pub struct ResourceModify {
        /// Properties to set.
        pub override_props: Overrides,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
        /// Make it a tie breaker, or a normal diskless resource.
        pub drbd_tiebreaker: Option<bool>,
        /// Take or give it a vote in the quorum.
        pub drbd_client: Option<bool>,
    }

    /// `POST .../resources/{node}/make-available`.
    pub struct ResourceMakeAvailable {
        /// Its layers, top first, if it has to be made.
        pub layer_list: Vec<String>,
        /// Whether it must have a disk.
        pub diskful: bool,
        /// The TCP ports it gets.
        pub drbd_tcp_ports: Vec<i32>,
        /// Snapshots to copy to it.
        pub snap_names: Vec<String>,
        /// Copy all snapshots to it.
        pub copy_all_snaps: Option<bool>,
    }

    /// `POST /v1/resource-definitions/{definition}/autoplace`.
    pub struct AutoPlaceRequest {
        /// Put a diskless replica on every other node.
        pub diskless_on_remaining: bool,
        /// Placement rules that go before the group's.
        pub select_filter: AutoSelectFilter,
        /// The layers, top first.
        pub layer_list: Option<Vec<String>>,
        /// Snapshots to copy to the new replicas.
        pub snap_names: Vec<String>,
        /// Copy all snapshots to the new replicas.
        pub copy_all_snaps: Option<bool>,
    }

    /// `PUT .../resources/{node}/toggle-disk`.
    pub struct ToggleDiskRequest {
        /// What to do (see [`ToggleDiskOperation`]).
        pub operation: Option<String>,
        /// The pool of the new disk.
        pub storage_pool: Option<String>,
        /// The node whose replica is removed once the new one is UpToDate.
        pub migrate_from: Option<String>,
        /// The layers of the new disk, top first.
        pub layer_list: Vec<String>,
    }

    /// The body of the older `PUT .../toggle-disk/diskful`.
    pub struct ToggleDiskDiskful {
        /// The layers of the new disk, top first.
        pub layer_list: Vec<String>,
    }
}

/// What a toggle-disk request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToggleDiskOperation {
    /// Add a disk.
    IntoDiskful,
    /// Remove the disk.
    IntoDiskless,
    /// Remove the disk and the vote in the quorum.
    IntoClient,
}

impl ToggleDiskOperation {
    /// The word in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            ToggleDiskOperation::IntoDiskful => "INTO_DRBD_DISKFUL",
            ToggleDiskOperation::IntoDiskless => "INTO_DRBD_DISKLESS",
            ToggleDiskOperation::IntoClient => "INTO_DRBD_CLIENT",
        }
    }

    /// The operation that a word in any case stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::IntoDiskful, Self::IntoDiskless, Self::IntoClient]
            .into_iter()
            .find(|operation| operation.as_str().eq_ignore_ascii_case(word))
    }
}
