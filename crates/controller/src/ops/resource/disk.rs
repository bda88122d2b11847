//! A replica gets a disk, or gives its disk up (spec core 5.5).

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource::{ToggleDiskOperation, ToggleDiskRequest};
use linstor_model::layer::drbd84;
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::resource::GiveDisk;
use linstor_model::{DiskKind, Resource, ResourcePhase};
use linstor_model::{Draft, Model, stack};
use tokio::time::Instant;

use super::super::placement::{self, Made};
use super::super::reply::{Refusal, not_implemented};
use super::super::{Facts, names};
use super::{context, describe, in_use, stuck};
use crate::cluster::Cluster;

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Toggle {
    to: DiskKind,
    pool: Option<String>,
    migrate_from: Option<String>,
    layers: Vec<String>,
}

impl Toggle {
    /// Reads the body of the unified call.
    pub fn parse(request: ToggleDiskRequest) -> Result<Self, Refusal> {
        let word = request.operation.unwrap_or_default();
        let Some(operation) = ToggleDiskOperation::parse(&word) else {
            return Err(Reply::new(
                code::API_CALL_PARSE_ERROR,
                format!(
                    "'{}' is not an operation of toggle-disk.",
                    word.escape_debug()
                ),
            )
            .cause("The member 'operation' says what to do.")
            .correction("Use into_drbd_diskful, into_drbd_diskless or into_drbd_client.")
            .into());
        };
        Ok(Toggle {
            to: match operation {
                ToggleDiskOperation::IntoDiskful => DiskKind::Diskful,
                ToggleDiskOperation::IntoDiskless => DiskKind::Diskless,
                ToggleDiskOperation::IntoClient => DiskKind::Client,
            },
            pool: request.storage_pool.filter(|name| !name.is_empty()),
            migrate_from: request.migrate_from.filter(|name| !name.is_empty()),
            layers: request.layer_list,
        })
    }

    /// Add a disk, perhaps in place of another replica's.
    pub fn diskful(
        pool: Option<String>,
        migrate_from: Option<String>,
        layers: Vec<String>,
    ) -> Self {
        Toggle {
            to: DiskKind::Diskful,
            pool,
            migrate_from,
            layers,
        }
    }

    /// Remove the disk.
    pub fn diskless(pool: Option<String>) -> Self {
        Toggle {
            to: DiskKind::Diskless,
            pool,
            migrate_from: None,
            layers: Vec::new(),
        }
    }
}

struct Plan {
    to: DiskKind,
    pool: Option<StoragePoolName>,
    migrate_from: Option<NodeName>,
    layers: Vec<LayerKind>,
}

/// Gives a replica a disk or takes its disk.
pub async fn toggle(cluster: &Cluster, name: String, node: String, toggle: Toggle) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, &node);
    let work = async {
        let (name, node) = (names::resource(&name)?, names::node(&node)?);
        let plan = Plan {
            to: toggle.to,
            pool: placement::named_pool(toggle.pool.as_ref())?,
            migrate_from: match &toggle.migrate_from {
                Some(from) => Some(names::node(from)?),
                None => None,
            },
            layers: stack::complete(stack::parse(&toggle.layers)?).0,
        };
        if plan.to == DiskKind::Diskful {
            placement::refresh_thin(cluster).await;
        }
        let facts = Facts::gather(cluster);
        let target = (name.clone(), node.clone());
        let committed = cluster.commit(move |draft| {
            let (name, node) = target;
            Ok(begin(draft, &facts, &name, &node, plan)?)
        });
        let committed = committed.await?;
        let Made { mut replies, nodes } = committed.value;
        if committed.changed {
            let mut more = placement::deployed(cluster, &name, &nodes, committed.generation).await;
            replies.append(&mut more);
            if !replies.iter().any(Reply::is_error) {
                replies.append(&mut wait_removed(cluster, &name, &node).await);
            }
        }
        Ok(replies)
    };
    context.run(work).await
}

fn begin(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    node: &NodeName,
    plan: Plan,
) -> Result<Made, Refusal> {
    let row = names::known_resource(draft, name, node)?.clone();
    let refuse = |ret_code: i64, cause: &str, correction: &str| -> Refusal {
        let message = format!("The disk of {} cannot be toggled.", describe(name, node));
        Reply::new(ret_code, message)
            .cause(cause)
            .correction(correction)
            .into()
    };
    if row.phase.is_deleting() {
        let cause = "It is being deleted.";
        return Err(refuse(
            code::FAIL_IN_USE,
            cause,
            "Wait until it is gone, then create it again.",
        ));
    }
    if row.drbd.is_none() {
        let cause = "Without the DRBD layer there are no diskless resources.";
        return Err(refuse(
            code::FAIL_INVLD_LAYER_STACK,
            cause,
            "Delete or create resources instead.",
        ));
    }
    if !plan.layers.is_empty() && plan.layers != row.layer_stack {
        return Err(not_implemented("Toggle disk with other layers").into());
    }
    let mut made = Made::default();
    match plan.to {
        DiskKind::Diskful => add(draft, facts, &row, plan, &mut made)?,
        DiskKind::Diskless | DiskKind::TieBreaker | DiskKind::Client => {
            remove(draft, facts, &row, plan.to, &mut made)?;
        }
    }
    made.replies
        .append(&mut super::super::helpers_after_change(draft, facts, name));
    Ok(made)
}

fn noop(row: &Resource, what: &str) -> Reply {
    let message = format!("The {} {what} already.", describe(&row.name, &row.node));
    Reply::new(code::INFO_NOOP, message)
}

fn add(
    draft: &mut Draft,
    facts: &Facts,
    row: &Resource,
    plan: Plan,
    made: &mut Made,
) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    if let ResourcePhase::AddingDisk { .. } = row.phase {
        made.replies.push(noop(row, "is getting a disk"));
        return Ok(());
    }
    if let ResourcePhase::RemovingDisk { storage, .. } = &row.phase {
        // What is left of the disk is used again; what is gone is made anew, and the peers' data counts.
        let since = draft.since(facts.now_ms);
        draft.edit_resource(name, node, |row| {
            for (number, pool) in storage {
                if let Some(volume) = row.volumes.get_mut(number) {
                    volume.pool = pool.clone();
                }
            }
            if let Some(drbd) = &mut row.drbd {
                drbd.disk = DiskKind::Diskful;
            }
            row.phase = ResourcePhase::AddingDisk {
                since,
                migrate_from: None,
            };
        });
        let message = format!("Removal of the disk of {} withdrawn", describe(name, node));
        made.replies.push(Reply::new(code::MODIFIED, message));
        made.nodes.push(node.clone());
        return Ok(());
    }
    if !row.is_diskless() {
        made.replies.push(noop(row, "has a disk"));
        return Ok(());
    }
    if let Some(source) = &plan.migrate_from {
        check_source(draft, facts, name, source)?;
    }
    let wish = GiveDisk {
        pool: plan.pool,
        migrate_from: plan.migrate_from,
        diskful_by: Some("user"),
    };
    placement::give_disk(draft, facts, name, node, wish, made)
}

/// The replica that is to be replaced must have the data, and nobody may be using it.
fn check_source(
    model: &Model,
    facts: &Facts,
    name: &ResourceName,
    source: &NodeName,
) -> Result<(), Refusal> {
    let row = names::known_resource(model, name, source)?;
    if facts.observed.in_use(name, source) == Some(true) {
        return Err(in_use(name, source));
    }
    if row.is_diskless() || row.phase.is_deleting() {
        return Err(Reply::new(
            code::FAIL_INVLD_RSC_STATE,
            format!("The {} cannot be migrated from.", describe(name, source)),
        )
        .cause("It has no disk, or is being deleted.")
        .correction("Name a resource with a disk.")
        .into());
    }
    if !facts.observed.is_up_to_date(name, source) {
        return Err(Reply::new(
            code::FAIL_NOT_ALL_UPTODATE,
            format!("The {} cannot be migrated from.", describe(name, source)),
        )
        .cause("It is not UpToDate, or its node is away.")
        .correction("Wait until it is UpToDate.")
        .into());
    }
    Ok(())
}

fn remove(
    draft: &mut Draft,
    facts: &Facts,
    row: &Resource,
    to: DiskKind,
    made: &mut Made,
) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    if let ResourcePhase::RemovingDisk { .. } = row.phase {
        made.replies.push(noop(row, "is losing its disk"));
        return Ok(());
    }
    if row.is_diskless() {
        if row.drbd.as_ref().is_some_and(|drbd| drbd.disk == to) {
            made.replies.push(noop(row, "is diskless"));
            return Ok(());
        }
        draft.edit_resource(name, node, |row| {
            if let Some(drbd) = &mut row.drbd {
                drbd.disk = to;
            }
        });
        let message = format!("The vote of {} in the quorum changed", describe(name, node));
        made.replies.push(Reply::new(code::MODIFIED, message));
        return Ok(());
    }
    check_disk_can_go(draft, facts, row)?;
    facts.seeded(|seeds| linstor_model::resource::take_disk(draft, seeds, name, node, to));
    let message = format!("Removal of disk from {} registered", describe(name, node));
    made.replies.push(Reply::new(code::MODIFIED, message));
    Ok(())
}

fn check_disk_can_go(model: &Model, facts: &Facts, row: &Resource) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    if drbd84::cannot_be_diskless(model, row) {
        return Err(Reply::new(
            code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
            format!("The {} cannot become diskless.", describe(name, node)),
        )
        .cause("Its node has DRBD 8.4, which knows no diskless resources.")
        .correction("Install DRBD 9 on all nodes of the resource, or delete it here.")
        .into());
    }
    let fresh = model
        .definitions
        .get(name)
        .is_some_and(|row| row.volumes.values().all(|volume| !volume.initialized));
    let keeps_data = model.resources_of(name).any(|other| {
        other.node != *node
            && !other.is_diskless()
            && other.phase.is_present()
            && facts.observed.is_online(&other.node)
            && (fresh || facts.observed.is_up_to_date(name, &other.node))
    });
    if keeps_data {
        return Ok(());
    }
    Err(Reply::new(
        code::FAIL_INSUFFICIENT_REPLICA_COUNT,
        format!("Cannot remove the disk from {}.", describe(name, node)),
    )
    .cause("No other resource with a disk is online and UpToDate.")
    .correction("Give another node a disk first, and wait until it is UpToDate.")
    .into())
}

/// Waits until a disk that is being removed is gone.
async fn wait_removed(cluster: &Cluster, name: &ResourceName, node: &NodeName) -> Vec<Reply> {
    let removing = |model: &Model| {
        let row = model.resource(name, node);
        row.is_some_and(|row| matches!(row.phase, ResourcePhase::RemovingDisk { .. }))
    };
    let deadline = Instant::now() + super::super::WAIT;
    let wait = cluster.wait_until(name, deadline, |model, observed| {
        if !removing(model) {
            return Some(vec![]);
        }
        stuck(model, observed, name)
    });
    match wait.await {
        Some(why) => why,
        None => vec![super::super::still_working(&describe(name, node))],
    }
}
