//! Limits of the DRBD 8.4 of distribution kernels: two diskful replicas, one bitmap, no quorum.
//!
//! Callers call these functions, for either version, where the versions of DRBD differ.

use std::sync::Arc;

use linstor_api::drbd_option::{Section, is_in_drbd84};
use linstor_api::kind::DrbdKind;
use linstor_wire::spec::Props;

use crate::Resource;
use crate::model::Model;
use crate::name::ResourceName;
use crate::process::resize;
use crate::props::DrbdOptions;

/// Maximum number of replicas.
pub const REPLICAS_MAX: usize = 2;

/// Whether this is DRBD 8.4; an unknown version is not.
pub fn is_84(kind: Option<DrbdKind>) -> bool {
    kind == Some(DrbdKind::Drbd84)
}

/// Why replicas on nodes with these versions of DRBD cannot be connected; `None` if they can.
pub fn refuses_mix(kinds: impl Iterator<Item = DrbdKind>) -> Option<&'static str> {
    let (mut nines, mut olds) = (false, false);
    for kind in kinds {
        nines |= kind == DrbdKind::Drbd9;
        olds |= kind == DrbdKind::Drbd84;
    }
    (nines && olds).then_some(
        "Some of its nodes have DRBD 9 and some DRBD 8.4; one resource never mixes both.",
    )
}

/// Whether the node of a resource has DRBD 8.4, from the host's stored data.
fn is_on_84(model: &Model, resource: &Resource) -> bool {
    let node = model.node(&resource.node);
    is_84(node.and_then(|node| node.host.as_ref()?.drbd))
}

/// Whether a node of a definition's resources has DRBD 8.4.
pub fn has_resource(model: &Model, name: &ResourceName) -> bool {
    model.resources_of(name).any(|row| is_on_84(model, row))
}

/// Its one bitmap has no day-0 generation once two replicas have connected: a later replica always gets a full sync.
pub fn bitmap_lost_day0(model: &Model, resource: &Resource) -> bool {
    is_on_84(model, resource)
}

/// An inactive resource that a resize has to wait for. DRBD 8.4 grows by itself when such a replica reconnects, without
/// a resync of the new part; DRBD 9 treats the new part as equal.
pub fn holds_up_growth<'a>(model: &'a Model, name: &'a ResourceName) -> Option<&'a Arc<Resource>> {
    let mut replicas = model.resources_of(name);
    replicas.find(|replica| is_on_84(model, replica) && resize::is_in_the_way(model, replica))
}

/// Whether a resource cannot become diskless.
pub fn cannot_be_diskless(model: &Model, resource: &Resource) -> bool {
    is_on_84(model, resource)
}

/// Omits options that DRBD 8.4 does not have.
pub fn retain_options(kind: Option<DrbdKind>, options: &mut DrbdOptions) {
    retain(kind, Section::Resource, &mut options.options);
    retain(kind, Section::Net, &mut options.net);
    retain(kind, Section::Disk, &mut options.disk);
    retain(kind, Section::Handlers, &mut options.handlers);
}

/// Omits options of a section that DRBD 8.4 does not have.
pub fn retain(kind: Option<DrbdKind>, section: Section, options: &mut Props) {
    if is_84(kind) {
        options.retain(|key, _| is_in_drbd84(section, key));
    }
}
