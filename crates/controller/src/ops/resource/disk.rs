//! Toggle disk.

use linstor_api::reply::Reply;
use linstor_api::resource::ToggleDiskRequest;

use super::super::reply::{Refusal, not_implemented};
use crate::cluster::Cluster;

/// Not there yet.
pub struct Toggle;

impl Toggle {
    /// Not there yet.
    pub fn parse(_: ToggleDiskRequest) -> Result<Self, Refusal> {
        Ok(Toggle)
    }
    /// Not there yet.
    pub fn diskful(_: Option<String>, _: Option<String>, _: Vec<String>) -> Self {
        Toggle
    }
    /// Not there yet.
    pub fn diskless(_: Option<String>) -> Self {
        Toggle
    }
}

/// Not there yet.
pub async fn toggle(_: &Cluster, _: String, _: String, _: Toggle) -> Vec<Reply> {
    vec![not_implemented("Toggle disk")]
}
