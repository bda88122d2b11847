//! The filter: the pools that can take one replica, rule by rule.
//!
//! A violated rule is a [`Miss`]. Placement stops at the first one; an explanation collects them all. A miss
//! has numbers and references, no text, so that filtering ten thousand pools is cheap.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::code;
use linstor_api::kind::{ConnectionStatus, DrbdKind, LayerKind, ProviderKind};
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_api::size;
use linstor_wire::status::NodeInfo;
use regex_lite::{Regex, RegexBuilder};

use crate::block_size;
use crate::layer::drbd84;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::observed::{NodeStatus, Observed, ObservedPool};
use crate::props::{Purpose, Scope, effective};
use crate::space::{Space, Spaces};
use crate::watermark;
use crate::{Node, Props, StoragePool};

use super::{Deployed, PlaceRequest, Sharing, Want, is_default_diskless, version_numbers};

/// Percentage of a thin pool that must remain free, unless a property has another value.
const MIN_THIN_FREE_PERCENT: f64 = 10.0;
/// Limit of a compiled regular expression, in bytes of memory.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Why a pool, or its node, cannot take a replica.
#[derive(Debug, Clone, PartialEq)]
pub enum Miss<'a> {
    /// The node is not online.
    Offline(ConnectionStatus),
    /// The node is being deleted.
    Deleting,
    /// The node is being evacuated.
    Evacuating,
    /// The node is evicted.
    Evicted,
    /// The node has a replica already.
    HasReplica,
    /// The node's replica is being deleted.
    ReplicaLeaving,
    /// `AutoplaceTarget` of the node or the controller is false.
    NodeNotTarget,
    /// `AutoplaceTarget` of the pool is false.
    PoolNotTarget,
    /// The node is not in the list of nodes.
    NodeNotListed,
    /// The pool is not in the list of pools.
    PoolNotListed,
    /// The provider is not in the list of providers.
    ProviderNotListed(ProviderKind),
    /// The node does not support a layer; with the reason that it reported.
    Layer(LayerKind, Option<&'a str>),
    /// DRBD 8.4 supports fewer replicas than there would be.
    Drbd84Replicas(usize),
    /// DRBD 8.4 does not support diskless replicas.
    Drbd84Diskless,
    /// The node's DRBD is too old.
    DrbdVersion(&'a str, [u32; 3]),
    /// The existing replicas have another DRBD version.
    DrbdKind(DrbdKind),
    /// The node has a resource that replicas must not be placed with.
    PlacedWith,
    /// The node lacks a property that must be equal on all replicas.
    SameMissing(&'a str),
    /// The node's value differs from that of the other replicas: key, its value, the required one.
    SameDiffers(&'a str, &'a str, &'a str),
    /// The node's value must not be used.
    DifferentAvoided(&'a str, &'a str),
    /// Existing replicas already use the node's value.
    DifferentUsed(&'a str, &'a str),
    /// The node has no storage pool for it.
    NoPool,
    /// The pool has no backing storage or, for a diskless replica, has one.
    PoolKind(ProviderKind),
    /// The pool has an error.
    PoolProblem(&'a str),
    /// The node has not reported the free space.
    SpaceUnknown,
    /// The space that can still be allocated is too small: that space, and the needed one, in KiB.
    Space(u64, u64),
    /// A thin pool is too full: the space that can be allocated, and that which must remain, in KiB.
    ThinSpace(u64, u64),
    /// The pool is fuller than `Watermark/Place`: how full it is, and the mark, in percent.
    Watermark(f64, f64),
    /// The provider cannot be mixed with that of other replicas.
    Mixing(ProviderKind, ProviderKind),
    /// The shared space has a replica already.
    SharedInUse(&'a str),
    /// Its logical sectors are larger than the unit in which the volumes are written, which cannot be changed; in bytes.
    Sectors(u32, u32),
}

/// A collection of misses.
#[derive(Debug)]
pub(crate) struct Misses<'a> {
    all: bool,
    pub(crate) found: Vec<Miss<'a>>,
}

impl<'a> Misses<'a> {
    /// Stops at the first one.
    pub(crate) fn first() -> Self {
        Misses {
            all: false,
            found: Vec::new(),
        }
    }

    /// Collects all.
    pub(crate) fn all() -> Self {
        Misses {
            all: true,
            found: Vec::new(),
        }
    }

    /// Adds a miss, if there is one; returns whether to continue.
    fn go_on(&mut self, miss: Option<Miss<'a>>) -> bool {
        self.found.extend(miss);
        self.all || self.found.is_empty()
    }
}

/// All nodes must have the same value.
#[derive(Debug)]
pub(crate) struct SameRule<'a> {
    pub(crate) key: &'a str,
    /// The value, if it is given or determined by existing replicas.
    pub(crate) value: Option<&'a str>,
}

/// At most this number of replicas per value.
#[derive(Debug)]
pub(crate) struct DifferentRule<'a> {
    pub(crate) key: &'a str,
    /// The number; none if only certain values must not be used.
    pub(crate) max: Option<u32>,
    pub(crate) avoid: BTreeSet<&'a str>,
    /// Values of existing replicas.
    pub(crate) used: BTreeMap<&'a str, u32>,
}

/// The rules of one request, compiled.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) model: &'a Model,
    pub(crate) observed: &'a Observed,
    pub(crate) request: &'a PlaceRequest<'a>,
    pub(crate) deployed: &'a Deployed<'a>,
    pub(crate) same: Vec<SameRule<'a>>,
    pub(crate) different: Vec<DifferentRule<'a>>,
    pub(crate) spaces: Spaces<'a>,
    pub(crate) mixing_allowed: bool,
    not_with: Option<BTreeSet<NodeName>>,
    layers: Vec<LayerKind>,
    replicas_then: usize,
    controller_target: bool,
    min_thin_free: MinThinFree,
    /// The controller or a definition has a watermark; pools may have their own.
    watermarks: bool,
}

/// Share of a thin pool that must remain free.
#[derive(Debug, Clone, Copy)]
enum MinThinFree {
    Percent(f64),
    Kib(u64),
}

impl<'a> Rules<'a> {
    pub(crate) fn new(
        model: &'a Model,
        observed: &'a Observed,
        request: &'a PlaceRequest<'a>,
        deployed: &'a Deployed<'a>,
        wanted: usize,
    ) -> Result<Self, Vec<Reply>> {
        let target = model.controller.props.get(prop::AUTOPLACE_TARGET);
        // One that is being deleted is a peer until another one is known to have its data.
        let leaving = match request.revive {
            true => 0,
            false => deployed.leaving_nodes.len(),
        };
        Ok(Rules {
            model,
            observed,
            request,
            deployed,
            same: same_rules(request, deployed)?,
            different: different_rules(request, deployed),
            spaces: Spaces::new(model, observed),
            mixing_allowed: mixing_allowed(model, request),
            not_with: not_with(model, request)?,
            layers: match request.any_layers {
                true => Vec::new(),
                false => needed_layers(request),
            },
            replicas_then: deployed.diskful_nodes.len() + leaving + wanted,
            controller_target: target.is_none_or(|value| !is_false(value)),
            min_thin_free: min_thin_free(model, request),
            watermarks: std::iter::once(&model.controller.props)
                .chain(model.pool_definitions.values().map(|row| &row.props))
                .any(has_watermark),
        })
    }

    /// Checks whether a node can have a replica.
    pub(crate) fn check_node(
        &self,
        node: &'a Node,
        status: Option<&'a NodeStatus>,
        misses: &mut Misses<'a>,
    ) {
        if !misses.go_on(self.node_state(node, status))
            || !misses.go_on(self.node_listed(node))
            || !misses.go_on(self.node_replica(node))
            || !misses.go_on(self.node_target(node))
        {
            return;
        }
        let info = status.and_then(|status| status.info.as_deref());
        for layer in &self.layers {
            if !misses.go_on(info.and_then(|info| layer_miss(info, *layer))) {
                return;
            }
        }
        if self.request.has_drbd() && !misses.go_on(self.node_drbd(info)) {
            return;
        }
        let banned = self.not_with.as_ref();
        let banned = banned.is_some_and(|nodes| nodes.contains(&node.name));
        if !misses.go_on(banned.then_some(Miss::PlacedWith)) {
            return;
        }
        for rule in &self.same {
            if !misses.go_on(rule.miss(node)) {
                return;
            }
        }
        for rule in &self.different {
            if !misses.go_on(rule.miss(node)) {
                return;
            }
        }
    }

    /// Checks whether a pool can have a replica, regardless of its node.
    pub(crate) fn check_pool(
        &self,
        node: &'a Node,
        pool: &'a StoragePool,
        seen: Option<&'a ObservedPool>,
        space: &Space,
        misses: &mut Misses<'a>,
    ) {
        let diskless = pool.kind == ProviderKind::Diskless;
        if !misses.go_on(self.pool_listed(pool)) || !misses.go_on(self.pool_target(pool)) {
            return;
        }
        match self.request.want {
            Want::Diskless => {
                misses.go_on((!diskless).then_some(Miss::PoolKind(pool.kind)));
            }
            Want::Diskful if diskless => {
                misses.go_on(Some(Miss::PoolKind(pool.kind)));
            }
            Want::Diskful => {
                let _ = misses.go_on(seen.and_then(problem))
                    && misses.go_on(self.watermark(pool, seen))
                    && misses.go_on(self.mixing(node, pool))
                    && misses.go_on(self.shared(pool))
                    && misses.go_on(self.sectors(pool))
                    && misses.go_on(self.space(node, pool, space));
            }
        }
    }

    /// Checks the rules of equal and different values for a node.
    pub(crate) fn keeps_values(&self, node: &Node) -> bool {
        self.same.iter().all(|rule| rule.miss(node).is_none())
            && self.different.iter().all(|rule| rule.miss(node).is_none())
    }

    fn node_state(&self, node: &Node, status: Option<&NodeStatus>) -> Option<Miss<'a>> {
        let connection = status.map_or(ConnectionStatus::Unknown, |status| status.connection);
        if self.model.is_deleting_node(&node.name) {
            Some(Miss::Deleting)
        } else if node.evicted {
            Some(Miss::Evicted)
        } else if node.evacuate {
            Some(Miss::Evacuating)
        } else if connection != ConnectionStatus::Online {
            Some(Miss::Offline(connection))
        } else {
            None
        }
    }

    fn node_listed(&self, node: &Node) -> Option<Miss<'a>> {
        let filter = self.request.filter;
        let named = filter.nodes.as_deref().filter(|nodes| !nodes.is_empty());
        let listed = named.is_none_or(|nodes| nodes.contains(&node.name));
        let only = self.request.only_nodes;
        let excluded = self.request.not_nodes;
        let allowed = only.is_none_or(|nodes| nodes.contains(&node.name))
            && excluded.is_none_or(|nodes| !nodes.contains(&node.name));
        (!listed || !allowed).then_some(Miss::NodeNotListed)
    }

    fn node_replica(&self, node: &Node) -> Option<Miss<'a>> {
        let deployed = self.deployed;
        let diskless = deployed.diskless_nodes.contains(&node.name);
        if deployed.diskful_nodes.contains(&node.name)
            || (diskless && self.request.want == Want::Diskless)
        {
            Some(Miss::HasReplica)
        } else if deployed.leaving_nodes.contains(&node.name) && !self.request.revive {
            Some(Miss::ReplicaLeaving)
        } else {
            None
        }
    }

    fn node_target(&self, node: &Node) -> Option<Miss<'a>> {
        let own = node.props.get(prop::AUTOPLACE_TARGET);
        let target = own.map_or(self.controller_target, |value| !is_false(value));
        (!target).then_some(Miss::NodeNotTarget)
    }

    fn node_drbd(&self, info: Option<&'a NodeInfo>) -> Option<Miss<'a>> {
        let drbd = info.and_then(|info| info.drbd.as_ref())?;
        if let Some(least) = self.request.drbd_min
            && drbd.kind == DrbdKind::Drbd9
            && version_numbers(&drbd.version) < least
        {
            return Some(Miss::DrbdVersion(&drbd.version, least));
        }
        if self.deployed.drbd.is_some_and(|kind| kind != drbd.kind) {
            return Some(Miss::DrbdKind(drbd.kind));
        }
        match self.request.want {
            _ if !drbd84::is_84(Some(drbd.kind)) => None,
            Want::Diskless => Some(Miss::Drbd84Diskless),
            Want::Diskful => (self.replicas_then > drbd84::REPLICAS_MAX)
                .then_some(Miss::Drbd84Replicas(self.replicas_then)),
        }
    }

    fn pool_listed(&self, pool: &StoragePool) -> Option<Miss<'a>> {
        let filter = self.request.filter;
        let named = match self.request.want {
            Want::Diskful => filter.pools.as_deref(),
            Want::Diskless => filter.diskless_pools.as_deref(),
        };
        let named = named.filter(|pools| !pools.is_empty());
        let listed = match (named, self.request.want) {
            (Some(pools), _) => pools.contains(&pool.name),
            (None, Want::Diskful) => true,
            (None, Want::Diskless) => {
                is_default_diskless(&pool.name) || pool.kind == ProviderKind::Diskless
            }
        };
        if !listed {
            return Some(Miss::PoolNotListed);
        }
        let providers = filter.providers.as_deref();
        let providers =
            providers.filter(|kinds| !kinds.is_empty() && self.request.want == Want::Diskful);
        let known = providers.is_none_or(|kinds| kinds.contains(&pool.kind));
        (!known).then_some(Miss::ProviderNotListed(pool.kind))
    }

    fn pool_target(&self, pool: &StoragePool) -> Option<Miss<'a>> {
        let value = pool.props.get(prop::AUTOPLACE_TARGET);
        value
            .is_some_and(|value| is_false(value))
            .then_some(Miss::PoolNotTarget)
    }

    fn watermark(&self, pool: &StoragePool, seen: Option<&ObservedPool>) -> Option<Miss<'a>> {
        if !self.watermarks && !has_watermark(&pool.props) {
            return None;
        }
        let status = seen.map(|seen| &seen.status);
        let above = |key| watermark::above(self.model, pool, status, key);
        let (filled, mark) =
            above(prop::WATERMARK_PLACE).or_else(|| above(prop::WATERMARK_PROTECT))?;
        Some(Miss::Watermark(filled, mark))
    }

    fn mixing(&self, node: &Node, pool: &StoragePool) -> Option<Miss<'a>> {
        if self.deployed.kinds.is_empty() {
            return None;
        }
        let version = super::drbd_of(self.model, self.observed, &node.name).1;
        let copes = version.is_some_and(mixes_extents);
        let other = self.deployed.kinds.iter().find(|(kind, other)| {
            !may_mix((pool.kind, copes), (*kind, *other), self.mixing_allowed)
        })?;
        Some(Miss::Mixing(pool.kind, other.0))
    }

    fn sectors(&self, pool: &StoragePool) -> Option<Miss<'a>> {
        let definition = self.request.definition?;
        let conflict = block_size::conflict(self.model, self.observed, definition, pool);
        conflict.map(|(sector, unit)| Miss::Sectors(sector, unit))
    }

    fn shared(&self, pool: &'a StoragePool) -> Option<Miss<'a>> {
        let shared = pool.shared_name.as_deref()?;
        let used = self.deployed.shared.contains(shared);
        used.then_some(Miss::SharedInUse(shared))
    }

    fn space(&self, node: &Node, pool: &StoragePool, space: &Space) -> Option<Miss<'a>> {
        let needed = self.request.needed_kib;
        let Some(usable) = space.usable_kib else {
            return (needed > 0).then_some(Miss::SpaceUnknown);
        };
        if usable < needed {
            return Some(Miss::Space(usable, needed));
        }
        if pool.kind.is_thin() {
            let total = space.total_kib.unwrap_or(0);
            let least = match self.min_thin_free_of(node, pool) {
                MinThinFree::Percent(percent) => (total as f64 / 100.0 * percent).ceil() as u64,
                MinThinFree::Kib(kib) => kib,
            };
            if usable < least {
                return Some(Miss::ThinSpace(usable, least));
            }
        }
        None
    }

    /// Storage pool > definition > group > node > controller; usually only the middle ones have a value.
    fn min_thin_free_of(&self, node: &Node, pool: &StoragePool) -> MinThinFree {
        let key = prop::AUTOPLACER_MIN_THIN_FREE_SPACE;
        if !pool.props.contains_key(key) && !node.props.contains_key(key) {
            return self.min_thin_free;
        }
        let scope = Scope {
            pool: Some(pool),
            node: Some(node),
            definition: self.request.definition,
            group: self.request.group,
            ..Scope::default()
        };
        parse_min_thin_free(effective(self.model, Purpose::MinThinFree, &scope, key))
    }
}

impl<'a> SameRule<'a> {
    fn miss<'n>(&self, node: &'n Node) -> Option<Miss<'n>>
    where
        'a: 'n,
    {
        let Some(found) = node.props.get(self.key) else {
            return Some(Miss::SameMissing(self.key));
        };
        let wanted = self.value?;
        (found != wanted).then_some(Miss::SameDiffers(self.key, found, wanted))
    }
}

impl<'a> DifferentRule<'a> {
    fn miss<'n>(&self, node: &'n Node) -> Option<Miss<'n>>
    where
        'a: 'n,
    {
        let found = node.props.get(self.key)?.as_str();
        if self.avoid.contains(found) {
            return Some(Miss::DifferentAvoided(self.key, found));
        }
        let used = self.used.get(found).copied().unwrap_or(0);
        let full = self.max.is_some_and(|max| used >= max);
        full.then_some(Miss::DifferentUsed(self.key, found))
    }
}

fn is_false(value: &str) -> bool {
    value.eq_ignore_ascii_case("false") || value.eq_ignore_ascii_case("no")
}

fn has_watermark(props: &Props) -> bool {
    let keys = [prop::WATERMARK_PLACE, prop::WATERMARK_PROTECT];
    keys.iter().any(|key| props.contains_key(*key))
}

fn problem(seen: &ObservedPool) -> Option<Miss<'_>> {
    let problem = seen.status.problem.as_ref()?;
    Some(Miss::PoolProblem(&problem.message))
}

fn layer_miss(info: &NodeInfo, layer: LayerKind) -> Option<Miss<'_>> {
    if info.layers.contains(&layer) {
        return None;
    }
    let reasons = info.unsupported_layers.get(&layer);
    let reason = reasons.and_then(|reasons| reasons.first());
    Some(Miss::Layer(layer, reason.map(String::as_str)))
}

/// The layers that a node must support. Those above NVMe are on the initiator's side.
fn needed_layers(request: &PlaceRequest<'_>) -> Vec<LayerKind> {
    match request.want {
        Want::Diskless => vec![LayerKind::Drbd],
        Want::Diskful => {
            let stack = &request.layer_stack;
            let nvme = stack.iter().position(|layer| *layer == LayerKind::Nvme);
            stack[nvme.unwrap_or(0)..].to_vec()
        }
    }
}

/// The rules that name a property.
fn keys(rules: Option<&[String]>) -> impl Iterator<Item = &str> {
    let rules = rules.unwrap_or_default().iter();
    rules.map(String::as_str).filter(|rule| !rule.is_empty())
}

fn same_rules<'a>(
    request: &'a PlaceRequest<'a>,
    deployed: &Deployed<'a>,
) -> Result<Vec<SameRule<'a>>, Vec<Reply>> {
    let mut rules = Vec::new();
    for entry in keys(request.filter.same.as_deref()) {
        if let Some((key, value)) = entry.split_once('=') {
            rules.push(SameRule {
                key,
                value: Some(value),
            });
            continue;
        }
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for node in &deployed.rows {
            if let Some(value) = node.props.get(entry) {
                values.entry(value).or_default().push(node.name.as_str());
            }
        }
        if values.len() > 1 {
            let found: Vec<String> = values
                .iter()
                .map(|(value, nodes)| format!("'{value}' on {}", nodes.join(", ")))
                .collect();
            return Err(vec![
                Reply::new(
                    code::FAIL_UNDECIDABLE_AUTOPLACMENT,
                    format!("Replicas are to have the same value of '{entry}', but the existing ones have different values."),
                )
                .cause(format!("Found values: {}.", found.join("; ")))
                .correction(format!("Give the required value ('{entry}=<value>'), or remove the setting.")),
            ]);
        }
        let value = values.into_keys().next();
        rules.push(SameRule { key: entry, value });
    }
    Ok(rules)
}

fn different_rules<'a>(
    request: &'a PlaceRequest<'a>,
    deployed: &Deployed<'a>,
) -> Vec<DifferentRule<'a>> {
    let mut rules: BTreeMap<&str, (Option<u32>, BTreeSet<&str>)> = BTreeMap::new();
    for entry in keys(request.filter.different.as_deref()) {
        match entry.split_once('=') {
            Some((key, value)) => drop(rules.entry(key).or_default().1.insert(value)),
            None => rules.entry(entry).or_default().0 = Some(1),
        }
    }
    for (key, max) in request.filter.x_different.iter().flatten() {
        let rule = rules.entry(key).or_default();
        rule.0 = match request.sharing {
            Sharing::AsSaid => Some((*max).max(1)),
            Sharing::Apart => Some(1),
            Sharing::Ignored => None,
        };
    }
    let used = |key: &str| {
        let mut used: BTreeMap<&str, u32> = BTreeMap::new();
        for value in deployed.rows.iter().filter_map(|node| node.props.get(key)) {
            *used.entry(value).or_default() += 1;
        }
        used
    };
    rules
        .into_iter()
        .map(|(key, (max, avoid))| DifferentRule {
            key,
            max,
            avoid,
            used: used(key),
        })
        .collect()
}

/// Nodes that have a resource which replicas must not be placed with.
fn not_with(
    model: &Model,
    request: &PlaceRequest<'_>,
) -> Result<Option<BTreeSet<NodeName>>, Vec<Reply>> {
    let filter = request.filter;
    let pattern = match filter.not_place_with_regex.as_deref() {
        Some(text) if !text.is_empty() => Some(Pattern::compile(text)?),
        Some(_) | None => None,
    };
    let listed: Vec<ResourceName> = filter
        .not_place_with
        .iter()
        .flatten()
        .filter_map(|name| ResourceName::parse(name).ok())
        .collect();
    if pattern.is_none() && listed.is_empty() {
        return Ok(None);
    }
    let own = request.definition.map(|definition| &definition.name);
    let mut nodes = BTreeSet::new();
    let mut add = |name: &ResourceName| {
        let resources = model.resources_of(name);
        let others = resources.filter(|row| own != Some(name) && !model.is_deleting(row));
        nodes.extend(others.map(|row| row.node.clone()));
    };
    listed.iter().for_each(&mut add);
    if let Some(pattern) = pattern {
        // Each definition is checked once, not each of its replicas.
        let names = model.definitions.keys();
        names
            .filter(|name| pattern.is_in(name.as_str()))
            .for_each(add);
    }
    Ok(Some(nodes))
}

/// A pattern for names, regardless of case.
enum Pattern {
    /// Plain text, as most patterns are: tens of thousands of names are searched quickly.
    Text(String),
    Regex(Regex),
}

impl Pattern {
    fn compile(given: &str) -> Result<Self, Vec<Reply>> {
        let text = given.strip_prefix(".*").unwrap_or(given);
        let text = text.strip_suffix(".*").unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.bytes().all(plain) {
            return Ok(Pattern::Text(text.to_owned()));
        }
        let regex = RegexBuilder::new(given)
            .case_insensitive(true)
            .size_limit(REGEX_BYTES_MAX)
            .build();
        regex.map(Pattern::Regex).map_err(|error| {
            let message = format!("'{}' is no regular expression", given.escape_debug());
            vec![Reply::new(code::FAIL_INVLD_REQUEST, message).cause(error.to_string())]
        })
    }

    fn is_in(&self, name: &str) -> bool {
        match self {
            Pattern::Text(text) => match text.as_bytes().first() {
                None => true,
                // Most positions are excluded by their first letter.
                Some(first) => name.as_bytes().windows(text.len()).any(|part| {
                    part[0].eq_ignore_ascii_case(first)
                        && part.eq_ignore_ascii_case(text.as_bytes())
                }),
            },
            Pattern::Regex(regex) => regex.is_match(name),
        }
    }
}

fn scope<'a>(request: &PlaceRequest<'a>) -> Scope<'a> {
    Scope {
        definition: request.definition,
        group: request.group,
        ..Scope::default()
    }
}

/// Without a definition (queries of sizes) mixing is assumed to be allowed.
fn mixing_allowed(model: &Model, request: &PlaceRequest<'_>) -> bool {
    let key = prop::ALLOW_MIXING_STOR_POOL_DRIVER;
    request.definition.is_none()
        || effective(model, Purpose::Policy, &scope(request), key).is_some_and(prop::is_true)
}

fn min_thin_free(model: &Model, request: &PlaceRequest<'_>) -> MinThinFree {
    let key = prop::AUTOPLACER_MIN_THIN_FREE_SPACE;
    parse_min_thin_free(effective(model, Purpose::MinThinFree, &scope(request), key))
}

/// A percentage of the pool or a size; any other text counts as not set.
fn parse_min_thin_free(text: Option<&str>) -> MinThinFree {
    let default = MinThinFree::Percent(MIN_THIN_FREE_PERCENT);
    let Some(text) = text.map(str::trim) else {
        return default;
    };
    if let Some(percent) = text.strip_suffix('%') {
        let value: Option<f64> = percent.trim().parse().ok();
        return value
            .filter(|value| value.is_finite() && *value >= 0.0)
            .map_or(default, MinThinFree::Percent);
    }
    match size::parse_kib(text, size::Unit::KiB, size::Rounding::Up) {
        Ok(kib) => MinThinFree::Kib(kib),
        Err(_) => default,
    }
}

/// Whether replicas of one resource can be in pools of two providers. Each provider is given with
/// whether the node's DRBD [supports](mixes_extents) pools with different extent sizes.
pub(crate) fn may_mix(
    (a, a_copes): (ProviderKind, bool),
    (b, b_copes): (ProviderKind, bool),
    allowed: bool,
) -> bool {
    use ProviderKind::*;
    let family = |kind: ProviderKind| match kind {
        Lvm => 0,
        LvmThin => 1,
        Zfs | ZfsThin => 2,
        StorageSpaces | StorageSpacesThin => 3,
        File | FileThin => 4,
        Spdk => 5,
        RemoteSpdk => 6,
        EbsInit | EbsTarget => 7,
        Diskless => 8,
    };
    let (low, high) = (family(a).min(family(b)), family(a).max(family(b)));
    if low == high || high == 8 || (low <= 2 && high == 3) {
        return true;
    }
    high <= 2 && allowed && a_copes && b_copes
}

/// Whether this DRBD supports replication between pools with different extent sizes.
pub(crate) fn mixes_extents(version: &str) -> bool {
    let version = version_numbers(version);
    ([9, 1, 18]..[9, 2, 0]).contains(&version) || version >= [9, 2, 7]
}
