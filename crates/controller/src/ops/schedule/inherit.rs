//! Where schedules are enabled: properties below `Schedule/<remote>/<schedule>/` of a resource definition, its group or the
//! controller. The nearest one with such a property decides.

use std::collections::BTreeSet;

use linstor_model::backup::history::Triple;
use linstor_model::name::{RemoteName, ResourceName, ScheduleName};
use linstor_model::{Model, Props, ResourceDefinition};

pub(super) const NAMESPACE: &str = "Schedule/";
pub(super) const ENABLED: &str = "Enabled";
pub(super) const PREFERRED_NODE: &str = "PrefNode";

/// Remote, schedule and the rest of a key below `Schedule/`.
pub(super) fn pair(key: &str) -> Option<(&str, &str, &str)> {
    let mut parts = key.strip_prefix(NAMESPACE)?.splitn(3, '/');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// The remotes and schedules that a level enables or disables.
fn pairs_of(model: &Model, props: &Props) -> BTreeSet<(RemoteName, ScheduleName)> {
    let pairs = props.keys().filter_map(|key| pair(key));
    let pairs = pairs.filter(|(.., member)| *member == ENABLED);
    let known = pairs.filter_map(|(remote, schedule, _)| {
        let remote = model.remotes.get(&RemoteName::parse(remote).ok()?)?;
        let schedule = model.schedules.get(&ScheduleName::parse(schedule).ok()?)?;
        Some((remote.name.clone(), schedule.name.clone()))
    });
    known.collect()
}

fn enabled_at(props: &Props, remote: &RemoteName, schedule: &ScheduleName) -> Option<bool> {
    let value = props.get(&format!("{NAMESPACE}{remote}/{schedule}/{ENABLED}"))?;
    Some(value.eq_ignore_ascii_case("true"))
}

/// Definition, group and controller, the nearest first.
fn levels<'a>(model: &'a Model, row: &'a ResourceDefinition, none: &'a Props) -> [&'a Props; 3] {
    let group = model.groups.get(&row.group);
    let group = group.map_or(none, |group| &group.props);
    [&row.props, group, &model.controller.props]
}

/// Whether definition, group and controller enable a schedule, in this order.
pub(super) type Setting = [Option<bool>; 3];

pub(super) fn settings(
    model: &Model,
    row: &ResourceDefinition,
) -> Vec<(RemoteName, ScheduleName, Setting)> {
    let none = Props::new();
    let levels = levels(model, row, &none);
    let pairs: BTreeSet<_> = levels
        .iter()
        .flat_map(|props| pairs_of(model, props))
        .collect();
    let each = pairs.into_iter().map(|(remote, schedule)| {
        let setting = levels.map(|props| enabled_at(props, &remote, &schedule));
        (remote, schedule, setting)
    });
    each.collect()
}

/// Whether the nearest level that says so enables the schedule.
pub(super) fn is_active(setting: &Setting) -> bool {
    setting.iter().flatten().next() == Some(&true)
}

/// The schedules that are enabled for a resource definition.
pub(crate) fn active(model: &Model, row: &ResourceDefinition) -> Vec<Triple> {
    let settings = settings(model, row).into_iter();
    let active = settings.filter(|(_, _, setting)| is_active(setting));
    let triples = active.map(|(remote, schedule, _)| Triple {
        resource: row.name.clone(),
        remote,
        schedule,
    });
    triples.collect()
}

/// The first schedule that is enabled for a resource definition.
pub fn first_enabled(model: &Model, name: &ResourceName) -> Option<(RemoteName, ScheduleName)> {
    let first = active(model, model.definitions.get(name)?)
        .into_iter()
        .next()?;
    Some((first.remote, first.schedule))
}

/// A property of an enabled schedule: that of the nearest level which has it.
pub(super) fn effective(model: &Model, of: &Triple, member: &str) -> Option<String> {
    let key = format!("{NAMESPACE}{}/{}/{member}", of.remote, of.schedule);
    let none = Props::new();
    let levels = levels(model, model.definitions.get(&of.resource)?, &none);
    let value = levels.into_iter().find_map(|props| props.get(&key))?;
    Some(value.clone())
}
