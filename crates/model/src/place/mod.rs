//! Placement (the autoplacer): which pools of which nodes get the replicas of a resource (`docs/facts.md`, Placement).
//!
//! Three steps, one file each: [`filter`] finds the pools that can take one replica, [`score`] computes their scores,
//! and [`choose`](mod@choose) finds the set with the highest sum that satisfies the rules between replicas. If there is
//! no such set, [`explain`] lists the smallest violations: the violated rule, and by how much.

pub mod choose;
pub mod explain;
pub mod filter;
pub mod query;
pub mod score;

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind};
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_wire::status::NodeInfo;

use crate::layer::{self, drbd84};
use crate::model::{DEFAULT_DISKLESS_POOL, Model};
use crate::name::{NodeName, StoragePoolName};
use crate::observed::Observed;
use crate::props::is_true;
use crate::stack;
use crate::{Node, Resource, ResourceDefinition, ResourceGroup, SelectFilter};

use self::choose::SearchResult;
pub use self::explain::Explanation;

/// The kind of replica to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Diskful.
    Diskful,
    /// Diskless.
    Diskless,
}

/// How to apply the rule `x-replicas-on-different`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// As given.
    AsSaid,
    /// As one replica per value, so that a tie breaker is on a node of its own value.
    Apart,
    /// Ignored.
    Ignored,
}

/// A request for replicas.
#[derive(Debug, Clone)]
pub struct PlaceRequest<'a> {
    /// The resource definition, if it exists: its replicas and its properties count.
    pub definition: Option<&'a ResourceDefinition>,
    /// The group whose properties count if there is no definition.
    pub group: Option<&'a ResourceGroup>,
    /// The filter, merged from request and group.
    pub filter: &'a SelectFilter,
    /// The layers of the replicas.
    pub layer_stack: Vec<LayerKind>,
    /// Total size of the backing volumes of one replica, in KiB.
    pub needed_kib: u64,
    /// The kind of replica.
    pub want: Want,
    /// Only these nodes, in addition to the filter.
    pub only_nodes: Option<&'a BTreeSet<NodeName>>,
    /// Not these nodes.
    pub not_nodes: Option<&'a BTreeSet<NodeName>>,
    /// How to apply the rule `x-replicas-on-different`.
    pub sharing: Sharing,
    /// A node with a replica that is being deleted can be chosen: the replica would be restored.
    pub revive: bool,
    /// Only nodes with at least this DRBD version (major, minor, patch).
    pub drbd_min: Option<[u32; 3]>,
    /// Nodes that do not support the layers can be chosen as well.
    pub any_layers: bool,
}

impl<'a> PlaceRequest<'a> {
    /// Replicas of a definition. Layers: the filter's, else those of new resources of the definition.
    pub fn of_definition(
        model: &Model,
        definition: &'a ResourceDefinition,
        filter: &'a SelectFilter,
    ) -> Self {
        let layer_stack = stack::of_new_resource(model, definition, filter.layer_stack.as_deref());
        PlaceRequest {
            definition: Some(definition),
            group: None,
            needed_kib: replica_kib(model, definition, &layer_stack),
            ..PlaceRequest::of_filter(filter, layer_stack)
        }
    }

    /// Replicas without a definition, for queries of sizes.
    pub fn of_group(group: &'a ResourceGroup, filter: &'a SelectFilter) -> Self {
        let layer_stack = match filter.layer_stack.as_deref() {
            Some(stack) if !stack.is_empty() => stack.to_vec(),
            Some(_) | None => stack::default_stack(false),
        };
        PlaceRequest {
            group: Some(group),
            ..PlaceRequest::of_filter(filter, layer_stack)
        }
    }

    fn of_filter(filter: &'a SelectFilter, layer_stack: Vec<LayerKind>) -> Self {
        PlaceRequest {
            definition: None,
            group: None,
            filter,
            layer_stack,
            needed_kib: 0,
            want: match filter.diskless_type.as_deref() {
                None | Some("") => Want::Diskful,
                Some(_) => Want::Diskless,
            },
            only_nodes: None,
            not_nodes: None,
            sharing: Sharing::AsSaid,
            revive: false,
            drbd_min: None,
            any_layers: false,
        }
    }

    fn has_drbd(&self) -> bool {
        self.layer_stack.contains(&LayerKind::Drbd)
    }

    fn name(&self) -> String {
        self.definition
            .map_or_else(String::new, |definition| definition.name.to_string())
    }
}

/// Total size of the backing volumes of a new diskful replica, in KiB.
pub fn replica_kib(
    model: &Model,
    definition: &ResourceDefinition,
    layer_stack: &[LayerKind],
) -> u64 {
    let drbd = definition
        .drbd
        .as_ref()
        .filter(|_| layer_stack.contains(&LayerKind::Drbd));
    let slots = crate::numbers::peer_slots(model, definition);
    let mut sum: u64 = 0;
    for volume in definition.volumes.values() {
        let size = match drbd {
            Some(drbd) if !volume.gross_size || volume.device_kib.is_some() => {
                let metadata = layer::drbd::Metadata {
                    peer_slots: slots,
                    al_stripes: drbd.al_stripes,
                    al_stripe_kib: drbd.al_stripe_kib,
                };
                metadata.gross_kib(volume.device_kib.unwrap_or(volume.size_kib))
            }
            Some(_) | None => volume.size_kib,
        };
        let step = volume.granularity_kib.max(4);
        sum = sum.saturating_add(size.checked_next_multiple_of(step).unwrap_or(size));
    }
    sum
}

/// A pool that was chosen for a replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The node.
    pub node: NodeName,
    /// The pool.
    pub pool: StoragePoolName,
    /// The storage provider of the pool.
    pub kind: ProviderKind,
    /// The score of the pool.
    pub score: f64,
    /// The node has a diskless replica, which becomes diskful.
    pub converts: bool,
}

/// The result of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// The pools in which replicas are to be created, in order of nodes.
    pub chosen: Vec<Chosen>,
    /// Replies, if there is nothing to do.
    pub replies: Vec<Reply>,
}

impl Placement {
    /// The reply with the nodes and pools of the placed replicas.
    pub fn reply(&self, name: &str) -> Reply {
        let count = self.chosen.len();
        let used: Vec<String> = self
            .chosen
            .iter()
            .map(|chosen| format!("'{} ({})'", chosen.node, chosen.pool))
            .collect();
        let mut reply = Reply::new(
            code::CREATED,
            format!("Resource '{name}' successfully autoplaced on {count} nodes"),
        )
        .details(format!(
            "Used nodes (storage pool name): {}",
            used.join(", ")
        ));
        for (index, chosen) in self.chosen.iter().enumerate() {
            reply = reply
                .about(format!("Node/{index}"), chosen.node.as_str())
                .about(
                    format!("StoragePool/{index}/0"),
                    format!("{},{}", chosen.pool, chosen.kind),
                );
        }
        reply
    }
}

/// Chooses the pools of replicas; the error has the reasons if there are none.
///
/// If enough replicas exist, the placement is empty and has a warning (unless every other node is to get a
/// diskless replica, which [`remaining_nodes`] reports).
pub fn choose(
    model: &Model,
    observed: &Observed,
    request: &PlaceRequest<'_>,
) -> Result<Placement, Vec<Reply>> {
    let deployed = Deployed::of(model, observed, request.definition);
    let wanted = match wanted(request, &deployed) {
        Ok(wanted) => wanted,
        Err(reply) => {
            return Ok(Placement {
                chosen: Vec::new(),
                replies: vec![*reply],
            });
        }
    };
    if wanted == 0 {
        return Ok(Placement::default());
    }
    let rules = filter::Rules::new(model, observed, request, &deployed, wanted)?;
    let candidates = score::candidates(&rules);
    match choose::search(&rules, &candidates, wanted) {
        SearchResult::Found(chosen) => Ok(Placement {
            chosen,
            replies: Vec::new(),
        }),
        SearchResult::None { limit_reached } => {
            let explanation = explain::explain(&rules, &candidates, wanted, limit_reached);
            let layers = unsupported_layers(model, observed, request);
            let layers = layers.map(|reply| reply.details(explanation.to_string()));
            Err(vec![layers.unwrap_or_else(|| explanation.reply(request))])
        }
    }
}

/// The error of a placement for which there are enough nodes, but not enough that support the layers.
fn unsupported_layers(
    model: &Model,
    observed: &Observed,
    request: &PlaceRequest<'_>,
) -> Option<Reply> {
    if request.any_layers || request.want == Want::Diskless {
        return None;
    }
    let any_layers = PlaceRequest {
        any_layers: true,
        ..request.clone()
    };
    let placement = choose(model, observed, &any_layers).ok()?;
    placement.chosen.iter().find_map(|chosen| {
        let info = info_of(observed, &chosen.node)?;
        let layers = request.layer_stack.iter();
        let missing = layers.filter(|layer| !info.layers.contains(layer));
        let missing: Vec<&str> = missing.map(|layer| layer.as_str()).collect();
        (!missing.is_empty()).then(|| {
            let text = format!(
                "Satellite '{}' does not support the following layers: [{}]",
                chosen.node,
                missing.join(", ")
            );
            Reply::new(code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER, text)
                .cause("There are enough nodes, but not enough of them support the layers.")
                .correction("Install what the layers need on the nodes, or use other layers.")
        })
    })
}

/// Lists for each pool whether it can take a replica, and if not, why; regardless of the result of a placement.
pub fn explain(
    model: &Model,
    observed: &Observed,
    request: &PlaceRequest<'_>,
) -> Result<Explanation, Vec<Reply>> {
    let deployed = Deployed::of(model, observed, request.definition);
    let wanted = wanted(request, &deployed).unwrap_or(0);
    let rules = filter::Rules::new(model, observed, request, &deployed, wanted)?;
    let candidates = score::candidates(&rules);
    Ok(explain::explain(&rules, &candidates, wanted, false))
}

/// The number of replicas to create, or the reply if enough exist.
fn wanted(request: &PlaceRequest<'_>, deployed: &Deployed<'_>) -> Result<usize, Box<Reply>> {
    let filter = request.filter;
    if let Some(additional) = filter.additional_place_count.filter(|count| *count > 0) {
        return Ok(additional as usize);
    }
    let (count, nodes) = match request.want {
        Want::Diskful => (deployed.counted, &deployed.diskful_nodes),
        Want::Diskless => (deployed.diskless_nodes.len(), &deployed.diskless_nodes),
    };
    let wanted = filter.place_count.unwrap_or(0) as usize;
    if count < wanted || (count == wanted && filter.diskless_on_remaining == Some(true)) {
        return Ok(wanted - count);
    }
    let name = request.name();
    let used: Vec<String> = nodes.iter().map(|node| format!("'{node}'")).collect();
    let reply = if count > wanted {
        let text = format!(
            "The resource '{name}' was already deployed on {count} nodes: {}. \
             The resource would have to be deleted from nodes to reach the placement count.",
            used.join(", ")
        );
        Reply::new(code::WARN_RSC_ALREADY_DEPLOYED, text)
    } else {
        let text = format!("Resource '{name}' was already deployed on {count} nodes. Skipping.");
        Reply::new(code::WARN_RSC_ALREADY_DEPLOYED, text)
            .details(format!("Used nodes: {}", used.join(", ")))
    };
    Err(Box::new(reply))
}

/// Whether a node satisfies the rules of equal and different values, given the existing diskful replicas.
pub fn keeps_rules(
    model: &Model,
    observed: &Observed,
    request: &PlaceRequest<'_>,
    node: &Node,
) -> bool {
    let deployed = Deployed::of(model, observed, request.definition);
    // Existing replicas that contradict each other do not exclude another one.
    filter::Rules::new(model, observed, request, &deployed, 1)
        .is_ok_and(|rules| rules.keeps_values(node))
}

/// The nodes that get a diskless replica if every remaining node is to have one, with replies about
/// those that cannot have one. `taken` are nodes that were just chosen for replicas.
pub fn remaining_nodes(
    model: &Model,
    observed: &Observed,
    request: &PlaceRequest<'_>,
    taken: &[Chosen],
) -> (Vec<NodeName>, Vec<Reply>) {
    let has_drbd = request.has_drbd();
    let deployed = Deployed::of(model, observed, request.definition);
    let on_84 = taken
        .iter()
        .map(|chosen| &chosen.node)
        .chain(&deployed.diskful_nodes)
        .any(|node| drbd84::is_84(drbd_of(model, observed, node).0));
    if !has_drbd || on_84 {
        let cause = match has_drbd {
            true => {
                "The replicas are on nodes with DRBD 8.4, which does not support diskless replicas."
            }
            false => "Without the DRBD layer there are no diskless replicas.",
        };
        let text = "The remaining nodes get no diskless replica.";
        return (
            Vec::new(),
            vec![Reply::new(code::WARN_NO_EFFECT, text).cause(cause)],
        );
    }
    let nodes = model
        .satellites()
        .filter(|node| !model.is_deleting_node(&node.name) && !node.evacuate && !node.evicted)
        .filter(|node| observed.is_online(&node.name))
        .filter(|node| !taken.iter().any(|chosen| chosen.node == node.name))
        .filter(|node| {
            let replica = request
                .definition
                .and_then(|definition| model.resource(&definition.name, &node.name));
            replica.is_none_or(|replica| {
                let disk = replica.drbd.as_ref().map(|drbd| drbd.disk);
                disk == Some(crate::DiskKind::TieBreaker) && !model.is_deleting(replica)
            })
        })
        .filter(|node| {
            let info = info_of(observed, &node.name);
            info.is_some_and(|info| info.layers.contains(&LayerKind::Drbd))
                && !drbd84::is_84(drbd_of(model, observed, &node.name).0)
        })
        .map(|node| node.name.clone())
        .collect();
    (nodes, Vec::new())
}

/// The data that a satellite reported about its node, if any.
pub(crate) fn info_of<'a>(observed: &'a Observed, node: &NodeName) -> Option<&'a NodeInfo> {
    observed.nodes.get(node)?.info.as_deref()
}

/// DRBD version of a node: as reported by its satellite, else as stored in the row.
pub(crate) fn drbd_of<'a>(
    model: &'a Model,
    observed: &'a Observed,
    node: &NodeName,
) -> (Option<DrbdKind>, Option<&'a str>) {
    if let Some(info) = info_of(observed, node) {
        let drbd = info.drbd.as_ref();
        return (
            drbd.map(|drbd| drbd.kind),
            drbd.map(|drbd| drbd.version.as_str()),
        );
    }
    let host = model.nodes.get(node).and_then(|node| node.host.as_ref());
    let version = host.and_then(|host| host.drbd_version.as_deref());
    (host.and_then(|host| host.drbd), version)
}

/// A version as numbers; a part that is not a number counts as zero.
pub fn version_numbers(version: &str) -> [u32; 3] {
    let mut numbers = [0; 3];
    for (slot, part) in numbers.iter_mut().zip(version.split('.')) {
        let digits = part.bytes().take_while(u8::is_ascii_digit);
        *slot = digits.fold(0_u32, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        });
    }
    numbers
}

/// The existing replicas, as far as they affect new ones.
#[derive(Debug, Default)]
pub(crate) struct Deployed<'a> {
    /// Nodes with a diskful replica that is not being deleted.
    pub(crate) diskful_nodes: Vec<NodeName>,
    /// Rows of these nodes.
    pub(crate) rows: Vec<&'a Node>,
    /// Number of replicas for the place count: without those with `SkipDisk`, and those in a shared space once.
    pub(crate) counted: usize,
    /// Nodes with a diskless replica that is not being deleted.
    pub(crate) diskless_nodes: Vec<NodeName>,
    /// All other nodes with a replica: it is being deleted, or to be moved away.
    pub(crate) leaving_nodes: Vec<NodeName>,
    /// Shared spaces with a replica.
    pub(crate) shared: BTreeSet<&'a str>,
    /// Providers in use, each with whether its node's DRBD supports pools with different extent sizes.
    pub(crate) kinds: Vec<(ProviderKind, bool)>,
    /// DRBD version of the replicas.
    pub(crate) drbd: Option<DrbdKind>,
}

impl<'a> Deployed<'a> {
    fn of(
        model: &'a Model,
        observed: &'a Observed,
        definition: Option<&ResourceDefinition>,
    ) -> Deployed<'a> {
        let mut deployed = Deployed::default();
        let Some(definition) = definition else {
            return deployed;
        };
        for replica in model.resources_of(&definition.name) {
            let name = &replica.node;
            let Some(node) = model.nodes.get(name) else {
                continue;
            };
            if model.is_deleting(replica) || node.evacuate || node.evicted {
                deployed.leaving_nodes.push(name.clone());
            } else if is_diskless(model, replica) {
                deployed.diskless_nodes.push(name.clone());
            } else {
                deployed.add_diskful(model, observed, replica, node);
            }
        }
        deployed
    }

    fn add_diskful(
        &mut self,
        model: &'a Model,
        observed: &'a Observed,
        replica: &Resource,
        node: &'a Node,
    ) {
        let (drbd, version) = drbd_of(model, observed, &node.name);
        let copes = version.is_some_and(filter::mixes_extents);
        let mut counts = !skips_disk(replica);
        for volume in replica.volumes.values() {
            let Some(pool) = model.pools.get(&(node.name.clone(), volume.pool.clone())) else {
                continue;
            };
            self.kinds.push((pool.kind, copes));
            if let Some(shared) = &pool.shared_name {
                counts &= self.shared.insert(shared);
            }
        }
        self.drbd = self.drbd.or(drbd.filter(|_| replica.drbd.is_some()));
        self.counted += usize::from(counts);
        self.diskful_nodes.push(node.name.clone());
        self.rows.push(node);
    }
}

fn is_diskless(model: &Model, replica: &Resource) -> bool {
    match &replica.drbd {
        Some(drbd) => drbd.disk.is_diskless(),
        None => replica.volumes.values().any(|volume| {
            model
                .pool(&replica.node, &volume.pool)
                .is_some_and(|pool| pool.kind == ProviderKind::Diskless)
        }),
    }
}

fn skips_disk(replica: &Resource) -> bool {
    let value = replica.props.get(prop::DRBD_SKIP_DISK);
    value.is_some_and(|value| is_true(value))
}

/// Whether a pool is the default diskless pool, which exists on every node.
fn is_default_diskless(pool: &StoragePoolName) -> bool {
    pool.as_str().eq_ignore_ascii_case(DEFAULT_DISKLESS_POOL)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
