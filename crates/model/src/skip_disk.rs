//! Disks that are not used: `DrbdOptions/SkipDisk`, set by people, or by the controller for a disk that failed each time
//! it was attached.

use linstor_api::prop;

use crate::draft::Draft;
use crate::model::Model;
use crate::name::ResourceName;
use crate::observed::Observed;
use crate::props::{Purpose, Scope, effective, is_true};
use crate::{Resource, ResourceDefinition};

/// Whether the disk of a resource is to be skipped, by its own property or one of its node, pools, definition or the
/// controller.
pub fn is_set(model: &Model, definition: &ResourceDefinition, replica: &Resource) -> bool {
    let scopes = replica
        .volumes
        .keys()
        .map(|number| Scope::volume(model, definition, replica, *number));
    let own = Scope::resource(model, definition, replica);
    let mut scopes = scopes.chain([own]);
    let is_set = |scope: Scope<'_>| {
        let value = effective(model, Purpose::SkipDisk, &scope, prop::DRBD_SKIP_DISK);
        value.is_some_and(is_true)
    };
    !replica.is_diskless() && scopes.any(is_set)
}

/// Sets the property of resources whose nodes do not attach their disks any more. Returns whether there was one.
pub(crate) fn note_given_up(draft: &mut Draft, observed: &Observed, name: &ResourceName) -> bool {
    let given_up = |replica: &&std::sync::Arc<Resource>| {
        let status = observed.live(name, &replica.node);
        let drbd = status
            .filter(|status| status.uuid == replica.uuid)
            .and_then(|status| status.drbd.as_ref());
        let set = replica.props.get(prop::DRBD_SKIP_DISK);
        drbd.is_some_and(|drbd| drbd.disk_given_up) && !set.is_some_and(|value| is_true(value))
    };
    let nodes = draft.resources_of(name).filter(given_up);
    let nodes: Vec<_> = nodes.map(|replica| replica.node.clone()).collect();
    for node in &nodes {
        draft.edit_resource(name, node, |row| {
            let key = prop::DRBD_SKIP_DISK.to_owned();
            row.props.insert(key, prop::TRUE.to_owned());
        });
    }
    !nodes.is_empty()
}
