//! Simulated satellites: the real protocol over real sockets, with a node behind it that reaches every spec at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind};
use linstor_net::{SatelliteSide, Sender, tcp};
use linstor_wire::message::PROTOCOL;
use linstor_wire::spec::{NodeSpec, ResourceSpec, Spec, Target};
use linstor_wire::status::{
    DrbdInfo, DrbdStatus, NodeInfo, Outcome, PoolStatus, ReplicationStatus, ResourceStatus,
    VolumeStatus,
};
use linstor_wire::{Key, ToController, ToSatellite, Wanted};
use tokio::sync::watch;

/// Space of every pool in KiB: much more than any scenario needs.
const POOL_KIB: u64 = 100 << 30;

/// A node that answers.
#[derive(Debug, Clone)]
pub struct Satellite {
    /// The node's name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    silent: Arc<AtomicBool>,
    orders: watch::Sender<Orders>,
    marked: Arc<OnceLock<String>>,
}

/// What a satellite reports without being asked.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// Changes of its resources each second.
    events_per_s: u32,
    /// The promotion score that one of its resources has from now on.
    mark: Option<i32>,
}

/// How often the events that are due are sent.
const TICK: Duration = Duration::from_millis(10);

impl Satellite {
    /// Starts listening on a port of this machine that is free.
    pub fn start(name: String) -> anyhow::Result<Self> {
        let listener = tcp::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let silent = Arc::new(AtomicBool::new(false));
        let orders = watch::Sender::new(Orders::default());
        let marked = Arc::new(OnceLock::new());
        let (uname, quiet) = (name.clone(), silent.clone());
        let (ordered, marks) = (orders.clone(), marked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp::accept(&listener).await {
                let (uname, quiet) = (uname.clone(), quiet.clone());
                let (ordered, marks) = (ordered.subscribe(), marks.clone());
                tokio::spawn(async move {
                    // A connection that breaks is dialled again by the controller.
                    let _ = serve(SatelliteSide::new(stream), uname, quiet, ordered, marks).await;
                });
            }
        });
        Ok(Satellite {
            name,
            address,
            silent,
            orders,
            marked,
        })
    }

    /// From now on it keeps the connection and answers nothing.
    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// From now on so many changes of its resources are reported each second.
    pub fn report_events(&self, per_s: u32) {
        self.orders
            .send_modify(|orders| orders.events_per_s = per_s);
    }

    /// Reports this promotion score for one of its resources.
    pub fn mark(&self, score: i32) {
        self.orders.send_modify(|orders| orders.mark = Some(score));
    }

    /// The resource that [`Satellite::mark`] changes, once it was called.
    pub fn marked(&self) -> Option<&str> {
        self.marked.get().map(String::as_str)
    }

    /// It answers again; what came meanwhile is answered late.
    pub fn speak(&self) {
        self.silent.store(false, Ordering::Relaxed);
    }
}

fn info(uname: String) -> NodeInfo {
    NodeInfo {
        uname,
        kernel: "6.1.0".into(),
        drbd: Some(DrbdInfo {
            kind: DrbdKind::Drbd9,
            version: "9.2.18".into(),
            utils: "9.22.0".into(),
        }),
        layers: vec![LayerKind::Drbd, LayerKind::Storage],
        providers: vec![ProviderKind::Diskless, ProviderKind::LvmThin],
        ..NodeInfo::default()
    }
}

async fn serve(
    link: SatelliteSide,
    uname: String,
    silent: Arc<AtomicBool>,
    mut orders: watch::Receiver<Orders>,
    marked: Arc<OnceLock<String>>,
) -> anyhow::Result<()> {
    let (mut link, mut incoming) = link.split();
    let mut node: Option<Arc<NodeSpec>> = None;
    let mut reported: Vec<ResourceStatus> = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    let (mut due, mut at) = (0.0, 0);
    loop {
        let per_tick = f64::from(orders.borrow().events_per_s) * TICK.as_secs_f64();
        let message = tokio::select! {
            biased;
            // Cancel-safe: a value that is not seen yet is seen the next time.
            changed = orders.changed() => {
                changed?;
                let mark = orders.borrow_and_update().mark;
                if let Some(mark) = mark
                    && let Some(first) = reported.first_mut()
                {
                    marked.get_or_init(|| first.name.clone());
                    link.send(&event(first, mark)).await?;
                }
                continue;
            }
            // Cancel-safe: a part of a frame is kept.
            message = incoming.next() => message?,
            _ = tick.tick(), if per_tick > 0.0 && reported.len() > 1 => {
                due += per_tick;
                while due >= 1.0 {
                    due -= 1.0;
                    // The first one has its mark.
                    at = at % (reported.len() - 1) + 1;
                    let score = 1 + reported[at].drbd.as_ref().and_then(|drbd| drbd.promotion_score).unwrap_or(0);
                    link.feed(&event(&mut reported[at], score)).await?;
                }
                link.flush().await?;
                continue;
            }
        };
        let Some(message) = message else {
            return Ok(());
        };
        while silent.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        match message {
            ToSatellite::Hello { .. } => {
                let welcome = ToController::Welcome {
                    protocol: PROTOCOL,
                    version: "bench".into(),
                    info: info(uname.clone()),
                };
                link.send(&welcome).await?;
            }
            ToSatellite::SyncBegin { .. } => {}
            ToSatellite::SyncEnd { generation, .. } => {
                if let Some(node) = &node {
                    link.send(&space(node, None)).await?;
                }
                link.send(&ToController::Synced { generation }).await?;
            }
            ToSatellite::RefreshSpace { id } => {
                if let Some(node) = &node {
                    link.send(&space(node, Some(id))).await?;
                }
            }
            ToSatellite::Apply {
                generation, specs, ..
            } => {
                let specs: Result<Vec<Spec>, String> = specs.iter().map(Wanted::read).collect();
                let specs = specs.map_err(anyhow::Error::msg)?;
                for spec in &specs {
                    if let Spec::Node(spec) = spec {
                        link.send(&space(spec, None)).await?;
                        node = Some(Arc::clone(spec));
                    }
                }
                for status in apply(&mut link, generation, &specs).await? {
                    match reported.iter_mut().find(|known| known.name == status.name) {
                        Some(known) => *known = status,
                        None => reported.push(status),
                    }
                }
            }
            // No scenario asks anything.
            ToSatellite::Suspend { .. }
            | ToSatellite::Resume { .. }
            | ToSatellite::Turns { .. }
            | ToSatellite::AuthToken { .. }
            | ToSatellite::Ask { .. } => {}
            ToSatellite::Ping { id } => link.send(&ToController::Pong { id }).await?,
        }
    }
}

/// A change of a resource.
fn event(status: &mut ResourceStatus, score: i32) -> ToController {
    if let Some(drbd) = &mut status.drbd {
        drbd.promotion_score = Some(score);
    }
    ToController::Status {
        resources: vec![status.clone()],
        gone: Vec::new(),
    }
}

/// Reports that all specs are reached; returns what was reported of resources.
async fn apply(
    link: &mut Sender<ToController>,
    generation: u64,
    specs: &[Spec],
) -> anyhow::Result<Vec<ResourceStatus>> {
    let resources = specs.iter().filter_map(|spec| match spec {
        Spec::Resource(resource) => Some(&**resource),
        Spec::Node(_) | Spec::Snapshot(_) => None,
    });
    let (up, down): (Vec<_>, Vec<_>) = resources.partition(|spec| spec.target == Target::Up);
    let there: Vec<ResourceStatus> = up.into_iter().map(status).collect();
    let gone = down
        .iter()
        .map(|spec| Key::Resource(spec.name.clone()))
        .collect();
    link.send(&ToController::Status {
        resources: there.clone(),
        gone,
    })
    .await?;
    for spec in specs {
        let applied = ToController::Applied {
            generation,
            key: spec.key(),
            uuid: spec.uuid(),
            outcome: Outcome::Done,
            done: spec
                .once()
                .iter()
                .map(|instruction| instruction.id)
                .collect(),
            retry_in_ms: None,
        };
        link.send(&applied).await?;
    }
    Ok(there)
}

fn space(node: &NodeSpec, refresh: Option<u64>) -> ToController {
    let pools = node.pools.iter().map(|pool| PoolStatus {
        name: pool.name.to_string(),
        free_kib: Some(POOL_KIB),
        total_kib: Some(POOL_KIB),
        granularity_kib: Some(64),
        ..PoolStatus::default()
    });
    ToController::Space {
        refresh,
        pools: pools.collect(),
    }
}

fn status(spec: &ResourceSpec) -> ResourceStatus {
    let peers: Vec<String> = spec
        .drbd()
        .iter()
        .flat_map(|drbd| &drbd.peers)
        .map(|peer| peer.node.to_string())
        .collect();
    let diskless = spec.drbd().is_some_and(|drbd| drbd.diskless);
    let replication = |peer: &String| {
        let status = ReplicationStatus {
            state: "Established".into(),
            peer_disk: Some("UpToDate".into()),
            done_percent: None,
        };
        (peer.clone(), status)
    };
    let volumes = spec.volumes.iter().map(|volume| VolumeStatus {
        number: volume.number,
        device_path: spec
            .drbd()
            .and_then(|drbd| drbd.volume(volume.number))
            .map(|volume| format!("/dev/drbd{}", volume.minor)),
        backing_device: (!diskless).then(|| format!("/dev/vg0/{}_{:05}", spec.name, volume.number)),
        allocated_kib: Some(volume.data().map_or(0, |data| data.size_kib)),
        usable_kib: Some(volume.usable_kib),
        backing_kib: Some(volume.data().map_or(0, |data| data.size_kib)),
        luks: None,
        extra_storage: Default::default(),
        disk_state: Some(if diskless { "Diskless" } else { "UpToDate" }.into()),
        replication: peers.iter().map(replication).collect(),
    });
    ResourceStatus {
        name: spec.name.to_string(),
        uuid: spec.uuid,
        drbd: Some(DrbdStatus {
            in_use: false,
            suspended: None,
            may_promote: Some(true),
            promotion_score: Some(10101),
            connections: peers
                .iter()
                .map(|peer| (peer.clone(), "Connected".into()))
                .collect(),
            quorum_lost: false,
            disk_given_up: false,
        }),
        volumes: volumes.collect(),
    }
}
