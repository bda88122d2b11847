//! The controller: what there is once in a cluster.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{ResourceGroupName, ResourceName};
use crate::row::Props;

/// What there is once in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    /// Identity of the cluster; part of every ownership tag.
    pub cluster_id: Uuid,
    /// Where the epoch was before it became a row of its own ([`crate::Epoch`]).
    #[serde(default, skip_serializing)]
    pub epoch: u64,
    /// Controller properties.
    #[serde(default)]
    pub props: Props,
    /// What is still to be settled after changes that concern many resource definitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settling: Vec<Settling>,
}

/// Resource definitions whose tie breakers, quorum and number of resources are still to follow a change of their group's or
/// the controller's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settling {
    /// Those of this group; of all groups when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<ResourceGroupName>,
    /// The last one that has been settled, in the order of names; none when none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ResourceName>,
    /// Whether missing resources are placed, up to the group's place count.
    #[serde(default)]
    pub fill_up: bool,
}
