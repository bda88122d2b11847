//! A controller in a few lines: it speaks the wire to satellites on fake machines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linstor_api::kind::ProviderKind;
use linstor_fake_host::{self as fake, Entry, FakeCluster};
use linstor_net::{ControllerSide, Sender};
use linstor_satellite::{Options, Satellite};
use linstor_wire::message::{Held, NewerController, PROTOCOL, PROTOCOL_MIN, SuspensionState};
use linstor_wire::question::{Answer, Question};
use linstor_wire::spec::{NodeSpec, PoolSpec, Props, ResourceSpec, Spec};
use linstor_wire::status::{NodeInfo, Outcome, PoolStatus, ResourceStatus};
use linstor_wire::{Key, ToController, ToSatellite, Wanted};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) use linstor_fake_host::DrbdKind;

pub(crate) const CLUSTER: Uuid = Uuid::from_u128(0xc1);
const LIMIT: Duration = Duration::from_secs(300);

/// What a satellite said.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) info: Option<NodeInfo>,
    pub(crate) refused: Option<String>,
    pub(crate) newer: Option<NewerController>,
    pub(crate) outcomes: BTreeMap<String, (u64, Outcome)>,
    /// Ids of instructions that were reported as carried out.
    pub(crate) done: Vec<uuid::Uuid>,
    /// The last outcome of the node's own spec.
    pub(crate) node: Option<(u64, Outcome)>,
    /// When the next attempt was said to be, after each outcome.
    pub(crate) retries: Vec<Option<u64>>,
    pub(crate) status: BTreeMap<String, ResourceStatus>,
    pub(crate) gone: Vec<String>,
    pub(crate) pools: Vec<PoolStatus>,
    pub(crate) refreshed: Vec<u64>,
    pub(crate) pongs: Vec<u64>,
    pub(crate) suspensions: Vec<(Uuid, SuspensionState)>,
    pub(crate) answers: BTreeMap<u64, Answer>,
    /// The turns that were last named.
    pub(crate) turns: BTreeMap<String, Uuid>,
    pub(crate) synced: Option<u64>,
    pub(crate) messages: usize,
}

/// A satellite and the link to it.
pub(crate) struct Node {
    pub(crate) spec: NodeSpec,
    pub(crate) satellite: Satellite,
    pub(crate) heard: Arc<Mutex<Heard>>,
    tasks: Vec<JoinHandle<()>>,
    sender: Option<Sender<ToSatellite>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A cluster of them.
pub(crate) struct Bench {
    pub(crate) cluster: FakeCluster,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
}

/// A spec as it is sent.
pub(crate) fn wanted(spec: &ResourceSpec) -> Wanted {
    Wanted::new(&Spec::from(spec.clone()))
}

pub(crate) fn pool(name: &str, kind: ProviderKind, place: &str) -> PoolSpec {
    PoolSpec {
        name: name.parse().unwrap(),
        uuid: Uuid::from_u128(0xb0),
        kind,
        props: Props::from([("StorDriver/StorPoolName".to_owned(), place.to_owned())]),
        turns: None,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench {
            cluster: FakeCluster::new(1),
            nodes: BTreeMap::new(),
            generation: 0,
            epoch: 1,
        }
    }

    /// A machine with every kind of pool, and a satellite on it that is online.
    pub(crate) async fn add_node(&mut self, name: &str, kind: DrbdKind) {
        self.cluster.add_host(name, kind);
        self.cluster.add_volume_group(name, "vg0", 4 << 20);
        self.cluster.add_thin_pool(name, "vg0", "thin", 2 << 20);
        self.cluster.add_zpool(name, "tank", 4 << 20);
        self.cluster.add_mount(name, "/srv/pool", 4 << 20);
        let spec = NodeSpec {
            cluster_id: CLUSTER,
            name: name.parse().unwrap(),
            uuid: Uuid::from_u128(0xa0 + self.nodes.len() as u128),
            props: Props::new(),
            pools: vec![
                pool("lvm", ProviderKind::Lvm, "vg0"),
                pool("thin", ProviderKind::LvmThin, "vg0/thin"),
                pool("zfs", ProviderKind::Zfs, "tank"),
                pool("zfsthin", ProviderKind::ZfsThin, "tank"),
                pool("file", ProviderKind::File, "/srv/pool"),
                pool("filethin", ProviderKind::FileThin, "/srv/pool"),
                pool("none", ProviderKind::Diskless, ""),
            ],
            files: Vec::new(),
        };
        let node = start(&self.cluster, name, spec);
        self.nodes.insert(name.into(), node);
        self.connect(name).await;
        self.sync(name, &[]).await;
        self.cluster.take_journal();
    }

    /// Starts the satellite of a machine again, without a controller.
    pub(crate) fn restart(&mut self, name: &str) {
        let node = self.nodes.remove(name).expect("a node");
        let spec = node.spec.clone();
        drop(node);
        let node = start(&self.cluster, name, spec);
        self.nodes.insert(name.into(), node);
    }

    /// Opens a connection and says hello.
    pub(crate) async fn connect(&mut self, name: &str) {
        let epoch = self.epoch;
        let node = self.nodes.get_mut(name).expect("a node");
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let satellite = node.satellite.clone();
        node.tasks.push(tokio::spawn(async move {
            let _ended = satellite.serve_connection(theirs).await;
        }));
        let (mut sender, mut receiver) = ControllerSide::new(ours).split();
        let hello = ToSatellite::Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL,
            version: "test".into(),
            cluster_id: node.spec.cluster_id,
            epoch,
            start: Uuid::from_u128(u128::from(epoch)),
            node_name: node.spec.name.clone(),
            node_uuid: node.spec.uuid,
        };
        sender.send(&hello).await.expect("hello");
        {
            let mut heard = node.heard.lock().unwrap();
            heard.info = None;
            heard.refused = None;
        }
        let heard = Arc::clone(&node.heard);
        node.tasks.push(tokio::spawn(async move {
            while let Ok(Some(message)) = receiver.next().await {
                hear(&mut heard.lock().unwrap(), message);
            }
        }));
        node.sender = Some(sender);
        let answered = |h: &Heard| h.info.is_some() || h.refused.is_some();
        self.until(name, "an answer to hello", answered).await;
    }

    pub(crate) async fn send(&mut self, name: &str, message: ToSatellite) {
        let node = self.nodes.get_mut(name).expect("a node");
        let sender = node.sender.as_mut().expect("a connection");
        // A satellite that crashed does not hear us.
        let _sent = sender.send(&message).await;
    }

    /// A full sync.
    pub(crate) async fn sync(&mut self, name: &str, resources: &[ResourceSpec]) {
        self.sync_holding(name, resources, Held::default()).await;
    }

    /// A full sync of a controller that cannot read some rows.
    pub(crate) async fn sync_holding(
        &mut self,
        name: &str,
        resources: &[ResourceSpec],
        held: Held,
    ) {
        self.generation += 1;
        let generation = self.generation;
        self.send(name, ToSatellite::SyncBegin { generation }).await;
        // What is held is left out.
        let node = (!held.all).then(|| Wanted::new(&Spec::from(self.nodes[name].spec.clone())));
        let resources = resources.iter().map(wanted);
        let apply = ToSatellite::Apply {
            generation,
            specs: node.into_iter().chain(resources).collect(),
            forget: Vec::new(),
        };
        self.send(name, apply).await;
        self.send(name, ToSatellite::SyncEnd { generation, held })
            .await;
        let synced = |h: &Heard| h.synced == Some(generation);
        self.until(name, "the end of the sync", synced).await;
    }

    /// Asks a question; its answer.
    pub(crate) async fn ask(&mut self, name: &str, question: Question) -> Answer {
        self.generation += 1;
        let id = self.generation;
        self.send(name, ToSatellite::Ask { id, question }).await;
        let answered = |h: &Heard| h.answers.contains_key(&id);
        self.until(name, "an answer", answered).await;
        self.nodes[name].heard.lock().unwrap().answers[&id].clone()
    }

    /// Sends a spec; its generation.
    pub(crate) async fn push(&mut self, name: &str, spec: &ResourceSpec) -> u64 {
        self.push_wanted(name, wanted(spec)).await
    }

    /// Sends a spec of any object; its generation.
    pub(crate) async fn push_wanted(&mut self, name: &str, wanted: Wanted) -> u64 {
        self.generation += 1;
        let apply = ToSatellite::Apply {
            generation: self.generation,
            specs: vec![wanted],
            forget: Vec::new(),
        };
        self.send(name, apply).await;
        self.generation
    }

    /// Sends a spec and waits for what comes of it, but not for what it waits for.
    pub(crate) async fn apply(&mut self, name: &str, spec: &ResourceSpec) -> Outcome {
        let generation = self.push(name, spec).await;
        let is_told = |h: &Heard| match h.outcomes.get(spec.name.as_str()) {
            Some((of, outcome)) => *of >= generation && !matches!(outcome, Outcome::Waiting { .. }),
            None => false,
        };
        self.until(name, &format!("the outcome of {}", spec.name), is_told)
            .await;
        self.nodes[name].heard.lock().unwrap().outcomes[spec.name.as_str()]
            .1
            .clone()
    }

    /// Sends a spec that must be reached at once.
    pub(crate) async fn done(&mut self, name: &str, spec: &ResourceSpec) {
        let outcome = self.apply(name, spec).await;
        assert_eq!(outcome, Outcome::Done, "{}", self.commands_text());
    }

    /// Sends a spec that cannot be reached; what is said then.
    pub(crate) async fn fails(&mut self, name: &str, spec: &ResourceSpec) -> String {
        match self.apply(name, spec).await {
            Outcome::Done => panic!("it is done\n{}", self.commands_text()),
            Outcome::Waiting { on, .. } => panic!("it waits for {on}"),
            Outcome::Failed { replies } => serde_json::to_string(&replies).expect("JSON"),
        }
    }

    /// Ids of instructions that a node reported as carried out.
    pub(crate) fn instructions_done(&self, name: &str) -> Vec<uuid::Uuid> {
        let mut done = self.nodes[name].heard.lock().unwrap().done.clone();
        done.sort();
        done.dedup();
        done
    }

    /// Waits until an outcome is `Done`, however many attempts that takes.
    pub(crate) async fn converges(&mut self, name: &str, resource: &str) {
        let done = |h: &Heard| {
            h.outcomes
                .get(resource)
                .is_some_and(|(_, outcome)| *outcome == Outcome::Done)
        };
        self.until(name, &format!("{resource} to be done"), done)
            .await;
    }

    pub(crate) async fn until(&self, name: &str, what: &str, holds: impl Fn(&Heard) -> bool) {
        let waiting = async {
            while !holds(&self.nodes[name].heard.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            let heard = self.nodes[name].heard.lock().unwrap();
            panic!(
                "{name} did not say {what}; outcomes {:#?}\n{}",
                heard.outcomes,
                self.commands_text()
            );
        }
    }

    /// The last status of a resource.
    pub(crate) fn status(&self, name: &str, resource: &str) -> ResourceStatus {
        self.nodes[name].heard.lock().unwrap().status[resource].clone()
    }

    /// Commands that changed something since the last call, one per line. State files of the satellite and paths of
    /// the LVM filter are left out: they are the same everywhere.
    /// What was changed, but for the copy by which a satellite that starts finds out whether a pool has reflinks.
    pub(crate) fn changes(&self) -> String {
        let journal = self.cluster.take_journal();
        journal
            .iter()
            .filter(|e| e.mutating && !e.text.contains("/.linstor-directory.copy"))
            .filter_map(line)
            .collect()
    }

    pub(crate) fn commands_text(&self) -> String {
        let journal = self.cluster.journal();
        let changes = journal
            .iter()
            .filter(|e| e.mutating || e.completion != fake::Completion::Ran(0));
        let lines: Vec<String> = changes.map(|e| format!("{:?} {e}", e.at)).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A whole round of passes in which nothing may be changed.
    pub(crate) async fn rests(&self) {
        self.cluster.take_journal();
        tokio::time::sleep(Duration::from_secs(70)).await;
        assert_eq!(self.changes(), "", "a second pass changes nothing");
        assert_eq!(self.cluster.violations(), Vec::<String>::new());
    }
}

fn start(cluster: &FakeCluster, name: &str, spec: NodeSpec) -> Node {
    let options = Options {
        file_directories: vec!["/etc/drbd-reactor.d".into()],
        ..Options::default()
    };
    let satellite = Satellite::new(Arc::new(cluster.host(name)), options);
    let running = satellite.clone();
    let task = tokio::spawn(async move {
        // A crashed machine ends it.
        let _ended = running.run().await;
    });
    Node {
        spec,
        satellite,
        heard: Arc::default(),
        tasks: vec![task],
        sender: None,
    }
}

fn hear(heard: &mut Heard, message: ToController) {
    heard.messages += 1;
    match message {
        ToController::Welcome { info, .. } | ToController::Info { info } => {
            heard.info = Some(info);
        }
        ToController::Refused { message, newer, .. } => {
            heard.refused = Some(message);
            heard.newer = newer;
        }
        ToController::Synced { generation } => heard.synced = Some(generation),
        ToController::Answer { id, answer } => {
            heard.answers.insert(id, answer);
        }
        ToController::Applied {
            generation,
            key,
            outcome,
            done,
            retry_in_ms,
            ..
        } => {
            let name = match key {
                Key::Node => {
                    heard.node = Some((generation, outcome));
                    return;
                }
                Key::Resource(name) => name.to_string(),
                Key::Snapshot(name, snapshot) => format!("{name}@{snapshot}"),
                Key::Other(text) => {
                    let name = text.strip_prefix("resource/");
                    name.map_or(text.clone(), str::to_owned)
                }
            };
            heard.done.extend(done);
            heard.retries.push(retry_in_ms);
            heard.outcomes.insert(name, (generation, outcome));
        }
        ToController::Status { resources, gone } => {
            for status in resources {
                heard.status.insert(status.name.clone(), status);
            }
            for key in gone {
                let name = match key {
                    Key::Resource(name) => name,
                    Key::Snapshot(..) => continue,
                    Key::Node | Key::Other(_) => panic!("{key} has no status"),
                };
                heard.status.remove(name.as_str());
                heard.gone.push(name.to_string());
            }
        }
        ToController::Space { refresh, pools } => {
            heard.pools = pools;
            heard.refreshed.extend(refresh);
        }
        ToController::Pong { id } => heard.pongs.push(id),
        ToController::Turns { wanted, .. } => heard.turns = wanted,
        ToController::Suspension { lease, state } => heard.suspensions.push((lease, state)),
    }
}

fn line(entry: &Entry) -> Option<String> {
    let text = entry.to_string();
    let own = [
        "write /var/lib/linstor/satellite",
        "remove /var/lib/linstor/satellite",
    ];
    if own.iter().any(|start| entry.text.starts_with(start)) {
        return None;
    }
    let mut line = String::new();
    let mut rest = text.as_str();
    // The filter is long and says nothing new.
    while let Some((before, after)) = rest.split_once("--config '") {
        line.push_str(before);
        rest = after.split_once("' ").map_or("", |(_, after)| after);
    }
    line.push_str(rest);
    line.push('\n');
    Some(line)
}
