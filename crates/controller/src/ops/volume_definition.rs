//! Volume definitions: the size of one volume of a resource definition.

use linstor_api::flag::volume_definition as flag;
use linstor_api::kind::LayerKind;
use linstor_api::layer::DrbdVolumeDefinition;
use linstor_api::reply::Reply;
use linstor_api::volume_definition::{
    VolumeDefinition as Json, VolumeDefinitionCreate, VolumeDefinitionLayer, VolumeDefinitionModify,
};
use linstor_api::{code, prop};
use linstor_model::layer::{self, drbd84};
use linstor_model::model::RowKey;
use linstor_model::name::ResourceName;
use linstor_model::{Draft, Model, numbers, phase, space};
use linstor_model::{Props, Resize, ResizeStep, VolumeDefinition};
use tokio::time::Instant;
use uuid::Uuid;

use super::property::{self, Owner};
use super::reply::{Context, Refusal, deleted, exists, marked, modified, nothing_to_delete};
use super::{Facts, names, placement, resource, resource_definition};
use crate::cluster::Cluster;

/// The largest volume: 1 PiB, DRBD's limit.
const SIZE_KIB_MAX: u64 = 1 << 40;

fn describe(name: &ResourceName, number: u32) -> String {
    format!("volume definition with number '{number}' of resource definition '{name}'")
}

fn context(mask: i64, name: &str, number: Option<&str>) -> Context {
    let object = match number {
        Some(number) => format!("Resource definition: {name}, Volume number: {number}"),
        None => format!("Volume definitions for resource definition '{name}'"),
    };
    let context = Context::new(code::MASK_VLM_DFN | mask, object).about("RscDfn", name);
    match number {
        Some(number) => context.about("VlmNr", number),
        None => context,
    }
}

/// A volume definition as answers show it.
pub fn show(
    definition: &linstor_model::ResourceDefinition,
    number: u32,
    row: &VolumeDefinition,
) -> Json {
    let signed = i32::try_from(number).ok();
    let layer = |kind: LayerKind| VolumeDefinitionLayer {
        r#type: kind.into(),
        data: match kind {
            LayerKind::Drbd => row.minor.map(|minor| DrbdVolumeDefinition {
                resource_name_suffix: String::new(),
                volume_number: signed,
                minor_number: i32::try_from(minor).ok(),
            }),
            _ => None,
        },
    };
    let layers = resource_definition::shown_layers(definition);
    Json {
        volume_number: signed,
        size_kib: i64::try_from(row.size_kib).unwrap_or(i64::MAX),
        props: row.props.clone(),
        flags: flag::ALL.names(flags(row)),
        layer_data: layers.into_iter().map(layer).collect(),
        uuid: Some(row.uuid.to_string()),
    }
}

/// The flags that follow from a volume definition's state.
pub(super) fn flags(row: &VolumeDefinition) -> u64 {
    let set = |condition: bool, bits: u64| if condition { bits } else { 0 };
    set(row.deleting.is_some(), flag::DELETE)
        | set(row.encrypted, flag::ENCRYPTED)
        | set(row.resize.is_some(), flag::RESIZE)
        | set(row.gross_size, flag::GROSS_SIZE)
        | set(row.initialized, flag::DRBD_INITIALIZED)
}

/// All volume definitions of a definition.
pub fn list(cluster: &Cluster, name: &str) -> Result<Vec<Json>, Refusal> {
    let name = names::resource(name)?;
    let model = cluster.model();
    let definition = names::known_definition(&model, &name)?;
    let rows = definition.volumes.iter();
    Ok(rows
        .map(|(number, row)| show(definition, *number, row))
        .collect())
}

/// One volume definition.
pub fn one(cluster: &Cluster, name: &str, number: &str) -> Result<Json, Refusal> {
    let (name, number) = (names::resource(name)?, names::volume_number_text(number)?);
    let model = cluster.model();
    let row = names::known_volume_definition(&model, &name, number)?;
    Ok(show(names::known_definition(&model, &name)?, number, row))
}

/// What a new volume definition shall be.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub(super) number: Option<u32>,
    pub(super) size_kib: u64,
    pub(super) gross_size: bool,
    pub(super) minor: Option<i64>,
    pub(super) props: linstor_api::properties::Properties,
}

/// A size that a volume can have.
pub(super) fn size(given: i64) -> Result<u64, Refusal> {
    let invalid = |cause: &str| {
        Reply::new(
            code::FAIL_INVLD_VLM_SIZE,
            format!("The volume size of {given} KiB is not valid."),
        )
        .cause(cause)
        .correction(format!(
            "Use a size from 4 KiB to {SIZE_KIB_MAX} KiB (1 PiB)."
        ))
        .into()
    };
    match u64::try_from(given) {
        Ok(0) | Err(_) => Err(invalid("A volume must have a size.")),
        Ok(size) if size > SIZE_KIB_MAX => Err(invalid("It is larger than a volume can be.")),
        Ok(size) if size < 4 => Err(invalid("It is smaller than the block size.")),
        Ok(size) => Ok(size),
    }
}

pub(super) fn encrypted_refused() -> Refusal {
    Reply::new(
        code::FAIL_NOT_FOUND_CRYPT_KEY,
        "Encrypted volumes are not implemented yet by this controller",
    )
    .cause("There is no master key, and no layer that encrypts.")
    .correction("Leave the flag 'ENCRYPTED' and the passphrase out.")
    .into()
}

/// Adds a volume definition, and a volume to every replica there is.
pub async fn create(
    cluster: &Cluster,
    name: String,
    request: VolumeDefinitionCreate,
) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &name, None);
    let work = async {
        let name = names::resource(&name)?;
        let wish = parse(&request)?;
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster.commit(move |draft| {
            names::known_definition(draft, &target)?;
            let mut replies = Vec::new();
            let number = add(draft, &facts, &target, wish, &mut replies)?;
            replies.append(&mut placement::add_volumes(draft, &facts, &target, number)?);
            Ok(replies)
        });
        let committed = committed.await?;
        let mut replies = committed.value;
        replies.append(&mut super::wait_all(cluster, &[name], committed.generation).await);
        Ok(replies)
    };
    context.run(work).await
}

fn parse(request: &VolumeDefinitionCreate) -> Result<Wish, Refusal> {
    let json = &request.volume_definition;
    let bits = flag::ALL.bits_of(&json.flags);
    let passphrase = request
        .passphrase
        .as_deref()
        .is_some_and(|text| !text.is_empty());
    if bits & flag::ENCRYPTED != 0 || passphrase {
        return Err(encrypted_refused());
    }
    Ok(Wish {
        number: match json.volume_number {
            Some(number) => Some(names::volume_number(number.into())?),
            None => None,
        },
        size_kib: size(json.size_kib)?,
        gross_size: bits & flag::GROSS_SIZE != 0,
        minor: request.drbd_minor_number.map(i64::from),
        props: json.props.clone(),
    })
}

/// Adds a volume definition to a draft and returns its number.
pub(super) fn add(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    wish: Wish,
    replies: &mut Vec<Reply>,
) -> Result<u32, Refusal> {
    let definition = names::known_definition(draft, name)?.clone();
    if definition.deleting.is_some() {
        return Err(Reply::new(
            code::FAIL_IN_USE,
            format!(
                "The {} is being deleted.",
                resource_definition::describe(&definition.name)
            ),
        )
        .cause("Nothing can be added to it any more.")
        .correction("Wait until it is gone, then create it again.")
        .into());
    }
    let number = match wish.number {
        Some(number) => number,
        None => numbers::allocate_volume_number(&definition)?,
    };
    let what = describe(&definition.name, number);
    if definition.volumes.contains_key(&number) {
        return Err(exists(code::FAIL_EXISTS_VLM_DFN, &what).into());
    }
    let minor = match (wish.minor, &definition.drbd) {
        (Some(minor), Some(_)) => Some(numbers::check_minor(draft, minor)?),
        (None, Some(_)) => Some(numbers::allocate_minor(draft)?),
        (_, None) => None,
    };
    let mut props = Props::new();
    let mut said = Vec::new();
    let change = property::change(wish.props, vec![], vec![]);
    property::apply(Owner::VolumeDefinition, &mut props, &change, &mut said)?;
    if minor.is_some() {
        props
            .entry(prop::DRBD_CURRENT_GI.to_owned())
            .or_insert_with(|| day0(facts));
    }
    let uuid = facts.uuid();
    replies.push(added(&definition.name, number, uuid));
    replies.append(&mut said);
    draft.edit_resource_definition(name, |row| {
        let volume = VolumeDefinition {
            uuid,
            size_kib: wish.size_kib,
            gross_size: wish.gross_size,
            encrypted: false,
            props,
            minor,
            first_copy_on: None,
            initialized: false,
            file_system_on: Default::default(),
            granularity_kib: 0,
            resize: None,
            deleting: None,
        };
        row.volumes.insert(number, volume);
    });
    Ok(number)
}

fn added(name: &ResourceName, number: u32, uuid: Uuid) -> Reply {
    let message = format!(
        "New volume definition with number '{number}' of resource definition '{name}' created."
    );
    Reply::new(code::MASK_VLM_DFN | code::MASK_CRT | code::CREATED, message)
        .about("RscDfn", name.as_str())
        .about("VlmNr", number.to_string())
        .about("UUID", uuid.to_string())
}

/// The generation id that a volume which was never written has: even, as the last bit is DRBD's mark of a primary.
fn day0(facts: &Facts) -> String {
    let bytes = facts.random::<8>();
    format!("{:016X}", u64::from_be_bytes(bytes) & !1)
}

/// Changes a volume definition's properties, flags and size.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    number: String,
    request: VolumeDefinitionModify,
) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, Some(&number));
    let work = async {
        let (name, number) = (names::resource(&name)?, names::volume_number_text(&number)?);
        let wanted = match request.size_kib {
            Some(size_kib) => Some(size(size_kib)?),
            None => None,
        };
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster
            .commit(move |draft| Ok(edit(draft, &facts, &target, number, wanted, request)?))
            .await?;
        let (mut replies, resizing) = committed.value;
        if committed.changed {
            let names = [name.clone()];
            replies.append(&mut super::wait_all(cluster, &names, committed.generation).await);
        }
        if resizing && !replies.iter().any(Reply::is_error) {
            replies.append(&mut wait_resized(cluster, &name, number).await);
        }
        Ok(replies)
    };
    context.run(work).await
}

fn edit(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    number: u32,
    wanted: Option<u64>,
    request: VolumeDefinitionModify,
) -> Result<(Vec<Reply>, bool), Refusal> {
    let known = names::known_volume_definition(draft, name, number)?.clone();
    let mut row = known.clone();
    let mut replies = Vec::new();
    let change = property::change(
        request.override_props,
        request.delete_props,
        request.delete_namespaces,
    );
    property::apply(
        Owner::VolumeDefinition,
        &mut row.props,
        &change,
        &mut replies,
    )?;
    let bits = flag::ALL.modified(
        flags(&row) & (flag::GROSS_SIZE | flag::ENCRYPTED),
        &request.flags,
    );
    if bits & flag::ENCRYPTED != 0 && !row.encrypted {
        return Err(encrypted_refused());
    }
    let gross_size = bits & flag::GROSS_SIZE != 0;
    let size_kib = wanted.unwrap_or(row.size_kib);
    if wanted == Some(known.size_kib) && gross_size == known.gross_size {
        replies.push(Reply::new(
            code::WARN_VLMDFN_RESIZE_SAME_SIZE,
            format!("The {} has this size already.", describe(name, number)),
        ));
    }
    let mut resizing = false;
    if size_kib != known.size_kib || gross_size != known.gross_size {
        row.size_kib = size_kib;
        row.gross_size = gross_size;
        resizing = resize(draft, facts, name, number, &known, &mut row)?;
    }
    replies.push(modified(&describe(name, number), row.uuid));
    if row != known {
        draft.edit_resource_definition(name, |definition| {
            definition.volumes.insert(number, row);
        });
    }
    Ok((replies, resizing))
}

/// Checks a change of size and begins it. Says whether replicas have to follow.
fn resize(
    model: &Model,
    facts: &Facts,
    name: &ResourceName,
    number: u32,
    before: &VolumeDefinition,
    after: &mut VolumeDefinition,
) -> Result<bool, Refusal> {
    let definition = names::known_definition(model, name)?;
    if model.resources_of(name).next().is_none() {
        return Ok(false);
    }
    let refuse = |ret_code: i64, cause: String, correction: &str| {
        let message = format!(
            "The size of the {} cannot be changed.",
            describe(name, number)
        );
        Err(Reply::new(ret_code, message)
            .cause(cause)
            .correction(correction)
            .into())
    };
    if before.resize.is_some() || before.deleting.is_some() || definition.deleting.is_some() {
        let cause = "It is being resized or deleted already.".to_owned();
        return refuse(
            code::FAIL_RSC_BUSY,
            cause,
            "Wait until that is done; see /v1/jobs.",
        );
    }
    if let Some(replica) = drbd84::holds_up_growth(model, name) {
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
    let exact = definition.props.get(prop::DRBD_EXACT_SIZE);
    if exact.is_some_and(|value| prop::is_true(value)) {
        let cause = format!(
            "The property {} of its definition is set.",
            prop::DRBD_EXACT_SIZE
        );
        return refuse(
            code::FAIL_INVLD_VLM_SIZE,
            cause,
            "Make a new volume and copy the data.",
        );
    }
    let mut enlarged = linstor_model::ResourceDefinition::clone(definition);
    enlarged.volumes.insert(number, after.clone());
    for replica in model.resources_of(name) {
        let had = layer::backing(definition, number, replica);
        let needs = layer::backing(&enlarged, number, replica);
        let shrinks = layer::usable_kib(&enlarged, number, replica)
            < layer::usable_kib(definition, number, replica);
        let both = || had.iter().zip(&needs);
        if both().any(|((_, had), (_, needs))| needs < had) || shrinks {
            let cause = "Its resources would have to become smaller.".to_owned();
            let correction = "Volumes that are deployed can only grow.";
            return refuse(code::FAIL_INVLD_VLM_SIZE, cause, correction);
        }
        for ((suffix, had), (_, needs)) in both() {
            let volume = replica.volumes.get(&number);
            let pool = volume.and_then(|volume| volume.pool_of(*suffix));
            if let Some(pool) = pool.and_then(|pool| model.pool(&replica.node, pool))
                && !pool.kind.is_thin()
            {
                space::check(model, &facts.observed, pool, needs - had)?;
            }
        }
    }
    check_up_to_date(model, facts, name)?;
    after.resize = Some(Resize {
        since: linstor_model::Draft::new(model.clone()).since(facts.now_ms),
        step: ResizeStep::Storage,
    });
    Ok(true)
}

/// Growing a replica that is behind would lose what it still has to fetch.
fn check_up_to_date(model: &Model, facts: &Facts, name: &ResourceName) -> Result<(), Refusal> {
    let behind: Vec<String> = model
        .resources_of(name)
        .filter(|replica| {
            replica
                .drbd
                .as_ref()
                .is_some_and(|drbd| !drbd.disk.is_diskless())
        })
        .filter(|replica| !replica.phase.is_deleting() && !replica.inactive)
        .filter(|replica| facts.observed.is_online(&replica.node))
        .filter(|replica| !facts.observed.is_up_to_date(name, &replica.node))
        .map(|replica| replica.node.to_string())
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    Err(Reply::new(
        code::FAIL_NOT_ALL_UPTODATE,
        format!(
            "The {} cannot be resized.",
            resource_definition::describe(name)
        ),
    )
    .cause(format!("It is not UpToDate on: {}", behind.join(", ")))
    .correction("Wait until all replicas are UpToDate.")
    .into())
}

async fn wait_resized(cluster: &Cluster, name: &ResourceName, number: u32) -> Vec<Reply> {
    let deadline = Instant::now() + super::WAIT;
    let busy = |model: &Model| {
        let definition = model.definitions.get(name);
        let volume = definition.and_then(|definition| definition.volumes.get(&number));
        volume.is_some_and(|volume| volume.resize.is_some())
    };
    let done = cluster.wait_until(name, deadline, |model, observed| {
        if !busy(model) {
            return Some(vec![]);
        }
        resource::stuck(model, observed, name)
    });
    match done.await {
        Some(why) => why,
        None => vec![super::still_working(&describe(name, number))],
    }
}

/// Deletes a volume definition and its volumes on all nodes.
pub async fn delete(cluster: &Cluster, name: String, number: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name, Some(&number));
    let work = async {
        let (name, number) = (names::resource(&name)?, names::volume_number_text(&number)?);
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster
            .commit(move |draft| Ok(mark(draft, &facts, &target, number)?))
            .await?;
        let (uuid, gone) = committed.value;
        let what = describe(&name, number);
        if gone {
            return Ok(vec![deleted(&what, uuid)]);
        }
        let mut replies = vec![marked(&what, uuid)];
        let deadline = Instant::now() + super::WAIT;
        let there = |model: &Model| {
            let definition = model.definitions.get(&name);
            let volume = definition.and_then(|definition| definition.volumes.get(&number));
            volume.is_some_and(|volume| volume.uuid == uuid)
        };
        let wait = cluster.wait_until(&name, deadline, |model, observed| {
            if !there(model) {
                return Some(vec![]);
            }
            resource::stuck(model, observed, &name)
        });
        match wait.await {
            _ if !there(&cluster.model()) => replies.push(deleted(&what, uuid)),
            Some(mut why) => replies.append(&mut why),
            None => replies.push(super::still_working(&what)),
        }
        Ok(replies)
    };
    context.run(work).await
}

fn mark(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    number: u32,
) -> Result<(Uuid, bool), Refusal> {
    let definition = names::known_definition(draft, name)?.clone();
    let Some(row) = definition.volumes.get(&number) else {
        return Err(nothing_to_delete(
            draft,
            &RowKey::ResourceDefinition(name.clone()),
            &describe(name, number),
        )
        .into());
    };
    resource::check_unused(draft, &facts.observed, name)?;
    if draft.resources_of(name).next().is_none() {
        phase::remove_volume(draft, name, number);
        return Ok((row.uuid, true));
    }
    let since = draft.since(facts.now_ms);
    draft.edit_resource_definition(name, |definition| {
        if let Some(volume) = definition.volumes.get_mut(&number) {
            volume.deleting = Some(volume.deleting.unwrap_or(since));
            volume.resize = None;
        }
    });
    Ok((row.uuid, false))
}
