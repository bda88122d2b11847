//! The processes of a simulated cluster: one controller and a satellite on each fake machine; starting and killing
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use linstor_api::net_interface::NetInterface;
use linstor_api::node::Node;
use linstor_api::reply::Reply;
use linstor_api::storage_pool::StoragePool;
use linstor_controller::{Cluster, Controller, Options, ops};
use linstor_fake_host::{DrbdKind, FakeCluster};
use linstor_satellite::Satellite;
use linstor_store::{Limits, Loaded, MemoryStore, Store, StoreError, Write};
use linstor_wire::Secret;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::check;
use crate::env::SimEnv;
use crate::net::{Dialler, Net};
use crate::newer::Newer;
use crate::trace::Trace;

/// Name of the storage pool on every node.
pub const POOL: &str = "pool";
/// Name of its volume group.
pub const VOLUME_GROUP: &str = "vg0";
/// Size of the volume group on every node.
pub const POOL_KIB: u64 = 2 << 20;

/// Every so many seeds have a store that takes little at once.
const STORE_LIMITED_EVERY: u64 = 5;
/// How much that takes: less than a batch of commits or a step of the background often has.
const STORE_LIMITS: Limits = Limits {
    rows: 12,
    bytes: 16 * 1024,
};

/// Of so many seeds one has a controller, and one has satellites, of the next version.
const VERSIONS_EVERY: u64 = 7;
/// Of so many seeds one has encrypted volumes: each of its controllers enters the master passphrase after its start.
const ENCRYPTED_EVERY: u64 = 11;

/// The configuration of a cluster's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The DRBD version in their kernels; with `None` resources have no DRBD layer.
    pub drbd: Option<DrbdKind>,
    /// Number of nodes.
    pub nodes: usize,
    /// Whether the pools are thin.
    pub thin: bool,
}

/// A controller's access to the store, which ends with the controller: writes in flight of a killed one are discarded.
struct MortalStore {
    store: MemoryStore,
    alive: Arc<AtomicBool>,
}

impl MortalStore {
    fn check(&self, doing: &'static str) -> Result<(), StoreError> {
        if self.alive.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reason = "this controller was killed".to_owned();
        Err(StoreError::Failed { doing, reason })
    }
}

#[async_trait]
impl Store for MortalStore {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn load(&mut self) -> Result<Loaded, StoreError> {
        self.check("reading all rows")?;
        self.store.load().await
    }

    async fn apply(
        &mut self,
        expected: u64,
        next: u64,
        batch: Vec<Write>,
    ) -> Result<(), StoreError> {
        self.check("writing a batch")?;
        self.store.apply(expected, next, batch).await
    }

    async fn generation(&mut self) -> Result<u64, StoreError> {
        self.check("reading the generation")?;
        self.store.generation().await
    }

    async fn copy(&mut self, name: &str) -> Result<String, StoreError> {
        self.check("making a copy")?;
        self.store.copy(name).await
    }
}

/// A running controller and its calls in progress.
struct Running {
    controller: Controller,
    alive: Arc<AtomicBool>,
    calls: Vec<JoinHandle<()>>,
}

/// A simulated cluster.
pub struct Sim {
    /// The machines.
    pub fake: FakeCluster,
    /// The store, which outlives the controller.
    pub store: MemoryStore,
    /// The connections.
    pub net: Net,
    /// The trace of events.
    pub trace: Trace,
    /// Violated invariants.
    pub failures: Vec<String>,
    /// The configuration of the nodes.
    pub shape: Shape,
    env: SimEnv,
    encrypted: bool,
    controller: Option<Running>,
    satellites: BTreeMap<String, JoinHandle<()>>,
}

/// Enters the master passphrase, or sets it. Where the store fails meanwhile, secrets remain locked until the next start.
async fn unlock(cluster: &Cluster) {
    let passphrase = Secret::new("passphrase");
    for _ in 0..5 {
        if ops::encryption::at_start(cluster, &passphrase)
            .await
            .is_ok()
        {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

impl Sim {
    /// Starts machines with volume groups, satellites, and a controller without any rows.
    pub async fn new(seed: u64, shape: Shape, trace: Trace) -> Sim {
        let mut sim = Sim {
            fake: FakeCluster::new(seed),
            store: MemoryStore::new(),
            net: Net::default(),
            trace,
            failures: Vec::new(),
            shape,
            env: SimEnv::new(seed),
            encrypted: seed % ENCRYPTED_EVERY == 2,
            controller: None,
            satellites: BTreeMap::new(),
        };
        if seed.is_multiple_of(STORE_LIMITED_EVERY) {
            sim.store.set_limits(STORE_LIMITS);
        }
        sim.net.set_newer(Newer {
            controller: seed % VERSIONS_EVERY == 3,
            satellites: seed % VERSIONS_EVERY == 4,
        });
        for node in sim.nodes() {
            sim.fake.add_host(&node, shape.drbd.unwrap_or(DrbdKind::V9));
            sim.fake.add_volume_group(&node, VOLUME_GROUP, POOL_KIB);
            if shape.thin {
                sim.fake
                    .add_thin_pool(&node, VOLUME_GROUP, "thin", POOL_KIB / 2);
            }
            if shape.drbd.is_none() {
                sim.fake.uninstall(&node, "module drbd");
            }
            sim.start_satellite(&node);
        }
        sim.start_controller().await;
        sim
    }

    /// Names of the nodes.
    pub fn nodes(&self) -> Vec<String> {
        (1..=self.shape.nodes).map(|n| format!("n{n}")).collect()
    }

    /// The running controller, if there is one.
    pub fn cluster(&self) -> Option<Cluster> {
        Some(self.controller.as_ref()?.controller.cluster.clone())
    }

    /// Creates the nodes and their storage pools; returns the replies of failed requests.
    pub async fn register(&mut self) -> Vec<Reply> {
        let pool = match self.shape.thin {
            true => ("LVM_THIN", format!("{VOLUME_GROUP}/thin")),
            false => ("LVM", VOLUME_GROUP.to_owned()),
        };
        self.register_with(pool).await
    }

    /// Creates the nodes with storage pools of this kind and place; returns the replies of failed requests.
    pub async fn register_with(&mut self, (kind, place): (&'static str, String)) -> Vec<Reply> {
        let Some(cluster) = self.cluster() else {
            return Vec::new();
        };
        let mut replies = Vec::new();
        for node in self.nodes() {
            let address = self.fake.addresses(&node).remove(0);
            replies.extend(ops::node::create(&cluster, node_request(&node, address)).await);
            let pool = pool_request(kind, place.clone());
            replies.extend(ops::storage_pool::create(&cluster, node, pool).await);
        }
        replies.retain(Reply::is_error);
        replies
    }

    /// Starts the satellite of a running machine.
    pub fn start_satellite(&mut self, node: &str) {
        let host = Arc::new(self.fake.host(node));
        let satellite = Satellite::new(host, linstor_satellite::Options::default());
        let running = satellite.clone();
        let task = tokio::spawn(async move {
            // systemd restarts a satellite that fails at its start.
            while running.run().await.is_err() {
                sleep(Duration::from_secs(5)).await;
            }
        });
        self.net.listen(node, Some(satellite));
        self.satellites.insert(node.to_owned(), task);
    }

    /// Kills the satellite of a machine at any point of its work.
    pub async fn kill_satellite(&mut self, node: &str) {
        self.net.listen(node, None);
        if let Some(task) = self.satellites.remove(node) {
            task.abort();
            // The task was aborted: its result has no information.
            let _aborted = task.await;
        }
    }

    /// Whether the satellite of a node is running.
    pub fn has_satellite(&self, node: &str) -> bool {
        self.satellites.contains_key(node)
    }

    /// Whether a controller is running.
    pub fn has_controller(&self) -> bool {
        self.controller.is_some()
    }

    /// Starts a controller on the store; repeated until the store permits it.
    pub async fn start_controller(&mut self) {
        while self.controller.is_none() {
            let alive = Arc::new(AtomicBool::new(true));
            let store = MortalStore {
                store: self.store.clone(),
                alive: Arc::clone(&alive),
            };
            let connector = Dialler {
                net: self.net.clone(),
                alive: Arc::clone(&alive),
            };
            let started = Controller::start(
                Box::new(store),
                Arc::new(self.env.clone()),
                Arc::new(connector),
                Options::default(),
            );
            match started.await {
                Ok(controller) => {
                    if self.encrypted {
                        unlock(&controller.cluster).await;
                    }
                    self.controller = Some(Running {
                        controller,
                        alive,
                        calls: Vec::new(),
                    });
                }
                Err(error) => {
                    self.trace
                        .add(format_args!("the controller failed to start: {error}"));
                    self.store.revive();
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Kills the controller: none of its pending work is carried out. Its published model must be in the store.
    pub async fn kill_controller(&mut self) {
        let Some(running) = self.controller.take() else {
            return;
        };
        running.alive.store(false, Ordering::Relaxed);
        self.net.hang_up_all();
        for call in running.calls {
            call.abort();
            // Aborted or finished; its result is in the trace.
            let _aborted = call.await;
        }
        let cluster = running.controller.cluster.clone();
        // Only ends its tasks: it can access neither the store nor a satellite any more.
        running.controller.stop().await;
        self.failures
            .extend(check::durability(&cluster.model(), &self.store.contents()));
        self.store.revive();
    }

    /// Whether a write fault killed the controller.
    pub async fn store_is_dead(&self) -> bool {
        self.store.clone().generation().await.is_err()
    }

    /// Runs a call like a REST request, and writes its result to the trace.
    pub fn call<F>(&mut self, what: String, work: F)
    where
        F: Future<Output = Vec<Reply>> + Send + 'static,
    {
        let trace = self.trace.clone();
        let Some(running) = &mut self.controller else {
            return;
        };
        running.calls.retain(|call| !call.is_finished());
        running.calls.push(tokio::spawn(async move {
            let replies = work.await;
            let error = replies.iter().find(|reply| reply.is_error());
            match error.or_else(|| replies.first()) {
                Some(reply) => trace.add(format_args!("  {what}: {}", reply.message)),
                None => trace.add(format_args!("  {what}: no reply")),
            }
        }));
    }

    /// Waits for the calls in progress; returns how many did not end in time.
    pub async fn finish_calls(&mut self, limit: Duration) -> usize {
        let Some(running) = &mut self.controller else {
            return 0;
        };
        let calls = std::mem::take(&mut running.calls);
        let deadline = tokio::time::Instant::now() + limit;
        let mut left = 0;
        for call in calls {
            match tokio::time::timeout_at(deadline, call).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.failures.push(format!("a call panicked: {error}")),
                Err(_) => left += 1,
            }
        }
        left
    }

    /// Cuts the power of a machine.
    pub async fn crash_host(&mut self, node: &str) {
        self.fake.crash(node);
        self.kill_satellite(node).await;
    }

    /// Boots a machine that is down and starts its satellite; if the machine is up, only the satellite.
    pub async fn boot(&mut self, node: &str) {
        if !self.fake.is_up(node) {
            self.kill_satellite(node).await;
            self.fake.boot(node);
        }
        if !self.has_satellite(node) {
            self.start_satellite(node);
        }
    }

    /// Ends all processes, so that no task is left in the runtime.
    pub async fn end(&mut self) {
        self.kill_controller().await;
        for node in self.nodes() {
            self.kill_satellite(&node).await;
        }
    }
}

fn node_request(node: &str, address: String) -> Node {
    Node {
        name: node.to_owned(),
        r#type: "SATELLITE".into(),
        net_interfaces: vec![NetInterface {
            name: "default".to_owned(),
            address,
            satellite_port: Some(3366),
            satellite_encryption_type: Some("PLAIN".into()),
            is_active: Some(true),
            ..NetInterface::default()
        }],
        ..Node::default()
    }
}

fn pool_request(kind: &'static str, place: String) -> StoragePool {
    StoragePool {
        storage_pool_name: POOL.to_owned(),
        provider_kind: kind.into(),
        props: [("StorDriver/StorPoolName".to_owned(), place)].into(),
        ..StoragePool::default()
    }
}
