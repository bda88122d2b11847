//! Placement: which pools of which nodes get the replicas of a resource (`docs/facts.md`, Placement).
//!
//! Three steps, one file each: [`filter`] says which pools could take one replica, [`score`] how good each is, and
//! [`choose`](mod@choose) finds the set with the highest sum that keeps the rules replicas have between them. When
//! there is none, [`explain`] says for the nearest misses which rule they miss and by how much.

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

use self::choose::Outcome;
pub use self::explain::Explanation;

/// What kind of replica is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// With a disk.
    Diskful,
    /// Without one.
    Diskless,
}

/// How to read the rule of how many replicas share a property's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// As it stands.
    AsSaid,
    /// Not at all: every replica has a value of its own, so that a tie breaker stands apart.
    Apart,
    /// As many as they like.
    Ignored,
}

/// A wish for replicas.
#[derive(Debug, Clone)]
pub struct PlaceRequest<'a> {
    /// The resource definition, when there is one (yet): its replicas count, and its properties.
    pub definition: Option<&'a ResourceDefinition>,
    /// The group whose properties count where there is no definition.
    pub group: Option<&'a ResourceGroup>,
    /// The rules, request and group merged.
    pub filter: &'a SelectFilter,
    /// The layers of the replicas.
    pub layer_stack: Vec<LayerKind>,
    /// What the backing volumes of one replica take together, in KiB.
    pub needed_kib: u64,
    /// What kind of replica.
    pub want: Want,
    /// Only these nodes, beside what the filter says.
    pub only_nodes: Option<&'a BTreeSet<NodeName>>,
    /// Not these nodes.
    pub not_nodes: Option<&'a BTreeSet<NodeName>>,
    /// How to read the rule of how many replicas share a property's value.
    pub sharing: Sharing,
    /// A replica that is on its way out does not stand in the way: it would come back.
    pub revive: bool,
    /// Only nodes whose DRBD is at least this (major, minor, patch).
    pub drbd_min: Option<[u32; 3]>,
}

impl<'a> PlaceRequest<'a> {
    /// Replicas of a definition. Layers: the filter's, else what new resources of the definition get.
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

    /// Replicas of nothing in particular, for questions about space.
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

/// What the backing volumes of a new diskful replica take, in KiB.
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
            Some(drbd) if !volume.gross_size => {
                let metadata = layer::drbd::Metadata {
                    peer_slots: slots,
                    al_stripes: drbd.al_stripes,
                    al_stripe_kib: drbd.al_stripe_kib,
                };
                metadata.gross_kib(volume.size_kib)
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
    /// What the pool is made of.
    pub kind: ProviderKind,
    /// How good it is.
    pub score: f64,
    /// The node has a diskless replica already, which gets a disk.
    pub converts: bool,
}

/// What came out of a wish.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// Where replicas are to be made, in order of nodes.
    pub chosen: Vec<Chosen>,
    /// What is to be said when there is nothing to do.
    pub replies: Vec<Reply>,
}

impl Placement {
    /// The entry that tells where replicas were placed.
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

/// Chooses where replicas go, or says why they cannot go anywhere.
///
/// Nothing to do is no failure: the placement is empty then and carries a warning (unless every other node is to get a
/// diskless replica, which is for [`remaining_nodes`] to say).
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
        Outcome::Found(chosen) => Ok(Placement {
            chosen,
            replies: Vec::new(),
        }),
        Outcome::None { gave_up } => {
            let explanation = explain::explain(&rules, &candidates, wanted, gave_up);
            Err(vec![explanation.reply(request)])
        }
    }
}

/// Says for each pool whether it could take a replica, and if not, why; whether or not a placement would succeed.
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

/// How many replicas are to be made, or what to say when there are enough.
fn wanted(request: &PlaceRequest<'_>, deployed: &Deployed<'_>) -> Result<usize, Box<Reply>> {
    let filter = request.filter;
    if let Some(additional) = filter.additional_place_count.filter(|count| *count > 0) {
        return Ok(additional as usize);
    }
    let (count, nodes) = match request.want {
        Want::Diskful => (deployed.counted, &deployed.diskful_nodes),
        Want::Diskless => (deployed.diskless_nodes.len(), &deployed.diskless_nodes),
    };
    let wish = filter.place_count.unwrap_or(0) as usize;
    if count < wish || (count == wish && filter.diskless_on_remaining == Some(true)) {
        return Ok(wish - count);
    }
    let name = request.name();
    let used: Vec<String> = nodes.iter().map(|node| format!("'{node}'")).collect();
    let reply = if count > wish {
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

/// Whether a node keeps the rules of values that are the same or different, beside the diskful replicas there are.
pub fn keeps_rules(
    model: &Model,
    observed: &Observed,
    request: &PlaceRequest<'_>,
    node: &Node,
) -> bool {
    let deployed = Deployed::of(model, observed, request.definition);
    // Replicas that contradict each other decide nothing about another one.
    filter::Rules::new(model, observed, request, &deployed, 1)
        .is_ok_and(|rules| rules.keeps_values(node))
}

/// The nodes that get a diskless replica when every remaining node is to have one, with what there is to say about
/// those that cannot. `taken` are nodes that were chosen for replicas just now.
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
            true => "The replicas are on nodes with DRBD 8.4, which knows no diskless replicas.",
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

/// What a satellite said of itself, if it ever did.
pub(crate) fn info_of<'a>(observed: &'a Observed, node: &NodeName) -> Option<&'a NodeInfo> {
    observed.nodes.get(node)?.info.as_deref()
}

/// Kind and version of a node's DRBD: as its satellite says, else as the row remembers.
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

/// A version as numbers; what cannot be read counts as zero.
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

/// The replicas that exist, as far as they matter for new ones.
#[derive(Debug, Default)]
pub(crate) struct Deployed<'a> {
    /// Nodes with a diskful replica that stays.
    pub(crate) diskful_nodes: Vec<NodeName>,
    /// Rows of these nodes.
    pub(crate) rows: Vec<&'a Node>,
    /// How many count for the place count: without those that skip their disk, and shared space once.
    pub(crate) counted: usize,
    /// Nodes with a diskless replica that stays.
    pub(crate) diskless_nodes: Vec<NodeName>,
    /// All other nodes that have a replica: on its way out, or to be moved away.
    pub(crate) leaving_nodes: Vec<NodeName>,
    /// Shared space that is in use by replicas.
    pub(crate) shared: BTreeSet<&'a str>,
    /// Kinds of pools in use, each with whether its node's DRBD copes with pools that round sizes differently.
    pub(crate) kinds: Vec<(ProviderKind, bool)>,
    /// Kind of the DRBD that connects them.
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
        let replicas = model.replicas.get(&definition.name);
        for name in replicas.into_iter().flatten() {
            let key = (definition.name.clone(), name.clone());
            let (Some(replica), Some(node)) = (model.resources.get(&key), model.nodes.get(name))
            else {
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

/// Whether a pool is the one that exists on every node.
fn is_default_diskless(pool: &StoragePoolName) -> bool {
    pool.as_str().eq_ignore_ascii_case(DEFAULT_DISKLESS_POOL)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
