use super::super::fixture::{Change, GIB, cluster, count, node, pool, resource};
use super::*;

/// A shared space has one replica, counts once, and space allocated in it counts for all its nodes.
#[test]
fn shared_space() {
    let nodes = "n1: sp1 100 @san\n n2: sp1 100 @san\n n3: sp1 50";
    check(nodes, 1, &count(2), "n1:sp1 n3:sp1");
    check(nodes, 1, &count(3), "996");
    let mut shared = cluster(nodes);
    shared.define("res", &[1]).put("res", "sp1", &["n1"]);
    assert_eq!(shared.place("res", &count(2)), "n3:sp1");
    let mut cluster = cluster("n1: sp1 100 @san\n n2: sp1 100 @san");
    cluster
        .define("res", &[30])
        .define("big", &[80])
        .put("big", "sp1", &["n1"]);
    let seen = cluster
        .observed
        .pools
        .get_mut(&(node("n1"), pool("sp1")))
        .unwrap();
    seen.reserved_kib_then = 0;
    seen.status.free_kib = Some(100 * GIB);
    assert_eq!(
        cluster.place("res", &count(1)),
        "996",
        "80 of 100 are allocated on n1"
    );
}

/// What two nodes have in a shared space is there once.
#[test]
fn shared_volumes_count_once() {
    let mut cluster = cluster("n1: sp1 100 @san\n n2: sp1 100 @san");
    cluster.define("res", &[55]).define("big", &[40]);
    cluster.put("big", "sp1", &["n1", "n2"]);
    assert_eq!(
        cluster.place("res", &count(1)),
        "996",
        "as if both had their own"
    );
    cluster
        .draft
        .edit_resource(&resource("big"), &node("n2"), |row| row.inactive = true);
    assert_eq!(cluster.place("res", &count(1)), "n1:sp1");
}

/// Space allocated since a node's report is not free; thin pools can be oversubscribed up to their ratio.
#[test]
fn space_is_what_can_still_be_promised() {
    let mut thick = cluster("n1: sp1 100");
    thick
        .define("res", &[60])
        .define("next", &[60])
        .put("res", "sp1", &["n1"]);
    let seen = thick
        .observed
        .pools
        .get_mut(&(node("n1"), pool("sp1")))
        .unwrap();
    seen.status.free_kib = Some(100 * GIB);
    seen.reserved_kib_then = 0;
    assert_eq!(thick.place("next", &count(1)), "996");

    let mut thin = cluster("n1: sp1 50/100 LVM_THIN");
    thin.define("res", &[900]).define("more", &[1200]);
    assert_eq!(thin.place("res", &count(1)), "n1:sp1");
    assert_eq!(thin.place("more", &count(1)), "996", "50 GiB 20 times");
    thin.controller_prop(prop::MAX_OVERSUBSCRIPTION_RATIO, "30");
    assert_eq!(thin.place("more", &count(1)), "n1:sp1");
    thin.controller_prop(prop::MAX_FREE_CAPACITY_OVERSUBSCRIPTION_RATIO, "2");
    assert_eq!(thin.place("more", &count(1)), "996");
    thin.controller_prop(prop::AUTOPLACER_MIN_THIN_FREE_SPACE, "101G");
    thin.define("small", &[1]);
    assert_eq!(
        thin.place("small", &count(1)),
        "996",
        "2 * 50 GiB are less than 101"
    );
    thin.prop("small", prop::AUTOPLACER_MIN_THIN_FREE_SPACE, "100%");
    assert_eq!(thin.place("small", &count(1)), "n1:sp1");

    let mut unknown = cluster("n1: sp1 100");
    unknown.define("res", &[1]);
    unknown.observed.pools.clear();
    assert_eq!(unknown.place("res", &count(1)), "996");
}

/// Queries of sizes.
#[test]
fn sizes_of_a_group() {
    let cluster = cluster(
        "n1: thick 100, thin 50/100 LVM_THIN\n n2: thick 80, thin 40/100 LVM_THIN\n n3: thick 60",
    );
    let group = cluster.draft.groups.values().next().unwrap();
    let sizes = query::max_sizes(&cluster.draft, &cluster.observed, group, &count(2)).unwrap();
    let shown: Vec<_> = sizes
        .iter()
        .map(|size| (size.pool.as_str(), size.max_kib / GIB, size.all_thin))
        .collect();
    assert_eq!(shown, [("thick", 80, false), ("thin", 40, true)]);
    assert_eq!(sizes[0].nodes, [node("n1"), node("n2")]);
    let thick = count(2).pools(&["thick"]);
    let info = query::size_info(&cluster.draft, &cluster.observed, group, &thick).unwrap();
    assert_eq!(info.max_kib, 80 * GIB);
    assert_eq!(
        info.available_kib,
        100 * GIB,
        "80 on n1 and n2, then 20 on n1 and n3"
    );
    assert_eq!(info.next.len(), 2);
    let thin = count(2).pools(&["thin"]);
    let info = query::size_info(&cluster.draft, &cluster.observed, group, &thin).unwrap();
    assert_eq!((info.max_kib, info.available_kib), (800 * GIB, 40 * GIB));
    assert_eq!(info.next[0].1.base, 20.0);
    let refused = query::max_sizes(&cluster.draft, &cluster.observed, group, &count(4));
    assert_eq!(
        refused.unwrap_err()[0].ret_code,
        code::FAIL_NOT_ENOUGH_NODES
    );
    let info = query::size_info(&cluster.draft, &cluster.observed, group, &count(4)).unwrap();
    assert_eq!((info.max_kib, info.available_kib), (0, 0));
}
