//! Backups that are verified: read to their ends by a node, and what is damaged is named.

use linstor_api::backup::BackupInfoRequest;
use linstor_api::reply::Reply;
use linstor_controller::ops;
use linstor_controller::transaction::Refusal;

use super::backup::{Kind, NAME, World};

async fn verify(world: &World, id: &str) -> Vec<Reply> {
    let request = BackupInfoRequest {
        last_backup: Some(id.to_owned()),
        ..BackupInfoRequest::default()
    };
    let cluster = world.sim.cluster().unwrap();
    let verified = ops::backup::verify(&cluster, "s3", request).await;
    verified.unwrap_or_else(|Refusal(replies)| replies)
}

/// A chain of two; then other bytes in what the second is based on, and an object that is shorter. Nothing is written.
async fn verified(kind: Kind) {
    let world = World::of(kind, false).await;
    world.write(&[(0, 1), (5, 2)]);
    let full = world.backup(false).await;
    world.write(&[(6, 3)]);
    let next = world.backup(true).await;
    let id = |meta: &linstor_model::backup::Meta| {
        let object = &meta.backups[&0].0[0].name;
        object.replacen("_00000_", "_", 1)
    };
    let before = world.sim.fake.journal().len();
    let replies = verify(&world, &id(&next)).await;
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    assert!(replies[0].message.contains("is whole"), "{replies:?}");
    let commands = world.sim.fake.journal();
    let changing = commands[before..].iter().filter(|entry| entry.mutating);
    assert_eq!(changing.count(), 0);
    let key = &full.backups[&0].0[0].name;
    let object = world.store.get(key).unwrap().to_vec();
    let mut changed = object.clone();
    // A header of the stream: the fake zstd checks nothing but the length.
    changed[12 + 28 + 9] ^= 0x40;
    let shorter = object[..object.len() - 1].to_vec();
    for (damaged, of) in [(changed, &next), (shorter, &full)] {
        world.store.put(key, damaged);
        let replies = verify(&world, &id(of)).await;
        let reply = replies.iter().find(|reply| reply.is_error()).unwrap();
        assert!(reply.message.contains(key), "{reply:?}");
        assert!(reply.cause.is_some() && reply.correction.is_some());
    }
    let cluster = world.sim.cluster().unwrap();
    assert_eq!(cluster.jobs().len(), 0);
    let model = world.model();
    assert_eq!(model.snapshots_of(&NAME.parse().unwrap()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_lvm_are_verified() {
    verified(Kind::Thin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_zfs_are_verified() {
    verified(Kind::Zfs).await;
}
