//! What nodes have to do about snapshots that one cluster ships to another.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::BaseSpec;
use crate::secret::Secret;

/// A snapshot that is sent to a node of another cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutboundSpec {
    /// Names it.
    pub id: Uuid,
    /// Names it on the connection, where both sides have to say the same.
    pub shipment: Uuid,
    /// Address of the node that receives it.
    pub address: IpAddr,
    /// TCP port that it listens on.
    pub port: u16,
    /// How the nodes know each other.
    pub link: ShippingLink,
    /// How long nothing may pass, in milliseconds.
    pub limit_ms: u64,
    /// The snapshot of the same resource whose content the receiver has: only what changed since is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseSpec>,
}

/// A snapshot that is received from a node of another cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InboundSpec {
    /// Names it.
    pub id: Uuid,
    /// Names it on the connection, where both sides have to say the same.
    pub shipment: Uuid,
    /// TCP port to listen on.
    pub port: u16,
    /// How the nodes know each other.
    pub link: ShippingLink,
    /// How long nothing may pass, in milliseconds.
    pub limit_ms: u64,
    /// The snapshot of the same resource that it is made of, if only what changed since is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseSpec>,
}

/// How two nodes of different clusters know each other: certificates that were made for one shipment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShippingLink {
    /// The own certificate with its key, PEM.
    #[serde(
        with = "crate::secret::on_link",
        default,
        skip_serializing_if = "Secret::is_empty"
    )]
    pub own: Secret,
    /// The certificate of the other node, PEM: no other one is accepted.
    pub peer: String,
}
