//! Nodes: the machines of the cluster.

use std::time::Duration;

use linstor_api::flag::node as flag;
use linstor_api::kind::{ConnectionStatus, NodeType};
use linstor_api::node::{Node as Json, NodeModify};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::model::DEFAULT_DISKLESS_POOL;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::observed::NodeStatus;
use linstor_model::{Draft, Model, Observed, phase};
use linstor_model::{Node, Props, StoragePool, StoragePoolDefinition};
use tokio::time::Instant;
use uuid::Uuid;

use super::filter::{Names, PropFilter};
use super::property::{self, Owner};
use super::reply::{
    Context, Refusal, created, deleted, exists, marked, modified, nothing_to_delete,
};
use super::{names, net_interface, resource};
use crate::cluster::Cluster;

/// How long the creator of a node waits for the first attempt to connect to it. Short, because a node whose address
/// leads nowhere must not hold up its creator; the attempts go on.
const FIRST_CONNECT: Duration = Duration::from_secs(3);

/// How long a node's row may outlive its last resource before the answer says that it does.
const NODE_ROW_GONE: Duration = Duration::from_secs(5);

fn describe(name: impl std::fmt::Display) -> String {
    format!("node '{name}'")
}

fn context(mask: i64, name: &str) -> Context {
    Context::new(code::MASK_NODE | mask, format!("Node: {name}")).about("Node", name)
}

/// A node as answers show it.
pub fn show(node: &Node, observed: &Observed) -> Json {
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
        let uname = props.entry(prop::NODE_UNAME.to_owned());
        uname.or_insert_with(|| host.uname.clone());
    }
    Json {
        name: node.name.to_string(),
        r#type: node.node_type.into(),
        flags: flag::ALL.names(flags(node)),
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

fn flags(node: &Node) -> u64 {
    let mut flags = 0;
    if node.deleting.is_some() {
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
    wanted.map(|node| show(node, &observed)).collect()
}

/// One node.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = names::node(name)?;
    let model = cluster.model();
    let node = names::known_node(&model, &name)?;
    Ok(show(node, &cluster.observed()))
}

/// Adds a node, connects to its satellite, and says how the first attempt went.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &request.name);
    let work = async {
        let env = cluster.env().clone();
        let node = parse(&request, env.uuid(), || env.uuid())?;
        let name = node.name.clone();
        let satellite = node.node_type.has_satellite();
        let (pool, definition) = (env.uuid(), env.uuid());
        let committed = cluster
            .commit(move |draft| Ok(add(draft, node, pool, definition, &request.props)?))
            .await?;
        let mut replies = committed.value;
        if satellite {
            cluster.reconnect(&name);
            let status = cluster
                .wait_connected(&name, Instant::now() + FIRST_CONNECT)
                .await;
            let online = status.is_some_and(|s| s.connection == ConnectionStatus::Online);
            if !online {
                replies.push(crate::wait::not_connected(&name));
            }
        }
        Ok(replies)
    };
    context.run(work).await
}

fn parse(request: &Json, uuid: Uuid, new_uuid: impl Fn() -> Uuid) -> Result<Node, Refusal> {
    let name = names::node(&request.name)?;
    let node_type = node_type(&request.r#type)?;
    if request.net_interfaces.is_empty() {
        return Err(Reply::new(
            code::FAIL_MISSING_NETCOM,
            format!("The node '{name}' has no network interface."),
        )
        .cause("Every node needs at least one network interface.")
        .correction("Give the node's address in 'net_interfaces'.")
        .into());
    }
    let mut node = Node {
        name,
        uuid,
        node_type,
        net_interfaces: Vec::new(),
        props: Props::new(),
        deleting: None,
        evacuate: false,
        evicted: false,
        host: None,
    };
    let mut wanted = None;
    for given in &request.net_interfaces {
        let row = net_interface::parse(given, new_uuid())?;
        if node
            .net_interfaces
            .iter()
            .any(|other| other.name == row.name)
        {
            return Err(exists(
                code::FAIL_EXISTS_NET_IF,
                &format!("netInterface '{}'", row.name),
            )
            .into());
        }
        if given.is_active == Some(true) {
            wanted = Some(row.name.clone());
        }
        node.net_interfaces.push(row);
    }
    if !net_interface::activate(&mut node, wanted.as_ref()) {
        return Err(Reply::new(
            code::FAIL_NO_STLT_CONN_DEFINED,
            format!("No satellite connection defined for node '{}'.", node.name),
        )
        .cause("No network interface has both a port and an encryption type.")
        .correction("Give at least one network interface both.")
        .into());
    }
    Ok(node)
}

fn node_type(word: &str) -> Result<NodeType, Refusal> {
    if word.is_empty() {
        return Ok(NodeType::Satellite);
    }
    let parsed = word.parse::<NodeType>().map_err(|error| {
        Reply::new(code::FAIL_INVLD_NODE_TYPE, format!("{error}."))
            .cause("The node type is not known.")
            .correction("Use SATELLITE, COMBINED, CONTROLLER or AUXILIARY.")
    })?;
    match parsed {
        NodeType::RemoteSpdk | NodeType::EbsTarget => Err(Reply::new(
            code::FAIL_INVLD_NODE_TYPE,
            format!("Nodes of type {parsed} are not implemented yet by this controller."),
        )
        .cause("They run inside the controller's host, which this version cannot do.")
        .correction("Use SATELLITE, COMBINED, CONTROLLER or AUXILIARY.")
        .into()),
        _ => Ok(parsed),
    }
}

fn add(
    draft: &mut Draft,
    mut node: Node,
    pool: Uuid,
    definition: Uuid,
    props: &linstor_api::properties::Properties,
) -> Result<Vec<Reply>, Refusal> {
    if draft.node(&node.name).is_some() {
        return Err(exists(code::FAIL_EXISTS_NODE, &describe(&node.name)).into());
    }
    let mut replies = vec![created(&describe(&node.name), node.uuid)];
    let change = property::change(props.clone(), vec![], vec![]);
    let mut said = Vec::new();
    property::apply(Owner::Node, &mut node.props, &change, &mut said)?;
    replies.append(&mut said);
    if node.node_type.has_satellite() {
        add_diskless_pool(draft, &node.name, pool, definition);
    }
    draft.put_node(node);
    Ok(replies)
}

/// Every node with a satellite has the pool of diskless resources (spec core 1.4).
fn add_diskless_pool(draft: &mut Draft, node: &NodeName, uuid: Uuid, definition: Uuid) {
    let name = StoragePoolName::parse(DEFAULT_DISKLESS_POOL).expect("the constant is a valid name");
    let known = draft
        .pool_definitions
        .get(&name)
        .map(|row| row.name.clone());
    if known.is_none() {
        draft.put_storage_pool_definition(StoragePoolDefinition {
            name: name.clone(),
            uuid: definition,
            props: Props::new(),
        });
    }
    draft.put_storage_pool(StoragePool {
        node: node.clone(),
        name: known.unwrap_or(name),
        uuid,
        kind: linstor_api::kind::ProviderKind::Diskless,
        props: Props::new(),
        shared_name: None,
        external_locking: false,
        granularity_kib: None,
    });
}

/// Changes a node's type and properties.
pub async fn modify(cluster: &Cluster, name: String, request: NodeModify) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name);
    let work = async {
        let name = names::node(&name)?;
        let wanted = match request.node_type.as_deref() {
            None | Some("") => None,
            Some(word) => Some(node_type(word)?),
        };
        let change = property::change(
            request.override_props,
            request.delete_props,
            request.delete_namespaces,
        );
        let committed = cluster.commit(move |draft| {
            let mut node = Node::clone(names::known_node(draft, &name)?);
            let mut replies = Vec::new();
            if let Some(wanted) = wanted {
                change_type(draft, &mut node, wanted)?;
            }
            property::apply(Owner::Node, &mut node.props, &change, &mut replies)?;
            replies.push(modified(&describe(&node.name), node.uuid));
            if **names::known_node(draft, &name)? != node {
                draft.put_node(node);
            }
            Ok(replies)
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}

fn change_type(model: &Model, node: &mut Node, wanted: NodeType) -> Result<(), Refusal> {
    let keeps_satellite = node.node_type.has_satellite() == wanted.has_satellite();
    if !keeps_satellite && model.resource_count_on(&node.name) > 0 {
        return Err(Reply::new(
            code::FAIL_INVLD_NODE_TYPE,
            format!("The type of node '{}' cannot become {wanted}.", node.name),
        )
        .cause("The node has resources, which need a satellite.")
        .correction("Delete its resources first.")
        .into());
    }
    node.node_type = wanted;
    Ok(())
}

/// Deletes a node with everything on it.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::node(&name)?;
        let now = cluster.env().now_ms();
        let observed = cluster.observed();
        let target = name.clone();
        let committed = cluster
            .commit(move |draft| Ok(mark(draft, &observed, &target, now)?))
            .await?;
        let Marked {
            uuid,
            gone,
            shown,
            resources,
        } = committed.value;
        if gone {
            return Ok(vec![deleted(&describe(shown), uuid)]);
        }
        let mut replies = vec![marked(&describe(&shown), uuid)];
        let deadline = Instant::now() + super::WAIT;
        for resource in &resources {
            let look = |model: &Model, observed: &Observed| {
                let gone = model.resource(resource, &name).is_none();
                (gone || !observed.is_online(&name)).then_some(())
            };
            cluster.wait_until(resource, deadline, look).await;
        }
        // The node itself goes in a commit of its own, right after its last resource.
        let gone = |_: Option<&NodeStatus>| {
            let model = cluster.model();
            model
                .node(&name)
                .is_none_or(|node| node.uuid != uuid)
                .then_some(())
        };
        let left = model_has_any(cluster, &resources, &name);
        let grace = if left { Duration::ZERO } else { NODE_ROW_GONE };
        let gone = cluster.wait_node(&name, Instant::now() + grace, gone).await;
        if gone.is_some() {
            replies.push(deleted(&describe(&shown), uuid));
        } else if cluster.observed().is_online(&name) {
            replies.push(super::still_working(&describe(&shown)));
        } else {
            replies.push(crate::wait::not_connected(&name));
        }
        Ok(replies)
    };
    context.run(work).await
}

fn model_has_any(cluster: &Cluster, names: &[ResourceName], node: &NodeName) -> bool {
    let model = cluster.model();
    names
        .iter()
        .any(|name| model.resource(name, node).is_some())
}

struct Marked {
    uuid: Uuid,
    shown: NodeName,
    gone: bool,
    resources: Vec<ResourceName>,
}

fn mark(
    draft: &mut Draft,
    observed: &Observed,
    name: &NodeName,
    now: u64,
) -> Result<Marked, Refusal> {
    let Some(node) = draft.node(name).cloned() else {
        return Err(nothing_to_delete(draft, &RowKey::Node(name.clone()), &describe(name)).into());
    };
    if node.evicted {
        return Err(Reply::new(
            code::WARN_NODE_EVICTED,
            format!("The node '{name}' is evicted and cannot be deleted."),
        )
        .correction("Use 'node lost' to get rid of it.")
        .into());
    }
    let resources: Vec<_> = draft.resources_on(name).map(|r| r.name.clone()).collect();
    for resource in &resources {
        resource::check_deletable(draft, observed, resource, name).map_err(|Refusal(replies)| {
            let why = replies.into_iter().next().map(|reply| reply.message);
            Refusal(vec![
                Reply::new(
                    code::FAIL_NODE_HAS_USED_RSC,
                    format!("The node '{name}' cannot be deleted: its resource '{resource}' is needed."),
                )
                .cause(why.unwrap_or_default())
                .correction("Take the resource out of use, or give another node a replica first."),
            ])
        })?;
    }
    let since = draft.since(now);
    draft.edit_node(name, |node| node.deleting = Some(since));
    for resource in &resources {
        resource::take_down(draft, resource, name, now);
    }
    Ok(Marked {
        uuid: node.uuid,
        shown: node.name.clone(),
        gone: phase::advance_node(draft, name),
        resources,
    })
}

/// Drops a node that will not come back, with everything on it, at once.
pub async fn lost(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::node(&name)?;
        let observed = cluster.observed();
        let facts = super::Facts::gather(cluster);
        let committed = cluster.commit(move |draft| {
            let node = names::known_node(draft, &name)?.clone();
            if is_connected(&observed, &name) {
                return Err(Refusal::from(
                    Reply::new(
                        code::FAIL_EXISTS_NODE_CONN,
                        format!("Node '{name}' has an active connection to the controller."),
                    )
                    .cause("A node that is there is not lost.")
                    .correction("Use 'node delete' instead."),
                )
                .into());
            }
            let resources: Vec<_> = draft.resources_on(&name).map(|r| r.name.clone()).collect();
            let mut replies = vec![deleted(&describe(&node.name), node.uuid)];
            for resource in &resources {
                phase::remove_resource(draft, resource, &name);
            }
            phase::remove_node(draft, &name);
            for resource in &resources {
                replies.append(&mut super::helpers_after_change(draft, &facts, resource));
            }
            Ok(replies)
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}

fn is_connected(observed: &Observed, name: &NodeName) -> bool {
    observed.nodes.get(name).is_some_and(|status| {
        matches!(
            status.connection,
            ConnectionStatus::Online
                | ConnectionStatus::Connected
                | ConnectionStatus::Authenticated
        )
    })
}

/// Closes the connection to a node and dials again.
pub async fn reconnect(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name);
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
    context.run(work).await
}
