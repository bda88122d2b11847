//! The backups that wait until others are sent. They are processes: a start of the controller changes nothing about them.

use std::collections::BTreeMap;

use linstor_api::backup::{BackupQueues, NodeQueue, SnapQueue};
use linstor_model::name::NodeName;
use linstor_model::process::ship_backup::ShipBackup;

use super::super::filter::Names;
use crate::cluster::Cluster;

/// Which of the backups that wait are listed.
#[derive(Debug, Default)]
pub struct QueueFilter {
    /// Those that wait for these nodes.
    pub nodes: Names,
    /// Those of these snapshots.
    pub snapshots: Names,
    /// Those of these resource definitions.
    pub resources: Names,
    /// Those to these remotes.
    pub remotes: Names,
    /// By snapshot, not by node.
    pub by_snapshot: bool,
}

/// The backups that wait, in the order in which they were asked for.
pub fn queue(cluster: &Cluster, filter: &QueueFilter) -> BackupQueues {
    let model = cluster.model();
    let waiting = model.shipments().filter(|(id, backup)| {
        let process = model.processes.get(id);
        process.is_some_and(|process| backup.is_queued(process, &model))
            && filter.nodes.wants(backup.node.as_str())
            && filter.snapshots.wants(backup.snapshot.as_str())
            && filter.resources.wants(backup.resource.as_str())
            && filter.remotes.wants(backup.remote.as_str())
    });
    let waiting = waiting.map(|(_, backup)| backup);
    let mut queues = BackupQueues::default();
    if filter.by_snapshot {
        let with_node = |backup: &ShipBackup| SnapQueue {
            queue: vec![NodeQueue {
                node_name: backup.node.to_string(),
                queue: Vec::new(),
            }],
            ..shown(backup)
        };
        queues.snap_queues = waiting.map(with_node).collect();
        return queues;
    }
    let mut by_node: BTreeMap<&NodeName, Vec<SnapQueue>> = BTreeMap::new();
    for backup in waiting {
        by_node.entry(&backup.node).or_default().push(shown(backup));
    }
    let nodes = by_node.into_iter().map(|(node, queue)| NodeQueue {
        node_name: node.to_string(),
        queue,
    });
    queues.node_queues = nodes.collect();
    queues
}

fn shown(backup: &ShipBackup) -> SnapQueue {
    let base = backup.base.as_ref();
    SnapQueue {
        resource_name: backup.resource.to_string(),
        snapshot_name: backup.snapshot.to_string(),
        remote_name: backup.remote.to_string(),
        incremental: base.is_some(),
        based_on: base.map(|base| base.snapshot.to_string()),
        start_timestamp: i64::try_from(backup.started_at).ok(),
        pref_node: Some(backup.node.to_string()),
        queue: Vec::new(),
    }
}
