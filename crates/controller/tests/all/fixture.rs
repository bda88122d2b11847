//! A controller in a seeded world, and rows to put into it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use linstor_api::kind::{Encryption, LayerKind, NodeType, ProviderKind};
use linstor_controller::env::{Env, SeededEnv};
use linstor_controller::{Cluster, Controller, Options, Refusal};
use linstor_model::Draft;
use linstor_model::name::{
    KeyValueStoreName, NetInterfaceName, NodeName, ResourceGroupName, ResourceName, StoragePoolName,
};
use linstor_model::{
    DiskKind, DrbdDefinition, DrbdResource, KeyValueStore, NetInterface, Node, Resource,
    ResourceDefinition, StoragePool, Volume, VolumeDefinition,
};
use linstor_store::MemoryStore;
use linstor_wire::Secret;
use tokio::time::Instant;

use crate::satellite::Pipes;

pub fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub fn resource(name: &str) -> ResourceName {
    ResourceName::parse(name).unwrap()
}

pub fn pool(name: &str) -> StoragePoolName {
    StoragePoolName::parse(name).unwrap()
}

pub fn kvs(name: &str) -> KeyValueStoreName {
    KeyValueStoreName::parse(name).unwrap()
}

pub fn seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// A controller with its store and its way to satellites.
pub struct Fixture {
    pub controller: Controller,
    pub cluster: Cluster,
    pub store: MemoryStore,
    pub pipes: Pipes,
}

impl Fixture {
    pub async fn new() -> Fixture {
        Fixture::on(MemoryStore::new()).await
    }

    pub async fn on(store: MemoryStore) -> Fixture {
        let pipes = Pipes::default();
        let controller = Controller::start(
            Box::new(store.clone()),
            Arc::new(SeededEnv::new(1)),
            Arc::new(pipes.clone()),
            Options::default(),
        )
        .await
        .expect("a memory store can be started on");
        Fixture {
            cluster: controller.cluster.clone(),
            controller,
            store,
            pipes,
        }
    }

    /// Commits a change that cannot fail; returns its generation.
    pub async fn change(&self, change: impl FnOnce(&mut Draft) + Send + 'static) -> u64 {
        let committed = self.cluster.commit(|draft| {
            change(draft);
            Ok(())
        });
        committed.await.expect("the store works").generation
    }

    /// A node with a satellite and a pool, and a volume-sized replica of `rsc` on it.
    pub async fn deployed(&self, name: &str) -> u64 {
        let env = Arc::clone(self.cluster.env());
        let name = name.to_owned();
        self.change(move |draft| {
            put_node(draft, &*env, &name);
            put_resource_definition(draft, &*env, "rsc");
            put_replica(draft, &*env, "rsc", &name);
        })
        .await
    }
}

/// Writes one value into a key-value store instance.
pub fn set(draft: &mut Draft, name: &str, value: &str) -> Result<(), Refusal> {
    draft.put_key_value_store(KeyValueStore {
        name: kvs(name),
        props: [("k".to_owned(), value.to_owned())].into(),
    });
    Ok(())
}

/// The value of a key-value store instance.
pub fn get(cluster: &Cluster, name: &str) -> Option<String> {
    let model = cluster.model();
    let store = model.key_value_stores.get(&kvs(name))?;
    store.props.get("k").cloned()
}

pub fn put_node(draft: &mut Draft, env: &dyn Env, name: &str) {
    let index = draft.nodes.len() as u8 + 1;
    draft.put_node(Node {
        name: node(name),
        uuid: env.uuid(),
        node_type: NodeType::Satellite,
        net_interfaces: vec![NetInterface {
            name: NetInterfaceName::parse("default").unwrap(),
            uuid: env.uuid(),
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, index)),
            satellite_port: Some(3366),
            encryption: Some(Encryption::Plain),
            active: true,
        }],
        props: Default::default(),
        connections: Vec::new(),
        evacuate: false,
        evacuate_to: Vec::new(),
        evacuate_not_to: Vec::new(),
        evicted: false,
        host: None,
    });
    draft.put_storage_pool(StoragePool {
        node: node(name),
        name: pool("DfltStorPool"),
        uuid: env.uuid(),
        kind: ProviderKind::LvmThin,
        props: Default::default(),
        shared_name: None,
        external_locking: false,
        granularity_kib: None,
    });
}

pub fn put_resource_definition(draft: &mut Draft, env: &dyn Env, name: &str) {
    let volume = VolumeDefinition {
        uuid: env.uuid(),
        size_kib: 4096,
        gross_size: false,
        encrypted: false,
        props: Default::default(),
        minor: None,
        implied_minor: false,
        first_copy_on: None,
        initialized: true,
        restored: false,
        luks: None,
        file_system_on: Default::default(),
        granularity_kib: 0,
        device_kib: None,
        pinned: false,
    };
    draft.put_resource_definition(ResourceDefinition {
        snapshots: Default::default(),
        backups: Default::default(),
        connections: Vec::new(),
        clone_failure: None,
        name: resource(name),
        external_name: None,
        uuid: env.uuid(),
        group: ResourceGroupName::parse("DfltRscGrp").unwrap(),
        layer_stack: vec![LayerKind::Storage],
        props: Default::default(),
        drbd: None,
        volumes: [(0, volume)].into(),
    });
}

pub fn put_replica(draft: &mut Draft, env: &dyn Env, name: &str, on: &str) {
    let volume = Volume {
        uuid: env.uuid(),
        pool: pool("DfltStorPool"),
        extra_storage: Default::default(),
        unit_kib: 0,
        props: Default::default(),
        source: None,
    };
    draft.put_resource(Resource {
        node: node(on),
        name: resource(name),
        uuid: env.uuid(),
        created_at: env.now_ms(),
        layer_stack: vec![LayerKind::Storage],
        props: Default::default(),
        drbd: None,
        volumes: [(0, volume)].into(),
        inactive: false,
        inactive_since: 0,
    });
}

/// Puts DRBD on top of all replicas of a definition.
pub fn replicate(draft: &mut Draft, name: &str) {
    let layers = vec![LayerKind::Drbd, LayerKind::Storage];
    draft.edit_resource_definition(&resource(name), |definition| {
        definition.layer_stack = layers.clone();
        definition.drbd = Some(DrbdDefinition {
            secret: Secret::new("secret"),
            peer_slots: 7,
            al_stripes: 1,
            al_stripe_kib: 32,
            transport: "TCP".into(),
            wished_port: None,
            implied: false,
        });
        definition.volumes.get_mut(&0).unwrap().minor = Some(1000);
    });
    let on: Vec<NodeName> = draft
        .resources_of(&resource(name))
        .map(|replica| replica.node.clone())
        .collect();
    for (node_id, on) in on.iter().enumerate() {
        draft.edit_resource(&resource(name), on, |replica| {
            replica.layer_stack = layers.clone();
            replica.drbd = Some(DrbdResource {
                node_id: node_id as u32,
                ports: vec![7000],
                peer_slots: 7,
                disk: DiskKind::Diskful,
                never_votes: false,
            });
        });
    }
}

/// Makes a volume larger, which changes the spec on every node.
pub fn grow(draft: &mut Draft, name: &str) {
    draft.edit_resource_definition(&resource(name), |definition| {
        definition.volumes.get_mut(&0).unwrap().size_kib += 4096;
    });
}
