//! Names and addresses of guests.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address of the machine that runs the lab, in the guests' network.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// A guest, counted from 1; `node3` is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Node(u8);

impl Node {
    /// All guests of a lab that has `count` of them.
    pub fn first(count: u8) -> impl Iterator<Item = Node> {
        (1..=count).map(Node)
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its address on `vec0`.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.0)
    }

    /// The hardware address of `vec0`: locally administered, then "LAB".
    pub fn mac(self) -> String {
        format!("02:4c:41:42:00:{:02x}", self.0)
    }

    /// The tap device on the host's side, in the lab's network namespace.
    pub fn tap(self) -> String {
        format!("tap{}", self.0)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "node{}", self.0)
    }
}

impl From<u8> for Node {
    fn from(number: u8) -> Node {
        Node(number)
    }
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Node, String> {
        let digits = text.strip_prefix("node").unwrap_or(text);
        let number = digits
            .parse()
            .map_err(|_| format!("`{text}` is not a node; give node1 or 1"))?;
        Ok(Node(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_number_or_name() {
        // Both forms mean the same guest, and everything else is an error.
        assert_eq!("node3".parse::<Node>(), Ok(Node(3)));
        assert_eq!("3".parse::<Node>(), Ok(Node(3)));
        assert_eq!(Node(3).to_string(), "node3");
        for text in ["", "node", "three", "node-1", "300"] {
            assert!(text.parse::<Node>().is_err(), "{text}");
        }
    }
}
