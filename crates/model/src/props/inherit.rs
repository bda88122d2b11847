//! Inheritance: which row's value of a property counts, by purpose (`docs/facts.md`, Properties).

use std::collections::BTreeMap;

use crate::model::Model;
use crate::{Connection, Node, Props, Resource, ResourceDefinition, ResourceGroup, StoragePool};

/// A kind of row that a value may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The volume.
    Volume,
    /// The resource.
    Resource,
    /// The storage pool of the volume, or else all pools of the resource in volume order.
    StoragePool,
    /// The storage pool definition.
    StoragePoolDefinition,
    /// The node.
    Node,
    /// The volume definition.
    VolumeDefinition,
    /// The volume group of the same number.
    VolumeGroup,
    /// The resource definition.
    ResourceDefinition,
    /// The resource group.
    ResourceGroup,
    /// The connection of two resources.
    ResourceConnection,
    /// The connection of two nodes.
    NodeConnection,
    /// The controller.
    Controller,
}

/// What a value is used for. Each purpose has its own order of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// DRBD's `options` and `handlers`, and the `net` and `disk` options common to a resource.
    DrbdResource,
    /// DRBD's `disk` of one volume.
    DrbdVolume,
    /// DRBD's `net`, and its `disk` for the peer's devices, of one connection.
    DrbdConnection,
    /// The net interface that peers connect to.
    Address,
    /// The storage pool of a volume, if no request names one.
    StoragePool,
    /// The storage pool of DRBD's metadata.
    MetadataPool,
    /// Options of the storage driver.
    StorageDriver,
    /// The file system to create.
    FileSystem,
    /// Options of the caching layers.
    Cache,
    /// Tie breakers, management of quorum, the verify algorithm, mixing of providers, balancing: all
    /// policies of definitions.
    Policy,
    /// When a diskless resource that is in use becomes diskful.
    AutoDiskful,
    /// Whether the controller manages granularities and block sizes.
    Granularity,
    /// Whether DRBD is brought up without its disk.
    SkipDisk,
    /// Peer slots of new resources.
    PeerSlots,
    /// Number ranges, and whether a node is an autoplace target or can be evicted.
    Node,
    /// Oversubscription of a pool.
    Oversubscription,
    /// Share of a thin pool that must remain free.
    MinThinFree,
}

impl Purpose {
    /// The levels that count, nearest first.
    pub const fn levels(self) -> &'static [Level] {
        use Level::*;
        match self {
            Purpose::DrbdResource => &[
                Resource,
                ResourceDefinition,
                ResourceGroup,
                Node,
                Controller,
            ],
            Purpose::DrbdVolume => &[
                Volume,
                Resource,
                VolumeDefinition,
                VolumeGroup,
                ResourceDefinition,
                ResourceGroup,
                Node,
                Controller,
            ],
            Purpose::DrbdConnection => &[
                ResourceConnection,
                ResourceDefinition,
                NodeConnection,
                ResourceGroup,
                Controller,
            ],
            Purpose::Address => &[
                StoragePool,
                Resource,
                ResourceDefinition,
                ResourceGroup,
                Node,
                Controller,
            ],
            Purpose::StoragePool => &[
                Resource,
                VolumeDefinition,
                ResourceDefinition,
                ResourceGroup,
                Node,
            ],
            Purpose::MetadataPool => &[
                VolumeDefinition,
                VolumeGroup,
                Resource,
                ResourceDefinition,
                ResourceGroup,
                Node,
            ],
            Purpose::StorageDriver => &[
                Volume,
                Resource,
                StoragePool,
                Node,
                VolumeDefinition,
                ResourceDefinition,
                VolumeGroup,
                ResourceGroup,
                Controller,
            ],
            Purpose::FileSystem => &[
                Resource,
                VolumeDefinition,
                VolumeGroup,
                ResourceDefinition,
                ResourceGroup,
            ],
            Purpose::Cache => &[
                VolumeDefinition,
                VolumeGroup,
                Resource,
                ResourceDefinition,
                ResourceGroup,
                Node,
                Controller,
            ],
            Purpose::Policy => &[ResourceDefinition, ResourceGroup, Controller],
            Purpose::AutoDiskful => &[
                Resource,
                Node,
                ResourceDefinition,
                ResourceGroup,
                Controller,
            ],
            Purpose::Granularity => &[
                VolumeDefinition,
                ResourceDefinition,
                VolumeGroup,
                ResourceGroup,
                Controller,
            ],
            Purpose::SkipDisk => &[Resource, StoragePool, Node, ResourceDefinition, Controller],
            Purpose::PeerSlots => &[ResourceDefinition, ResourceGroup, Controller],
            Purpose::Node => &[Node, Controller],
            Purpose::Oversubscription => &[StoragePool, StoragePoolDefinition, Controller],
            Purpose::MinThinFree => &[
                StoragePool,
                ResourceDefinition,
                ResourceGroup,
                Node,
                Controller,
            ],
        }
    }
}

/// The objects whose values count. An absent object is no level.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The resource definition.
    pub definition: Option<&'a ResourceDefinition>,
    /// The resource.
    pub resource: Option<&'a Resource>,
    /// The volume's number.
    pub volume: Option<u32>,
    /// The node.
    pub node: Option<&'a Node>,
    /// The storage pool.
    pub pool: Option<&'a StoragePool>,
    /// The connection of two resources.
    pub connection: Option<&'a Connection>,
    /// The connection of their nodes.
    pub node_connection: Option<&'a Connection>,
    /// The group, if there is no definition.
    pub group: Option<&'a ResourceGroup>,
}

impl<'a> Scope<'a> {
    /// Of a definition.
    pub fn definition(definition: &'a ResourceDefinition) -> Self {
        Scope {
            definition: Some(definition),
            ..Scope::default()
        }
    }

    /// Of a resource on its node.
    pub fn resource(
        model: &'a Model,
        definition: &'a ResourceDefinition,
        resource: &'a Resource,
    ) -> Self {
        Scope {
            definition: Some(definition),
            resource: Some(resource),
            node: model.nodes.get(&resource.node).map(|node| &**node),
            ..Scope::default()
        }
    }

    /// Of a volume of a resource, in its pool.
    pub fn volume(
        model: &'a Model,
        definition: &'a ResourceDefinition,
        resource: &'a Resource,
        number: u32,
    ) -> Self {
        let volume = resource.volumes.get(&number);
        Scope {
            volume: Some(number),
            pool: volume
                .and_then(|volume| model.pool(&resource.node, &volume.pool))
                .map(|pool| &**pool),
            ..Scope::resource(model, definition, resource)
        }
    }

    /// Of a node.
    pub fn node(node: &'a Node) -> Self {
        Scope {
            node: Some(node),
            ..Scope::default()
        }
    }

    /// Of a pool on its node.
    pub fn pool(model: &'a Model, pool: &'a StoragePool) -> Self {
        Scope {
            pool: Some(pool),
            node: model.nodes.get(&pool.node).map(|node| &**node),
            ..Scope::default()
        }
    }
}

/// Property containers, nearest first.
#[derive(Debug, Clone)]
pub struct Chain<'a> {
    containers: Vec<(Level, &'a Props)>,
}

impl<'a> Chain<'a> {
    /// The value that counts.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.find(key).map(|(value, _)| value)
    }

    /// The value that counts and the level that it comes from.
    pub fn find(&self, key: &str) -> Option<(&'a str, Level)> {
        self.containers
            .iter()
            .find_map(|(level, props)| props.get(key).map(|value| (value.as_str(), *level)))
    }

    /// All values of a key, the one that counts first.
    pub fn all(&self, key: &str) -> impl Iterator<Item = (&'a str, Level)> {
        self.containers
            .iter()
            .filter_map(move |(level, props)| Some((props.get(key)?.as_str(), *level)))
    }

    /// All values below a namespace (given without a trailing slash); keys are without the namespace.
    pub fn namespace(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (_, props) in &self.containers {
            for (key, value) in below(props, namespace) {
                values
                    .entry(key.to_owned())
                    .or_insert_with(|| value.to_owned());
            }
        }
        values
    }
}

/// The entries of a container below a namespace; keys are without the namespace.
pub fn below<'a>(
    props: &'a Props,
    namespace: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let prefix = format!("{namespace}/");
    props
        .iter()
        .filter_map(move |(key, value)| Some((key.strip_prefix(&prefix)?, value.as_str())))
}

/// The containers that count for a purpose.
pub fn chain<'a>(model: &'a Model, purpose: Purpose, scope: &Scope<'a>) -> Chain<'a> {
    let group = scope.group.or_else(|| {
        let definition = scope.definition?;
        model.groups.get(&definition.group).map(|group| &**group)
    });
    let mut containers = Vec::with_capacity(purpose.levels().len() + 1);
    for level in purpose.levels() {
        let props = match level {
            Level::Volume => scope
                .resource
                .zip(scope.volume)
                .and_then(|(resource, number)| resource.volumes.get(&number))
                .map(|volume| &volume.props),
            Level::Resource => scope.resource.map(|resource| &resource.props),
            Level::StoragePool => {
                for pool in pools(model, scope) {
                    containers.push((*level, &pool.props));
                }
                None
            }
            Level::StoragePoolDefinition => scope
                .pool
                .and_then(|pool| model.pool_definitions.get(&pool.name))
                .map(|definition| &definition.props),
            Level::Node => scope.node.map(|node| &node.props),
            Level::VolumeDefinition => scope
                .definition
                .zip(scope.volume)
                .and_then(|(definition, number)| definition.volumes.get(&number))
                .map(|volume| &volume.props),
            Level::VolumeGroup => group
                .zip(scope.volume)
                .and_then(|(group, number)| group.volume_groups.get(&number))
                .map(|volume| &volume.props),
            Level::ResourceDefinition => scope.definition.map(|definition| &definition.props),
            Level::ResourceGroup => group.map(|group| &group.props),
            Level::ResourceConnection => scope.connection.map(|row| &row.props),
            Level::NodeConnection => scope.node_connection.map(|row| &row.props),
            Level::Controller => Some(&model.controller.props),
        };
        containers.extend(props.map(|props| (*level, props)));
    }
    Chain { containers }
}

/// The pool in scope, or all pools of the resource in scope.
fn pools<'a>(model: &'a Model, scope: &Scope<'a>) -> Vec<&'a StoragePool> {
    if let Some(pool) = scope.pool {
        return vec![pool];
    }
    let mut pools: Vec<&StoragePool> = Vec::new();
    for volume in scope
        .resource
        .iter()
        .flat_map(|resource| resource.volumes.values())
    {
        let node = scope.resource.map(|resource| &resource.node);
        let pool = node.and_then(|node| model.pool(node, &volume.pool));
        if let Some(pool) = pool
            && !pools.iter().any(|known| known.name == pool.name)
        {
            pools.push(pool);
        }
    }
    pools
}

/// The value of one property that counts for a purpose.
pub fn effective<'a>(
    model: &'a Model,
    purpose: Purpose,
    scope: &Scope<'a>,
    key: &str,
) -> Option<&'a str> {
    chain(model, purpose, scope).get(key)
}
