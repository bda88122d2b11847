//! Properties in effect on a resource: those whose value may come from several objects, and that LINSTOR shows so.

use std::collections::BTreeMap;

use linstor_api::prop;
use linstor_api::properties::{EffectiveProperty, HiddenProperty};
use linstor_model::props::{Level, Purpose, Scope, chain};
use linstor_model::{Model, Node, Props, Resource, ResourceDefinition, StoragePool};

/// The properties by key; none when nothing is in effect. It is the only key that LINSTOR shows like this.
pub fn properties(
    model: &Model,
    definition: &ResourceDefinition,
    resource: &Resource,
    node: &Node,
    first_pool: Option<&StoragePool>,
) -> Option<BTreeMap<&'static str, EffectiveProperty>> {
    // Lists have tens of thousands of resources, of which hardly one has any: found without an allocation.
    let set = |props: &Props| props.contains_key(prop::DRBD_SKIP_DISK);
    let near = [
        &resource.props,
        &node.props,
        &definition.props,
        &model.controller.props,
    ];
    let in_pool = || match resource.volumes.len() {
        1 => first_pool.is_some_and(|pool| set(&pool.props)),
        _ => resource.volumes.values().any(|volume| {
            let pool = model.pool(&resource.node, &volume.pool);
            pool.is_some_and(|pool| set(&pool.props))
        }),
    };
    if !near.into_iter().any(set) && !in_pool() {
        return None;
    }
    let scope = Scope::resource(model, definition, resource);
    let levels = chain(model, Purpose::SkipDisk, &scope);
    let mut values = levels.all(prop::DRBD_SKIP_DISK);
    let (value, level) = values.next()?;
    let other = values.map(|(value, level)| HiddenProperty {
        r#type: kind(level),
        value: value.to_owned(),
        descr: None,
    });
    let property = EffectiveProperty {
        r#type: kind(level),
        value: value.to_owned(),
        descr: None,
        other: other.collect(),
    };
    Some([(prop::DRBD_SKIP_DISK, property)].into())
}

/// The levels that may have the property, as LINSTOR's clients know them.
const KINDS: &[(Level, &str)] = &[
    (Level::Resource, "RESOURCE"),
    (Level::StoragePool, "STORAGEPOOL"),
    (Level::Node, "NODE"),
    (Level::ResourceDefinition, "RESOURCE_DEFINITION"),
    (Level::Controller, "SATELLITE"),
];

fn kind(level: Level) -> String {
    let known = KINDS.iter().find(|(known, _)| *known == level);
    known.map_or_else(String::new, |(_, kind)| (*kind).to_owned())
}
