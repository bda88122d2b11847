//! Resources: replicas of a definition on nodes. Lists and views are in [`view`], changes of the disk in [`disk`].

pub mod disk;
pub mod list;
pub mod view;

use linstor_api::reply::Reply;
use linstor_api::resource::ResourceModify;
use linstor_api::{code, prop};
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{DiskKind, Resource, ResourcePhase, Since};
use linstor_model::{Draft, Model, Observed, phase};
use linstor_wire::status::Outcome as Attempt;
use tokio::time::Instant;
use uuid::Uuid;

use super::property::{self, Owner};
use super::reply::{Context, Refusal, deleted, marked, modified, nothing_to_delete};
use super::{Facts, names, resource_definition};
use crate::cluster::Cluster;

pub(super) fn describe(name: &ResourceName, node: &NodeName) -> String {
    format!("resource '{name}' on node '{node}'")
}

pub(super) fn context(mask: i64, name: &str, node: &str) -> Context {
    let object = format!("Node: {node}, Resource: {name}");
    Context::new(code::MASK_RSC | mask, object)
        .about("Node", node)
        .about("RscDfn", name)
}

fn in_use(name: &ResourceName, node: &NodeName) -> Refusal {
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

/// Refuses when a replica of a definition is in use anywhere.
pub(super) fn check_unused(
    model: &Model,
    observed: &Observed,
    name: &ResourceName,
) -> Result<(), Refusal> {
    let user = model
        .resources_of(name)
        .find(|replica| observed.in_use(name, &replica.node) == Some(true));
    match user {
        Some(replica) => Err(in_use(name, &replica.node)),
        None => Ok(()),
    }
}

/// Refuses when a replica cannot go: it is in use, or others without a disk live on its data.
pub(super) fn check_deletable(
    model: &Model,
    observed: &Observed,
    name: &ResourceName,
    node: &NodeName,
) -> Result<(), Refusal> {
    if observed.in_use(name, node) == Some(true) {
        return Err(in_use(name, node));
    }
    let Some(replica) = model.resource(name, node) else {
        return Ok(());
    };
    let others = || {
        let all = model.resources_of(name);
        all.filter(|other| other.node != *node && !other.phase.is_deleting())
    };
    let last = !replica.is_diskless() && others().all(|other| other.is_diskless());
    let needed_by: Vec<String> = others()
        .filter(|other| {
            other
                .drbd
                .as_ref()
                .is_some_and(|drbd| drbd.disk != DiskKind::TieBreaker)
        })
        .map(|other| other.node.to_string())
        .collect();
    if last && !needed_by.is_empty() {
        return Err(Reply::new(
            code::FAIL_IN_USE,
            format!("Last resource of '{name}' with a disk still has diskless resources attached."),
        )
        .cause("Deleting it would take the data away from them.")
        .details(format!("Diskless resources on: {}", needed_by.join(", ")))
        .correction("Delete the diskless resources first.")
        .into());
    }
    Ok(())
}

/// Begins the deletion of a replica.
pub(super) fn take_down(draft: &mut Draft, name: &ResourceName, node: &NodeName, now_ms: u64) {
    let since = draft.since(now_ms);
    draft.edit_resource(name, node, |replica| phase::take_down(replica, since));
}

/// Since when a replica has something to do, if it has.
fn busy_since(model: &Model, replica: &Resource) -> Option<Since> {
    let own = match &replica.phase {
        ResourcePhase::Present => None,
        ResourcePhase::TakingDown { since }
        | ResourcePhase::Destroying { since, .. }
        | ResourcePhase::AddingDisk { since, .. }
        | ResourcePhase::RemovingDisk { since, .. } => Some(*since),
    };
    own.or_else(|| {
        let definition = model.definitions.get(&replica.name)?;
        let volumes = definition.volumes.values();
        let busy = volumes.filter_map(|volume| {
            volume
                .deleting
                .or(volume.resize.as_ref().map(|resize| resize.since))
        });
        busy.max_by_key(|since| since.generation)
    })
}

/// Why work on a definition does not go on by itself now: every replica that has something to do is away or failed at
/// it. None while somebody may still make progress.
pub(super) fn stuck(model: &Model, observed: &Observed, name: &ResourceName) -> Option<Vec<Reply>> {
    let mut replies = Vec::new();
    let mut done = true;
    for replica in model.resources_of(name) {
        let Some(since) = busy_since(model, replica) else {
            continue;
        };
        let node = &replica.node;
        let tried = observed.applied_since(name, node, replica.uuid, since.generation);
        match tried.map(|applied| &applied.outcome) {
            Some(Attempt::Failed { replies: said }) => {
                replies.append(&mut crate::wait::said_by(node, said));
            }
            Some(Attempt::Done) if grows(model, name) && phase::holds_up_growth(replica) => {
                replies.push(holds_up_growth(name, node));
            }
            Some(Attempt::Done) if phase::waits_for_activation(replica) => {
                replies.push(waits_for_activation(name, node));
            }
            // It has done its part and waits for others.
            Some(Attempt::Done) => {}
            None if observed.is_online(node) => done = false,
            None => replies.push(crate::wait::not_connected(node)),
        }
    }
    (done && !replies.is_empty()).then_some(replies)
}

fn grows(model: &Model, name: &ResourceName) -> bool {
    let definition = model.definitions.get(name);
    definition.is_some_and(|row| row.volumes.values().any(|volume| volume.resize.is_some()))
}

fn holds_up_growth(name: &ResourceName, node: &NodeName) -> Reply {
    let what = describe(name, node);
    deactivated(
        name,
        node,
        format!("The larger size shows once {what} is activated."),
    )
    .cause("DRBD grows a volume only while it sees all replicas, and this one is deactivated.")
}

fn waits_for_activation(name: &ResourceName, node: &NodeName) -> Reply {
    let what = describe(name, node);
    deactivated(
        name,
        node,
        format!("The disk of {what} is removed once it is activated."),
    )
    .cause("Only while it is up can DRBD tell whether another node has the data.")
}

fn deactivated(name: &ResourceName, node: &NodeName, message: String) -> Reply {
    Reply::new(code::WARN_RSC_DEACTIVATED, message)
        .correction(format!(
            "Activate it with 'linstor resource activate {node} {name}', or delete it."
        ))
        .about("Node", node.as_str())
}

/// Waits until replicas are gone, or why they are not.
pub(super) async fn wait_gone(
    cluster: &Cluster,
    name: &ResourceName,
    nodes: &[NodeName],
) -> Vec<Reply> {
    let model = cluster.model();
    let identity = |node: &NodeName| Some((node.clone(), model.resource(name, node)?.uuid));
    let going: Vec<(NodeName, Uuid)> = nodes.iter().filter_map(identity).collect();
    let left = |model: &Model| {
        going.iter().any(|(node, uuid)| {
            let row = model.resource(name, node);
            row.is_some_and(|row| row.uuid == *uuid && row.phase.is_deleting())
        })
    };
    let deadline = Instant::now() + super::WAIT;
    let wait = cluster.wait_until(name, deadline, |model, observed| {
        if !left(model) {
            return Some(vec![]);
        }
        stuck(model, observed, name)
    });
    match wait.await {
        Some(why) => why,
        None => vec![super::still_working(&resource_definition::describe(name))],
    }
}

/// Deletes a replica.
pub async fn delete(
    cluster: &Cluster,
    name: String,
    node: String,
    keep_tiebreaker: bool,
) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name, &node);
    let work = async {
        let (name, node) = (names::resource(&name)?, names::node(&node)?);
        let facts = Facts::gather(cluster);
        let target = (name.clone(), node.clone());
        let committed = cluster.commit(move |draft| {
            let (name, node) = target;
            Ok(mark(draft, &facts, &name, &node, keep_tiebreaker)?)
        });
        let committed = committed.await?;
        let (mut replies, uuid, taken_over) = committed.value;
        if taken_over {
            let names = [name];
            replies.append(&mut super::wait_all(cluster, &names, committed.generation).await);
            return Ok(replies);
        }
        replies.append(&mut wait_gone(cluster, &name, std::slice::from_ref(&node)).await);
        let model = cluster.model();
        if model
            .resource(&name, &node)
            .is_none_or(|row| row.uuid != uuid)
        {
            replies.push(deleted(&describe(&name, &node), uuid));
        }
        Ok(replies)
    };
    context.run(work).await
}

fn mark(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    node: &NodeName,
    keep_tiebreaker: bool,
) -> Result<(Vec<Reply>, Uuid, bool), Refusal> {
    let Some(replica) = draft.resource(name, node).cloned() else {
        return Err(nothing_to_delete(
            draft,
            &RowKey::Resource(name.clone(), node.clone()),
            &describe(name, node),
        )
        .into());
    };
    check_deletable(draft, &facts.observed, name, node)?;
    let what = describe(&replica.name, &replica.node);
    let mut replies = Vec::new();
    let tie_breaker = replica
        .drbd
        .as_ref()
        .is_some_and(|drbd| drbd.disk == DiskKind::TieBreaker);
    if tie_breaker {
        replies.append(&mut set_tie_breaker_automation(
            draft,
            name,
            keep_tiebreaker,
        ));
    }
    take_down(draft, name, node, facts.now_ms);
    let mut said = super::helpers_after_change(draft, facts, name);
    let taken_over = draft
        .resource(name, node)
        .is_some_and(|row| !row.phase.is_deleting());
    if taken_over {
        replies.append(&mut said);
        return Ok((replies, replica.uuid, true));
    }
    replies.insert(0, marked(&what, replica.uuid));
    replies.append(&mut said);
    Ok((replies, replica.uuid, false))
}

/// Somebody who deletes a tie breaker does not want one (spec core, trap 20).
fn set_tie_breaker_automation(draft: &mut Draft, name: &ResourceName, keep: bool) -> Vec<Reply> {
    if keep {
        return Vec::new();
    }
    let key = prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER;
    draft.edit_resource_definition(name, |row| {
        row.props.insert(key.to_owned(), prop::FALSE.to_owned());
    });
    vec![Reply::new(
        code::INFO_PROP_SET,
        format!(
            "Disabling auto-tiebreaker on resource-definition '{name}' as tiebreaker resource was manually deleted"
        ),
    )]
}

/// Changes a replica's properties, or what kind of diskless it is.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    node: String,
    request: ResourceModify,
) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, &node);
    let work = async {
        let (name, node) = (names::resource(&name)?, names::node(&node)?);
        let facts = Facts::gather(cluster);
        let target = (name.clone(), node);
        let committed = cluster.commit(move |draft| {
            let (name, node) = target;
            Ok(edit(draft, &facts, &name, &node, request)?)
        });
        let committed = committed.await?;
        let mut replies = committed.value;
        if committed.changed {
            replies.append(&mut super::wait_all(cluster, &[name], committed.generation).await);
        }
        Ok(replies)
    };
    context.run(work).await
}

fn edit(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    node: &NodeName,
    request: ResourceModify,
) -> Result<Vec<Reply>, Refusal> {
    let known = names::known_resource(draft, name, node)?.clone();
    let mut row = Resource::clone(&known);
    let mut replies = Vec::new();
    let change = property::change(
        request.override_props,
        request.delete_props,
        request.delete_namespaces,
    );
    property::apply(Owner::Resource, &mut row.props, &change, &mut replies)?;
    let kind = match (request.drbd_tiebreaker, request.drbd_client) {
        (Some(true), _) => Some(DiskKind::TieBreaker),
        (_, Some(true)) => Some(DiskKind::Client),
        (Some(false), _) | (_, Some(false)) => Some(DiskKind::Diskless),
        (None, None) => None,
    };
    if let Some(kind) = kind {
        match &mut row.drbd {
            Some(drbd) if drbd.disk.is_diskless() => drbd.disk = kind,
            _ => {
                return Err(Reply::new(
                    code::FAIL_INVLD_RSC_STATE,
                    format!("The {} is not diskless.", describe(name, node)),
                )
                .cause("Only a diskless resource can be a tie breaker or a client.")
                .correction("Use toggle-disk first.")
                .into());
            }
        }
    }
    replies.push(modified(&describe(&row.name, &row.node), row.uuid));
    if *known != row {
        draft.put_resource(row);
        if kind.is_some() {
            replies.append(&mut super::helpers_after_change(draft, facts, name));
        }
    }
    Ok(replies)
}

/// Takes a replica's devices down and keeps its data, or brings them up again.
pub async fn set_active(cluster: &Cluster, name: String, node: String, active: bool) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, &node);
    let work = async {
        let (name, node) = (names::resource(&name)?, names::node(&node)?);
        let facts = Facts::gather(cluster);
        let target = (name.clone(), node.clone());
        let committed = cluster.commit(move |draft| {
            let (name, node) = target;
            let row = names::known_resource(draft, &name, &node)?.clone();
            let verb = if active { "activated" } else { "deactivated" };
            if row.inactive != active {
                let message = format!("The {} is {verb} already.", describe(&row.name, &row.node));
                return Ok(vec![Reply::new(code::INFO_NOOP, message)]);
            }
            if !active && facts.observed.in_use(&name, &node) == Some(true) {
                return Err(in_use(&name, &node).into());
            }
            phase::set_active(draft, &name, &node, active, facts.now_ms);
            let message = format!("Resource '{}' on node '{}' {verb}.", row.name, row.node);
            let mut replies = vec![Reply::new(code::MODIFIED, message)];
            replies.append(&mut super::helpers_after_change(draft, &facts, &name));
            Ok(replies)
        });
        let committed = committed.await?;
        let mut replies = committed.value;
        if committed.changed {
            replies.append(&mut super::wait_all(cluster, &[name], committed.generation).await);
        }
        Ok(replies)
    };
    context.run(work).await
}
