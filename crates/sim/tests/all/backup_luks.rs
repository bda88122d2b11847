//! Backups of encrypted volumes: what is sent is encrypted, and the master passphrase of the cluster that made it opens it.

use std::collections::BTreeMap;

use linstor_api::backup::BackupRestore;
use linstor_api::code;
use linstor_api::secret_text::SecretText;
use linstor_controller::ops;

use super::backup::{Kind, NAME, PASSPHRASE, World, no_errors};

const FULL: [(u64, u64); 3] = [(0, 1), (5, 2), (900, 3)];

fn device(name: &str) -> String {
    format!("/dev/mapper/Linstor-Crypt-{name}_00000")
}

fn write(world: &World, blocks: &[(u64, u64)]) {
    for node in world.sim.nodes() {
        for (block, value) in blocks {
            let device = device(NAME);
            world.sim.fake.poke(&node, &device, *block, *value);
        }
    }
}

fn request(to: &str, passphrase: Option<&str>) -> BackupRestore {
    BackupRestore {
        src_rsc_name: Some(NAME.to_owned()),
        target_rsc_name: Some(to.to_owned()),
        node_name: Some("n2".to_owned()),
        passphrase: passphrase.map(SecretText::new),
        ..BackupRestore::default()
    }
}

/// Without the right passphrase nothing is made, and the answer says what is needed, not what was given.
async fn refused_without_passphrase(world: &World, remote: &str) {
    for passphrase in [None, Some("guessed")] {
        let replies = world
            .restore_from(remote, request("copy", passphrase))
            .await;
        let reply = &replies[0];
        let wanted = code::FAIL_NOT_FOUND_CRYPT_KEY | code::MASK_BACKUP;
        assert_eq!((replies.len(), reply.ret_code), (1, wanted), "{reply:?}");
        assert!(reply.cause.is_some() && reply.correction.is_some());
        assert!(!format!("{reply:?}").contains("guessed"));
        let model = world.model();
        assert!(!model.definitions.contains_key(&"copy".parse().unwrap()));
    }
}

/// In the cluster that made it and in another one with another passphrase; from LVM and from ZFS. Before it is restored
/// the passphrase was changed, and the volume got another key.
async fn restored_in_both_clusters(kind: Kind) {
    let world = World::of(kind, true).await;
    write(&world, &FULL);
    let meta = world.backup(false).await;
    let kinds = (&meta.layer_data.kind, &meta.layer_data.children[0].kind);
    assert_eq!(kinds, (&"luks".to_owned(), &"storage".to_owned()));
    assert!(meta.layer_data.volume_list[0].encrypted_password.is_some());
    assert!(meta.luks_info.is_some());
    write(&world, &[(5, 7)]);
    let next = world.backup(true).await;
    assert!(next.based_on.is_some());
    assert_eq!(next.node_name, meta.node_name);
    let cluster = world.sim.cluster().unwrap();
    let changed = linstor_api::encryption::PassphraseCreate {
        new_passphrase: Some(SecretText::new("changed")),
        old_passphrase: Some(SecretText::new(PASSPHRASE)),
    };
    no_errors(ops::encryption::modify(&cluster, changed).await);
    let expected: BTreeMap<u64, u64> = [(0, 1), (5, 7), (900, 3)].into();
    let other = World::of(kind, false).await;
    let passphrase = linstor_api::encryption::PassphraseCreate {
        new_passphrase: Some(SecretText::new("theirs")),
        old_passphrase: Some(SecretText::new(PASSPHRASE)),
    };
    let cluster = other.sim.cluster().unwrap();
    no_errors(ops::encryption::modify(&cluster, passphrase).await);
    other.add_remote("theirs", &world.store).await;
    for (world, remote) in [(&world, "s3"), (&other, "theirs")] {
        refused_without_passphrase(world, remote).await;
        no_errors(
            world
                .restore_from(remote, request("copy", Some(PASSPHRASE)))
                .await,
        );
        assert_eq!(world.content("n2", &device("copy")), expected);
        assert!(!format!("{:?}", world.model()).contains(PASSPHRASE));
    }
    for key in world.store.keys() {
        let object = world.store.get(&key).unwrap();
        let text = String::from_utf8_lossy(&object);
        assert!(!text.contains(PASSPHRASE), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_volumes_are_restored_from_lvm() {
    restored_in_both_clusters(Kind::Thin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_volumes_are_restored_from_zfs() {
    restored_in_both_clusters(Kind::Zfs).await;
}
