//! Backups that are restored in place of the resources that are there.

use linstor_api::backup::BackupRestore;
use linstor_api::code;

use super::backup::{Kind, NAME, World, no_errors};

fn forced() -> BackupRestore {
    BackupRestore {
        force_restore: true,
        ..BackupRestore::default()
    }
}

fn nodes(world: &World) -> Vec<String> {
    let model = world.model();
    let resources = model.resources_of(&NAME.parse().unwrap());
    resources.map(|row| row.node.to_string()).collect()
}

/// What is on the node already is not received again; a resource that is open is not deleted before it is closed.
async fn replaced(kind: Kind) {
    let world = World::of(kind, false).await;
    let full = [(0, 1), (5, 2), (900, 3)];
    world.write(&full);
    world.backup(false).await;
    world.write(&[(5, 7), (6, 8)]);
    let device = world.device(NAME);
    // LVM knows what is open.
    let is_open = kind == Kind::Thin;
    if is_open {
        world.sim.fake.open_device("n1", &device);
    }
    let closing = async {
        if is_open {
            let deleted = |world: &World| nodes(world) == ["n1"];
            world.until("the closed one to be deleted", deleted).await;
            let now: std::collections::BTreeMap<_, _> = [(0, 1), (5, 7), (6, 8), (900, 3)].into();
            assert_eq!(world.content("n1", &device), now);
            world.sim.fake.close_device("n1", &device);
        }
    };
    let (replies, ()) = tokio::join!(world.restore_with(NAME, "n2", forced()), closing);
    no_errors(replies);
    assert_eq!(nodes(&world), ["n2"]);
    assert_eq!(world.content("n2", &device), full.into());
    assert_eq!(world.model().processes.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_replaced_in_lvm() {
    replaced(Kind::Thin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_replaced_in_zfs() {
    replaced(Kind::Zfs).await;
}

/// Nor is anything deleted for a backup that is damaged, or where that is not allowed.
#[tokio::test(flavor = "multi_thread")]
async fn resources_remain_when_a_backup_is_damaged() {
    let world = World::of(Kind::Thin, false).await;
    world.write(&[(0, 1), (5, 2)]);
    let meta = world.backup(false).await;
    let cluster = world.sim.cluster().unwrap();
    let name = NAME.to_owned();
    let snapshot = meta.backups[&0].0[0]
        .name
        .replacen(&format!("{NAME}_00000_"), "", 1);
    let delete = linstor_sim::workload::Op::DeleteSnapshot { name, snapshot };
    no_errors(delete.run(cluster.clone()).await);
    world.write(&[(6, 8)]);
    let key = &meta.backups[&0].0[0].name;
    let mut object = world.store.get(key).unwrap().to_vec();
    object[12 + 28 + 9] ^= 0x40;
    world.store.put(key, object);
    let replies = world.restore_with(NAME, "n2", forced()).await;
    assert!(replies.iter().any(|reply| reply.is_error()), "{replies:?}");
    world
        .until("the end", |world| world.model().processes.is_empty())
        .await;
    assert_eq!(nodes(&world), ["n1", "n2"]);
    let now = [(0, 1), (5, 2), (6, 8)].into();
    assert_eq!(world.content("n2", &world.device(NAME)), now);
    let forbid = linstor_api::properties::PropertiesModify {
        override_props: [(
            "BackupShipping/AllowForceRestore".to_owned(),
            Some("False".to_owned()),
        )]
        .into(),
        ..Default::default()
    };
    let modified = linstor_controller::ops::controller::modify(&cluster, forbid);
    no_errors(modified.await);
    let replies = world.restore_with(NAME, "n2", forced()).await;
    let refused = replies.iter().find(|reply| reply.is_error()).unwrap();
    let wanted = code::FAIL_EXISTS_RSC | code::MASK_BACKUP;
    assert_eq!(refused.ret_code, wanted, "{refused:?}");
}
