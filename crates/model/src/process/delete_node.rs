//! Deleting a node: its resources and snapshots first, then its row and its storage pools.

use serde::{Deserialize, Serialize};

use super::{
    Context, Next, Object, Process, Progress, Steps, Undone, Wait, delete_resource, delete_snapshot,
};
use crate::connection;
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::observed::Observed;
use crate::storage_pool;

/// The deletion of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteNode {
    /// The node.
    pub node: NodeName,
    /// How many resources it had at first; 0 if that is not known.
    pub resources: u32,
}

/// Begins the deletion of a node and of all its resources and snapshots; does nothing if it is being deleted already.
pub fn begin(draft: &mut Draft, name: &NodeName, now_ms: u64) {
    let resources = draft.resources_on(name).map(|row| row.name.clone());
    let names: Vec<ResourceName> = resources.collect();
    if !draft.is_deleting_node(name) {
        let delete = DeleteNode {
            node: name.clone(),
            resources: u32::try_from(names.len()).unwrap_or(u32::MAX),
        };
        draft.begin_process(delete, now_ms);
    }
    for resource in names {
        delete_resource::begin(draft, &resource, name, now_ms);
    }
    delete_snapshot::begin_on_node(draft, name, now_ms);
}

impl Steps for DeleteNode {
    fn subject(&self) -> Object {
        Object::Node(self.node.clone())
    }

    fn progress(&self, model: &Model, _: &Observed) -> Progress {
        let left = model.resource_count_on(&self.node);
        Progress::of_removals("removing-resources", self.resources, left)
    }

    fn step(&self, _: &Process, now: &mut Context<'_>) -> Next {
        let left = now.draft.resource_count_on(&self.node);
        if left > 0 {
            let text = format!("{left} resources are left on it");
            return Next::Wait(vec![Wait::state(&self.node, text)]);
        }
        let snapshots = now.draft.snapshots_on(&self.node).count();
        if snapshots > 0 {
            let text = format!("{snapshots} snapshots are left on it");
            return Next::Wait(vec![Wait::state(&self.node, text)]);
        }
        let key = RowKey::Node(self.node.clone());
        if let Some(reply) = now.draft.held.refuses(&key, true) {
            return Next::Wait(vec![Wait::state(&self.node, reply.message)]);
        }
        remove_node(now.draft, &self.node);
        Next::Done
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        let replicas: Vec<_> = now.draft.resources_on(&self.node).cloned().collect();
        if self.resources == 0 || replicas.len() < self.resources as usize {
            return Err("Some of its resources have been destroyed already.".to_owned());
        }
        let definition_deleted = replicas.iter().find(|replica| {
            let definition = now.draft.definitions.get(&replica.name);
            definition.is_some_and(|row| now.draft.is_deleting_definition(row))
        });
        if let Some(replica) = definition_deleted {
            return Err(format!(
                "Resource definition '{}' is being deleted too; cancel that first.",
                replica.name
            ));
        }
        delete_resource::undo_all(now.draft, &replicas)?;
        Ok(Next::Done.into())
    }
}

/// Removes a node's row and its storage pools, and pool definitions that no node has a pool of any more.
pub fn remove_node(draft: &mut Draft, name: &NodeName) {
    let pools: Vec<StoragePoolName> = draft.pools_of(name).map(|pool| pool.name.clone()).collect();
    for pool in pools {
        storage_pool::remove(draft, name, &pool);
    }
    draft.remove(&RowKey::Node(name.clone()));
    connection::remove_node(draft, name);
}
