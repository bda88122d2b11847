//! What breaks on real machines: each fault is named by the resource or node that it hits, others go on, and all heals
//! by itself when the cause is gone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Exec;
use crate::report::Report;

const HEAL_LIMIT: Duration = Duration::from_secs(75);

/// All faults, on a cluster whose nodes have pools named `pool` (see [`crate::story::set_up`]).
pub fn check_all(cluster: &mut Cluster, report: &mut Report) {
    report.check(
        "bad names and sizes are refused, and nothing changes",
        || bad_input(cluster),
    );
    report.check("a port in use is named, and used once it is free", || {
        busy_port(cluster)
    });
    report.check("a full pool is named, others go on, and it heals", || {
        full_pool(cluster)
    });
    report.check("an offline satellite delays only its own part", || {
        offline_satellite(cluster)
    });
    report.check(
        "without the controller, a rebooted node brings its volumes up",
        || no_controller(cluster),
    );
}

fn bad_input(cluster: &Cluster) -> Result<()> {
    let before = cluster.linstor(&["-m", "resource-definition", "list"])?;
    for name in ["../x", "a b", "a\"b", "a\nb", "x", &"a".repeat(300)] {
        let answer = cluster.try_linstor(&["resource-definition", "create", "--", name])?;
        ensure!(answer.code != 0, "{name:?} was taken: {}", answer.text);
    }
    ensure!(
        before == cluster.linstor(&["-m", "resource-definition", "list"])?,
        "something changed"
    );
    Ok(())
}

fn create(cluster: &Cluster, name: &str, size: &str, node: &str) -> Result<String> {
    cluster.linstor(&["resource-definition", "create", name])?;
    cluster.linstor(&["volume-definition", "create", name, size])?;
    let answer =
        cluster.try_linstor(&["resource", "create", node, name, "--storage-pool", "pool"])?;
    Ok(answer.text)
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

/// Something else listens on the port that the next resource would get.
fn busy_port(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(2);
    let listen = "import socket,time\ns=socket.socket()\ns.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n\
                  s.bind(('0.0.0.0',7000))\ns.listen()\ntime.sleep(600)";
    let squatter = cluster
        .lab
        .spawn(node, "squatter", Exec::new(&["python3", "-c", listen]))?;
    std::thread::sleep(Duration::from_secs(1));
    let text = create(cluster, "ported", "20M", "node2")?;
    let replicas = cluster.replicas("ported")?;
    let avoided = replicas
        .iter()
        .all(|replica| replica.disk_state.as_deref() == Some("UpToDate"));
    ensure!(
        avoided || text.contains("7000"),
        "the answer does not name the port: {text}"
    );
    cluster
        .lab
        .signal(&squatter, nix::sys::signal::Signal::SIGKILL)?;
    cluster.wait_until(
        "the resource to come up once the port is free",
        HEAL_LIMIT,
        || healthy(cluster, "ported"),
    )?;
    delete(cluster, "ported")
}

/// A thick volume group without room: the refusal says so; with room, the same resource comes up by itself.
fn full_pool(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    let on = |words: &[&str]| cluster.lab.exec_ok(node, words);
    // What the controller does not know of takes the room behind its back.
    cluster.linstor(&["storage-pool", "create", "lvm", "node3", "rest", "vg0"])?;
    on(&["lvcreate", "-q", "-l", "100%FREE", "-n", "squatter", "vg0"])?;
    cluster.linstor(&["resource-definition", "create", "crowded"])?;
    cluster.linstor(&["volume-definition", "create", "crowded", "20M"])?;
    let answer = cluster.try_linstor(&[
        "resource",
        "create",
        "node3",
        "crowded",
        "--storage-pool",
        "rest",
    ])?;
    ensure!(answer.code == 10, "created in a full pool: {}", answer.text);
    let text = answer.text.to_lowercase();
    ensure!(
        text.contains("space") || text.contains("free"),
        "the answer does not name the reason: {text}"
    );
    create(cluster, "elsewhere", "20M", "node2")?;
    cluster.wait_until("another resource to come up", HEAL_LIMIT, || {
        healthy(cluster, "elsewhere")
    })?;
    on(&["lvremove", "-q", "-f", "vg0/squatter"])?;
    cluster.wait_until(
        "the resource to come up once there is room",
        HEAL_LIMIT,
        || {
            if cluster.replicas("crowded")?.is_empty() {
                let _ = cluster.try_linstor(&[
                    "resource",
                    "create",
                    "node3",
                    "crowded",
                    "--storage-pool",
                    "rest",
                ])?;
            }
            healthy(cluster, "crowded")
        },
    )?;
    delete(cluster, "crowded")?;
    delete(cluster, "elsewhere")?;
    cluster
        .linstor(&["storage-pool", "delete", "node3", "rest"])
        .map(drop)
}

/// A node without power: its part of a delete waits, says for whom, and ends when the node is back.
fn offline_satellite(cluster: &Cluster) -> Result<()> {
    create(cluster, "apart", "20M", "node2")?;
    create_second(cluster, "apart", "node3")?;
    cluster.wait_up_to_date("apart", 2, HEAL_LIMIT)?;
    let node = cluster.node(3);
    cluster.lab.kill(node)?;
    cluster.wait_until(
        "the node to be seen as offline",
        Duration::from_secs(20),
        || {
            let nodes = cluster.linstor_json(&["node", "list"])?;
            Ok(nodes
                .iter()
                .any(|node| node["name"] == "node3" && node["connection_status"] == "OFFLINE"))
        },
    )?;
    let answer = cluster.try_linstor(&["resource-definition", "delete", "apart"])?;
    ensure!(
        answer.text.contains("node3"),
        "the answer does not say who is missing: {}",
        answer.text
    );
    cluster.wait_until("the other node's part to be gone", HEAL_LIMIT, || {
        Ok(cluster
            .replicas("apart")?
            .iter()
            .all(|replica| replica.node == "node3"))
    })?;
    let jobs = cluster.linstor(&["-m", "jobs", "list"])?;
    ensure!(
        jobs.contains("apart") && jobs.contains("node3"),
        "no job says what waits for whom: {jobs}"
    );
    cluster.lab.boot(node)?;
    cluster.start_satellite(node)?;
    cluster.wait_until("the delete to end", HEAL_LIMIT, || {
        let definitions = cluster.linstor_json(&["resource-definition", "list"])?;
        Ok(definitions
            .iter()
            .all(|definition| definition["name"] != "apart"))
    })?;
    let volumes = cluster
        .lab
        .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
    ensure!(
        !volumes.contains("apart"),
        "node3 still has its volume: {volumes}"
    );
    Ok(())
}

fn create_second(cluster: &Cluster, name: &str, node: &str) -> Result<()> {
    cluster
        .linstor(&["resource", "create", node, name, "--storage-pool", "pool"])
        .map(drop)
}

/// The controller is dead, a node reboots: its satellite brings up what it last knew.
fn no_controller(cluster: &mut Cluster) -> Result<()> {
    create(cluster, "alone", "20M", "node2")?;
    create_second(cluster, "alone", "node3")?;
    cluster.wait_up_to_date("alone", 2, HEAL_LIMIT)?;
    cluster.kill_controller()?;
    let node = cluster.node(3);
    cluster.lab.kill(node)?;
    cluster.lab.boot(node)?;
    cluster.start_satellite(node)?;
    cluster.wait_until(
        "DRBD to be up to date without a controller",
        HEAL_LIMIT,
        || {
            let status = cluster.lab.exec(node, &["drbdsetup", "status", "alone"])?;
            let text = String::from_utf8_lossy(&status.stdout).into_owned();
            Ok(text.contains("disk:UpToDate") && text.contains("peer-disk:UpToDate"))
        },
    )?;
    cluster
        .start_controller()
        .context("start the controller again")?;
    cluster.wait_up_to_date("alone", 2, HEAL_LIMIT)?;
    delete(cluster, "alone")
}
