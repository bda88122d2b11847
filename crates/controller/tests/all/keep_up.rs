//! Keeping up: what commits send to satellites, what waits see, how processes take their steps.

use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::ConnectionStatus;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::process::{
    Kind, Process, delete_node, delete_resource, delete_resource_definition,
};
use linstor_model::{DiskKind, DrbdResource};
use linstor_wire::message::APPLY_SPECS_MAX;
use linstor_wire::spec::{ResourceSpec, Spec, Target};
use linstor_wire::status::{DrbdStatus, Outcome, ResourceStatus, VolumeStatus};
use linstor_wire::{ToController, ToSatellite};

use crate::fixture::{
    Fixture, grow, node, pool, put_node, put_replica, put_resource_definition, resource, seconds,
    set,
};
use crate::satellite::{Listener, Satellite, resources};

/// A fixture with `rsc` on alpha, online and applied.
async fn with_rsc() -> (Fixture, Listener, Satellite, ResourceSpec) {
    let fixture = Fixture::new().await;
    let mut listener = fixture.pipes.listen("alpha");
    let generation = fixture.deployed("alpha").await;
    let (mut satellite, mut specs) = listener.online("alpha").await;
    let spec = specs.remove(0);
    satellite.done(&spec, generation + 1).await;
    let replies = fixture.wait_applied(generation).await;
    assert_eq!(replies, []);
    (fixture, listener, satellite, spec)
}

impl Fixture {
    async fn wait_applied(&self, generation: u64) -> Vec<Reply> {
        let nodes = [node("alpha")];
        self.cluster
            .wait_applied(&resource("rsc"), &nodes, generation, seconds(10))
            .await
    }
}

/// A commit sends the changed spec, and the wait ends with the satellite's answer, not before.
#[tokio::test(start_paused = true)]
async fn a_change_goes_out_and_its_outcome_comes_back() {
    let (fixture, _listener, mut satellite, _) = with_rsc().await;
    let generation = fixture.change(|draft| grow(draft, "rsc")).await;
    let (of, specs, forget) = satellite.apply().await;
    assert_eq!((of, specs.len(), forget.len()), (generation, 1, 0));
    assert_eq!(specs[0].volumes[0].usable_kib, 8192);
    // An answer to an older spec does not count.
    satellite.done(&specs[0], generation - 1).await;
    let (replies, ()) = tokio::join!(fixture.wait_applied(generation), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let reply = Reply::new(code::FAIL_NOT_ENOUGH_FREE_SPACE, "no room");
        satellite.failed(&specs[0], generation, reply).await;
    });
    assert_eq!(replies[0].message, "(alpha) no room");
    assert_eq!(replies[0].ret_code, code::FAIL_NOT_ENOUGH_FREE_SPACE);
}

/// A change that asks nothing of the node sends nothing, and its wait ends at once, even while an earlier spec is at
/// work.
#[tokio::test(start_paused = true)]
async fn an_unchanged_spec_is_not_sent() {
    let (fixture, _listener, mut satellite, _) = with_rsc().await;
    let label = |text: &'static str| {
        fixture.change(move |draft| {
            draft.edit_resource_definition(&resource("rsc"), |d| {
                d.external_name = Some(text.into())
            });
        })
    };
    let generation = label("one").await;
    let before = tokio::time::Instant::now();
    let replies = satellite.while_idle(fixture.wait_applied(generation)).await;
    assert_eq!((replies, before.elapsed()), (vec![], Duration::ZERO));

    let grown = fixture.change(|draft| grow(draft, "rsc")).await;
    let (_, specs, _) = satellite.apply().await;
    let labelled = label("two").await;
    assert!(labelled > grown);
    tokio::time::sleep(Duration::from_millis(10)).await;
    satellite.done(&specs[0], grown).await;
    assert_eq!(fixture.wait_applied(labelled).await, []);
}

/// A commit that changed nothing, or something else, leaves nothing to wait for.
#[tokio::test(start_paused = true)]
async fn a_wait_for_nothing_ends_at_once() {
    let (fixture, _listener, mut satellite, _) = with_rsc().await;
    fixture
        .cluster
        .commit(|d| set(d, "other", "1"))
        .await
        .unwrap();
    let nothing = fixture.cluster.commit(|_| Ok(())).await.unwrap();
    let before = tokio::time::Instant::now();
    let waited = satellite
        .while_idle(fixture.wait_applied(nothing.generation))
        .await;
    assert_eq!((waited, before.elapsed()), (vec![], Duration::ZERO));
    // A node without a replica has nothing to do.
    let replies = fixture
        .cluster
        .wait_applied(&resource("rsc"), &[node("bravo")], 9, seconds(10))
        .await;
    assert_eq!(replies, []);
}

/// Several commits are one message when the link gets to them together, with the newest spec.
#[tokio::test(start_paused = true)]
async fn commits_are_coalesced() {
    let (fixture, _listener, mut satellite, _) = with_rsc().await;
    fixture.store.set_latency(Duration::from_millis(5));
    let grows = (0..20).map(|_| fixture.change(|draft| grow(draft, "rsc")));
    let generations = futures::future::join_all(grows).await;
    let (of, specs, _) = satellite.apply().await;
    assert_eq!(of, *generations.iter().max().unwrap());
    assert_eq!(specs[0].volumes[0].usable_kib, 4096 * 21);
}

/// A removed row is forgotten; one that was replaced under the same name is forgotten and sent anew.
#[tokio::test(start_paused = true)]
async fn removed_rows_are_forgotten() {
    let (fixture, _listener, mut satellite, spec) = with_rsc().await;
    let env = fixture.cluster.env().clone();
    fixture
        .change(move |draft| {
            draft.remove(&RowKey::Resource(resource("rsc"), node("alpha")));
            put_replica(draft, &*env, "rsc", "alpha");
        })
        .await;
    let (generation, specs, forget) = satellite.apply().await;
    assert_eq!(forget[0].uuid, spec.uuid);
    assert_ne!(specs[0].uuid, spec.uuid);
    assert!(
        fixture.cluster.observed().applied.is_empty(),
        "the old outcome is not the new one's"
    );
    satellite.done(&specs[0], generation).await;
    assert_eq!(fixture.wait_applied(generation).await, []);
    fixture
        .change(|draft| draft.remove(&RowKey::Resource(resource("rsc"), node("alpha"))))
        .await;
    let (_, specs, forget) = satellite.apply().await;
    assert_eq!((specs.len(), forget.len()), (0, 1));
}

/// A change for a node that is away is stored, told as LINSTOR tells it, and delivered when the node is back.
#[tokio::test(start_paused = true)]
async fn an_absent_node_learns_of_the_change_later() {
    let (fixture, mut listener, satellite, _) = with_rsc().await;
    drop(satellite);
    let offline = |status: Option<&linstor_model::observed::NodeStatus>| {
        status
            .filter(|s| s.connection == ConnectionStatus::Offline)
            .map(drop)
    };
    fixture
        .cluster
        .wait_node(&node("alpha"), seconds(5), offline)
        .await
        .unwrap();
    let generation = fixture.change(|draft| grow(draft, "rsc")).await;
    let replies = fixture.wait_applied(generation).await;
    assert_eq!(replies[0].ret_code, code::WARN_NOT_CONNECTED);
    assert_eq!(
        replies[0].message,
        "No active connection to satellite 'alpha'"
    );
    let jobs = fixture.cluster.jobs();
    assert_eq!(jobs[0].kind, "resource-deploy");
    assert!(
        jobs[0].waiting_for[0].reason.contains("OFFLINE since 2023"),
        "{jobs:?}"
    );

    let (mut satellite, specs) = listener.online("alpha").await;
    assert_eq!(specs[0].volumes[0].usable_kib, 8192);
    satellite.done(&specs[0], generation).await;
    let name = resource("rsc");
    let waited = fixture.cluster.wait_until(&name, seconds(5), |_, _| {
        fixture.cluster.jobs().is_empty().then_some(())
    });
    waited.await.unwrap();
}

/// A node that goes away during a wait ends it; one that is only slow ends it at the deadline, with a warning, and the
/// change is a job until it is done.
#[tokio::test(start_paused = true)]
async fn waits_end_with_a_reason() {
    let (fixture, mut listener, mut satellite, _) = with_rsc().await;
    let generation = fixture.change(|draft| grow(draft, "rsc")).await;
    satellite.apply().await;
    let before = tokio::time::Instant::now();
    let replies = satellite.while_idle(fixture.wait_applied(generation)).await;
    assert_eq!(before.elapsed(), Duration::from_secs(10));
    assert_eq!(replies[0].ret_code, code::MASK_WARN | code::MASK_RSC);
    assert_eq!(
        fixture.cluster.jobs()[0].waiting_for[0].reason,
        "it applies the change"
    );

    let (replies, ()) = tokio::join!(fixture.wait_applied(generation), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(satellite);
    });
    assert_eq!(replies[0].ret_code, code::WARN_NOT_CONNECTED);
    assert_eq!(before.elapsed(), Duration::from_secs(11));

    let (mut satellite, specs) = listener.online("alpha").await;
    let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "lvcreate failed.");
    let reply = reply.cause("The disk is on fire.");
    satellite.failed(&specs[0], generation, reply).await;
    assert_eq!(fixture.wait_applied(generation).await.len(), 1);
    let jobs = fixture.cluster.jobs();
    assert_eq!(
        jobs[0].last_error.as_deref(),
        Some("lvcreate failed. The disk is on fire.")
    );
}

/// A job says when what failed is tried again, since when it fails, and neither while nobody can try.
#[tokio::test(start_paused = true)]
async fn a_job_says_when_it_is_tried_again() {
    let (fixture, mut listener, mut satellite, _) = with_rsc().await;
    let generation = fixture.change(|draft| grow(draft, "rsc")).await;
    let (_, specs, _) = satellite.apply().await;
    let job = || fixture.cluster.jobs().into_iter().next();
    let next_try = || job().and_then(|job| job.next_try);
    let said = || Reply::new(code::FAIL_UNKNOWN_ERROR, "lvcreate failed");
    let now = || i64::try_from(fixture.cluster.env().now_ms()).unwrap();
    let name = resource("rsc");
    let until_next_is = async |at: i64| {
        let waited = fixture.cluster.wait_until(&name, seconds(5), |_, _| {
            (next_try() == Some(at)).then_some(())
        });
        assert_eq!(waited.await, Some(()), "{:?}", job());
    };

    let begun = now();
    satellite
        .failed_for_now(&specs[0], generation, said(), 2000)
        .await;
    until_next_is(begun + 2000).await;
    assert_eq!(job().unwrap().since, Some(begun));
    // Its time has come: it is under way.
    tokio::time::sleep(Duration::from_millis(2001)).await;
    assert_eq!(next_try(), None);
    assert_eq!(
        job().unwrap().last_error.as_deref(),
        Some("lvcreate failed")
    );
    // It failed again, in the same words.
    let again = now();
    satellite
        .failed_for_now(&specs[0], generation, said(), 5000)
        .await;
    until_next_is(again + 5000).await;
    assert_eq!(job().unwrap().since, Some(begun));
    // Nobody tries anything that is known of on a node that is away.
    drop(satellite);
    let gone = fixture
        .cluster
        .wait_until(&name, seconds(5), |_, observed| {
            (!observed.is_online(&node("alpha"))).then_some(())
        });
    assert_eq!(gone.await, Some(()));
    assert!(now() < again + 5000, "it would be due");
    assert_eq!(next_try(), None);

    let (mut satellite, specs) = listener.online("alpha").await;
    satellite.done(&specs[0], generation).await;
    let waited = fixture.cluster.wait_until(&name, seconds(5), |_, _| {
        fixture.cluster.jobs().is_empty().then_some(())
    });
    assert_eq!(waited.await, Some(()));
}

/// A full sync is sent in bounded pieces, and what is committed while it goes on follows it.
#[tokio::test(start_paused = true)]
async fn a_large_sync_is_chunked() {
    const COUNT: usize = 1000;
    let fixture = Fixture::new().await;
    let env = fixture.cluster.env().clone();
    fixture
        .change(move |draft| {
            put_node(draft, &*env, "alpha");
            for n in 0..COUNT {
                let name = format!("rsc{n}");
                put_resource_definition(draft, &*env, &name);
                put_replica(draft, &*env, &name, "alpha");
            }
        })
        .await;
    let mut listener = fixture.pipes.listen("alpha");
    let mut satellite = listener.accept().await;
    satellite.welcome("alpha").await;
    assert!(matches!(
        satellite.next().await,
        Some(ToSatellite::SyncBegin { .. })
    ));
    // In the middle of the sync: the pipe holds less than all of it.
    let generation = fixture.change(|draft| grow(draft, "rsc7")).await;
    let mut synced = 0;
    loop {
        match satellite.next().await.unwrap() {
            ToSatellite::Apply { specs, .. } => {
                assert!(specs.len() <= APPLY_SPECS_MAX);
                synced += resources(&specs).len();
            }
            ToSatellite::SyncEnd { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(synced, COUNT);
    let (of, specs, _) = satellite.apply().await;
    assert_eq!(
        (of, specs.len(), specs[0].name.as_str()),
        (generation, 1, "rsc7")
    );
}

/// One commit on one definition costs the same however many there are: nothing is sent to nodes it does not concern.
#[tokio::test(start_paused = true)]
async fn a_commit_concerns_only_its_nodes() {
    let (fixture, _listener, mut alpha, _) = with_rsc().await;
    let mut bravo = fixture.pipes.listen("bravo");
    let env = fixture.cluster.env().clone();
    fixture
        .change(move |draft| {
            put_node(draft, &*env, "bravo");
            put_resource_definition(draft, &*env, "two");
            put_replica(draft, &*env, "two", "bravo");
        })
        .await;
    let (mut bravo, _) = bravo.online("bravo").await;
    fixture.change(|draft| grow(draft, "two")).await;
    assert_eq!(bravo.apply().await.1[0].name.as_str(), "two");
    alpha
        .while_idle(tokio::time::sleep(Duration::from_millis(500)))
        .await;
}

/// A node's own spec is sent when pools or properties change, before a report of space is asked for.
#[tokio::test(start_paused = true)]
async fn pools_are_sent_and_their_space_is_asked_for() {
    let (fixture, _listener, mut satellite, _) = with_rsc().await;
    fixture
        .change(|draft| {
            let mut row = linstor_model::StoragePool::clone(
                draft.pool(&node("alpha"), &pool("DfltStorPool")).unwrap(),
            );
            row.props
                .insert("StorDriver/StorPoolName".into(), "vg/thin".into());
            draft.put_storage_pool(row);
        })
        .await;
    let nodes = [node("alpha"), node("bravo")];
    let (replies, ()) = tokio::join!(fixture.cluster.refresh_space(&nodes, seconds(10)), async {
        let sent = satellite.next().await;
        let Some(ToSatellite::Apply { specs, .. }) = sent else {
            panic!("{sent:?}");
        };
        let Ok(Spec::Node(node)) = specs[0].read() else {
            panic!("{specs:?}");
        };
        assert_eq!(node.pools[0].props["StorDriver/StorPoolName"], "vg/thin");
        let asked = satellite.next().await;
        let Some(ToSatellite::RefreshSpace { id }) = asked else {
            panic!("{asked:?}");
        };
        satellite.space(Some(id), 500).await;
    });
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0].obj_refs["Node"], "bravo");
    let key = (node("alpha"), pool("DfltStorPool"));
    let seen = fixture.cluster.observed().pools[&key].clone();
    assert_eq!(
        (seen.status.free_kib, seen.reserved_kib_then),
        (Some(500), 4096)
    );
    tokio::time::sleep(Duration::from_millis(10)).await;
    let row = fixture.cluster.model().pools[&key].clone();
    assert_eq!(row.granularity_kib, Some(64), "learned and stored");

    // Nobody answers.
    let before = tokio::time::Instant::now();
    let replies = fixture.cluster.refresh_space(&nodes[..1], seconds(3)).await;
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    assert_eq!(replies[0].ret_code, code::WARN_STLT_NOT_UPDATED);
}

/// A deletion takes its steps by itself, and the row is gone when the node has confirmed the last one.
#[tokio::test(start_paused = true)]
async fn a_deletion_moves_on_by_itself() {
    let (fixture, _listener, mut satellite, _) = with_rsc().await;
    fixture
        .change(|draft| {
            delete_resource_definition::begin(draft, &resource("rsc"), 1);
            // As if DRBD were above the storage.
            let name = resource("rsc");
            let deletions = draft.processes_of(&name).cloned();
            for process in deletions.collect::<Vec<_>>() {
                let mut process = Process::clone(&process);
                if let Kind::DeleteResource(delete) = &mut process.kind {
                    delete.step = delete_resource::Step::TakeDown;
                    draft.put_process(process);
                }
            }
        })
        .await;
    for target in [Target::Leaving, Target::Destroyed] {
        let (generation, specs, _) = satellite.apply().await;
        assert_eq!(specs[0].target, target);
        assert_eq!(fixture.cluster.jobs().len(), 2);
        satellite.done(&specs[0], generation).await;
    }
    let name = resource("rsc");
    let gone = fixture.cluster.wait_until(&name, seconds(5), |model, _| {
        model.definitions.is_empty().then_some(())
    });
    gone.await.unwrap();
    let (_, specs, forget) = satellite.apply().await;
    assert_eq!((specs.len(), forget.len()), (0, 1));
    assert!(fixture.cluster.jobs().is_empty());
    assert!(fixture.cluster.observed().applied.is_empty());
}

/// A node that is being deleted goes with its last replica; its satellite may be away for as long as it likes.
#[tokio::test(start_paused = true)]
async fn a_node_goes_with_its_last_replica() {
    let (fixture, listener, satellite, _) = with_rsc().await;
    drop((listener, satellite));
    fixture
        .change(|draft| {
            delete_node::begin(draft, &node("alpha"), 1);
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(fixture.cluster.model().node(&node("alpha")).is_some());
    let mut listener = fixture.pipes.listen("alpha");
    let (mut satellite, specs) = listener.online("alpha").await;
    let generation = fixture.cluster.model().generation;
    satellite.done(&specs[0], generation).await;
    while satellite.next().await.is_some() {}
    assert!(fixture.cluster.model().node(&node("alpha")).is_none());
    assert!(fixture.cluster.model().resources.is_empty());
}

/// Processes that were under way when the controller ended go on after the next start.
#[tokio::test(start_paused = true)]
async fn processes_survive_a_restart() {
    let (fixture, _listener, satellite, _) = with_rsc().await;
    fixture
        .change(|draft| {
            delete_resource::begin(draft, &resource("rsc"), &node("alpha"), 1);
        })
        .await;
    drop(satellite);
    fixture.controller.stop().await;
    let again = Fixture::on(fixture.store.clone()).await;
    let (mut satellite, specs) = again.pipes.listen("alpha").online("alpha").await;
    assert_eq!(specs[0].target, Target::Destroyed);
    let generation = again.cluster.model().generation;
    satellite.done(&specs[0], generation).await;
    satellite.apply().await;
    assert!(again.cluster.model().resources.is_empty());
}

/// What nodes see is published, kept while they are away, and dropped with the row.
#[tokio::test(start_paused = true)]
async fn statuses_are_published() {
    let (fixture, _listener, mut satellite, spec) = with_rsc().await;
    let volume = VolumeStatus {
        number: 0,
        disk_state: Some("UpToDate".into()),
        ..VolumeStatus::default()
    };
    satellite
        .send(ToController::Status {
            resources: vec![ResourceStatus {
                name: "RSC".into(),
                uuid: spec.uuid,
                drbd: None,
                volumes: vec![volume],
            }],
            gone: vec![],
        })
        .await;
    let name = resource("rsc");
    let seen = fixture
        .cluster
        .wait_until(&name, seconds(5), |_, observed| {
            observed.is_up_to_date(&name, &node("alpha")).then_some(())
        });
    seen.await.unwrap();
    drop(satellite);
    let offline = fixture
        .cluster
        .wait_until(&name, seconds(5), |_, observed| {
            (!observed.is_online(&node("alpha"))).then_some(())
        });
    offline.await.unwrap();
    assert_eq!(fixture.cluster.observed().resources.len(), 1);
    fixture
        .change(|draft| draft.remove(&RowKey::Resource(resource("rsc"), node("alpha"))))
        .await;
    assert!(fixture.cluster.observed().resources.is_empty());
}

/// A satellite that repeats an old outcome does not take back what was reached.
#[tokio::test(start_paused = true)]
async fn outcomes_of_unknown_generations_do_no_harm() {
    let (fixture, _listener, mut satellite, spec) = with_rsc().await;
    satellite
        .applied("rsc", spec.uuid, u64::MAX, Outcome::Done)
        .await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let generation = fixture.change(|draft| grow(draft, "rsc")).await;
    let (_, specs, _) = satellite.apply().await;
    let before = tokio::time::Instant::now();
    let (replies, ()) = tokio::join!(fixture.wait_applied(generation), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        satellite.done(&specs[0], generation).await;
    });
    assert_eq!(
        (replies, before.elapsed()),
        (vec![], Duration::from_secs(1))
    );
}

/// Replicas are ready when they see up-to-date data and each other; the wait ends then, or with a warning for each that
/// is not.
#[tokio::test(start_paused = true)]
async fn replicas_become_ready() {
    let (fixture, _listener, mut alpha, spec) = with_rsc().await;
    let env = fixture.cluster.env().clone();
    let mut listener = fixture.pipes.listen("bravo");
    fixture
        .change(move |draft| {
            put_node(draft, &*env, "bravo");
            put_replica(draft, &*env, "rsc", "bravo");
            for (node_id, on) in ["alpha", "bravo"].into_iter().enumerate() {
                draft.edit_resource(&resource("rsc"), &node(on), |replica| {
                    replica.drbd = Some(DrbdResource {
                        node_id: node_id as u32,
                        ports: vec![7000],
                        peer_slots: 7,
                        disk: DiskKind::Diskful,
                        never_votes: false,
                    });
                });
            }
        })
        .await;
    let (mut bravo, specs) = listener.online("bravo").await;
    let status =
        |spec: &ResourceSpec, peer: &str, connection: &str, disk: &str| ToController::Status {
            resources: vec![ResourceStatus {
                name: "rsc".into(),
                uuid: spec.uuid,
                drbd: Some(DrbdStatus {
                    connections: [(peer.to_owned(), connection.into())].into(),
                    ..DrbdStatus::default()
                }),
                volumes: vec![VolumeStatus {
                    disk_state: Some(disk.into()),
                    ..VolumeStatus::default()
                }],
            }],
            gone: vec![],
        };
    let (name, nodes) = (resource("rsc"), [node("alpha"), node("bravo")]);
    let ready = |limit| fixture.cluster.wait_ready(&name, &nodes, seconds(limit));
    alpha
        .send(status(&spec, "bravo", "Connecting", "UpToDate"))
        .await;
    bravo
        .send(status(&specs[0], "alpha", "Connected", "Inconsistent"))
        .await;
    let replies = ready(3).await;
    assert_eq!(replies.len(), 2);
    assert!(
        replies[0]
            .message
            .contains("did not become ready on node 'alpha'")
    );
    let (replies, ()) = tokio::join!(ready(3), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        alpha
            .send(status(&spec, "Bravo", "Connected", "UpToDate"))
            .await;
        bravo
            .send(status(&specs[0], "alpha", "Connected", "UpToDate"))
            .await;
    });
    assert_eq!(replies, []);
}
