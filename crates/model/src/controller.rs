//! The controller: what there is once in a cluster.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
}
