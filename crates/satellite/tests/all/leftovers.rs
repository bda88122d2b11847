//! What earlier identities have left: found by its mark, shown, and removed as it was shown.

use std::collections::BTreeSet;

use linstor_wire::question::{Answer, Leftover, LeftoverKind, Question};
use linstor_wire::spec::{ResourceSpec, StorageSpec};
use linstor_wire::status::Outcome;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind, Heard};
use crate::drbd::{SIZE_KIB, spec};
use crate::storage::{data, plain};

async fn leftovers(bench: &mut Bench) -> Vec<Leftover> {
    match bench.ask("alpha", Question::Leftovers).await {
        Answer::Leftovers(found) => found,
        other => panic!("{other:?}"),
    }
}

/// Returns the messages.
async fn forget(bench: &mut Bench, ids: &[String]) -> Vec<String> {
    let ids: BTreeSet<String> = ids.iter().cloned().collect();
    match bench.ask("alpha", Question::Forget { ids }).await {
        Answer::Done(replies) => replies.into_iter().map(|reply| reply.message).collect(),
        other => panic!("{other:?}"),
    }
}

/// A volume in each kind of pool is left over once the controller has its resource no more; one that has a resource is
/// not, nor is one of the same name without a mark.
#[tokio::test(start_paused = true)]
async fn volumes_without_a_resource() {
    for pool in ["lvm", "thin", "zfs", "zfsthin", "file", "filethin"] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        let old = plain(pool, 102_400);
        bench.done("alpha", &old).await;
        assert_eq!(leftovers(&mut bench).await, [], "{pool}");
        bench.sync("alpha", &[]).await;
        let found = leftovers(&mut bench).await;
        // Two pools of ZFS and FILE are in one place.
        let found: Vec<&Leftover> = found
            .iter()
            .filter(
                |found| matches!(&found.what, LeftoverKind::Volume { pool: of, .. } if of == pool),
            )
            .collect();
        assert_eq!(found.len(), 1, "{pool}: {found:?}");
        assert_eq!(found[0].name, "Data_00000");
        assert_eq!(found[0].owner.map(|(_, resource)| resource), Some(old.uuid));
        let id = found[0].id();

        let other = [id.replace(&old.uuid.to_string(), &Uuid::from_u128(1).to_string())];
        assert_eq!(
            forget(&mut bench, &other).await,
            Vec::<String>::new(),
            "{pool}"
        );
        let gone = forget(&mut bench, std::slice::from_ref(&id)).await;
        assert_eq!(
            gone,
            [format!(
                "Volume 'Data_00000' of storage pool '{pool}' removed."
            )]
        );
        assert_eq!(leftovers(&mut bench).await, [], "{pool}");
        assert_eq!(
            forget(&mut bench, &[id]).await,
            Vec::<String>::new(),
            "twice is as once"
        );
        bench.done("alpha", &plain(pool, 102_400)).await;
        assert_eq!(bench.cluster.violations(), Vec::<String>::new());
    }
}

fn storage_of(spec: &mut ResourceSpec) -> &mut StorageSpec {
    data(spec)
}

/// A resource that is up in DRBD on volumes of an earlier identity is taken down, then its volumes are removed; its minor and
/// port are reported until then, and no other resource is set up with the minor.
#[tokio::test(start_paused = true)]
async fn a_resource_in_drbd_without_a_spec() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = Bench::new();
        for name in ["alpha", "beta"] {
            bench.add_node(name, kind).await;
        }
        let layout = [("alpha", false), ("beta", false)];
        let mut old = spec("alpha", &layout);
        assert_eq!(storage_of(&mut old).size_kib, SIZE_KIB);
        bench.done("alpha", &old).await;
        bench.sync("alpha", &[]).await;
        let found = leftovers(&mut bench).await;
        let ids: Vec<String> = found.iter().map(Leftover::id).collect();
        assert_eq!(found.len(), 2, "{kind:?}: {found:#?}");
        let LeftoverKind::Drbd { minors, ports } = &found[0].what else {
            panic!("{found:?}");
        };
        assert_eq!(
            (minors.len(), ports.iter().next()),
            (1, Some(&7000)),
            "{kind:?}"
        );
        assert_eq!(found[0].kept_because, None);
        let minor = *minors.iter().next().unwrap();
        let reported = |h: &Heard| {
            let info = h.info.as_ref();
            info.is_some_and(|info| {
                info.foreign_drbd
                    .iter()
                    .any(|of| of.minors.contains(&minor))
            })
        };
        bench.until("alpha", "what is foreign", reported).await;

        let mut next = spec("alpha", &layout);
        next.name = "Next".parse().unwrap();
        next.uuid = Uuid::from_u128(0xee);
        let Outcome::Failed { replies } = bench.apply("alpha", &next).await else {
            panic!("two resources have one minor");
        };
        let cause = replies[0].cause.clone().unwrap_or_default();
        assert!(
            cause.contains("DRBD's resource 'Data' has it"),
            "{replies:?}"
        );
        bench.sync("alpha", &[]).await;

        let messages = forget(&mut bench, &ids).await;
        assert_eq!(
            messages,
            [
                "Resource 'Data' in DRBD removed.",
                "Volume 'Data_00000' of storage pool 'thin' removed."
            ],
            "{kind:?}"
        );
        let nothing = |h: &Heard| {
            h.info
                .as_ref()
                .is_some_and(|info| info.foreign_drbd.is_empty())
        };
        bench
            .until("alpha", "that nothing is foreign", nothing)
            .await;
        let left = leftovers(&mut bench).await;
        assert!(
            left.iter().all(|left| left.name.starts_with("Next")),
            "{left:?}"
        );
        bench.done("alpha", &spec("alpha", &layout)).await;
    }
}
