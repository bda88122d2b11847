//! Changing a volume definition: its properties, its flags, its size.

use std::collections::BTreeSet;
use std::time::Duration;

use linstor_api::flag::volume_definition as flag;
use linstor_api::reply::Reply;
use linstor_api::volume_definition::{VolumeDefinitionModify, VolumeDefinitionPassphrase};
use linstor_api::{code, prop};
use linstor_model::layer::{self, drbd84, luks};
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::process::resize;
use linstor_model::{
    LuksKey, LuksKeyChange, Model, Observed, ResourceDefinition, VolumeDefinition, device_size,
    space,
};
use linstor_wire::Secret;
use tokio::time::Instant;

use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::request::{Wait, wait, wait_done};
use super::super::{name, resource, resource_definition};
use super::create::{check_unlocked, passphrase, size, supplied_key};
use super::{context, flags, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long a change of size waits for replicas that are not UpToDate.
const UP_TO_DATE_WITHIN: Duration = Duration::from_secs(10);

/// Changes a volume definition's properties, flags and size.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    number: String,
    request: VolumeDefinitionModify,
) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, Some(&number));
    let work = async {
        let (name, number) = (name::resource(&name)?, name::volume_number_text(&number)?);
        let target = name.clone();
        if request.size_kib.is_some() {
            up_to_date(cluster, &name).await;
        }
        let committed = cluster
            .commit(move |tx| edit(tx, &target, number, request))
            .await?;
        let resizing = committed.value;
        let mut replies = committed.replies;
        if committed.changed {
            let applied = Wait::Applied(vec![name.clone()]);
            replies.append(&mut wait(cluster, applied, committed.generation).await);
        }
        if resizing && !replies.iter().any(Reply::is_error) {
            let done = |model: &Model| model.resize_of(&name, number).is_none();
            let what = label(&name, number);
            let mut reasons = wait_done(cluster, &name, &what, done).await;
            if done(&cluster.model()) {
                replies.append(&mut resized(&cluster.model(), &name, number));
            }
            replies.append(&mut reasons);
        }
        Ok(replies)
    };
    context.run(work).await
}

/// Changes the key of the LUKS headers of a volume. Each node changes that of its own header, a node that is away once it
/// is back.
pub async fn set_passphrase(
    cluster: &Cluster,
    name: String,
    number: String,
    request: VolumeDefinitionPassphrase,
) -> Vec<Reply> {
    context(code::MASK_MOD, &name, Some(&number))
        .change(
            cluster,
            || {
                let (name, number) = (name::resource(&name)?, name::volume_number_text(&number)?);
                name::known_volume_definition(&cluster.model(), &name, number)?;
                let Some(given) = request.new_passphrase else {
                    let reply =
                        Reply::new(code::FAIL_UNKNOWN_ERROR, "The request has no passphrase.");
                    return Err(reply.correction("Give 'new_passphrase'.").into());
                };
                Ok((name, number, given))
            },
            |tx, (name, number, given)| {
                check_unlocked(tx)?;
                change_key(tx, &name, number, &passphrase(&given)?)?;
                Ok(Wait::Applied(vec![name]))
            },
        )
        .await
}

fn change_key(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    number: u32,
    passphrase: &Secret,
) -> Result<(), Refusal> {
    let definition = name::known_definition(tx, name)?.clone();
    let mut row = name::known_volume_definition(tx, name, number)?.clone();
    let encrypted = tx.resources_of(name).filter(|row| luks::has_headers(row));
    let on: BTreeSet<NodeName> = encrypted.map(|row| row.node.clone()).collect();
    let what = label(name, number);
    let Some(former) = row.luks.as_ref().filter(|_| !on.is_empty()) else {
        let message = "No resources have any luks layer, no passphrase has been changed.";
        tx.reply(Reply::new(code::WARN_NOT_FOUND, message));
        tx.reply(modified(&what, row.uuid));
        return Ok(());
    };
    if let Some(change) = &former.change {
        let nodes: Vec<&str> = change.on.iter().map(NodeName::as_str).collect();
        let message = format!("The passphrase of the {what} cannot be changed.");
        return Err(Reply::new(code::FAIL_RSC_BUSY, message)
            .cause(format!(
                "The last change is not finished on: {}.",
                nodes.join(", ")
            ))
            .correction("Wait until these nodes have finished it, or delete the resource there.")
            .into());
    }
    let change = LuksKeyChange {
        id: tx.uuid(),
        former: former.key.clone(),
        on,
    };
    let key = supplied_key(tx, &definition, number, &row, passphrase)?;
    row.luks = Some(LuksKey {
        change: Some(change),
        ..key
    });
    tx.reply(modified(&what, row.uuid));
    tx.edit_resource_definition(name, |definition| {
        definition.volumes.insert(number, row);
    });
    Ok(())
}

/// The entries of each node about a volume with a new size: its storage, DRBD, and that both are done.
fn resized(model: &Model, name: &ResourceName, number: u32) -> Vec<Reply> {
    let mut replies = Vec::new();
    for row in model.resources_of(name) {
        let node = &row.node;
        let entry = resource::volume_entry(model, row, number, code::MODIFIED, "resized");
        replies.extend(entry);
        let messages = [
            format!("Resized volume {number} of '{name}' on '{node}'"),
            format!("Resized resource '{name}' on '{node}'"),
            format!("Updated volume {number} of '{name}' on '{node}'"),
        ];
        replies.extend(messages.map(|message| Reply::new(code::MODIFIED, message)));
    }
    replies
}

/// Returns whether resources have to follow a new size.
fn edit(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    number: u32,
    request: VolumeDefinitionModify,
) -> Result<bool, Refusal> {
    let known = name::known_volume_definition(tx, name, number)?.clone();
    let definition = name::known_definition(tx, name)?;
    let wanted = request
        .size_kib
        .map(|given| size(definition, given))
        .transpose()?;
    name::known_flags(&flag::ALL, &request.flags)?;
    let mut row = known.clone();
    let change = property::change(
        request.override_props,
        request.delete_props,
        request.delete_namespaces,
    );
    tx.replies(property::apply(
        Owner::VolumeDefinition,
        &mut row.props,
        &change,
    )?);
    let bits = flag::ALL.modified(
        flags(tx, name, number, &row) & (flag::GROSS_SIZE | flag::ENCRYPTED),
        &request.flags,
    );
    if bits & flag::ENCRYPTED != 0 && !row.encrypted {
        check_unlocked(tx)?;
        row.encrypted = true;
    }
    let gross_size = bits & flag::GROSS_SIZE != 0;
    let size_kib = wanted.unwrap_or(row.size_kib);
    if wanted == Some(known.size_kib) && gross_size == known.gross_size {
        tx.reply(Reply::new(
            code::WARN_VLMDFN_RESIZE_SAME_SIZE,
            format!("The {} has this size already.", label(name, number)),
        ));
    }
    let mut change = SizeChange::OfDefinition;
    if size_kib != known.size_kib || gross_size != known.gross_size {
        row.size_kib = size_kib;
        row.gross_size = gross_size;
        change = check_resize(tx, name, number, &row)?;
    }
    tx.reply(modified(&label(name, number), row.uuid));
    tx.edit_resource_definition(name, |definition| {
        definition.volumes.insert(number, row);
    });
    match change {
        SizeChange::OfDefinition if tx.resources_of(name).next().is_some() => {}
        SizeChange::OfDefinition => device_size::forget(tx, name, number),
        SizeChange::Growth => {
            let (from, now_ms) = (resize::Size::of(&known), tx.now_ms);
            resize::begin(tx, name, number, from, now_ms);
        }
        SizeChange::Withdrawal => {
            let observed = tx.observed.clone();
            resize::withdraw(tx, &observed, name, number);
            tx.reply(withdrawn(name, number));
        }
    }
    Ok(matches!(change, SizeChange::Growth))
}

/// What a new size means for resources.
#[derive(Debug, Clone, Copy)]
enum SizeChange {
    /// Nothing.
    OfDefinition,
    /// They grow.
    Growth,
    /// They do not grow any more: it is the size before the growth in progress.
    Withdrawal,
}

fn withdrawn(name: &ResourceName, number: u32) -> Reply {
    let message = format!("The growth of the {} is withdrawn.", label(name, number));
    Reply::new(code::MODIFIED, message)
        .details("Storage that nodes have grown is not made smaller; the next growth uses it.")
}

/// Checks a change of size. Returns what resources have to do. While they grow, the size can be changed to another one, or
/// to the one before.
fn check_resize(
    tx: &Transaction<'_>,
    name: &ResourceName,
    number: u32,
    after: &VolumeDefinition,
) -> Result<SizeChange, Refusal> {
    let definition = name::known_definition(tx, name)?;
    let known = name::known_volume_definition(tx, name, number)?;
    let is_deployed = tx.resources_of(name).next().is_some();
    let refuse = |ret_code: i64, cause: String, correction: &str| {
        let message = format!("The size of the {} cannot be changed.", label(name, number));
        Err(Reply::new(ret_code, message)
            .cause(cause)
            .correction(correction)
            .into())
    };
    if device_size::is_exact(definition, known) && (is_deployed || after.size_kib > known.size_kib)
    {
        let cause = format!(
            "The property {} of its definition is set.",
            prop::DRBD_EXACT_SIZE
        );
        return refuse(
            code::FAIL_INVLD_PROP,
            cause,
            "Make a new volume and copy the data.",
        );
    }
    if !is_deployed {
        return Ok(SizeChange::OfDefinition);
    }
    let growth = tx.resize_of(name, number);
    let is_busy = growth.is_none() && tx.process_of_volume(name, number).is_some();
    if is_busy || tx.is_deleting_definition(definition) {
        let cause = "It is being deleted.".to_owned();
        return refuse(
            code::FAIL_RSC_BUSY,
            cause,
            "Wait until that is done; see /v1/jobs.",
        );
    }
    let mut before = ResourceDefinition::clone(definition);
    if let (Some(from), Some(volume)) = (
        growth.and_then(|growth| growth.from),
        before.volumes.get_mut(&number),
    ) {
        if (from.size_kib, from.gross_size) == (after.size_kib, after.gross_size) {
            return Ok(SizeChange::Withdrawal);
        }
        volume.size_kib = from.size_kib;
        volume.gross_size = from.gross_size;
        volume.device_kib = from.device_kib;
    }
    if let Some(replica) = drbd84::holds_up_growth(tx, name) {
        let cause = format!(
            "Its resource on node '{}' is deactivated, and DRBD 8.4 does not synchronise what grows while it is.",
            replica.node
        );
        return refuse(
            code::FAIL_INVLD_RSC_STATE,
            cause,
            "Activate it, or delete it.",
        );
    }
    if tx.resources_of(name).any(|row| luks::has_headers(row)) {
        // Open devices grow with their key only.
        check_unlocked(tx)?;
    }
    let mut enlarged = before.clone();
    let had_kib = before.volumes[&number].device_kib;
    let after_with = |device_kib| VolumeDefinition {
        device_kib,
        ..after.clone()
    };
    enlarged.volumes.insert(number, after_with(had_kib));
    let device_kib = device_size::after_growth(tx, &enlarged, number);
    enlarged.volumes.insert(number, after_with(device_kib));
    let size = |definition: &ResourceDefinition| definition.volumes[&number].size_kib;
    let same_kind = before.volumes[&number].gross_size == after.gross_size;
    for replica in tx.resources_of(name) {
        let had = layer::backing(&before, number, replica);
        let needs = layer::backing(&enlarged, number, replica);
        let shrinks = layer::usable_kib(&enlarged, number, replica)
            < layer::usable_kib(&before, number, replica)
            || (same_kind && size(&enlarged) < size(&before));
        let both = || had.iter().zip(&needs);
        if both().any(|((_, had), (_, needs))| needs < had) || shrinks {
            let cause = "Its resources would have to become smaller.".to_owned();
            let correction = "Volumes that are deployed can only grow.";
            return refuse(code::FAIL_INVLD_VLM_SIZE, cause, correction);
        }
        for ((suffix, had), (_, needs)) in both() {
            let volume = replica.volumes.get(&number);
            let pool = volume.and_then(|volume| volume.pool_of(*suffix));
            if let Some(pool) = pool.and_then(|pool| tx.pool(&replica.node, pool))
                && !pool.kind.is_thin()
            {
                space::check(tx, &tx.observed, pool, needs - had)?;
            }
        }
    }
    check_up_to_date(tx, name)?;
    Ok(SizeChange::Growth)
}

/// Waits a little until replicas can be grown: those that were just made are UpToDate a moment later.
async fn up_to_date(cluster: &Cluster, name: &ResourceName) {
    let deadline = Instant::now() + UP_TO_DATE_WITHIN;
    let all =
        |model: &Model, observed: &Observed| behind(model, observed, name).is_empty().then_some(());
    cluster.wait_until(name, deadline, all).await;
}

/// The nodes whose replicas cannot be grown: that of one that is behind would lose what it still has to fetch.
fn behind(model: &Model, observed: &Observed, name: &ResourceName) -> Vec<String> {
    let with_disk = model
        .resources_of(name)
        .filter(|replica| {
            replica
                .drbd
                .as_ref()
                .is_some_and(|drbd| !drbd.disk.is_diskless())
        })
        .filter(|replica| !model.is_deleting(replica) && !replica.inactive);
    with_disk
        .filter(|replica| observed.is_online(&replica.node))
        .filter(|replica| !observed.is_up_to_date(name, &replica.node))
        .map(|replica| replica.node.to_string())
        .collect()
}

fn check_up_to_date(tx: &Transaction<'_>, name: &ResourceName) -> Result<(), Refusal> {
    let behind = behind(tx, &tx.observed, name);
    if behind.is_empty() {
        return Ok(());
    }
    Err(Reply::new(
        code::FAIL_NOT_ALL_UPTODATE,
        format!(
            "The {} cannot be resized.",
            resource_definition::label(name)
        ),
    )
    .cause(format!("It is not UpToDate on: {}", behind.join(", ")))
    .correction("Wait until all replicas are UpToDate.")
    .into())
}
