//! Nodes: the machines of the cluster.

pub mod create;
pub mod delete;
pub mod modify;

pub use create::create;
pub use delete::{delete, lost};
pub use modify::modify;

use linstor_api::flag::node as flag;
use linstor_api::kind::ConnectionStatus;
use linstor_api::node::Node as Json;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::{Model, Node, Observed};

use super::filter::{Names, PropFilter};
use super::request::Context;
use super::{names, net_interface};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

fn describe(name: impl std::fmt::Display) -> String {
    format!("node '{name}'")
}

fn context(mask: i64, name: &str) -> Context {
    Context::new(code::MASK_NODE | mask, format!("Node: {name}")).about("Node", name)
}

/// A node as answers show it.
pub fn show(model: &Model, node: &Node, observed: &Observed) -> Json {
    let status = observed.nodes.get(&node.name);
    let connection = match status {
        Some(status) => status.connection,
        None if node.node_type.has_satellite() => ConnectionStatus::Offline,
        None => ConnectionStatus::Unknown,
    };
    let info = status.and_then(|status| status.info.as_deref());
    let reasons = |reasons: &Vec<String>| reasons.clone();
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
        storage_providers: info.map_or_else(Vec::new, |info| {
            info.providers.iter().map(|kind| (*kind).into()).collect()
        }),
        resource_layers: info.map_or_else(Vec::new, |info| {
            info.layers.iter().map(|kind| (*kind).into()).collect()
        }),
        unsupported_providers: info.map_or_else(Default::default, |info| {
            let all = info.unsupported_providers.iter();
            all.map(|(kind, why)| (kind.to_string(), reasons(why)))
                .collect()
        }),
        unsupported_layers: info.map_or_else(Default::default, |info| {
            let all = info.unsupported_layers.iter();
            all.map(|(kind, why)| (kind.to_string(), reasons(why)))
                .collect()
        }),
        eviction_timestamp: None,
        platform: info.map(|_| "LINUX".into()),
        os_variant: None,
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
    let name = names::node(name)?;
    let model = cluster.model();
    let node = names::known_node(&model, &name)?;
    Ok(show(&model, node, &cluster.observed()))
}

/// Closes the connection to a node and dials again.
pub async fn reconnect(cluster: &Cluster, name: String) -> Vec<Reply> {
    let work = async {
        let name = names::node(&name)?;
        let model = cluster.model();
        let node = names::known_node(&model, &name)?;
        if node.evicted {
            let message = format!("The node '{name}' is evicted and is not connected to.");
            return Ok(vec![Reply::new(code::WARN_NODE_EVICTED, message)]);
        }
        cluster.reconnect(&name);
        let message = format!("Nodes [{}] will be reconnected.", node.name);
        Ok(vec![Reply::new(code::MODIFIED, message)])
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
