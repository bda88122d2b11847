//! Connections: what is set for two nodes, or for the resources of a definition on them.

use std::net::IpAddr;

use linstor_api::sorted_map::SortedMap;
use linstor_wire::spec::PathSpec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::draft::Draft;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::props::below;
use crate::row::Props;
use crate::{Node, ResourceDefinition};

/// The namespace of paths: `Paths/<path>/<node>` is the net interface of the node that the path uses.
const PATHS: &str = "Paths";

/// What is set for a pair of nodes. That of nodes is in the row of the first one, that of resources in the row of their
/// definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its identity.
    pub uuid: Uuid,
    /// The node whose name comes first.
    pub first: NodeName,
    /// The other node.
    pub second: NodeName,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
}

impl Connection {
    /// Without properties, between two nodes.
    pub fn new(uuid: Uuid, a: &NodeName, b: &NodeName) -> Self {
        let (first, second) = pair(a, b);
        Connection {
            uuid,
            first: first.clone(),
            second: second.clone(),
            props: Props::new(),
        }
    }

    /// Whether it is between these two nodes.
    pub fn is_between(&self, a: &NodeName, b: &NodeName) -> bool {
        (&self.first, &self.second) == pair(a, b)
    }

    fn has(&self, node: &NodeName) -> bool {
        self.first == *node || self.second == *node
    }
}

/// Two nodes in the order of their names.
pub fn pair<'a>(a: &'a NodeName, b: &'a NodeName) -> (&'a NodeName, &'a NodeName) {
    if a <= b { (a, b) } else { (b, a) }
}

/// Puts a connection in the place of the one between the same nodes; they are in the order of their nodes' names.
pub fn put(connections: &mut Vec<Connection>, new: Connection) {
    let key = |row: &Connection| (row.first.clone(), row.second.clone());
    match connections.binary_search_by_key(&key(&new), key) {
        Ok(at) => connections[at] = new,
        Err(at) => connections.insert(at, new),
    }
}

/// Removes the connections of a node that no longer exists.
pub fn remove_node(draft: &mut Draft, node: &NodeName) {
    let others = draft.nodes.values();
    let others = others.filter(|row| row.connections.iter().any(|c| c.has(node)));
    let others: Vec<NodeName> = others.map(|row| row.name.clone()).collect();
    for other in others {
        draft.edit_node(&other, |row| row.connections.retain(|c| !c.has(node)));
    }
}

/// Removes the connections of a resource that no longer exists.
pub fn remove_resource(draft: &mut Draft, name: &ResourceName, node: &NodeName) {
    let definition = draft.definitions.get(name);
    if definition.is_some_and(|row| row.connections.iter().any(|c| c.has(node))) {
        let keep = |c: &Connection| !c.has(node);
        draft.edit_resource_definition(name, |row| row.connections.retain(keep));
    }
}

/// What is set for two nodes.
pub fn of_nodes<'a>(model: &'a Model, a: &NodeName, b: &NodeName) -> Option<&'a Connection> {
    let connections = &model.node(pair(a, b).0)?.connections;
    connections.iter().find(|row| row.is_between(a, b))
}

/// What is set for the resources of a definition on two nodes.
pub fn of_resources<'a>(
    definition: &'a ResourceDefinition,
    a: &NodeName,
    b: &NodeName,
) -> Option<&'a Connection> {
    let mut connections = definition.connections.iter();
    connections.find(|row| row.is_between(a, b))
}

/// The paths between the resources on two nodes, seen from `local`; none where the nodes' own addresses are used. A path
/// that does not name a net interface of both is none.
pub fn paths(
    model: &Model,
    definition: &ResourceDefinition,
    local: &NodeName,
    peer: &NodeName,
) -> Vec<PathSpec> {
    let of_pair = [
        of_resources(definition, local, peer),
        of_nodes(model, local, peer),
    ];
    let (Some(local), Some(peer)) = (model.node(local), model.node(peer)) else {
        return Vec::new();
    };
    let connections = of_pair.into_iter().flatten();
    let mut paths = connections.map(|row| paths_of(&row.props, local, peer));
    paths.find(|paths| !paths.is_empty()).unwrap_or_default()
}

fn paths_of(props: &Props, local: &Node, peer: &Node) -> Vec<PathSpec> {
    let mut paths = Vec::new();
    // Both ends of a path follow each other; the local one finds the other one.
    for (key, interface) in below(props, PATHS) {
        let Some((path, node)) = key.split_once('/') else {
            continue;
        };
        let other = below(props, &format!("{PATHS}/{path}"));
        let mut other = other.filter(|(node, _)| peer.name.as_str().eq_ignore_ascii_case(node));
        if !local.name.as_str().eq_ignore_ascii_case(node) {
            continue;
        }
        let ends = (
            address(local, interface),
            other
                .next()
                .and_then(|(_, interface)| address(peer, interface)),
        );
        if let (Some(local), Some(peer)) = ends {
            paths.push(PathSpec { local, peer });
        }
    }
    paths
}

fn address(node: &Node, interface: &str) -> Option<IpAddr> {
    let mut interfaces = node.net_interfaces.iter();
    let found = interfaces.find(|row| row.name.as_str().eq_ignore_ascii_case(interface));
    found.map(|row| row.address)
}
