//! Net interfaces of nodes.

use std::net::IpAddr;

use linstor_api::kind::Encryption;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::NetInterfaceName;

/// An address of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetInterface {
    /// Its name.
    pub name: NetInterfaceName,
    /// Its identity.
    pub uuid: Uuid,
    /// The address.
    pub address: IpAddr,
    /// Port of the satellite, when the interface may be used to reach it.
    #[serde(default)]
    pub satellite_port: Option<u16>,
    /// How the satellite is reached.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The controller connects through this one.
    #[serde(default)]
    pub active: bool,
}
