use super::super::fixture::{Change, cluster, count};
use super::*;

/// The error lists the smallest violations first, with the measured values.
#[test]
fn a_refusal_explains() {
    let mut cluster = cluster(
        "alpha: pool1 100
         beta: pool1 4
         gamma offline: pool1 100
         delta: pool1 2",
    );
    cluster.define("res", &[5]);
    let refused = cluster.try_place("res", &count(3)).unwrap_err().remove(0);
    assert_eq!(refused.ret_code, code::FAIL_NOT_ENOUGH_NODES);
    assert_eq!(
        refused.cause.unwrap(),
        "3 replicas are wanted, but only 1 of the nodes can take one."
    );
    let details = refused.details.unwrap();
    let rows: Vec<&str> = details.lines().collect();
    assert_eq!(
        rows,
        [
            "Each replica needs 5.00 GiB.",
            "Could take one: alpha (pool1).",
            "Cannot take one, nearest first:",
            "  node   pool   why",
            "  beta   pool1  can take 4.00 GiB; 5.00 GiB is needed",
            "  delta  pool1  can take 2.00 GiB; 5.00 GiB is needed",
            "  gamma  -      the node is offline",
        ]
    );
}

/// If enough nodes are suitable but no set satisfies the rules between replicas, the error names the violated rules.
#[test]
fn a_refusal_tells_conflicts() {
    let mut cluster = cluster("n1 dc=a: sp1 10\n n2 dc=a: sp1 10\n n3 dc=b: sp1 10 LVM_THIN");
    cluster.define("res", &[1]);
    let refused = cluster
        .try_place("res", &count(2).different(&["dc"]))
        .unwrap_err();
    let details = refused[0].details.as_ref().unwrap();
    assert!(
        details.contains("different values of 'Aux/dc': 'a' on 2 nodes, 'b' on n3"),
        "{details}"
    );
    assert!(
        details.contains("AllowMixingStoragePoolDriver"),
        "{details}"
    );
    assert!(
        refused[0]
            .cause
            .as_ref()
            .unwrap()
            .contains("no 2 of them satisfy the rules between replicas")
    );
}

/// The reply about a thousand unsuitable nodes has a limited length.
#[test]
fn refusals_are_bounded() {
    let nodes: String = (0..300)
        .map(|index| format!("node{index:03} offline: sp1 10\n"))
        .collect();
    let mut cluster = cluster(&nodes);
    cluster.define("res", &[1]);
    let refused = cluster.try_place("res", &count(2)).unwrap_err();
    let details = refused[0].details.as_ref().unwrap();
    assert!(
        details.len() < 6000 && details.contains("and 280 more"),
        "{details}"
    );
}
