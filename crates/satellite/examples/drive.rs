//! A controller for one's hands: reads commands from standard input and drives satellites over the wire.
//!
//! ```text
//! connect node1 10.77.0.1:3366 thin=LVM_THIN:vg0/thin lvm=LVM:vg0
//! mkfs ext4 Data 102400 thin node1 node2
//! up Data 102400 thin node1 node2 -node3      (KiB of the backing volumes; "-" is diskless; "plain" is without DRBD)
//! grow Data 204800
//! disk Data node3 thin | diskless Data node2
//! down Data node1 | drop Data node2 | wipe Data
//! await Data UpToDate | status Data | space node1 | sleep 2
//! ```

use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use linstor_net::{ControllerSide, Sender, tcp};
use linstor_wire::message::{Held, PROTOCOL, PROTOCOL_MIN};
use linstor_wire::spec::{
    DrbdSpec, DrbdVolumeSpec, InitialState, NodeSpec, PeerSpec, PoolSpec, Props, ResourceSpec,
    StorageRef, Target, VolumeSpec,
};
use linstor_wire::status::{Outcome, PoolStatus, ResourceStatus};
use linstor_wire::{Secret, ToController, ToSatellite};
use uuid::Uuid;

const CLUSTER: Uuid = Uuid::from_u128(0xd51e);
const LIMIT: Duration = Duration::from_secs(90);

#[derive(Default)]
struct Heard {
    outcomes: BTreeMap<String, (u64, Outcome)>,
    status: BTreeMap<String, ResourceStatus>,
    pools: Vec<PoolStatus>,
    synced: bool,
}

struct Node {
    spec: NodeSpec,
    address: IpAddr,
    uname: String,
    sender: Sender<ToSatellite>,
    heard: Arc<Mutex<Heard>>,
}

/// A resource as it is meant to be.
struct Plan {
    replicated: bool,
    number: u16,
    size_kib: u64,
    grow: bool,
    /// Node, pool (none for diskless), node id, what it becomes, storage left behind.
    replicas: BTreeMap<String, Replica>,
    initialised: bool,
    /// File system to make.
    file_system: Option<String>,
}

#[derive(Clone)]
struct Replica {
    pool: Option<String>,
    id: u32,
    target: Target,
    leftover: Option<String>,
    force: bool,
}

#[derive(Default)]
struct Driver {
    nodes: BTreeMap<String, Node>,
    plans: BTreeMap<String, Plan>,
    generation: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut driver = Driver::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() || words[0].starts_with('#') {
            continue;
        }
        println!("> {line}");
        let started = Instant::now();
        driver
            .command(&words)
            .await
            .with_context(|| format!("command {line:?}"))?;
        println!("  {:.0?}", started.elapsed());
    }
    Ok(())
}

impl Driver {
    async fn command(&mut self, words: &[&str]) -> Result<()> {
        match words {
            ["connect", name, address, pools @ ..] => self.connect(name, address, pools).await,
            ["up", name, kib, pool, nodes @ ..] => {
                self.plan(name, kib.parse()?, pool, nodes);
                self.push(name).await
            }
            ["mkfs", file_system, name, kib, pool, nodes @ ..] => {
                self.plan(name, kib.parse()?, pool, nodes);
                self.plan_of(name)?.file_system = Some((*file_system).to_owned());
                self.push(name).await
            }
            ["down", name] => {
                for replica in self.plan_of(name)?.replicas.values_mut() {
                    replica.target = Target::Down;
                }
                self.push(name).await
            }
            ["grow", name, kib] => self.grow(name, kib.parse()?).await,
            ["disk", name, node, pool] => {
                let replica = self.replica(name, node)?;
                replica.pool = Some((*pool).to_owned());
                replica.leftover = None;
                self.push(name).await
            }
            ["diskless", name, node] => {
                let replica = self.replica(name, node)?;
                replica.leftover = replica.pool.take();
                self.push(name).await
            }
            ["down", name, node] => {
                self.replica(name, node)?.target = Target::Down;
                self.push(name).await
            }
            ["drop", name, node] => {
                self.replica(name, node)?.target = Target::Destroyed;
                self.push_to(name, &[(*node).to_owned()]).await?;
                self.plan_of(name)?.replicas.remove(*node);
                self.push(name).await
            }
            ["wipe", name] => {
                for replica in self.plan_of(name)?.replicas.values_mut() {
                    replica.target = Target::Destroyed;
                    replica.force = true;
                }
                self.push(name).await
            }
            ["await", name, state] => self.await_disks(name, state).await,
            ["status", name] => {
                for node in self.nodes.values() {
                    let heard = node.heard.lock().expect("no panic");
                    if let Some(status) = heard.status.get(*name) {
                        println!("  {}: {}", node.spec.name, serde_json::to_string(status)?);
                    }
                }
                Ok(())
            }
            ["space", node] => {
                let node = self.nodes.get(*node).context("no such node")?;
                for pool in &node.heard.lock().expect("no panic").pools {
                    println!("  {}", serde_json::to_string(pool)?);
                }
                Ok(())
            }
            ["sleep", seconds] => {
                tokio::time::sleep(Duration::from_secs_f64(seconds.parse()?)).await;
                Ok(())
            }
            _ => bail!("not understood"),
        }
    }

    async fn connect(&mut self, name: &str, address: &str, pools: &[&str]) -> Result<()> {
        let address: std::net::SocketAddr = address.parse()?;
        let stream = tcp::dial(address, Duration::from_secs(5)).await?;
        let (mut sender, mut receiver) = ControllerSide::new(stream).split();
        let pools = pools
            .iter()
            .map(|text| pool(text))
            .collect::<Result<Vec<_>>>()?;
        let number = u128::from(name.bytes().map(u64::from).sum::<u64>());
        let spec = NodeSpec {
            cluster_id: CLUSTER,
            name: name.into(),
            uuid: Uuid::from_u128(number),
            props: Props::new(),
            pools,
        };
        sender
            .send(&ToSatellite::Hello {
                protocol_min: PROTOCOL_MIN,
                protocol_max: PROTOCOL,
                version: "drive".into(),
                cluster_id: CLUSTER,
                epoch: 1,
                start: Uuid::nil(),
                node_name: name.into(),
                node_uuid: spec.uuid,
            })
            .await?;
        let welcome = receiver.next().await?;
        let Some(ToController::Welcome { info, .. }) = welcome else {
            bail!("not welcome: {welcome:?}");
        };
        println!(
            "  {} {} {:?} {:?}",
            info.uname, info.kernel, info.drbd, info.providers
        );
        for (kind, why) in &info.unsupported_layers {
            println!("  no {kind}: {why:?}");
        }
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let ear = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok(Some(message)) = receiver.next().await {
                hear(&mut ear.lock().expect("no panic"), message);
            }
        });
        self.generation += 1;
        let (generation, node) = (self.generation, spec.clone());
        sender
            .send(&ToSatellite::SyncBegin {
                generation,
                node,
                held: false,
            })
            .await?;
        let resources = self
            .plans
            .keys()
            .filter_map(|r| self.spec(r, name))
            .collect();
        let forget = Vec::new();
        sender
            .send(&ToSatellite::Apply {
                generation,
                resources,
                forget,
            })
            .await?;
        sender
            .send(&ToSatellite::SyncEnd {
                generation,
                held: Held::default(),
            })
            .await?;
        until(&heard, "the sync", |h| h.synced).await?;
        let node = Node {
            spec,
            address: address.ip(),
            uname: info.uname,
            sender,
            heard,
        };
        self.nodes.insert(name.into(), node);
        Ok(())
    }

    fn plan(&mut self, name: &str, size_kib: u64, pool: &str, nodes: &[&str]) {
        let (plain, nodes) = match nodes {
            ["plain", nodes @ ..] => (true, nodes),
            nodes => (false, nodes),
        };
        let number = self.plans.len() as u16;
        let replicas = nodes.iter().enumerate().map(|(id, node)| {
            let replica = Replica {
                pool: (!node.starts_with('-')).then(|| pool.to_owned()),
                id: id as u32,
                target: Target::Up,
                leftover: None,
                force: false,
            };
            (node.trim_start_matches('-').to_owned(), replica)
        });
        let plan = Plan {
            replicated: !plain,
            number,
            size_kib,
            grow: false,
            replicas: replicas.collect(),
            initialised: false,
            file_system: None,
        };
        self.plans.insert(name.into(), plan);
    }

    fn plan_of(&mut self, name: &str) -> Result<&mut Plan> {
        self.plans.get_mut(name).context("no such resource")
    }

    fn replica(&mut self, name: &str, node: &str) -> Result<&mut Replica> {
        let next = self.plan_of(name)?.replicas.len() as u32;
        Ok(self
            .plan_of(name)?
            .replicas
            .entry(node.into())
            .or_insert(Replica {
                pool: None,
                id: next,
                target: Target::Up,
                leftover: None,
                force: false,
            }))
    }

    async fn grow(&mut self, name: &str, size_kib: u64) -> Result<()> {
        self.plan_of(name)?.size_kib = size_kib;
        self.push(name).await?;
        self.plan_of(name)?.grow = true;
        self.push(name).await?;
        self.plan_of(name)?.grow = false;
        self.push(name).await
    }

    async fn push(&mut self, name: &str) -> Result<()> {
        let nodes: Vec<String> = self.plan_of(name)?.replicas.keys().cloned().collect();
        self.push_to(name, &nodes).await
    }

    async fn push_to(&mut self, name: &str, nodes: &[String]) -> Result<()> {
        self.generation += 1;
        for node in nodes {
            let resources = vec![self.spec(name, node).context("no such replica")?];
            let node = self.nodes.get_mut(node).context("no such node")?;
            let message = ToSatellite::Apply {
                generation: self.generation,
                resources,
                forget: Vec::new(),
            };
            node.sender.send(&message).await?;
        }
        for name_of_node in nodes {
            let node = &self.nodes[name_of_node];
            let generation = self.generation;
            let told = |h: &Heard| h.outcomes.get(name).is_some_and(|(g, _)| *g >= generation);
            until(&node.heard, "an outcome", told).await?;
            let outcome = node.heard.lock().expect("no panic").outcomes[name]
                .1
                .clone();
            match outcome {
                Outcome::Done => println!("  {name_of_node}: done"),
                Outcome::Failed { replies } => {
                    println!("  {name_of_node}: {}", serde_json::to_string(&replies)?);
                }
            }
        }
        self.plan_of(name)?.initialised = true;
        Ok(())
    }

    async fn await_disks(&mut self, name: &str, state: &str) -> Result<()> {
        let plan = self.plans.get(name).context("no such resource")?;
        for (node, replica) in &plan.replicas {
            if replica.pool.is_none() || replica.target != Target::Up {
                continue;
            }
            let is_so = |h: &Heard| {
                let volume = h.status.get(name).and_then(|s| s.volumes.first());
                volume.is_some_and(|v| v.disk_state.as_ref().is_some_and(|s| s.as_str() == state))
            };
            until(&self.nodes[node].heard, state, is_so).await?;
        }
        Ok(())
    }

    fn spec(&self, name: &str, node: &str) -> Option<ResourceSpec> {
        let plan = self.plans.get(name)?;
        let me = plan.replicas.get(node)?;
        let drbd = plan.replicated.then(|| self.drbd(plan, node, me));
        let number = 0;
        let leftover = |pool: &String| StorageRef {
            number,
            pool: pool.clone(),
        };
        Some(ResourceSpec {
            name: name.into(),
            uuid: Uuid::from_u128(u128::from(plan.number) * 100 + u128::from(me.id) + 1),
            target: me.target,
            allow_last_copy: me.force,
            drbd,
            volumes: vec![VolumeSpec {
                number,
                pool: me.pool.clone().unwrap_or("diskless".into()),
                target: Target::Up,
                usable_kib: if plan.replicated {
                    plan.size_kib - 4096
                } else {
                    plan.size_kib
                },
                backing_kib: plan.size_kib,
                props: plan
                    .file_system
                    .iter()
                    .map(|kind| ("FileSystem/Type".to_owned(), kind.clone()))
                    .collect(),
                drbd: plan.replicated.then(|| DrbdVolumeSpec {
                    minor: 1000 + u32::from(plan.number),
                    day0_gi: "DA0DA0DA0DA0DA00".into(),
                    initial: match (plan.initialised, me.id) {
                        (true, _) if std::env::var("LATE_DAY0").is_err() => InitialState::FullSync,
                        (true, _) => InitialState::SameAsDay0,
                        (false, 0) => InitialState::First,
                        (false, _) => InitialState::SameAsDay0,
                    },
                    grow: plan.grow && me.id == 0,
                    grow_assume_clean: true,
                    granularity_kib: 0,
                    disk_options: Props::new(),
                }),
            }],
            destroy_storage: me.leftover.iter().map(leftover).collect(),
        })
    }

    fn drbd(&self, plan: &Plan, node: &str, me: &Replica) -> DrbdSpec {
        let port = 7000 + plan.number;
        let others = plan
            .replicas
            .iter()
            .filter(|(name, r)| *name != node && r.target == Target::Up);
        let peers = others.map(|(name, replica)| PeerSpec {
            node: name.clone(),
            uname: self.nodes[name].uname.clone(),
            node_id: replica.id,
            address: self.nodes[name].address,
            port,
            local_address: None,
            diskless: replica.pool.is_none(),
            tiebreaker: true,
            net_options: Props::new(),
            disk_options: Props::new(),
        });
        DrbdSpec {
            secret: Secret::new("c2VjcmV0c2VjcmV0c2Vj"),
            node_id: me.id,
            uname: self.nodes[node].uname.clone(),
            address: self.nodes[node].address,
            port,
            diskless: me.pool.is_none(),
            peer_slots: 7,
            al_stripes: 1,
            al_stripe_kib: 32,
            options: Props::new(),
            net_options: Props::new(),
            disk_options: Props::new(),
            handlers: Props::new(),
            peers: peers.collect(),
        }
    }
}

fn pool(text: &str) -> Result<PoolSpec> {
    let (name, rest) = text.split_once('=').context("a pool is NAME=KIND:PLACE")?;
    let (kind, place) = rest.split_once(':').context("a pool is NAME=KIND:PLACE")?;
    Ok(PoolSpec {
        name: name.into(),
        uuid: Uuid::from_u128(0xb0),
        kind: kind.parse()?,
        props: Props::from([("StorDriver/StorPoolName".to_owned(), place.to_owned())]),
    })
}

fn hear(heard: &mut Heard, message: ToController) {
    match message {
        ToController::Applied {
            generation,
            resource,
            outcome,
            ..
        } => {
            heard.outcomes.insert(resource, (generation, outcome));
        }
        ToController::Status { resources, gone } => {
            for status in resources {
                heard.status.insert(status.name.clone(), status);
            }
            for name in gone {
                heard.status.remove(&name);
            }
        }
        ToController::Space { pools, .. } => heard.pools = pools,
        ToController::Synced { .. } => heard.synced = true,
        ToController::Welcome { .. }
        | ToController::Info { .. }
        | ToController::Refused { .. }
        | ToController::Pong { .. } => {}
    }
}

async fn until(heard: &Mutex<Heard>, what: &str, holds: impl Fn(&Heard) -> bool) -> Result<()> {
    let give_up = Instant::now() + LIMIT;
    while !holds(&heard.lock().expect("no panic")) {
        if Instant::now() > give_up {
            let heard = heard.lock().expect("no panic");
            bail!(
                "waited in vain for {what}: {:?} {:?}",
                heard.outcomes,
                heard.status
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
