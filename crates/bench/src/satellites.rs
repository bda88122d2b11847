//! Simulated satellites: the real protocol over real sockets, with a node behind it that reaches every spec at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind};
use linstor_net::{SatelliteSide, tcp};
use linstor_wire::message::PROTOCOL;
use linstor_wire::spec::{NodeSpec, ResourceSpec, Spec, Target};
use linstor_wire::status::{
    DrbdInfo, DrbdStatus, NodeInfo, Outcome, PoolStatus, ReplicationStatus, ResourceStatus,
    VolumeStatus,
};
use linstor_wire::{Key, ToController, ToSatellite, Wanted};

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
}

impl Satellite {
    /// Starts listening on a port of this machine that is free.
    pub fn start(name: String) -> anyhow::Result<Self> {
        let listener = tcp::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let silent = Arc::new(AtomicBool::new(false));
        let (uname, quiet) = (name.clone(), silent.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp::accept(&listener).await {
                let (uname, quiet) = (uname.clone(), quiet.clone());
                tokio::spawn(async move {
                    // A connection that breaks is dialled again by the controller.
                    let _ = serve(SatelliteSide::new(stream), uname, quiet).await;
                });
            }
        });
        Ok(Satellite {
            name,
            address,
            silent,
        })
    }

    /// From now on it keeps the connection and answers nothing.
    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
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
    mut link: SatelliteSide,
    uname: String,
    silent: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut node: Option<Arc<NodeSpec>> = None;
    while let Some(message) = link.next().await? {
        while silent.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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
                apply(&mut link, generation, &specs).await?;
            }
            // No scenario asks anything.
            ToSatellite::Suspend { .. }
            | ToSatellite::Resume { .. }
            | ToSatellite::AuthToken { .. }
            | ToSatellite::Ask { .. } => {}
            ToSatellite::Ping { id } => link.send(&ToController::Pong { id }).await?,
        }
    }
    Ok(())
}

async fn apply(link: &mut SatelliteSide, generation: u64, specs: &[Spec]) -> anyhow::Result<()> {
    let resources = specs.iter().filter_map(|spec| match spec {
        Spec::Resource(resource) => Some(&**resource),
        Spec::Node(_) | Spec::Snapshot(_) => None,
    });
    let (up, down): (Vec<_>, Vec<_>) = resources.partition(|spec| spec.target == Target::Up);
    let there = up.into_iter().map(status).collect();
    let gone = down
        .iter()
        .map(|spec| Key::Resource(spec.name.clone()))
        .collect();
    link.send(&ToController::Status {
        resources: there,
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
    Ok(())
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
