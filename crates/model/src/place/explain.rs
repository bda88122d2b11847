//! Why a placement is what it is: for each pool the rules it misses and by how much, nearest misses first.

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

/// How many rows of a table are shown in a reply.
const ROWS_MAX: usize = 20;
/// How many pools, fit or not, an explanation names at most; it counts the others.
const NAMED_MAX: usize = 500;
/// How many values are named in a sentence.
const VALUES_MAX: usize = 8;
/// How long a row's text gets, in characters.
const ROW_CHARS_MAX: usize = 200;

/// A pool that could take a replica.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The node.
    pub node: String,
    /// The pool.
    pub pool: String,
    /// What it is made of.
    pub kind: String,
    /// How good it is.
    pub score: f64,
    /// What can still be promised, in KiB.
    pub usable_kib: u64,
}

/// A pool, or a node with all its pools, that cannot take a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The node.
    pub node: String,
    /// The pool; none when it is the node that cannot.
    pub pool: Option<String>,
    /// The rules it misses, with what was measured.
    pub misses: Vec<String>,
}

/// Who could take a replica, who could not, and why those that could do not go together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// How many replicas were wanted.
    pub wanted: usize,
    /// What each needs, in KiB.
    pub needed_kib: u64,
    /// On how many nodes one could be.
    pub nodes_that_fit: usize,
    /// How many pools could take one.
    pub fits_total: usize,
    /// The best of them.
    pub fits: Vec<Fit>,
    /// How many nodes and pools could not.
    pub rejected_total: usize,
    /// The nearest misses among them.
    pub rejected: Vec<Rejected>,
    /// What keeps those that fit from forming a set.
    pub conflicts: Vec<String>,
    /// The search for a set reached its bound.
    pub gave_up: bool,
}

impl Explanation {
    /// The refusal of a placement, with the nearest misses as a table.
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
        } else if self.gave_up {
            format!(
                "{} wanted and {fit} nodes can take one each, but among the first {} attempts \
                 was no set of nodes that keeps the rules between replicas.",
                plural(self.wanted, more, "is", "are"),
                super::choose::STEPS_MAX
            )
        } else {
            format!(
                "{} wanted and {fit} nodes can take one each, but no {} of them go together.",
                plural(self.wanted, more, "is", "are"),
                self.wanted
            )
        };
        Reply::new(code::FAIL_NOT_ENOUGH_NODES, "Not enough available nodes")
            .cause(cause)
            .details(self.to_string())
            .correction(
                "Free or add space, bring nodes back online, or ask for fewer replicas or looser rules.",
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

/// A pool or node with what it misses.
struct Row<'a> {
    node: &'a Node,
    pool: Option<&'a str>,
    misses: Vec<Miss<'a>>,
    distance: f64,
}

/// Explains what the candidates of a request are and why others are none.
pub(crate) fn explain(
    rules: &Rules<'_>,
    candidates: &[Candidate<'_>],
    wanted: usize,
    gave_up: bool,
) -> Explanation {
    let mut fits: Vec<&Candidate<'_>> = candidates.iter().collect();
    fits.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut rows = rejected(rules);
    // Stable: equal distances stay in order of names.
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
        gave_up,
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

/// Everything that cannot take a replica: one row for a node that cannot, else one for each pool.
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
        // What the node's best pool misses tells how near the node is.
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

/// What nodes said of pools, and what is promised in them, asked for in order.
struct News<'a> {
    seen: Cursor<'a, (NodeName, StoragePoolName), ObservedPool>,
    used: Cursor<'a, (NodeName, StoragePoolName), PoolUse>,
}

/// What a pool misses; none for a pool that has nothing to do with the request.
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

/// What the candidates do not have in common, or have too much in common.
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
            "Not all kinds of pools go together, and mixing {mixing}: {}.",
            list(&kinds)
        ));
    }
    let drbd = groups(candidates, |candidate| Some(candidate.drbd?.to_string()));
    if drbd.len() > 1 {
        conflicts.push(format!(
            "One resource never mixes kinds of DRBD: {}.",
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
            "Shared space holds one replica only: {}.",
            list(&shared)
        ));
    }
    conflicts
}

/// Nodes of the candidates by something they have.
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
    /// How far from fitting: less than one for what is measured, more the more somebody would have to change.
    fn distance(&self) -> f64 {
        let short = |has: u64, needed: u64| 1.0 - has as f64 / needed.max(1) as f64;
        match self {
            Miss::Space(has, needed) | Miss::ThinSpace(has, needed) => short(*has, *needed),
            Miss::SpaceUnknown | Miss::PoolProblem(_) | Miss::Offline(_) => 2.0,
            Miss::PlacedWith | Miss::NodeNotTarget | Miss::PoolNotTarget => 3.0,
            Miss::SameMissing(_)
            | Miss::SameDiffers(..)
            | Miss::DifferentAvoided(..)
            | Miss::DifferentUsed(..)
            | Miss::Mixing(..)
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
            Miss::ReplicaLeaving => f.write_str("has a replica that is on its way out"),
            Miss::NodeNotTarget => f.write_str("AutoplaceTarget says no for the node"),
            Miss::PoolNotTarget => f.write_str("AutoplaceTarget says no for the pool"),
            Miss::NodeNotListed => f.write_str("is not among the nodes to choose from"),
            Miss::PoolNotListed => f.write_str("is not among the pools to choose from"),
            Miss::ProviderNotListed(kind) => {
                write!(f, "{kind} is not among the kinds of pools to choose from")
            }
            Miss::Layer(layer, None) => write!(f, "the node has no {layer}"),
            Miss::Layer(layer, Some(reason)) => write!(f, "the node has no {layer}: {reason}"),
            Miss::Drbd84Replicas(count) => write!(
                f,
                "has DRBD 8.4, which connects at most {} replicas; there would be {count}",
                drbd84::REPLICAS_MAX
            ),
            Miss::Drbd84Diskless => f.write_str("has DRBD 8.4, which knows no diskless replicas"),
            Miss::DrbdVersion(found, [major, minor, patch]) => {
                write!(f, "has DRBD {found}; {major}.{minor}.{patch} is needed")
            }
            Miss::DrbdKind(kind) => {
                write!(
                    f,
                    "has {kind}, which cannot connect with the kind that other replicas have"
                )
            }
            Miss::PlacedWith => f.write_str("has a resource that is not to be placed with"),
            Miss::SameMissing(key) => write!(f, "has no property '{key}'"),
            Miss::SameDiffers(key, found, wanted) => {
                write!(f, "'{key}' is '{found}'; '{wanted}' is needed")
            }
            Miss::DifferentAvoided(key, found) => {
                write!(f, "'{key}' is '{found}', which is to be avoided")
            }
            Miss::DifferentUsed(key, found) => {
                write!(f, "'{key}' is '{found}', which other replicas have already")
            }
            Miss::NoPool => f.write_str("has no storage pool for it"),
            Miss::PoolKind(kind) => write!(f, "is of kind {kind}"),
            Miss::PoolProblem(problem) => write!(f, "has a problem: {problem}"),
            Miss::SpaceUnknown => f.write_str("has not said how much is free"),
            Miss::Space(has, needed) => {
                let (has, needed) = (show_kib(*has), show_kib(*needed));
                write!(f, "can take {has}; {needed} is needed")
            }
            Miss::ThinSpace(has, least) => {
                let (has, least) = (show_kib(*has), show_kib(*least));
                let key = prop::AUTOPLACER_MIN_THIN_FREE_SPACE;
                write!(f, "can take {has}; {least} of it must stay free ({key})")
            }
            Miss::Mixing(kind, other) => {
                write!(
                    f,
                    "is {kind}, which does not go with other replicas' {other}"
                )
            }
            Miss::SharedInUse(name) => {
                write!(f, "the shared space '{name}' holds a replica already")
            }
        }
    }
}
