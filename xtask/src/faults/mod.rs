//! Faults on real machines: each is reported on the affected resource or node, others are not affected, and everything
//! recovers by itself when the cause is removed.

mod away;
mod backed_up;
mod disk;
mod encryption;
mod host_name;
mod leaving;
mod nodes;
mod pools;
mod refused;
mod replicas;
mod restored;
mod snapshots;
mod suspension;
mod tools;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Node;
use crate::report::{Report, Skip};

const HEAL_LIMIT: Duration = Duration::from_secs(75);
/// Time limit for a node's state to be reported.
const NODE_LIMIT: Duration = Duration::from_secs(30);

type Fault = (&'static str, fn(&mut Cluster) -> Result<()>);

const ALL: &[Fault] = &[
    (
        "invalid names and sizes are refused, and nothing changes",
        |cluster| refused::bad_input(cluster),
    ),
    (
        "a port in use is reported, and used once it is free",
        |cluster| refused::busy_port(cluster),
    ),
    (
        "a full pool is reported, other pools work, and it recovers",
        |cluster| refused::full_pool(cluster),
    ),
    (
        "an offline satellite delays only its own resources",
        |cluster| away::offline_satellite(cluster),
    ),
    (
        "without the controller, a rebooted node brings its resources up",
        away::no_controller,
    ),
    (
        "a deleted replica waits until another one is UpToDate",
        |cluster| leaving::replica(cluster),
    ),
    (
        "a removed disk waits until another one is UpToDate",
        |cluster| leaving::disk(cluster),
    ),
    ("a resize waits for an inactive replica", |cluster| {
        leaving::growth_while_inactive(cluster)
    }),
    (
        "a failing disk is detached, its peer serves, and it is resynchronised",
        |cluster| disk::failing(cluster),
    ),
    (
        "a disk missing after a reboot is reported, and used once it is back",
        |cluster| disk::missing(cluster),
    ),
    (
        "a pool made of free disks is reported when it is in trouble",
        |cluster| pools::in_trouble(cluster),
    ),
    (
        "a disk that is removed and added again is attached at once",
        |cluster| replicas::toggled(cluster),
    ),
    (
        "a volume of somebody else is not touched, and its resource can be deleted",
        |cluster| replicas::foreign_volume(cluster),
    ),
    (
        "a verify algorithm is chosen that the kernels have",
        |cluster| replicas::verified(cluster),
    ),
    (
        "a new resource can be resized, and all nodes show the size",
        |cluster| replicas::sizes(cluster),
    ),
    (
        "an option that drbd-utils do not have is left out",
        |cluster| replicas::unknown_option(cluster),
    ),
    (
        "tools that are removed are reported, and used once they are back",
        |cluster| tools::vanish(cluster),
    ),
    (
        "a satellite that starts without its tools finds them once they are installed",
        |cluster| tools::absent_at_start(cluster),
    ),
    (
        "a new host name is applied, and that of another host is refused",
        |cluster| host_name::check(cluster),
    ),
    (
        "a lost node comes back with an old replica, which is listed and forgotten",
        |cluster| nodes::lost_and_back(cluster),
    ),
    ("a node is emptied and restored", |cluster| {
        nodes::emptied(cluster)
    }),
    (
        "a node without power is evicted, and is restored when it is back",
        |cluster| nodes::evicted(cluster),
    ),
    (
        "suspended I/O is resumed, whichever process is killed",
        suspension::ends,
    ),
    (
        "snapshots of resources that are written to are of one moment",
        |cluster| snapshots::while_written(cluster),
    ),
    ("a rollback brings back the data of a snapshot", |cluster| {
        snapshots::rolled_back(cluster)
    }),
    (
        "a snapshot taken while it is written is restored on all nodes, and cloned",
        |cluster| restored::from_a_snapshot(cluster),
    ),
    (
        "encrypted volumes are opened once the passphrase is entered",
        encryption::locked,
    ),
    (
        "a backup leaves the cluster, and a resource is restored from it",
        |cluster| backed_up::and_restored(cluster),
    ),
];

/// Names of all faults, which are the names of their checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// Runs the selected faults on a cluster whose nodes have storage pools named `pool` (see [`crate::story::set_up`]).
pub fn check(cluster: &mut Cluster, wanted: &dyn Fn(&str) -> bool, report: &mut Report) {
    for (name, fault) in ALL.iter().filter(|(name, _)| wanted(name)) {
        report.check(name, || {
            fault(cluster).inspect_err(|error| {
                if !error.is::<Skip>() {
                    eprintln!("{}", cluster.logs());
                }
            })
        });
    }
}

/// Runs `body` and then, even if it failed, `undo`: the next fault needs a cluster without faults.
fn undoing(body: impl FnOnce() -> Result<()>, undo: impl FnOnce() -> Result<()>) -> Result<()> {
    let outcome = body();
    let undone = undo().context("undo the fault");
    outcome.and(undone)
}

/// Creates a resource definition with a resource on one node; returns the output of the command line.
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

/// Creates a resource with two UpToDate replicas.
fn create_both(cluster: &Cluster, name: &str, nodes: [&str; 2]) -> Result<()> {
    create(cluster, name, "20M", nodes[0])?;
    create_second(cluster, name, nodes[1])?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT).map(drop)
}

/// Other resources are not affected: a new resource can be created on a node with a fault.
fn others_go_on(cluster: &Cluster, node: &str) -> Result<()> {
    let answer = create(cluster, "elsewhere", "20M", node)?;
    cluster
        .wait_until("another resource to be created", NODE_LIMIT, || {
            healthy(cluster, "elsewhere")
        })
        .context(answer)?;
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

/// Waits until a job of this resource contains all these texts.
fn wait_for_job(cluster: &Cluster, resource: &str, node: &str, texts: &[&str]) -> Result<()> {
    let mut last = String::new();
    let found = cluster.wait_until("a job to report the fault", NODE_LIMIT, || {
        let jobs = cluster.linstor_json(&["jobs", "list"])?;
        let job = jobs.iter().find(|job| {
            let about = &job["obj_refs"];
            about["RscDfn"] == resource && about["Node"] == node
        });
        last = format!("{jobs:?}");
        let text = job.map(|job| format!("{} {}", job["last_error"], job["waiting_for"]));
        Ok(text.is_some_and(|text| texts.iter().all(|part| text.contains(part))))
    });
    found.with_context(|| format!("{texts:?} of '{resource}' on {node} are not in {last}"))
}

/// Waits for a connection status of a node.
fn wait_for_node(cluster: &Cluster, name: &str, state: &str) -> Result<()> {
    cluster.wait_until(&format!("{name} to be {state}"), NODE_LIMIT, || {
        let nodes = cluster.linstor_json(&["node", "list"])?;
        Ok(nodes
            .iter()
            .any(|node| node["name"] == name && node["connection_status"] == state))
    })
}

/// The device of a resource on a node.
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

/// Checks that all given nodes read the same data; the resource must not be open on any node.
fn same_everywhere(cluster: &Cluster, resource: &str, nodes: &[Node]) -> Result<()> {
    let mut sums = Vec::new();
    for node in nodes {
        let device = device(cluster, resource, *node)?;
        let on = |argv: &[&str]| cluster.lab.exec_ok(*node, argv);
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
