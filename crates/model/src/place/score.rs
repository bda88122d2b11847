//! The score of each pool that passed the filter.
//!
//! One walk over all pools, in parallel with the reports and the allocated space: the maps have the same order, so that
//! no pool has to be searched by name.

use std::cmp::Ordering;
use std::iter::Peekable;

use imbl::OrdMap;
use linstor_api::kind::DrbdKind;
use linstor_api::prop;

use crate::space::Space;
use crate::{Node, Props, StoragePool};

use super::filter::{Misses, Rules, mixes_extents};

/// A pool that passed the filter.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pool: &'a StoragePool,
    /// DRBD version of the node.
    pub(crate) drbd: Option<DrbdKind>,
    /// The node's DRBD supports pools with different extent sizes.
    pub(crate) mixes: bool,
    pub(crate) space: Space,
    resources: usize,
    pub(crate) score: f64,
}

/// Walks a map whose keys are requested in ascending order.
pub(crate) struct Cursor<'a, K, V> {
    entries: Peekable<imbl::ordmap::Iter<'a, K, V, imbl::shared_ptr::DefaultSharedPtr>>,
}

impl<'a, K: Ord, V> Cursor<'a, K, V> {
    pub(crate) fn new(map: &'a OrdMap<K, V>) -> Self {
        Cursor {
            entries: map.iter().peekable(),
        }
    }

    /// The value of a key; keys must be requested in ascending order.
    pub(crate) fn seek(&mut self, key: &K) -> Option<&'a V> {
        loop {
            let (at, value) = self.entries.peek()?;
            match (*at).cmp(key) {
                Ordering::Less => self.entries.next(),
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            };
        }
    }
}

/// All pools that pass the filter, with their scores, in order of nodes and pools.
pub(crate) fn candidates<'a>(rules: &Rules<'a>) -> Vec<Candidate<'a>> {
    let mut candidates = passed(rules);
    rate(&mut candidates, &Weights::of(&rules.model.controller.props));
    candidates
}

fn passed<'a>(rules: &Rules<'a>) -> Vec<Candidate<'a>> {
    let (model, observed) = (rules.model, rules.observed);
    let mut nodes = Cursor::new(&model.nodes);
    let mut statuses = Cursor::new(&observed.nodes);
    let mut resources = Cursor::new(&model.resources_by_node);
    let mut seen = Cursor::new(&observed.pools);
    let mut used = Cursor::new(&model.pool_use);
    let mut candidates = Vec::new();
    // The current node: its number of resources and its DRBD version; none if it cannot have a replica.
    let mut at: Option<&'a Node> = None;
    let mut fit: Option<Candidate<'a>> = None;
    for (key, pool) in &model.pools {
        if at.is_none_or(|node| node.name != key.0) {
            at = nodes.seek(&key.0).map(|node| &**node);
            fit = at.and_then(|node| {
                let status = statuses.seek(&key.0);
                let mut misses = Misses::first();
                rules.check_node(node, status, &mut misses);
                let drbd = status
                    .and_then(|status| status.info.as_ref())
                    .and_then(|info| info.drbd.as_ref());
                misses.found.is_empty().then(|| Candidate {
                    node,
                    pool,
                    drbd: drbd.map(|drbd| drbd.kind),
                    mixes: drbd.is_some_and(|drbd| mixes_extents(&drbd.version)),
                    space: Space::default(),
                    resources: resources.seek(&key.0).map_or(0, |names| names.len()),
                    score: 0.0,
                })
            });
        }
        let Some(fit) = &fit else { continue };
        let status = seen.seek(key);
        let space = rules
            .spaces
            .of(pool, status, used.seek(key).copied().unwrap_or_default());
        let mut misses = Misses::first();
        rules.check_pool(fit.node, pool, status, &space, &mut misses);
        if misses.found.is_empty() {
            candidates.push(Candidate {
                pool,
                space,
                ..fit.clone()
            });
        }
    }
    candidates
}

/// The weights of the strategies.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Weights {
    max_free: f64,
    min_reserved: f64,
    min_resources: f64,
}

impl Weights {
    /// The weights of the controller's properties. A value that is no number counts as 1, as in LINSTOR.
    fn of(props: &Props) -> Self {
        let weight = |key: &str, default: f64| match props.get(key) {
            None => default,
            Some(text) => {
                let value: Option<f64> = text.trim().parse().ok();
                value.filter(|value| value.is_finite()).unwrap_or(1.0)
            }
        };
        Weights {
            max_free: weight(prop::AUTOPLACER_WEIGHT_MAX_FREE_SPACE, 1.0),
            min_reserved: weight(prop::AUTOPLACER_WEIGHT_MIN_RESERVED_SPACE, 0.0),
            min_resources: weight(prop::AUTOPLACER_WEIGHT_MIN_RSC_COUNT, 0.000_01),
        }
    }
}

/// Each value is normalised by the largest one among the candidates.
fn rate(candidates: &mut [Candidate<'_>], weights: &Weights) {
    // What was placed a moment ago counts, so that several placements in a row use different pools.
    let free = |candidate: &Candidate<'_>| {
        let usable = candidate.space.usable_kib.unwrap_or(0);
        usable.saturating_sub(candidate.space.unreported_kib) as f64
    };
    let reserved = |candidate: &Candidate<'_>| candidate.space.reserved_kib as f64;
    let resources = |candidate: &Candidate<'_>| candidate.resources as f64;
    let most = |raw: fn(&Candidate<'_>) -> f64| {
        let most = candidates.iter().map(raw).fold(0.0, f64::max);
        if most > 0.0 { most } else { 1.0 }
    };
    let (most_free, most_reserved, most_resources) = (most(free), most(reserved), most(resources));
    for candidate in candidates {
        candidate.score = weights.max_free * free(candidate) / most_free
            - weights.min_reserved * reserved(candidate) / most_reserved
            - weights.min_resources * resources(candidate) / most_resources;
    }
}
