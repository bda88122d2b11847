//! Queries of sizes: the maximum size of a volume of a group, and the group's free space.

use std::collections::BTreeMap;

use linstor_api::code;
use linstor_api::reply::Reply;

use crate::model::Model;
use crate::name::{NodeName, StoragePoolName};
use crate::observed::Observed;
use crate::space::{Ratios, Spaces, replicated_kib};
use crate::{ResourceGroup, SelectFilter};

use super::{Chosen, Deployed, PlaceRequest, choose, filter, score};

/// A pool in which a new volume of a group can be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxSize {
    /// The pool.
    pub pool: StoragePoolName,
    /// Free space of the fullest of the chosen pools, in KiB, without oversubscription.
    pub max_kib: u64,
    /// The nodes of the replicas.
    pub nodes: Vec<NodeName>,
    /// Whether all of these pools are thin.
    pub all_thin: bool,
}

/// The maximum size of a volume for each pool name, in order of names. Where no set of nodes supports the layers, the sizes
/// are those that the pools allow.
pub fn max_sizes(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
) -> Result<Vec<MaxSize>, Vec<Reply>> {
    let mut sizes = Vec::new();
    for any_layers in [false, true] {
        if sizes.is_empty() {
            sizes = sizes_of_pools(model, observed, group, filter, any_layers);
        }
    }
    if !sizes.is_empty() {
        return Ok(sizes);
    }
    // No pool name alone suffices: the error of a placement in all pools has the reason.
    let request = PlaceRequest::of_group(group, filter);
    Err(match super::choose(model, observed, &request) {
        Err(replies) => replies,
        Ok(_) => vec![
            Reply::new(code::FAIL_NOT_ENOUGH_NODES, "Not enough available nodes")
                .cause("No storage pool exists on enough nodes by itself."),
        ],
    })
}

fn sizes_of_pools(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
    any_layers: bool,
) -> Vec<MaxSize> {
    let named = filter.pools.as_deref().filter(|pools| !pools.is_empty());
    let mut pools: Vec<StoragePoolName> = match named {
        Some(pools) => pools.to_vec(),
        None => model.pool_definitions.keys().cloned().collect(),
    };
    pools.sort();
    pools.dedup();
    let spaces = Spaces::new(model, observed);
    let mut sizes = Vec::new();
    for pool in pools {
        let one = SelectFilter {
            pools: Some(vec![pool.clone()]),
            ..filter.clone()
        };
        let request = PlaceRequest {
            any_layers,
            ..PlaceRequest::of_group(group, &one)
        };
        let Ok(placement) = super::choose(model, observed, &request) else {
            continue;
        };
        let free = |chosen: &Chosen| {
            let row = model.pool(&chosen.node, &chosen.pool)?;
            let space = spaces.look_up(model, observed, row);
            match chosen.kind.is_thin() {
                true => space.free_kib,
                false => space.usable_kib,
            }
        };
        let Some(max_kib) = placement.chosen.iter().map(|c| free(c).unwrap_or(0)).min() else {
            continue;
        };
        sizes.push(MaxSize {
            pool,
            max_kib,
            all_thin: placement.chosen.iter().all(|chosen| chosen.kind.is_thin()),
            nodes: placement
                .chosen
                .into_iter()
                .map(|chosen| chosen.node)
                .collect(),
        });
    }
    sizes
}

/// The free space of a group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SizeInfo {
    /// The maximum size of the next spawned volume, with oversubscription, in KiB; 0 if none can be placed.
    pub max_kib: u64,
    /// Free space for replicated volumes, without oversubscription, in KiB.
    pub available_kib: u64,
    /// Capacity for replicated volumes, in KiB.
    pub capacity_kib: u64,
    /// The pools of the next resource, with their oversubscription ratios.
    pub next: Vec<(Chosen, Ratios)>,
    /// Why there cannot be a next resource although the pools have space: nodes do not support the layers.
    pub unsupported: Option<Reply>,
}

/// Computes the free space of a group; where no set of nodes supports the layers, that of the pools.
pub fn size_info(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
) -> Result<SizeInfo, Vec<Reply>> {
    let request = PlaceRequest::of_group(group, filter);
    let unsupported = super::choose(model, observed, &request).err();
    let unsupported = unsupported.and_then(|replies| replies.into_iter().next());
    let unsupported =
        unsupported.filter(|reply| reply.ret_code == code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER);
    let request = PlaceRequest {
        any_layers: unsupported.is_some(),
        ..request
    };
    let replicas = filter.place_count.unwrap_or(0) as usize;
    let deployed = Deployed::default();
    let rules = filter::Rules::new(model, observed, &request, &deployed, replicas)?;
    let candidates = score::candidates(&rules);
    let chosen = match choose::search(&rules, &candidates, replicas) {
        choose::SearchResult::Found(chosen) if !chosen.is_empty() => chosen,
        choose::SearchResult::Found(_) | choose::SearchResult::None { .. } => Vec::new(),
    };
    let by_place: BTreeMap<(&NodeName, &StoragePoolName), &score::Candidate<'_>> = candidates
        .iter()
        .map(|candidate| ((&candidate.node.name, &candidate.pool.name), candidate))
        .collect();
    let of = |chosen: &Chosen| by_place[&(&chosen.node, &chosen.pool)];
    let max_kib = chosen
        .iter()
        .map(|chosen| of(chosen).space.usable_kib.unwrap_or(0))
        .min()
        .unwrap_or(0);
    let all = |value: fn(&score::Candidate<'_>) -> Option<u64>| -> Vec<u64> {
        candidates.iter().filter_map(value).collect()
    };
    let available_kib = match chosen.is_empty() {
        true => 0,
        false => replicated_kib(all(|candidate| candidate.space.free_kib), replicas),
    };
    Ok(SizeInfo {
        max_kib,
        available_kib,
        capacity_kib: replicated_kib(all(|candidate| candidate.space.total_kib), replicas),
        next: chosen
            .iter()
            .map(|chosen| (chosen.clone(), rules.spaces.ratios(of(chosen).pool)))
            .collect(),
        unsupported,
    })
}
