//! Network interfaces: the addresses of a node, and which of them the controller connects to.

use linstor_api::kind::Encryption;
use linstor_api::net_interface::NetInterface as Json;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::Draft;
use linstor_model::model::RowKey;
use linstor_model::name::{NetInterfaceName, NodeName};
use linstor_model::{NetInterface, Node};
use uuid::Uuid;

use super::names;
use super::reply::{
    Context, Refusal, deleted, exists, modified, not_found, nothing_to_delete, registered,
};
use crate::cluster::Cluster;

fn describe(node: &NodeName, name: impl std::fmt::Display) -> String {
    format!("netInterface '{name}' on node '{node}'")
}

fn context(mask: i64, node: &str, name: &str) -> Context {
    let object = format!("Node: '{node}', NetInterfaceName: '{name}'");
    Context::new(code::MASK_NET_IF | mask, object).about("Node", node)
}

/// An interface as answers show it.
pub fn show(row: &NetInterface) -> Json {
    Json {
        name: row.name.to_string(),
        address: row.address.to_string(),
        satellite_port: row.satellite_port.map(i32::from),
        satellite_encryption_type: row.encryption.map(Into::into),
        is_active: Some(row.active),
        uuid: Some(row.uuid.to_string()),
    }
}

/// All interfaces of a node, the one through which the controller connects being marked.
pub fn list(cluster: &Cluster, node: &str) -> Result<Vec<Json>, Refusal> {
    let node = names::node(node)?;
    let model = cluster.model();
    let row = names::known_node(&model, &node)?;
    Ok(row.net_interfaces.iter().map(show).collect())
}

/// One interface of a node.
pub fn one(cluster: &Cluster, node: &str, name: &str) -> Result<Json, Refusal> {
    let (node, name) = (names::node(node)?, names::net_interface(name)?);
    let model = cluster.model();
    let row = names::known_node(&model, &node)?;
    let found = row.net_interfaces.iter().find(|row| row.name == name);
    found.map(show).ok_or_else(|| missing(&node, &name))
}

fn missing(node: &NodeName, name: &NetInterfaceName) -> Refusal {
    not_found(code::FAIL_NOT_FOUND_NET_IF, &describe(node, name)).into()
}

/// Reads an interface of a request.
pub fn parse(given: &Json, uuid: Uuid) -> Result<NetInterface, Refusal> {
    Ok(NetInterface {
        name: names::net_interface(&given.name)?,
        uuid,
        address: address(&given.address)?,
        satellite_port: port(given.satellite_port)?,
        encryption: encryption(given.satellite_encryption_type.as_deref())?,
        active: false,
    })
}

fn address(given: &str) -> Result<std::net::IpAddr, Refusal> {
    given.trim().parse().map_err(|_| {
        let shown: String = given
            .chars()
            .take(64)
            .flat_map(char::escape_debug)
            .collect();
        Reply::new(
            code::FAIL_INVLD_NET_ADDR,
            format!("The network address '{shown}' is invalid."),
        )
        .cause("It is neither an IPv4 nor an IPv6 address.")
        .correction(
            "Use an address like 10.0.0.1 or fd00::1; host names have to be resolved first.",
        )
        .into()
    })
}

fn port(given: Option<i32>) -> Result<Option<u16>, Refusal> {
    match given.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(port)) if port > 0 => Ok(Some(port)),
        Some(_) => Err(Reply::new(
            code::FAIL_INVLD_NET_PORT,
            format!("The port {} is not valid.", given.unwrap_or_default()),
        )
        .cause("Ports are numbers within limits.")
        .correction("Use a port from 1 to 65535.")
        .into()),
    }
}

fn encryption(given: Option<&str>) -> Result<Option<Encryption>, Refusal> {
    let Some(word) = given.filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    word.parse()
        .map(Some)
        .map_err(|error: linstor_api::kind::UnknownKind| {
            Reply::new(code::FAIL_INVLD_ENCRYPT_TYPE, format!("{error}."))
                .cause("The encryption type is not known.")
                .correction("Use PLAIN or SSL.")
                .into()
        })
}

/// Whether the controller can connect to a satellite through it.
fn is_usable(row: &NetInterface) -> bool {
    row.satellite_port.is_some() && row.encryption.is_some()
}

/// Marks one usable interface as active, the given one or the first, and keeps the node's property in step. Says
/// whether there is one.
pub fn activate(node: &mut Node, wanted: Option<&NetInterfaceName>) -> bool {
    let current = node
        .net_interfaces
        .iter()
        .position(|row| row.active && is_usable(row));
    let wanted = wanted.and_then(|name| {
        let found = |row: &NetInterface| row.name == *name && is_usable(row);
        node.net_interfaces.iter().position(found)
    });
    let chosen = wanted
        .or(current)
        .or_else(|| node.net_interfaces.iter().position(is_usable));
    for (index, row) in node.net_interfaces.iter_mut().enumerate() {
        row.active = Some(index) == chosen;
    }
    match chosen {
        Some(index) => {
            let name = node.net_interfaces[index].name.to_string();
            node.props.insert(prop::CUR_STLT_CONN_NAME.to_owned(), name);
            true
        }
        None => {
            node.props.remove(prop::CUR_STLT_CONN_NAME);
            false
        }
    }
}

fn no_connection(node: &NodeName) -> Reply {
    Reply::new(
        code::WARN_NO_STLT_CONN_DEFINED,
        format!("No active satellite-connection configured on node '{node}'!"),
    )
    .correction("Create at least one netInterface with a valid PORT and COMMUNICATION-TYPE.")
}

fn check_active(wanted: Option<bool>, row: &NetInterface) -> Result<(), Refusal> {
    if wanted == Some(true) && !is_usable(row) {
        return Err(Reply::new(
            code::FAIL_MISSING_STLT_CONN,
            format!("The network interface '{}' cannot be active.", row.name),
        )
        .cause("It has no port or no encryption type for the connection to the satellite.")
        .correction("Give it both.")
        .into());
    }
    Ok(())
}

/// Adds an interface to a node.
pub async fn create(cluster: &Cluster, node: String, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &node, &request.name);
    let work = async {
        let node = names::node(&node)?;
        let row = parse(&request, cluster.env().uuid())?;
        check_active(request.is_active, &row)?;
        let wanted = (request.is_active == Some(true)).then(|| row.name.clone());
        let committed = cluster
            .commit(move |draft| Ok(add(draft, &node, row, wanted.as_ref())?))
            .await?;
        Ok(finish(cluster, committed.value))
    };
    context.run(work).await
}

/// Replies of a change, and the node to connect to anew.
type Changed = (Vec<Reply>, Option<NodeName>);

fn finish(cluster: &Cluster, (replies, reconnect): Changed) -> Vec<Reply> {
    if let Some(node) = reconnect {
        cluster.reconnect(&node);
    }
    replies
}

fn add(
    draft: &mut Draft,
    node: &NodeName,
    row: NetInterface,
    wanted: Option<&NetInterfaceName>,
) -> Result<Changed, Refusal> {
    let known = names::known_node(draft, node)?;
    if known
        .net_interfaces
        .iter()
        .any(|other| other.name == row.name)
    {
        return Err(exists(code::FAIL_EXISTS_NET_IF, &describe(node, &row.name)).into());
    }
    let mut replies = vec![registered(&describe(node, &row.name), row.uuid)];
    let before = active(known);
    draft.edit_node(node, |node| {
        node.net_interfaces.push(row);
        activate(node, wanted);
    });
    let after = active(names::known_node(draft, node)?);
    if after.is_none() {
        replies.push(no_connection(node));
    }
    let reconnect = (before != after && after.is_some()).then(|| node.clone());
    Ok((replies, reconnect))
}

fn active(node: &Node) -> Option<NetInterface> {
    node.net_interfaces.iter().find(|row| row.active).cloned()
}

/// Changes an interface.
pub async fn modify(cluster: &Cluster, node: String, name: String, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &node, &name);
    let work = async {
        let (node, name) = (names::node(&node)?, names::net_interface(&name)?);
        let change = Change {
            address: match request.address.as_str() {
                "" => None,
                given => Some(address(given)?),
            },
            port: port(request.satellite_port)?,
            encryption: encryption(request.satellite_encryption_type.as_deref())?,
            active: request.is_active,
        };
        let committed = cluster
            .commit(move |draft| Ok(edit(draft, &node, &name, &change)?))
            .await?;
        Ok(finish(cluster, committed.value))
    };
    context.run(work).await
}

struct Change {
    address: Option<std::net::IpAddr>,
    port: Option<u16>,
    encryption: Option<Encryption>,
    active: Option<bool>,
}

fn edit(
    draft: &mut Draft,
    node: &NodeName,
    name: &NetInterfaceName,
    change: &Change,
) -> Result<Changed, Refusal> {
    let known = names::known_node(draft, node)?.clone();
    let Some(place) = known
        .net_interfaces
        .iter()
        .position(|row| row.name == *name)
    else {
        return Err(missing(node, name));
    };
    let mut row = known.net_interfaces[place].clone();
    row.address = change.address.unwrap_or(row.address);
    row.satellite_port = change.port.or(row.satellite_port);
    row.encryption = change.encryption.or(row.encryption);
    check_active(change.active, &row)?;
    let mut replies = vec![modified(&describe(node, &row.name), row.uuid)];
    let wanted = (change.active == Some(true)).then(|| name.clone());
    draft.edit_node(node, |node| {
        node.net_interfaces[place] = row;
        activate(node, wanted.as_ref());
    });
    let after = active(names::known_node(draft, node)?);
    if after.is_none() {
        replies.push(no_connection(node));
    }
    let reconnect = (active(&known) != after && after.is_some()).then(|| node.clone());
    Ok((replies, reconnect))
}

/// Removes an interface.
pub async fn delete(cluster: &Cluster, node: String, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &node, &name);
    let work = async {
        let (node, name) = (names::node(&node)?, names::net_interface(&name)?);
        let committed = cluster
            .commit(move |draft| Ok(remove(draft, &node, &name)?))
            .await?;
        Ok(finish(cluster, committed.value))
    };
    context.run(work).await
}

fn remove(draft: &mut Draft, node: &NodeName, name: &NetInterfaceName) -> Result<Changed, Refusal> {
    let known = names::known_node(draft, node)?.clone();
    let Some(place) = known
        .net_interfaces
        .iter()
        .position(|row| row.name == *name)
    else {
        return Err(
            nothing_to_delete(draft, &RowKey::Node(node.clone()), &describe(node, name)).into(),
        );
    };
    let row = &known.net_interfaces[place];
    let mut replies = vec![deleted(&describe(node, &row.name), row.uuid)];
    draft.edit_node(node, |node| {
        node.net_interfaces.remove(place);
        activate(node, None);
    });
    let after = active(names::known_node(draft, node)?);
    if row.active && after.is_none() {
        let what = describe(node, &row.name);
        replies.push(
            Reply::new(
                code::WARN_NO_STLT_CONN_DEFINED,
                format!(
                    "{} was the last connection to the satellite!",
                    super::reply::capital(&what)
                ),
            )
            .correction(
                "Create at least one netInterface with a valid PORT and COMMUNICATION-TYPE.",
            ),
        );
    }
    Ok((replies, row.active.then(|| node.clone())))
}
