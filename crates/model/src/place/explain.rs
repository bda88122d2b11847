//! The reasons of a placement: for each pool the rules it violates and by how much, the smallest violations first.

use std::collections::BTreeMap;
use std::fmt;

use linstor_api::code;
use linstor_api::kind::ConnectionStatus;
use linstor_api::prop;
use linstor_api::reply::Reply;
use serde::Serialize;

use crate::layer::drbd84;
use crate::model::PoolUse;
use crate::name::{NodeName, StoragePoolName};
use crate::observed::ObservedPool;
use crate::space::show_kib;
use crate::{Node, StoragePool};

use super::filter::{Miss, Misses, Rules};
use super::score::{Candidate, Cursor};
use super::{PlaceRequest, Want};

/// Number of rows of a table in a reply.
const ROWS_MAX: usize = 20;
/// Maximum number of pools, suitable or not, that an explanation names; it counts the others.
const NAMED_MAX: usize = 500;
/// Maximum number of values in a sentence.
const VALUES_MAX: usize = 8;
/// Maximum length of a row's text, in characters.
const ROW_CHARS_MAX: usize = 200;

/// A pool that could take a replica.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The node.
    pub node: String,
    /// The pool.
    pub pool: String,
    /// The storage provider.
    pub kind: String,
    /// The score.
    pub score: f64,
    /// Space that can still be allocated, in KiB.
    pub usable_kib: u64,
}

/// A pool, or a node with all its pools, that cannot take a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The node.
    pub node: String,
    /// The pool; none if the node as a whole is unsuitable.
    pub pool: Option<String>,
    /// The violated rules, with the measured values.
    pub misses: Vec<String>,
}

/// The pools that can take a replica, those that cannot, and why no set of suitable ones satisfies the rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// Number of requested replicas.
    pub wanted: usize,
    /// Size of each, in KiB.
    pub needed_kib: u64,
    /// Number of suitable nodes.
    pub nodes_that_fit: usize,
    /// Number of suitable pools.
    pub fits_total: usize,
    /// The best of them.
    pub fits: Vec<Fit>,
    /// Number of unsuitable nodes and pools.
    pub rejected_total: usize,
    /// Those of them with the smallest violations.
    pub rejected: Vec<Rejected>,
    /// Rules between replicas that the suitable pools violate.
    pub conflicts: Vec<String>,
    /// The search for a set reached its limit.
    pub limit_reached: bool,
}

impl Explanation {
    /// The error reply of a placement, with the smallest violations as a table.
    pub fn reply(&self, request: &PlaceRequest<'_>) -> Reply {
        let fit = self.nodes_that_fit;
        let more = match request.want {
            Want::Diskful => "replica",
            Want::Diskless => "diskless replica",
        };
        let cause = if fit < self.wanted {
            format!(
                "{} wanted, but only {fit} of the nodes can take one.",
                plural(self.wanted, more, "is", "are")
            )
        } else if self.limit_reached {
            format!(
                "{} wanted and {fit} nodes can take one each, but among the first {} attempts \
                 was no set of nodes that satisfies the rules between replicas.",
                plural(self.wanted, more, "is", "are"),
                super::choose::STEPS_MAX
            )
        } else {
            format!(
                "{} wanted and {fit} nodes can take one each, but no {} of them satisfy the rules between replicas.",
                plural(self.wanted, more, "is", "are"),
                self.wanted
            )
        };
        Reply::new(code::FAIL_NOT_ENOUGH_NODES, "Not enough available nodes")
            .cause(cause)
            .details(self.to_string())
            .correction(
                "Free or add space, bring nodes online, or request fewer replicas or less strict settings.",
            )
    }
}

fn plural(count: usize, what: &str, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {what} {one}"),
        _ => format!("{count} {what}s {many}"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.needed_kib > 0 {
            writeln!(f, "Each replica needs {}.", show_kib(self.needed_kib))?;
        }
        if !self.fits.is_empty() {
            let named = self.fits.iter().take(VALUES_MAX);
            let named: Vec<String> = named
                .map(|fit| format!("{} ({})", fit.node, fit.pool))
                .collect();
            let more = and_more(self.fits_total, named.len());
            writeln!(f, "Could take one: {}{more}.", named.join(", "))?;
        }
        for conflict in &self.conflicts {
            writeln!(f, "{conflict}")?;
        }
        if self.rejected.is_empty() {
            return Ok(());
        }
        writeln!(f, "Cannot take one, nearest first:")?;
        let rows = &self.rejected[..self.rejected.len().min(ROWS_MAX)];
        let pool = |row: &Rejected| row.pool.clone().unwrap_or_else(|| "-".to_owned());
        let node_width = rows
            .iter()
            .map(|row| row.node.len())
            .max()
            .unwrap_or(0)
            .max(4);
        let pool_width = rows
            .iter()
            .map(|row| pool(row).len())
            .max()
            .unwrap_or(0)
            .max(4);
        writeln!(f, "  {:node_width$}  {:pool_width$}  why", "node", "pool")?;
        for row in rows {
            let why = shorten(&row.misses.join("; "));
            writeln!(
                f,
                "  {:node_width$}  {:pool_width$}  {why}",
                row.node,
                pool(row)
            )?;
        }
        if self.rejected_total > rows.len() {
            writeln!(f, "  and {} more", self.rejected_total - rows.len())?;
        }
        Ok(())
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(ROW_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn and_more(count: usize, shown: usize) -> String {
    match count > shown {
        true => format!(" and {} more", count - shown),
        false => String::new(),
    }
}

/// A pool or node with its violations.
struct Row<'a> {
    node: &'a Node,
    pool: Option<&'a str>,
    misses: Vec<Miss<'a>>,
    distance: f64,
}

/// Lists the candidates of a request, and the reasons why other pools are none.
pub(crate) fn explain(
    rules: &Rules<'_>,
    candidates: &[Candidate<'_>],
    wanted: usize,
    limit_reached: bool,
) -> Explanation {
    let mut fits: Vec<&Candidate<'_>> = candidates.iter().collect();
    fits.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut rows = rejected(rules);
    // Stable: rows of equal distance remain in order of names.
    rows.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let mut nodes: Vec<&str> = fits.iter().map(|fit| fit.node.name.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    Explanation {
        wanted,
        needed_kib: rules.request.needed_kib,
        nodes_that_fit: nodes.len(),
        conflicts: match nodes.len() >= wanted && wanted > 1 {
            true => conflicts(rules, candidates),
            false => Vec::new(),
        },
        fits_total: fits.len(),
        fits: fits.into_iter().take(NAMED_MAX).map(fit).collect(),
        rejected_total: rows.len(),
        rejected: rows.iter().take(NAMED_MAX).map(Row::rejected).collect(),
        limit_reached,
    }
}

fn fit(candidate: &Candidate<'_>) -> Fit {
    Fit {
        node: candidate.node.name.to_string(),
        pool: candidate.pool.name.to_string(),
        kind: candidate.pool.kind.to_string(),
        score: candidate.score,
        usable_kib: candidate.space.usable_kib.unwrap_or(0),
    }
}

impl Row<'_> {
    fn rejected(&self) -> Rejected {
        Rejected {
            node: self.node.name.to_string(),
            pool: self.pool.map(str::to_owned),
            misses: self.misses.iter().map(Miss::to_string).collect(),
        }
    }
}

/// All unsuitable nodes and pools: one row for an unsuitable node, else one for each pool.
fn rejected<'a>(rules: &Rules<'a>) -> Vec<Row<'a>> {
    let (model, observed) = (rules.model, rules.observed);
    let mut statuses = Cursor::new(&observed.nodes);
    let mut pools = model.pools.values().peekable();
    let mut news = News {
        seen: Cursor::new(&observed.pools),
        used: Cursor::new(&model.pool_use),
    };
    let mut rows = Vec::new();
    for (name, node) in &model.nodes {
        let status = statuses.seek(name);
        let mut of_node = Vec::new();
        while let Some(pool) = pools.next_if(|pool| pool.node <= *name) {
            of_node.extend(pool_misses(rules, node, pool, &mut news));
        }
        if !node.node_type.has_satellite() {
            continue;
        }
        let mut misses = Misses::all();
        rules.check_node(node, status, &mut misses);
        if misses.found.is_empty() {
            let none = of_node.is_empty().then(|| Row {
                node,
                pool: None,
                misses: vec![Miss::NoPool],
                distance: Miss::NoPool.distance(),
            });
            rows.extend(none);
            rows.extend(of_node.into_iter().filter(|row| !row.misses.is_empty()));
            continue;
        }
        // The violations of the node's best pool are part of the node's distance.
        let mut found = misses.found;
        let best = of_node
            .into_iter()
            .min_by(|a, b| a.distance.total_cmp(&b.distance));
        found.extend(best.into_iter().flat_map(|row| row.misses));
        let distance = found.iter().map(Miss::distance).sum();
        rows.push(Row {
            node,
            pool: None,
            misses: found,
            distance,
        });
    }
    rows
}

/// The reports of nodes about pools and the space allocated in them, read in order of keys.
struct News<'a> {
    seen: Cursor<'a, (NodeName, StoragePoolName), ObservedPool>,
    used: Cursor<'a, (NodeName, StoragePoolName), PoolUse>,
}

/// The violations of a pool; `None` if the request is not about pools of its kind.
fn pool_misses<'a>(
    rules: &Rules<'a>,
    node: &'a Node,
    pool: &'a StoragePool,
    news: &mut News<'a>,
) -> Option<Row<'a>> {
    let diskless = !pool.kind.has_backing_device();
    if diskless != (rules.request.want == Want::Diskless) {
        return None;
    }
    let key = (pool.node.clone(), pool.name.clone());
    let seen = news.seen.seek(&key);
    let used = news.used.seek(&key).copied().unwrap_or_default();
    let space = rules.spaces.of(pool, seen, used);
    let mut misses = Misses::all();
    rules.check_pool(node, pool, seen, &space, &mut misses);
    let distance = misses.found.iter().map(Miss::distance).sum();
    Some(Row {
        node,
        pool: Some(pool.name.as_str()),
        misses: misses.found,
        distance,
    })
}

/// The rules between replicas that the candidates violate.
fn conflicts(rules: &Rules<'_>, candidates: &[Candidate<'_>]) -> Vec<String> {
    let mut conflicts = Vec::new();
    let kinds = groups(candidates, |candidate| {
        Some(candidate.pool.kind.to_string())
    });
    if kinds.len() > 1 {
        let mixing = match rules.mixing_allowed {
            true => "needs DRBD 9.1.18 (or 9.2.7) on all of them",
            false => "is not allowed (AllowMixingStoragePoolDriver)",
        };
        conflicts.push(format!(
            "Not all storage providers can be mixed, and mixing {mixing}: {}.",
            list(&kinds)
        ));
    }
    let drbd = groups(candidates, |candidate| Some(candidate.drbd?.to_string()));
    if drbd.len() > 1 {
        conflicts.push(format!(
            "One resource never uses different versions of DRBD: {}.",
            list(&drbd)
        ));
    }
    for rule in &rules.same {
        let values = groups(candidates, |candidate| {
            candidate.node.props.get(rule.key).cloned()
        });
        conflicts.push(format!(
            "Replicas have to have the same value of '{}': {}.",
            rule.key,
            list(&values)
        ));
    }
    for rule in rules.different.iter() {
        let Some(max) = rule.max else { continue };
        let values = groups(candidates, |candidate| {
            candidate.node.props.get(rule.key).cloned()
        });
        let what = match max {
            1 => "Replicas have to have different values of".to_owned(),
            max => format!("{max} replicas have to share each value but one of"),
        };
        conflicts.push(format!("{what} '{}': {}.", rule.key, list(&values)));
    }
    let shared = groups(candidates, |candidate| candidate.pool.shared_name.clone());
    if shared.values().any(|nodes| nodes.len() > 1) {
        conflicts.push(format!(
            "A shared space can have one replica only: {}.",
            list(&shared)
        ));
    }
    conflicts
}

/// Nodes of the candidates, grouped by a value.
fn groups<'a>(
    candidates: &[Candidate<'a>],
    value: impl Fn(&Candidate<'a>) -> Option<String>,
) -> BTreeMap<String, Vec<&'a str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for candidate in candidates {
        let Some(value) = value(candidate) else {
            continue;
        };
        let nodes = groups.entry(value).or_default();
        if nodes.last() != Some(&candidate.node.name.as_str()) {
            nodes.push(candidate.node.name.as_str());
        }
    }
    groups
}

fn list(groups: &BTreeMap<String, Vec<&str>>) -> String {
    let named = groups
        .iter()
        .take(VALUES_MAX)
        .map(|(value, nodes)| match nodes[..] {
            [node] => format!("'{value}' on {node}"),
            _ => format!("'{value}' on {} nodes", nodes.len()),
        });
    let named: Vec<String> = named.collect();
    named.join(", ") + &and_more(groups.len(), VALUES_MAX)
}

impl Miss<'_> {
    /// The distance from being suitable: less than one for measured values, more for more changes that an administrator
    /// would have to make.
    fn distance(&self) -> f64 {
        let short = |has: u64, needed: u64| 1.0 - has as f64 / needed.max(1) as f64;
        match self {
            Miss::Space(has, needed) | Miss::ThinSpace(has, needed) => short(*has, *needed),
            Miss::SpaceUnknown | Miss::PoolProblem(_) | Miss::Watermark(..) | Miss::Offline(_) => {
                2.0
            }
            Miss::PlacedWith | Miss::NodeNotTarget | Miss::PoolNotTarget => 3.0,
            Miss::SameMissing(_)
            | Miss::SameDiffers(..)
            | Miss::DifferentAvoided(..)
            | Miss::DifferentUsed(..)
            | Miss::Mixing(..)
            | Miss::Sectors(..)
            | Miss::SharedInUse(_) => 3.5,
            Miss::Layer(..)
            | Miss::DrbdVersion(..)
            | Miss::DrbdKind(_)
            | Miss::Drbd84Replicas(_)
            | Miss::Drbd84Diskless => 4.0,
            Miss::PoolNotListed | Miss::ProviderNotListed(_) => 5.0,
            Miss::NoPool | Miss::PoolKind(_) => 6.0,
            Miss::ReplicaLeaving | Miss::Evacuating | Miss::Evicted | Miss::Deleting => 7.0,
            Miss::NodeNotListed => 8.0,
            Miss::HasReplica => 9.0,
        }
    }
}

impl fmt::Display for Miss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Offline(ConnectionStatus::Offline) => f.write_str("the node is offline"),
            Miss::Offline(status) => write!(f, "the node is not online but {status}"),
            Miss::Deleting => f.write_str("the node is being deleted"),
            Miss::Evacuating => f.write_str("the node is being evacuated"),
            Miss::Evicted => f.write_str("the node was evicted"),
            Miss::HasReplica => f.write_str("has a replica already"),
            Miss::ReplicaLeaving => f.write_str("has a replica that is being deleted"),
            Miss::NodeNotTarget => {
                f.write_str("the property AutoplaceTarget of the node or the controller is false")
            }
            Miss::PoolNotTarget => {
                f.write_str("the property AutoplaceTarget of the storage pool is false")
            }
            Miss::NodeNotListed => f.write_str("is not in the list of nodes"),
            Miss::PoolNotListed => f.write_str("is not in the list of storage pools"),
            Miss::ProviderNotListed(kind) => {
                write!(f, "{kind} is not in the list of providers")
            }
            Miss::Layer(layer, None) => write!(f, "the node does not support the layer {layer}"),
            Miss::Layer(layer, Some(reason)) => {
                write!(f, "the node does not support the layer {layer}: {reason}")
            }
            Miss::Drbd84Replicas(count) => write!(
                f,
                "has DRBD 8.4, which connects at most {} replicas; there would be {count}",
                drbd84::REPLICAS_MAX
            ),
            Miss::Drbd84Diskless => {
                f.write_str("has DRBD 8.4, which does not support diskless replicas")
            }
            Miss::DrbdVersion(found, [major, minor, patch]) => {
                write!(f, "has DRBD {found}; {major}.{minor}.{patch} is needed")
            }
            Miss::DrbdKind(kind) => {
                write!(
                    f,
                    "has {kind}, which cannot connect to the DRBD version of other replicas"
                )
            }
            Miss::PlacedWith => f.write_str("has a resource that replicas must not be placed with"),
            Miss::SameMissing(key) => write!(f, "has no property '{key}'"),
            Miss::SameDiffers(key, found, wanted) => {
                write!(f, "'{key}' is '{found}'; '{wanted}' is needed")
            }
            Miss::DifferentAvoided(key, found) => {
                write!(f, "'{key}' is '{found}', which must not be used")
            }
            Miss::DifferentUsed(key, found) => {
                write!(f, "'{key}' is '{found}', which other replicas have already")
            }
            Miss::NoPool => f.write_str("has no storage pool for it"),
            Miss::PoolKind(kind) => write!(f, "is of provider {kind}"),
            Miss::PoolProblem(problem) => write!(f, "has a problem: {problem}"),
            Miss::Watermark(filled, mark) => {
                write!(
                    f,
                    "is {filled:.1} % full; new volumes are placed up to {mark} %"
                )
            }
            Miss::SpaceUnknown => f.write_str("has not reported its free space"),
            Miss::Space(has_kib, needed_kib) => {
                let (mut has, mut needed) = (show_kib(*has_kib), show_kib(*needed_kib));
                if has == needed {
                    (has, needed) = (format!("{has_kib} KiB"), format!("{needed_kib} KiB"));
                }
                write!(f, "can take {has}; {needed} is needed")
            }
            Miss::ThinSpace(has, least) => {
                let (has, least) = (show_kib(*has), show_kib(*least));
                let key = prop::AUTOPLACER_MIN_THIN_FREE_SPACE;
                write!(f, "can take {has}; {least} of it must remain free ({key})")
            }
            Miss::Mixing(kind, other) => {
                write!(
                    f,
                    "is {kind}, which cannot be mixed with {other} of other replicas"
                )
            }
            Miss::Sectors(sector, unit) => {
                write!(
                    f,
                    "has sectors of {sector} bytes; the volumes are written in units of {unit} bytes"
                )
            }
            Miss::SharedInUse(name) => {
                write!(f, "the shared space '{name}' has a replica already")
            }
        }
    }
}
