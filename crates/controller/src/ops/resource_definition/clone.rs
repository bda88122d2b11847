//! Clones of resource definitions with their data: their volumes are made of a snapshot.

use std::sync::Arc;

use linstor_api::kind::{ProviderKind, StorageSuffix};
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::resource_definition::{
    ResourceDefinitionClone, ResourceDefinitionCloneStarted as Started,
    ResourceDefinitionCloneStatus as Status,
};
use linstor_api::{code, prop};
use linstor_model::layer::{self, luks};
use linstor_model::model::RowKey;
use linstor_model::name::{ResourceName, SnapshotName, StoragePoolName};
use linstor_model::process::clone_definition::{self, CloneDefinition, Step};
use linstor_model::resource::RenamedPools;
use linstor_model::{
    Model, Observed, Resource, ResourceDefinition, SnapshotDefinition, space, stack,
};
use linstor_wire::status::Outcome;
use uuid::Uuid;

use super::super::property::{self, Owner};
use super::super::reply::{exists, not_found};
use super::super::request::Context;
use super::super::{name, snapshot, storage_pool};
use super::create::{NewDefinition, add};
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// What stands for the name of a clone that has none.
const NO_NAME: &str = "__invalid_name__";

/// Clones a definition, which has to exist.
pub async fn clone(
    cluster: &Cluster,
    name: String,
    request: ResourceDefinitionClone,
) -> Result<Started, Refusal> {
    let source = name::resource(&name)?;
    let model = cluster.model();
    let source = name::known_definition(&model, &source)?.name.clone();
    let given = request.name.clone().unwrap_or_default();
    let context = match &request.name {
        Some(name) => context(code::MASK_CRT, name),
        None => unnamed_context(),
    };
    let (of, wanted) = (source.clone(), request.clone());
    let work = async {
        check_name(&request)?;
        storage_pool::refresh_thin(cluster).await;
        let committed = cluster.commit(move |tx| begin(tx, &of, wanted));
        Ok(committed.await?.replies)
    };
    let messages = context.run(work).await;
    let clone = match given.as_str() {
        "" => NO_NAME,
        given => given,
    };
    Ok(Started {
        location: format!("/v1/resource-definitions/{source}/clone/{}", escaped(clone)),
        source_name: source.to_string(),
        clone_name: clone.to_owned(),
        messages,
    })
}

fn unnamed_context() -> Context {
    Context::new(code::MASK_RSC_DFN | code::MASK_CRT, "Resource definition")
        .about("RscDfn", UNNAMED)
}

/// How far a clone is: `CLONING`, `COMPLETE` once all nodes that are online have the data, or `FAILED`.
pub fn clone_status(cluster: &Cluster, name: &str, clone: &str) -> Result<Status, Refusal> {
    let (name, clone) = (name::resource(name)?, name::resource(clone)?);
    let (model, observed) = (cluster.model(), cluster.observed());
    let row = model.definitions.get(&clone);
    let row = row.filter(|row| is_clone_of(row, &name)).ok_or_else(|| {
        let what = format!("clone '{clone}' of resource definition '{name}'");
        not_found(code::FAIL_NOT_FOUND_RSC_DFN, &what)
    })?;
    let snapshot = snapshot_name(row.uuid)?;
    let snapshot = model.snapshot(&name, &snapshot);
    let is_left =
        |row: &Arc<SnapshotDefinition>| row.snapshots.keys().any(|node| observed.is_online(node));
    let status = match (&row.clone_failure, model.cloning_of(row)) {
        (Some(_), _) => "FAILED",
        (None, Some(_)) if is_usable(&model, &observed, &row.name) => "COMPLETE",
        (None, Some(_)) => "CLONING",
        // Until it is gone the source cannot be deleted.
        (None, None) if snapshot.is_some_and(is_left) => "CLONING",
        (None, None) => "COMPLETE",
    };
    Ok(Status {
        status: Some(status.to_owned()),
    })
}

fn is_clone_of(row: &ResourceDefinition, source: &ResourceName) -> bool {
    let of = row.props.get(prop::CLONED_FROM);
    of.is_some_and(|of| of.eq_ignore_ascii_case(source.as_str()))
}

/// Whether nothing but nodes that are away is waited for: the data is on all that are online, and on one at least.
fn is_usable(model: &Model, observed: &Observed, name: &ResourceName) -> bool {
    let rows = model.resources_of(name).filter(|row| !row.is_diskless());
    let (online, away): (Vec<_>, Vec<_>) = rows.partition(|row| observed.is_online(&row.node));
    let is_made = |row: &Arc<Resource>| {
        let applied = observed.applied_since(name, &row.node, row.uuid, 0);
        !row.is_being_restored() && applied.is_some_and(|a| a.outcome == Outcome::Done)
    };
    !away.is_empty() && !online.is_empty() && online.into_iter().all(is_made)
}

fn check_name(request: &ResourceDefinitionClone) -> Result<ResourceName, Refusal> {
    let given = request.name.as_deref().filter(|name| !name.is_empty());
    let Some(given) = given else {
        let (ret_code, message) = match &request.external_name {
            Some(_) => (
                code::FAIL_UNKNOWN_ERROR,
                "A clone cannot have an external name only.",
            ),
            None => (
                code::FAIL_INVLD_RSC_NAME,
                "No name for the clone was given.",
            ),
        };
        return Err(Reply::new(ret_code, message)
            .correction("Give 'name'.")
            .into());
    };
    name::resource(given)
}

/// Makes the rows of a clone and begins to copy the data. Asked for again while it goes on, nothing is changed; one that
/// has failed is made anew.
fn begin(
    tx: &mut Transaction<'_>,
    source: &ResourceName,
    request: ResourceDefinitionClone,
) -> Result<(), Refusal> {
    let name = check_name(&request)?;
    let definition = name::known_definition(tx, source)?.clone();
    if let Some(row) = tx.definitions.get(&name).cloned() {
        let is_ours = is_clone_of(&row, source);
        if is_ours && row.clone_failure.is_none() && tx.cloning_of(&row).is_some() {
            let message = format!("The {} is being cloned already.", label(source));
            tx.reply(Reply::new(code::MASK_INFO, message).about("RscDfn", row.name.as_str()));
            return Ok(());
        }
        if !is_ours || row.clone_failure.is_none() {
            return Err(exists(code::FAIL_EXISTS_RSC_DFN, &label(&name)).into());
        }
        if tx.resources_of(&name).next().is_some() || tx.cloning_of(&row).is_some() {
            let message = format!("The {} cannot be made now.", label(&name));
            return Err(Reply::new(code::FAIL_RSC_BUSY, message)
                .cause("What is left of an earlier attempt is being removed.")
                .correction("Try again; GET /v1/jobs shows what is waited for.")
                .into());
        }
        tx.remove(&RowKey::ResourceDefinition(row.name.clone()));
    }
    check_layers(tx, &definition, &request.layer_list)?;
    let group = request.resource_group.filter(|group| !group.is_empty());
    if let Some(group) = &group {
        name::known_group(tx, &name::group(group)?)?;
    }
    if !request.volume_passphrases.is_empty() && !tx.is_unlocked() {
        return Err(luks::locked().into());
    }
    check_storage(tx, &definition)?;
    let new = NewDefinition {
        name: name.to_string(),
        external_name: request.external_name.filter(|name| !name.is_empty()),
        group: Some(group.unwrap_or_else(|| definition.group.to_string())),
        layers: definition.layer_stack.clone(),
        peer_slots: definition.drbd.as_ref().map(|drbd| drbd.peer_slots),
        ..NewDefinition::default()
    };
    let name = add(tx, new)?;
    let uuid = tx
        .definitions
        .get(&name)
        .map_or(Uuid::nil(), |row| row.uuid);
    let snapshot = snapshot_name(uuid)?;
    let replies = tx.reply_count();
    snapshot::create::begin_for_clone(tx, source, &snapshot)?;
    keep_warnings(tx, replies);
    let row = name::known_snapshot(tx, source, &snapshot)?.clone();
    if request.volume_passphrases.len() > row.volumes.len() {
        return Err(too_many_passphrases(row.volumes.len()).into());
    }
    snapshot::restore::define_volumes(tx, &name, &row, &request.volume_passphrases)?;
    let nodes = row.snapshots.keys().cloned().collect();
    snapshot::restore::restore(tx, &name, &row, &nodes, &RenamedPools::new())?;
    change_props(
        tx,
        &name,
        source,
        &PropertiesModify {
            override_props: {
                let props = request.override_props.into_iter();
                props.map(|(key, value)| (key, Some(value))).collect()
            },
            delete_props: request.delete_props,
            delete_namespaces: request.delete_namespaces,
        },
    )?;
    if !request.use_zfs_clone && has_zfs(tx, &row) {
        tx.reply(depends_on_source(source));
    }
    let clone = CloneDefinition {
        resource: name,
        uuid,
        source: definition.name.clone(),
        snapshot,
        step: Step::Snapshot,
    };
    tx.plan(|draft, _, seeds| clone_definition::begin(draft, clone, seeds.now_ms));
    Ok(())
}

/// The snapshot of a clone: a name that no user gives.
fn snapshot_name(clone: Uuid) -> Result<SnapshotName, Refusal> {
    name::snapshot(&format!("CF_{}", clone.simple()))
}

/// Of entries about the snapshot, which the caller did not ask for, only the warnings are given.
fn keep_warnings(tx: &mut Transaction<'_>, count: usize) {
    let warnings = tx.split_replies(count);
    let warnings = warnings
        .into_iter()
        .filter(|reply| !code::is_success(reply.ret_code));
    tx.replies(warnings);
}

fn change_props(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    source: &ResourceName,
    change: &PropertiesModify,
) -> Result<(), Refusal> {
    let exact = change.override_props.get(prop::DRBD_EXACT_SIZE);
    if exact.is_some_and(|value| value.as_deref().is_some_and(prop::is_true)) {
        let message = format!(
            "The property {} cannot be set on a clone.",
            prop::DRBD_EXACT_SIZE
        );
        return Err(Reply::new(code::FAIL_INVLD_PROP, message)
            .cause("The device of the clone has the size of that of its source.")
            .correction("Leave the property out.")
            .into());
    }
    let mut props = name::known_definition(tx, name)?.props.clone();
    let replies = property::apply(Owner::ResourceDefinition, &mut props, change)?;
    props.insert(prop::CLONED_FROM.to_owned(), source.to_string());
    tx.replies(replies);
    tx.edit_resource_definition(name, |row| row.props = props);
    Ok(())
}

/// The layers of a clone are those of its source: what is copied is what is below all of them.
fn check_layers(
    tx: &Transaction<'_>,
    source: &ResourceDefinition,
    given: &[String],
) -> Result<(), Refusal> {
    if given.is_empty() {
        return Ok(());
    }
    let layers = stack::complete(stack::parse(given)?).0;
    stack::check(&layers)?;
    let mut rows = tx
        .resources_of(&source.name)
        .filter(|row| !row.is_diskless());
    if rows.all(|row| row.layer_stack == layers) {
        return Ok(());
    }
    let message = format!(
        "The {} cannot be cloned with other layers.",
        label(&source.name)
    );
    Err(Reply::new(code::FAIL_INVLD_LAYER_STACK, message)
        .cause("A clone is made of a snapshot of the backing volumes, with what the layers have written there.")
        .correction("Leave the layers out, or name those of the source.")
        .into())
}

/// Refuses where there is no data, where it is in pools without snapshots whose volumes are not copied either, and where
/// there is no room for a thick volume and its snapshot.
fn check_storage(tx: &Transaction<'_>, source: &ResourceDefinition) -> Result<(), Refusal> {
    let rows = tx.resources_of(&source.name);
    let rows: Vec<_> = rows
        .filter(|row| !row.is_diskless() && !row.volumes.is_empty())
        .collect();
    if rows.is_empty() {
        let message = "No suitable storage pools were found for the clone.";
        return Err(Reply::new(code::FAIL_NOT_ENOUGH_NODES, message)
            .cause(format!(
                "The {} has no volumes with data.",
                label(&source.name)
            ))
            .into());
    }
    for row in rows {
        for volume in row.volumes.values() {
            let Some(pool) = tx.pool(&row.node, &volume.pool) else {
                continue;
            };
            if tx.observed.supports_snapshots(pool) {
                continue;
            }
            if pool.kind == ProviderKind::Lvm {
                let needed_kib = copied_kib(source, row, &pool.name);
                space::check(tx, &tx.observed, pool, needed_kib)?;
                continue;
            }
            let message = format!(
                "The storage pool '{}' on node '{}' does not support clones.",
                pool.name, row.node
            );
            return Err(Reply::new(code::FAIL_INVLD_PROVIDER, message)
                .cause(format!(
                    "A clone is made of a snapshot, which pools of kind {} do not have here.",
                    pool.kind
                ))
                .correction(
                    "Use pools of kind LVM, LVM_THIN, ZFS or ZFS_THIN, or FILE on a file system with reflinks, or copy \
                     the data into a new resource.",
                )
                .about("Node", row.node.as_str())
                .into());
        }
    }
    Ok(())
}

/// What a clone takes of a thick pool while it is made: its volumes, and snapshots that all of its source's can be
/// overwritten under.
fn copied_kib(source: &ResourceDefinition, row: &Resource, pool: &StoragePoolName) -> u64 {
    let volumes = row.volumes.iter();
    let volumes = volumes.filter(|(_, volume)| volume.pool == *pool);
    let sizes = volumes.flat_map(|(number, _)| layer::backing(source, *number, row));
    let sizes = sizes.filter(|(suffix, _)| *suffix == StorageSuffix::Data);
    let sizes = sizes.map(|(_, kib)| kib.saturating_mul(2).saturating_add(kib / 100));
    sizes.fold(0, u64::saturating_add)
}

fn too_many_passphrases(volumes: usize) -> Reply {
    let message = format!("More passphrases were given than the source has volumes ({volumes}).");
    Reply::new(code::FAIL_INVLD_VLM_SIZES, message)
        .cause("Each volume has one passphrase, or none.")
        .correction("Give one passphrase for each volume.")
}

fn has_zfs(tx: &Transaction<'_>, row: &SnapshotDefinition) -> bool {
    let parts = row.snapshots.iter();
    let mut pools = parts.flat_map(|(node, part)| part.pools().map(move |pool| (node, pool)));
    pools.any(|(node, pool)| {
        let kind = tx.pool(node, pool).map(|pool| pool.kind);
        matches!(kind, Some(ProviderKind::Zfs | ProviderKind::ZfsThin))
    })
}

fn depends_on_source(source: &ResourceName) -> Reply {
    let message = "The clone shares its blocks with the source in ZFS.";
    Reply::new(code::MASK_INFO, message)
        .cause("Volumes are cloned ('zfs clone') whether 'use_zfs_clone' is given or not.")
        .details(format!(
            "Either can be deleted first: storage of the {} that the clone still needs is kept under another name until \
             the clone is deleted, too.",
            label(source)
        ))
}

/// A text as an element of a path.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
