//! `linstor node`: the nodes of the cluster.

use std::net::{IpAddr, ToSocketAddrs};

use clap::{Args, Subcommand, ValueEnum};
use linstor_api::controller::{HTTP_PORT, HTTPS_PORT, SATELLITE_PORT, SATELLITE_TLS_PORT};
use linstor_api::flag;
use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::net_interface::NetInterface;
use linstor_api::node::{Node, NodeEvacuate, NodeModify, NodeRestore};
use linstor_api::prop;
use linstor_api::sorted_map::SortedMap;

use super::forget::Forget;
use super::list_options::{FilterByProps, GroupBy, Pastable, ShowProps, property_cells};
use super::node_describe;
use crate::action::{Action, Screen, read};
use crate::define::{
    Arg, Command as Define, Names, Verbs, always, each, flag, list_properties, modify, option, own,
    set_property, value,
};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::{time, v0};
use crate::request::Request;

/// The types of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeType {
    /// Runs a controller
    Controller,
    /// Runs neither controller nor satellite
    Auxiliary,
    /// Runs a controller and a satellite
    Combined,
    /// Runs a satellite
    Satellite,
}

impl NodeType {
    const fn as_str(self) -> &'static str {
        match self {
            NodeType::Controller => "Controller",
            NodeType::Auxiliary => "Auxiliary",
            NodeType::Combined => "Combined",
            NodeType::Satellite => "Satellite",
        }
    }
}

/// How controller and satellite communicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Communication {
    /// TCP
    Plain,
    /// TLS
    Ssl,
}

impl Communication {
    const fn as_str(self) -> &'static str {
        match self {
            Communication::Plain => "Plain",
            Communication::Ssl => "SSL",
        }
    }

    /// The TCP port that a node of this type listens on by default.
    const fn default_port(self, node_type: NodeType) -> u16 {
        match (self, node_type) {
            (Communication::Plain, NodeType::Controller) => HTTP_PORT,
            (Communication::Plain, _) => SATELLITE_PORT,
            (Communication::Ssl, NodeType::Controller) => HTTPS_PORT,
            (Communication::Ssl, _) => SATELLITE_TLS_PORT,
        }
    }
}

/// Subcommands of `node`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a node to the cluster
    #[command(visible_alias = "c")]
    Create(Create),
    /// List the nodes
    #[command(visible_alias = "l")]
    List(List),
    /// Delete a node and its resources
    #[command(visible_alias = "d")]
    Delete(Name),
    /// Remove a node that is lost for good, without contacting it
    #[command(visible_alias = "lo")]
    Lost(Name),
    /// Show which storage providers and layers the nodes support
    Info(Info),
    /// Show nodes, storage pools, resources and volumes as a tree
    #[command(visible_alias = "dsc")]
    Describe {
        /// Name of the node; all nodes if not given
        node: Option<String>,
    },
    /// Change the type of a node
    #[command(visible_alias = "m")]
    Modify(Modify),
    /// Restore an evicted or evacuated node
    #[command(visible_alias = "rst")]
    Restore(Restore),
    /// Evacuate a node: move its resources to other nodes
    #[command(visible_alias = "evac")]
    Evacuate(Evacuate),
    /// Show what earlier identities of the node have left on it, and remove that
    Forget(Forget),
    /// Network interfaces of nodes
    #[command(subcommand, visible_alias = "i")]
    Interface(Interface),
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// TCP port of the satellite (3366 plain, 3367 with TLS) or controller (3370, 3371)
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Type of the node
    #[arg(long, value_enum, ignore_case = true, default_value = "satellite")]
    node_type: NodeType,
    /// Encryption of the connection between controller and satellite
    #[arg(long, value_enum, ignore_case = true, default_value = "plain")]
    communication_type: Communication,
    /// Accepted for compatibility; the only type is "ip"
    #[arg(long, hide = true)]
    interface_type: Option<String>,
    /// Name of the network interface
    #[arg(long, default_value = "default")]
    interface_name: String,
    /// Name of the node; should be its host name
    name: String,
    /// IP address of the node; resolved from its name if not given
    ip: Option<String>,
}

/// The node that a command is for.
#[derive(Debug, Args)]
pub struct Name {
    /// Accepted for compatibility; has no effect
    #[arg(long, hide = true)]
    r#async: bool,
    /// Name of the node
    node: String,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only these nodes
    #[arg(short = 'n', long, num_args = 1.., value_name = "NODE")]
    nodes: Vec<String>,
    /// Show auxiliary properties (Aux/...)
    #[arg(long)]
    show_aux_props: bool,
    #[command(flatten)]
    filter: FilterByProps,
    #[command(flatten)]
    show: ShowProps,
}

/// Arguments of `info`.
#[derive(Debug, Clone, Args)]
pub struct Info {
    #[command(flatten)]
    pastable: Pastable,
    /// Show why a provider or layer is not supported
    #[arg(short = 'f', long)]
    full: bool,
    /// Only these nodes
    #[arg(short = 'n', long, num_args = 1.., value_name = "NODE")]
    nodes: Vec<String>,
}

/// Arguments of `modify`.
#[derive(Debug, Args)]
pub struct Modify {
    /// New type of the node
    #[arg(
        short = 't',
        long,
        value_enum,
        ignore_case = true,
        default_value = "satellite"
    )]
    node_type: NodeType,
    /// Name of the node
    node: String,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// Name of the node
    node: String,
    /// Delete the node's resources first
    #[arg(long)]
    delete_resources: bool,
    /// Delete the node's snapshots first
    #[arg(long)]
    delete_snapshots: bool,
}

/// Arguments of `evacuate`.
#[derive(Debug, Args)]
pub struct Evacuate {
    /// Name of the node
    node: String,
    /// Only these nodes may receive the resources
    #[arg(long, num_args = 1.., value_name = "NODE", conflicts_with = "do_not_target")]
    target: Vec<String>,
    /// These nodes may not receive the resources
    #[arg(long, num_args = 1.., value_name = "NODE")]
    do_not_target: Vec<String>,
}

/// Subcommands of `node interface`.
#[derive(Debug, Subcommand)]
pub enum Interface {
    /// Add a network interface to a node
    #[command(visible_alias = "c")]
    Create {
        #[command(flatten)]
        connection: Connection,
        /// Name of the node
        node: String,
        /// Name of the network interface
        interface: String,
        /// IP address
        ip: String,
    },
    /// Change a network interface
    #[command(visible_alias = "m")]
    Modify {
        #[command(flatten)]
        connection: Connection,
        /// New IP address
        #[arg(long)]
        ip: Option<String>,
        /// Name of the node
        node: String,
        /// Name of the network interface
        interface: String,
    },
    /// Delete network interfaces
    #[command(visible_alias = "d")]
    Delete {
        /// Name of the node
        node: String,
        /// Names of the network interfaces
        #[arg(required = true, value_name = "INTERFACE")]
        interfaces: Vec<String>,
    },
    /// List the network interfaces of a node
    #[command(visible_alias = "l")]
    List {
        #[command(flatten)]
        pastable: Pastable,
        /// Name of the node
        node: String,
    },
}

/// Whether and how the controller connects to a network interface.
#[derive(Debug, Args)]
pub struct Connection {
    /// TCP port of the satellite on this network interface
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Encryption of the connection between controller and satellite
    #[arg(long, value_enum, ignore_case = true, default_value = "plain")]
    communication_type: Communication,
    /// Make this the active interface: the one the controller connects to
    #[arg(long)]
    active: bool,
}

impl Connection {
    fn net_interface(&self, name: String, address: String) -> NetInterface {
        NetInterface {
            name,
            address,
            satellite_port: self.port.map(i32::from),
            satellite_encryption_type: self.port.map(|_| self.communication_type.as_str().into()),
            // `false` would be a change as well: it deactivates the interface.
            is_active: self.active.then_some(true),
            uuid: None,
        }
    }
}

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create(args) => create(args),
            Command::Forget(args) => Ok(args.action()),
            Command::List(args) => {
                let request = Request::get(&["nodes"])
                    .query("nodes", &args.nodes)
                    .query("props", &args.filter.props);
                Ok(Action::list(
                    request,
                    Some(v0::nodes),
                    move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
                ))
            }
            Command::Delete(name) => Action::modify(Request::delete(&["nodes", &name.node])),
            Command::Lost(name) => Action::modify(Request::delete(&["nodes", &name.node, "lost"])),
            Command::Info(args) => Ok(Action::list(
                Request::get(&["nodes"]).query("nodes", &args.nodes),
                Some(v0::nodes),
                move |rows: Vec<_>, screen| show_info(&args, &rows, screen),
            )),
            Command::Describe { node } => Ok(node_describe::action(node)),
            Command::Modify(args) => {
                let body = NodeModify {
                    node_type: Some(args.node_type.as_str().to_owned()),
                    ..NodeModify::default()
                };
                Action::modify(Request::put(&["nodes", &args.node], &body))
            }
            Command::Restore(args) => {
                let body = NodeRestore {
                    delete_resources: args.delete_resources.then_some(true),
                    delete_snapshots: args.delete_snapshots.then_some(true),
                };
                Action::modify(Request::put(&["nodes", &args.node, "restore"], &body))
            }
            Command::Evacuate(args) => {
                let body = NodeEvacuate {
                    target: args.target,
                    do_not_target: args.do_not_target,
                };
                Action::modify(Request::put(&["nodes", &args.node, "evacuate"], &body))
            }
            Command::Interface(interface) => interface.action(),
        }
    }
}

fn create(args: Create) -> Result<Action, Failure> {
    let address = match args.ip {
        Some(ip) => ip,
        None => resolve(&args.name)?,
    };
    let port = args
        .port
        .unwrap_or(args.communication_type.default_port(args.node_type));
    let body = Node {
        name: args.name,
        r#type: args.node_type.as_str().into(),
        net_interfaces: vec![NetInterface {
            name: args.interface_name,
            address,
            satellite_port: Some(port.into()),
            satellite_encryption_type: Some(args.communication_type.as_str().into()),
            is_active: Some(true),
            uuid: None,
        }],
        ..Node::default()
    };
    Action::modify(Request::post(&["nodes"], &body))
}

/// The address by which other nodes reach a host: IPv4 before IPv6, never a loopback address, to which many hosts
/// resolve their own name.
fn resolve(name: &str) -> Result<String, Failure> {
    let help = "give the IP address after the node's name";
    let found = (name, 0)
        .to_socket_addrs()
        .map_err(|error| Failure::usage(format!("'{name}' cannot be resolved: {error}; {help}")))?;
    let mut addresses: Vec<IpAddr> = found
        .map(|address| address.ip())
        .filter(|address| !address.is_loopback())
        .collect();
    addresses.sort_by_key(|address| address.is_ipv6());
    match addresses.first() {
        Some(address) => Ok(address.to_string()),
        None => Err(Failure::usage(format!(
            "'{name}' resolves to loopback addresses only, which other nodes cannot reach; {help}"
        ))),
    }
}

/// The node of this name, which is compared without regard to case.
fn find<'a>(nodes: &'a [Node], name: &str) -> Result<&'a Node, Failure> {
    nodes
        .iter()
        .find(|node| node.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| Failure::not_found(format!("Node '{name}' not found on controller.")))
}

/// The text of the State column and its colour.
fn state(node: &Node) -> (String, Color) {
    for (flag, color) in [
        ("EVICTED", Color::Red),
        ("DELETE", Color::Red),
        ("EVACUATE", Color::Yellow),
    ] {
        if flag::has(&node.flags, flag) {
            return (flag.to_owned(), color);
        }
    }
    let (text, color) = match node.connection_status.as_deref() {
        Some("OFFLINE") => ("OFFLINE", Color::Red),
        Some("CONNECTED") => ("Connected", Color::Yellow),
        Some("ONLINE") => ("Online", Color::Green),
        Some("VERSION_MISMATCH") => ("OFFLINE(VERSION MISMATCH)", Color::Red),
        Some("FULL_SYNC_FAILED") => ("OFFLINE(FULL SYNC FAILED)", Color::Red),
        Some("MISSING_EXT_TOOLS") => ("OFFLINE(MISSING EXTERNAL TOOLS)", Color::Red),
        Some("AUTHENTICATION_ERROR") => ("OFFLINE(AUTHENTICATION ERROR)", Color::Red),
        Some("HOSTNAME_MISMATCH") => ("OFFLINE(HOSTNAME MISMATCH)", Color::Red),
        Some("OTHER_CONTROLLER") => ("OFFLINE(OTHER_CONTROLLER)", Color::Red),
        Some("NO_STLT_CONN") => ("OFFLINE(NO CONNECTION TO SATELLITE)", Color::Red),
        Some("DUPLICATE_UNAME") => ("OFFLINE(DUPLICATE UNAME)", Color::Red),
        Some("AUTHENTICATED") => ("Authenticated", Color::Yellow),
        _ => ("Unknown", Color::Yellow),
    };
    (text.to_owned(), color)
}

fn show_list(args: &List, nodes: &[Node], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("Node")
        .column("NodeType")
        .column("Addresses");
    if args.show_aux_props {
        table = table.column("AuxProps");
    }
    table = table
        .colored("State", Color::DarkGreen)
        .properties(&args.show.show_props)
        .group_by(&args.group_by.groupby);
    let goes_soon = |node: &Node| {
        let offline = node.connection_status.as_deref() == Some("OFFLINE");
        offline && !flag::has(&node.flags, "EVICTED")
    };
    let eviction = nodes
        .iter()
        .any(|node| node.eviction_timestamp.is_some() && goes_soon(node));
    for node in nodes {
        let mut row: Vec<Cell> = vec![
            node.name.as_str().into(),
            node.r#type.as_ref().into(),
            active_address(node).into(),
        ];
        if args.show_aux_props {
            let aux = node
                .props
                .iter()
                .filter(|(key, _)| key.starts_with(prop::AUX));
            let lines: Vec<String> = aux.map(|(key, value)| format!("{key}={value}")).collect();
            row.push(lines.join("\n").into());
        }
        let (mut text, color) = state(node);
        if eviction && goes_soon(node) {
            let when = node
                .eviction_timestamp
                .map_or("Disabled".to_owned(), time::local);
            text.push_str(&format!(" (Auto-eviction at {when})"));
        }
        row.push(Cell::colored(text, color));
        row.extend(property_cells(&args.show.show_props, &node.props));
        table.row(row);
    }
    screen.table(table)?;
    if eviction {
        screen.line("Properties DrbdOptions/AutoEvict* of the controller or of a node cancel automatic eviction")?;
        screen
            .line("(linstor controller set-property DrbdOptions/AutoEvictAllowEviction false)")?;
    }
    Ok(())
}

/// Address, port and encryption of the active interface.
fn active_address(node: &Node) -> String {
    let mut interfaces = node.net_interfaces.iter();
    let active = interfaces.find(|i| i.is_active == Some(true) && i.satellite_port.is_some());
    match active {
        Some(interface) => format!(
            "{}:{} ({})",
            interface.address,
            interface.satellite_port.unwrap_or_default(),
            interface.satellite_encryption_type.as_deref().unwrap_or("")
        ),
        None => String::new(),
    }
}

/// The columns of the two tables of `info`, and the kinds that each column stands for.
const PROVIDER_COLUMNS: [(&str, &[ProviderKind]); 9] = [
    ("Diskless", &[ProviderKind::Diskless]),
    ("LVM", &[ProviderKind::Lvm]),
    ("LVMThin", &[ProviderKind::LvmThin]),
    ("ZFS/Thin", &[ProviderKind::ZfsThin]),
    ("File/Thin", &[ProviderKind::FileThin]),
    ("SPDK", &[ProviderKind::Spdk]),
    ("Remote_SPDK", &[ProviderKind::RemoteSpdk]),
    ("Storage_Spaces", &[ProviderKind::StorageSpaces]),
    ("Storage_Spaces/Thin", &[ProviderKind::StorageSpacesThin]),
];
const LAYER_COLUMNS: [(&str, LayerKind); 7] = [
    ("DRBD", LayerKind::Drbd),
    ("LUKS", LayerKind::Luks),
    ("NVMe", LayerKind::Nvme),
    ("Cache", LayerKind::Cache),
    ("BCache", LayerKind::Bcache),
    ("WriteCache", LayerKind::Writecache),
    ("Storage", LayerKind::Storage),
];

fn mark(yes: bool) -> Cell {
    if yes {
        Cell::colored("+", Color::Green)
    } else {
        Cell::colored("-", Color::Red)
    }
}

fn show_info(args: &Info, nodes: &[Node], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let satellites: Vec<&Node> = nodes
        .iter()
        .filter(|node| {
            node.r#type.eq_ignore_ascii_case("SATELLITE")
                || node.r#type.eq_ignore_ascii_case("COMBINED")
        })
        .collect();
    let mut providers = args.pastable.table(screen.style).column("Node");
    for (heading, _) in PROVIDER_COLUMNS {
        providers = providers.column(heading);
    }
    let mut layers = args.pastable.table(screen.style).column("Node");
    for (heading, _) in LAYER_COLUMNS {
        layers = layers.column(heading);
    }
    for node in &satellites {
        let has = |kind: &ProviderKind| {
            node.storage_providers
                .iter()
                .any(|name| name == kind.as_str())
        };
        let cells = PROVIDER_COLUMNS
            .iter()
            .map(|(_, kinds)| mark(kinds.iter().any(has)));
        providers.row(
            std::iter::once(node.name.as_str().into())
                .chain(cells)
                .collect(),
        );
        let has = |kind: LayerKind| {
            node.resource_layers
                .iter()
                .any(|name| name == kind.as_str())
        };
        let cells = LAYER_COLUMNS.iter().map(|(_, kind)| mark(has(*kind)));
        layers.row(
            std::iter::once(node.name.as_str().into())
                .chain(cells)
                .collect(),
        );
    }
    screen.table(providers)?;
    let why = |node: &Node| node.unsupported_providers.clone();
    show_reasons(
        args,
        "Unsupported storage providers:",
        &satellites,
        why,
        screen,
    )?;
    screen.line("")?;
    screen.table(layers)?;
    let why = |node: &Node| node.unsupported_layers.clone();
    show_reasons(
        args,
        "Unsupported resource layers:",
        &satellites,
        why,
        screen,
    )
}

/// With `--full`, prints why providers or layers are not supported.
fn show_reasons(
    args: &Info,
    title: &str,
    nodes: &[&Node],
    why: impl Fn(&Node) -> SortedMap<String, Vec<String>>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for node in nodes.iter().filter(|_| args.full) {
        let why = why(node);
        if node.connection_status.as_deref() != Some("ONLINE") {
            lines.push(format!(" {}: NODE IS OFFLINE!", node.name));
        } else if !why.is_empty() {
            lines.push(format!(" {}: ", node.name));
            for (what, texts) in why {
                lines.extend(texts.iter().map(|text| format!("  {what}: {text}")));
            }
        }
    }
    if !lines.is_empty() {
        screen.line(title)?;
    }
    lines.iter().try_for_each(|line| screen.line(line))
}

impl Interface {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Interface::Create {
                connection,
                node,
                interface,
                ip,
            } => {
                let body = connection.net_interface(interface, ip);
                Action::modify(Request::post(&["nodes", &node, "net-interfaces"], &body))
            }
            Interface::Modify {
                connection,
                ip,
                node,
                interface,
            } => {
                let body = connection.net_interface(interface.clone(), ip.unwrap_or_default());
                let path = ["nodes", &node, "net-interfaces", &interface];
                Action::modify(Request::put(&path, &body))
            }
            Interface::Delete { node, interfaces } => {
                let delete =
                    |name: &String| Request::delete(&["nodes", &node, "net-interfaces", name]);
                Ok(Action::Modify(interfaces.iter().map(delete).collect()))
            }
            Interface::List { pastable, node } => Ok(Action::List {
                request: Request::get(&["nodes"]).query("nodes", &[&node]),
                show: Box::new(move |text, screen| {
                    let nodes: Vec<Node> = read(text)?;
                    show_interfaces(&pastable, find(&nodes, &node)?, screen)
                }),
                v0: Some(v0::nodes),
            }),
        }
    }
}

fn show_interfaces(
    pastable: &Pastable,
    node: &Node,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = pastable
        .table(screen.style)
        .colored(&node.name, Color::Green)
        .column("NetInterface")
        .column("IP")
        .column("Port")
        .column("EncryptionType")
        .group_by(&["NetInterface".to_owned()]);
    for interface in &node.net_interfaces {
        let active = interface.is_active == Some(true);
        let port = interface.satellite_port.map(|port| port.to_string());
        table.row(vec![
            if active { "+ StltCon" } else { "+" }.into(),
            interface.name.as_str().into(),
            interface.address.as_str().into(),
            port.unwrap_or_default().into(),
            interface
                .satellite_encryption_type
                .as_deref()
                .unwrap_or("")
                .into(),
        ]);
    }
    screen.table(table)
}

/// The other commands of `node`.
pub const MORE: &[Define] = &[
    each(
        "reconnect rc",
        "Reconnect to nodes",
        "PUT nodes/{node}/reconnect",
        &[NODE.many()],
        "node",
    ),
    set_property("PUT nodes/{node}", &[NODE]),
    list_properties("GET nodes", &[NODE.query("nodes")], |given, answer| {
        let nodes: Vec<Node> = read(answer)?;
        Ok(Some(find(&nodes, given.need("node"))?.props.clone()))
    }),
    own(
        "create-remote-spdk-target crspdkt",
        "Add a node that stands for the volumes of SPDK on another host",
        SPDK_TARGET,
        |given| {
            let mut request = given.request("POST nodes", SPDK_TARGET)?;
            let mut body: serde_json::Value = read(request.body.as_deref().unwrap_or("{}"))?;
            body["net_interfaces"] = serde_json::json!([{
                "name": "default",
                "address": "127.0.0.1",
                "satellite_port": SATELLITE_PORT,
                "satellite_encryption_type": Communication::Plain.as_str(),
            }]);
            request = request.body(&body);
            Action::modify(request)
        },
    ),
    modify(
        "create-ebs-target cebst",
        "Add a node that stands for the volumes of an EBS remote",
        "POST nodes/ebs",
        &[
            value("name", "Name of the node").body("name"),
            value("remote", "Name of the remote")
                .of(Names::Remote)
                .body("ebs_remote_name"),
        ],
    ),
    own(
        "set-log-level setloglevel",
        "Set the log level of a satellite",
        &[
            NODE,
            super::controller::LEVEL,
            flag("--library --lib", "Of the libraries, not of LINSTOR itself"),
        ],
        |given| {
            super::controller::log_level(given, &["nodes", given.need("node"), "config"], false)
        },
    ),
];

const NODE: Arg = value("node", "Name of the node").of(Names::Node);
const SPDK_TARGET: &[Arg] = &[
    value("name", "Name of the node").body("name"),
    always("type", "Remote_Spdk"),
    value("api-host", "Host of the API of SPDK").member("props", "StorDriver/RemoteSpdk/ApiHost"),
    option("--api-port", "Its port").member("props", "StorDriver/RemoteSpdk/ApiPort"),
    option("--api-user", "User").member("props", "StorDriver/RemoteSpdk/UserName"),
    option(
        "--api-user-env",
        "Environment variable of the controller with the user",
    )
    .member("props", "StorDriver/RemoteSpdk/UserNameEnv"),
    option("--api-pw", "Password; asked for without a value")
        .maybe()
        .secret("Password")
        .member("props", "StorDriver/RemoteSpdk/UserPassword"),
    option(
        "--api-pw-env",
        "Environment variable of the controller with the password",
    )
    .member("props", "StorDriver/RemoteSpdk/UserPasswordEnv"),
];
