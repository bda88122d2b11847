mod explained;
mod searched;
mod space;

use linstor_api::kind::{LayerKind, ProviderKind};

use super::fixture::{Change, cluster, count, node, pool, resource};
use super::*;
use crate::DiskKind;
use crate::process::{delete_node, delete_resource};

/// Places a resource of this size in GiB, and compares the result.
fn check(nodes: &str, gib: u64, filter: &SelectFilter, expected: &str) {
    let mut cluster = cluster(nodes);
    cluster.define("res", &[gib]);
    assert_eq!(cluster.place("res", filter), expected, "{nodes}");
}

/// Five sites with `per` nodes each, named after their site.
fn five_places(per: usize, gib: impl Fn(usize) -> u64) -> String {
    let mut text = String::new();
    for place in ["Berlin", "Frankfurt", "London", "Paris", "Vienna"] {
        for index in 1..=per {
            text += &format!("{place}{index} DC={place}: stor {}\n", gib(index));
        }
    }
    text
}

/// The pool with the most space is chosen; without enough space in any pool the placement fails.
#[test]
fn the_largest_pool_wins() {
    check("stlt: pool1 10, pool2 20", 5, &count(1), "stlt:pool2");
    check(
        "n1: a1a 10\n n2: a1a 30\n n3: a1a 20",
        5,
        &count(2),
        "n2:a1a n3:a1a",
    );
    check("n1: a1a 10\n n2: a1a 10", 11, &count(1), "996");
    check(
        "n1: a1a 10T, b1b 100\n n2: a1a 10T, b1b 100",
        5 << 10,
        &count(3),
        "996",
    );
}

/// A list of pools restricts the placement to them, even if others have higher scores.
#[test]
fn named_pools_only() {
    let nodes = "n1: slow1 10T, fast1 100\n n2: slow1 10T, fast1 100";
    check(nodes, 5 << 10, &count(2).pools(&["fast1"]), "996");
    check(nodes, 50, &count(2).pools(&["FAST1"]), "n1:fast1 n2:fast1");
    check(nodes, 50, &count(2).pools(&[]), "n1:slow1 n2:slow1");
}

/// Nodes with an excluded resource are not chosen, whatever its pool; names and patterns are compared regardless of
/// case.
#[test]
fn not_placed_with() {
    let mut cluster = cluster(
        "n1: slow1 10T, slow2 20T, fast1 100
         n2: slow1 10T, slow2 20T, fast1 100
         n3: fast1 80
         n4: fast1 80",
    );
    cluster
        .define("res", &[50])
        .define("avoid1", &[2048])
        .define("avoid2", &[2048]);
    cluster
        .put("avoid1", "slow1", &["n1", "n2"])
        .put("avoid2", "slow2", &["n1", "n2"]);
    let apart = "n3:fast1 n4:fast1";
    assert_eq!(cluster.place("res", &count(2)), "n1:slow2 n2:slow2");
    assert_eq!(cluster.place("res", &count(2).not_with(&["AVOID1"])), apart);
    assert_eq!(
        cluster.place("res", &count(2).not_with_regex("avoid.*")),
        apart
    );
    assert_eq!(
        cluster.place("res", &count(2).not_with_regex("VOID")),
        apart
    );
    assert_eq!(
        cluster.place("res", &count(2).not_with_regex("^void")),
        "n1:slow2 n2:slow2"
    );
    assert_eq!(
        cluster.place("res", &count(2).not_with(&["avoid1"]).pools(&["slow1"])),
        "996"
    );
    assert_eq!(
        cluster.place("res", &count(2).not_with_regex("a[v]oid\\d$")),
        apart
    );
    let refused = cluster
        .try_place("res", &count(2).not_with_regex("("))
        .unwrap_err();
    assert_eq!(refused[0].ret_code, code::FAIL_INVLD_REQUEST);
    // A replica that is being deleted does not count.
    for on in ["n1", "n2"] {
        delete_resource::begin(&mut cluster.draft, &resource("avoid1"), &node(on), 1);
    }
    assert_eq!(
        cluster.place("res", &count(2).not_with(&["avoid1"])),
        "n1:slow2 n2:slow2"
    );
}

/// Same values, different values, and both at once.
#[test]
fn same_and_different() {
    let mut grid = String::new();
    for a in 1..=2 {
        for b in 1..=3 {
            for i in 1..=2 {
                grid += &format!("s-a{a}-b{b}-{i} A={a} B={b}: stor 10\n");
            }
        }
    }
    check(
        &grid,
        5,
        &count(2).same(&["A"]).different(&["B"]),
        "s-a1-b1-1:stor s-a1-b2-1:stor",
    );
    let five = "node0 A=0: stor 10
                node1 A=1: stor 10
                node2 A=2: stor 10
                node3 A=0: stor 10
                node4 A=1: stor 10";
    check(
        five,
        5,
        &count(1).same(&["A=1"]).different(&["A=0"]),
        "node1:stor",
    );
    check(
        five,
        5,
        &count(2).different(&["A=0"]),
        "node1:stor node2:stor",
    );
    check(five, 5, &count(4).different(&["A"]), "996");
    let with_values = "node1 key=val1: stor 10
                       node2 key=val2: stor 10
                       node3 key=val3: stor 10
                       node4 key=val1: stor 10
                       node5 key=val2: stor 9";
    check(
        with_values,
        5,
        &count(2).different(&["key=val1"]),
        "node2:stor node3:stor",
    );
    let better = "node0 A=0: stor 10
                  node1 A=0: stor 10
                  node2 A=0: stor 10
                  node3 A=1: stor 100
                  node4 A=1: stor 100";
    check(
        better,
        5,
        &count(2).different(&["A"]),
        "node0:stor node3:stor",
    );
    // A node without the property differs from all others.
    check(
        "n1 A=0: stor 10\n n2: stor 9\n n3: stor 8",
        5,
        &count(3).different(&["A"]),
        "n1:stor n2:stor n3:stor",
    );
}

/// A first choice that cannot be completed to a set is reverted.
#[test]
fn dead_ends_are_left() {
    let nodes = "n0 A=0 B=0: stor 100
                 n1 A=1 B=1: stor 90
                 n2 A=1 B=0: stor 80
                 n3 A=2 B=1: stor 70
                 n4 A=1 B=2: stor 10";
    check(
        nodes,
        5,
        &count(3).different(&["A", "B"]),
        "n0:stor n3:stor n4:stor",
    );
    let racks = "n1: sp1 100
                 n2 rack=1: sp1 90
                 n3 rack=2: sp1 10
                 n4 rack=2: sp1 10";
    check(racks, 1, &count(2).same(&["rack"]), "n3:sp1 n4:sp1");
}

/// The larger group of equal nodes is chosen, and the best sum is found even if another set is found first.
#[test]
fn the_best_sum_is_found() {
    let mut nodes = String::new();
    for index in 0..10 {
        let (value, gib) = if index < 5 { (0, 10) } else { (1, 20) };
        nodes += &format!("node{index} A={value}: stor {gib}\n");
    }
    check(
        &nodes,
        5,
        &count(5).same(&["A"]),
        "node5:stor node6:stor node7:stor node8:stor node9:stor",
    );
    let keep_first = "n1 test=a: sp1 100 LVM_THIN
                      n2 test=a: sp1 10 LVM_THIN
                      n3 test=b: sp1 30 LVM_THIN
                      n4 test=b: sp1 30 LVM_THIN
                      n5 test=c: sp1 90 LVM_THIN";
    check(
        keep_first,
        1,
        &count(2).same(&["test"]).pools(&["sp1"]),
        "n1:sp1 n2:sp1",
    );
    let thin = "m13c12 m=13 o=true: thindata 179/900 LVM_THIN
                m14c21 m=14 o=true: thindata 203/900 LVM_THIN
                m10c12 m=10 o=true: thindata 900/900 LVM_THIN
                m15c12 m=15 o=true: thindata 900/900 LVM_THIN";
    check(
        thin,
        100,
        &count(2).same(&["o"]).different(&["m"]),
        "m10c12:thindata m15c12:thindata",
    );
}

/// Groups of x share a value; all groups but one are full; different groups have different values.
#[test]
fn x_replicas_share_a_value() {
    let x2 = |replicas| count(replicas).different(&["DC"]).x_different("DC", 2);
    let full = "Berlin1:stor Berlin2:stor Frankfurt1:stor Frankfurt2:stor London1:stor";
    check(&five_places(3, |_| 10), 5, &x2(5), full);
    // One node with a higher score in each site would be five groups of one.
    check(
        &five_places(3, |index| if index == 1 { 100 } else { 10 }),
        5,
        &x2(5),
        full,
    );
    check(&five_places(1, |_| 10), 5, &x2(4), "996");
    check(&five_places(1, |_| 10), 5, &x2(1), "Berlin1:stor");
    let two_good = |index| if index <= 2 { 100 } else { 10 };
    check(
        &five_places(3, two_good),
        5,
        &count(4).different(&["DC", "DC2"]).x_different("DC", 3),
        "Berlin1:stor Berlin2:stor Berlin3:stor Frankfurt1:stor",
    );
    // The best site has one node only, but an even number permits no group of one.
    let lonely = five_places(3, |_| 10)
        .replace("Vienna2", "Rome2")
        .replace("Vienna3", "Rome3")
        .replace("Rome2 DC=Vienna", "Rome2 DC=Berlin")
        .replace("Rome3 DC=Vienna", "Rome3 DC=Berlin")
        .replace("Vienna1 DC=Vienna: stor 10", "Vienna1 DC=Vienna: stor 100");
    check(
        &lonely,
        5,
        &x2(4),
        "Berlin1:stor Berlin2:stor Frankfurt1:stor Frankfurt2:stor",
    );
    let avoid = five_places(3, |_| 10).replace("DC=Vienna: stor 10", "DC=Vienna: stor 100");
    check(
        &avoid,
        5,
        &count(5).different(&["DC=Vienna"]).x_different("DC", 2),
        full,
    );
}

/// Existing replicas count as members of their groups.
#[test]
fn x_replicas_with_replicas_that_exist() {
    let filter = count(5).different(&["DC"]).x_different("DC", 2);
    for (there, expected) in [
        (
            ["Vienna1", "Berlin3"],
            "Berlin1:stor Frankfurt1:stor Frankfurt2:stor",
        ),
        (
            ["Vienna1", "Vienna2"],
            "Berlin1:stor Berlin2:stor Frankfurt1:stor",
        ),
    ] {
        let mut cluster = cluster(&five_places(3, |_| 10));
        cluster.define("res", &[5]).put("res", "stor", &there);
        assert_eq!(cluster.place("res", &filter), expected);
    }
    // One replica in a group of two: a second incomplete group is not started.
    let mut cluster = cluster(&five_places(1, |_| 10));
    cluster.define("res", &[5]).put("res", "stor", &["Berlin1"]);
    let one_more = SelectFilter {
        additional_place_count: Some(1),
        ..SelectFilter::default().x_different("DC", 2)
    };
    assert_eq!(cluster.place("res", &one_more), "996");
}

/// The same request twice places no more replicas; a larger one adds to the existing ones; a smaller one changes
/// nothing.
#[test]
fn wishes_add_and_never_remove() {
    let mut cluster = cluster("n1: stor 10\n n2: stor 10\n n3: stor 10\n n4: stor 10");
    cluster.define("res", &[5]);
    assert_eq!(cluster.deploy("res", &count(2)), "n1 n2");
    assert_eq!(cluster.place("res", &count(2)), "1006");
    let replies = cluster.try_place("res", &count(2)).unwrap().replies;
    assert_eq!(replies[0].ret_code, code::WARN_RSC_ALREADY_DEPLOYED);
    assert!(
        replies[0]
            .message
            .contains("was already deployed on 2 nodes. Skipping.")
    );
    assert_eq!(cluster.place("res", &count(1)), "1006");
    assert_eq!(cluster.deploy("res", &count(3)), "n3");
    let one_more = SelectFilter {
        additional_place_count: Some(1),
        ..count(2)
    };
    assert_eq!(cluster.place("res", &one_more), "n4:stor");
}

/// New replicas may be in other pools than existing ones.
#[test]
fn more_replicas_in_another_pool() {
    let mut cluster =
        cluster("n1: stor 100\n n2: stor 100\n n3: stor 10, stor2 10\n n4: stor 10, stor2 10");
    cluster.define("res", &[5]);
    assert_eq!(cluster.deploy("res", &count(2)), "n1 n2");
    assert_eq!(
        cluster.place("res", &count(4).pools(&["stor2"])),
        "n3:stor2 n4:stor2"
    );
}

/// The common value of existing replicas is required of new ones.
#[test]
fn replicas_that_exist_decide_values() {
    let nodes = "n1 a=a: stor 100
                 n2 a=a: stor 90
                 n3 a=a: stor 70
                 n4 a=b: stor 80";
    let mut cluster = cluster(nodes);
    cluster
        .define("res", &[5])
        .put("res", "stor", &["n1", "n2"]);
    assert_eq!(cluster.place("res", &count(3).same(&["a"])), "n3:stor");
    assert_eq!(cluster.place("res", &count(3).different(&["a"])), "n4:stor");
    cluster.put("res", "stor", &["n4"]);
    let undecidable = cluster
        .try_place("res", &count(4).same(&["a"]))
        .unwrap_err();
    assert_eq!(undecidable[0].ret_code, code::FAIL_UNDECIDABLE_AUTOPLACMENT);
    assert!(undecidable[0].cause.as_ref().unwrap().contains("'b' on n4"));
}

/// Zones and racks, two nodes in each rack.
#[test]
fn zones_and_racks() {
    let mut nodes = String::new();
    for zone in ["a", "b", "c"] {
        for rack in 1..=2 {
            for index in 1..=2 {
                nodes += &format!(
                    "node-{zone}{rack}-{index} zone={zone} rack={rack}: data 10 LVM_THIN\n"
                );
            }
        }
    }
    check(
        &nodes,
        1,
        &count(3),
        "node-a1-1:data node-a1-2:data node-a2-1:data",
    );
    check(
        &nodes,
        1,
        &count(3).same(&["rack"]).different(&["zone"]),
        "node-a1-1:data node-b1-1:data node-c1-1:data",
    );
    check(
        &nodes,
        1,
        &count(3).same(&["rack=2"]).different(&["zone"]),
        "node-a2-1:data node-b2-1:data node-c2-1:data",
    );
    check(&nodes, 1, &count(3).same(&["zone", "rack"]), "996");
    let mut cluster = cluster(&nodes);
    cluster
        .define("res", &[1])
        .put("res", "data", &["node-a1-1", "node-b1-2"]);
    assert_eq!(
        cluster.place("res", &count(3).different(&["zone"])),
        "node-c1-1:data"
    );
    cluster
        .define("other", &[1])
        .put("other", "data", &["node-c1-1", "node-c1-2"]);
    assert_eq!(
        cluster.place("other", &count(3).same(&["zone"])),
        "node-c2-1:data"
    );
}

/// Nodes without a required layer and pools of other providers are not chosen.
#[test]
fn layers_and_providers() {
    let nodes = "n1: stor 10\n n2: stor 10\n n3 nodrbd: stor 100";
    check(nodes, 5, &count(2), "n1:stor n2:stor");
    let storage = SelectFilter {
        layer_stack: Some(vec![LayerKind::Storage]),
        ..count(1)
    };
    check(nodes, 5, &storage, "n3:stor");
    let lvm = SelectFilter {
        providers: Some(vec![ProviderKind::Lvm, ProviderKind::LvmThin]),
        ..count(2)
    };
    check(
        "n1: stor 10\n n2: stor 10\n n3: stor 100 ZFS",
        5,
        &lvm,
        "n1:stor n2:stor",
    );
}

/// Providers with different extent sizes are not mixed, unless that is allowed and DRBD supports it.
#[test]
fn kinds_are_not_mixed() {
    check(
        "n1: sp1 100\n n2: sp1 1T LVM_THIN\n n3: sp1 900",
        1,
        &count(2),
        "n1:sp1 n3:sp1",
    );
    check(
        "n1: sp1 100 ZFS\n n2: sp1 100 ZFS_THIN",
        1,
        &count(2),
        "n1:sp1 n2:sp1",
    );
    check(
        "n1: sp1 100 FILE\n n2: sp1 100 FILE_THIN",
        1,
        &count(2),
        "n1:sp1 n2:sp1",
    );
    check("n1: sp1 100 FILE\n n2: sp1 100 LVM", 1, &count(2), "996");
    let nodes = |version: &str| {
        format!(
            "n1 {version}: sp1 100 LVM_THIN
             n2 {version}: sp1 100 ZFS
             n3 {version}: sp1 100 ZFS_THIN
             n4 {version}: sp1 10 LVM
             n5 {version}: sp1 90 LVM"
        )
    };
    for (version, allowed, expected) in [
        ("drbd9.2.18", false, "n4:sp1"),
        ("drbd9.1.17", true, "n4:sp1"),
        ("drbd9.2.6", true, "n4:sp1"),
        ("drbd9.1.18", true, "n1:sp1"),
        ("drbd9.2.7", true, "n1:sp1"),
    ] {
        let mut cluster = cluster(&nodes(version));
        cluster.define("res", &[1]).put("res", "sp1", &["n5"]);
        if allowed {
            cluster.prop("res", prop::ALLOW_MIXING_STOR_POOL_DRIVER, "true");
        }
        assert_eq!(
            cluster.place("res", &count(2)),
            expected,
            "{version} {allowed}"
        );
    }
}

/// Weights change the scores; unknown ones are ignored, and a value that is no number counts as 1.
#[test]
fn weights_decide() {
    let nodes = "n1: sp1 100\n n2: sp1 90\n n3: sp1 50";
    let place = |weights: &[(&str, &str)]| {
        let mut cluster = cluster(nodes);
        for (key, value) in weights {
            cluster.controller_prop(&format!("Autoplacer/Weights/{key}"), value);
        }
        cluster.define("res", &[1]);
        for (name, on) in [("dummy1", "n1"), ("dummy2", "n1"), ("dummy3", "n2")] {
            cluster.define(name, &[0]).put(name, "sp1", &[on]);
        }
        cluster.place("res", &count(1))
    };
    assert_eq!(place(&[]), "n1:sp1");
    assert_eq!(place(&[("FreeSpace", "0"), ("MinRscCount", "1")]), "n3:sp1");
    assert_eq!(place(&[("MaxFreeSpace", "-1")]), "n3:sp1");
    assert_eq!(place(&[("MinRscCount", "plenty")]), "n3:sp1");
    assert_eq!(place(&[("MaxThroughput", "100")]), "n1:sp1");
}

/// `AutoplaceTarget` of a node takes precedence over the controller's; a pool has its own.
#[test]
fn targets() {
    let mut cluster = cluster("n1: sp1 100\n n2: sp1 90\n n3: sp1 50");
    cluster.define("res", &[1]);
    cluster.draft.edit_node(&node("n1"), |row| {
        row.props
            .insert(prop::AUTOPLACE_TARGET.into(), "false".into());
    });
    assert_eq!(cluster.place("res", &count(2)), "n2:sp1 n3:sp1");
    cluster.controller_prop(prop::AUTOPLACE_TARGET, "False");
    assert_eq!(cluster.place("res", &count(1)), "996");
    cluster.draft.edit_node(&node("n1"), |row| {
        row.props
            .insert(prop::AUTOPLACE_TARGET.into(), "True".into());
    });
    assert_eq!(cluster.place("res", &count(1)), "n1:sp1");
    let mut row = crate::StoragePool::clone(cluster.draft.pool(&node("n1"), &pool("sp1")).unwrap());
    row.props
        .insert(prop::AUTOPLACE_TARGET.into(), "false".into());
    cluster.draft.put_storage_pool(row);
    assert_eq!(cluster.place("res", &count(1)), "996");
}

/// Nodes that are offline, evacuating, being deleted or evicted are not chosen.
#[test]
fn only_healthy_nodes() {
    let mut cluster =
        cluster("n1: sp1 90\n n2: sp1 80\n n3: sp1 70\n n4: sp1 60\n n5 offline: sp1 100");
    cluster.define("res", &[1]);
    cluster
        .draft
        .edit_node(&node("n1"), |row| row.evacuate = true);
    delete_node::begin(&mut cluster.draft, &node("n2"), 1);
    cluster
        .draft
        .edit_node(&node("n3"), |row| row.evicted = true);
    assert_eq!(cluster.place("res", &count(1)), "n4:sp1");
    assert_eq!(cluster.place("res", &count(2)), "996");
}

/// Replicas that are being deleted or skip their disk do not count; their nodes are not chosen again.
#[test]
fn what_counts_as_deployed() {
    let mut cluster = cluster("n1: sp1 90\n n2: sp1 80\n n3: sp1 70\n n4: sp1 60");
    cluster.define("res", &[1]).put("res", "sp1", &["n1", "n2"]);
    cluster
        .draft
        .edit_node(&node("n1"), |row| row.evacuate = true);
    assert_eq!(cluster.place("res", &count(2)), "n3:sp1");
    cluster
        .draft
        .edit_node(&node("n1"), |row| row.evacuate = false);
    let before = cluster.draft.clone();
    delete_resource::begin(&mut cluster.draft, &resource("res"), &node("n1"), 1);
    assert_eq!(cluster.place("res", &count(2)), "n3:sp1");
    cluster.draft = before;
    cluster
        .draft
        .edit_resource(&resource("res"), &node("n1"), |row| {
            row.props.insert(prop::DRBD_SKIP_DISK.into(), "True".into());
        });
    assert_eq!(cluster.place("res", &count(2)), "n3:sp1");
    // A diskless replica's node can be chosen: the replica becomes diskful.
    cluster.put_replica("res", DEFAULT_DISKLESS_POOL, "n3", DiskKind::TieBreaker);
    let placement = cluster.try_place("res", &count(2)).unwrap();
    assert!(placement.chosen[0].converts && placement.chosen[0].node == node("n3"));
}

/// DRBD 8.4 supports two replicas and no diskless ones; the two versions of DRBD are never mixed.
#[test]
fn drbd_kinds() {
    let nodes =
        "n1 drbd84: sp1 100\n n2 drbd84: sp1 90\n n3 drbd84: sp1 80\n n4: sp1 70\n n5: sp1 60";
    check(nodes, 1, &count(2), "n1:sp1 n2:sp1");
    check(nodes, 1, &count(3), "996");
    let mut cluster = cluster(nodes);
    cluster.define("res", &[1]).put("res", "sp1", &["n1"]);
    assert_eq!(cluster.place("res", &count(2)), "n2:sp1");
    let refused = cluster.try_place("res", &count(3)).unwrap_err();
    let text = refused[0].details.as_ref().unwrap();
    assert!(
        text.contains("connects at most 2 replicas; there would be 3"),
        "{text}"
    );
    assert!(
        text.contains("cannot connect to the DRBD version"),
        "{text}"
    );
    let definition = &cluster.draft.definitions[&resource("res")];
    let filter = count(1);
    let request = PlaceRequest {
        want: Want::Diskless,
        ..PlaceRequest::of_definition(&cluster.draft, definition, &filter)
    };
    let refused = choose(&cluster.draft, &cluster.observed, &request).unwrap_err();
    assert!(
        refused[0]
            .details
            .as_ref()
            .unwrap()
            .contains("does not support diskless replicas")
    );
    let (nodes, replies) = remaining_nodes(&cluster.draft, &cluster.observed, &request, &[]);
    assert!(nodes.is_empty() && replies[0].cause.as_ref().unwrap().contains("8.4"));
}

/// Every other node gets a diskless replica, tie breakers included.
#[test]
fn diskless_on_remaining() {
    let mut cluster = cluster(
        "n1: stor 10\n n2: stor 10\n n3: stor 10\n n4 offline: stor 10\n n5 nodrbd: stor 10",
    );
    cluster.define("res", &[5]);
    let filter = SelectFilter {
        diskless_on_remaining: Some(true),
        ..count(1)
    };
    let placement = cluster.try_place("res", &filter).unwrap();
    let definition = &cluster.draft.definitions[&resource("res")];
    let request = PlaceRequest::of_definition(&cluster.draft, definition, &filter);
    let (rest, _) = remaining_nodes(
        &cluster.draft,
        &cluster.observed,
        &request,
        &placement.chosen,
    );
    assert_eq!(rest, [node("n2"), node("n3")]);
    let mut deployed = cluster.clone();
    deployed.put("res", "stor", &["n1"]);
    deployed.put_replica("res", DEFAULT_DISKLESS_POOL, "n2", DiskKind::TieBreaker);
    deployed.put_replica("res", DEFAULT_DISKLESS_POOL, "n3", DiskKind::Diskless);
    assert_eq!(
        deployed.try_place("res", &filter).unwrap(),
        Placement::default()
    );
    let definition = &deployed.draft.definitions[&resource("res")];
    let request = PlaceRequest::of_definition(&deployed.draft, definition, &filter);
    let (rest, _) = remaining_nodes(&deployed.draft, &deployed.observed, &request, &[]);
    assert_eq!(rest, [node("n2")]);
}

/// A diskless replica is placed on the node with the fewest resources.
#[test]
fn diskless_placement() {
    let mut cluster = cluster("n1: stor 10\n n2: stor 10\n n3: stor 10\n n4: stor 10");
    cluster
        .define("res", &[5])
        .put("res", "stor", &["n1", "n2"]);
    cluster.define("other", &[1]).put("other", "stor", &["n3"]);
    let definition = &cluster.draft.definitions[&resource("res")];
    let filter = count(1);
    let request = PlaceRequest {
        want: Want::Diskless,
        ..PlaceRequest::of_definition(&cluster.draft, definition, &filter)
    };
    let placement = choose(&cluster.draft, &cluster.observed, &request).unwrap();
    let by_filter = SelectFilter {
        diskless_type: Some("DRBD_DISKLESS".to_owned()),
        ..count(1)
    };
    assert_eq!(cluster.try_place("res", &by_filter).unwrap(), placement);
    assert_eq!(placement.chosen[0].node, node("n4"));
    assert_eq!(placement.chosen[0].pool, pool(DEFAULT_DISKLESS_POOL));
}

/// The success reply names nodes and pools in the form that clients parse.
#[test]
fn success_names_the_places() {
    let mut cluster = cluster("n1: stor 10\n n2: stor 10 ");
    cluster.define("res", &[5]);
    let reply = cluster.try_place("res", &count(2)).unwrap().reply("res");
    assert_eq!(
        reply.message,
        "Resource 'res' successfully autoplaced on 2 nodes"
    );
    assert_eq!(reply.obj_refs["Node/1"], "n2");
    assert_eq!(reply.obj_refs["StoragePool/0/0"], "stor,LVM");
}
