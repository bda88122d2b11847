//! Backups of volumes in ZFS: `zfs send` and `zfs receive` of the fake machines, whose streams have the format of the real ones.

use std::time::Duration;

use linstor_api::backup::{BackupAbort, BackupRestore};
use linstor_api::reply::Reply;
use linstor_controller::ops;
use linstor_sim::workload::Op;

use super::backup::{Kind, NAME, World, no_errors};

/// The volumes and snapshots of a node that have to do with a resource.
fn volumes(world: &World, node: &str, name: &str) -> Vec<String> {
    let mut all = world.sim.fake.zfs_volumes(node);
    all.retain(|volume| volume.contains(&format!("{name}_00000")));
    all
}

async fn delete(world: &World, name: &str) {
    let cluster = world.sim.cluster().unwrap();
    for node in world.sim.nodes() {
        let name = name.to_owned();
        no_errors(Op::Delete { name, node }.run(cluster.clone()).await);
    }
}

/// A chain of three is made by one node and restored on another one; what is received goes with its last user.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_made_and_restored() {
    let world = World::of(Kind::Zfs, false).await;
    world.write(&[(0, 1), (1, 2), (700, 3), (2000, 9)]);
    let full = world.backup(false).await;
    let layer = &full.layer_data.storage()[0].volume_list[0];
    assert_eq!(
        (layer.kind.as_str(), layer.extent_size),
        ("zfsThin", Some(16))
    );
    let sizes = |meta: &linstor_model::backup::Meta| {
        let object = world.store.get(&meta.backups[&0].0[0].name).unwrap();
        object.len()
    };
    for blocks in [[(1, 7), (700, 0)], [(900, 8), (2, 5)]] {
        world.write(&blocks);
        let next = world.backup(true).await;
        assert!(next.based_on.is_some());
        assert_eq!(next.node_name, full.node_name);
        assert!(sizes(&next) < sizes(&full), "{}", sizes(&next));
    }
    let expected = world.content("n1", &world.device(NAME));
    assert_eq!(
        expected,
        [(0, 1), (1, 7), (2, 5), (900, 8), (2000, 9)].into()
    );
    // What comes later is not part of it.
    world.write(&[(0, 77)]);
    for (to, node) in [("copy", "n2"), ("other", "n1")] {
        no_errors(world.restore(to, node).await);
        assert_eq!(world.content(node, &world.device(to)), expected);
        // The volume, what was received, and its snapshot.
        let there = volumes(&world, node, to);
        assert_eq!(there.len(), 3, "{there:?}");
    }
    let cluster = world.sim.cluster().unwrap();
    let snapshot = world.model();
    let snapshot = snapshot.snapshots_of(&"copy".parse().unwrap()).next();
    let snapshot = snapshot.unwrap().name.to_string();
    let name = "copy".to_owned();
    no_errors(Op::DeleteSnapshot { name, snapshot }.run(cluster).await);
    assert_eq!(world.content("n2", &world.device("copy")), expected);
    let name = "copy".to_owned();
    let cluster = world.sim.cluster().unwrap();
    no_errors(Op::DeleteDefinition { name }.run(cluster).await);
    assert_eq!(volumes(&world, "n2", "copy"), Vec::<String>::new());
}

/// ZFS has no changes since a snapshot of a volume that was replaced: all of it is sent instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_after_a_restore_is_a_full_one() {
    let world = World::of(Kind::Zfs, false).await;
    world.write(&[(0, 1), (5, 2)]);
    let full = world.backup(false).await;
    delete(&world, NAME).await;
    // Its snapshot is still there: nothing is received.
    no_errors(world.restore(NAME, &full.node_name).await);
    let device = world.device(NAME);
    assert_eq!(
        world.content(&full.node_name, &device),
        [(0, 1), (5, 2)].into()
    );
    world.sim.fake.poke(&full.node_name, &device, 9, 4);
    let next = world.backup(true).await;
    assert_eq!(next.based_on, None);
    let other = world.sim.nodes();
    let other = other.iter().find(|node| **node != full.node_name).unwrap();
    no_errors(world.restore("copy", other).await);
    let copy = world.content(other, &world.device("copy"));
    assert_eq!(copy, [(0, 1), (5, 2), (9, 4)].into());
    // And that is a base again.
    world.sim.fake.poke(&full.node_name, &device, 10, 4);
    assert!(world.backup(true).await.based_on.is_some());
}

/// A stream with another byte, or without its end, is found before the resource is there, and nothing of it remains.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_stream_leaves_nothing() {
    let world = World::of(Kind::Zfs, false).await;
    world.write(&[(0, 1), (5, 2)]);
    let full = world.backup(false).await;
    world.write(&[(6, 3)]);
    let next = world.backup(true).await;
    for meta in [&full, &next] {
        let key = &meta.backups[&0].0[0].name;
        let object = world.store.get(key).unwrap().to_vec();
        let mut changed = object.clone();
        // In the data of a block, which no record describes.
        *changed.iter_mut().rev().nth(700).unwrap() ^= 0x40;
        // The fake zstd has the length of its frame after four bytes of magic.
        let mut shorter = object[..object.len() - 312].to_vec();
        let length = (shorter.len() as u64 - 12).to_le_bytes();
        shorter[4..12].copy_from_slice(&length);
        for damaged in [changed, shorter] {
            world.store.put(key, damaged);
            let replies = world.restore("copy", "n2").await;
            let error = replies.iter().find(|reply| reply.is_error()).unwrap();
            assert!(format!("{error:?}").contains(key), "{error:?}");
            world
                .until("the end", |world| {
                    let model = world.model();
                    model.processes.is_empty()
                        && !model.definitions.contains_key(&"copy".parse().unwrap())
                })
                .await;
            assert_eq!(volumes(&world, "n2", "copy"), Vec::<String>::new());
        }
        world.store.put(key, object);
    }
    no_errors(world.restore("copy", "n2").await);
}

/// A satellite that was killed while it received begins anew; an abort removes what there was, and is final.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_survives_restarts_and_is_aborted() {
    let mut world = World::of(Kind::Zfs, false).await;
    world.write(&[(0, 1), (5, 2)]);
    world.backup(false).await;
    world.write(&[(6, 3)]);
    world.backup(true).await;
    let slow = Duration::from_millis(600);
    world.sim.fake.configure(|config| config.change_time = slow);
    let cluster = world.sim.cluster().unwrap();
    let restore = |to: &str, node: &str| {
        let request = BackupRestore {
            src_rsc_name: Some(NAME.to_owned()),
            target_rsc_name: Some(to.to_owned()),
            node_name: Some(node.to_owned()),
            ..BackupRestore::default()
        };
        let cluster = cluster.clone();
        tokio::spawn(async move { ops::backup::restore(&cluster, "s3".to_owned(), request).await })
    };
    let restoring = restore("copy", "n2");
    let is_there = |world: &World| !volumes(world, "n2", "copy").is_empty();
    world.until("the volume", is_there).await;
    world.sim.kill_satellite("n2").await;
    world.sim.start_satellite("n2");
    let Ok(replies) = restoring.await.unwrap() else {
        panic!("refused")
    };
    no_errors(replies);
    assert_eq!(
        world.content("n2", &world.device("copy")),
        [(0, 1), (5, 2), (6, 3)].into()
    );
    let restoring = restore("other", "n1");
    let is_there = |world: &World| !volumes(world, "n1", "other").is_empty();
    world.until("the volume", is_there).await;
    let request = BackupAbort {
        rsc_name: Some("other".to_owned()),
        restore: Some(true),
        ..BackupAbort::default()
    };
    no_errors(ops::backup::abort(&cluster, "s3".to_owned(), request).await);
    let ended = restoring.await.unwrap();
    assert!(ended.is_ok_and(|replies| replies.iter().any(Reply::is_error)));
    assert_eq!(volumes(&world, "n1", "other"), Vec::<String>::new());
}
