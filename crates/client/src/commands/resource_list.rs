//! The table of resources, and the state of resources and volumes as tables show it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use linstor_api::drbd_state::DiskState;
use linstor_api::flag;
use linstor_api::layer::{DrbdResource, ResourceLayer, VolumeLayer};
use linstor_api::prop;
use linstor_api::resource::Resource;
use linstor_api::volume::Volume;

use super::list_options::{FilterByProps, GroupBy, Pastable, ShowProps, property_cells};
use crate::action::{Action, Screen, read};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::{time, v0};
use crate::request::Request;

/// Arguments of `resource list`.
#[derive(Debug, Clone, Default, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only these resources
    #[arg(short = 'r', long, num_args = 1.., value_name = "RESOURCE")]
    resources: Vec<String>,
    /// Only on these nodes
    #[arg(short = 'n', long, num_args = 1.., value_name = "NODE")]
    nodes: Vec<String>,
    /// Accepted for compatibility; all resources are shown in any case
    #[arg(short = 'a', long, hide = true)]
    all: bool,
    /// Only faulty resources
    #[arg(long)]
    faulty: bool,
    #[command(flatten)]
    filter: FilterByProps,
    #[command(flatten)]
    show: ShowProps,
    /// Show the TCP ports of DRBD
    #[arg(long)]
    show_drbd_ports: bool,
}

/// Arguments of `resource involved`.
#[derive(Debug, Clone, Args)]
pub struct Involved {
    #[command(flatten)]
    pastable: Pastable,
    /// Only resources that are in use somewhere
    #[arg(short = 'i', long)]
    inuse: bool,
    /// Only resources that are in use on a diskless node
    #[arg(short = 'd', long)]
    diskless_inuse: bool,
    /// Only resources with fewer diskful replicas than this
    #[arg(short = 'm', long, value_name = "NUMBER")]
    min_diskful: Option<usize>,
    #[command(flatten)]
    show: ShowProps,
    /// Name of the node
    node: String,
}

/// Requests resources with their volumes.
pub fn view<S: AsRef<str>>(nodes: &[S], resources: &[S]) -> Request {
    Request::get(&["view", "resources"])
        .query("nodes", nodes)
        .query("resources", resources)
}

/// How much of a resource is synchronized, in percent of its volumes on all nodes; none if that is not known.
pub fn percent_synced(resource: &str, screen: &mut Screen<'_>) -> Option<f64> {
    let resources: Vec<Resource> = screen.query(&view(&[], &[resource])).ok()?;
    let volumes = resources.iter().flat_map(|resource| &resource.volumes);
    let states = volumes.filter_map(|volume| volume.state.as_ref());
    let done = states.filter_map(|state| {
        let percents = state
            .replication_states
            .values()
            .filter_map(|peer| peer.done_percentage);
        percents.reduce(f64::min)
    });
    done.reduce(f64::min)
}

impl List {
    /// The action of the command.
    pub fn action(self) -> Action {
        let request = view(&self.nodes, &self.resources).query("props", &self.filter.props);
        Action::list(request, Some(v0::resources), move |rows: Vec<_>, screen| {
            self.show(&rows, screen)
        })
    }

    fn show(&self, resources: &[Resource], screen: &mut Screen<'_>) -> Result<(), Failure> {
        let mut table = self
            .pastable
            .table(screen.style)
            .column("ResourceName")
            .column("Node");
        if self.show_drbd_ports {
            table = table.column("DRBD Ports");
        }
        table = table
            .column("Layers")
            .column("Usage")
            .colored("Conns", Color::DarkGreen)
            .colored_right("State", Color::DarkGreen)
            .column("CreatedOn")
            .properties(&self.show.show_props)
            .group_by(&self.group_by.groupby);
        let in_use = in_use_count(resources);
        let mut skips_disk = false;
        let mut all_troubles = BTreeSet::new();
        for resource in resources {
            let seen = Seen::of(resource, &in_use);
            skips_disk |= seen.skips_disk;
            all_troubles.extend(&seen.troubles);
            if self.faulty && !seen.is_faulty() {
                continue;
            }
            let mut row: Vec<Cell> = vec![name(resource).into(), node(resource).into()];
            if self.show_drbd_ports {
                let ports = drbd(resource).map_or(&[][..], |drbd| &drbd.tcp_ports);
                let ports: Vec<String> = ports.iter().map(i32::to_string).collect();
                row.push(ports.join(", ").into());
            }
            row.push(layers(resource).join(",").into());
            row.extend([seen.usage, seen.connections, seen.state]);
            row.push(
                resource
                    .create_timestamp
                    .map_or(String::new(), time::local)
                    .into(),
            );
            row.extend(property_cells(&self.show.show_props, &resource.props));
            table.row(row);
        }
        screen.table(table)?;
        if skips_disk {
            explain_skip_disk(screen)?;
        }
        explain(&all_troubles, screen)
    }
}

impl Involved {
    /// The action of the command.
    pub fn action(self) -> Action {
        Action::List {
            request: view::<&str>(&[], &[]),
            show: Box::new(move |text, screen| {
                let all: Vec<Resource> = read(text)?;
                let list = List {
                    pastable: self.pastable.clone(),
                    show: self.show.clone(),
                    ..List::default()
                };
                list.show(&self.filter(all), screen)
            }),
            v0: Some(v0::resources),
        }
    }

    /// All resources of the resource definitions that have one on the node and match the other conditions.
    fn filter(&self, mut all: Vec<Resource>) -> Vec<Resource> {
        #[derive(Default)]
        struct Summary {
            here: bool,
            in_use: bool,
            diskless_in_use: bool,
            diskful: usize,
        }
        let mut by_name: BTreeMap<String, Summary> = BTreeMap::new();
        for resource in &all {
            let summary = by_name.entry(name(resource).to_owned()).or_default();
            let diskless = flag::has(&resource.flags, "DISKLESS");
            summary.here |= node(resource).eq_ignore_ascii_case(&self.node);
            summary.in_use |= is_in_use(resource);
            summary.diskless_in_use |= is_in_use(resource) && diskless;
            summary.diskful += usize::from(!diskless);
        }
        let fits = |summary: &Summary| {
            summary.here
                && (!self.inuse || summary.in_use)
                && (!self.diskless_inuse || summary.diskless_in_use)
                && self.min_diskful.is_none_or(|min| summary.diskful < min)
        };
        all.retain(|resource| by_name.get(name(resource)).is_some_and(fits));
        all
    }
}

pub fn name(resource: &Resource) -> &str {
    resource.name.as_deref().unwrap_or("")
}

pub fn node(resource: &Resource) -> &str {
    resource.node_name.as_deref().unwrap_or("")
}

/// The data of the resource's DRBD layer.
pub fn drbd(resource: &Resource) -> Option<&DrbdResource> {
    resource.layer_object.as_ref()?.drbd.as_ref()
}

fn is_in_use(resource: &Resource) -> bool {
    resource.state.as_ref().and_then(|state| state.in_use) == Some(true)
}

/// On how many nodes each resource is in use.
pub fn in_use_count(resources: &[Resource]) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for resource in resources.iter().filter(|resource| is_in_use(resource)) {
        *count.entry(name(resource)).or_default() += 1;
    }
    count
}

/// Whether the resource is in use (its DRBD device is open). In use on two nodes is marked: it is a live migration or a
/// mistake.
pub fn usage(resource: &Resource, in_use: &BTreeMap<&str, usize>) -> Cell {
    match resource.state.as_ref().and_then(|state| state.in_use) {
        Some(true) => {
            let many = in_use.get(name(resource)).is_some_and(|count| *count > 1);
            Cell::colored("InUse", if many { Color::Yellow } else { Color::Green })
        }
        Some(false) => "Unused".into(),
        None => "".into(),
    }
}

/// The layers of a resource, top first, without duplicates.
fn layers(resource: &Resource) -> Vec<&str> {
    fn walk<'a>(layer: &'a ResourceLayer, seen: &mut Vec<&'a str>) {
        if let Some(kind) = layer.r#type.as_deref().filter(|kind| !seen.contains(kind)) {
            seen.push(kind);
        }
        layer.children.iter().for_each(|child| walk(child, seen));
    }
    let mut seen = Vec::new();
    if let Some(top) = &resource.layer_object {
        walk(top, &mut seen);
    }
    seen
}

/// The state of a volume; it has a colour if it is not the state that the resource's flags require.
pub fn volume_state(
    volume: &Volume,
    resource_flags: &[linstor_api::lenient::Word],
) -> (String, Option<Color>) {
    let prefix = if flag::has(&volume.flags, "RESIZE") {
        "Resizing, "
    } else {
        ""
    };
    let mut layers = volume.layer_data_list.iter();
    if layers.any(|layer| matches!(layer, VolumeLayer::Luks(luks) if luks.opened == Some(false))) {
        return (format!("{prefix}LUKS not opened"), Some(Color::Yellow));
    }
    if !matches!(volume.layer_data_list.first(), Some(VolumeLayer::Drbd(_))) {
        return (format!("{prefix}Created"), None);
    }
    let disk_state = volume
        .state
        .as_ref()
        .and_then(|state| state.disk_state.as_deref());
    let text = disk_state
        .filter(|text| !text.is_empty())
        .unwrap_or("Unknown");
    let (text, color) = match DiskState::from(text) {
        DiskState::Unknown => ("Unknown", Some(Color::Yellow)),
        DiskState::Diskless if !flag::has(resource_flags, "DISKLESS") => (text, Some(Color::Red)),
        DiskState::Diskless if flag::has(resource_flags, "TIE_BREAKER") => {
            return ("TieBreaker".to_owned(), None);
        }
        DiskState::Diskless | DiskState::UpToDate => (text, None),
        DiskState::Inconsistent | DiskState::Failed => (text, Some(Color::Red)),
        // States that LINSTOR itself sets.
        DiskState::Other(state) => match state.as_str() {
            "To: Creating" | "To: Attachable" | "To: Attaching" => (text, Some(Color::Red)),
            "Created" | "Attached" => (text, None),
            _ => (text, Some(Color::Yellow)),
        },
        _ => (text, Some(Color::Yellow)),
    };
    (format!("{prefix}{text}"), color)
}

/// Peers that are not connected, by the state of their connection.
pub fn broken_connections(resource: &Resource) -> BTreeMap<&str, Vec<&str>> {
    let mut broken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (peer, connection) in drbd(resource)
        .map(|drbd| &drbd.connections)
        .into_iter()
        .flatten()
    {
        if connection.connected != Some(true) {
            let message = connection.message.as_deref().unwrap_or("Unknown");
            broken.entry(message).or_default().push(peer);
        }
    }
    broken
}

/// The objects on which `DrbdOptions/SkipDisk` is set for the resource, as LINSTOR's table abbreviates them.
pub fn skip_disk(resource: &Resource) -> Option<String> {
    let property = resource.effective_props.get(prop::DRBD_SKIP_DISK)?;
    if !prop::is_true(&property.value) {
        return None;
    }
    let short = |object: &str| match object {
        "SATELLITE" => "C".to_owned(),
        "NODE" => "N".to_owned(),
        "RESOURCE_DEFINITION" => "RD".to_owned(),
        "RESOURCE" => "R".to_owned(),
        "STORAGEPOOL" => "SP".to_owned(),
        other => other.to_owned(),
    };
    let others = property.other.iter().map(|other| short(&other.r#type));
    let places: Vec<String> = std::iter::once(short(&property.r#type))
        .chain(others)
        .collect();
    Some(format!(", SkipDisk ({})", places.join(", ")))
}

/// Explains `SkipDisk` below a table.
pub fn explain_skip_disk(screen: &mut Screen<'_>) -> Result<(), Failure> {
    let title = Color::Yellow.paint("SkipDisk", screen.style.color);
    screen.line(&format!("{title}:"))?;
    screen.line("  The disk of at least one resource is not used, because 'DrbdOptions/SkipDisk' is set; usually after an")?;
    screen.line("  IO error. Once the disk is good again, remove the property:")?;
    screen.line("  linstor resource set-property <node> <resource> DrbdOptions/SkipDisk")
}

/// The cells of one resource, and what they are derived from.
struct Seen {
    usage: Cell,
    connections: Cell,
    state: Cell,
    color: Option<Color>,
    is_connected: bool,
    skips_disk: bool,
    troubles: BTreeSet<Trouble>,
}

/// A state in which a resource is not safe, or does no I/O, although its disk is UpToDate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It has lost its quorum.
    NoQuorum,
    /// Its I/O is suspended.
    Suspended,
}

impl Trouble {
    const fn label(self) -> &'static str {
        match self {
            Trouble::NoQuorum => "NoQuorum",
            Trouble::Suspended => "Suspended",
        }
    }

    const fn what_to_do(self) -> &'static str {
        match self {
            Trouble::NoQuorum => {
                "Too few nodes of the resource are connected. It can be written again once enough of them are."
            }
            Trouble::Suspended => {
                "I/O waits. After a lost quorum or lost data it goes on once these are back; where somebody suspended \
                 it, 'drbdadm resume-io' has it go on."
            }
        }
    }
}

/// What is the matter with a resource, besides its disk.
fn troubles(resource: &Resource) -> BTreeSet<Trouble> {
    let mut troubles = BTreeSet::new();
    let Some(drbd) = drbd(resource) else {
        return troubles;
    };
    if drbd.quorum_lost == Some(true) {
        troubles.insert(Trouble::NoQuorum);
    }
    if drbd
        .suspended
        .as_deref()
        .is_some_and(|reasons| reasons != "no")
    {
        troubles.insert(Trouble::Suspended);
    }
    troubles
}

/// Says below a table what to do about what is the matter with resources in it.
fn explain(troubles: &BTreeSet<Trouble>, screen: &mut Screen<'_>) -> Result<(), Failure> {
    for trouble in troubles {
        let title = Color::Red.paint(trouble.label(), screen.style.color);
        screen.line(&format!("{title}:"))?;
        screen.line(&format!("  {}", trouble.what_to_do()))?;
    }
    Ok(())
}

impl Seen {
    fn of(resource: &Resource, in_use: &BTreeMap<&str, usize>) -> Seen {
        let has = |flag| flag::has(&resource.flags, flag);
        let mut usage_cell = Cell::default();
        let (mut text, mut color) = ("Unknown".to_owned(), Some(Color::Yellow));
        if has("DELETE") || has("DRBD_DELETE") {
            (text, color) = ("DELETING".to_owned(), Some(Color::Red));
        } else if has("INACTIVE") {
            text = "INACTIVE".to_owned();
        } else {
            usage_cell = usage(resource, in_use);
            for volume in &resource.volumes {
                (text, color) = volume_state(volume, &resource.flags);
                if has("EVACUATE") {
                    text.push_str(", Evacuating");
                }
                if color.is_some() {
                    break;
                }
            }
        }
        let known = text != "Unknown";
        let troubles = troubles(resource);
        for trouble in &troubles {
            text.push_str(", ");
            text.push_str(trouble.label());
            color = Some(Color::Red);
        }
        let skip = skip_disk(resource);
        if let Some(skip) = &skip {
            text.push_str(skip);
            color = color.or(Some(Color::Yellow));
        }
        let broken = if known {
            broken_connections(resource)
        } else {
            BTreeMap::new()
        };
        let is_connected = broken.is_empty();
        let broken: Vec<String> = broken
            .iter()
            .map(|(message, peers)| format!("{message}({})", peers.join(",")))
            .collect();
        let connections = match (known, is_connected) {
            (true, true) => "Ok".into(),
            (true, false) => Cell::colored(broken.join(","), Color::Red),
            (false, _) => "".into(),
        };
        Seen {
            usage: usage_cell,
            connections,
            state: Cell::colored(
                text,
                if is_connected {
                    color
                } else {
                    Some(Color::Red)
                },
            ),
            color,
            is_connected,
            skips_disk: skip.is_some(),
            troubles,
        }
    }

    fn is_faulty(&self) -> bool {
        self.color.is_some() || !self.is_connected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resource that has lost its quorum is faulty, although its disk is UpToDate; so is one whose I/O waits.
    #[test]
    fn troubles_are_faults() {
        let seen = |drbd: &str| {
            let text = format!(
                r#"{{"name":"r","node_name":"n","layer_object":{{"type":"DRBD","drbd":{drbd}}},"volumes":[
                {{"state":{{"disk_state":"UpToDate"}},"layer_data_list":[{{"type":"DRBD"}}]}}]}}"#
            );
            let resource: Resource = serde_json::from_str(&text).expect("a resource");
            let seen = Seen::of(&resource, &BTreeMap::new());
            (
                seen.is_faulty(),
                seen.troubles.into_iter().collect::<Vec<_>>(),
            )
        };
        assert_eq!(seen("{}"), (false, vec![]));
        let lost = r#"{"quorum_lost":true,"suspended":"quorum"}"#;
        let both = vec![Trouble::NoQuorum, Trouble::Suspended];
        assert_eq!(seen(lost), (true, both));
        let suspended = seen(r#"{"suspended":"user"}"#);
        assert_eq!(suspended, (true, vec![Trouble::Suspended]));
    }
}
