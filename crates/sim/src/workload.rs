//! What users and applications do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::job::JobCancel;
use linstor_api::node::{NodeEvacuate, NodeRestore};
use linstor_api::reply::Reply;
use linstor_api::resource::{Resource, ResourceCreate, ResourceMakeAvailable};
use linstor_api::resource_definition::{
    ResourceDefinition as DefinitionJson, ResourceDefinitionClone, ResourceDefinitionCreate,
};
use linstor_api::resource_group::ResourceGroupSpawn;
use linstor_api::snapshot::{Snapshot, SnapshotRestore, SnapshotRollback};
use linstor_api::volume_definition::VolumeDefinitionModify;
use linstor_controller::Cluster;
use linstor_controller::ops::resource::{self, Toggle};
use linstor_controller::ops::{
    job, node, resource_definition, resource_group, snapshot, volume_definition,
};
use linstor_fake_host::DrbdKind;
use linstor_host::{Cmd, Host};
use linstor_model::Model;
use linstor_model::name::ResourceName;
use linstor_model::{Resource as Replica, ResourceDefinition};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::cluster::{POOL, Sim};

/// How many definitions there are at most at a time.
const NAMES: u32 = 3;
/// Volumes are made so large, or up to three times as large.
const SIZE_KIB: u64 = 8 * 1024;
/// A volume is not grown beyond this.
const SIZE_KIB_MAX: u64 = 64 * 1024;
/// Applications write into this many blocks.
const BLOCKS: u64 = 32;

/// How often a cluster manager tries to make a node secondary: oftener than faults strike in a row.
const DEMOTE_TRIES: u32 = 5;

/// Something that a user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A definition with replicas, from the default group.
    Spawn {
        /// Its name.
        name: String,
        /// Its size.
        kib: u64,
        /// How many replicas.
        place: i32,
        /// Whether DRBD is above the storage.
        drbd: bool,
    },
    /// One more replica.
    Create {
        /// Of what.
        name: String,
        /// Where.
        node: String,
        /// Whether without a disk.
        diskless: bool,
    },
    /// One replica less.
    Delete {
        /// Of what.
        name: String,
        /// Where.
        node: String,
    },
    /// A larger volume.
    Grow {
        /// Of what.
        name: String,
        /// Its new size.
        kib: u64,
    },
    /// A disk for a replica, or no disk any more.
    Toggle {
        /// Of what.
        name: String,
        /// Where.
        node: String,
        /// Whether there is to be a disk.
        disk: bool,
    },
    /// A replica's devices up or down.
    SetActive {
        /// Of what.
        name: String,
        /// Where.
        node: String,
        /// Up.
        active: bool,
    },
    /// A device wherever it can be had.
    MakeAvailable {
        /// Of what.
        name: String,
        /// Where.
        node: String,
    },
    /// Everything of a definition gone.
    DeleteDefinition {
        /// Its name.
        name: String,
    },
    /// A volume less.
    DeleteVolume {
        /// Of what.
        name: String,
    },
    /// A node less.
    DeleteNode {
        /// Which.
        node: String,
    },
    /// The disk of a replica moves to a diskless one.
    Migrate {
        /// Of what.
        name: String,
        /// To where.
        node: String,
        /// From where.
        from: String,
    },
    /// A snapshot of all its replicas.
    Snapshot {
        /// Of what.
        name: String,
        /// The snapshot's name.
        snapshot: String,
    },
    /// A snapshot less.
    DeleteSnapshot {
        /// Of what.
        name: String,
        /// The snapshot's name.
        snapshot: String,
    },
    /// The data of a snapshot in place of the newest.
    RollBack {
        /// Of what.
        name: String,
        /// To where.
        snapshot: String,
    },
    /// Another definition, with the data of a snapshot.
    Restore {
        /// Of what the snapshot is.
        name: String,
        /// The snapshot's name.
        snapshot: String,
        /// The name of the other definition.
        to: String,
    },
    /// A node's replicas move elsewhere, as far as they can.
    Evacuate {
        /// Which.
        node: String,
    },
    /// An evacuation ends.
    RestoreNode {
        /// Which.
        node: String,
    },
    /// Another definition, with the data that it has now.
    Clone {
        /// Of what.
        name: String,
        /// The name of the other definition.
        to: String,
    },
    /// All processes are cancelled.
    Cancel,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Spawn {
                name,
                kib,
                place,
                drbd,
            } => {
                let layers = if *drbd { "with" } else { "without" };
                write!(
                    f,
                    "spawn {name}, {kib} KiB, {place} replicas, {layers} DRBD"
                )
            }
            Op::Create {
                name,
                node,
                diskless,
            } => {
                let disk = if *diskless { "diskless" } else { "with a disk" };
                write!(f, "create {name} on {node}, {disk}")
            }
            Op::Delete { name, node } => write!(f, "delete {name} on {node}"),
            Op::Grow { name, kib } => write!(f, "grow {name} to {kib} KiB"),
            Op::Toggle { name, node, disk } => write!(f, "toggle {name} on {node}, disk {disk}"),
            Op::SetActive { name, node, active } => {
                write!(f, "set {name} on {node} active {active}")
            }
            Op::MakeAvailable { name, node } => write!(f, "make {name} available on {node}"),
            Op::DeleteDefinition { name } => write!(f, "delete {name}"),
            Op::DeleteVolume { name } => write!(f, "delete volume 0 of {name}"),
            Op::DeleteNode { node } => write!(f, "delete node {node}"),
            Op::Migrate { name, node, from } => write!(f, "migrate {name} from {from} to {node}"),
            Op::Snapshot { name, snapshot } => write!(f, "snapshot {snapshot} of {name}"),
            Op::Restore { name, snapshot, to } => {
                write!(f, "restore snapshot {snapshot} of {name} to {to}")
            }
            Op::DeleteSnapshot { name, snapshot } => {
                write!(f, "delete snapshot {snapshot} of {name}")
            }
            Op::RollBack { name, snapshot } => write!(f, "roll {name} back to {snapshot}"),
            Op::Evacuate { node } => write!(f, "evacuate {node}"),
            Op::RestoreNode { node } => write!(f, "restore {node}"),
            Op::Clone { name, to } => write!(f, "clone {name} to {to}"),
            Op::Cancel => write!(f, "cancel what goes on"),
        }
    }
}

impl Op {
    /// Asks the controller for it.
    pub async fn run(self, cluster: Cluster) -> Vec<Reply> {
        match self {
            Op::Spawn {
                name,
                kib,
                place,
                drbd,
            } => {
                let encrypted = cluster.master_key().is_some();
                let request = spawn_request(name, kib, place, (drbd, encrypted));
                resource_group::spawn(&cluster, "DfltRscGrp".to_owned(), request).await
            }
            Op::Create {
                name,
                node,
                diskless,
            } => {
                let request = create_request(&name, &node, diskless);
                resource::create(&cluster, name, vec![request]).await
            }
            Op::Delete { name, node } => resource::delete(&cluster, name, node, false).await,
            Op::Grow { name, kib } => {
                let request = VolumeDefinitionModify {
                    size_kib: i64::try_from(kib).ok(),
                    ..VolumeDefinitionModify::default()
                };
                volume_definition::modify(&cluster, name, "0".to_owned(), request).await
            }
            Op::Toggle { name, node, disk } => {
                let toggle = if disk {
                    Toggle::diskful(Some(POOL.to_owned()), None, Vec::new())
                } else {
                    Toggle::diskless(None)
                };
                resource::toggle(&cluster, name, node, toggle).await
            }
            Op::SetActive { name, node, active } => {
                resource::set_active(&cluster, name, node, active).await
            }
            Op::MakeAvailable { name, node } => {
                let request = ResourceMakeAvailable::default();
                resource::make_available(&cluster, name, node, request).await
            }
            Op::DeleteDefinition { name } => resource_definition::delete(&cluster, name).await,
            Op::DeleteVolume { name } => {
                volume_definition::delete(&cluster, name, "0".to_owned()).await
            }
            Op::DeleteNode { node } => node::delete(&cluster, node).await,
            Op::Migrate { name, node, from } => {
                let toggle = Toggle::diskful(Some(POOL.to_owned()), Some(from), Vec::new());
                resource::toggle(&cluster, name, node, toggle).await
            }
            Op::Snapshot { name, snapshot } => {
                let request = Snapshot {
                    name: Some(snapshot),
                    ..Snapshot::default()
                };
                snapshot::create(&cluster, name, request).await
            }
            Op::Clone { name, to } => {
                let request = ResourceDefinitionClone {
                    name: Some(to),
                    ..ResourceDefinitionClone::default()
                };
                match resource_definition::clone(&cluster, name, request).await {
                    Ok(started) => started.messages,
                    Err(refusal) => refusal.0,
                }
            }
            Op::Restore { name, snapshot, to } => restore(&cluster, name, snapshot, to).await,
            Op::DeleteSnapshot { name, snapshot } => {
                snapshot::delete(&cluster, name, snapshot, Vec::new()).await
            }
            Op::RollBack { name, snapshot } => {
                let request = SnapshotRollback::default();
                snapshot::rollback(&cluster, name, snapshot, request).await
            }
            Op::Evacuate { node } => node::evacuate(&cluster, node, NodeEvacuate::default()).await,
            Op::RestoreNode { node } => node::restore(&cluster, node, NodeRestore::default()).await,
            Op::Cancel => {
                let model = cluster.model();
                let mut replies = Vec::new();
                for id in model.processes.keys() {
                    let request = JobCancel::default();
                    let cancelled = job::cancel(&cluster, id.to_string(), request).await;
                    // What cannot be cancelled goes on; that is an answer, too.
                    replies.extend(cancelled.into_iter().filter(|reply| !reply.is_error()));
                }
                replies
            }
        }
    }
}

/// A definition, its volume definitions and its resources, as far as they are not there yet.
async fn restore(cluster: &Cluster, name: String, snapshot: String, to: String) -> Vec<Reply> {
    let missing = |model: &Model| {
        let mut rows = model.definitions.values();
        let row = rows.find(|row| row.name.as_str() == to);
        row.map(|row| row.volumes.is_empty())
    };
    let mut replies = Vec::new();
    if missing(&cluster.model()).is_none() {
        let request = ResourceDefinitionCreate {
            resource_definition: Some(Some(DefinitionJson {
                name: to.clone(),
                ..DefinitionJson::default()
            })),
            ..ResourceDefinitionCreate::default()
        };
        replies.extend(resource_definition::create(cluster, request).await);
    }
    let request = SnapshotRestore {
        to_resource: Some(to.clone()),
        ..SnapshotRestore::default()
    };
    if missing(&cluster.model()) == Some(true) {
        let (name, snapshot, request) = (name.clone(), snapshot.clone(), request.clone());
        let made = snapshot::restore_volume_definitions(cluster, name, snapshot, request);
        replies.extend(made.await);
    }
    // Without its volume definitions the resources would be empty.
    if replies.iter().any(Reply::is_error) {
        return replies;
    }
    replies.extend(snapshot::restore_resources(cluster, name, snapshot, request).await);
    replies
}

fn spawn_request(
    name: String,
    kib: u64,
    place: i32,
    (drbd, encrypted): (bool, bool),
) -> ResourceGroupSpawn {
    let layers = [(drbd, "DRBD"), (encrypted, "LUKS"), (true, "STORAGE")];
    let layers = layers.into_iter().filter(|(used, _)| *used);
    let layers = layers.map(|(_, name)| name.to_owned());
    ResourceGroupSpawn {
        resource_definition_name: Some(name),
        volume_sizes: i64::try_from(kib).into_iter().collect(),
        select_filter: Some(AutoSelectFilter {
            place_count: Some(place),
            storage_pool_list: Some(vec![POOL.to_owned()]),
            layer_stack: (!drbd || encrypted).then(|| layers.collect()),
            ..AutoSelectFilter::default()
        }),
        ..ResourceGroupSpawn::default()
    }
}

fn create_request(name: &str, node: &str, diskless: bool) -> ResourceCreate {
    let mut resource = Resource {
        name: Some(name.to_owned()),
        node_name: Some(node.to_owned()),
        ..Resource::default()
    };
    if diskless {
        resource.flags.push("DISKLESS".into());
    } else {
        resource
            .props
            .insert("StorPoolName".to_owned(), POOL.to_owned());
    }
    ResourceCreate {
        resource,
        ..ResourceCreate::default()
    }
}

fn spawn_op(sim: &Sim, name: String, dice: &mut SmallRng) -> Op {
    let most = match sim.shape.drbd {
        Some(DrbdKind::V9) => 3,
        Some(DrbdKind::V84) => 2,
        None => 1,
    };
    let kib = SIZE_KIB * dice.random_range(1..=3);
    let place = dice.random_range(1..=most);
    let drbd = sim.shape.drbd.is_some();
    Op::Spawn {
        name,
        kib,
        place,
        drbd,
    }
}

fn grow(definition: &ResourceDefinition, dice: &mut SmallRng) -> Option<Op> {
    let size = definition.volumes.get(&0)?.size_kib;
    let kib = size + SIZE_KIB * dice.random_range(1..=2);
    let name = definition.name.to_string();
    (kib <= SIZE_KIB_MAX).then_some(Op::Grow { name, kib })
}

/// The users and applications of a cluster.
#[derive(Debug, Default)]
pub struct Workload {
    /// Where an application has a resource's volume open.
    open: BTreeMap<String, String>,
    /// Whose data may be lost: they are to be deleted.
    released: BTreeSet<String>,
    value: u64,
    /// What was left out, with how often: what nobody sensible does, and what is known not to work yet.
    pub excluded: BTreeMap<&'static str, u32>,
}

/// A user gives up the only good copy.
pub const LAST_COPY: &str = "the last good copy is given up";

impl Workload {
    /// Notes that something was left out.
    pub fn exclude<T>(&mut self, why: &'static str) -> Option<T> {
        *self.excluded.entry(why).or_default() += 1;
        None
    }

    /// What a user asks for next; none if nothing comes to mind.
    pub fn next(&mut self, sim: &Sim, model: &Model, dice: &mut SmallRng) -> Option<Op> {
        let nodes = sim.nodes();
        let names: Vec<String> = (1..=NAMES).map(|n| format!("r{n}")).collect();
        let name = names.choose(dice)?.clone();
        let node = nodes.choose(dice)?.clone();
        let pick = dice.random_range(0..100);
        let known = model
            .definitions
            .values()
            .find(|row| row.name.as_str() == name);
        let Some(definition) = known else {
            self.released.remove(&name);
            return Some(spawn_op(sim, name, dice));
        };
        let replica = model
            .resources_of(&definition.name)
            .find(|replica| replica.node.as_str() == node)
            .cloned();
        match (pick, replica) {
            (0..15, _) => {
                self.release(sim, &name);
                Some(Op::DeleteDefinition { name })
            }
            (15..35, _) => grow(definition, dice),
            (35..70, None) => {
                let diskless = sim.shape.drbd == Some(DrbdKind::V9) && dice.random_bool(0.3);
                Some(Op::Create {
                    name,
                    node,
                    diskless,
                })
            }
            (_, None) => Some(Op::MakeAvailable { name, node }),
            (_, Some(replica)) => self.with_replica(sim, model, &replica, pick),
        }
    }

    /// A snapshot more or less, the way back to one, or another definition of one; none without a definition.
    pub fn snapshot(&mut self, sim: &Sim, model: &Model, dice: &mut SmallRng) -> Option<Op> {
        let names: Vec<&ResourceName> = model.definitions.keys().collect();
        let definition = *names.choose(dice)?;
        let name = definition.to_string();
        let rows = model.snapshots.get(definition);
        let taken: Vec<String> = rows
            .into_iter()
            .flat_map(|rows| rows.keys().map(ToString::to_string))
            .collect();
        let free = (1..=NAMES).map(|n| format!("r{n}"));
        let free = free.filter(|name| !names.iter().any(|known| known.as_str() == name));
        let to = free.collect::<Vec<_>>().choose(dice).cloned();
        let pick = dice.random_range(0..100);
        let Some(snapshot) = taken.choose(dice).cloned().filter(|_| pick >= 40) else {
            let number: u32 = dice.random_range(1..=4);
            return Some(match (pick, to) {
                (30..40, Some(to)) => {
                    self.released.remove(&to);
                    Op::Clone { name, to }
                }
                _ => Op::Snapshot {
                    name,
                    snapshot: format!("s{number}"),
                },
            });
        };
        match (pick, to) {
            (70..90, Some(to)) => {
                self.released.remove(&to);
                Some(Op::Restore { name, snapshot, to })
            }
            (60..70, _) if !self.open.contains_key(&name) => {
                // What is written after the snapshot is given up.
                self.release(sim, &name);
                Some(Op::RollBack { name, snapshot })
            }
            _ => Some(Op::DeleteSnapshot { name, snapshot }),
        }
    }

    /// What is done with a replica that there is.
    fn with_replica(
        &mut self,
        sim: &Sim,
        model: &Model,
        replica: &Replica,
        pick: u32,
    ) -> Option<Op> {
        let (name, node) = (replica.name.to_string(), replica.node.to_string());
        let last = !replica.is_diskless() && !self.may_drop(sim, model, replica);
        match pick {
            35..55 if last => self.exclude(LAST_COPY),
            35..55 => Some(Op::Delete { name, node }),
            55..75 if sim.shape.drbd == Some(DrbdKind::V9) => {
                let disk = replica.is_diskless();
                if last {
                    return self.exclude(LAST_COPY);
                }
                Some(Op::Toggle { name, node, disk })
            }
            75..90 => {
                let active = replica.inactive;
                if !active && last {
                    return self.exclude(LAST_COPY);
                }
                Some(Op::SetActive { name, node, active })
            }
            _ => Some(Op::MakeAvailable { name, node }),
        }
    }

    /// The evacuation of a node, and the growth of a volume on it at the same time; or the end of an evacuation.
    pub fn evacuation(&mut self, sim: &Sim, model: &Model, dice: &mut SmallRng) -> Vec<Op> {
        if let Some(row) = model.nodes.values().find(|row| row.evacuate) {
            let node = row.name.to_string();
            return match dice.random_bool(0.5) {
                true => vec![Op::RestoreNode { node }],
                false => Vec::new(),
            };
        }
        let nodes = sim.nodes();
        let Some(node) = nodes.choose(dice).cloned() else {
            return Vec::new();
        };
        let on_it = model.resources.values();
        let on_it = on_it.filter(|row| row.node.as_str() == node && !row.is_diskless());
        let names: Vec<&ResourceName> = on_it.map(|row| &row.name).collect();
        let definition = names
            .choose(dice)
            .and_then(|name| model.definitions.get(*name));
        let growth = definition.and_then(|definition| grow(definition, dice));
        let mut ops = vec![Op::Evacuate { node }];
        ops.extend(growth);
        if dice.random_bool(0.5) {
            ops.reverse();
        }
        ops
    }

    /// What somebody else asks for at the same time as a replica or a disk is taken away: a larger volume, a device on another
    /// node, or that all of it is cancelled.
    pub fn beside(&mut self, op: &Op, sim: &Sim, model: &Model, dice: &mut SmallRng) -> Option<Op> {
        let (Op::Delete { name, node }
        | Op::Toggle { name, node, .. }
        | Op::SetActive { name, node, .. }) = op
        else {
            return None;
        };
        if !dice.random_bool(0.25) {
            return None;
        }
        let definition = model
            .definitions
            .values()
            .find(|row| row.name.as_str() == name)?;
        match dice.random_range(0..3) {
            0 => grow(definition, dice),
            1 => {
                let others: Vec<String> = sim
                    .nodes()
                    .into_iter()
                    .filter(|other| other != node)
                    .collect();
                let (name, node) = (name.clone(), others.choose(dice)?.clone());
                Some(Op::MakeAvailable { name, node })
            }
            _ => Some(Op::Cancel),
        }
    }

    /// Whether a sensible user would give up this disk: another node has the data. Without DRBD, each replica is for
    /// itself.
    fn may_drop(&self, sim: &Sim, model: &Model, replica: &Replica) -> bool {
        let name = &replica.name;
        if replica.drbd.is_none() {
            return true;
        }
        let state = sim.fake.drbd(replica.node.as_str(), name.as_str(), 0);
        let mut others = model.resources_of(name).filter(|other| {
            other.node != replica.node
                && !other.is_diskless()
                && model.process_of(other).is_none()
                && !other.inactive
        });
        others.any(|other| {
            // DRBD 8.4 does not name its only peer.
            let peers = state.iter().flat_map(|state| &state.peers);
            let mut of_it = peers.filter(|(peer, _)| {
                sim.shape.drbd == Some(DrbdKind::V84) || other.node.as_str() == peer.as_str()
            });
            of_it.any(|(_, (connection, _, disk))| connection == "Connected" && disk == "UpToDate")
        })
    }

    /// A definition is to be deleted: nobody writes to it any more.
    pub fn release(&mut self, sim: &Sim, name: &str) {
        sim.fake.release(name);
        self.released.insert(name.to_owned());
    }

    /// An application opens, writes or closes. What it did, if anything.
    pub async fn application(
        &mut self,
        sim: &Sim,
        model: &Model,
        dice: &mut SmallRng,
    ) -> Option<String> {
        let names: Vec<_> = model.definitions.keys().collect();
        let name = names.choose(dice)?.as_str().to_owned();
        if self.released.contains(&name) || sim.shape.drbd.is_none() {
            return None;
        }
        if let Some(node) = self.open.get(&name).cloned() {
            if dice.random_bool(0.2) {
                self.close(sim, &name).await;
                return Some(format!("application closes {name} on {node}"));
            }
            let block = dice.random_range(0..BLOCKS);
            self.value += 1;
            return Some(match sim.fake.write(&node, &name, 0, block, self.value) {
                Ok(()) => format!("application writes {name}/{block} on {node}"),
                Err(error) => {
                    self.close(sim, &name).await;
                    format!("application loses {name} on {node}: {error}")
                }
            });
        }
        let node = sim.nodes().choose(dice)?.clone();
        if !sim.fake.is_up(&node) || !Self::is_whole(sim, &name, &node) {
            return None;
        }
        let opened = open(sim, &name, &node).await;
        if opened.is_ok() {
            self.open.insert(name.clone(), node.clone());
        }
        Some(format!("application opens {name} on {node}: {opened:?}"))
    }

    /// Whether nothing acknowledged is missing on a node: nobody sensible starts an application elsewhere while a cut
    /// wire keeps the newest data away.
    fn is_whole(sim: &Sim, name: &str, node: &str) -> bool {
        let Some(state) = sim.fake.drbd(node, name, 0) else {
            return false;
        };
        let whole = sim.fake.whole_copies(name, 0);
        let written = !whole.is_empty();
        let here = whole.iter().any(|place| place == node);
        let peers_whole = state.peers.iter().any(|(peer, (connection, _, disk))| {
            connection == "Connected" && disk == "UpToDate" && whole.contains(peer)
        });
        !written || here || (state.disk == "Diskless" && peers_whole)
    }

    /// Ends an application.
    pub async fn close(&mut self, sim: &Sim, name: &str) {
        let Some(node) = self.open.remove(name) else {
            return;
        };
        if !sim.fake.is_up(&node) {
            return;
        }
        sim.fake.close(&node, name, 0);
        if sim.shape.drbd == Some(DrbdKind::V84) {
            demote(sim, name, &node).await;
        }
    }

    /// Ends all applications.
    pub async fn close_all(&mut self, sim: &Sim) {
        for name in self.open.keys().cloned().collect::<Vec<_>>() {
            self.close(sim, &name).await;
        }
    }
}

async fn open(sim: &Sim, name: &str, node: &str) -> Result<(), String> {
    if sim.shape.drbd == Some(DrbdKind::V84) {
        let promoted = set_role(sim, name, node, "primary").await;
        if promoted.is_err() {
            // It may be primary all the same.
            demote(sim, name, node).await;
            return promoted;
        }
    }
    sim.fake.open(node, name, 0)
}

/// Makes a node secondary, however often the command is made to fail. The resource may be gone by now.
async fn demote(sim: &Sim, name: &str, node: &str) {
    for _ in 0..DEMOTE_TRIES {
        if set_role(sim, name, node, "secondary").await.is_ok() {
            return;
        }
    }
}

/// What a cluster manager does before an application may use DRBD 8.4.
async fn set_role(sim: &Sim, name: &str, node: &str, role: &str) -> Result<(), String> {
    let file = format!("/var/lib/linstor.d/{name}.res");
    let args = ["-c".to_owned(), file, role.to_owned(), name.to_owned()];
    let output = sim
        .fake
        .host(node)
        .run(Cmd::new("drbdadm").args(args))
        .await;
    match output {
        Ok(output) if output.success() => Ok(()),
        Ok(output) => Err(output.stderr.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
