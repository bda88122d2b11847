//! How large a volume could be, and how much space a resource group has.

use crate::auto_select_filter::AutoSelectFilter;
use crate::lenient::object;
use crate::reply::Reply;
use crate::sorted_map::SortedMap;

object! {
    /// `GET /v1/resource-groups/{group}/query-max-volume-size`.
    pub struct MaxVolumeSizes {
        /// One entry per pool that can hold the replicas.
        pub candidates: Vec<Candidate>,
        /// The factor that thin pools are overbooked by unless they say otherwise.
        pub default_max_oversubscription_ratio: Option<f64>,
    }

    /// A set of nodes that could hold a volume.
    pub struct Candidate {
        /// The pool.
        pub storage_pool: Option<String>,
        /// The largest volume there, in KiB.
        pub max_volume_size_kib: Option<i64>,
        /// The nodes.
        pub node_names: Vec<String>,
        /// Whether the pool is thin on all of them.
        pub all_thin: Option<bool>,
    }

    /// `POST /v1/resource-groups/{group}/query-size-info`, and of all groups
    /// `POST /v1/queries/resource-groups/query-all-size-info`.
    pub struct QuerySizeInfoRequest {
        /// Placement rules that go before the group's.
        pub select_filter: Option<AutoSelectFilter>,
        /// An answer of so many seconds ago is good enough; none is when negative or not given.
        pub ignore_cache_older_than_sec: Option<i32>,
    }

    /// The answer for one group.
    pub struct QuerySizeInfoResponse {
        /// The numbers; missing when placement is not possible.
        pub space_info: Option<QuerySizeInfoSpaceInfo>,
        /// Errors and warnings of the query.
        pub reports: Vec<Reply>,
    }

    /// The answer for all groups.
    pub struct QueryAllSizeInfoResponse {
        /// By group.
        pub result: SortedMap<String, QuerySizeInfoResponse>,
        /// Errors and warnings of the query.
        pub reports: Vec<Reply>,
    }

    /// The space of a resource group.
    pub struct QuerySizeInfoSpaceInfo {
        /// The largest volume that can be spawned next, in KiB.
        pub max_vlm_size_in_kib: i64,
        /// The free space for volumes, replicas counted once, in KiB.
        pub available_size_in_kib: Option<i64>,
        /// The total space for volumes, replicas counted once, in KiB.
        pub capacity_in_kib: Option<i64>,
        /// The factor that thin pools are overbooked by unless they say otherwise.
        pub default_max_oversubscription_ratio: Option<f64>,
        /// The factor of the chosen pools.
        pub max_oversubscription_ratio: Option<f64>,
        /// The factor on the chosen pools' free space.
        pub max_free_capacity_oversubscription_ratio: Option<f64>,
        /// The factor on the chosen pools' total space.
        pub max_total_capacity_oversubscription_ratio: Option<f64>,
        /// Where the next resource would be placed.
        pub next_spawn_result: Vec<QuerySizeInfoSpawnResult>,
    }

    /// One pool of the next placement.
    pub struct QuerySizeInfoSpawnResult {
        /// The node.
        pub node_name: String,
        /// The pool.
        pub stor_pool_name: String,
        /// Its overbooking factor.
        pub stor_pool_oversubscription_ratio: Option<f64>,
        /// The factor on its free space.
        pub stor_pool_free_capacity_oversubscription_ratio: Option<f64>,
        /// The factor on its total space.
        pub stor_pool_total_capacity_oversubscription_ratio: Option<f64>,
    }
}
