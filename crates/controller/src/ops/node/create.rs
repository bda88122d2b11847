//! Adding a node.

use std::time::Duration;

use linstor_api::code;
use linstor_api::controller::SATELLITE_PORT;
use linstor_api::kind::{ConnectionStatus, Encryption, ProviderKind};
use linstor_api::net_interface::NetInterface;
use linstor_api::node::Node as Json;
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_model::model::DEFAULT_DISKLESS_POOL;
use linstor_model::name::{NodeName, StoragePoolName};
use linstor_model::{Node, Props, StoragePool, StoragePoolDefinition};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::property::{self, Owner};
use super::super::reply::{exists, registered};
use super::super::{name, net_interface};
use super::modify::node_type;
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long the creator of a node waits for the first attempt to connect to it. Short, because a node whose address
/// leads nowhere must not hold up its creator; the attempts go on.
const FIRST_CONNECT: Duration = Duration::from_secs(3);

/// Adds a node and connects to its satellite; the answer has the outcome of the first attempt.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &request.name);
    let work = async {
        let env = cluster.env().clone();
        let node = parse(&request, env.uuid(), || env.uuid())?;
        let (name, satellite) = (node.name.clone(), node.node_type.has_satellite());
        let committed = cluster
            .commit(move |tx| add(tx, node, request.props))
            .await?;
        let mut replies = committed.replies;
        if let Some(mut reply) = net_interface::no_certificate(cluster, &name) {
            // LINSTOR's answer where it has no connector for SSL.
            reply.ret_code = code::FAIL_UNKNOWN_ERROR;
            replies.push(reply);
        } else if satellite {
            cluster.reconnect(&name);
            let deadline = Instant::now() + FIRST_CONNECT;
            let status = cluster.wait_connected(&name, deadline).await;
            if status.is_none_or(|status| status.connection != ConnectionStatus::Online) {
                replies.push(crate::wait::not_connected(&name));
            }
        }
        Ok(replies)
    };
    context.run(work).await
}

fn parse(request: &Json, uuid: Uuid, new_uuid: impl Fn() -> Uuid) -> Result<Node, Refusal> {
    let name = name::node(&request.name)?;
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
        connections: Vec::new(),
        evacuate: false,
        evacuate_to: Vec::new(),
        evacuate_not_to: Vec::new(),
        evicted: false,
        host: None,
    };
    let mut wanted = None;
    let bare = |given: &NetInterface| {
        given.satellite_port.is_none() && given.satellite_encryption_type.is_none()
    };
    // The contract's defaults, where no interface has a satellite port.
    let defaults = node.node_type.has_satellite() && request.net_interfaces.iter().all(bare);
    let connects = |given: &NetInterface| {
        given.satellite_port.is_some() && given.satellite_encryption_type.is_some()
    };
    let connects = request.net_interfaces.iter().any(connects);
    for (index, given) in request.net_interfaces.iter().enumerate() {
        let given = &NetInterface {
            // That none is complete outranks what is wrong with a port.
            satellite_port: given.satellite_port.filter(|_| connects),
            ..given.clone()
        };
        let mut row = net_interface::parse(given, new_uuid())?;
        if defaults && index == 0 {
            row.satellite_port = Some(SATELLITE_PORT);
            row.encryption = Some(Encryption::Plain);
        }
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

fn add(tx: &mut Transaction<'_>, mut node: Node, props: Properties) -> Result<(), Refusal> {
    if tx.node(&node.name).is_some() {
        return Err(exists(code::FAIL_EXISTS_NODE, &label(&node.name)).into());
    }
    tx.reply(registered(&label(&node.name), node.uuid));
    tx.replies(property::set(Owner::Node, &mut node.props, props)?);
    if node.node_type.has_satellite() {
        add_diskless_pool(tx, &node.name);
    }
    tx.put_node(node);
    Ok(())
}

/// Every node with a satellite has the pool of diskless resources.
fn add_diskless_pool(tx: &mut Transaction<'_>, node: &NodeName) {
    let name = StoragePoolName::parse(DEFAULT_DISKLESS_POOL).expect("the constant is a valid name");
    let known = tx.pool_definitions.get(&name).map(|row| row.name.clone());
    if known.is_none() {
        let uuid = tx.uuid();
        tx.put_storage_pool_definition(StoragePoolDefinition {
            name: name.clone(),
            uuid,
            props: Props::new(),
        });
    }
    let uuid = tx.uuid();
    tx.put_storage_pool(StoragePool {
        node: node.clone(),
        name: known.unwrap_or(name),
        uuid,
        kind: ProviderKind::Diskless,
        props: Props::new(),
        shared_name: None,
        external_locking: false,
        granularity_kib: None,
    });
}
