//! Nodes: the machines of the cluster.

pub mod create;
pub mod delete;
pub mod evacuate;
pub mod modify;

pub use create::create;
pub use delete::{delete, lost};
pub use evacuate::{evacuate, evict, restore};
pub use modify::modify;

use std::time::Duration;

use linstor_api::flag::node as flag;
use linstor_api::kind::{ConnectionStatus, LayerKind, ProviderKind};
use linstor_api::node::Node as Json;
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use linstor_api::{code, prop};
use linstor_model::observed::NodeStatus;
use linstor_model::{Model, Node, Observed, eviction};
use linstor_wire::status::NodeInfo;
use tokio::time::Instant;

use super::filter::{Names, PropFilter};
use super::request::Context;
use super::{name, net_interface, storage_pool};
use crate::cluster::Cluster;
use crate::observing::is_connected;
use crate::transaction::Refusal;

/// The code of the entry for a satellite that is connected to again: the number of that connection status.
const AUTHENTICATED: i64 = 9;
/// How long a call waits for a satellite that is connected to again.
const RECONNECT: Duration = Duration::from_secs(5);

fn label(name: impl std::fmt::Display) -> String {
    format!("node '{name}'")
}

fn context(mask: i64, name: &str) -> Context {
    Context::new(code::MASK_NODE | mask, format!("Node: {name}")).about("Node", name)
}

/// A node as answers show it.
pub fn show(model: &Model, node: &Node, observed: &Observed) -> Json {
    let status = observed.nodes.get(&node.name);
    let connection = status.map_or(ConnectionStatus::Offline, |status| status.connection);
    let info = status.and_then(|status| status.info.as_deref());
    let abilities = abilities(node, info);
    let mut props = node.props.clone();
    if let Some(host) = &node.host {
        props.get_or_insert_with(prop::NODE_UNAME.to_owned(), || host.uname.clone());
    }
    Json {
        name: node.name.to_string(),
        r#type: node.node_type.into(),
        flags: flag::ALL.names(flags(model, node)),
        props,
        net_interfaces: node
            .net_interfaces
            .iter()
            .map(net_interface::show)
            .collect(),
        connection_status: Some(connection.into()),
        uuid: Some(node.uuid.to_string()),
        storage_providers: abilities.providers.into_iter().map(Into::into).collect(),
        resource_layers: abilities.layers.into_iter().map(Into::into).collect(),
        unsupported_providers: abilities.unsupported_providers,
        unsupported_layers: abilities.unsupported_layers,
        eviction_timestamp: status.and_then(|status| evicted_at(model, node, status)),
        platform: info.map(|_| "LINUX".into()),
        os_variant: info.map(|info| info.os.clone()).filter(|os| !os.is_empty()),
    }
}

/// When a node that is away is evicted, or was, in milliseconds since the Unix epoch; none where evictions are not allowed.
fn evicted_at(model: &Model, node: &Node, status: &NodeStatus) -> Option<i64> {
    let allowed = node.evicted || eviction::is_allowed(model, node);
    if !allowed || is_connected(status.connection) {
        return None;
    }
    i64::try_from(eviction::due_at(model, node, status.since)).ok()
}

/// What a node can do, and why it cannot do the rest.
#[derive(Default)]
struct Abilities {
    providers: Vec<ProviderKind>,
    layers: Vec<LayerKind>,
    unsupported_providers: SortedMap<String, Vec<String>>,
    unsupported_layers: SortedMap<String, Vec<String>>,
}

/// Kinds of pools and layers that need no program are there on every satellite, also on one that was never connected.
fn abilities(node: &Node, info: Option<&NodeInfo>) -> Abilities {
    if !node.node_type.has_satellite() {
        return Abilities::default();
    }
    let always = storage_pool::WITHOUT_TOOLS;
    let mut providers = Vec::from(always);
    let offered = NodeInfo {
        providers: node
            .host
            .as_ref()
            .map_or(Vec::new(), |host| host.providers.clone()),
        layers: node
            .host
            .as_ref()
            .map_or(Vec::new(), |host| host.layers.clone()),
        ..NodeInfo::default()
    };
    // Since the controller started the node was not connected: what it offered before counts.
    let offered = Some(&offered).filter(|offered| !offered.layers.is_empty());
    let Some(info) = info.or(offered) else {
        let why = || vec!["The satellite was never connected.".to_owned()];
        let others = ProviderKind::ALL
            .iter()
            .filter(|kind| !always.contains(kind));
        let layers = LayerKind::ALL
            .iter()
            .filter(|kind| **kind != LayerKind::Storage);
        return Abilities {
            providers,
            layers: vec![LayerKind::Storage],
            unsupported_providers: others.map(|kind| (kind.to_string(), why())).collect(),
            unsupported_layers: layers.map(|kind| (kind.to_string(), why())).collect(),
        };
    };
    providers.extend(info.providers.iter().filter(|kind| !always.contains(kind)));
    let unsupported = info.unsupported_providers.iter();
    let unsupported = unsupported.filter(|(kind, _)| !always.contains(kind));
    Abilities {
        providers,
        layers: info.layers.clone(),
        unsupported_providers: unsupported
            .map(|(k, why)| (k.to_string(), why.clone()))
            .collect(),
        unsupported_layers: info
            .unsupported_layers
            .iter()
            .map(|(kind, why)| (kind.to_string(), why.clone()))
            .collect(),
    }
}

fn flags(model: &Model, node: &Node) -> u64 {
    let mut flags = 0;
    if model.is_deleting_node(&node.name) {
        flags |= flag::DELETE;
    }
    if node.evicted {
        flags |= flag::EVICTED;
    }
    if node.evacuate {
        flags |= flag::EVACUATE;
    }
    flags
}

/// The nodes that the filters leave.
pub fn list(cluster: &Cluster, names: &Names, props: &PropFilter) -> Vec<Json> {
    let (model, observed) = (cluster.model(), cluster.observed());
    let nodes = model.nodes.values();
    let wanted = nodes.filter(|node| names.wants(node.name.as_str()) && props.meets(&node.props));
    wanted.map(|node| show(&model, node, &observed)).collect()
}

/// One node.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = name::node(name)?;
    let model = cluster.model();
    let node = name::known_node(&model, &name)?;
    Ok(show(&model, node, &cluster.observed()))
}

fn authenticated(node: &Node, abilities: &Abilities) -> Reply {
    let words = |kinds: Vec<String>| kinds.join(", ");
    let (providers, layers) = (abilities.providers.iter(), abilities.layers.iter());
    let message = format!("Node '{}' authenticated", node.name);
    Reply::new(AUTHENTICATED, message).details(format!(
        "Supported storage providers: [{}]\nSupported resource layers: [{}]",
        words(providers.map(ToString::to_string).collect()),
        words(layers.map(ToString::to_string).collect()),
    ))
}

/// Closes the connection to a node and dials again.
pub async fn reconnect(cluster: &Cluster, name: String) -> Vec<Reply> {
    let work = async {
        let name = name::node(&name)?;
        let model = cluster.model();
        let node = name::known_node(&model, &name)?;
        if node.evicted {
            let message = format!("The node '{name}' is evicted and is not connected to.");
            return Ok(vec![Reply::new(code::WARN_NODE_EVICTED, message)]);
        }
        cluster.reconnect(&name);
        let message = format!("Nodes [{}] will be reconnected.", node.name);
        let mut replies = vec![Reply::new(code::MASK_SUCCESS, message)];
        let deadline = Instant::now() + RECONNECT;
        let status = cluster.wait_connected(&name, deadline).await;
        let online = status.filter(|status| status.connection == ConnectionStatus::Online);
        replies.push(match online {
            Some(status) => authenticated(node, &abilities(node, status.info.as_deref())),
            None => crate::wait::not_connected(&name),
        });
        Ok(replies)
    };
    context(code::MASK_MOD, &name).run(work).await
}

/// For each satellite, that a change asks nothing of it, `why` being the reason; a warning where it is not connected.
pub fn unaffected(cluster: &Cluster, why: &str) -> Vec<Reply> {
    let (model, observed) = (cluster.model(), cluster.observed());
    let each = model.satellites().map(|node| {
        if observed.is_online(&node.name) {
            return Reply::new(code::MODIFIED, format!("({}) {why}.", node.name));
        }
        crate::wait::not_connected(&node.name)
    });
    each.collect()
}
