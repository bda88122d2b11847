use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::super::fixture::{self, Change, cluster, count, resource};
use super::*;
use linstor_api::prop;

/// 512 nodes, one for each combination of nine bits, eight of which must be equal.
#[test]
fn many_rules_on_many_nodes() {
    let mut nodes = String::new();
    for index in 0..512 {
        nodes += &format!("stlt-{index:03}");
        for bit in 0..9 {
            nodes += &format!(" b{bit}={}", index >> bit & 1);
        }
        nodes += ": sp1 20\n";
    }
    let keys = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"];
    check(
        &nodes,
        1,
        &count(2).same(&keys),
        "stlt-000:sp1 stlt-256:sp1",
    );
    check(&nodes, 1, &count(3).same(&keys), "996");
    // Two values for each of nine rules: a third replica is impossible, which is detected without trying all sets.
    let all: Vec<String> = (0..9).map(|bit| format!("b{bit}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    check(
        &nodes,
        1,
        &count(2).different(&all),
        "stlt-000:sp1 stlt-511:sp1",
    );
    check(&nodes, 1, &count(3).different(&all), "996");
}

/// The search ends at its limit whatever the rules are, and reports that if it found no set.
#[test]
fn the_search_is_bounded() {
    // Every node has unique values except for one key with too few: classes do not help, and no set can be completed.
    let nodes: String = (0..120)
        .map(|index| {
            format!(
                "node{index:03} own={index} few={}: sp1 {}\n",
                index % 9,
                10 + index
            )
        })
        .collect();
    let mut cluster = cluster(&nodes);
    cluster.define("res", &[1]);
    let filter = count(10).different(&["own", "few"]);
    let refused = cluster.try_place("res", &filter).unwrap_err().remove(0);
    assert_eq!(refused.ret_code, code::FAIL_NOT_ENOUGH_NODES);
    assert!(refused.cause.unwrap().contains("attempts"));
}

fn any_nodes() -> impl Strategy<Value = String> {
    let kind = prop_oneof![Just("LVM"), Just("LVM_THIN"), Just("ZFS"), Just("ZFS_THIN")];
    let pool = (1_u64..40, kind, 0_u8..4);
    let node = (
        0_u8..3,
        0_u8..3,
        proptest::collection::vec(pool, 0..3),
        any::<bool>(),
    );
    proptest::collection::vec(node, 1..9).prop_map(|nodes| {
        let mut text = String::new();
        for (index, (a, b, pools, old)) in nodes.into_iter().enumerate() {
            text += &format!("node{index} a={a}");
            if b > 0 {
                text += &format!(" b={b}");
            }
            if old {
                text += " drbd9.1.0";
            }
            text += ":";
            for (at, (gib, kind, shared)) in pools.into_iter().enumerate() {
                text += &format!(" pool{at} {gib} {kind}");
                if shared == 0 {
                    text += " @san";
                }
                text += ",";
            }
            text += "\n";
        }
        text
    })
}

proptest! {
    /// The chosen set satisfies every rule, is the same each time, and no other set has a higher sum.
    #[test]
    fn the_choice_keeps_the_rules(
        text in any_nodes(),
        replicas in 1_u32..4,
        same in any::<bool>(),
        different in any::<bool>(),
        x in 0_u32..3,
        mixing in any::<bool>(),
    ) {
        let mut cluster = cluster(&text);
        cluster.define("res", &[1]);
        if mixing {
            cluster.prop("res", prop::ALLOW_MIXING_STOR_POOL_DRIVER, "true");
        }
        let mut filter = count(replicas);
        if same {
            filter = filter.same(&["a"]);
        }
        if different {
            filter = filter.different(&["b"]);
        }
        if x > 0 {
            filter = filter.x_different("b", x);
        }
        let best = brute_force(&cluster, &filter, replicas as usize);
        match cluster.try_place("res", &filter) {
            Ok(placement) => {
                prop_assert_eq!(&cluster.try_place("res", &filter).unwrap(), &placement);
                let sum: f64 = placement.chosen.iter().map(|chosen| chosen.score).sum();
                let best = best.expect("a set that satisfies the rules exists");
                prop_assert!((sum - best).abs() < 1e-9, "{} is not {}", sum, best);
            }
            Err(_) => prop_assert_eq!(best, None),
        }
    }
}

/// The highest sum of all sets that satisfy the rules, found by trying all sets.
fn brute_force(cluster: &fixture::Cluster, filter: &SelectFilter, wanted: usize) -> Option<f64> {
    let definition = &cluster.draft.definitions[&resource("res")];
    let request = PlaceRequest::of_definition(&cluster.draft, definition, filter);
    let deployed = Deployed::default();
    let rules = filter::Rules::new(
        &cluster.draft,
        &cluster.observed,
        &request,
        &deployed,
        wanted,
    )
    .unwrap();
    let candidates = score::candidates(&rules);
    let mut best: Option<f64> = None;
    let mut set = Vec::new();
    each_set(&candidates, wanted, 0, &mut set, &mut |set| {
        if keeps_rules(&rules, set) {
            let sum = set.iter().map(|candidate| candidate.score).sum();
            best = Some(best.map_or(sum, |best: f64| best.max(sum)));
        }
    });
    best
}

fn each_set<'c, 'a>(
    candidates: &'c [score::Candidate<'a>],
    wanted: usize,
    from: usize,
    set: &mut Vec<&'c score::Candidate<'a>>,
    visit: &mut impl FnMut(&[&'c score::Candidate<'a>]),
) {
    if set.len() == wanted {
        return visit(set);
    }
    for index in from..candidates.len() {
        set.push(&candidates[index]);
        each_set(candidates, wanted, index + 1, set, visit);
        set.pop();
    }
}

fn keeps_rules(rules: &filter::Rules<'_>, set: &[&score::Candidate<'_>]) -> bool {
    for (at, a) in set.iter().enumerate() {
        for b in &set[at + 1..] {
            let mix = |c: &score::Candidate<'_>| c.pool.kind;
            let shared = a.pool.shared_name.is_some() && a.pool.shared_name == b.pool.shared_name;
            let same = rules
                .same
                .iter()
                .all(|rule| a.node.props.get(rule.key) == b.node.props.get(rule.key));
            let mixes = filter::may_mix((mix(a), a.mixes), (mix(b), b.mixes), rules.mixing_allowed);
            if a.node.name == b.node.name || shared || !same || !mixes {
                return false;
            }
        }
    }
    rules.different.iter().all(|rule| {
        let Some(max) = rule.max else { return true };
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for value in set
            .iter()
            .filter_map(|candidate| candidate.node.props.get(rule.key))
        {
            *counts.entry(value).or_default() += 1;
        }
        counts.values().all(|count| *count <= max)
            && counts.values().filter(|count| **count < max).count() <= 1
    })
}
