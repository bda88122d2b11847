//! What is special about the DRBD 8.4 of distribution kernels: two replicas with disks, one bitmap, no quorum.
//!
//! Callers ask here at the points where the kinds of DRBD differ, for either kind.

use std::sync::Arc;

use linstor_api::drbd_option::{Section, is_in_drbd84};
use linstor_api::kind::DrbdKind;
use linstor_wire::spec::Props;

use crate::Resource;
use crate::model::Model;
use crate::name::ResourceName;
use crate::process::resize;
use crate::props::DrbdOptions;

/// How many replicas it connects.
pub const REPLICAS_MAX: usize = 2;

/// Whether a node that has this DRBD, as far as is known, has 8.4.
pub fn is_84(kind: Option<DrbdKind>) -> bool {
    kind == Some(DrbdKind::Drbd84)
}

/// Why replicas on nodes with these kinds of DRBD cannot be connected.
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

/// Whether the node of a resource has it, by what is noted of its host.
fn is_on_84(model: &Model, resource: &Resource) -> bool {
    let node = model.node(&resource.node);
    is_84(node.and_then(|node| node.host.as_ref()?.drbd))
}

/// Its one bitmap says nothing of day 0 any more once two replicas have met: a later replica always gets a full sync.
pub fn bitmap_lost_day0(model: &Model, resource: &Resource) -> bool {
    is_on_84(model, resource)
}

/// A deactivated replica that a growth has to wait for. 8.4 grows by itself when it comes back, and leaves the replica
/// outdated with what is new; DRBD 9 takes it for the same.
pub fn holds_up_growth<'a>(model: &'a Model, name: &'a ResourceName) -> Option<&'a Arc<Resource>> {
    let mut replicas = model.resources_of(name);
    replicas.find(|replica| is_on_84(model, replica) && resize::is_in_the_way(model, replica))
}

/// Whether a resource cannot give up its disk.
pub fn cannot_be_diskless(model: &Model, resource: &Resource) -> bool {
    is_on_84(model, resource)
}

/// Leaves out options that it does not know.
pub fn retain_options(kind: Option<DrbdKind>, options: &mut DrbdOptions) {
    retain(kind, Section::Resource, &mut options.options);
    retain(kind, Section::Net, &mut options.net);
    retain(kind, Section::Disk, &mut options.disk);
    retain(kind, Section::Handlers, &mut options.handlers);
}

/// Leaves out options of a section that it does not know.
pub fn retain(kind: Option<DrbdKind>, section: Section, options: &mut Props) {
    if is_84(kind) {
        options.retain(|key, _| is_in_drbd84(section, key));
    }
}
