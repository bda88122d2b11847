//! What is not changed while a rollback is under way: its steps know the resources, volumes and snapshots that there are.

use linstor_api::code;
use linstor_api::reply::Reply;

use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::process::{Kind, ProcessId};

/// Why a change is refused, if it is one that a rollback under way does not bear. Its own steps and its end are not.
pub fn refuses(before: &Model, after: &Draft) -> Option<Reply> {
    let mut touched = after.touched().iter();
    touched.find_map(|key| match key {
        RowKey::ResourceDefinition(name) => {
            let id = same_step(before, after, name)?;
            (sizes(before, name) != sizes(after, name)).then(|| in_progress(name, id))
        }
        RowKey::Resource(name, node) => {
            let id = same_step(before, after, name)?;
            is_other(before, after, name, node).then(|| in_progress(name, id))
        }
        RowKey::Process(new) if !before.processes.contains_key(new) => {
            let objects = after.processes.get(new)?.objects();
            objects.iter().find_map(|object| {
                let name = object.definition()?;
                Some(in_progress(name, same_step(before, after, name)?))
            })
        }
        _ => None,
    })
}

/// The rollback of a definition that was under way before a change, if the change is not its own.
fn same_step(before: &Model, after: &Model, name: &ResourceName) -> Option<ProcessId> {
    let running = |model: &Model| {
        let mut processes = model.processes_of(name);
        processes.find_map(|process| match &process.kind {
            Kind::RollBack(of) if of.is_down() => Some((process.id, of.step)),
            _ => None,
        })
    };
    let (id, step) = running(before)?;
    (running(after) == Some((id, step))).then_some(id)
}

fn sizes(model: &Model, name: &ResourceName) -> Vec<(u32, u64)> {
    let definition = model.definitions.get(name);
    let volumes = definition.iter().flat_map(|row| row.volumes.iter());
    volumes
        .map(|(number, volume)| (*number, volume.size_kib))
        .collect()
}

/// Whether a resource is new, or is another one to the rollback. A node that is lost takes its resources with it.
fn is_other(before: &Model, after: &Model, name: &ResourceName, node: &NodeName) -> bool {
    match (before.resource(name, node), after.resource(name, node)) {
        (Some(before), Some(after)) => {
            (&before.volumes, &before.drbd, before.inactive)
                != (&after.volumes, &after.drbd, after.inactive)
        }
        (before, _) => before.is_none(),
    }
}

fn in_progress(name: &ResourceName, id: ProcessId) -> Reply {
    let message = format!("Resource definition '{name}' is being rolled back to a snapshot.");
    Reply::new(code::FAIL_SNAPSHOT_ROLLBACK_IN_PROGRESS, message)
        .cause("Its resources, volumes and snapshots are not changed meanwhile.")
        .correction(format!(
            "Wait until it is finished, or cancel it: 'linstor job show {id}'."
        ))
        .about("RscDfn", name.as_str())
}
