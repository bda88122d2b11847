//! `linstor advise`: what endangers resources, and commands that help.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::list_options::PASTABLE;
use super::rows::{entries, has_flag, rows, text, texts};
use crate::action::{Action, Mode, Screen, send};
use crate::define::{Arg, Command, Given, Names, group, option, own, value};
use crate::failure::Failure;
use crate::request::Request;

const ISSUES: &[&str] = &[
    "single-replica",
    "pot-split-brain",
    "diskless-in-use",
    "too-few-replicas",
    "too-many-replicas",
    "no-tiebreaker",
];
const FILTER: Arg = option("--filter -f", "Only these issues")
    .many()
    .one_of(ISSUES);
const RESOURCES: Arg = option("--resources -r", "Only these resources")
    .of(Names::Resource)
    .many();

pub const ADVISE: Command = group(
    "advise adv",
    "What endangers resources, and commands that help",
    &[
        own(
            "resource r",
            "Find resources with too few or too many replicas, or in use where they have no disk",
            &[PASTABLE, FILTER, RESOURCES],
            |given| advise(given, deployed),
        ),
        own(
            "maintenance m",
            "Find resources that need a node",
            &[
                PASTABLE,
                FILTER,
                RESOURCES,
                value("node", "Name of the node").of(Names::Node),
            ],
            |given| advise(given, maintenance),
        ),
    ],
);

/// What the advice is based on.
struct Cluster {
    pools: Vec<Json>,
    groups: Vec<Json>,
    definitions: Vec<Json>,
    resources: Vec<Json>,
}

struct Issue {
    /// One of [`ISSUES`].
    kind: &'static str,
    what: String,
    fix: String,
}

type Find = fn(&Given, &Cluster, &Json, &[&Json]) -> Vec<Issue>;

fn advise(given: &Given, find: Find) -> Result<Action, Failure> {
    let given = given.clone();
    let run = move |mode: Mode, screen: &mut Screen<'_>| {
        let mut answers = Vec::new();
        for path in [
            &["view", "storage-pools"][..],
            &["resource-groups"],
            &["resource-definitions"],
            &["view", "resources"],
        ] {
            let request = Request::get(path);
            if mode.curl {
                let line = screen.session.curl(&request);
                screen.line(&line)?;
            } else {
                match send(&request, mode, screen)? {
                    Some(answer) => answers.push(rows(&answer.text)?),
                    None => return Ok(()),
                }
            }
        }
        match <[Vec<Json>; 4]>::try_from(answers) {
            Ok([pools, groups, definitions, resources]) => {
                let cluster = Cluster {
                    pools,
                    groups,
                    definitions,
                    resources,
                };
                show(&given, &cluster, find, mode, screen)
            }
            Err(_) => Ok(()),
        }
    };
    Ok(Action::Program(Box::new(run)))
}

fn show(
    given: &Given,
    cluster: &Cluster,
    find: Find,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let (only, kinds) = (given.list("resources"), given.list("filter"));
    let mut found = Vec::new();
    for definition in &cluster.definitions {
        let name = text(definition, "name");
        if !only.is_empty() && !only.iter().any(|one| one.eq_ignore_ascii_case(&name)) {
            continue;
        }
        let replicas: Vec<&Json> = cluster
            .resources
            .iter()
            .filter(|row| text(row, "name") == name)
            .collect();
        let issues = find(given, cluster, definition, &replicas).into_iter();
        let wanted = |issue: &Issue| {
            kinds.is_empty()
                || kinds
                    .iter()
                    .any(|kind| kind.eq_ignore_ascii_case(issue.kind))
        };
        found.extend(issues.filter(wanted).map(|issue| (name.clone(), issue)));
    }
    if mode.machine.is_some() {
        let json = |(resource, issue): &(String, Issue)| json!({"resource": resource, "what": issue.what, "fix": issue.fix});
        let all: Json = found.iter().map(json).collect();
        return screen.line(&all.to_string());
    }
    let mut table = given
        .table(screen, &["Resource", "Issue", "Possible fix"])
        .group_by(&[]);
    for (resource, issue) in found {
        table.row(vec![resource.into(), issue.what.into(), issue.fix.into()]);
    }
    screen.table(table)
}

fn is_diskless(row: &Json) -> bool {
    ["DISKLESS", "TIE_BREAKER", "DRBD_DISKLESS", "NVME_INITIATOR"]
        .iter()
        .any(|flag| has_flag(row, flag))
}

fn is_drbd(row: &Json) -> bool {
    row["layer_object"]["type"] == "DRBD"
}

fn deployed(_: &Given, cluster: &Cluster, definition: &Json, replicas: &[&Json]) -> Vec<Issue> {
    let name = text(definition, "name");
    let group = match text(definition, "resource_group_name") {
        group if group.is_empty() => "DfltRscGrp".to_owned(),
        group => group,
    };
    let group = cluster.groups.iter().find(|row| text(row, "name") == group);
    let filter = group.map_or(&Json::Null, |group| &group["select_filter"]);
    let expected = filter["place_count"]
        .as_u64()
        .filter(|count| *count > 0)
        .unwrap_or(2) as usize;
    let (diskless, diskful): (Vec<&Json>, Vec<&Json>) =
        replicas.iter().partition(|row| is_diskless(row));
    let mut issues = Vec::new();
    let allowed = texts(filter, "storage_pool_list");
    for row in diskless.iter().filter(|row| row["state"]["in_use"] == true) {
        let node = text(row, "node_name");
        let suits = |pool: &&Json| {
            let name = text(pool, "storage_pool_name");
            text(pool, "node_name") == node
                && text(pool, "provider_kind") != "DISKLESS"
                && (allowed.is_empty() || allowed.contains(&name))
        };
        if cluster.pools.iter().any(|pool| suits(&pool)) {
            issues.push(Issue {
                kind: "diskless-in-use",
                what: format!(
                    "Resource is in use on {node}, which has no replica but a storage pool for one."
                ),
                fix: format!("linstor r td --dflt {node} {name}"),
            });
        }
    }
    let nodes_with_pools: BTreeSet<String> = cluster
        .pools
        .iter()
        .map(|pool| text(pool, "node_name"))
        .collect();
    if diskful.len() < expected {
        issues.push(Issue {
            kind: "too-few-replicas",
            what: format!(
                "Resource expected to have {expected} replicas, got only {}.",
                diskful.len()
            ),
            fix: format!("linstor rd ap --place-count {expected} {name}"),
        });
    } else if diskful.len() > expected {
        let is_up_to_date = |row: &&&Json| {
            let volumes = entries(row["volumes"].clone());
            row["state"]["in_use"] != true
                && volumes
                    .iter()
                    .all(|v| v["state"]["disk_state"] == "UpToDate")
        };
        let spare = diskful
            .iter()
            .filter(is_up_to_date)
            .map(|row| text(row, "node_name"));
        let spare: Vec<String> = spare.take(diskful.len() - expected).collect();
        let fix = match spare.is_empty() {
            true => String::new(),
            false => format!("linstor r d {} {name}", spare.join(" ")),
        };
        issues.push(Issue {
            kind: "too-many-replicas",
            what: format!(
                "Resource should only have {expected} replicas, but has {}.",
                diskful.len()
            ),
            fix,
        });
    } else if expected == 2
        && replicas.len() == 2
        && nodes_with_pools.len() > 2
        && replicas.iter().all(|row| is_drbd(row))
    {
        issues.push(Issue {
            kind: "no-tiebreaker",
            what: "Resource has 2 replicas but no tie-breaker, could lead to split brain."
                .to_owned(),
            fix: tie_breaker(&name),
        });
    }
    issues
}

fn tie_breaker(name: &str) -> String {
    format!("linstor rd ap --drbd-diskless --place-count 1 {name}")
}

fn maintenance(given: &Given, _: &Cluster, definition: &Json, replicas: &[&Json]) -> Vec<Issue> {
    let (name, node) = (text(definition, "name"), given.need("node"));
    let on_node = |row: &&&Json| text(row, "node_name").eq_ignore_ascii_case(node);
    if !replicas.iter().any(|row| on_node(&row)) {
        return Vec::new();
    }
    let mut diskful = replicas.iter().filter(|row| !is_diskless(row));
    if diskful.clone().count() == 1 && diskful.any(|row| on_node(&row)) {
        return vec![Issue {
            kind: "single-replica",
            what: "Node hosts only replica of resource, would become unavailable.".to_owned(),
            fix: format!("linstor rd ap --place-count 2 {name}"),
        }];
    }
    if replicas.len() < 3 {
        return vec![Issue {
            kind: "pot-split-brain",
            what: "Node hosts one of 2 replicas with no tiebreaker, may lead to split-brain."
                .to_owned(),
            fix: tie_breaker(&name),
        }];
    }
    Vec::new()
}
