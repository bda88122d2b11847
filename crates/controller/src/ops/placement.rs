//! Where replicas go.

use linstor_api::reply::Reply;
use linstor_api::resource::{AutoPlaceRequest, ResourceCreate, ResourceMakeAvailable};
use linstor_api::resource_group::{ResourceGroupAdjust, ResourceGroupSpawn};
use linstor_model::Draft;
use linstor_model::name::ResourceName;

use super::Facts;
use super::reply::{Refusal, not_implemented};
use crate::cluster::Cluster;

pub(super) fn fill_up(_: &mut Draft, _: &Facts, _: &ResourceName) -> Result<Vec<Reply>, Refusal> {
    Ok(vec![])
}
pub(super) fn add_volumes(
    _: &mut Draft,
    _: &Facts,
    _: &ResourceName,
    _: u32,
) -> Result<Vec<Reply>, Refusal> {
    Ok(vec![])
}
/// Not there yet.
pub async fn spawn(_: &Cluster, _: String, _: ResourceGroupSpawn) -> Vec<Reply> {
    vec![not_implemented("Spawn")]
}
/// Not there yet.
pub async fn adjust(_: &Cluster, _: Option<String>, _: ResourceGroupAdjust) -> Vec<Reply> {
    vec![not_implemented("Adjust")]
}
/// Not there yet.
pub async fn autoplace(_: &Cluster, _: String, _: AutoPlaceRequest) -> Vec<Reply> {
    vec![not_implemented("Autoplace")]
}
/// Not there yet.
pub async fn create(_: &Cluster, _: String, _: Vec<ResourceCreate>) -> Vec<Reply> {
    vec![not_implemented("Create")]
}
/// Not there yet.
pub async fn make_available(
    _: &Cluster,
    _: String,
    _: String,
    _: ResourceMakeAvailable,
) -> Vec<Reply> {
    vec![not_implemented("Make available")]
}
/// Not there yet.
pub async fn unmake_available(_: &Cluster, _: String, _: String) -> Vec<Reply> {
    vec![not_implemented("Unmake available")]
}
