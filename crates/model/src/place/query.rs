//! Questions about space: how large a volume of a group could be, how much more it can take.

use std::collections::BTreeMap;

use linstor_api::code;
use linstor_api::reply::Reply;

use crate::model::Model;
use crate::name::{NodeName, StoragePoolName};
use crate::observed::Observed;
use crate::space::{Ratios, Spaces, replicated_kib};
use crate::{ResourceGroup, SelectFilter};

use super::{Chosen, Deployed, PlaceRequest, choose, filter, score};

/// A pool that could hold a new volume of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxSize {
    /// The pool.
    pub pool: StoragePoolName,
    /// What is free in the fullest of the chosen pools, in KiB; ratios do not count here.
    pub max_kib: u64,
    /// Where the replicas would be.
    pub nodes: Vec<NodeName>,
    /// Whether all of these pools are thin.
    pub all_thin: bool,
}

/// How large a volume could be, for each pool's name by itself, in order of names.
pub fn max_sizes(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
) -> Result<Vec<MaxSize>, Vec<Reply>> {
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
        let request = PlaceRequest::of_group(group, &one);
        let Ok(placement) = super::choose(model, observed, &request) else {
            continue;
        };
        let free = |chosen: &Chosen| {
            let row = model.pool(&chosen.node, &chosen.pool)?;
            spaces.look_up(model, observed, row).free_kib
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
    if !sizes.is_empty() {
        return Ok(sizes);
    }
    // No pool by itself: the refusal for all of them together says why.
    let request = PlaceRequest::of_group(group, filter);
    Err(match super::choose(model, observed, &request) {
        Err(replies) => replies,
        Ok(_) => vec![
            Reply::new(code::FAIL_NOT_ENOUGH_NODES, "Not enough available nodes")
                .cause("No storage pool exists on enough nodes by itself."),
        ],
    })
}

/// What a group can still take.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SizeInfo {
    /// The largest volume that could be spawned next, ratios counted, in KiB; 0 when none could.
    pub max_kib: u64,
    /// What is free for replicated volumes, ratios not counted, in KiB.
    pub available_kib: u64,
    /// All there is for replicated volumes, in KiB.
    pub capacity_kib: u64,
    /// Where the next resource would be, with the ratios of each pool.
    pub next: Vec<(Chosen, Ratios)>,
}

/// How much a group can still take.
pub fn size_info(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
) -> Result<SizeInfo, Vec<Reply>> {
    let request = PlaceRequest::of_group(group, filter);
    let replicas = filter.place_count.unwrap_or(0) as usize;
    let deployed = Deployed::default();
    let rules = filter::Rules::new(model, observed, &request, &deployed, replicas)?;
    let candidates = score::candidates(&rules);
    let chosen = match choose::search(&rules, &candidates, replicas) {
        choose::Outcome::Found(chosen) if !chosen.is_empty() => chosen,
        choose::Outcome::Found(_) | choose::Outcome::None { .. } => Vec::new(),
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
    })
}
