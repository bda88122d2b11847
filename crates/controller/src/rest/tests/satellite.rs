//! Satellites that do at once what they are told, or what a test says instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use linstor_api::code;
use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind};
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use linstor_net::{ControllerSide, SatelliteSide};
use linstor_wire::auth_token::hash;
use linstor_wire::message::{SuspensionEnd, SuspensionState};
use linstor_wire::question::{
    self, Answer, BlockDevice, File, FileState, Leftover, ProgramEnd, Question, ReactorOrder,
};
use linstor_wire::spec::{
    DrbdSpec, NodeSpec, ResourceSpec, SnapshotSpec, SnapshotTarget, Spec, Target as Wanted,
};
use linstor_wire::status::{
    DrbdInfo, DrbdStatus, ForeignDrbd, LuksStatus, NodeInfo, Outcome, PoolStatus,
    ReplicationStatus, ResourceStatus, VolumeStatus,
};
use linstor_wire::{Key, Secret, ToController, ToSatellite};
use uuid::Uuid;

use crate::link::{Connector, Target};

/// All satellites; a clone is the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Satellites(Arc<Mutex<Settings>>);

#[derive(Debug, Default)]
struct Settings {
    away: BTreeSet<String>,
    in_use: BTreeSet<(String, String)>,
    failing: BTreeSet<String>,
    mute: BTreeSet<String>,
    /// Send and receive nothing of what is shipped between clusters.
    holding: BTreeSet<String>,
    given_up: BTreeSet<(String, String)>,
    drbd84: bool,
    tokens: BTreeMap<String, Secret>,
    keys: Vec<(String, String)>,
    /// How full pools are, in percent.
    filled: BTreeMap<String, u64>,
    /// What earlier identities have left.
    leftovers: BTreeMap<String, Vec<Leftover>>,
    /// Resources in DRBD that are not LINSTOR's.
    foreign_drbd: BTreeMap<String, Vec<ForeignDrbd>>,
    /// Ports that other programs listen on.
    busy_ports: BTreeSet<(String, u16)>,
}

impl Satellites {
    fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.0.lock().expect("no test panics here"));
    }

    /// Cannot be reached from now on; a connection that is there stays.
    pub(super) fn away(&self, node: &str) {
        self.set(|settings| {
            settings.away.insert(node.to_owned());
        });
    }

    /// Can be reached again.
    pub(super) fn back(&self, node: &str) {
        self.set(|settings| {
            settings.away.remove(node);
        });
    }

    /// Reports a resource as in use, from its next report on.
    pub(super) fn in_use(&self, node: &str, resource: &str) {
        self.set(|s| {
            s.in_use.insert((node.to_owned(), resource.to_owned()));
        });
    }

    /// Does not attach the disk of a resource any more, from its next report on.
    pub(super) fn gives_up(&self, node: &str, resource: &str) {
        self.set(|s| {
            s.given_up.insert((node.to_owned(), resource.to_owned()));
        });
    }

    /// Attaches it again.
    pub(super) fn attaches(&self, node: &str, resource: &str) {
        self.set(|s| {
            s.given_up.remove(&(node.to_owned(), resource.to_owned()));
        });
    }

    /// No longer so.
    pub(super) fn unused(&self, node: &str, resource: &str) {
        self.set(|s| {
            s.in_use.remove(&(node.to_owned(), resource.to_owned()));
        });
    }

    /// Sends and receives nothing of what is shipped between clusters from now on.
    pub(super) fn hold(&self, node: &str) {
        self.set(|settings| {
            settings.holding.insert(node.to_owned());
        });
    }

    /// Sends and receives what it is told from now on; what it was told before it is not told again.
    pub(super) fn release(&self, node: &str) {
        self.set(|settings| {
            settings.holding.remove(node);
        });
    }

    /// Does not answer when it is asked to suspend I/O.
    pub(super) fn mute(&self, node: &str) {
        self.set(|settings| {
            settings.mute.insert(node.to_owned());
        });
    }

    /// Does not fail any more.
    pub(super) fn working(&self, node: &str) {
        self.set(|settings| {
            settings.failing.remove(node);
        });
    }

    /// Has this from earlier identities.
    pub(super) fn leaves(&self, node: &str, leftovers: Vec<Leftover>) {
        self.set(|s| drop(s.leftovers.insert(node.to_owned(), leftovers)));
    }

    /// Reports these resources in DRBD as not LINSTOR's when it connects.
    pub(super) fn foreign(&self, node: &str, foreign: Vec<ForeignDrbd>) {
        self.set(|s| drop(s.foreign_drbd.insert(node.to_owned(), foreign)));
    }

    /// Fails at resources with this port.
    pub(super) fn port_is_busy(&self, node: &str, port: u16) {
        self.set(|s| {
            s.busy_ports.insert((node.to_owned(), port));
        });
    }

    /// Fails at every resource.
    pub(super) fn failing(&self, node: &str) {
        self.set(|settings| {
            settings.failing.insert(node.to_owned());
        });
    }

    /// Fails no more, at what is sent from now on.
    pub(super) fn works(&self, node: &str) {
        self.set(|settings| {
            settings.failing.remove(node);
        });
    }

    /// Reports its pools as full up to this many percent, from its next report on.
    pub(super) fn filled(&self, node: &str, percent: u64) {
        self.set(|settings| {
            settings.filled.insert(node.to_owned(), percent);
        });
    }

    /// Nodes that connect from now on have the kernel's DRBD 8.4.
    pub(super) fn drbd84(&self) {
        self.set(|settings| settings.drbd84 = true);
    }

    /// Has no token of the REST API any more.
    pub(super) fn token_lost(&self, node: &str) {
        self.set(|settings| drop(settings.tokens.remove(node)));
    }

    /// The token of the REST API that a node was given.
    pub(super) fn token(&self, node: &str) -> Option<Secret> {
        let settings = self.0.lock().expect("no test panics here");
        settings.tokens.get(node).cloned()
    }

    /// Every key of an encrypted volume that was sent, with its node, in order; empty while keys are withheld.
    pub(super) fn keys(&self) -> Vec<(String, String)> {
        self.0.lock().expect("no test panics here").keys.clone()
    }

    fn is_away(&self, node: &str) -> bool {
        self.0
            .lock()
            .expect("no test panics here")
            .away
            .contains(node)
    }
}

#[async_trait]
impl Connector for Satellites {
    async fn connect(&self, target: &Target) -> Result<ControllerSide, String> {
        let node = target.node.to_string();
        if self.is_away(&node) {
            return Err(format!("{} does not answer", target.address));
        }
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(serve(self.clone(), node, SatelliteSide::new(far)));
        Ok(ControllerSide::new(near))
    }
}

struct Satellite {
    all: Satellites,
    node: String,
    link: SatelliteSide,
    spec: Option<Arc<NodeSpec>>,
    generation: u64,
}

async fn serve(all: Satellites, node: String, link: SatelliteSide) {
    let mut satellite = Satellite {
        all,
        node,
        link,
        spec: None,
        generation: 0,
    };
    while let Ok(Some(message)) = satellite.link.next().await {
        let gone = satellite.all.is_away(&satellite.node);
        for answer in satellite.answers(message) {
            if gone || satellite.link.send(&answer).await.is_err() {
                return;
            }
        }
    }
}

impl Satellite {
    fn answers(&mut self, message: ToSatellite) -> Vec<ToController> {
        match message {
            ToSatellite::Hello { protocol_max, .. } => vec![ToController::Welcome {
                protocol: protocol_max,
                version: "test".into(),
                info: self.info(),
            }],
            ToSatellite::SyncBegin { .. } | ToSatellite::Turns { .. } => vec![],
            ToSatellite::SyncEnd { generation, .. } => {
                self.generation = generation;
                vec![self.space(None), ToController::Synced { generation }]
            }
            ToSatellite::Apply {
                generation, specs, ..
            } => {
                let specs = specs.iter().map(|wanted| wanted.read().expect("a spec"));
                specs
                    .flat_map(|spec| match spec {
                        Spec::Node(node) => self.apply_node(generation, node),
                        Spec::Resource(spec) => self.apply(generation, &spec),
                        Spec::Snapshot(spec) => self.apply_snapshot(generation, &spec),
                    })
                    .collect()
            }
            ToSatellite::RefreshSpace { id } => vec![self.space(Some(id))],
            ToSatellite::Suspend { lease, .. } => {
                self.suspension(lease, SuspensionState::Suspended)
            }
            ToSatellite::Resume { lease } => {
                let reason = SuspensionEnd::Asked;
                self.suspension(lease, SuspensionState::Ended { reason })
            }
            ToSatellite::Ask { id, question } => vec![ToController::Answer {
                id,
                answer: self.answer(question),
            }],
            ToSatellite::AuthToken { token } => {
                self.all.set(|settings| {
                    settings.tokens.insert(self.node.clone(), token);
                });
                vec![ToController::Info { info: self.info() }]
            }
            ToSatellite::Ping { id } => vec![ToController::Pong { id }],
        }
    }

    fn info(&self) -> NodeInfo {
        let old = self.all.0.lock().expect("no test panics here").drbd84;
        let token = self.all.token(&self.node);
        NodeInfo {
            uname: self.node.clone(),
            kernel: "6.1.0".into(),
            os: "Debian GNU/Linux 12 (bookworm)".into(),
            drbd: Some(DrbdInfo {
                kind: if old {
                    DrbdKind::Drbd84
                } else {
                    DrbdKind::Drbd9
                },
                version: if old {
                    "8.4.11".into()
                } else {
                    "9.2.18".into()
                },
                utils: "9.34.0".into(),
            }),
            layers: vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage],
            providers: vec![
                ProviderKind::Diskless,
                ProviderKind::Lvm,
                ProviderKind::LvmThin,
            ],
            unsupported_layers: BTreeMap::new(),
            unsupported_providers: [(ProviderKind::Zfs, vec!["no zfs".to_owned()])].into(),
            auth_token: Some(token.map_or_else(String::new, |token| hash(token.reveal()))),
            foreign_drbd: {
                let settings = self.all.0.lock().expect("no test panics here");
                settings
                    .foreign_drbd
                    .get(&self.node)
                    .cloned()
                    .unwrap_or_default()
            },
            unknown_drbd_options: [("net/tls".to_owned())].into(),
            digests: [("crc32c".to_owned(), 100), ("sha1".to_owned(), 200)].into(),
        }
    }

    fn apply_node(&mut self, generation: u64, node: Arc<NodeSpec>) -> Vec<ToController> {
        let uuid = node.uuid;
        self.spec = Some(node);
        let pools = self.pools();
        let replies: Vec<Reply> = pools
            .iter()
            .filter_map(|pool| pool.problem.clone())
            .collect();
        let outcome = if replies.is_empty() {
            Outcome::Done
        } else {
            Outcome::Failed { replies }
        };
        let applied = ToController::Applied {
            generation,
            key: Key::Node,
            uuid,
            outcome,
            done: Vec::new(),
            retry_in_ms: None,
        };
        vec![self.space(None), applied]
    }

    fn space(&self, refresh: Option<u64>) -> ToController {
        let pools = self.pools();
        ToController::Space { refresh, pools }
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let settings = self.all.0.lock().expect("no test panics here");
        let filled = settings.filled.get(&self.node).copied().unwrap_or(0);
        drop(settings);
        let pools = self.spec.iter().flat_map(|spec| &spec.pools);
        let pools = pools
            .filter(|pool| pool.kind != ProviderKind::Diskless)
            .map(|pool| {
                let broken = pool.name.as_str().contains("broken");
                let problem = Reply::new(
                    code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
                    "no such volume group",
                )
                .about("StorPoolDfn", pool.name.as_str());
                PoolStatus {
                    name: pool.name.to_string(),
                    free_kib: Some((100 - filled) << 20).filter(|_| !broken),
                    total_kib: Some(100 << 20).filter(|_| !broken),
                    granularity_kib: Some(64),
                    chunk_kib: Some(64),
                    problem: Some(problem).filter(|_| broken),
                    ..PoolStatus::default()
                }
            });
        pools.collect()
    }

    fn suspension(&self, lease: Uuid, state: SuspensionState) -> Vec<ToController> {
        let settings = self.all.0.lock().expect("no test panics here");
        if settings.mute.contains(&self.node) {
            return Vec::new();
        }
        vec![ToController::Suspension { lease, state }]
    }

    fn apply_snapshot(&self, generation: u64, spec: &SnapshotSpec) -> Vec<ToController> {
        let settings = self.all.0.lock().expect("no test panics here");
        let is_shipped = matches!(
            spec.target,
            SnapshotTarget::SentToPeer(_) | SnapshotTarget::ReceivedFromPeer(_)
        );
        let outcome = if settings.failing.contains(&self.node) {
            Outcome::Failed {
                replies: vec![Reply::new(code::FAIL_UNKNOWN_ERROR, "lvcreate failed")],
            }
        } else if is_shipped && settings.holding.contains(&self.node) {
            Outcome::Waiting {
                on: "its volumes".to_owned(),
                done_percent: Some(40),
                moved: None,
            }
        } else {
            Outcome::Done
        };
        vec![ToController::Applied {
            generation,
            key: Key::Snapshot(spec.resource.clone(), spec.name.clone()),
            uuid: spec.uuid,
            outcome,
            done: Vec::new(),
            retry_in_ms: None,
        }]
    }

    fn apply(&self, generation: u64, spec: &ResourceSpec) -> Vec<ToController> {
        let mut settings = self.all.0.lock().expect("no test panics here");
        for luks in spec.luks().iter().flat_map(|luks| &luks.volumes) {
            let key = (self.node.clone(), luks.key.reveal().to_owned());
            settings.keys.push(key);
        }
        let applied = |outcome| ToController::Applied {
            generation,
            key: Key::Resource(spec.name.clone()),
            uuid: spec.uuid,
            outcome,
            done: spec.once.iter().map(|instruction| instruction.id).collect(),
            retry_in_ms: None,
        };
        if settings.failing.contains(&self.node) {
            let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "lvcreate failed");
            return vec![applied(Outcome::Failed {
                replies: vec![reply],
            })];
        }
        let port = spec.drbd().map(|drbd| drbd.port);
        if let Some(port) =
            port.filter(|port| settings.busy_ports.contains(&(self.node.clone(), *port)))
        {
            let reply = Reply::new(
                code::FAIL_INVLD_RSC_PORT,
                format!("TCP port {port} is in use."),
            );
            return vec![applied(Outcome::Failed {
                replies: vec![reply.about("TcpPort", port.to_string())],
            })];
        }
        let status = match spec.target {
            Wanted::Destroyed => ToController::Status {
                resources: vec![],
                gone: vec![Key::Resource(spec.name.clone())],
            },
            Wanted::Up | Wanted::Down | Wanted::Leaving => ToController::Status {
                resources: vec![status(spec, &self.node, &settings)],
                gone: vec![],
            },
        };
        let outcome = match spec.luks().and_then(|luks| luks.withheld) {
            Some(why) if spec.target == Wanted::Up => Outcome::Waiting {
                on: format!("{why:?}"),
                done_percent: None,
                moved: None,
            },
            _ => Outcome::Done,
        };
        vec![status, applied(outcome)]
    }
}

impl Satellite {
    fn answer(&self, question: Question) -> Answer {
        let mut settings = self.all.0.lock().expect("no test panics here");
        let left = settings.leftovers.entry(self.node.clone()).or_default();
        match question {
            Question::Leftovers => Answer::Leftovers(left.clone()),
            Question::Forget { ids } => {
                let (gone, kept) = std::mem::take(left)
                    .into_iter()
                    .partition::<Vec<_>, _>(|leftover| ids.contains(&leftover.id()));
                *left = kept;
                let entry = |leftover: Leftover| {
                    Reply::new(code::DELETED, format!("'{}' removed.", leftover.name))
                };
                Answer::Done(gone.into_iter().map(entry).collect())
            }
            other => answer(other),
        }
    }
}

/// A node with a free disk and one in use, of which pools can be made of `/dev/sdb` alone, and whose drbd-reactor has one
/// configuration, `web`.
fn answer(question: Question) -> Answer {
    let disk = |path: &str, unusable: Option<&str>| BlockDevice {
        path: path.into(),
        size_bytes: 10 << 30,
        rotational: true,
        model: "DISK".into(),
        serial: "S1".into(),
        links: vec![format!("/dev/disk/by-id/ata-{}", &path[5..])],
        unusable: unusable.map(str::to_owned),
        ..BlockDevice::default()
    };
    match question {
        Question::BlockDevices => Answer::BlockDevices(vec![
            disk(
                "/dev/sda",
                Some("It has partitions, '/dev/sda1' for example."),
            ),
            disk("/dev/sdb", None),
        ]),
        Question::CreateDevicePool(pool) if pool.devices == ["/dev/sdb"] => {
            let message = format!("Pool '{}' created.", pool.place);
            Answer::Done(vec![Reply::new(
                code::CREATED | code::MASK_CRT | code::MASK_PHYSICAL_DEVICE,
                message,
            )])
        }
        Question::CreateDevicePool(_) => Answer::Failed(Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            "Device '/dev/nosuch' does not exist on this node.",
        )),
        Question::Settings => Answer::Settings(question::Settings {
            directory: "/etc/linstor".into(),
            address: None,
            port: 3366,
            log_level: Some("info".into()),
        }),
        Question::LogLevel { .. } => Answer::Done(vec![]),
        // Files in /etc are allowed and there.
        Question::ExternalFile { path, sha256, .. } => {
            let allowed = path.as_str().starts_with("/etc/");
            Answer::ExternalFile(FileState {
                allowed,
                path: allowed.then(|| path.to_string()),
                content_matches: allowed && sha256.is_some(),
            })
        }
        Question::Reactor(ReactorOrder::Evict { resource, .. }) if resource.as_str() == "web" => {
            Answer::Program(ProgramEnd {
                stdout: "Node 'n2' took over".into(),
                ..ProgramEnd::default()
            })
        }
        Question::Reactor(_) => Answer::Program(ProgramEnd {
            code: 1,
            stderr: "no such configuration".into(),
            ..ProgramEnd::default()
        }),
        Question::Leftovers | Question::Forget { .. } => unreachable!("each node has its own"),
        Question::VerifyObject(_) => Answer::Done(vec![]),
        Question::Support { .. } => Answer::Files(vec![File {
            name: "../lvs".into(),
            text: "LV VG".into(),
        }]),
    }
}

/// Replication with every peer that one side has a disk for.
fn replication(drbd: Option<&DrbdSpec>) -> SortedMap<String, ReplicationStatus> {
    let peers = drbd.map_or(&[][..], |drbd| &drbd.peers);
    let connected = peers
        .iter()
        .filter(|peer| !(peer.diskless && drbd.is_some_and(|d| d.diskless)));
    let all = connected.map(|peer| {
        let disk = if peer.diskless {
            "Diskless"
        } else {
            "UpToDate"
        };
        let status = ReplicationStatus {
            state: "Established".into(),
            peer_disk: Some(disk.into()),
            done_percent: None,
        };
        (peer.node.to_string(), status)
    });
    all.collect()
}

/// Open only while the spec has the key.
fn open_luks(spec: &ResourceSpec, number: u32) -> Option<LuksStatus> {
    let key = &spec.luks()?.volume(number)?.key;
    (!key.is_empty()).then(|| LuksStatus {
        device: format!("/dev/mapper/Linstor-Crypt-{}_{number:05}", spec.name),
        size_kib: 4096,
    })
}

fn status(spec: &ResourceSpec, node: &str, settings: &Settings) -> ResourceStatus {
    let key = (node.to_owned(), spec.name.to_string());
    let up = spec.target == Wanted::Up;
    let drbd = spec.drbd().filter(|_| up);
    let disk_state = drbd.map(|drbd| {
        if drbd.diskless {
            "Diskless"
        } else {
            "UpToDate"
        }
        .into()
    });
    let volumes = spec.volumes.iter().map(|volume| VolumeStatus {
        number: volume.number,
        device_path: spec
            .drbd()
            .and_then(|drbd| drbd.volume(volume.number))
            .map(|volume| format!("/dev/drbd{}", volume.minor)),
        backing_device: Some(format!("/dev/vg/{}_{:05}", spec.name, volume.number)),
        allocated_kib: Some(volume.data().map_or(0, |data| data.size_kib)),
        usable_kib: Some(volume.usable_kib),
        backing_kib: Some(volume.data().map_or(0, |data| data.size_kib)),
        extra_storage: Default::default(),
        luks: open_luks(spec, volume.number),
        disk_state: disk_state.clone(),
        replication: replication(drbd),
    });
    ResourceStatus {
        name: spec.name.to_string(),
        uuid: spec.uuid,
        drbd: drbd.map(|drbd| DrbdStatus {
            in_use: settings.in_use.contains(&key),
            may_promote: Some(true),
            promotion_score: Some(10_101),
            suspended: None,
            connections: drbd
                .peers
                .iter()
                .filter(|peer| !(peer.diskless && drbd.diskless))
                .map(|peer| {
                    let state = match settings.away.contains(peer.node.as_str()) {
                        true => "Connecting",
                        false => "Connected",
                    };
                    (peer.node.to_string(), state.into())
                })
                .collect(),
            quorum_lost: false,
            disk_given_up: settings.given_up.contains(&key) && !drbd.skip_disk,
        }),
        volumes: volumes.collect(),
    }
}
