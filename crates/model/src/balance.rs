//! Balancing: whether a definition has too few or too many diskful resources for the place count of its group, judged only
//! while it is at rest.

use std::fmt;

use linstor_api::drbd_state::ReplicationState;
use linstor_api::prop;

use crate::model::Model;
use crate::name::NodeName;
use crate::observed::Observed;
use crate::place::{PlaceRequest, keeps_rules};
use crate::props::{Purpose, Scope, effective, is_true};
use crate::{Resource, ResourceDefinition, SelectFilter, skip_disk};

/// Seconds that a resource exists before its definition is balanced, while no property has it.
const GRACE_SECONDS_DEFAULT: u64 = 3600;
/// Seconds between two runs, while no property has it.
const INTERVAL_SECONDS_DEFAULT: u64 = 3600;
/// How many disks of a definition may be skipped, while no property has it.
const SKIP_DISK_LIMIT_DEFAULT: usize = 1;

/// What balancing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Places what is missing up to the place count.
    Add,
    /// Deletes the resource on this node.
    Remove(NodeName),
}

/// Why a definition is not balanced now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandDown {
    /// It is not replicated, is being deleted, or its group has no place count.
    NotConcerned,
    /// A property switches it off.
    Disabled,
    /// A resource was created lately.
    TooYoung,
    /// Something is being done on it.
    Busy,
    /// No resource is UpToDate.
    NoData,
    /// A resync or a verification runs, or a node's state is not known.
    NotAtRest,
    /// Too many disks are skipped.
    SkippedDisks,
    /// There is one too many, and none can be deleted: they are in use, not UpToDate, or their nodes are away.
    NoVictim,
}

impl fmt::Display for StandDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StandDown::NotConcerned => "its group has no place count for it",
            StandDown::Disabled => "balancing is switched off",
            StandDown::TooYoung => "a resource was created within the grace period",
            StandDown::Busy => "an operation is in progress",
            StandDown::NoData => "no resource is UpToDate",
            StandDown::NotAtRest => "a resync runs, or a node's state is not known",
            StandDown::SkippedDisks => "too many disks are skipped",
            StandDown::NoVictim => "no resource can be deleted",
        })
    }
}

fn seconds(model: &Model, key: &str, default: u64) -> u64 {
    let value = model.controller.props.get(key);
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Seconds between two runs.
pub fn interval_seconds(model: &Model) -> u64 {
    seconds(
        model,
        prop::BALANCE_RESOURCES_INTERVAL,
        INTERVAL_SECONDS_DEFAULT,
    )
    .max(1)
}

/// What balancing does with a definition now; nothing if it has as many resources as it should.
pub fn check(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    now_ms: u64,
) -> Result<Option<Step>, StandDown> {
    let name = &definition.name;
    let group = model
        .groups
        .get(&definition.group)
        .ok_or(StandDown::NotConcerned)?;
    let wanted = group.filter.place_count.ok_or(StandDown::NotConcerned)? as usize;
    let diskful: Vec<&Resource> = model
        .resources_of(name)
        .map(|row| &**row)
        .filter(|row| row.drbd.is_some() && !row.is_diskless())
        // What is on a node that is lost or emptied is to be replaced.
        .filter(|row| {
            model
                .node(&row.node)
                .is_some_and(|node| !node.evicted && !node.evacuate)
        })
        .collect();
    if diskful.is_empty() || definition.drbd.is_none() || model.is_deleting_definition(definition) {
        return Err(StandDown::NotConcerned);
    }
    let skipped = diskful
        .iter()
        .filter(|row| skip_disk::is_set(model, definition, row))
        .count();
    let count = diskful.len() - skipped;
    if count == wanted {
        return Ok(None);
    }
    let policy = |key| effective(model, Purpose::Policy, &Scope::definition(definition), key);
    if policy(prop::BALANCE_RESOURCES_ENABLED).is_some_and(|value| !is_true(value)) {
        return Err(StandDown::Disabled);
    }
    let grace_ms = 1000
        * seconds(
            model,
            prop::BALANCE_RESOURCES_GRACE_PERIOD,
            GRACE_SECONDS_DEFAULT,
        );
    let mut all = model.resources_of(name);
    if all.any(|row| row.created_at + grace_ms > now_ms) {
        return Err(StandDown::TooYoung);
    }
    if model.processes_of(name).next().is_some() {
        return Err(StandDown::Busy);
    }
    let limit = policy(prop::BALANCE_RESOURCES_SKIP_DISK_LIMIT);
    let limit = limit
        .and_then(|text| text.parse().ok())
        .unwrap_or(SKIP_DISK_LIMIT_DEFAULT);
    if skipped > limit {
        return Err(StandDown::SkippedDisks);
    }
    if !diskful
        .iter()
        .any(|row| observed.is_up_to_date(name, &row.node))
    {
        return Err(StandDown::NoData);
    }
    if !model
        .resources_of(name)
        .all(|row| is_at_rest(observed, row))
    {
        return Err(StandDown::NotAtRest);
    }
    if count < wanted {
        return Ok(Some(Step::Add));
    }
    let victim = victim(model, observed, definition, &group.filter, &diskful);
    victim
        .map(|node| Some(Step::Remove(node)))
        .ok_or(StandDown::NoVictim)
}

/// Nothing is copied or compared. A node that is away is at rest: what is missing for it is to be placed.
fn is_at_rest(observed: &Observed, row: &Resource) -> bool {
    let Some(status) = observed.live(&row.name, &row.node) else {
        return true;
    };
    let mut peers = status
        .volumes
        .iter()
        .flat_map(|volume| volume.replication.values());
    peers.all(|peer| {
        matches!(
            peer.state,
            ReplicationState::Established | ReplicationState::Off
        )
    })
}

/// The resource that is deleted: one that breaks the group's rules before one that does not, then the one in the pool with
/// the least free space; none unless all others are UpToDate.
fn victim(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    filter: &SelectFilter,
    diskful: &[&Resource],
) -> Option<NodeName> {
    let name = &definition.name;
    let is_up_to_date = |row: &Resource| observed.is_up_to_date(name, &row.node);
    let candidates = diskful.iter().filter(|row| {
        let mut others = diskful.iter().filter(|other| other.node != row.node);
        observed.in_use(name, &row.node) == Some(false) && others.all(|other| is_up_to_date(other))
    });
    let rated = candidates.map(|row| {
        let free = row.volumes.values().filter_map(|volume| {
            let key = (row.node.clone(), volume.pool.clone());
            observed.pools.get(&key)?.status.free_kib
        });
        let broken = broken_rules(model, observed, definition, filter, row)
            + usize::from(!is_up_to_date(row));
        (
            broken,
            std::cmp::Reverse(free.min().unwrap_or(0)),
            &row.node,
        )
    });
    rated.max().map(|(_, _, node)| node.clone())
}

/// How many of the group's rules a resource breaks.
fn broken_rules(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    filter: &SelectFilter,
    row: &Resource,
) -> usize {
    let request = PlaceRequest::of_definition(model, definition, filter);
    let node = model.node(&row.node);
    let nodes = filter.nodes.as_ref();
    let pools = filter.pools.as_ref();
    let providers = filter.providers.as_ref();
    let of_pool = |wrong: &dyn Fn(&crate::StoragePool) -> bool| {
        let mut volumes = row.volumes.values();
        volumes.any(|volume| {
            model
                .pool(&row.node, &volume.pool)
                .is_some_and(|pool| wrong(pool))
        })
    };
    let broken = [
        node.is_some_and(|node| !keeps_rules(model, observed, &request, node)),
        nodes.is_some_and(|nodes| !nodes.is_empty() && !nodes.contains(&row.node)),
        pools
            .is_some_and(|pools| !pools.is_empty() && of_pool(&|pool| !pools.contains(&pool.name))),
        providers
            .is_some_and(|kinds| !kinds.is_empty() && of_pool(&|pool| !kinds.contains(&pool.kind))),
    ];
    broken.into_iter().filter(|broken| *broken).count()
}
