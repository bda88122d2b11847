//! Options of DRBD's connections that exclude each other: the kernel refuses a connection that has both.

use super::inherit::{Chain, Level};

/// An option that DRBD does not take with the protocol that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict<'a> {
    /// Key of the option's property.
    pub key: &'static str,
    /// Its value.
    pub value: &'a str,
    /// Where it is set.
    pub level: Level,
    /// The protocol.
    pub protocol: &'a str,
    /// Where that is set; nowhere when it is DRBD's own default.
    pub protocol_level: Option<Level>,
    /// The protocols that go with the option.
    pub needs: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// The property with the protocol.
pub const PROTOCOL: &str = "DrbdOptions/Net/protocol";

/// Option, its values, the protocols that they need, and why: what the kernel's check of a new peer refuses.
const NEEDS: &[(&str, &[&str], &str, &str)] = &[
    (
        "DrbdOptions/Net/allow-two-primaries",
        &["yes"],
        "C",
        "With two primaries each of them has to have a write of the other one before that is complete.",
    ),
    (
        "DrbdOptions/Net/fencing",
        &["resource-and-stonith"],
        "B or C",
        "I/O can only be held up until the peer is fenced if its completion depends on the peer.",
    ),
    (
        "DrbdOptions/Net/on-congestion",
        &["pull-ahead", "disconnect"],
        "A",
        "Only without waiting for the peer can the network become congested while writes complete.",
    ),
];

/// The first conflict among the net options that count.
pub fn conflict<'a>(levels: &Chain<'a>) -> Option<Conflict<'a>> {
    let protocol = levels.find(PROTOCOL);
    let name = protocol.map_or("C", |(name, _)| name);
    NEEDS.iter().find_map(|(key, values, needs, reason)| {
        let (value, level) = levels.find(key)?;
        let refused = values.contains(&value) && !needs.split(" or ").any(|good| good == name);
        refused.then_some(Conflict {
            key,
            value,
            level,
            protocol: name,
            protocol_level: protocol.map(|(_, level)| level),
            needs,
            reason,
        })
    })
}
