//! Backups between a controller, its satellites and a store, in real time: the store answers on a socket.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use linstor_api::backup::{BackupAbort, BackupCreate, BackupRestore};
use linstor_api::remote::S3Remote;
use linstor_api::reply::Reply;
use linstor_api::secret_text::SecretText;
use linstor_controller::ops;
use linstor_controller::transaction::Refusal;
use linstor_fake_s3::{ACCESS_KEY, BUCKET, Behaviour, Store};
use linstor_model::Model;
use linstor_model::backup::Meta;
use linstor_satellite::thin_stream::{self, Target};
use linstor_sim::Sim;
use linstor_sim::cluster::Shape;
use linstor_sim::trace::Trace;
use linstor_sim::workload::Op;
use linstor_wire::Secret;
use tokio::time::{Instant, sleep};

pub const NAME: &str = "r1";
const DEVICE: &str = "/dev/vg0/r1_00000";
pub const PASSPHRASE: &str = "passphrase";
const SIZE_KIB: u64 = 8 * 1024;
const BLOCK: u64 = 4096;
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What the volumes of a world are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Thin,
    Zfs,
}

pub struct World {
    pub sim: Sim,
    pub store: Store,
    kind: Kind,
}

pub fn no_errors(replies: Vec<Reply>) -> Vec<Reply> {
    let error = replies.iter().find(|reply| reply.is_error());
    assert!(error.is_none(), "{error:?}");
    replies
}

impl World {
    /// A resource with two replicas, and a remote that is the store.
    async fn new() -> World {
        World::of(Kind::Thin, false).await
    }

    /// Of one kind, encrypted or not.
    pub async fn of(kind: Kind, encrypted: bool) -> World {
        let store = Store::start().await;
        let shape = Shape {
            drbd: None,
            nodes: 2,
            thin: kind == Kind::Thin,
        };
        let mut sim = Sim::new(1, shape, Trace::new(false)).await;
        match kind {
            Kind::Thin => no_errors(sim.register().await),
            Kind::Zfs => {
                for node in sim.nodes() {
                    sim.fake.add_zpool(&node, "tank", 1024 * 1024);
                }
                no_errors(sim.register_with(("ZFS_THIN", "tank".to_owned())).await)
            }
        };
        let world = World { sim, store, kind };
        let cluster = world.sim.cluster().unwrap();
        let spawn = Op::Spawn {
            name: NAME.to_owned(),
            kib: SIZE_KIB,
            place: 2,
            drbd: false,
        };
        // Resources that are made with a master key are encrypted here.
        let passphrase = Secret::new(PASSPHRASE);
        if !encrypted {
            no_errors(spawn.run(cluster.clone()).await);
            let unlocked = ops::encryption::at_start(&cluster, &passphrase);
            unlocked.await.unwrap();
        } else {
            let unlocked = ops::encryption::at_start(&cluster, &passphrase);
            unlocked.await.unwrap();
            no_errors(spawn.run(cluster.clone()).await);
        }
        world.add_remote("s3", &world.store).await;
        world
    }

    pub fn model(&self) -> std::sync::Arc<Model> {
        self.sim.cluster().unwrap().model()
    }

    pub async fn until(&self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: {:?}",
                self.sim.cluster().map(|c| c.jobs())
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a remote of a store.
    pub async fn add_remote(&self, name: &str, store: &Store) {
        let remote = S3Remote {
            remote_name: Some(name.to_owned()),
            endpoint: Some(store.endpoint().to_owned()),
            bucket: Some(BUCKET.to_owned()),
            region: Some("r".to_owned()),
            access_key: Some(SecretText::new(ACCESS_KEY)),
            secret_key: Some(SecretText::new("secret-of-the-bucket")),
            use_path_style: Some(true),
        };
        let cluster = self.sim.cluster().unwrap();
        no_errors(ops::remote::create_s3(&cluster, remote).await);
    }

    /// The device of a volume.
    pub fn device(&self, name: &str) -> String {
        match self.kind {
            Kind::Thin => format!("/dev/vg0/{name}_00000"),
            Kind::Zfs => format!("/dev/zvol/tank/{name}_00000"),
        }
    }

    pub fn write(&self, blocks: &[(u64, u64)]) {
        let device = self.device(NAME);
        for (block, value) in blocks {
            for node in self.sim.nodes() {
                self.sim.fake.poke(&node, &device, *block, *value);
            }
        }
    }

    pub async fn begin(&self, incremental: bool) -> Vec<Reply> {
        let request = BackupCreate {
            rsc_name: Some(NAME.to_owned()),
            incremental,
            ..BackupCreate::default()
        };
        ops::backup::create(&self.sim.cluster().unwrap(), "s3".to_owned(), request).await
    }

    /// Makes a backup; returns its description.
    pub async fn backup(&self, incremental: bool) -> Meta {
        // Its name has the time in seconds.
        sleep(Duration::from_millis(1100)).await;
        let before = self.metas();
        no_errors(self.begin(incremental).await);
        self.until("the backup", |world| {
            world.model().shipments().next().is_none()
        })
        .await;
        let mut now = self.metas();
        now.retain(|key, _| !before.contains_key(key));
        now.into_values().next().expect("there is a new backup")
    }

    pub fn metas(&self) -> BTreeMap<String, Meta> {
        let keys = self.store.keys().into_iter();
        let metas = keys.filter(|key| key.ends_with(".meta"));
        metas
            .map(|key| {
                let text = self.store.get(&key).unwrap();
                (key, Meta::read(&text).unwrap())
            })
            .collect()
    }

    /// Applies the stream of a backup to what a volume holds. Returns how long the stream is.
    async fn receive(&self, meta: &Meta, into: &mut Memory) -> usize {
        let object = self.store.get(&meta.backups[&0].0[0].name).unwrap();
        // The frame of the fake zstd: magic, length, content.
        let mut stream = &object[12..];
        let length = stream.len();
        thin_stream::receive(&mut stream, u64::MAX, into)
            .await
            .unwrap();
        length
    }

    pub async fn restore(&self, to: &str, node: &str) -> Vec<Reply> {
        self.restore_with(to, node, BackupRestore::default()).await
    }

    /// With what a request has beside the names.
    pub async fn restore_with(&self, to: &str, node: &str, with: BackupRestore) -> Vec<Reply> {
        let request = BackupRestore {
            src_rsc_name: Some(NAME.to_owned()),
            target_rsc_name: Some(to.to_owned()),
            node_name: Some(node.to_owned()),
            ..with
        };
        self.restore_from("s3", request).await
    }

    pub async fn restore_from(&self, remote: &str, request: BackupRestore) -> Vec<Reply> {
        let cluster = self.sim.cluster().unwrap();
        let restored = ops::backup::restore(&cluster, remote.to_owned(), request);
        restored.await.unwrap_or_else(|Refusal(replies)| replies)
    }

    /// What a volume on a node holds.
    pub fn content(&self, node: &str, device: &str) -> BTreeMap<u64, u64> {
        let blocks = 0..SIZE_KIB * 1024 / BLOCK;
        let peek = |block| self.sim.fake.peek(node, device, block).unwrap();
        let all = blocks.map(|block| (block, peek(block)));
        all.filter(|(_, value)| *value != 0).collect()
    }

    pub fn status(&self) -> Vec<String> {
        let model = self.model();
        let rows = model.snapshots_of(&NAME.parse().unwrap());
        let key = "BackupShipping/Source/s3/ShippingStatus";
        let status = rows.map(|row| row.props.get(key).cloned().unwrap_or_default());
        status.collect()
    }
}

#[derive(Default, PartialEq, Debug)]
struct Memory(BTreeMap<u64, u64>);

#[async_trait]
impl Target for Memory {
    async fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (index, block) in bytes.chunks(BLOCK as usize).enumerate() {
            let value = u64::from_le_bytes(block[..8].try_into().unwrap());
            self.0.insert(offset / BLOCK + index as u64, value);
        }
        Ok(())
    }

    async fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        for block in offset / BLOCK..(offset + bytes) / BLOCK {
            self.0.insert(block, 0);
        }
        Ok(())
    }
}

impl Memory {
    fn written(&self) -> BTreeMap<u64, u64> {
        let blocks = self.0.iter().filter(|(_, value)| **value != 0);
        blocks.map(|(block, value)| (*block, *value)).collect()
    }
}

/// A full backup and two incremental ones: each stream on top of the ones before gives what the volume held at that time.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_backups_is_made() {
    let world = World::new().await;
    world.write(&[(0, 1), (1, 2), (700, 3)]);
    let mut memory = Memory::default();
    let full = world.backup(false).await;
    assert_eq!(full.based_on, None);
    world.receive(&full, &mut memory).await;
    assert_eq!(memory.written(), [(0, 1), (1, 2), (700, 3)].into());
    let mut keys = vec![full];
    let mut expected: BTreeMap<u64, u64> = [(0, 1), (1, 2), (700, 3)].into();
    for (block, value) in [(1, 7), (900, 8)] {
        world.write(&[(block, value)]);
        expected.insert(block, value);
        let next = world.backup(true).await;
        let base = keys.last().unwrap();
        let key = |meta: &Meta| {
            let object = &meta.backups[&0].0[0].name;
            format!("{}.meta", object.replacen("_00000_", "_", 1))
        };
        assert_eq!(next.based_on, Some(key(base)));
        assert_eq!(next.node_name, base.node_name);
        let length = world.receive(&next, &mut memory).await;
        assert!(
            length < 3 * 64 * 1024,
            "more than what has changed: {length}"
        );
        assert_eq!(memory.written(), expected);
        keys.push(next);
    }
    assert_eq!(world.status(), ["Success"; 3]);
    assert_eq!(world.store.unfinished_uploads(), 0);
    let cluster = world.sim.cluster().unwrap();
    let list = ops::backup::list(&cluster, "s3".to_owned(), None, None);
    let Ok(list) = list.await else {
        panic!("no list")
    };
    let backups: Vec<_> = list.linstor.values().collect();
    assert_eq!(backups.len(), 3);
    assert!(backups.iter().all(|backup| backup.restorable == Some(true)));
    for node in world.sim.nodes() {
        let files = world.sim.fake.files(&node);
        assert!(
            !files
                .values()
                .any(|text| text.contains("secret-of-the-bucket"))
        );
    }
}

/// What was sent, and the snapshot that was made for the backup, are removed when it is aborted; twice is once.
#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_backup_leaves_nothing() {
    let world = World::new().await;
    world.write(&[(0, 1)]);
    let slow = Duration::from_millis(400);
    world.sim.fake.configure(|config| config.read_time = slow);
    no_errors(world.begin(false).await);
    let cluster = world.sim.cluster().unwrap();
    let abort = || {
        let request = BackupAbort {
            rsc_name: Some(NAME.to_owned()),
            ..BackupAbort::default()
        };
        ops::backup::abort(&cluster, "s3".to_owned(), request)
    };
    assert_eq!(no_errors(abort().await).len(), 1);
    assert_eq!(world.model().shipments().count(), 0);
    world
        .until("the snapshot", |world| {
            world
                .model()
                .snapshots_of(&NAME.parse().unwrap())
                .next()
                .is_none()
        })
        .await;
    assert_eq!(world.store.keys(), Vec::<String>::new());
    assert_eq!(world.store.unfinished_uploads(), 0);
    assert!(no_errors(abort().await).is_empty());
}

/// A satellite that was killed goes on when it is back; so does a controller.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_survives_restarts() {
    let mut world = World::new().await;
    world.write(&[(0, 1), (5, 2)]);
    let slow = Duration::from_millis(400);
    world.sim.fake.configure(|config| config.read_time = slow);
    no_errors(world.begin(false).await);
    for node in world.sim.nodes() {
        world.sim.kill_satellite(&node).await;
    }
    world.sim.kill_controller().await;
    for node in world.sim.nodes() {
        world.sim.start_satellite(&node);
    }
    world.sim.start_controller().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        world.model().shipments().count(),
        1,
        "it waits for the master key"
    );
    let passphrase = Secret::new(PASSPHRASE);
    let cluster = world.sim.cluster().unwrap();
    ops::encryption::at_start(&cluster, &passphrase)
        .await
        .unwrap();
    world
        .until("the backup", |world| {
            world.model().shipments().next().is_none()
        })
        .await;
    let mut memory = Memory::default();
    let meta = world.metas().into_values().next().unwrap();
    world.receive(&meta, &mut memory).await;
    assert_eq!(memory.written(), [(0, 1), (5, 2)].into());
    assert_eq!(world.status(), ["Success"]);
}

/// A store that refuses ends the backup with the reason, and a snapshot that was taken for it remains.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_ends_the_backup() {
    let world = World::new().await;
    world.write(&[(0, 1)]);
    world.store.behave(Behaviour {
        read_only: true,
        ..Behaviour::default()
    });
    let replies = world.begin(false).await;
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    world
        .until("the end", |world| {
            world.model().shipments().next().is_none()
        })
        .await;
    assert_eq!(world.status(), ["Failed"]);
    let model = world.model();
    let row = model.snapshots_of(&NAME.parse().unwrap()).next().unwrap();
    let why = &row.props["BackupShipping/Source/s3/FailureReason"];
    assert!(why.contains("read-only"), "{why}");
    assert_eq!(world.store.unfinished_uploads(), 0);
    assert_eq!(world.store.keys(), Vec::<String>::new());
}

/// The latest backup of a chain of three becomes a resource with the same content on a node of choice, and only then can
/// that have others.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_restored() {
    let world = World::new().await;
    world.write(&[(0, 1), (1, 2), (700, 3), (2000, 9)]);
    world.backup(false).await;
    for blocks in [[(1, 7), (700, 0)], [(900, 8), (2, 5)]] {
        world.write(&blocks);
        world.backup(true).await;
    }
    let expected = world.content("n1", DEVICE);
    assert_eq!(
        expected,
        [(0, 1), (1, 7), (2, 5), (900, 8), (2000, 9)].into()
    );
    // What comes later is not part of it.
    world.write(&[(0, 77)]);
    no_errors(world.restore("copy", "n2").await);
    assert_eq!(world.content("n2", "/dev/vg0/copy_00000"), expected);
    let model = world.model();
    let row = model.resource(&"copy".parse().unwrap(), &"n2".parse().unwrap());
    assert!(
        row.unwrap()
            .volumes
            .values()
            .all(|volume| volume.source.is_none())
    );
    assert_eq!(model.processes.len(), 0);
    // It has resources now, which are not touched.
    let again = no_errors(world.restore("copy", "n2").await);
    assert!(
        format!("{again:?}").contains("only downloaded"),
        "{again:?}"
    );
    let model = world.model();
    assert_eq!(model.snapshots_of(&"copy".parse().unwrap()).count(), 2);
    assert_eq!(world.content("n2", "/dev/vg0/copy_00000"), expected);
    for node in world.sim.nodes() {
        let files = world.sim.fake.files(&node);
        assert!(
            !files
                .values()
                .any(|text| text.contains("secret-of-the-bucket"))
        );
    }
}

/// A missing object is named before anything is made; one that is damaged or shorter is found before the resource is there,
/// and nothing of it remains.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_leaves_nothing() {
    let world = World::new().await;
    world.write(&[(0, 1), (5, 2)]);
    let meta = world.backup(false).await;
    let key = meta.backups[&0].0[0].name.clone();
    let object = world.store.get(&key).unwrap();
    let mut changed = object.to_vec();
    // The offset of the first chunk.
    changed[12 + 28 + 9] ^= 0x40;
    let shorter = object[..object.len() - 9].to_vec();
    for damaged in [Some(changed), Some(shorter), None] {
        match &damaged {
            Some(content) => world.store.put(&key, content.clone()),
            None => world.store.remove(&key),
        }
        let replies = world.restore("copy", "n2").await;
        let error = replies.iter().find(|reply| reply.is_error()).unwrap();
        if damaged.is_none() {
            assert!(format!("{error:?}").contains(&key), "{error:?}");
        }
        world
            .until("the end", |world| {
                let model = world.model();
                model.processes.is_empty()
                    && !model.definitions.contains_key(&"copy".parse().unwrap())
            })
            .await;
        let volumes = world.sim.fake.logical_volumes("n2", "vg0");
        assert!(
            !volumes.iter().any(|name| name.starts_with("copy")),
            "{volumes:?}"
        );
    }
}

/// A satellite that was killed while it received begins anew; an abort removes what there was, and is final.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_survives_restarts_and_is_aborted() {
    let mut world = World::new().await;
    world.write(&[(0, 1), (5, 2)]);
    world.backup(false).await;
    let slow = Duration::from_millis(600);
    world.sim.fake.configure(|config| config.change_time = slow);
    let cluster = world.sim.cluster().unwrap();
    let restoring = {
        let request = BackupRestore {
            src_rsc_name: Some(NAME.to_owned()),
            target_rsc_name: Some("copy".to_owned()),
            node_name: Some("n2".to_owned()),
            ..BackupRestore::default()
        };
        let cluster = cluster.clone();
        tokio::spawn(async move { ops::backup::restore(&cluster, "s3".to_owned(), request).await })
    };
    let made = |world: &World| {
        let volumes = world.sim.fake.logical_volumes("n2", "vg0");
        volumes.iter().any(|name| name.starts_with("copy"))
    };
    world.until("the volume", made).await;
    world.sim.kill_satellite("n2").await;
    world.sim.start_satellite("n2");
    let Ok(replies) = restoring.await.unwrap() else {
        panic!("refused")
    };
    no_errors(replies);
    assert_eq!(
        world.content("n2", "/dev/vg0/copy_00000"),
        [(0, 1), (5, 2)].into()
    );
    let request = BackupRestore {
        src_rsc_name: Some(NAME.to_owned()),
        target_rsc_name: Some("other".to_owned()),
        node_name: Some("n1".to_owned()),
        ..BackupRestore::default()
    };
    let again = cluster.clone();
    let restoring =
        tokio::spawn(async move { ops::backup::restore(&again, "s3".to_owned(), request).await });
    world
        .until("the process", |world| !world.model().processes.is_empty())
        .await;
    let request = BackupAbort {
        rsc_name: Some("other".to_owned()),
        restore: Some(true),
        ..BackupAbort::default()
    };
    no_errors(ops::backup::abort(&cluster, "s3".to_owned(), request).await);
    assert!(
        restoring
            .await
            .unwrap()
            .is_ok_and(|replies| replies.iter().any(Reply::is_error))
    );
    assert!(
        !world
            .model()
            .definitions
            .contains_key(&"other".parse().unwrap())
    );
    let volumes = world.sim.fake.logical_volumes("n1", "vg0");
    assert!(
        !volumes.iter().any(|name| name.starts_with("other")),
        "{volumes:?}"
    );
}
