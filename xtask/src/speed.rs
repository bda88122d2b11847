//! How long ten volumes in one volume group take, beside `lvcreate` alone ten times.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Exec;
use crate::providers::Kind;

const VOLUMES: u32 = 10;
const SIZE_MIB: u32 = 20;
/// At most so many times as long.
const FACTOR_MAX: f64 = 2.0;
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// Volumes of one resource without DRBD, and resources of one volume each, which are made at the same time.
pub fn check(cluster: &Cluster, kind: &Kind) -> Result<()> {
    let node = cluster.lab.nodes()[0];
    kind.set_up(cluster, node)?;
    let name = node.to_string();
    let pool = ["storage-pool", "create", kind.subcommand, &name, "speed"];
    cluster.linstor(&[&pool[..], &[kind.location]].concat())?;
    let vg = kind.location;
    let alone = seconds(
        cluster,
        &format!(
            "for n in $(seq {VOLUMES}); do lvcreate -qq -y --size {SIZE_MIB}M --name alone$n {vg} >/dev/null; done"
        ),
    )?;
    let remove = format!("lvremove -qq -f {vg}");
    cluster.lab.exec_ok(node, &["sh", "-c", &remove])?;

    let linstor = cluster.program("linstor");
    let define = |resource: &str, volumes: u32| -> Result<()> {
        let layers = ["--layer-list", "storage", resource];
        cluster.linstor(&[&["resource-definition", "create"], &layers[..]].concat())?;
        let size = format!("{SIZE_MIB}M");
        for _ in 0..volumes {
            cluster.linstor(&["volume-definition", "create", resource, &size])?;
        }
        Ok(())
    };
    define("speed-one", VOLUMES)?;
    let create = |resource: &str| {
        format!("{linstor} resource create {name} {resource} --storage-pool speed >/dev/null")
    };
    let of_one = seconds(cluster, &create("speed-one"))?;
    let mut at_once = String::new();
    for number in 0..VOLUMES {
        let resource = format!("speed-{number}");
        define(&resource, 1)?;
        at_once.push_str(&format!("{} & ", create(&resource)));
    }
    let of_many = seconds(cluster, &format!("{at_once} wait"))?;
    let made = cluster
        .lab
        .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name", vg])?;
    let made = made.split_whitespace().count();
    ensure!(made == 2 * VOLUMES as usize, "{made} volumes were made");
    println!(
        "{VOLUMES} volumes in one volume group: lvcreate alone {alone:.2} s; as one resource {of_one:.2} s ({:.2} times), as \
         {VOLUMES} resources at once {of_many:.2} s ({:.2} times)",
        of_one / alone,
        of_many / alone
    );
    for number in 0..VOLUMES {
        let resource = format!("speed-{number}");
        cluster.linstor(&["resource-definition", "delete", &resource])?;
    }
    cluster.linstor(&["resource-definition", "delete", "speed-one"])?;
    cluster.linstor(&["storage-pool", "delete", &name, "speed"])?;
    let slowest = of_one.max(of_many);
    ensure!(
        slowest <= FACTOR_MAX * alone,
        "it took {:.2} times as long as lvcreate alone",
        slowest / alone
    );
    Ok(())
}

/// How long a script takes on the controller's node, where the first satellite runs as well.
fn seconds(cluster: &Cluster, script: &str) -> Result<f64> {
    let timed = format!("b=$EPOCHREALTIME; {script}; e=$EPOCHREALTIME; echo; echo $b $e");
    let exec = Exec::new(&["bash", "-c", &timed]).timeout(RUN_LIMIT);
    let text = cluster.lab.run_ok(cluster.controller_node(), exec)?;
    let times = text.lines().last().unwrap_or_default();
    let (begin, end) = times.split_once(' ').context("no times")?;
    Ok(end.parse::<f64>()? - begin.parse::<f64>()?)
}
