//! The links between guests.
//!
//! Every guest has its own tap device, and the lab's network namespace routes between the
//! taps with proxy ARP, so that the guests appear to share one Ethernet. Compared
//! with a bridge this needs only IPv4 routing rules of the host's kernel, and one rule
//! cuts the link between two guests and no other. The host reaches every
//! guest whatever is cut: commands can be run on a node without links. Packets on a cut
//! link are dropped silently, as by a broken cable.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::netns::Netns;
use super::node::{HOST_ADDRESS, Node};
use super::tool::Tool;

/// Two nodes, smaller number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pair(Node, Node);

impl Pair {
    /// The link between two nodes, in any order.
    pub fn new(a: Node, b: Node) -> Pair {
        Pair(a.min(b), a.max(b))
    }

    /// All links of `node` in a lab of `count` nodes.
    pub fn all_of(node: Node, count: u8) -> BTreeSet<Pair> {
        Node::first(count)
            .filter(|peer| *peer != node)
            .map(|peer| Pair::new(node, peer))
            .collect()
    }

    /// Both ends.
    pub fn nodes(self) -> (Node, Node) {
        (self.0, self.1)
    }
}

/// Creates the taps and routes of `count` nodes.
pub fn create(netns: &Netns, count: u8) -> Result<()> {
    let mut batch = format!("link set lo up\naddr add {HOST_ADDRESS}/32 dev lo\n");
    for node in Node::first(count) {
        let (tap, address, mac) = (node.tap(), node.address(), node.mac());
        writeln!(batch, "tuntap add dev {tap} mode tap")?;
        writeln!(batch, "link set dev {tap} up")?;
        writeln!(batch, "route add {address}/32 dev {tap} src {HOST_ADDRESS}")?;
        // A permanent neighbour entry, so that packets for a node without power are dropped as behind a switch; a
        // router would reply that the host is unreachable.
        writeln!(
            batch,
            "neigh replace {address} lladdr {mac} dev {tap} nud permanent"
        )?;
    }
    netns.enter(|| -> Result<()> {
        Tool::new("ip").args(["-batch", "-"]).input(batch).run()?;
        set("ip_forward", "1")?;
        set("conf/all/rp_filter", "0")?;
        for tap in Node::first(count).map(Node::tap) {
            set(&format!("conf/{tap}/rp_filter"), "0")?;
            set(&format!("conf/{tap}/send_redirects"), "0")?;
            set(&format!("conf/{tap}/proxy_arp"), "1")?;
            set(&format!("neigh/{tap}/proxy_delay"), "0")?;
        }
        Ok(())
    })?
}

fn set(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/{key}");
    fs::write(&path, value).with_context(|| format!("write {path}"))
}

/// Stops all traffic on the links.
pub fn cut(netns: &Netns, links: &BTreeSet<Pair>) -> Result<()> {
    change(netns, "add", links)
}

/// Restores links that were cut.
pub fn heal(netns: &Netns, links: &BTreeSet<Pair>) -> Result<()> {
    change(netns, "del", links)
}

fn change(netns: &Netns, verb: &str, links: &BTreeSet<Pair>) -> Result<()> {
    let mut batch = String::new();
    for Pair(a, b) in links {
        for (from, to) in [(a, b), (b, a)] {
            // One preference per direction: the rule is deleted by it.
            let preference = 1000 + u32::from(from.number()) * 256 + u32::from(to.number());
            let (tap, address) = (from.tap(), to.address());
            writeln!(
                batch,
                "rule {verb} pref {preference} iif {tap} to {address} blackhole"
            )?;
        }
    }
    netns.enter(|| {
        Tool::new("ip")
            .args(["-4", "-batch", "-"])
            .input(batch)
            .run()
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_no_direction() {
        // The order of the ends does not matter, and a node has one link to each other node.
        let (a, b, c) = (Node::from(1), Node::from(2), Node::from(3));
        assert_eq!(Pair::new(a, b), Pair::new(b, a));
        assert_eq!(
            Pair::all_of(b, 3),
            BTreeSet::from([Pair::new(a, b), Pair::new(b, c)])
        );
    }
}
