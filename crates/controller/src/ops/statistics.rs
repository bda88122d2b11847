//! How many objects of a kind there are.

use serde::Serialize;

use crate::cluster::Cluster;

/// A number of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    count: usize,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nodes.
    Nodes,
    /// Storage pools.
    StoragePools,
    /// Resource groups.
    ResourceGroups,
    /// Resource definitions.
    ResourceDefinitions,
    /// Resources.
    Resources,
    /// Error reports.
    ErrorReports,
}

/// How many there are.
pub fn count(cluster: &Cluster, kind: Kind) -> Count {
    let model = cluster.model();
    let count = match kind {
        Kind::Nodes => model.nodes.len(),
        Kind::StoragePools => model.pools.len(),
        Kind::ResourceGroups => model.groups.len(),
        Kind::ResourceDefinitions => model.definitions.len(),
        Kind::Resources => model.resources.len(),
        Kind::ErrorReports => cluster.shared.error_reports.count(),
    };
    Count { count }
}
