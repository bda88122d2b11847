//! What the placement of replicas has to respect.

use crate::lenient::object;
use crate::sorted_map::SortedMap;

object! {
    /// Rules for placement, in resource groups and in every request that places replicas.
    ///
    /// A member that is not given leaves the rule to the next filter (request, then resource group). In the rules
    /// of type `Option<Vec<_>>` an empty list is something else: it removes the rule.
    pub struct AutoSelectFilter {
        /// How many replicas with a disk there shall be.
        pub place_count: Option<i32>,
        /// How many replicas there shall be beyond those that exist.
        pub additional_place_count: Option<i32>,
        /// Only these nodes.
        pub node_name_list: Option<Vec<String>>,
        /// Only this pool; older than the list, and answered with it when there is one.
        pub storage_pool: Option<String>,
        /// Only these pools.
        pub storage_pool_list: Option<Vec<String>>,
        /// Only these pools for diskless replicas.
        pub storage_pool_diskless_list: Option<Vec<String>>,
        /// Not where these resources are.
        pub not_place_with_rsc: Option<Vec<String>>,
        /// Not where resources are whose name matches.
        pub not_place_with_rsc_regex: Option<String>,
        /// Nodes must agree in these properties (`key` or `key=value`).
        pub replicas_on_same: Option<Vec<String>>,
        /// Nodes must differ in these properties.
        pub replicas_on_different: Option<Vec<String>>,
        /// At most so many replicas per value of these properties.
        pub x_replicas_on_different_map: Option<SortedMap<String, i32>>,
        /// The layers of the resource.
        pub layer_stack: Option<Vec<String>>,
        /// Only pools of these kinds.
        pub provider_list: Option<Vec<String>>,
        /// Put a diskless replica on every other node.
        pub diskless_on_remaining: Option<bool>,
        /// The kind of diskless replicas.
        pub diskless_type: Option<String>,
        /// Count a thin pool's free space so many times.
        pub overprovision: Option<f64>,
        /// How many TCP ports each replica gets.
        pub port_count: Option<i32>,
    }
}

impl AutoSelectFilter {
    /// The pools that are allowed, wherever the request named them; `None` when any is.
    ///
    /// An empty list does not count when the single pool is given, as in LINSTOR.
    pub fn pools(&self) -> Option<Vec<String>> {
        match (&self.storage_pool_list, &self.storage_pool) {
            (Some(list), _) if !list.is_empty() => Some(list.clone()),
            (_, Some(pool)) if !pool.is_empty() => Some(vec![pool.clone()]),
            (list, _) => list.clone(),
        }
    }
}
