//! Restoring backups.

use std::collections::BTreeMap;

use linstor_api::backup::BackupRestore;
use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use linstor_api::{code, flag, prop};
use linstor_model::backup::Meta;
use linstor_model::backup::meta::{Layer, LayerVolume};
use linstor_model::layer::luks;
use linstor_model::name::{NodeName, RemoteName, ResourceName, SnapshotName, StoragePoolName};
use linstor_model::process::peer::Peer;
use linstor_model::process::restore_backup::{self, RestoreBackup, Step};
use linstor_model::process::{self, ProcessId};
use linstor_model::snapshot::{
    ActivityLog, SnapshotReason, SnapshotState, SnapshotStorage, SnapshotVolume,
};
use linstor_model::{
    DiskKind, DrbdResource, Model, Props, Resource, ResourceDefinition, Snapshot,
    SnapshotDefinition, Volume, VolumeDefinition, layer, space,
};
use linstor_wire::Secret;
use linstor_wire::spec::ReceivedObject;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::property::{self, Owner};
use super::super::request::{WAIT, still_working};
use super::super::volume_definition::create::NewVolumeDefinition;
use super::super::{
    name, resource, resource_definition, snapshot, storage_pool, volume_definition,
};
use super::bucket;
use super::create::{can_send, is_zfs};
use super::info::{self, Chain, Wanted};
use super::{forced, sealed};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// What is to be restored where.
pub(super) struct Plan {
    /// The remote that it comes from.
    pub remote: RemoteName,
    /// Identity of the remote.
    pub remote_uuid: Uuid,
    /// The id of the backup.
    pub id: String,
    /// The name that the snapshot gets, if it is free.
    pub snapshot: String,
    /// The description of the backup.
    pub meta: Meta,
    /// The cluster that sends it; none if it comes from a bucket.
    pub peer: Option<Peer>,
    pub objects: BTreeMap<u32, Vec<ReceivedObject>>,
    pub node: NodeName,
    pub target: ResourceName,
    /// The pools and sizes of the backing volumes by number.
    pub volumes: BTreeMap<u32, (StoragePoolName, u64)>,
    /// The keys of encrypted volumes by number.
    pub keys: BTreeMap<u32, Secret>,
    pub group: Option<String>,
    pub moves_group: bool,
    pub download_only: bool,
    /// Resources that the target has are deleted first.
    pub replaces: bool,
}

/// What the layers of a backup are.
pub(super) struct Stack<'a> {
    pub layers: Vec<LayerKind>,
    drbd: Option<&'a Layer>,
    luks: Option<&'a Layer>,
    pub storage: Vec<&'a LayerVolume>,
}

impl Stack<'_> {
    /// What the size of a volume in a zpool is a multiple of.
    fn unit_kib(&self, number: u32) -> u64 {
        let mut storage = self.storage.iter();
        let volume = storage.find(|volume| volume.vlm_nr == number);
        let kib = volume.and_then(|volume| u64::try_from(volume.extent_size?).ok());
        kib.unwrap_or_default()
    }
}

pub(super) fn refused(
    id: &str,
    ret_code: i64,
    cause: impl Into<String>,
    correction: &str,
) -> Refusal {
    let message = format!("The backup '{id}' cannot be restored.");
    Reply::new(ret_code | code::MASK_BACKUP, message)
        .cause(cause)
        .correction(correction)
        .into()
}

/// Restores a backup.
///
/// # Errors
///
/// Why it cannot be restored; nothing is changed then.
pub async fn restore(
    cluster: &Cluster,
    on: &str,
    node: NodeName,
    target: ResourceName,
    request: BackupRestore,
) -> Result<Vec<Reply>, Refusal> {
    let opened = bucket::open(cluster, on)?;
    let text = |given: Option<String>| given.filter(|text| !text.is_empty());
    let wanted = Wanted {
        id: text(request.last_backup),
        resource: text(request.src_rsc_name),
        snapshot: text(request.src_snap_name),
    };
    let (chain, listed) = info::chain(cluster, &opened, &wanted).await?;
    storage_pool::refresh_thin(cluster).await;
    let id = chain.key.id();
    let objects = objects(&chain, &listed.sizes)?;
    let meta = &chain.links[0].1;
    let stack = stack(&id, meta)?;
    let volumes = placed(&cluster.model(), &id, &node, &stack, &request.stor_pool_map)?;
    if volumes.keys().ne(objects.keys()) || volumes.keys().ne(meta.rsc_dfn.vlm_dfns.keys()) {
        let cause = "Its description does not have the same volumes everywhere.";
        return Err(refused(
            &id,
            code::FAIL_INVLD_BACKUP_CONFIG,
            cause,
            "Use another backup.",
        ));
    }
    check_space(cluster, &id, &node, &stack, &volumes)?;
    let keys = sealed::keys(&id, meta, stack.luks, request.passphrase.as_ref()).await?;
    let remote = opened.name.clone();
    let source = chain.key.resource.clone();
    let plan = Plan {
        remote: super::remote(&cluster.model(), &remote)?.name.clone(),
        remote_uuid: opened.uuid,
        snapshot: chain.key.snapshot_name().to_owned(),
        meta: meta.clone(),
        peer: None,
        objects,
        volumes,
        keys,
        node,
        target: target.clone(),
        group: text(request.dst_rsc_grp),
        moves_group: request.force_mv_rsc_grp,
        download_only: request.download_only,
        replaces: request.force_restore && !request.download_only,
        id,
    };
    let committed = cluster.commit(move |tx| begin(tx, plan)).await?;
    let (process, makes_resource) = committed.value;
    let mut replies = committed.replies;
    let message = format!(
        "Restoring backup of resource {source} from remote {remote} into resource {target} in progress."
    );
    replies.push(Reply::new(code::CREATED | code::MASK_BACKUP, message));
    replies.extend(ended(cluster, &target, process, makes_resource).await?);
    Ok(replies)
}

/// Waits until it has ended, for as long as callers wait for a change.
async fn ended(
    cluster: &Cluster,
    target: &ResourceName,
    process: ProcessId,
    makes_resource: bool,
) -> Result<Vec<Reply>, Refusal> {
    let deadline = Instant::now() + WAIT;
    let mut failure = None;
    let over = cluster.wait_until(target, deadline, |model, _| {
        match model.restoration(process) {
            Some(of) => {
                failure = failure.take().or_else(|| of.failure.clone());
                None
            }
            None => Some(()),
        }
    });
    let over = over.await;
    if let Some(failure) = failure {
        return Err(Refusal(vec![failure]));
    }
    if over.is_none() {
        return Ok(vec![still_working(&format!("resource '{target}'"))]);
    }
    let model = cluster.model();
    if makes_resource && model.resources_of(target).next().is_none() {
        let message = format!("Resource '{target}' was not restored.");
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP, message);
        return Err(reply
            .cause("It was aborted, or the resource was deleted since.")
            .correction("Restore the backup again.")
            .into());
    }
    if !makes_resource {
        return Ok(Vec::new());
    }
    let nodes: Vec<NodeName> = model
        .resources_of(target)
        .map(|row| row.node.clone())
        .collect();
    let deployed = resource::deployed(cluster, target, &nodes, model.generation).await;
    if !deployed.iter().any(Reply::is_error) {
        snapshot::wait_restored(cluster, target).await;
    }
    Ok(deployed)
}

/// The pools and sizes of the backing volumes by number.
pub(super) fn placed(
    model: &Model,
    id: &str,
    node: &NodeName,
    stack: &Stack<'_>,
    renamed: &SortedMap<String, String>,
) -> Result<BTreeMap<u32, (StoragePoolName, u64)>, Refusal> {
    let mut volumes = BTreeMap::new();
    for volume in &stack.storage {
        let pool = pool(model, id, node, volume, renamed)?;
        let kib = volume.usable_size.and_then(|kib| u64::try_from(kib).ok());
        let kib = kib.filter(|kib| *kib > 0).ok_or_else(|| {
            let cause = format!("Its description has no size of volume {}.", volume.vlm_nr);
            refused(
                id,
                code::FAIL_INVLD_BACKUP_CONFIG,
                cause,
                "Use another backup.",
            )
        })?;
        volumes.insert(volume.vlm_nr, (pool, kib));
    }
    Ok(volumes)
}

/// The objects of each volume, those of the full backup first.
pub(super) fn objects(
    chain: &Chain,
    sizes: &BTreeMap<String, u64>,
) -> Result<BTreeMap<u32, Vec<ReceivedObject>>, Refusal> {
    let id = chain.key.id();
    let mut objects: BTreeMap<u32, Vec<ReceivedObject>> = BTreeMap::new();
    for (link, (_, meta)) in chain.links.iter().rev().enumerate() {
        for (number, of) in &meta.backups {
            let [object] = of.0.as_slice() else {
                let cause = format!("Volume {number} has {} objects.", of.0.len());
                return Err(refused(
                    &id,
                    code::FAIL_INVLD_BACKUP_CONFIG,
                    cause,
                    "Use another backup.",
                ));
            };
            let bytes = sizes.get(&object.name).copied().ok_or_else(|| {
                let cause = format!("The object '{}' is missing.", object.name);
                refused(
                    &id,
                    code::FAIL_NOT_FOUND_BACKUP,
                    cause,
                    "Use another backup.",
                )
            })?;
            objects.entry(*number).or_default().push(ReceivedObject {
                key: object.name.clone(),
                bytes,
            });
        }
        if let Some(number) = objects.iter().find(|(_, of)| of.len() != link + 1) {
            let cause = format!(
                "Volume {} is not in all backups that it is based on.",
                number.0
            );
            return Err(refused(
                &id,
                code::FAIL_INVLD_BACKUP_CONFIG,
                cause,
                "Use another backup.",
            ));
        }
    }
    Ok(objects)
}

/// What a backup is of.
pub(super) fn stack<'a>(id: &str, meta: &'a Meta) -> Result<Stack<'a>, Refusal> {
    let mut found = Stack {
        layers: Vec::new(),
        drbd: None,
        luks: None,
        storage: Vec::new(),
    };
    let mut layer = Some(&meta.layer_data);
    while let Some(of) = layer {
        match of.kind.as_str() {
            "drbd" => {
                found.layers.push(LayerKind::Drbd);
                found.drbd = Some(of);
            }
            "luks" => {
                found.layers.push(LayerKind::Luks);
                found.luks = Some(of);
            }
            "storage" => {
                found.layers.push(LayerKind::Storage);
                found.storage = of.volume_list.iter().collect();
            }
            kind => {
                let cause = format!("Volumes with the layer '{kind}' cannot be restored yet.");
                return Err(refused(
                    id,
                    code::FAIL_INVLD_LAYER_KIND,
                    cause,
                    "Use another backup.",
                ));
            }
        }
        // Below DRBD may be a layer for its metadata, which is made anew.
        layer = of
            .children
            .iter()
            .find(|child| child.rsc_name_suffix.is_empty());
    }
    let rank = |layer: &LayerKind| match layer {
        LayerKind::Drbd => 0,
        LayerKind::Luks => 1,
        _ => 2,
    };
    if !found
        .layers
        .is_sorted_by(|above, below| rank(above) < rank(below))
    {
        let cause = "Its layers are not DRBD, LUKS and storage, in this order and each once.";
        let correction = "Use another backup.";
        return Err(refused(id, code::FAIL_INVLD_LAYER_STACK, cause, correction));
    }
    match found.storage.is_empty() {
        true => {
            let cause = "Its description has no volumes.";
            Err(refused(
                id,
                code::FAIL_INVLD_BACKUP_CONFIG,
                cause,
                "Use another backup.",
            ))
        }
        false => Ok(found),
    }
}

/// The pool of a volume on the node.
fn pool(
    model: &Model,
    id: &str,
    node: &NodeName,
    volume: &LayerVolume,
    renamed: &SortedMap<String, String>,
) -> Result<StoragePoolName, Refusal> {
    let of = volume.stor_pool_api.clone().unwrap_or_default();
    let target = renamed.get(&of.stor_pool_name).or_else(|| renamed.get("*"));
    let target = target.unwrap_or(&of.stor_pool_name);
    let row = name::known_pool(model, node, &name::pool(target)?)?;
    let kind = of.device_provider_kind.as_deref().unwrap_or_default();
    let then = kind.parse::<ProviderKind>().ok();
    let is_same = |then| then == row.kind || is_zfs(then) && is_zfs(row.kind);
    if then.is_some_and(|then| can_send(then) && is_same(then)) {
        return Ok(row.name.clone());
    }
    let cause = format!(
        "Volume {} was in a storage pool of kind {kind}, and storage pool '{}' on node '{node}' is of kind {}.",
        volume.vlm_nr, row.name, row.kind
    );
    let correction = "Restore it to a pool of the same kind ('--storpool-rename'): LVM_THIN, or ZFS and ZFS_THIN for each other.";
    Err(refused(id, code::FAIL_INVLD_STOR_DRIVER, cause, correction))
}

pub(super) fn check_space(
    cluster: &Cluster,
    id: &str,
    node: &NodeName,
    stack: &Stack<'_>,
    volumes: &BTreeMap<u32, (StoragePoolName, u64)>,
) -> Result<(), Refusal> {
    let (model, observed) = (cluster.model(), cluster.observed());
    if !observed.is_online(node) {
        let cause = format!("Node '{node}' is not connected.");
        return Err(refused(
            id,
            code::FAIL_NOT_CONNECTED,
            cause,
            "Use another node, or connect it.",
        ));
    }
    let mut needed: BTreeMap<StoragePoolName, u64> = BTreeMap::new();
    let occupied = stack.storage.iter().filter_map(|volume| {
        let (pool, _) = volumes.get(&volume.vlm_nr)?;
        let kib = volume.snapshot_allocated_size.or(volume.allocated_size)?;
        Some((pool.clone(), u64::try_from(kib).ok()?))
    });
    for (pool, kib) in occupied {
        *needed.entry(pool).or_default() += kib;
    }
    for (pool, kib) in needed {
        let Some(row) = model.pool(node, &pool) else {
            continue;
        };
        let free = space::of_pool(&model, &observed, row).free_kib;
        if let Some(free) = free.filter(|free| *free < kib) {
            let cause = format!(
                "It needs {kib} KiB in storage pool '{pool}' on node '{node}', of which {free} KiB are free."
            );
            let correction = "Add space to the pool, or restore it to another one.";
            return Err(refused(
                id,
                code::FAIL_NOT_ENOUGH_FREE_SPACE,
                cause,
                correction,
            ));
        }
    }
    Ok(())
}

/// Replacing a resource that is there is not done: its data would be lost before the new one is there.
pub(super) fn check_no_resources(
    model: &Model,
    id: &str,
    target: &ResourceName,
) -> Result<(), Refusal> {
    if model.resources_of(target).next().is_none() {
        return Ok(());
    }
    let cause = format!("Resource definition '{target}' has resources, which are not replaced.");
    let correction = "Delete its resources first, or restore the backup to a new resource.";
    Err(refused(id, code::FAIL_EXISTS_RSC, cause, correction))
}

pub(super) fn begin(tx: &mut Transaction<'_>, plan: Plan) -> Result<(ProcessId, bool), Refusal> {
    let id = plan.id.clone();
    let remote = super::remote(tx, plan.remote.as_str())?.name.clone();
    let meta = &plan.meta;
    let stack = stack(&id, meta)?;
    if let Some((_, other)) = tx.restoration_of(&plan.target) {
        let cause = format!("The backup '{}' is being restored to it.", other.backup);
        let correction = "Wait until that is done, or abort it.";
        return Err(refused(&id, code::FAIL_IN_USE, cause, correction));
    }
    let own_definition = !tx.definitions.contains_key(&plan.target);
    let mut makes_resource = !plan.download_only;
    let mut replaces = false;
    if own_definition {
        make_definition(tx, &plan, meta, &stack)?;
    } else if tx.resources_of(&plan.target).next().is_some() && plan.replaces {
        forced::check(tx, &id, &plan.target, &stack.layers)?;
        replaces = true;
    } else if tx.resources_of(&plan.target).next().is_some() {
        if makes_resource {
            let message = format!(
                "Resource definition '{}' has resources: the backup is only downloaded, as a snapshot of it.",
                plan.target
            );
            tx.reply(Reply::new(
                code::WARN_BACKUP_DL_ONLY | code::MASK_BACKUP,
                message,
            ));
        }
        makes_resource = false;
    }
    let target = name::known_definition(tx, &plan.target)?.name.clone();
    move_group(tx, &plan, &target, own_definition)?;
    if makes_resource {
        make_volumes(tx, &id, &target, meta)?;
    }
    let uuid = meta
        .snap_dfn_uuid
        .as_ref()
        .and_then(|text| text.parse::<Uuid>().ok());
    let there = tx
        .snapshots_of(&target)
        .find(|row| row.is_successful() && Some(row.uuid) == uuid && row.on(&plan.node).is_some());
    let there = there.map(|row| row.name.clone());
    if let Some(snapshot) = there.as_ref().filter(|_| !makes_resource) {
        let cause =
            format!("Snapshot '{snapshot}' of resource '{target}' is what it would become.");
        return Err(refused(
            &id,
            code::FAIL_EXISTS_SNAPSHOT,
            cause,
            "Use the snapshot.",
        ));
    }
    let own_snapshot = there.is_none();
    let snapshot = match there {
        Some(snapshot) => snapshot,
        None => make_snapshot(tx, &plan, &id, &target, meta, &stack, uuid)?,
    };
    let restore = RestoreBackup {
        id: tx.uuid(),
        resource: target,
        snapshot,
        remote,
        remote_uuid: plan.remote_uuid,
        node: plan.node,
        backup: id,
        objects: match own_snapshot {
            true => plan.objects,
            false => BTreeMap::new(),
        },
        makes_resource,
        replaces,
        own_definition,
        own_snapshot,
        peer: plan.peer,
        failure: None,
        step: match (own_snapshot, replaces) {
            (true, _) => Step::Receive,
            (false, true) => Step::Clear,
            (false, false) => Step::Restore,
        },
    };
    let process = tx.plan(|draft, observed, seeds| {
        let target = restore.resource.clone();
        let process = restore_backup::begin(draft, restore, seeds.now_ms);
        process::advance(draft, observed, &target, seeds.now_ms);
        process
    });
    Ok((process, makes_resource))
}

fn make_definition(
    tx: &mut Transaction<'_>,
    plan: &Plan,
    meta: &Meta,
    stack: &Stack<'_>,
) -> Result<(), Refusal> {
    let before = tx.reply_count();
    let drbd = stack.drbd.and_then(|layer| layer.drbd.as_ref());
    let new = resource_definition::create::NewDefinition {
        name: plan.target.to_string(),
        group: plan.group.clone(),
        layers: stack.layers.clone(),
        peer_slots: drbd.map(|drbd| drbd.drbd_rsc_dfn.peer_slots),
        ..Default::default()
    };
    resource_definition::create::add(tx, new)?;
    tx.truncate_replies(before);
    let props = accepted(Owner::ResourceDefinition, &meta.rsc_dfn.rsc_dfn_props);
    tx.edit_resource_definition(&plan.target, |row| row.props.extend(props));
    Ok(())
}

/// The properties that this cluster knows for such an object. What belongs to the other cluster alone is left out.
fn accepted(owner: Owner, given: &BTreeMap<String, String>) -> Props {
    const FOREIGN: [&str; 4] = ["BackupShipping/", "Schedule/", "Cluster/", "Backup/"];
    let own = [
        prop::STOR_POOL_NAME,
        prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT,
    ];
    let mut props = Props::new();
    for (key, value) in given {
        let left_out = own.contains(&key.as_str()) || FOREIGN.iter().any(|f| key.starts_with(f));
        if left_out {
            continue;
        }
        let one: Properties = [(key.clone(), value.clone())].into();
        if let Err(Refusal(replies)) = property::set(owner, &mut props, one) {
            let why = replies.first().map(|reply| reply.message.clone());
            tracing::info!(key, ?why, "a property of the backup is left out");
        }
    }
    props
}

fn move_group(
    tx: &mut Transaction<'_>,
    plan: &Plan,
    target: &ResourceName,
    own_definition: bool,
) -> Result<(), Refusal> {
    let Some(given) = plan.group.as_deref().filter(|_| !own_definition) else {
        return Ok(());
    };
    let group = name::known_group(tx, &name::group(given)?)?.name.clone();
    let definition = name::known_definition(tx, target)?;
    if definition.group == group {
        return Ok(());
    }
    if tx.resources_of(target).next().is_some() && !plan.moves_group {
        let cause = format!(
            "Resource definition '{target}' is in another resource group and has resources."
        );
        let correction = "Leave the resource group out, or force that it is moved.";
        return Err(refused(&plan.id, code::FAIL_EXISTS_RSC, cause, correction));
    }
    tx.edit_resource_definition(target, |row| row.group = group);
    Ok(())
}

fn is_gross(flags: u64) -> bool {
    flags & flag::volume_definition::GROSS_SIZE != 0
}

fn make_volumes(
    tx: &mut Transaction<'_>,
    id: &str,
    target: &ResourceName,
    meta: &Meta,
) -> Result<(), Refusal> {
    let definition = name::known_definition(tx, target)?.clone();
    for (number, volume) in &definition.volumes {
        let then = meta.rsc_dfn.vlm_dfns.get(number).map(|then| then.size);
        if then != Some(volume.size_kib) {
            let cause =
                format!("Volume definition {number} of '{target}' is not as in the backup.");
            let correction = "Delete the volume definition, or restore to a new resource.";
            return Err(refused(id, code::FAIL_INVLD_VLM_SIZE, cause, correction));
        }
    }
    let before = tx.reply_count();
    for (number, volume) in &meta.rsc_dfn.vlm_dfns {
        if definition.volumes.contains_key(number) {
            continue;
        }
        let new = NewVolumeDefinition {
            number: Some(*number),
            size_kib: i64::try_from(volume.size).unwrap_or(i64::MAX),
            gross_size: is_gross(volume.flags),
            ..NewVolumeDefinition::default()
        };
        volume_definition::create::add(tx, target, new)?;
    }
    tx.truncate_replies(before);
    Ok(())
}

/// Makes the row of the snapshot that the backup becomes. Returns its name.
fn make_snapshot(
    tx: &mut Transaction<'_>,
    plan: &Plan,
    id: &str,
    target: &ResourceName,
    meta: &Meta,
    stack: &Stack<'_>,
    uuid: Option<Uuid>,
) -> Result<SnapshotName, Refusal> {
    let name = free_name(tx, id, target, &plan.snapshot)?;
    let drbd = stack.drbd.and_then(|layer| layer.drbd.as_ref());
    let mut resource = Resource {
        node: plan.node.clone(),
        name: target.clone(),
        uuid: tx.uuid(),
        created_at: u64::try_from(meta.start_timestamp).unwrap_or_default(),
        layer_stack: stack.layers.clone(),
        props: accepted(Owner::Resource, &meta.rsc.rsc_props),
        drbd: drbd.map(|drbd| DrbdResource {
            node_id: drbd.node_id,
            ports: Vec::new(),
            peer_slots: drbd.peer_slots,
            disk: DiskKind::Diskful,
            never_votes: false,
        }),
        volumes: Default::default(),
        inactive: false,
        inactive_since: 0,
    };
    let mut part = BTreeMap::new();
    for (number, (pool, size_kib)) in &plan.volumes {
        let volume = Volume {
            uuid: tx.uuid(),
            pool: pool.clone(),
            extra_storage: BTreeMap::new(),
            unit_kib: stack.unit_kib(*number),
            props: Props::new(),
            source: None,
        };
        resource.volumes.insert(*number, volume);
        let data = SnapshotStorage {
            pool: pool.clone(),
            size_kib: *size_kib,
        };
        let volume = SnapshotVolume {
            uuid: tx.uuid(),
            storage: [(StorageSuffix::Data, data)].into(),
        };
        part.insert(*number, volume);
    }
    let log = drbd.map(|drbd| ActivityLog {
        stripes: drbd.al_stripes,
        stripe_kib: u32::try_from(drbd.al_stripe_size).unwrap_or(32),
    });
    let mut definition = ResourceDefinition::clone(name::known_definition(tx, target)?);
    if let (Some(own), Some(log)) = (&mut definition.drbd, &log) {
        (own.al_stripes, own.al_stripe_kib) = (log.stripes, log.stripe_kib);
    }
    let definition_props = accepted(Owner::ResourceDefinition, &meta.rsc_dfn.rsc_dfn_props);
    let mut volumes: BTreeMap<u32, VolumeDefinition> = BTreeMap::new();
    for (number, volume) in &meta.rsc_dfn.vlm_dfns {
        let mut row = VolumeDefinition {
            uuid: tx.uuid(),
            size_kib: volume.size,
            gross_size: is_gross(volume.flags),
            encrypted: volume.flags & flag::volume_definition::ENCRYPTED != 0,
            props: accepted(Owner::VolumeDefinition, &volume.vlm_dfn_props),
            minor: None,
            implied_minor: false,
            luks: None,
            first_copy_on: None,
            initialized: false,
            restored: false,
            file_system_on: Default::default(),
            granularity_kib: 0,
            device_kib: None,
            pinned: false,
        };
        if let Some(key) = plan.keys.get(number) {
            let key_options = prop::LUKS_FORMAT_OPTIONS;
            let options = row
                .props
                .get(key_options)
                .or_else(|| definition_props.get(key_options));
            let options = options.cloned().unwrap_or_default();
            let sealed = tx.plan(|_, _, seeds| luks::seal(seeds, &row, key, true, options));
            row.luks = Some(sealed.map_err(Refusal)?);
        }
        definition.volumes.insert(*number, row.clone());
        volumes.insert(*number, row);
    }
    if resource.drbd.is_some() {
        // What is on a device fills it, and what follows is DRBD's metadata.
        for (number, volume) in &mut volumes {
            let backing = plan.volumes.get(number).map_or(0, |(_, kib)| *kib);
            let kib = layer::net_kib(&definition, *number, &resource, backing);
            volume.device_kib = Some(kib).filter(|kib| *kib >= volume.size_kib);
        }
    }
    let is_free = |uuid: &Uuid| {
        let mut all = tx.snapshots.values().flat_map(|rows| rows.values());
        all.all(|row| row.uuid != *uuid)
    };
    let uuid = uuid.filter(is_free).unwrap_or_else(|| tx.uuid());
    let node = plan.node.clone();
    let part = Snapshot {
        uuid: tx.uuid(),
        resource,
        volumes: part.into_iter().collect(),
    };
    let row = SnapshotDefinition {
        resource: target.clone(),
        name: name.clone(),
        uuid,
        created_at: u64::try_from(meta.start_timestamp).unwrap_or_default(),
        sequence_number: tx.newest_snapshot(target) + 1,
        state: SnapshotState::Incomplete,
        failure: None,
        taken_at: u64::try_from(meta.start_timestamp).ok(),
        reason: SnapshotReason::Request,
        props: Props::new(),
        definition_props,
        layer_stack: stack.layers.clone(),
        activity_log: log,
        may_differ: false,
        volumes: volumes.into_iter().collect(),
        snapshots: [(node, part)].into_iter().collect(),
    };
    tx.put_snapshot_definition(row);
    Ok(name)
}

/// A name for the snapshot that no other one of the target has.
fn free_name(
    tx: &Transaction<'_>,
    id: &str,
    target: &ResourceName,
    wanted: &str,
) -> Result<SnapshotName, Refusal> {
    let numbered = (1..100).map(|number| format!("{wanted}_{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    let free = names.find_map(|name| {
        let name = SnapshotName::parse(&name).ok()?;
        tx.snapshot(target, &name).is_none().then_some(name)
    });
    free.ok_or_else(|| {
        let cause = format!(
            "'{}' is not a valid name of a snapshot.",
            wanted.escape_debug()
        );
        refused(
            id,
            code::FAIL_INVLD_BACKUP_CONFIG,
            cause,
            "Use another backup.",
        )
    })
}
