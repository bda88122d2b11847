//! Resource definitions: what is the same for all replicas of a resource.

use std::ops::Bound;

use linstor_api::flag::resource_definition as flag;
use linstor_api::kind::LayerKind;
use linstor_api::layer::DrbdResourceDefinition;
use linstor_api::reply::Reply;
use linstor_api::resource_definition::{
    ResourceDefinition as Json, ResourceDefinitionCreate, ResourceDefinitionLayer,
    ResourceDefinitionModify, ResourceDefinitionSyncStatus,
};
use linstor_api::{code, prop};
use linstor_model::model::RowKey;
use linstor_model::name::{ResourceGroupName, ResourceName};
use linstor_model::{Draft, Model, numbers, phase, stack};
use linstor_model::{DrbdDefinition, Props, ResourceDefinition};
use linstor_wire::Secret;
use tokio::time::Instant;
use uuid::Uuid;

use super::filter::{Names, PropFilter};
use super::property::{self, Owner};
use super::reply::{
    Context, Refusal, created, deleted, exists, marked, modified, nothing_to_delete,
};
use super::{Facts, external_name, names, resource, resource_group, volume_definition};
use crate::cluster::Cluster;

pub(super) fn describe(name: impl std::fmt::Display) -> String {
    format!("resource definition '{name}'")
}

pub(super) fn context(mask: i64, name: &str) -> Context {
    let object = format!("Resource definition: {name}");
    let context = Context::new(code::MASK_RSC_DFN | mask, object);
    match name {
        "" => context,
        name => context.about("RscDfn", name),
    }
}

/// DRBD's part of a definition as answers show it.
pub fn show_drbd(drbd: &DrbdDefinition) -> DrbdResourceDefinition {
    let number = |value: u32| i32::try_from(value).ok();
    DrbdResourceDefinition {
        resource_name_suffix: String::new(),
        peer_slots: number(drbd.peer_slots),
        al_stripes: number(drbd.al_stripes),
        al_stripe_size_kib: Some(drbd.al_stripe_kib.into()),
        port: Some(drbd.wished_port.map_or(-1, i32::from)),
        transport_type: Some(drbd.transport.clone()),
        secret: Some(drbd.secret.reveal().to_owned()),
        down: Some(false),
    }
}

/// The layers that a definition shows: those it names, and DRBD when it has data of its own.
pub(super) fn shown_layers(definition: &ResourceDefinition) -> Vec<LayerKind> {
    let mut layers = definition.layer_stack.clone();
    if definition.drbd.is_some() && !layers.contains(&LayerKind::Drbd) {
        layers.insert(0, LayerKind::Drbd);
    }
    layers
}

/// A definition as answers show it.
pub fn show(definition: &ResourceDefinition, with_volumes: bool) -> Json {
    let layer = |kind: LayerKind| ResourceDefinitionLayer {
        r#type: Some(kind.into()),
        data: match kind {
            LayerKind::Drbd => definition.drbd.as_ref().map(show_drbd),
            _ => None,
        },
    };
    let volumes = definition.volumes.iter().filter(|_| with_volumes);
    let volumes = volumes.map(|(number, row)| volume_definition::show(definition, *number, row));
    Json {
        name: definition.name.to_string(),
        external_name: definition.external_name.clone(),
        props: definition.props.clone(),
        flags: flag::ALL.names(if definition.deleting.is_some() {
            flag::DELETE
        } else {
            0
        }),
        layer_data: shown_layers(definition).into_iter().map(layer).collect(),
        uuid: Some(definition.uuid.to_string()),
        resource_group_name: Some(definition.group.to_string()),
        volume_definitions: volumes.collect(),
    }
}

/// The definitions that the filters leave, as the text of a list in pieces.
pub fn list(
    cluster: &Cluster,
    names: Names,
    props: PropFilter,
    with_volumes: bool,
    (mut offset, mut limit): (usize, usize),
) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let model = cluster.model();
    let mut passed: Option<ResourceName> = None;
    linstor_api::list::pieces(move |out| {
        let begin = passed.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = model.definitions.range((begin, Bound::Unbounded));
        let rows = rows.map(|(_, row)| row);
        let wanted = rows.filter(|row| names.wants(row.name.as_str()) && props.meets(&row.props));
        let mut last = None;
        for row in wanted.skip(offset).take(limit) {
            limit -= 1;
            out.push(&show(row, with_volumes));
            if !out.has_room() {
                last = Some(row.name.clone());
                break;
            }
        }
        (passed, offset) = (last, 0);
    })
}

/// One definition.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = names::resource(name)?;
    let model = cluster.model();
    Ok(show(names::known_definition(&model, &name)?, false))
}

/// Whether all replicas with a disk are up to date.
pub fn sync_status(cluster: &Cluster, name: &str) -> Result<ResourceDefinitionSyncStatus, Refusal> {
    let name = names::resource(name)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    names::known_definition(&model, &name)?;
    let synced_on_all = model
        .resources_of(&name)
        .filter(|replica| {
            replica
                .drbd
                .as_ref()
                .is_some_and(|drbd| !drbd.disk.is_diskless())
        })
        .all(|replica| observed.is_up_to_date(&name, &replica.node));
    Ok(ResourceDefinitionSyncStatus { synced_on_all })
}

/// What a new definition shall be.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) external_name: Option<String>,
    pub(super) group: Option<String>,
    pub(super) layers: Vec<LayerKind>,
    pub(super) props: linstor_api::properties::Properties,
    pub(super) peer_slots: Option<u32>,
    pub(super) port: Option<u16>,
    pub(super) secret: Option<String>,
    pub(super) transport: Option<String>,
}

/// Adds a definition.
pub async fn create(cluster: &Cluster, request: ResourceDefinitionCreate) -> Vec<Reply> {
    let given = request.resource_definition.name.clone();
    let context = context(code::MASK_CRT, &given);
    let work = async {
        let (wish, mut replies) = parse(request)?;
        let facts = Facts::gather(cluster);
        let committed = cluster.commit(move |draft| {
            let mut said = Vec::new();
            let name = add(draft, &facts, wish, &mut said)?;
            let uuid = names::known_definition(draft, &name)?.uuid;
            let made = created(&describe(&name), uuid).about("RscDfn", name.to_string());
            said.insert(0, made);
            Ok(said)
        });
        let mut said = committed.await?.value;
        said.append(&mut replies);
        Ok(said)
    };
    context.run(work).await
}

fn parse(request: ResourceDefinitionCreate) -> Result<(Wish, Vec<Reply>), Refusal> {
    let json = request.resource_definition;
    let words: Vec<_> = json
        .layer_data
        .iter()
        .filter_map(|layer| layer.r#type.clone())
        .collect();
    let (layers, added) = stack::complete(stack::parse(&words)?);
    if !layers.is_empty() {
        stack::check(&layers)?;
        stack::check_buildable(&layers)?;
    }
    let wish = Wish {
        name: json.name,
        external_name: json.external_name.filter(|name| !name.is_empty()),
        group: json.resource_group_name.filter(|name| !name.is_empty()),
        layers,
        props: json.props,
        peer_slots: resource_group::peer_slots(request.drbd_peer_slots)?,
        port: port(request.drbd_port)?,
        secret: request.drbd_secret.filter(|secret| !secret.is_empty()),
        transport: transport(request.drbd_transport_type)?,
    };
    Ok((wish, added.into_iter().collect()))
}

fn port(given: Option<i32>) -> Result<Option<u16>, Refusal> {
    match given.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(port)) if port > 0 => Ok(Some(port)),
        Some(_) => Err(Reply::new(
            code::FAIL_INVLD_RSC_PORT,
            format!("The TCP port {} is not valid.", given.unwrap_or_default()),
        )
        .cause("Ports are numbers within limits.")
        .correction("Use a port from 1 to 65535, or leave it out.")
        .into()),
    }
}

fn transport(given: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(word) = given.filter(|word| !word.trim().is_empty()) else {
        return Ok(None);
    };
    const KNOWN: [&str; 3] = ["IP", "RDMA", "RoCE"];
    let known = KNOWN
        .iter()
        .find(|known| known.eq_ignore_ascii_case(word.trim()));
    match known {
        Some(known) => Ok(Some((*known).to_owned())),
        None => Err(Reply::new(
            code::FAIL_INVLD_TRANSPORT_TYPE,
            format!(
                "The given transport type '{}' is invalid.",
                word.escape_debug()
            ),
        )
        .cause("The transport type is not known.")
        .correction(format!("Use one of {}.", KNOWN.join(", ")))
        .into()),
    }
}

/// Adds a definition to a draft and returns its name.
pub(super) fn add(
    draft: &mut Draft,
    facts: &Facts,
    wish: Wish,
    replies: &mut Vec<Reply>,
) -> Result<ResourceName, Refusal> {
    let external = wish.external_name.as_deref();
    let name = external_name::choose(draft, &wish.name, external, facts.uuid())?;
    if draft.definitions.contains_key(&name) {
        return Err(exists(code::FAIL_EXISTS_RSC_DFN, &describe(&name)).into());
    }
    if let Some(external) = external
        && draft
            .definitions
            .values()
            .any(|row| row.external_name.as_deref() == Some(external))
    {
        let what = format!("resource definition with the external name '{external}'");
        return Err(exists(code::FAIL_EXISTS_EXT_NAME, &what).into());
    }
    let group = group(draft, wish.group.as_deref(), facts.uuid())?;
    let mut props = Props::new();
    let change = property::change(wish.props, vec![], vec![]);
    property::apply(Owner::ResourceDefinition, &mut props, &change, replies)?;
    let mut definition = ResourceDefinition {
        name: name.clone(),
        external_name: wish.external_name,
        uuid: facts.uuid(),
        group,
        layer_stack: wish.layers,
        props,
        drbd: None,
        volumes: Default::default(),
        deleting: None,
    };
    let replicated =
        definition.layer_stack.is_empty() || definition.layer_stack.contains(&LayerKind::Drbd);
    if replicated {
        let slots = wish
            .peer_slots
            .unwrap_or_else(|| numbers::peer_slots(draft, &definition));
        definition.drbd = Some(DrbdDefinition {
            secret: Secret::new(wish.secret.unwrap_or_else(|| secret(facts))),
            peer_slots: slots,
            al_stripes: 1,
            al_stripe_kib: 32,
            transport: wish.transport.unwrap_or_else(|| "IP".to_owned()),
            wished_port: wish.port,
        });
    }
    draft.put_resource_definition(definition);
    Ok(name)
}

/// 15 random bytes as 20 characters (spec core 3).
fn secret(facts: &Facts) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(facts.random::<15>())
}

fn group(draft: &mut Draft, given: Option<&str>, uuid: Uuid) -> Result<ResourceGroupName, Refusal> {
    let name = match given {
        None => return Ok(resource_group::default_group(draft, uuid)),
        Some(given) => names::group(given)?,
    };
    if name
        .as_str()
        .eq_ignore_ascii_case(linstor_model::model::DEFAULT_GROUP)
    {
        return Ok(resource_group::default_group(draft, uuid));
    }
    Ok(names::known_group(draft, &name)?.name.clone())
}

/// Changes a definition.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    request: ResourceDefinitionModify,
) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name);
    let work = async {
        let name = names::resource(&name)?;
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster
            .commit(move |draft| Ok(edit(draft, &facts, &target, &request)?))
            .await?;
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
    request: &ResourceDefinitionModify,
) -> Result<Vec<Reply>, Refusal> {
    let known = names::known_definition(draft, name)?.clone();
    let mut row = ResourceDefinition::clone(&known);
    let mut replies = Vec::new();
    let change = property::change(
        request.override_props.clone(),
        request.delete_props.clone(),
        request.delete_namespaces.clone(),
    );
    property::apply(
        Owner::ResourceDefinition,
        &mut row.props,
        &change,
        &mut replies,
    )?;
    check_exact_size(draft, &known, &row)?;
    if let Some(wished) = port(request.drbd_port)?
        && let Some(drbd) = &mut row.drbd
    {
        drbd.wished_port = Some(wished);
    }
    if let Some(slots) = resource_group::peer_slots(request.drbd_peer_slots)?
        && let Some(drbd) = &mut row.drbd
    {
        drbd.peer_slots = slots;
    }
    if !request.layer_stack.is_empty() {
        let mut added = change_layers(draft, facts, &mut row, &request.layer_stack)?;
        replies.append(&mut added);
    }
    let mut moved = false;
    if let Some(given) = request
        .resource_group
        .as_deref()
        .filter(|given| !given.is_empty())
    {
        row.group = group(draft, Some(given), facts.uuid())?;
        moved = row.group != known.group;
    }
    replies.push(modified(&describe(&row.name), row.uuid));
    if *known != row {
        draft.put_resource_definition(row);
        if moved {
            replies.append(&mut super::placement::fill_up(draft, facts, name)?);
        }
        if moved || super::concerns_helpers(&change) {
            replies.append(&mut super::helpers_after_change(draft, facts, name));
        }
    }
    Ok(replies)
}

fn check_exact_size(
    model: &Model,
    before: &ResourceDefinition,
    after: &ResourceDefinition,
) -> Result<(), Refusal> {
    let exact = |row: &ResourceDefinition| {
        row.props
            .get(prop::DRBD_EXACT_SIZE)
            .is_some_and(|value| prop::is_true(value))
    };
    if exact(after) && !exact(before) && model.resources_of(&after.name).next().is_some() {
        return Err(Reply::new(
            code::FAIL_INVLD_PROP,
            format!(
                "The property {} cannot be set any more.",
                prop::DRBD_EXACT_SIZE
            ),
        )
        .cause(format!(
            "The {} has resources already.",
            describe(&after.name)
        ))
        .correction("Set it before the first resource is made.")
        .into());
    }
    Ok(())
}

fn change_layers(
    model: &Model,
    facts: &Facts,
    row: &mut ResourceDefinition,
    given: &[String],
) -> Result<Vec<Reply>, Refusal> {
    let (layers, added) = stack::complete(stack::parse(given)?);
    stack::check(&layers)?;
    stack::check_buildable(&layers)?;
    if layers != row.layer_stack && model.resources_of(&row.name).next().is_some() {
        return Err(Reply::new(
            code::FAIL_EXISTS_RSC,
            format!(
                "The layer stack of {} cannot be changed.",
                describe(&row.name)
            ),
        )
        .cause("It has resources, which were built with the layers it had.")
        .correction("Delete the resources first.")
        .into());
    }
    row.layer_stack = layers;
    let replicated = row.layer_stack.contains(&LayerKind::Drbd);
    if replicated && row.drbd.is_none() {
        row.drbd = Some(DrbdDefinition {
            secret: Secret::new(secret(facts)),
            peer_slots: numbers::peer_slots(model, row),
            al_stripes: 1,
            al_stripe_kib: 32,
            transport: "IP".to_owned(),
            wished_port: None,
        });
        let mut taken = Draft::new(model.clone());
        for number in row.volumes.keys().copied().collect::<Vec<_>>() {
            let minor = numbers::allocate_minor(&taken)?;
            if let Some(volume) = row.volumes.get_mut(&number) {
                volume.minor = Some(minor);
            }
            taken.put_resource_definition(row.clone());
        }
    }
    if !replicated {
        row.drbd = None;
        row.volumes
            .values_mut()
            .for_each(|volume| volume.minor = None);
    }
    Ok(added.into_iter().collect())
}

/// Deletes a definition with all its replicas.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::resource(&name)?;
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster
            .commit(move |draft| Ok(mark(draft, &facts, &target)?))
            .await?;
        let Marked { uuid, shown, gone } = committed.value;
        if gone {
            return Ok(vec![deleted(&describe(shown), uuid)]);
        }
        let mut replies = vec![marked(&describe(&shown), uuid)];
        replies.append(&mut wait_gone(cluster, &name, uuid, &shown).await);
        Ok(replies)
    };
    context.run(work).await
}

struct Marked {
    uuid: Uuid,
    shown: ResourceName,
    gone: bool,
}

fn mark(draft: &mut Draft, facts: &Facts, name: &ResourceName) -> Result<Marked, Refusal> {
    let Some(known) = draft.definitions.get(name).cloned() else {
        return Err(nothing_to_delete(
            draft,
            &RowKey::ResourceDefinition(name.clone()),
            &describe(name),
        )
        .into());
    };
    resource::check_unused(draft, &facts.observed, name)?;
    let since = draft.since(facts.now_ms);
    draft.edit_resource_definition(name, |row| {
        row.deleting = Some(row.deleting.unwrap_or(since))
    });
    for node in super::nodes_of(draft, name) {
        resource::take_down(draft, name, &node, facts.now_ms);
    }
    phase::advance(draft, &facts.observed, name, facts.now_ms);
    Ok(Marked {
        uuid: known.uuid,
        shown: known.name.clone(),
        gone: !draft.definitions.contains_key(name),
    })
}

async fn wait_gone(
    cluster: &Cluster,
    name: &ResourceName,
    uuid: Uuid,
    shown: &ResourceName,
) -> Vec<Reply> {
    let gone = |model: &Model| {
        model
            .definitions
            .get(name)
            .is_none_or(|row| row.uuid != uuid)
    };
    let deadline = Instant::now() + super::WAIT;
    let result = cluster.wait_until(name, deadline, |model, observed| {
        if gone(model) {
            return Some(vec![]);
        }
        resource::stuck(model, observed, name)
    });
    match result.await {
        _ if gone(&cluster.model()) => vec![deleted(&describe(shown), uuid)],
        Some(why) => why,
        None => vec![super::still_working(&describe(shown))],
    }
}

/// Deletes all replicas of a definition and keeps the definition.
pub async fn truncate(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::resource(&name)?;
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster.commit(move |draft| {
            names::known_definition(draft, &target)?;
            resource::check_unused(draft, &facts.observed, &target)?;
            let nodes = super::nodes_of(draft, &target);
            for node in &nodes {
                resource::take_down(draft, &target, node, facts.now_ms);
            }
            Ok(nodes)
        });
        let nodes = committed.await?.value;
        if nodes.is_empty() {
            let message = format!("The {} has no resources.", describe(&name));
            return Ok(vec![Reply::new(code::WARN_NOT_FOUND, message)]);
        }
        let mut replies = vec![Reply::new(
            code::DELETED,
            format!("All resources of {} marked for deletion.", describe(&name)),
        )];
        replies.append(&mut resource::wait_gone(cluster, &name, &nodes).await);
        Ok(replies)
    };
    context.run(work).await
}
