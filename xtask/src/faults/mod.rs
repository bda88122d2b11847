//! What breaks on real machines: each fault is named by the resource or node that it hits, others go on, and all heals
//! by itself when the cause is gone.

mod away;
mod disk;
mod host_name;
mod leaving;
mod refused;
mod suspension;
mod tools;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Node;
use crate::report::Report;

const HEAL_LIMIT: Duration = Duration::from_secs(75);
/// How long a node may take to be seen as it is.
const NODE_LIMIT: Duration = Duration::from_secs(30);

type Fault = (&'static str, fn(&mut Cluster) -> Result<()>);

const ALL: &[Fault] = &[
    (
        "bad names and sizes are refused, and nothing changes",
        |cluster| refused::bad_input(cluster),
    ),
    (
        "a port in use is named, and used once it is free",
        |cluster| refused::busy_port(cluster),
    ),
    (
        "a full pool is named, others go on, and it heals",
        |cluster| refused::full_pool(cluster),
    ),
    ("an offline satellite delays only its own part", |cluster| {
        away::offline_satellite(cluster)
    }),
    (
        "without the controller, a rebooted node brings its volumes up",
        away::no_controller,
    ),
    (
        "a replica that goes waits until another one has its data",
        |cluster| leaving::replica(cluster),
    ),
    (
        "a disk that goes waits until another one has its data",
        |cluster| leaving::disk(cluster),
    ),
    (
        "a volume that grows waits for a deactivated replica",
        |cluster| leaving::growth_while_inactive(cluster),
    ),
    (
        "a failing disk is given up, its peer serves, and it comes back",
        |cluster| disk::failing(cluster),
    ),
    (
        "a disk that is missing after a reboot is named, and used once it is back",
        |cluster| disk::missing(cluster),
    ),
    (
        "tools that vanish are named, and used once they are back",
        |cluster| tools::vanish(cluster),
    ),
    (
        "a satellite that starts without its tools finds them once they are there",
        |cluster| tools::absent_at_start(cluster),
    ),
    (
        "a new host name is learned, and one that another host has is refused",
        |cluster| host_name::check(cluster),
    ),
    (
        "I/O that was suspended goes on, whoever dies",
        suspension::ends,
    ),
];

/// Names of all faults, as their checks print them.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The faults that are wanted, on a cluster whose nodes have pools named `pool` (see [`crate::story::set_up`]).
pub fn check(cluster: &mut Cluster, wanted: &dyn Fn(&str) -> bool, report: &mut Report) {
    for (name, fault) in ALL.iter().filter(|(name, _)| wanted(name)) {
        report.check(name, || {
            fault(cluster).inspect_err(|_| eprintln!("{}", cluster.logs()))
        });
    }
}

/// Runs `body`, and then `undo` whatever came of it: the next fault is to find a sound cluster.
fn undoing(body: impl FnOnce() -> Result<()>, undo: impl FnOnce() -> Result<()>) -> Result<()> {
    let outcome = body();
    let undone = undo().context("undo the fault");
    outcome.and(undone)
}

/// A new resource with its first replica; what the command line says.
fn create(cluster: &Cluster, name: &str, size: &str, node: &str) -> Result<String> {
    cluster.linstor(&["resource-definition", "create", name])?;
    cluster.linstor(&["volume-definition", "create", name, size])?;
    let answer =
        cluster.try_linstor(&["resource", "create", node, name, "--storage-pool", "pool"])?;
    Ok(answer.text)
}

fn create_second(cluster: &Cluster, name: &str, node: &str) -> Result<()> {
    cluster
        .linstor(&["resource", "create", node, name, "--storage-pool", "pool"])
        .map(drop)
}

/// A resource with two replicas that are up to date.
fn create_both(cluster: &Cluster, name: &str, nodes: [&str; 2]) -> Result<()> {
    create(cluster, name, "20M", nodes[0])?;
    create_second(cluster, name, nodes[1])?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT).map(drop)
}

/// Others go on: a new resource comes up on a node while something else is broken.
fn others_go_on(cluster: &Cluster, node: &str) -> Result<()> {
    let said = create(cluster, "elsewhere", "20M", node)?;
    cluster
        .wait_until("another resource to come up", NODE_LIMIT, || {
            healthy(cluster, "elsewhere")
        })
        .context(said)?;
    delete(cluster, "elsewhere")
}

fn healthy(cluster: &Cluster, name: &str) -> Result<bool> {
    let replicas = cluster.replicas(name)?;
    Ok(!replicas.is_empty()
        && replicas
            .iter()
            .all(|replica| replica.disk_state.as_deref() == Some("UpToDate")))
}

fn delete(cluster: &Cluster, name: &str) -> Result<()> {
    cluster
        .linstor(&["resource-definition", "delete", name])
        .map(drop)
}

/// Waits until the jobs name a replica and say all these words about it.
fn jobs_say(cluster: &Cluster, resource: &str, node: &str, words: &[&str]) -> Result<()> {
    let mut last = String::new();
    let said = cluster.wait_until("the jobs to say what is wrong", NODE_LIMIT, || {
        let jobs = cluster.linstor_json(&["jobs", "list"])?;
        let job = jobs.iter().find(|job| {
            let about = &job["obj_refs"];
            about["RscDfn"] == resource && about["Node"] == node
        });
        last = format!("{jobs:?}");
        let text = job.map(|job| format!("{} {}", job["last_error"], job["waiting_for"]));
        Ok(text.is_some_and(|text| words.iter().all(|word| text.contains(word))))
    });
    said.with_context(|| format!("{words:?} of '{resource}' on {node} are not in {last}"))
}

/// Waits for a state of the connection to a node.
fn wait_for_node(cluster: &Cluster, name: &str, state: &str) -> Result<()> {
    cluster.wait_until(&format!("{name} to be {state}"), NODE_LIMIT, || {
        let nodes = cluster.linstor_json(&["node", "list"])?;
        Ok(nodes
            .iter()
            .any(|node| node["name"] == name && node["connection_status"] == state))
    })
}

/// Device of a resource on a node.
fn device(cluster: &Cluster, resource: &str, node: Node) -> Result<String> {
    let replicas = cluster.replicas(resource)?;
    let replica = replicas
        .into_iter()
        .find(|replica| replica.node == node.to_string());
    replica
        .and_then(|replica| replica.device)
        .with_context(|| format!("'{resource}' has no device on {node}"))
}

/// Writes random data to a resource that is primary on the node.
fn write(cluster: &Cluster, resource: &str, node: Node, at_mib: u32) -> Result<()> {
    let of = format!("of={}", device(cluster, resource, node)?);
    let seek = format!("seek={at_mib}");
    let dd = ["dd", "if=/dev/urandom", &of, "bs=1M", "count=2", &seek];
    let how = ["oflag=direct", "conv=fsync", "status=none"];
    cluster
        .lab
        .exec_ok(node, &[&dd[..], &how].concat())
        .map(drop)
}

/// Every node that is asked reads the same; none may have the resource open.
fn same_everywhere(cluster: &Cluster, resource: &str, nodes: &[Node]) -> Result<()> {
    let mut sums = Vec::new();
    for node in nodes {
        let device = device(cluster, resource, *node)?;
        let on = |words: &[&str]| cluster.lab.exec_ok(*node, words);
        on(&["drbdadm", "primary", resource])?;
        let sum = on(&["sha256sum", &device]);
        on(&["drbdadm", "secondary", resource])?;
        sums.push(sum?);
    }
    ensure!(
        sums.windows(2).all(|pair| pair[0] == pair[1]),
        "'{resource}' differs between {nodes:?}"
    );
    Ok(())
}
