//! Requests that cannot be carried out: invalid input, a port in use, a full pool.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, create, delete, healthy};
use crate::cluster::Cluster;
use crate::lab::Exec;

/// Invalid names and sizes are refused.
pub fn bad_input(cluster: &Cluster) -> Result<()> {
    let before = cluster.linstor(&["-m", "resource-definition", "list"])?;
    for name in ["../x", "a b", "a\"b", "a\nb", "x", &"a".repeat(300)] {
        let answer = cluster.try_linstor(&["resource-definition", "create", "--", name])?;
        ensure!(answer.code != 0, "{name:?} was accepted: {}", answer.text);
    }
    ensure!(
        before == cluster.linstor(&["-m", "resource-definition", "list"])?,
        "something changed"
    );
    Ok(())
}

/// Another process listens on the port that the next resource would get.
pub fn busy_port(cluster: &Cluster) -> Result<()> {
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
        "the resource to be deployed once the port is free",
        HEAL_LIMIT,
        || healthy(cluster, "ported"),
    )?;
    delete(cluster, "ported")
}

/// A volume group without free extents: the error reports it; with free extents the resource is deployed by itself.
pub fn full_pool(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    // A volume that the controller does not know uses the space.
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
    cluster.wait_until("another resource to be created", HEAL_LIMIT, || {
        healthy(cluster, "elsewhere")
    })?;
    on(&["lvremove", "-q", "-f", "vg0/squatter"])?;
    cluster.wait_until(
        "the resource to be deployed once there is free space",
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
