//! The controller: what there is once in a cluster.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row::Props;

/// What there is once in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    /// Identity of the cluster; part of every ownership tag.
    pub cluster_id: Uuid,
    /// Grows with each controller that takes over the store.
    #[serde(default)]
    pub epoch: u64,
    /// Controller properties.
    #[serde(default)]
    pub props: Props,
}
