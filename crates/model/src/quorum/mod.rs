//! Quorum and tie breakers: automatic changes after replicas were added or deleted (`docs/facts.md`).
//!
//! With two replicas neither side of a broken connection can have a majority. A third, diskless resource breaks
//! the tie; with it, or with three replicas, DRBD can require a majority. DRBD 8.4 supports neither.
//!
//! All of it follows from resources, nodes and properties as they are, whatever changed them: [`settle`] is called for
//! each definition that a commit concerns.

mod explain;

pub use explain::{Counts, Explained, Vote, explain};

use std::collections::BTreeSet;
use std::sync::Arc;

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::draft::Draft;
use crate::layer::drbd84;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::place::{
    Chosen, PlaceRequest, Sharing, Want, choose, drbd_of, keeps_rules, version_numbers,
};
use crate::process::{Kind, delete_resource, remove_disk};
use crate::props::{Level, Purpose, Scope, chain, effective, is_true};
use crate::resource::{NewResource, Seeds, new_resource};
use crate::{DiskKind, Resource, ResourceDefinition, SelectFilter};

/// The oldest DRBD version with tie breakers.
const TIE_BREAKER_DRBD_MIN: [u32; 3] = [9, 0, 19];
/// The oldest DRBD version with quorum.
const QUORUM_DRBD_MIN: [u32; 3] = [9, 0, 18];

const MAJORITY: &str = "majority";
const OFF: &str = "off";
const LINSTOR: &str = "linstor";

/// Settles tie breaker and quorum of a definition after a change of its resources or its quorum properties, within the
/// same commit; a second call changes nothing.
pub fn settle(
    draft: &mut Draft,
    observed: &Observed,
    name: &ResourceName,
    seeds: &mut Seeds<'_>,
) -> Vec<Reply> {
    let Some(definition) = draft.definitions.get(name).map(Arc::clone) else {
        return Vec::new();
    };
    if draft.is_deleting_definition(&definition) || draft.held.holds_definition(name) {
        return Vec::new();
    }
    if definition.drbd.is_none() {
        // Without DRBD there is no quorum; LINSTOR sets the property all the same.
        let reply = match is_managed(draft, &definition) {
            true => managed_quorum(draft, observed, name),
            false => users_quorum(draft, &definition),
        };
        return reply.into_iter().collect();
    }
    if on_84(draft, observed, name) {
        unset_quorum(draft, &definition);
        return Vec::new();
    }
    // A quorum set by a user decides whether a tie breaker is wanted; LINSTOR's quorum follows from the tie breaker.
    let mut replies = Vec::new();
    let managed = is_managed(draft, &definition);
    if !managed {
        replies.extend(users_quorum(draft, &definition));
    }
    if let Some(definition) = draft.definitions.get(name).map(Arc::clone) {
        replies.append(&mut tie_breaker(draft, observed, &definition, seeds));
    }
    if managed {
        replies.extend(managed_quorum(draft, observed, name));
    }
    replies
}

/// Active resources with DRBD that are not being deleted.
fn connected<'a>(
    model: &'a Model,
    name: &'a ResourceName,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    model.resources_of(name).filter(|replica| {
        replica.drbd.is_some() && !model.is_deleting(replica) && !replica.inactive
    })
}

fn disk(replica: &Resource) -> DiskKind {
    replica
        .drbd
        .as_ref()
        .map_or(DiskKind::Diskful, |drbd| drbd.disk)
}

/// Number of diskful resources. One that is to replace another one does not count as long as both exist.
fn diskful_count(model: &Model, name: &ResourceName) -> usize {
    connected(model, name)
        .filter(|replica| {
            let moving = model.process_of(replica).is_some_and(|process| {
                matches!(
                    &process.kind,
                    Kind::Migrate(migrate)
                        if model.resource(name, &migrate.from)
                            .is_some_and(|old| !model.is_deleting(old))
                )
            });
            !replica.is_diskless() && !moving
        })
        .count()
}

fn on_84(model: &Model, observed: &Observed, name: &ResourceName) -> bool {
    model
        .resources_of(name)
        .any(|replica| drbd84::is_84(drbd_of(model, observed, &replica.node).0))
}

fn policy<'a>(model: &'a Model, definition: &'a ResourceDefinition, key: &str) -> Option<&'a str> {
    effective(model, Purpose::Policy, &Scope::definition(definition), key)
}

fn is_managed(model: &Model, definition: &ResourceDefinition) -> bool {
    let by = policy(model, definition, prop::DRBD_QUORUM_SET_BY);
    by.is_none_or(|by| by.eq_ignore_ascii_case(LINSTOR))
}

// --- Tie breaker ---

fn tie_breaker(
    draft: &mut Draft,
    observed: &Observed,
    definition: &ResourceDefinition,
    seeds: &mut Seeds<'_>,
) -> Vec<Reply> {
    let name = &definition.name;
    let breakers = connected(draft, name)
        .filter(|replica| disk(replica) == DiskKind::TieBreaker)
        .map(|replica| replica.node.clone());
    let (lasting, leaving): (Vec<NodeName>, Vec<NodeName>) =
        breakers.partition(|node| lasts(draft, node));
    if !is_wanted(draft, observed, definition) {
        let all = [lasting, leaving].concat();
        return retire(draft, observed, name, &all, seeds);
    }
    if let [_, surplus @ ..] = &lasting[..] {
        let surplus = [surplus, &leaving].concat();
        return retire(draft, observed, name, &surplus, seeds);
    }
    if !leaving.is_empty() {
        return replace(draft, observed, definition, &leaving, seeds);
    }
    if let Some(node) = take_over(draft, observed, definition, seeds) {
        let text = "The given resource will not be deleted but will be taken over as a \
                    linstor managed tiebreaker resource.";
        return vec![
            Reply::new(code::INFO_TIE_BREAKER_TAKEOVER, text).about("Node", node.as_str()),
        ];
    }
    create(draft, observed, definition, seeds)
}

/// Whether a tie breaker is wanted: an even number of diskful resources, quorum `majority`, and no other diskless
/// voter.
fn is_wanted(model: &Model, observed: &Observed, definition: &ResourceDefinition) -> bool {
    tie_breaker_reason(model, observed, definition).is_ok()
}

/// Why a tie breaker is wanted, or why none is.
fn tie_breaker_reason(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
) -> Result<String, String> {
    let name = &definition.name;
    let automatic = policy(model, definition, prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER);
    if !automatic.is_some_and(is_true) {
        let key = prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER;
        return Err(format!("property '{key}' is not set"));
    }
    let majority = policy(model, definition, prop::DRBD_QUORUM)
        .is_none_or(|quorum| quorum.eq_ignore_ascii_case(MAJORITY));
    if !(majority || is_managed(model, definition)) {
        return Err(format!("a property sets a quorum other than '{MAJORITY}'"));
    }
    let diskful = diskful_count(model, name);
    if diskful < 2 {
        return Err("with less than two diskful resources there is no majority".to_owned());
    }
    if !diskful.is_multiple_of(2) {
        return Err(format!("{diskful} diskful resources have a majority"));
    }
    let filter = filter_of(model, definition);
    let request = request(definition, &filter, Sharing::AsSaid);
    let voter = connected(model, name)
        .filter(|replica| disk(replica) == DiskKind::Diskless)
        .filter_map(|replica| model.node(&replica.node))
        .find(|node| keeps_rules(model, observed, &request, node));
    match voter {
        Some(node) => Err(format!("the diskless resource on {} votes", node.name)),
        None => Ok(format!("{diskful} diskful resources can be two halves")),
    }
}

/// The group's rules about nodes. Its pools and providers apply to diskful resources and do not restrict the nodes of a
/// tie breaker.
fn filter_of(model: &Model, definition: &ResourceDefinition) -> SelectFilter {
    let group = model.groups.get(&definition.group);
    let filter = group.map(|group| group.filter.clone()).unwrap_or_default();
    SelectFilter {
        place_count: None,
        additional_place_count: Some(1),
        nodes: None,
        pools: None,
        providers: None,
        diskless_on_remaining: None,
        ..filter
    }
}

fn request<'a>(
    definition: &'a ResourceDefinition,
    filter: &'a SelectFilter,
    sharing: Sharing,
) -> PlaceRequest<'a> {
    PlaceRequest {
        definition: Some(definition),
        group: None,
        filter,
        layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
        needed_kib: 0,
        want: Want::Diskless,
        only_nodes: None,
        not_nodes: None,
        sharing,
        revive: false,
        drbd_min: Some(TIE_BREAKER_DRBD_MIN),
        any_layers: false,
    }
}

/// A node for a tie breaker: preferably one that shares no value with other replicas, else any that the rules allow.
fn find(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    among: Option<&BTreeSet<NodeName>>,
) -> Option<Chosen> {
    let filter = filter_of(model, definition);
    [Sharing::Apart, Sharing::Ignored]
        .into_iter()
        .find_map(|sharing| {
            let request = PlaceRequest {
                only_nodes: among,
                revive: among.is_some(),
                ..request(definition, &filter, sharing)
            };
            let placement = choose(model, observed, &request).ok()?;
            placement.chosen.into_iter().next()
        })
}

/// Makes a resource that is being deleted the tie breaker: a diskless one, else one whose storage still exists.
fn take_over(
    draft: &mut Draft,
    observed: &Observed,
    definition: &ResourceDefinition,
    seeds: &mut Seeds<'_>,
) -> Option<NodeName> {
    let name = &definition.name;
    let mut leaving: Vec<(bool, NodeName)> = draft
        .resources_of(name)
        .filter(|replica| draft.deletion_of(replica) == Some(&delete_resource::Step::TakeDown))
        .filter(|replica| replica.drbd.is_some())
        .map(|replica| (!replica.is_diskless(), replica.node.clone()))
        .collect();
    leaving.sort();
    let (diskful, node) = leaving.into_iter().find(|(_, node)| {
        find(
            draft,
            observed,
            definition,
            Some(&BTreeSet::from([node.clone()])),
        )
        .is_some()
    })?;
    if let Some(replica) = draft.resource(name, &node).cloned() {
        delete_resource::withdraw(draft, &replica);
    }
    draft.edit_resource(name, &node, |row| {
        row.inactive = false;
        if let Some(drbd) = row.drbd.as_mut().filter(|_| !diskful) {
            drbd.disk = DiskKind::TieBreaker;
        }
    });
    remove_disk::begin(draft, name, &node, DiskKind::TieBreaker, seeds.now_ms);
    Some(node)
}

/// Whether a node is to stay in the cluster with what is on it.
fn lasts(model: &Model, node: &NodeName) -> bool {
    let row = model.node(node);
    row.is_some_and(|row| !row.evacuate && !row.evicted && !model.is_deleting_node(node))
}

/// Moves a tie breaker from nodes that are evacuated or evicted; where no other node can have it, it stays.
fn replace(
    draft: &mut Draft,
    observed: &Observed,
    definition: &ResourceDefinition,
    leaving: &[NodeName],
    seeds: &mut Seeds<'_>,
) -> Vec<Reply> {
    let replies = create(draft, observed, definition, seeds);
    if replies.iter().any(|reply| code::is_warning(reply.ret_code)) {
        return Vec::new();
    }
    for node in leaving {
        if observed.in_use(&definition.name, node) != Some(true) {
            delete_resource::begin(draft, &definition.name, node, seeds.now_ms);
        }
    }
    replies
}

/// The DRBD client that votes if no node can have a tie breaker: with clients on all other nodes (`diskless-on-remaining`)
/// there would be no quorum otherwise.
fn voter(model: &Model, observed: &Observed, definition: &ResourceDefinition) -> Option<NodeName> {
    let filter = filter_of(model, definition);
    let request = request(definition, &filter, Sharing::AsSaid);
    let mut clients = connected(model, &definition.name)
        .filter(|replica| disk(replica) == DiskKind::Client)
        .filter(|replica| replica.drbd.as_ref().is_some_and(|drbd| !drbd.never_votes))
        .map(|replica| &replica.node);
    clients
        .find(|client| {
            let (_, version) = drbd_of(model, observed, client);
            let node = model.node(client);
            lasts(model, client)
                && observed.is_online(client)
                && version.is_some_and(|v| version_numbers(v) >= TIE_BREAKER_DRBD_MIN)
                && node.is_some_and(|node| keeps_rules(model, observed, &request, node))
        })
        .cloned()
}

fn create(
    draft: &mut Draft,
    observed: &Observed,
    definition: &ResourceDefinition,
    seeds: &mut Seeds<'_>,
) -> Vec<Reply> {
    let name = &definition.name;
    let none = || {
        let text = format!(
            "Could not find suitable node to automatically create a tie breaking resource for '{name}'."
        );
        Reply::new(code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER, text)
    };
    let Some(chosen) = find(draft, observed, definition, None) else {
        let Some(node) = voter(draft, observed, definition) else {
            return vec![none()];
        };
        draft.edit_resource(name, &node, |row| {
            if let Some(drbd) = &mut row.drbd {
                drbd.disk = DiskKind::Diskless;
            }
        });
        let text =
            format!("The diskless resource '{name}' on {node} votes in the quorum from now on");
        return vec![Reply::new(code::INFO_TIE_BREAKER_CREATED, text).about("Node", node.as_str())];
    };
    let new = NewResource {
        pool: Some(chosen.pool),
        layer_stack: Some(vec![LayerKind::Drbd, LayerKind::Storage]),
        ..NewResource::new(name.clone(), chosen.node.clone(), DiskKind::TieBreaker)
    };
    match new_resource(draft, observed, seeds, new) {
        Ok(_) => {
            let text = format!("Tie breaker resource '{name}' created on {}", chosen.node);
            vec![
                Reply::new(code::INFO_TIE_BREAKER_CREATED, text)
                    .about("Node", chosen.node.as_str()),
            ]
        }
        // If, for example, no number is free, the resource has no tie breaker, and the reason is reported.
        Err(replies) => {
            let why: Vec<String> = replies.into_iter().map(|reply| reply.message).collect();
            vec![none().cause(why.join(" "))]
        }
    }
}

/// Deletes tie breakers that are not needed, if their nodes are online and they are not in use.
fn retire(
    draft: &mut Draft,
    observed: &Observed,
    name: &ResourceName,
    nodes: &[NodeName],
    seeds: &Seeds<'_>,
) -> Vec<Reply> {
    let mut replies = Vec::new();
    // Its peers remove the connection immediately: a tie breaker in use would lose its data, and they their quorum.
    let may_go =
        |node: &&NodeName| observed.is_online(node) && observed.in_use(name, node) != Some(true);
    for node in nodes.iter().filter(may_go) {
        delete_resource::begin(draft, name, node, seeds.now_ms);
        let text = "Tie breaker marked for deletion";
        replies
            .push(Reply::new(code::INFO_TIE_BREAKER_DELETING, text).about("Node", node.as_str()));
    }
    replies
}

// --- Quorum ---

fn managed_quorum(draft: &mut Draft, observed: &Observed, name: &ResourceName) -> Option<Reply> {
    let definition = draft.definitions.get(name)?;
    let old = definition.props.get(prop::DRBD_QUORUM).cloned();
    let reason = why_no_quorum(draft, observed, name);
    let new = if reason.is_none() { MAJORITY } else { OFF };
    if old.as_deref() == Some(new) {
        return None;
    }
    draft.edit_resource_definition(name, |row| {
        row.props
            .insert(prop::DRBD_QUORUM.to_owned(), new.to_owned());
    });
    match (reason, old) {
        (None, old) => Some(Reply::new(
            code::INFO_PROP_SET,
            format!(
                "Resource-definition property '{}' updated from {} to '{MAJORITY}' by AutoQuorum",
                prop::DRBD_QUORUM,
                shown(old.as_deref())
            ),
        )),
        (Some(reason), Some(_)) => Some(Reply::new(
            code::INFO_PROP_REMOVED,
            format!(
                "Resource-definition property '{}' was removed {reason}",
                prop::DRBD_QUORUM
            ),
        )),
        // A change from undefined to off has no effect.
        (Some(_), None) => None,
    }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("'{value}'"))
}

/// Why quorum `majority` is not possible; none if it is.
fn why_no_quorum(model: &Model, observed: &Observed, name: &ResourceName) -> Option<String> {
    let mut diskful = 0;
    let mut diskless = 0;
    let mut too_old = Vec::new();
    for replica in connected(model, name) {
        match disk(replica) {
            DiskKind::Diskful => diskful += 1,
            DiskKind::Diskless | DiskKind::TieBreaker => diskless += 1,
            DiskKind::Client => {}
        }
        let (_, version) = drbd_of(model, observed, &replica.node);
        if version.is_none_or(|version| version_numbers(version) < QUORUM_DRBD_MIN) {
            too_old.push(replica.node.to_string());
        }
    }
    if !(diskful >= 3 || (diskful == 2 && diskless >= 1)) {
        return Some("as there are not enough resources for quorum".to_owned());
    }
    match &too_old[..] {
        [] => None,
        [node] => Some(format!("as the node {node} does not support DRBD quorum")),
        nodes => Some(format!(
            "as the nodes {} do not support DRBD quorum",
            nodes.join(", ")
        )),
    }
}

/// A user has set quorum: the definition gets the user's value, whatever value LINSTOR had set there.
fn users_quorum(draft: &mut Draft, definition: &ResourceDefinition) -> Option<Reply> {
    let old = definition.props.get(prop::DRBD_QUORUM);
    let scope = Scope::definition(definition);
    let (_, level) = chain(draft, Purpose::Policy, &scope).find(prop::DRBD_QUORUM_SET_BY)?;
    let props = match level {
        Level::ResourceDefinition => &definition.props,
        Level::ResourceGroup => &draft.groups.get(&definition.group)?.props,
        Level::Controller
        | Level::Volume
        | Level::Resource
        | Level::StoragePool
        | Level::StoragePoolDefinition
        | Level::Node
        | Level::ResourceConnection
        | Level::NodeConnection
        | Level::VolumeDefinition
        | Level::VolumeGroup => &draft.controller.props,
    };
    let new = props
        .get(prop::DRBD_QUORUM)
        .cloned()
        .unwrap_or_else(|| MAJORITY.to_owned());
    if old.is_some_and(|old| old.eq_ignore_ascii_case(&new)) {
        return None;
    }
    let text = format!(
        "Resource-definition property '{}' updated from {} to '{new}' by User",
        prop::DRBD_QUORUM,
        shown(old.map(String::as_str))
    );
    draft.edit_resource_definition(&definition.name, |row| {
        row.props.insert(prop::DRBD_QUORUM.to_owned(), new);
    });
    Some(Reply::new(code::INFO_PROP_SET, text))
}

/// DRBD 8.4 has no quorum: a value set by LINSTOR is removed, one set by a user is not changed.
fn unset_quorum(draft: &mut Draft, definition: &ResourceDefinition) {
    if is_managed(draft, definition) && definition.props.contains_key(prop::DRBD_QUORUM) {
        draft.edit_resource_definition(&definition.name, |row| {
            row.props.remove(prop::DRBD_QUORUM);
        });
    }
}

#[cfg(test)]
mod tests;
