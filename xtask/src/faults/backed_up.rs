//! A backup that leaves the cluster, and a resource that is restored from it.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, same_everywhere, write};
use crate::cluster::Cluster;
use crate::lab::HOST_ADDRESS;
use crate::s3_stores::{ACCESS_KEY, BUCKET, Moto, SECRET_KEY};

const SOURCE: &str = "backedup";
const COPY: &str = "fetched";
const REMOTE: &str = "store";
/// How long a backup of a small volume may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A full and an incremental backup of a replicated resource that is in use; a resource that is restored from them has the
/// data of the newer one, and gets a second replica.
pub fn and_restored(cluster: &Cluster) -> Result<()> {
    let address = format!("{HOST_ADDRESS}:9002");
    let _store = store(cluster, &address)?;
    let status = cluster.linstor(&["encryption", "status"])?;
    if status.contains("unset") {
        cluster.linstor(&["encryption", "create-passphrase", "-p", "secret"])?;
    }
    let endpoint = format!("http://{address}");
    let create = ["remote", "create", "s3", REMOTE, &endpoint, BUCKET];
    let with = ["us-east-1", ACCESS_KEY, SECRET_KEY];
    cluster.linstor(&[&create[..], &with].concat())?;

    let node = cluster.node(2);
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    create_both(cluster, SOURCE, ["node2", "node3"])?;
    on(&["drbdadm", "primary", SOURCE])?;
    write(cluster, SOURCE, node, 2)?;
    back_up(cluster, 1)?;
    write(cluster, SOURCE, node, 10)?;
    let before = on(&["sha256sum", &device(cluster, SOURCE, node)?])?;
    back_up(cluster, 2)?;
    write(cluster, SOURCE, node, 6)?;
    on(&["drbdadm", "secondary", SOURCE])?;

    let restore = ["backup", "restore", "--resource", SOURCE];
    cluster.linstor(&[&restore[..], &[REMOTE, "node2", COPY]].concat())?;
    cluster.wait_up_to_date(COPY, 1, LIMIT)?;
    on(&["drbdadm", "primary", COPY])?;
    let restored = on(&["sha256sum", &device(cluster, COPY, node)?])?;
    on(&["drbdadm", "secondary", COPY])?;
    let sum = |text: &str| text.split(' ').next().map(str::to_owned);
    ensure!(
        sum(&restored) == sum(&before),
        "the restored resource is not the backup: {restored}, not {before}"
    );
    let place = ["resource-definition", "auto-place", COPY];
    cluster.linstor(&[&place[..], &["--place-count", "2"]].concat())?;
    cluster.wait_up_to_date(COPY, 2, HEAL_LIMIT)?;
    let replicas = cluster.replicas(COPY)?;
    let diskful = replicas
        .iter()
        .filter(|of| of.disk_state.as_deref() == Some("UpToDate"));
    let nodes: Vec<_> = diskful
        .map(|of| cluster.node_named(&of.node))
        .collect::<Result<_>>()?;
    same_everywhere(cluster, COPY, &nodes)?;

    delete_with_snapshots(cluster, COPY)?;
    delete_with_snapshots(cluster, SOURCE)?;
    cluster.linstor(&["remote", "delete", REMOTE]).map(drop)
}

/// A store on the host, which the guests reach.
fn store(cluster: &Cluster, address: &str) -> Result<Moto> {
    let python = Moto::install()?;
    let log = File::create(cluster.lab.share().join("moto.log"))?;
    cluster
        .lab
        .inside(|| Moto::start(&python, address, log))?
        .context("start an S3 store")
}

/// Makes a backup, after which there are so many.
fn back_up(cluster: &Cluster, count: usize) -> Result<()> {
    cluster.linstor(&["backup", "create", REMOTE, SOURCE])?;
    cluster.wait_until("a backup to be made", LIMIT, || {
        let list = cluster.linstor(&["backup", "list", REMOTE, "--pastable"])?;
        Ok(list.matches("Success").count() == count)
    })
}

fn delete_with_snapshots(cluster: &Cluster, name: &str) -> Result<()> {
    for row in cluster.linstor_json(&["snapshot", "list", "-r", name])? {
        let snapshot = row["name"].as_str().context("a snapshot's name")?;
        cluster.linstor(&["snapshot", "delete", name, snapshot])?;
    }
    delete(cluster, name)
}
