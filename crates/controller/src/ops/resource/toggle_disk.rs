//! Giving a resource a disk, or removing its disk.

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource::{ToggleDiskOperation, ToggleDiskRequest};
use linstor_model::layer::drbd84;
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::process::{Kind, remove_disk};
use linstor_model::resource::{GiveDisk, shared};
use linstor_model::{DiskKind, Model, Resource, stack};

use super::super::name;
use super::super::reply::not_implemented;
use super::super::request::{Wait, wait, wait_done};
use super::super::storage_pool;
use super::create::{add_disk, named_pool};
use super::{context, in_use, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

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
        let given = request.operation.unwrap_or_default();
        let Some(operation) = ToggleDiskOperation::parse(&given) else {
            return Err(Reply::new(
                code::API_CALL_PARSE_ERROR,
                format!(
                    "'{}' is not an operation of toggle-disk.",
                    given.escape_debug()
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

struct Parsed {
    name: ResourceName,
    node: NodeName,
    to: DiskKind,
    pool: Option<StoragePoolName>,
    migrate_from: Option<NodeName>,
    layers: Vec<LayerKind>,
}

/// Gives a resource a disk or removes its disk.
pub async fn toggle(cluster: &Cluster, name: String, node: String, toggle: Toggle) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, &node);
    let work = async {
        let (name, node) = (name::resource(&name)?, name::node(&node)?);
        let migrate_from = toggle.migrate_from.as_ref();
        let parsed = Parsed {
            name: name.clone(),
            node: node.clone(),
            to: toggle.to,
            pool: named_pool(toggle.pool.as_ref())?,
            migrate_from: migrate_from.map(|from| name::node(from)).transpose()?,
            layers: stack::complete(stack::parse(&toggle.layers)?).0,
        };
        if parsed.to == DiskKind::Diskful {
            storage_pool::refresh_thin(cluster).await;
        }
        let committed = cluster.commit(move |tx| begin(tx, parsed)).await?;
        let mut replies = committed.replies;
        if committed.changed {
            let deployed = Wait::Deployed(name.clone(), committed.value);
            replies.append(&mut wait(cluster, deployed, committed.generation).await);
            if !replies.iter().any(Reply::is_error) {
                let removed = |model: &Model| {
                    let row = model.resource(&name, &node);
                    row.is_none_or(|row| model.removed_storage(row).is_none())
                };
                let what = label(&name, &node);
                replies.append(&mut wait_done(cluster, &name, &what, removed).await);
            }
        }
        Ok(replies)
    };
    context.run(work).await
}

fn begin(tx: &mut Transaction<'_>, parsed: Parsed) -> Result<Vec<NodeName>, Refusal> {
    let (name, node) = (&parsed.name, &parsed.node);
    // LINSTOR checks that the node exists before it sets the object bits of the code.
    name::known_definition(tx, name)?;
    name::known_node(tx, node).map_err(Refusal::plain)?;
    let row = name::known_resource(tx, name, node)?.clone();
    let refuse = |ret_code: i64, cause: &str, correction: &str| -> Refusal {
        let message = format!("The disk of {} cannot be toggled.", label(name, node));
        Reply::new(ret_code, message)
            .cause(cause)
            .correction(correction)
            .into()
    };
    if tx.is_deleting(&row) {
        let cause = "It is being deleted.";
        return Err(refuse(
            code::FAIL_IN_USE,
            cause,
            "Wait until it is deleted, then create it again.",
        ));
    }
    if row.drbd.is_none() {
        if parsed.to == DiskKind::Diskful {
            tx.reply(has_disk(&row));
            return Ok(Vec::new());
        }
        // The last copy is the stronger reason.
        check_data_elsewhere(tx, &row)?;
        let cause = "Without the DRBD layer there are no diskless resources.";
        return Err(refuse(
            code::FAIL_INVLD_LAYER_STACK,
            cause,
            "Delete or create resources instead.",
        ));
    }
    if !parsed.layers.is_empty() && parsed.layers != row.layer_stack {
        return Err(not_implemented("Toggle disk with other layers").into());
    }
    match parsed.to {
        DiskKind::Diskful => add(tx, &row, parsed),
        DiskKind::Diskless | DiskKind::TieBreaker | DiskKind::Client => {
            remove(tx, &row, parsed.to)?;
            Ok(Vec::new())
        }
    }
}

fn has_disk(row: &Resource) -> Reply {
    let message = format!("The {} has a disk already.", label(&row.name, &row.node));
    Reply::new(code::WARN_RSC_ALREADY_HAS_DISK, message)
}

fn noop(row: &Resource, what: &str) -> Reply {
    let message = format!("The {} {what} already.", label(&row.name, &row.node));
    Reply::new(code::INFO_NOOP, message)
}

fn add(tx: &mut Transaction<'_>, row: &Resource, parsed: Parsed) -> Result<Vec<NodeName>, Refusal> {
    let (name, node) = (&row.name, &row.node);
    let process = tx.process_of(row).map(|process| &process.kind);
    if let Some(Kind::AddDisk(_) | Kind::Migrate(_)) = process {
        tx.reply(noop(row, "is getting a disk"));
        return Ok(Vec::new());
    }
    let now_ms = tx.now_ms;
    if parsed.migrate_from.is_none() && remove_disk::withdraw(tx, row, now_ms) {
        let message = format!("Removal of the disk of {} withdrawn", label(name, node));
        tx.reply(Reply::new(code::MODIFIED, message));
        return Ok(vec![node.clone()]);
    }
    if !row.is_diskless() {
        tx.reply(has_disk(row));
        return Ok(Vec::new());
    }
    if let Some(source) = &parsed.migrate_from {
        check_source(tx, name, source)?;
    }
    let disk = GiveDisk {
        pool: parsed.pool,
        migrate_from: parsed.migrate_from,
        diskful_by: Some("user"),
    };
    add_disk(tx, name, node, disk)?;
    Ok(vec![node.clone()])
}

/// The resource that is to be replaced must have the data and must not be in use.
fn check_source(
    tx: &Transaction<'_>,
    name: &ResourceName,
    source: &NodeName,
) -> Result<(), Refusal> {
    let row = name::known_resource(tx, name, source)?;
    if tx.observed.in_use(name, source) == Some(true) {
        return Err(in_use(name, source));
    }
    if row.is_diskless() || tx.is_deleting(row) {
        return Err(Reply::new(
            code::FAIL_INVLD_RSC_STATE,
            format!("The {} cannot be migrated from.", label(name, source)),
        )
        .cause("It has no disk, or is being deleted.")
        .correction("Name a resource with a disk.")
        .into());
    }
    if !tx.observed.is_up_to_date(name, source) {
        return Err(Reply::new(
            code::FAIL_NOT_ALL_UPTODATE,
            format!("The {} cannot be migrated from.", label(name, source)),
        )
        .cause("It is not UpToDate, or its node is away.")
        .correction("Wait until it is UpToDate.")
        .into());
    }
    Ok(())
}

fn remove(tx: &mut Transaction<'_>, row: &Resource, to: DiskKind) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    if tx.removed_storage(row).is_some() {
        tx.reply(noop(row, "is losing its disk"));
        return Ok(());
    }
    if row.is_diskless() {
        if row.drbd.as_ref().is_some_and(|drbd| drbd.disk == to) {
            let message = format!("The {} is diskless already.", label(name, node));
            tx.reply(Reply::new(code::WARN_RSC_ALREADY_DISKLESS, message));
            return Ok(());
        }
        tx.edit_resource(name, node, |row| {
            if let Some(drbd) = &mut row.drbd {
                drbd.disk = to;
                drbd.never_votes = to == DiskKind::Client;
            }
        });
        let message = format!("The vote of {} in the quorum changed", label(name, node));
        tx.reply(Reply::new(code::MODIFIED, message));
        return Ok(());
    }
    check_removable(tx, row)?;
    let now_ms = tx.now_ms;
    remove_disk::begin(tx, name, node, to, now_ms);
    tx.edit_resource(name, node, |row| {
        if let Some(drbd) = &mut row.drbd {
            drbd.never_votes = to == DiskKind::Client;
        }
    });
    let message = format!("Removal of disk from {} registered", label(name, node));
    tx.reply(Reply::new(code::MODIFIED, message));
    Ok(())
}

fn check_removable(tx: &Transaction<'_>, row: &Resource) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    if drbd84::cannot_be_diskless(tx, row) {
        return Err(Reply::new(
            code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
            format!("The {} cannot become diskless.", label(name, node)),
        )
        .cause("Its node has DRBD 8.4, which knows no diskless resources.")
        .correction("Install DRBD 9 on all nodes of the resource, or delete it here.")
        .into());
    }
    if let Some(other) = shared::siblings(tx, row).first() {
        return Err(Reply::new(
            code::FAIL_INVLD_RSC_STATE,
            format!("Cannot remove the disk from {}.", label(name, node)),
        )
        .cause(format!(
            "The resource on node '{}' has the same volumes, in a shared storage pool.",
            other.node
        ))
        .correction("Deactivate or delete the resource instead.")
        .into());
    }
    check_data_elsewhere(tx, row)
}

fn check_data_elsewhere(tx: &Transaction<'_>, row: &Resource) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    let fresh = tx
        .definitions
        .get(name)
        .is_some_and(|row| row.volumes.values().all(|volume| !volume.initialized));
    let keeps_data = tx.resources_of(name).any(|other| {
        other.node != *node
            && !other.is_diskless()
            && tx.process_of(other).is_none()
            && tx.observed.is_online(&other.node)
            && (fresh || tx.observed.is_up_to_date(name, &other.node))
    });
    if keeps_data {
        return Ok(());
    }
    Err(Reply::new(
        code::FAIL_INSUFFICIENT_REPLICA_COUNT,
        format!("Cannot remove the disk from {}.", label(name, node)),
    )
    .cause("No other resource with a disk is online and UpToDate.")
    .correction("Give another node a disk first, and wait until it is UpToDate.")
    .into())
}
