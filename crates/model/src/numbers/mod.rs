//! Numbers: DRBD minors, TCP ports, node ids and volume numbers, and the ranges they are assigned from
//! (`docs/facts.md`).
//!
//! Always the lowest free number, so that the same requests give the same cluster. [`Used`] makes that cheap: it stores
//! runs of used numbers instead of single ones, so that a full range of 50,000 is one entry.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use imbl::OrdMap;
use linstor_api::code;
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::ResourceDefinition;
use crate::held::REPAIR;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::props::{Purpose, Scope, effective};

/// Valid minors of DRBD devices.
pub const MINORS: RangeInclusive<u32> = 0..=(1 << 20) - 1;
/// Valid TCP ports.
pub const TCP_PORTS: RangeInclusive<u32> = 1..=65_535;
/// Valid node ids of DRBD.
pub const NODE_IDS: RangeInclusive<u32> = 0..=31;
/// Valid volume numbers.
pub const VOLUME_NUMBERS: RangeInclusive<u32> = 0..=65_534;
/// Valid numbers of peer slots in DRBD's metadata.
pub const PEER_SLOTS: RangeInclusive<u32> = 1..=31;
/// Peer slots of new resources, unless a property has another value.
pub const DEFAULT_PEER_SLOTS: u32 = 7;
/// Range of assigned minors, unless a property has another one.
pub const DEFAULT_MINORS: &str = "1000-49999";
/// Range of assigned TCP ports, unless a property has another one.
pub const DEFAULT_TCP_PORTS: &str = "7000-7999";

/// Cause of a refusal of a number that is in use where no row that can be read has it.
const HELD_HAS_IT: &str = "A stored row that cannot be read has it.";

/// Ranges of numbers: sorted, disjoint, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Parses `a`, `a-b`, and comma-separated lists of these; blanks are ignored. The error describes the mistake.
    pub fn parse(text: &str, allowed: &RangeInclusive<u32>) -> Result<Self, String> {
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let text = text.trim();
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let value = digits.then(|| text.parse::<u32>().ok()).flatten();
                value.ok_or_else(|| format!("'{}' is not a number", text.escape_debug()))
            };
            let (low, high) = (number(low)?, number(high)?);
            if low > high {
                return Err(format!("{low}-{high} ends before it starts"));
            }
            if !allowed.contains(&low) || !allowed.contains(&high) {
                return Err(format!(
                    "{low}-{high} is not within {}-{}",
                    allowed.start(),
                    allowed.end()
                ));
            }
            ranges.push((low, high));
        }
        ranges.sort_unstable();
        Ok(Ranges(merged(&ranges)))
    }

    /// Of single numbers.
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Self {
        Ranges::default().with(numbers)
    }

    /// These and single numbers.
    #[must_use]
    pub fn with(mut self, numbers: impl IntoIterator<Item = u32>) -> Self {
        let before = self.0.len();
        self.0
            .extend(numbers.into_iter().map(|number| (number, number)));
        if self.0.len() > before {
            self.0.sort_unstable();
            self.0 = merged(&self.0);
        }
        self
    }

    /// Whether a number is in one of the ranges.
    pub fn contains(&self, number: u32) -> bool {
        self.0
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&number))
    }

    /// Number of numbers in the ranges.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .map(|(low, high)| u64::from(high - low) + 1)
            .sum()
    }

    /// The lowest number that is neither used nor blocked.
    pub fn lowest_free(&self, used: &Used, blocked: &Ranges) -> Option<u32> {
        for (low, high) in &self.0 {
            let mut candidate = *low;
            while candidate <= *high {
                let free = used.next_free(candidate);
                let open = blocked.next_outside(free);
                if open > *high {
                    break;
                }
                if open == free {
                    return Some(free);
                }
                candidate = open;
            }
        }
        None
    }

    /// The lowest number at or above this one that is in none of the ranges.
    fn next_outside(&self, number: u32) -> u32 {
        let mut number = number;
        for (low, high) in &self.0 {
            if (*low..=*high).contains(&number) {
                number = high.saturating_add(1);
            }
        }
        number
    }
}

/// Sorted ranges without those that overlap or follow each other.
fn merged(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if *low <= last.1.saturating_add(1) => last.1 = last.1.max(*high),
            _ => merged.push((*low, *high)),
        }
    }
    merged
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match low == high {
                true => write!(f, "{low}")?,
                false => write!(f, "{low}-{high}")?,
            }
        }
        Ok(())
    }
}

/// Numbers in use, stored as runs: first to last of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used(OrdMap<u32, u32>);

impl Used {
    /// The run with this number.
    fn run(&self, number: u32) -> Option<(u32, u32)> {
        let (first, last) = self.0.get_prev(&number)?;
        (*last >= number).then_some((*first, *last))
    }

    /// Adds a number; does nothing if it is in use already.
    pub fn insert(&mut self, number: u32) {
        if self.run(number).is_some() {
            return;
        }
        let mut first = number;
        let mut last = number;
        if let Some(below) = number.checked_sub(1).and_then(|below| self.run(below)) {
            first = below.0;
        }
        if let Some(above) = number.checked_add(1).and_then(|above| self.run(above)) {
            self.0.remove(&above.0);
            last = above.1;
        }
        self.0.insert(first, last);
    }

    /// Removes a number; does nothing if it is not in use.
    pub fn remove(&mut self, number: u32) {
        let Some((first, last)) = self.run(number) else {
            return;
        };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }

    /// Whether a number is used.
    pub fn contains(&self, number: u32) -> bool {
        self.run(number).is_some()
    }

    /// Whether nothing is used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest unused number at or above this one.
    pub fn next_free(&self, number: u32) -> u32 {
        self.run(number)
            .map_or(number, |(_, last)| last.saturating_add(1))
    }

    /// Number of used numbers within the ranges.
    pub fn count_within(&self, ranges: &Ranges) -> u64 {
        let overlap = |low: u32, high: u32| -> u64 {
            let start = self.0.get_prev(&low).map_or(low, |(first, _)| *first);
            self.0
                .range(start..=high)
                .filter(|(_, last)| **last >= low)
                .map(|(first, last)| u64::from(*last.min(&high) - *first.max(&low)) + 1)
                .sum()
        };
        ranges
            .0
            .iter()
            .map(|(low, high)| overlap(*low, *high))
            .sum()
    }
}

/// The range of assigned minors.
pub fn minor_range(model: &Model) -> Ranges {
    let stored = model.controller.props.get(prop::MINOR_NR_AUTO_RANGE);
    stored_range(stored.map(String::as_str), DEFAULT_MINORS, &MINORS)
}

/// The range of assigned ports on a node.
pub fn port_range(model: &Model, node: &NodeName) -> Ranges {
    let stored = node_value(model, node, prop::TCP_PORT_AUTO_RANGE);
    stored_range(stored, DEFAULT_TCP_PORTS, &TCP_PORTS)
}

/// The ports that are never assigned on a node.
pub fn blocked_ports(model: &Model, node: &NodeName) -> Ranges {
    node_value(model, node, prop::TCP_PORTS_BLOCKED)
        .and_then(|text| Ranges::parse(text, &TCP_PORTS).ok())
        .unwrap_or_default()
}

fn node_value<'a>(model: &'a Model, node: &NodeName, key: &str) -> Option<&'a str> {
    let scope = Scope {
        node: model.nodes.get(node).map(|node| &**node),
        ..Scope::default()
    };
    effective(model, Purpose::Node, &scope, key)
}

/// A stored range was validated when it was set; if it is invalid nevertheless, the default is used.
fn stored_range(stored: Option<&str>, default: &str, allowed: &RangeInclusive<u32>) -> Ranges {
    stored
        .and_then(|text| Ranges::parse(text, allowed).ok())
        .or_else(|| Ranges::parse(default, allowed).ok())
        .unwrap_or_default()
}

/// Assigns the lowest free minor that is not among those that nodes cannot use ([`Observed::foreign_minors`]).
///
/// [`Observed::foreign_minors`]: crate::Observed::foreign_minors
pub fn allocate_minor(model: &Model, unusable: &Ranges) -> Result<u32, Vec<Reply>> {
    unless_unknown(model.held.are_minors_unknown(), "minor number")?;
    let range = minor_range(model);
    let used = &model.used_minors;
    range.lowest_free(used, unusable).ok_or_else(|| {
        vec![exhausted(
            code::FAIL_POOL_EXHAUSTED_MINOR_NR,
            "minor number",
            &range,
            used.count_within(&range),
        )
        .correction(format!(
            "Delete volume definitions that are no longer needed, or widen the range: set the controller property {}",
            prop::MINOR_NR_AUTO_RANGE
        ))]
    })
}

/// Checks a requested minor. It need not be in the range of assigned ones, but must be free.
pub fn check_minor(model: &Model, asked: i64) -> Result<u32, Vec<Reply>> {
    let minor = within(asked, &MINORS)
        .ok_or_else(|| out_of_bounds(code::FAIL_INVLD_MINOR_NR, "minor number", asked, &MINORS))?;
    unless_unknown(model.held.are_minors_unknown(), "minor number")?;
    if !model.uses_minor(minor) {
        return Ok(minor);
    }
    let cause = match model.minor_owner(minor) {
        Some((name, number)) => format!("Volume {number} of resource definition '{name}' has it."),
        None => HELD_HAS_IT.to_owned(),
    };
    Err(vec![
        Reply::new(
            code::FAIL_INVLD_MINOR_NR,
            format!("The minor number {minor} is already in use."),
        )
        .cause(cause)
        .correction("Choose another minor number, or leave it out to get the lowest free one."),
    ])
}

/// Assigns a port on a node to a resource of a definition: the definition's preferred port, else one that
/// resources on other nodes use, else the lowest free one; none that the node cannot use ([`Observed::unusable_ports`]).
///
/// [`Observed::unusable_ports`]: crate::Observed::unusable_ports
pub fn allocate_port(
    model: &Model,
    node: &NodeName,
    definition: &ResourceDefinition,
    unusable: &BTreeSet<u16>,
) -> Result<u16, Vec<Reply>> {
    unless_unknown(model.held.are_ports_unknown(node), "TCP port")?;
    let blocked = blocked_ports(model, node).with(unusable.iter().map(|port| (*port).into()));
    let preferred_port = definition.drbd.as_ref().and_then(|drbd| drbd.wished_port);
    let of_peers = model
        .resources_of(&definition.name)
        .filter(|peer| peer.node != *node)
        .flat_map(|peer| peer.drbd.iter().flat_map(|drbd| drbd.ports.iter().copied()));
    let preferred = preferred_port
        .into_iter()
        .chain(of_peers)
        .find(|port| !model.uses_port(node, *port) && !blocked.contains((*port).into()));
    if let Some(port) = preferred {
        return Ok(port);
    }
    let range = port_range(model, node);
    let none = Used::default();
    let used = model.used_ports.get(node).unwrap_or(&none);
    let free = range.lowest_free(used, &blocked);
    free.and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| {
            let blocked_text = match blocked.count() {
                0 => String::new(),
                _ => format!(" The ports {blocked} are blocked on the node."),
            };
            let reply = exhausted(
                code::FAIL_POOL_EXHAUSTED_TCP_PORT,
                &format!("TCP port on node '{}'", shown(model, node)),
                &range,
                used.count_within(&range),
            );
            let cause = reply.cause.clone().unwrap_or_default() + &blocked_text;
            vec![reply.cause(cause).correction(format!(
                "Widen the range: set the property {} of the node or of the controller",
                prop::TCP_PORT_AUTO_RANGE
            ))]
        })
}

/// Checks a requested port on a node: it must be neither in use there nor blocked.
pub fn check_port(
    model: &Model,
    node: &NodeName,
    name: &ResourceName,
    asked: i64,
) -> Result<u16, Vec<Reply>> {
    let port = within(asked, &TCP_PORTS)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| out_of_bounds(code::FAIL_INVLD_RSC_PORT, "TCP port", asked, &TCP_PORTS))?;
    unless_unknown(model.held.are_ports_unknown(node), "TCP port")?;
    let refuse = |cause: String| {
        vec![
            Reply::new(
                code::FAIL_INVLD_RSC_PORT,
                format!(
                    "The TCP port {port} cannot be used on node '{}'.",
                    shown(model, node)
                ),
            )
            .cause(cause)
            .correction("Choose another port, or leave it out to get a free one."),
        ]
    };
    if model.uses_port(node, port) {
        match model.port_owner(node, port) {
            Some(owner) if owner == name => {}
            Some(owner) => {
                return Err(refuse(format!("Resource '{owner}' uses it on this node.")));
            }
            None => return Err(refuse(HELD_HAS_IT.to_owned())),
        }
    }
    let blocked = blocked_ports(model, node);
    if blocked.contains(port.into()) {
        return Err(refuse(format!(
            "The property {} blocks the ports {blocked} on this node.",
            prop::TCP_PORTS_BLOCKED
        )));
    }
    Ok(port)
}

/// Assigns the lowest DRBD node id that no resource of a definition has.
pub fn allocate_node_id(model: &Model, name: &ResourceName) -> Result<u32, Vec<Reply>> {
    let used = used_node_ids(model, name);
    NODE_IDS
        .into_iter()
        .find(|id| used & (1 << id) == 0)
        .ok_or_else(|| {
            let count = u64::from(used.count_ones());
            let range = Ranges(vec![(*NODE_IDS.start(), *NODE_IDS.end())]);
            vec![
                exhausted(
                    code::FAIL_POOL_EXHAUSTED_NODE_ID,
                    &format!("DRBD node id of resource definition '{name}'"),
                    &range,
                    count,
                )
                .details("DRBD connects at most 32 nodes per resource; diskless replicas count.")
                .correction("Delete a replica that is no longer needed."),
            ]
        })
}

/// Checks a requested node id.
pub fn check_node_id(model: &Model, name: &ResourceName, asked: i64) -> Result<u32, Vec<Reply>> {
    let id = within(asked, &NODE_IDS)
        .ok_or_else(|| out_of_bounds(code::FAIL_INVLD_NODE_ID, "DRBD node id", asked, &NODE_IDS))?;
    if used_node_ids(model, name) & (1 << id) == 0 {
        return Ok(id);
    }
    Err(vec![
        Reply::new(
            code::FAIL_INVLD_NODE_ID,
            format!("The DRBD node id {id} is already in use by resource definition '{name}'."),
        )
        .correction("Choose another node id, or leave it out to get the lowest free one."),
    ])
}

fn used_node_ids(model: &Model, name: &ResourceName) -> u32 {
    let ids = model
        .resources_of(name)
        .filter_map(|replica| replica.drbd.as_ref())
        .map(|drbd| drbd.node_id);
    ids.filter(|id| NODE_IDS.contains(id))
        .fold(0, |used, id| used | (1 << id))
}

/// Assigns the lowest free volume number of a definition.
pub fn allocate_volume_number(definition: &ResourceDefinition) -> Result<u32, Vec<Reply>> {
    let mut used = definition.volumes.keys();
    VOLUME_NUMBERS
        .into_iter()
        .find(|number| used.next() != Some(number))
        .ok_or_else(|| {
            let range = Ranges(vec![(*VOLUME_NUMBERS.start(), *VOLUME_NUMBERS.end())]);
            vec![exhausted(
                code::FAIL_POOL_EXHAUSTED_VLM_NR,
                &format!("volume number of resource definition '{}'", definition.name),
                &range,
                definition.volumes.len() as u64,
            )]
        })
}

/// Checks a requested volume number. The caller checks whether it is in use, for which the API has a code of its
/// own.
pub fn check_volume_number(asked: i64) -> Result<u32, Vec<Reply>> {
    within(asked, &VOLUME_NUMBERS).ok_or_else(|| {
        out_of_bounds(
            code::FAIL_INVLD_VLM_NR,
            "volume number",
            asked,
            &VOLUME_NUMBERS,
        )
    })
}

/// Checks a requested number of peer slots.
pub fn check_peer_slots(asked: i64) -> Result<u32, Vec<Reply>> {
    within(asked, &PEER_SLOTS).ok_or_else(|| {
        out_of_bounds(
            code::FAIL_INSUFFICIENT_PEER_SLOTS,
            "number of peer slots",
            asked,
            &PEER_SLOTS,
        )
    })
}

/// Peer slots of new resources of a definition: the value of its properties, else that given when it was created.
pub fn peer_slots(model: &Model, definition: &ResourceDefinition) -> u32 {
    let scope = Scope::definition(definition);
    let inherited = effective(
        model,
        Purpose::PeerSlots,
        &scope,
        prop::PEER_SLOTS_NEW_RESOURCE,
    )
    .and_then(|text| text.trim().parse().ok())
    .filter(|slots| PEER_SLOTS.contains(slots));
    let own = definition.drbd.as_ref().map(|drbd| drbd.peer_slots);
    own.filter(|slots| PEER_SLOTS.contains(slots))
        .or(inherited)
        .unwrap_or(DEFAULT_PEER_SLOTS)
}

/// A number that a held row may use is not assigned.
fn unless_unknown(unknown: bool, what: &str) -> Result<(), Vec<Reply>> {
    if !unknown {
        return Ok(());
    }
    let reply = Reply::new(
        code::FAIL_SQL,
        format!("No {what} can be assigned, because those in use are not all known."),
    );
    Err(vec![
        reply
            .cause("A stored row that cannot be read may have any of them.")
            .correction(REPAIR),
    ])
}

fn within(asked: i64, allowed: &RangeInclusive<u32>) -> Option<u32> {
    u32::try_from(asked)
        .ok()
        .filter(|number| allowed.contains(number))
}

fn shown(model: &Model, node: &NodeName) -> String {
    let row = model.nodes.get(node);
    row.map_or_else(|| node.to_string(), |row| row.name.to_string())
}

fn out_of_bounds(
    ret_code: i64,
    what: &str,
    asked: i64,
    allowed: &RangeInclusive<u32>,
) -> Vec<Reply> {
    let reply = Reply::new(ret_code, format!("{asked} is not a valid {what}."));
    let (low, high) = (allowed.start(), allowed.end());
    vec![reply.correction(format!("Choose a number from {low} to {high}."))]
}

fn exhausted(ret_code: i64, what: &str, range: &Ranges, used: u64) -> Reply {
    Reply::new(ret_code, format!("There is no free {what} left.")).cause(format!(
        "{used} of the {} numbers in {range} are in use.",
        range.count()
    ))
}

#[cfg(test)]
mod tests;
