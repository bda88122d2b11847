//! Space: what a pool can still take, by its node's last report and what was reserved since.

use std::collections::{BTreeMap, BinaryHeap};

use linstor_api::code;
use linstor_api::kind::{ProviderKind, StorageSuffix};
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::layer;
use crate::model::{Model, PoolUse};
use crate::name::StoragePoolName;
use crate::observed::{Observed, ObservedPool};
use crate::resource::shared;
use crate::watermark;
use crate::{Props, StoragePool};

/// How often the space of a thin pool may be reserved, unless a property sets it.
pub const DEFAULT_OVERSUBSCRIPTION_RATIO: f64 = 20.0;

/// The largest amount of space, in KiB: answers carry signed numbers.
const MOST_KIB: u64 = i64::MAX as u64;

/// How often the space of a pool may be reserved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratios {
    /// The base of the other two.
    pub base: f64,
    /// Of what is free.
    pub free: f64,
    /// Of all there is.
    pub total: f64,
}

/// The space of a pool, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// What is free, in a thick pool less what was reserved since the node's last report; none without a report.
    pub free_kib: Option<u64>,
    /// Total space; none without a report.
    pub total_kib: Option<u64>,
    /// What is reserved for volumes.
    pub reserved_kib: u64,
    /// What was reserved in a thin pool since the node's last report. New volumes take little of what is free there, so
    /// that it counts against the total alone.
    pub unreported_kib: u64,
    /// What may still be reserved, with the pool's ratios; none without a report.
    pub usable_kib: Option<u64>,
}

/// The three ratios as properties give them; none where a property is missing or not a number.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    base: Option<f64>,
    free: Option<f64>,
    total: Option<f64>,
}

impl Given {
    fn of(props: &Props) -> Self {
        if props.is_empty() {
            return Given::default();
        }
        let number = |key: &str| {
            let value: f64 = props.get(key)?.trim().parse().ok()?;
            (value.is_finite() && value >= 0.0).then_some(value)
        };
        Given {
            base: number(prop::MAX_OVERSUBSCRIPTION_RATIO),
            free: number(prop::MAX_FREE_CAPACITY_OVERSUBSCRIPTION_RATIO),
            total: number(prop::MAX_TOTAL_CAPACITY_OVERSUBSCRIPTION_RATIO),
        }
    }

    /// A ratio that is not given here is inherited from the next object.
    fn or(self, further: Given) -> Given {
        Given {
            base: self.base.or(further.base),
            free: self.free.or(further.free),
            total: self.total.or(further.total),
        }
    }
}

/// The space of many pools: what does not depend on the single pool is computed once.
#[derive(Debug)]
pub struct Spaces<'a> {
    controller: Given,
    /// Only definitions that have such a property.
    definitions: BTreeMap<&'a StoragePoolName, Given>,
    /// Space that pools of several nodes share: what was reserved in any of them since its node's last report, and what
    /// is reserved in all of them.
    shared: BTreeMap<&'a str, (u64, u64)>,
}

impl<'a> Spaces<'a> {
    /// Computes what pools have in common.
    pub fn new(model: &'a Model, observed: &Observed) -> Self {
        let definitions = model
            .pool_definitions
            .iter()
            .filter(|(_, row)| !row.props.is_empty())
            .map(|(name, row)| (name, Given::of(&row.props)))
            .collect();
        let shared = shared_space(model, observed, |_| true);
        Spaces {
            controller: Given::of(&model.controller.props),
            definitions,
            shared,
        }
    }

    /// Computes what one pool has in common with others.
    fn around(model: &'a Model, observed: &Observed, pool: &StoragePool) -> Self {
        let own = model.pool_definitions.get_key_value(&pool.name);
        let own = own.map(|(name, row)| (name, Given::of(&row.props)));
        let shared = match &pool.shared_name {
            Some(own) => shared_space(model, observed, |name| name == own),
            None => BTreeMap::new(),
        };
        Spaces {
            controller: Given::of(&model.controller.props),
            definitions: own.into_iter().collect(),
            shared,
        }
    }

    /// The ratios of a pool: its own, its definition's or the controller's. Thick pools have no choice.
    pub fn ratios(&self, pool: &StoragePool) -> Ratios {
        if !pool.kind.is_thin() {
            return Ratios {
                base: 1.0,
                free: 1.0,
                total: 1.0,
            };
        }
        let mut further = self.controller;
        if let Some(given) = self.definitions.get(&pool.name) {
            further = given.or(further);
        }
        let given = Given::of(&pool.props).or(further);
        let base = given.base.unwrap_or(DEFAULT_OVERSUBSCRIPTION_RATIO);
        Ratios {
            base,
            free: given.free.unwrap_or(base),
            total: given.total.unwrap_or(base),
        }
    }

    /// The space of a pool, by its node's report and what is reserved in it.
    pub fn of(&self, pool: &StoragePool, seen: Option<&ObservedPool>, used: PoolUse) -> Space {
        if pool.kind == ProviderKind::Diskless {
            return Space {
                free_kib: Some(MOST_KIB),
                total_kib: Some(MOST_KIB),
                reserved_kib: 0,
                unreported_kib: 0,
                usable_kib: Some(MOST_KIB),
            };
        }
        let shared = pool.shared_name.as_deref();
        let (pending, reserved_kib) = shared
            .and_then(|name| self.shared.get(name).copied())
            .unwrap_or_else(|| (since(used, seen), used.reserved_kib));
        let (pending, unreported_kib) = match pool.kind.is_thin() {
            true => (0, pending),
            false => (pending, 0),
        };
        let status = seen.map(|seen| &seen.status);
        // A volume with a reservation takes more than its size.
        let overhead = status.and_then(|status| status.overhead_permille);
        let overhead = u128::from(overhead.unwrap_or(0));
        let taken = |kib: u64| narrow(u128::from(kib) * (1000 + overhead) / 1000);
        let fits = |kib: u64| narrow(u128::from(kib) * 1000 / (1000 + overhead));
        let free_kib = status
            .and_then(|status| status.free_kib)
            .map(|free| free.saturating_sub(taken(pending)));
        let total_kib = status.and_then(|status| status.total_kib);
        let ratios = self.ratios(pool);
        let usable_kib = free_kib.map(|free| {
            let by_free = times(free, ratios.free);
            let by_total = total_kib
                .map(|total| times(total, ratios.total).saturating_sub(taken(reserved_kib)));
            fits(by_total.map_or(by_free, |by_total| by_free.min(by_total)))
        });
        Space {
            free_kib,
            total_kib,
            reserved_kib,
            unreported_kib,
            usable_kib,
        }
    }

    /// The space of a single pool.
    pub fn look_up(&self, model: &Model, observed: &Observed, pool: &StoragePool) -> Space {
        let seen = observed.pools.get(&(pool.node.clone(), pool.name.clone()));
        self.of(pool, seen, model.pool_use(&pool.node, &pool.name))
    }
}

/// What was reserved since the nodes' last reports, and what is reserved at all, in each space that pools share.
fn shared_space<'a>(
    model: &'a Model,
    observed: &Observed,
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<&'a str, (u64, u64)> {
    let mut shared: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (key, pool) in &model.pools {
        if let Some(name) = pool.shared_name.as_deref().filter(|name| wanted(name)) {
            let used = model.pool_use(&pool.node, &pool.name);
            let entry = shared.entry(name).or_default();
            entry.0 = entry.0.saturating_add(since(used, observed.pools.get(key)));
            let own = used
                .reserved_kib
                .saturating_sub(counted_elsewhere(model, pool));
            entry.1 = entry.1.saturating_add(own);
        }
    }
    shared
}

/// What is reserved in a pool for volumes that are counted where another node's resource has them.
fn counted_elsewhere(model: &Model, pool: &StoragePool) -> u64 {
    let rows = model.resources_on(&pool.node);
    let rows = rows.filter(|row| row.inactive && shared::is_represented(model, row));
    let sizes = rows.flat_map(|row| {
        let definition = model.definitions.get(&row.name);
        let volumes = row.volumes.iter();
        let volumes = volumes.filter(|(_, volume)| volume.pool == pool.name);
        volumes.filter_map(move |(number, _)| {
            let mut backing = layer::backing(definition?, *number, row).into_iter();
            backing.find(|(suffix, _)| *suffix == StorageSuffix::Data)
        })
    });
    sizes.map(|(_, kib)| kib).sum()
}

/// What was reserved in a pool since its node's last report.
fn since(used: PoolUse, seen: Option<&ObservedPool>) -> u64 {
    seen.map_or(0, |seen| {
        used.reserved_kib.saturating_sub(seen.reserved_kib_then)
    })
}

fn narrow(kib: u128) -> u64 {
    u64::try_from(kib).unwrap_or(u64::MAX)
}

fn times(kib: u64, ratio: f64) -> u64 {
    let product = kib as f64 * ratio;
    if ratio == 1.0 {
        kib.min(MOST_KIB)
    } else if product >= MOST_KIB as f64 {
        MOST_KIB
    } else {
        product as u64
    }
}

/// The space of one pool.
pub fn of_pool(model: &Model, observed: &Observed, pool: &StoragePool) -> Space {
    Spaces::around(model, observed, pool).look_up(model, observed, pool)
}

/// Checks that a pool can take this much more. It passes if the pool's node has not reported its space.
pub fn check(
    model: &Model,
    observed: &Observed,
    pool: &StoragePool,
    needed_kib: u64,
) -> Result<(), Vec<Reply>> {
    let key = (pool.node.clone(), pool.name.clone());
    let status = observed.pools.get(&key).map(|seen| &seen.status);
    watermark::protect(model, pool, status).map_err(|reply| vec![reply])?;
    let space = of_pool(model, observed, pool);
    match space.usable_kib {
        Some(usable) if usable < needed_kib => {
            let reply = Reply::new(
                code::FAIL_NOT_ENOUGH_FREE_SPACE,
                format!(
                    "Not enough free space available in storage pool '{}' on node '{}'.",
                    pool.name, pool.node
                ),
            )
            .cause(format!(
                "{} is needed; {} is left.",
                show_kib(needed_kib),
                show_kib(usable)
            ))
            .about("Node", pool.node.as_str())
            .about("StorPoolDfn", pool.name.as_str());
            Err(vec![if pool.kind.is_thin() {
                reply.details(format!(
                    "{} is free, {} is reserved for volumes already.",
                    show_kib(space.free_kib.unwrap_or(0)),
                    show_kib(space.reserved_kib)
                ))
            } else {
                reply
            }])
        }
        Some(_) | None => Ok(()),
    }
}

/// A size for a person: three digits and a binary unit.
pub fn show_kib(kib: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = kib as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 || value >= 100.0 => 0,
        _ if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// How much fits in pools of these sizes when each volume needs `replicas` of them: takes from the largest ones what
/// the smallest of these has, until fewer than `replicas` are left.
pub fn replicated_kib(sizes: Vec<u64>, replicas: usize) -> u64 {
    if replicas == 0 {
        return 0;
    }
    let mut sum: u64 = 0;
    let mut largest: BinaryHeap<u64> = sizes.into_iter().filter(|size| *size > 0).collect();
    while largest.len() >= replicas {
        let mut chosen: Vec<u64> = (0..replicas).filter_map(|_| largest.pop()).collect();
        let least = chosen.last().copied().unwrap_or(0);
        sum = sum.saturating_add(least);
        chosen.retain_mut(|size| {
            *size -= least;
            *size > 0
        });
        largest.extend(chosen);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A person reads three digits.
    #[test]
    fn sizes_are_readable() {
        for (kib, text) in [
            (0, "0 KiB"),
            (1023, "1023 KiB"),
            (1024, "1.00 MiB"),
            (15 * 1024, "15.0 MiB"),
            (512 * 1024 * 1024, "512 GiB"),
            (1 << 40, "1.00 PiB"),
        ] {
            assert_eq!(show_kib(kib), text);
        }
    }

    /// What was reserved since the last report counts against what is free in thick pools, and against the total in thin
    /// ones, where new volumes take little at first.
    #[test]
    fn new_reservations_count_once() {
        let model = Model::empty(uuid::Uuid::nil());
        let spaces = Spaces::new(&model, &Observed::default());
        let seen = ObservedPool {
            status: linstor_wire::status::PoolStatus {
                free_kib: Some(90),
                total_kib: Some(100),
                ..Default::default()
            },
            at: 0,
            reserved_kib_then: 10,
        };
        let used = PoolUse {
            volumes: 2,
            reserved_kib: 510,
        };
        let mut pool = StoragePool {
            node: crate::place::fixture::node("n1"),
            name: crate::place::fixture::pool("pool"),
            uuid: uuid::Uuid::nil(),
            kind: ProviderKind::LvmThin,
            props: Props::new(),
            shared_name: None,
            external_locking: false,
            granularity_kib: None,
        };
        let thin = spaces.of(&pool, Some(&seen), used);
        assert_eq!((thin.free_kib, thin.unreported_kib), (Some(90), 500));
        assert_eq!(thin.usable_kib, Some(100 * 20 - 510));
        pool.kind = ProviderKind::Lvm;
        let used = PoolUse {
            reserved_kib: 40,
            ..used
        };
        let thick = spaces.of(&pool, Some(&seen), used);
        assert_eq!((thick.free_kib, thick.usable_kib), (Some(60), Some(60)));
        // On raidz each volume may take half as much again.
        let mut raidz = seen;
        raidz.status.overhead_permille = Some(500);
        let thick = spaces.of(&pool, Some(&raidz), used);
        assert_eq!((thick.free_kib, thick.usable_kib), (Some(45), Some(26)));
    }

    /// Free space of several pools for volumes of several replicas.
    #[test]
    fn replicas_share_space() {
        assert_eq!(replicated_kib(vec![10, 10, 10], 2), 10);
        assert_eq!(replicated_kib(vec![100, 10], 2), 10);
        assert_eq!(replicated_kib(vec![100], 2), 0);
        assert_eq!(replicated_kib(vec![7, 5], 1), 12);
        assert_eq!(replicated_kib(vec![7, 5], 0), 0);
    }
}
