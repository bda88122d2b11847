//! Resources: resource definitions deployed on nodes. Lists are in [`list`] and [`view`], one file for each verb.

pub mod activate;
pub mod create;
pub mod delete;
mod effective;
pub mod list;
pub mod make_available;
pub mod modify;
pub mod read;
pub mod toggle_disk;
mod view;

pub use activate::set_active;
pub use create::create;
pub use delete::delete;
pub use make_available::{make_available, unmake_available};
pub use modify::modify;
pub use toggle_disk::{Toggle, toggle};

use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::observed::Applied;
use linstor_model::process::{Kind, Process, Reason};
use linstor_model::{Model, Observed, Resource};
use linstor_wire::status::Outcome;
use tokio::time::Instant;

use super::request::{Context, WAIT};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long a call waits for new resources to be usable.
const WAIT_READY: Duration = Duration::from_secs(15);

pub(super) fn label(name: &ResourceName, node: &NodeName) -> String {
    format!("resource '{name}' on node '{node}'")
}

pub(super) fn context(mask: i64, name: &str, node: &str) -> Context {
    let object = format!("Node: {node}, Resource: {name}");
    Context::new(code::MASK_RSC | mask, object)
        .about("Node", node)
        .about("RscDfn", name)
}

/// The nodes that a definition has resources on.
pub(super) fn nodes_of(model: &Model, name: &ResourceName) -> Vec<NodeName> {
    let resources = model.resources_of(name);
    resources.map(|resource| resource.node.clone()).collect()
}

pub(super) fn in_use(name: &ResourceName, node: &NodeName) -> Refusal {
    Reply::new(
        code::FAIL_IN_USE,
        format!("Resource '{name}' is still in use on node '{node}'."),
    )
    .cause("Its device is open (DRBD is Primary).")
    .details("Resource is mounted/in use.")
    .correction(format!("Un-mount resource '{name}' on the node '{node}'."))
    .about("Node", node.as_str())
    .into()
}

/// Refuses when a resource of a definition is in use on any node.
pub(super) fn check_unused(tx: &Transaction<'_>, name: &ResourceName) -> Result<(), Refusal> {
    let mut nodes = tx.resources_of(name).map(|resource| &resource.node);
    match nodes.find(|node| tx.observed.in_use(name, node) == Some(true)) {
        Some(node) => Err(in_use(name, node)),
        None => Ok(()),
    }
}

/// Why work on a definition does not go on by itself now: every node that has something to do is away or failed at it.
/// None while a node may still make progress.
pub(super) fn stuck(model: &Model, observed: &Observed, name: &ResourceName) -> Option<Vec<Reply>> {
    let mut replies: Vec<Reply> = Vec::new();
    for process in model.processes_of(name) {
        for wait in process.waits(model, observed) {
            let node = &wait.node;
            let tried = match &wait.reason {
                Reason::Apply(name) => tried(model, observed, process, name, node),
                Reason::Snapshot(name, snapshot) => {
                    let part = model.snapshot(name, snapshot).and_then(|row| row.on(node));
                    let since = process.since.generation;
                    part.and_then(|part| {
                        observed.snapshot_applied((name, snapshot, node), part.uuid)
                    })
                    .filter(|applied| applied.generation >= since)
                }
                Reason::Activate(..) | Reason::State(_) => None,
            };
            let reasons = match &wait.reason {
                Reason::Apply(_) | Reason::Snapshot(..) => {
                    match tried.map(|applied| &applied.outcome) {
                        Some(Outcome::Failed { replies }) => {
                            crate::wait::of_satellite(node, replies)
                        }
                        // It has done its part and waits for others.
                        Some(Outcome::Done) => Vec::new(),
                        Some(Outcome::Waiting { .. }) | None if observed.is_online(node) => {
                            return None;
                        }
                        Some(Outcome::Waiting { .. }) | None => {
                            vec![crate::wait::not_connected(node)]
                        }
                    }
                }
                Reason::Activate(name, _) => vec![needs_activation(&process.kind, name, node)],
                // It becomes true by itself or by a user's action; other waits have the state of the nodes.
                Reason::State(_) => Vec::new(),
            };
            for reason in reasons {
                if !replies.contains(&reason) {
                    replies.push(reason);
                }
            }
        }
    }
    (!replies.is_empty()).then_some(replies)
}

/// How the node's attempt at the step of a process went, if it made one.
fn tried<'a>(
    model: &Model,
    observed: &'a Observed,
    process: &Process,
    name: &ResourceName,
    node: &NodeName,
) -> Option<&'a Applied> {
    let uuid = model.resource(name, node)?.uuid;
    observed.applied_since(name, node, uuid, process.since.generation)
}

fn needs_activation(kind: &Kind, name: &ResourceName, node: &NodeName) -> Reply {
    let what = label(name, node);
    let (message, cause) = match kind {
        Kind::Resize(_) => (
            format!("The larger size shows once {what} is activated."),
            "DRBD grows a volume only while it sees all replicas, and this one is deactivated.",
        ),
        _ => (
            format!("The disk of {what} is removed once it is activated."),
            "Only while it is up can DRBD tell whether another node has the data.",
        ),
    };
    Reply::new(code::WARN_RSC_DEACTIVATED, message)
        .cause(cause)
        .correction(format!(
            "Activate it with 'linstor resource activate {node} {name}', or delete it."
        ))
        .about("Node", node.as_str())
}

/// What nodes have made of a commit.
#[derive(Debug, Default)]
pub(super) struct AppliedBy {
    /// The nodes that have done their part, in order, as their resources name them.
    pub(super) nodes: Vec<NodeName>,
    /// Why the others have not.
    pub(super) replies: Vec<Reply>,
}

/// Waits until the nodes of a definition have followed a commit.
pub(super) async fn applied(cluster: &Cluster, name: &ResourceName, generation: u64) -> AppliedBy {
    let deadline = Instant::now() + WAIT;
    let mut applied = AppliedBy::default();
    for node in nodes_of(&cluster.model(), name) {
        let asked = std::slice::from_ref(&node);
        let mut reasons = cluster
            .wait_applied(name, asked, generation, deadline)
            .await;
        if reasons.is_empty() {
            applied.nodes.push(node);
        }
        applied.replies.append(&mut reasons);
    }
    applied
}

/// Waits until all nodes of a definition have followed a commit and the new resources can be used. Returns entries for
/// each node: what it has created, or which peers it has connected.
pub(super) async fn deployed(
    cluster: &Cluster,
    name: &ResourceName,
    nodes: &[NodeName],
    generation: u64,
) -> Vec<Reply> {
    let model = cluster.model();
    let AppliedBy {
        nodes: done,
        mut replies,
    } = applied(cluster, name, generation).await;
    let (new, peers): (Vec<_>, Vec<_>) = done.into_iter().partition(|node| nodes.contains(node));
    for node in &new {
        if let Some(row) = model.resource(name, node) {
            replies.extend(volume_entries(&model, row, code::CREATED, "created"));
        }
        let message = format!("Created resource '{name}' on '{node}'");
        replies.push(Reply::new(code::MODIFIED, message));
    }
    let names: Vec<String> = nodes.iter().map(|node| format!("'{node}'")).collect();
    for node in peers.iter().filter(|_| !names.is_empty()) {
        let message = format!(
            "Added peer(s) {} to resource '{name}' on '{node}'",
            names.join(", ")
        );
        replies.push(Reply::new(code::MODIFIED, message));
    }
    if replies.iter().any(Reply::is_error) || new.is_empty() {
        return replies;
    }
    let deadline = Instant::now() + WAIT_READY;
    replies.append(&mut cluster.wait_ready(name, &new, deadline).await);
    replies
}

/// The entries about the volumes of a resource that its node has created, changed or deleted; none of a diskless one.
pub(super) fn volume_entries(
    model: &Model,
    row: &Resource,
    ret_code: i64,
    done: &str,
) -> Vec<Reply> {
    let numbers = row.volumes.keys();
    let entries = numbers.filter_map(|number| volume_entry(model, row, *number, ret_code, done));
    entries.collect()
}

/// The entry about one volume, as [`volume_entries`].
pub(super) fn volume_entry(
    model: &Model,
    row: &Resource,
    number: u32,
    ret_code: i64,
    done: &str,
) -> Option<Reply> {
    let volume = row.volumes.get(&number).filter(|_| !row.is_diskless())?;
    let kind = model.pool(&row.node, &volume.pool)?.kind;
    let kind = kind.as_str().replace('_', " ");
    let (node, name) = (&row.node, &row.name);
    let message = format!("({node}) Volume number {number} of resource '{name}' [{kind}] {done}");
    let reply = Reply::new(code::MASK_VLM | ret_code, message);
    Some(reply.about("VlmNr", number.to_string()))
}
