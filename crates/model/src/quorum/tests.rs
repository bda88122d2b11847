use uuid::Uuid;

use super::*;
use crate::Controller;
use crate::model::DEFAULT_DISKLESS_POOL;
use crate::place::fixture::{Cluster, cluster, node, resource};
use crate::process::{delete_resource_definition, migrate};

const NONE: [i64; 0] = [];
const FOUR: &str = "n1: sp1 100\n n2: sp1 100\n n3: sp1 100\n n4: sp1 100";

/// A cluster with a definition of one volume, with automatic tie breakers.
fn with_breakers(nodes: &str) -> Cluster {
    let mut cluster = cluster(nodes);
    cluster.controller_prop(prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER, "True");
    cluster.define("res", &[1]);
    cluster
}

/// Settles quorum and tie breakers and returns the replies, then checks that settling again changes nothing.
fn run(cluster: &mut Cluster) -> Vec<i64> {
    let observed = cluster.observed.clone();
    let mut next = 0;
    let mut uuid = || {
        next += 1;
        Uuid::from_u128(next)
    };
    let mut seeds = Seeds {
        now_ms: 1,
        uuid: &mut uuid,
        fill: &mut |bytes| bytes.fill(7),
        master_key: None,
    };
    let replies = settle(&mut cluster.draft, &observed, &resource("res"), &mut seeds);
    let rows = |cluster: &Cluster| -> Vec<Arc<Resource>> {
        cluster
            .draft
            .resources_of(&resource("res"))
            .cloned()
            .collect()
    };
    let (before, props) = (rows(cluster), quorum_of(cluster));
    let again = settle(&mut cluster.draft, &observed, &resource("res"), &mut seeds);
    let warns = again.iter().all(|reply| code::is_warning(reply.ret_code));
    assert!(
        warns && rows(cluster) == before && quorum_of(cluster) == props,
        "{again:?}"
    );
    replies.iter().map(|reply| reply.ret_code).collect()
}

fn quorum_of(cluster: &Cluster) -> Option<String> {
    let definition = &cluster.draft.definitions[&resource("res")];
    definition.props.get(prop::DRBD_QUORUM).cloned()
}

/// Resources as `node` or `node:kind`.
fn replicas(cluster: &Cluster) -> String {
    let name = resource("res");
    let rows = cluster.draft.resources_of(&name).map(|row| {
        let detaching = cluster.draft.removed_storage(row).is_some();
        let what = match disk(row) {
            _ if cluster.draft.is_deleting(row) => ":leaving",
            DiskKind::Diskful => "",
            DiskKind::Diskless => ":diskless",
            DiskKind::TieBreaker if detaching => ":tie-was-diskful",
            DiskKind::TieBreaker => ":tie",
            DiskKind::Client => ":client",
        };
        format!("{}{what}", row.node)
    });
    rows.collect::<Vec<_>>().join(" ")
}

fn leave(cluster: &mut Cluster, on: &str) {
    delete_resource::begin(&mut cluster.draft, &resource("res"), &node(on), 1);
}

/// One replica needs no tie breaker, two need one, three none, four one again.
#[test]
fn even_numbers_get_a_tie_breaker() {
    let mut cluster = with_breakers(&(FOUR.to_owned() + "\n n5: sp1 100"));
    cluster.put("res", "sp1", &["n1"]);
    assert_eq!(run(&mut cluster), NONE);
    assert_eq!(quorum_of(&cluster).as_deref(), Some("off"));
    cluster.put("res", "sp1", &["n2"]);
    assert_eq!(
        run(&mut cluster),
        [code::INFO_TIE_BREAKER_CREATED, code::INFO_PROP_SET]
    );
    assert_eq!(replicas(&cluster), "n1 n2 n3:tie");
    assert_eq!(quorum_of(&cluster).as_deref(), Some("majority"));
    let row = cluster
        .draft
        .resource(&resource("res"), &node("n3"))
        .unwrap();
    let drbd = row.drbd.as_ref().unwrap();
    assert_eq!((drbd.node_id, drbd.ports.len(), drbd.peer_slots), (2, 1, 7));
    assert_eq!(row.volumes[&0].pool.as_str(), DEFAULT_DISKLESS_POOL);
    assert!(!row.uuid.is_nil() && row.layer_stack[0] == LayerKind::Drbd);
    cluster.put("res", "sp1", &["n4"]);
    assert_eq!(run(&mut cluster), [code::INFO_TIE_BREAKER_DELETING]);
    assert_eq!(replicas(&cluster), "n1 n2 n3:leaving n4");
    cluster.put("res", "sp1", &["n5"]);
    // The one that is being deleted becomes the tie breaker.
    assert_eq!(run(&mut cluster), [code::INFO_TIE_BREAKER_TAKEOVER]);
    assert_eq!(replicas(&cluster), "n1 n2 n3:tie n4 n5");
}

/// Diskless resources that vote replace a tie breaker; DRBD clients do not.
#[test]
fn voters_and_clients() {
    let mut voter = with_breakers(FOUR);
    voter.put("res", "sp1", &["n1", "n2"]);
    voter.put_replica("res", DEFAULT_DISKLESS_POOL, "n3", DiskKind::Diskless);
    assert_eq!(run(&mut voter), [code::INFO_PROP_SET]);
    assert_eq!(replicas(&voter), "n1 n2 n3:diskless");
    let mut client = with_breakers("n1: sp1 100\n n2: sp1 100\n n3: sp1 100");
    client.put("res", "sp1", &["n1", "n2"]);
    client.put_replica("res", DEFAULT_DISKLESS_POOL, "n3", DiskKind::Client);
    // The client is on the only node that could have the tie breaker.
    assert_eq!(
        run(&mut client),
        [code::INFO_TIE_BREAKER_CREATED, code::INFO_PROP_SET]
    );
    assert_eq!(replicas(&client), "n1 n2 n3:diskless");
    assert_eq!(quorum_of(&client).as_deref(), Some("majority"));
}

/// Every way to have nothing, a disk, a diskless resource or a client on each of two to five nodes.
#[test]
fn all_shapes() {
    let kinds = [
        None,
        Some(DiskKind::Diskful),
        Some(DiskKind::Diskless),
        Some(DiskKind::Client),
    ];
    let mut shapes = 0;
    for nodes in 2..=5_u32 {
        let names: Vec<String> = (1..=nodes).map(|n| format!("n{n}")).collect();
        let lines: Vec<String> = names.iter().map(|n| format!("{n}: sp1 100")).collect();
        for shape in 0..4_usize.pow(nodes) {
            let mut cluster = with_breakers(&lines.join("\n"));
            let mut count = [0; 4];
            for (place, name) in names.iter().enumerate() {
                let kind = shape / 4_usize.pow(place as u32) % 4;
                count[kind] += 1;
                match kinds[kind] {
                    None => {}
                    Some(DiskKind::Diskful) => drop(cluster.put("res", "sp1", &[name])),
                    Some(disk) => cluster.put_replica("res", DEFAULT_DISKLESS_POOL, name, disk),
                }
            }
            run(&mut cluster);
            let [free, diskful, diskless, clients] = count;
            let found = replicas(&cluster);
            let wanted = diskful >= 2 && diskful % 2 == 0 && diskless == 0;
            let breakers = found.matches(":tie").count();
            let voters = breakers + found.matches(":diskless").count();
            let expected = match (wanted, free, clients) {
                (true, 1.., _) => (1, 1),
                (true, 0, 1..) => (0, 1),
                _ => (0, diskless),
            };
            assert_eq!((breakers, voters), expected, "{found}");
            let possible = diskful >= 3 || (diskful == 2 && voters >= 1);
            let expected = if possible { "majority" } else { "off" };
            assert_eq!(quorum_of(&cluster).as_deref(), Some(expected), "{found}");
            shapes += 1;
        }
    }
    assert_eq!(shapes, 16 + 64 + 256 + 1024);
}

/// A tie breaker moves from a node that is evacuated or evicted, if another node can have it.
#[test]
fn a_tie_breaker_moves_with_its_node() {
    for evict in [false, true] {
        let mut cluster = with_breakers(FOUR);
        cluster.put("res", "sp1", &["n1", "n2"]);
        run(&mut cluster);
        assert_eq!(replicas(&cluster), "n1 n2 n3:tie");
        cluster.draft.edit_node(&node("n3"), |row| {
            row.evacuate = !evict;
            row.evicted = evict;
        });
        assert_eq!(run(&mut cluster), [code::INFO_TIE_BREAKER_CREATED]);
        assert_eq!(replicas(&cluster), "n1 n2 n3:leaving n4:tie");
        assert_eq!(quorum_of(&cluster).as_deref(), Some("majority"));
        cluster
            .draft
            .edit_node(&node("n4"), |row| row.evacuate = true);
        assert_eq!(run(&mut cluster), NONE);
        assert_eq!(replicas(&cluster), "n1 n2 n3:leaving n4:tie");
    }
}

/// A client that votes is replaced when its node goes.
#[test]
fn the_vote_of_a_client_moves_with_its_node() {
    let mut cluster = with_breakers(FOUR);
    cluster.put("res", "sp1", &["n1", "n2"]);
    for on in ["n3", "n4"] {
        cluster.put_replica("res", DEFAULT_DISKLESS_POOL, on, DiskKind::Client);
    }
    run(&mut cluster);
    assert_eq!(replicas(&cluster), "n1 n2 n3:diskless n4:client");
    leave(&mut cluster, "n3");
    cluster
        .draft
        .edit_node(&node("n3"), |row| row.evacuate = true);
    run(&mut cluster);
    assert_eq!(replicas(&cluster), "n1 n2 n3:leaving n4:diskless");
    assert_eq!(quorum_of(&cluster).as_deref(), Some("majority"));
}

/// Of resources being deleted, a diskless one becomes the tie breaker; else a diskful one becomes a diskless tie
/// breaker.
#[test]
fn leaving_replicas_are_taken_over() {
    let mut diskful = with_breakers(FOUR);
    diskful.put("res", "sp1", &["n1", "n2", "n3"]);
    assert_eq!(run(&mut diskful), [code::INFO_PROP_SET]);
    leave(&mut diskful, "n1");
    assert_eq!(run(&mut diskful), [code::INFO_TIE_BREAKER_TAKEOVER]);
    assert_eq!(replicas(&diskful), "n1:tie-was-diskful n2 n3");
    let row = diskful
        .draft
        .resource(&resource("res"), &node("n1"))
        .unwrap();
    let storage = diskful.draft.removed_storage(row).unwrap();
    assert_eq!(storage[&0].as_str(), "sp1");
    assert_eq!(row.volumes[&0].pool.as_str(), DEFAULT_DISKLESS_POOL);

    let mut both = with_breakers(FOUR);
    both.put("res", "sp1", &["n1", "n2", "n3"]);
    both.put_replica("res", DEFAULT_DISKLESS_POOL, "n4", DiskKind::Diskless);
    leave(&mut both, "n1");
    leave(&mut both, "n4");
    run(&mut both);
    assert_eq!(replicas(&both), "n1:leaving n2 n3 n4:tie");
}

/// A resource being deleted on a node that is offline or evacuating does not become a tie breaker.
#[test]
fn only_healthy_nodes_take_over() {
    let mut cluster = with_breakers("n1 offline: sp1 100\n n2: sp1 100\n n3: sp1 100");
    cluster.put("res", "sp1", &["n1", "n2", "n3"]);
    leave(&mut cluster, "n1");
    assert_eq!(
        run(&mut cluster),
        [code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER]
    );
    assert_eq!(replicas(&cluster), "n1:leaving n2 n3");
    cluster
        .draft
        .edit_node(&node("n1"), |row| row.evacuate = true);
    run(&mut cluster);
    assert_eq!(replicas(&cluster), "n1:leaving n2 n3");
}

/// Without the property there is no tie breaker, and an existing one is deleted if its node is online.
#[test]
fn the_switch() {
    let mut cluster = with_breakers(FOUR);
    cluster.put("res", "sp1", &["n1", "n2"]);
    run(&mut cluster);
    cluster.prop("res", prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER, "False");
    let seen = cluster.observed.nodes.get_mut(&node("n3")).unwrap();
    seen.connection = linstor_api::kind::ConnectionStatus::Offline;
    assert_eq!(run(&mut cluster), NONE);
    assert_eq!(replicas(&cluster), "n1 n2 n3:tie");
    let seen = cluster.observed.nodes.get_mut(&node("n3")).unwrap();
    seen.connection = linstor_api::kind::ConnectionStatus::Online;
    assert_eq!(
        run(&mut cluster),
        [code::INFO_TIE_BREAKER_DELETING, code::INFO_PROP_REMOVED]
    );
    assert_eq!(replicas(&cluster), "n1 n2 n3:leaving");
    assert_eq!(quorum_of(&cluster).as_deref(), Some("off"));
}

/// A quorum set by a user is not changed; without `majority` there is no tie breaker.
#[test]
fn users_decide() {
    let mut cluster = with_breakers(FOUR);
    cluster.put("res", "sp1", &["n1", "n2"]);
    cluster.prop("res", prop::DRBD_QUORUM_SET_BY, "user");
    cluster.prop("res", prop::DRBD_QUORUM, "off");
    assert_eq!(run(&mut cluster), NONE);
    assert_eq!(replicas(&cluster), "n1 n2");
    cluster.prop("res", prop::DRBD_QUORUM, "majority");
    assert_eq!(run(&mut cluster), [code::INFO_TIE_BREAKER_CREATED]);

    let mut by_controller = with_breakers(FOUR);
    by_controller.put("res", "sp1", &["n1", "n2"]);
    run(&mut by_controller);
    by_controller.controller_prop(prop::DRBD_QUORUM_SET_BY, "user");
    by_controller.controller_prop(prop::DRBD_QUORUM, "all");
    assert_eq!(
        run(&mut by_controller),
        [code::INFO_PROP_SET, code::INFO_TIE_BREAKER_DELETING]
    );
    assert_eq!(quorum_of(&by_controller).as_deref(), Some("all"));
}

/// With a DRBD version that is too old, or 8.4, there is neither tie breaker nor quorum.
#[test]
fn old_drbd() {
    let mut old = with_breakers("n1: sp1 100\n n2: sp1 100\n n3 drbd9.0.17: sp1 100");
    old.put("res", "sp1", &["n1", "n2"]);
    assert_eq!(run(&mut old), [code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER]);
    old.put("res", "sp1", &["n3"]);
    assert_eq!(run(&mut old), NONE);
    assert_eq!(quorum_of(&old).as_deref(), Some("off"));
    let mut kernel = with_breakers("n1 drbd84: sp1 100\n n2 drbd84: sp1 100\n n3: sp1 100");
    kernel.put("res", "sp1", &["n1", "n2"]);
    kernel.prop("res", prop::DRBD_QUORUM, "majority");
    assert_eq!(run(&mut kernel), NONE);
    assert_eq!(
        (replicas(&kernel).as_str(), quorum_of(&kernel)),
        ("n1 n2", None)
    );
}

/// The group's rules apply to tie breakers: a voter that violates them does not count, and a node with values of its
/// own is preferred.
#[test]
fn rules_hold_for_tie_breakers() {
    let mut cluster = with_breakers(
        "n1 dc=a: sp1 100\n n2 dc=a: sp1 100\n n3 dc=a: sp1 100\n n4 dc=b: sp1 100\n n5 dc=b: sp1 100",
    );
    let mut group = crate::ResourceGroup::clone(cluster.draft.groups.values().next().unwrap());
    group.filter.x_different = Some([("Aux/dc".to_owned(), 2)].into());
    cluster.draft.put_resource_group(group.clone());
    cluster.put("res", "sp1", &["n1", "n2"]);
    run(&mut cluster);
    assert_eq!(replicas(&cluster), "n1 n2 n4:tie");

    let mut full = with_breakers("n1 dc=a: sp1 100\n n2 dc=a: sp1 100\n n3 dc=a: sp1 100");
    full.draft.put_resource_group(group);
    full.put("res", "sp1", &["n1", "n2"]);
    full.put_replica("res", DEFAULT_DISKLESS_POOL, "n3", DiskKind::Diskless);
    assert_eq!(
        run(&mut full),
        [
            code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER,
            code::INFO_PROP_SET
        ]
    );
}

/// A replica that is being migrated counts once.
#[test]
fn a_move_changes_nothing() {
    let mut cluster = with_breakers(FOUR);
    cluster.put("res", "sp1", &["n1", "n2"]);
    run(&mut cluster);
    cluster.put("res", "sp1", &["n4"]);
    let migrate = migrate::Migrate {
        resource: resource("res"),
        node: node("n4"),
        from: node("n1"),
        was: DiskKind::Diskless,
        step: migrate::Step::Sync,
    };
    cluster.draft.begin_process(migrate, 1);
    assert_eq!(run(&mut cluster), NONE);
    assert_eq!(replicas(&cluster), "n1 n2 n3:tie n4");
}

/// A definition that is being deleted is not changed; one without DRBD gets no tie breaker, and its quorum is off.
#[test]
fn nothing_to_help() {
    let mut cluster = with_breakers(FOUR);
    cluster.put("res", "sp1", &["n1", "n2"]);
    let before = cluster.draft.clone();
    delete_resource_definition::begin(&mut cluster.draft, &resource("res"), 1);
    assert_eq!(run(&mut cluster), NONE);
    cluster.draft = before;
    let row = Controller::clone(&cluster.draft.controller);
    cluster.draft.put_controller(row);
    cluster
        .draft
        .edit_resource_definition(&resource("res"), |row| {
            row.drbd = None;
        });
    assert_eq!(run(&mut cluster), NONE);
    assert_eq!(quorum_of(&cluster).as_deref(), Some("off"));
    assert_eq!(replicas(&cluster), "n1 n2");
}

/// What a person reads for each shape: the majority, the votes, and the reason of the tie breaker.
#[test]
fn the_quorum_is_explained() {
    for (nodes, majority, votes, tie_breaker) in [
        (&["n1"][..], None, "D", "none is needed: with less than two"),
        (
            &["n1", "n2"],
            Some((1, 1)),
            "DDT",
            "there is one: 2 diskful",
        ),
        (
            &["n1", "n2", "n3"],
            Some((2, 1)),
            "DDD",
            "none is needed: 3 diskful",
        ),
        (
            &["n1", "n2", "n3", "n4"],
            Some((3, 1)),
            "DDDD",
            "there is none, as no node can have it",
        ),
    ] {
        let mut cluster = with_breakers(FOUR);
        cluster.put("res", "sp1", nodes);
        run(&mut cluster);
        let definition = cluster.draft.definitions[&resource("res")].clone();
        let explained = explain(&cluster.draft, &cluster.observed, &definition).expect("DRBD");
        let shown = explained.votes.iter().map(|vote| match vote.counts {
            Ok(Counts::Disk) => 'D',
            Ok(Counts::Tie) => 'T',
            Err(_) => '-',
        });
        assert_eq!(shown.collect::<String>(), votes, "{nodes:?}");
        assert_eq!(explained.majority, majority, "{nodes:?}: {explained:?}");
        assert!(
            explained.tie_breaker.starts_with(tie_breaker),
            "{explained:?}"
        );
        assert!(explained.managed);
    }
}
