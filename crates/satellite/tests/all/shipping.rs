//! Snapshots from a node of one cluster to one of another, with sockets, TLS and real time: content, chains, who is let in, and
//! what happens when the other side is not there.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_wire::message::SuspensionState;
use linstor_wire::spec::{
    BaseSpec, InboundSpec, OutboundSpec, ResourceSpec, ShippingLink, SnapshotSpec, SnapshotTarget,
    SnapshotVolumeSpec, Spec,
};
use linstor_wire::status::Outcome;
use linstor_wire::{Secret, ToSatellite, Wanted};
use tokio::time::Instant;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind, Heard};
use crate::storage::plain;

const LEASE: Uuid = Uuid::from_u128(0x1ea5e);
const SIZE_KIB: u64 = 8 * 1024;
const BLOCKS: u64 = SIZE_KIB / 4;
/// Which shipment it is on the connection.
const SHIPMENT: Uuid = Uuid::from_u128(0x5419);

/// A resource `Data` with two volumes on `alpha`, and `beta`, which has none.
struct World {
    bench: Bench,
    resource: ResourceSpec,
    next: u128,
}

/// Who knows whom: certificates with keys, PEM.
struct Certificates {
    alpha: String,
    beta: String,
}

impl Certificates {
    fn new() -> Certificates {
        let made = || linstor_tls::self_signed("shipment", Vec::new()).unwrap();
        Certificates {
            alpha: made(),
            beta: made(),
        }
    }

    fn link(own: &str, peer: &str) -> ShippingLink {
        let end = peer.find("-----BEGIN PRIVATE").expect("its key follows");
        ShippingLink {
            own: Secret::new(own),
            peer: peer[..end].to_owned(),
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Identity of a snapshot on a node.
fn uuid_of(node: &str, snapshot: &str) -> Uuid {
    let text = format!("{node}{snapshot}");
    Uuid::from_u128(
        text.bytes()
            .fold(7, |sum, byte| sum << 8 | u128::from(byte)),
    )
}

impl World {
    async fn new() -> World {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        bench.add_node("beta", DrbdKind::V9).await;
        let mut resource = plain("thin", SIZE_KIB);
        let mut second = resource.volumes[0].clone();
        second.number = 1;
        resource.volumes.push(second);
        bench.done("alpha", &resource).await;
        World {
            bench,
            resource,
            next: 0x100,
        }
    }

    fn spec(&self, node: &str, snapshot: &str, target: SnapshotTarget) -> SnapshotSpec {
        let volumes = [0, 1].map(|number| SnapshotVolumeSpec {
            number,
            suffix: StorageSuffix::Data,
            pool: "thin".parse().unwrap(),
            size_kib: SIZE_KIB,
            props: Default::default(),
        });
        let resource = if node == "alpha" { "Data" } else { "Copy" };
        SnapshotSpec {
            resource: resource.parse().unwrap(),
            name: snapshot.parse().unwrap(),
            uuid: uuid_of(node, snapshot),
            resource_uuid: self.resource.uuid,
            target,
            volumes: volumes.into(),
        }
    }

    async fn push(&mut self, node: &str, snapshot: &str, target: SnapshotTarget) -> u64 {
        let wanted = Wanted::new(&Spec::from(self.spec(node, snapshot, target)));
        self.bench.push_wanted(node, wanted).await
    }

    /// How it ended.
    async fn ended(&self, node: &str, snapshot: &str, generation: u64) -> Outcome {
        let name = match node {
            "alpha" => format!("Data@{snapshot}"),
            _ => format!("Copy@{snapshot}"),
        };
        let ended = |heard: &Heard| {
            let told = heard.outcomes.get(&name);
            let of_it = told.filter(|(of, _)| *of >= generation);
            of_it.is_some_and(|(_, outcome)| !matches!(outcome, Outcome::Waiting { .. }))
        };
        self.bench
            .until(node, &format!("the end of {name}"), ended)
            .await;
        self.bench.nodes[node].heard.lock().unwrap().outcomes[&name]
            .1
            .clone()
    }

    async fn take(&mut self, snapshot: &str) {
        let suspend = ToSatellite::Suspend {
            lease: LEASE,
            resources: vec![self.resource.name.clone()],
            duration_ms: 20_000,
        };
        self.bench.send("alpha", suspend).await;
        let suspended =
            |heard: &Heard| heard.suspensions.last() == Some(&(LEASE, SuspensionState::Suspended));
        self.bench.until("alpha", "the suspension", suspended).await;
        let target = SnapshotTarget::Taken { lease: LEASE };
        let generation = self.push("alpha", snapshot, target).await;
        assert_eq!(
            self.ended("alpha", snapshot, generation).await,
            Outcome::Done
        );
        self.bench
            .send("alpha", ToSatellite::Resume { lease: LEASE })
            .await;
        let resumed = |heard: &Heard| {
            let last = heard.suspensions.last();
            last.is_some_and(|(_, state)| *state != SuspensionState::Suspended)
        };
        self.bench.until("alpha", "that I/O goes on", resumed).await;
    }

    fn id(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    async fn send(
        &mut self,
        snapshot: &str,
        port: u16,
        base: Option<&str>,
        link: ShippingLink,
        limit_ms: u64,
    ) -> u64 {
        let base = base.map(|base| BaseSpec {
            snapshot: base.parse().unwrap(),
            uuid: uuid_of("alpha", base),
        });
        let target = SnapshotTarget::SentToPeer(Box::new(OutboundSpec {
            id: self.id(),
            shipment: SHIPMENT,
            address: "127.0.0.1".parse().unwrap(),
            port,
            link,
            limit_ms,
            base,
        }));
        self.push("alpha", snapshot, target).await
    }

    async fn receive(
        &mut self,
        snapshot: &str,
        port: u16,
        base: Option<&str>,
        link: ShippingLink,
        limit_ms: u64,
    ) -> u64 {
        let base = base.map(|base| BaseSpec {
            snapshot: base.parse().unwrap(),
            uuid: uuid_of("beta", base),
        });
        let target = SnapshotTarget::ReceivedFromPeer(Box::new(InboundSpec {
            id: self.id(),
            shipment: SHIPMENT,
            port,
            link,
            limit_ms,
            base,
        }));
        self.push("beta", snapshot, target).await
    }

    /// Ships a snapshot; the sender is there first, so that it has to try again.
    async fn ship(&mut self, snapshot: &str, base: Option<&str>) {
        let (port, of) = (free_port(), Certificates::new());
        let link = Certificates::link(&of.alpha, &of.beta);
        let sent = self.send(snapshot, port, base, link, 20_000).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let link = Certificates::link(&of.beta, &of.alpha);
        let received = self.receive(snapshot, port, base, link, 20_000).await;
        assert_eq!(self.ended("beta", snapshot, received).await, Outcome::Done);
        assert_eq!(self.ended("alpha", snapshot, sent).await, Outcome::Done);
    }

    fn write(&self, volume: u32, blocks: &[(u64, u64)]) {
        for (block, value) in blocks {
            let path = format!("/dev/vg0/Data_{volume:05}");
            self.bench.cluster.poke("alpha", &path, *block, *value);
        }
    }

    /// What a snapshot on a node holds.
    async fn content(&self, node: &str, volume: u32, snapshot: &str) -> BTreeMap<u64, u64> {
        let resource = if node == "alpha" { "Data" } else { "Copy" };
        let name = format!("vg0/{resource}_{volume:05}_{snapshot}");
        let activate = linstor_host::Cmd::new("lvchange").args(["-ay", "-K", &name]);
        let host = self.bench.cluster.host(node);
        let done = linstor_host::Host::run(&host, activate)
            .await
            .expect("a host");
        assert!(done.success(), "{done:?}");
        let path = format!("/dev/{name}");
        let peek = |block| {
            self.bench
                .cluster
                .peek(node, &path, block)
                .expect("it is there")
        };
        let all = (0..BLOCKS).map(|block| (block, peek(block)));
        all.filter(|(_, value)| *value != 0).collect()
    }
}

fn replies(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { replies } => serde_json::to_string(replies).unwrap(),
        other => panic!("it has not failed: {other:?}"),
    }
}

/// Two volumes, and a chain of three: each snapshot there holds what it holds here, and what was shipped before is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_shipped() {
    let mut world = World::new().await;
    world.write(0, &[(0, 1), (1, 2), (700, 3)]);
    world.write(1, &[(5, 9)]);
    let mut base = None;
    for (snapshot, more) in [("s1", 11), ("s2", 12), ("s3", 13)] {
        world.take(snapshot).await;
        world.ship(snapshot, base).await;
        base = Some(snapshot);
        world.write(0, &[(1, more), (1000 + more, more)]);
        world.write(1, &[(6, more)]);
    }
    for snapshot in ["s1", "s2", "s3"] {
        for volume in [0, 1] {
            let here = world.content("alpha", volume, snapshot).await;
            assert!(!here.is_empty());
            let there = world.content("beta", volume, snapshot).await;
            assert_eq!(there, here, "{snapshot} {volume}");
        }
    }
    let first = world.content("beta", 0, "s1").await;
    assert_eq!(first, [(0, 1), (1, 2), (700, 3)].into());
    assert_eq!(world.bench.cluster.violations(), Vec::<String>::new());
}

/// Only who has the key of the shipment is let in, and only to whom it belongs is sent: both sides end, with the reason, and
/// nothing that was half received can be taken for a snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    for stranger in ["alpha", "beta"] {
        let mut world = World::new().await;
        world.write(0, &[(0, 1)]);
        world.take("s1").await;
        let (port, of, other) = (free_port(), Certificates::new(), Certificates::new());
        let (alpha, beta) = match stranger {
            "alpha" => (&other.alpha, &of.beta),
            _ => (&of.alpha, &other.beta),
        };
        let link = Certificates::link(beta, &of.alpha);
        let received = world.receive("s1", port, None, link, 2_000).await;
        let link = Certificates::link(alpha, &of.beta);
        let sent = world.send("s1", port, None, link, 2_000).await;
        let why = replies(&world.ended("alpha", "s1", sent).await);
        assert!(why.contains("has taken nothing for 2 s"), "{why}");
        let why = replies(&world.ended("beta", "s1", received).await);
        assert!(why.contains("has sent nothing for 2 s"), "{why}");
        let secrets = ["BEGIN PRIVATE", &of.alpha[of.alpha.len() - 60..]];
        let text = world.bench.commands_text();
        assert!(
            secrets
                .iter()
                .all(|secret| !text.contains(secret) && !why.contains(secret))
        );
    }
}

/// A side whose other side never comes ends after its limit and says so; a port that another program listens on is named, so that the
/// controller can choose another one; who is told to stop frees its port.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_without_end() {
    let mut world = World::new().await;
    world.take("s1").await;
    let of = Certificates::new();
    let (to_beta, to_alpha) = (
        Certificates::link(&of.alpha, &of.beta),
        Certificates::link(&of.beta, &of.alpha),
    );
    let sent = world.send("s1", free_port(), None, to_beta, 1_000).await;
    let why = replies(&world.ended("alpha", "s1", sent).await);
    assert!(why.contains("has taken nothing for 1 s"), "{why}");
    let received = world
        .receive("s1", free_port(), None, to_alpha.clone(), 1_000)
        .await;
    let why = replies(&world.ended("beta", "s1", received).await);
    assert!(
        why.contains("has sent nothing for 1 s. It has not connected."),
        "{why}"
    );
    let busy = TcpListener::bind("[::]:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let received = world
        .receive("s1", port, None, to_alpha.clone(), 1_000)
        .await;
    let Outcome::Failed { replies } = world.ended("beta", "s1", received).await else {
        panic!("it listens")
    };
    let bare = code::MASK_BITS_TYPE | code::MASK_BITS_CODE;
    let expected = code::FAIL_POOL_EXHAUSTED_BACKUP_SHIPPING_TCP_PORT;
    assert_eq!(replies[0].ret_code & bare, expected & bare);
    assert_eq!(replies[0].obj_refs["TcpPort"], port.to_string());
    drop(busy);
    world.receive("s1", port, None, to_alpha, 60_000).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpListener::bind(("::", port)).is_ok() {
        assert!(Instant::now() < deadline, "it does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let destroyed = world.push("beta", "s1", SnapshotTarget::Destroyed).await;
    assert_eq!(world.ended("beta", "s1", destroyed).await, Outcome::Done);
    assert!(TcpListener::bind(("::", port)).is_ok(), "its port is free");
}

/// Either side is started again in the middle: the shipment is begun anew and comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_can_be_started_again() {
    for node in ["alpha", "beta"] {
        let mut world = World::new().await;
        world.write(0, &[(0, 1), (700, 3)]);
        world.take("s1").await;
        let (port, of) = (free_port(), Certificates::new());
        let to_beta = Certificates::link(&of.alpha, &of.beta);
        let to_alpha = Certificates::link(&of.beta, &of.alpha);
        match node {
            "alpha" => world.send("s1", port, None, to_beta.clone(), 20_000).await,
            _ => {
                world
                    .receive("s1", port, None, to_alpha.clone(), 20_000)
                    .await
            }
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.bench.restart(node);
        world.bench.epoch += 1;
        world.bench.connect(node).await;
        let resources = match node {
            "alpha" => vec![world.resource.clone()],
            _ => Vec::new(),
        };
        world.bench.sync(node, &resources).await;
        let sent = world.send("s1", port, None, to_beta, 20_000).await;
        let received = world.receive("s1", port, None, to_alpha, 20_000).await;
        assert_eq!(world.ended("beta", "s1", received).await, Outcome::Done);
        assert_eq!(world.ended("alpha", "s1", sent).await, Outcome::Done);
        let there = world.content("beta", 0, "s1").await;
        assert_eq!(there, [(0, 1), (700, 3)].into(), "{node}");
    }
}
