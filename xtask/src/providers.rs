//! Every kind of storage pool on a real kernel: made, replicated, used, grown, and gone without a trace.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::growth;
use crate::lab::Node;

const SYNC_LIMIT: Duration = Duration::from_secs(90);
const NODE_LIMIT: Duration = Duration::from_secs(75);

/// A kind of pool and how a node gets one.
pub struct Kind {
    /// The word of `linstor storage-pool create`.
    pub word: &'static str,
    /// Name of the pool.
    pub pool: &'static str,
    /// Where it is on a node.
    pub location: &'static str,
    /// Commands that make it, once per node.
    setup: &'static [&'static [&'static str]],
    /// Command that lists what is in it, one name a line, and the names that stay.
    list: (&'static [&'static str], &'static [&'static str]),
}

/// The kinds that Debian's kernel can do; they use the first disk.
pub const LINUX: &[Kind] = &[
    Kind {
        word: "lvm",
        pool: "thick",
        location: "vgthick",
        setup: &[
            &["pvcreate", "-q", "/dev/ubda"],
            &["vgcreate", "-q", "vgthick", "/dev/ubda"],
        ],
        list: (&["lvs", "--noheadings", "-o", "lv_name", "vgthick"], &[]),
    },
    Kind {
        word: "lvmthin",
        pool: "thin",
        location: "vgthin/tp",
        setup: &[
            &["pvcreate", "-q", "/dev/ubdb"],
            &["vgcreate", "-q", "vgthin", "/dev/ubdb"],
            &["lvcreate", "-q", "-T", "-l", "90%FREE", "vgthin/tp"],
        ],
        list: (&["lvs", "--noheadings", "-o", "lv_name", "vgthin"], &["tp"]),
    },
    Kind {
        word: "file",
        pool: "files",
        location: "/var/lib/linstor-pools/files",
        setup: &[&["mkdir", "-p", "/var/lib/linstor-pools/files"]],
        list: (&["ls", "-A", "/var/lib/linstor-pools/files"], &[]),
    },
    Kind {
        word: "filethin",
        pool: "sparse",
        location: "/var/lib/linstor-pools/sparse",
        setup: &[&["mkdir", "-p", "/var/lib/linstor-pools/sparse"]],
        list: (&["ls", "-A", "/var/lib/linstor-pools/sparse"], &[]),
    },
];

/// The kinds that need ZFS in the kernel; they use the third disk.
pub const ZFS: &[Kind] = &[
    Kind {
        word: "zfs",
        pool: "zthick",
        location: "tank",
        setup: &[&["zpool", "create", "-f", "tank", "/dev/ubdc"]],
        list: (&["zfs", "list", "-H", "-o", "name", "-t", "volume"], &[]),
    },
    Kind {
        word: "zfsthin",
        pool: "zthin",
        location: "tank",
        setup: &[],
        list: (&["zfs", "list", "-H", "-o", "name", "-t", "volume"], &[]),
    },
];

/// Registers the nodes of a fresh cluster.
pub fn register_nodes(cluster: &Cluster) -> Result<()> {
    for node in cluster.lab.nodes() {
        let (name, address) = (node.to_string(), node.address().to_string());
        cluster.linstor(&["node", "create", &name, &address])?;
    }
    cluster.wait_until("all nodes to be online", Duration::from_secs(30), || {
        let nodes = cluster.linstor_json(&["node", "list"])?;
        Ok(nodes
            .iter()
            .all(|node| node["connection_status"] == "ONLINE"))
    })
}

impl Kind {
    /// Makes what the pool is in on a node, unless it is there.
    pub fn set_up(&self, cluster: &Cluster, node: Node) -> Result<()> {
        let (list, _) = self.list;
        if cluster.lab.exec_ok(node, list).is_ok() {
            return Ok(());
        }
        for command in self.setup {
            cluster.lab.exec_ok(node, command)?;
        }
        Ok(())
    }
}

/// The whole life of a replicated volume in pools of this kind.
pub fn check(cluster: &Cluster, kind: &Kind) -> Result<()> {
    let nodes = cluster.lab.nodes();
    for node in &nodes {
        for command in kind.setup {
            cluster.lab.exec_ok(*node, command)?;
        }
        let name = node.to_string();
        cluster.linstor(&[
            "storage-pool",
            "create",
            kind.word,
            &name,
            kind.pool,
            kind.location,
        ])?;
    }
    let resource = format!("on-{}", kind.pool);
    cluster.linstor(&["resource-definition", "create", &resource])?;
    cluster.linstor(&[
        "resource-definition",
        "drbd-options",
        "--verify-alg",
        "crc32c",
        &resource,
    ])?;
    cluster.linstor(&["volume-definition", "create", &resource, "40M"])?;
    let place = [
        "resource",
        "create",
        &resource,
        "--auto-place",
        "2",
        "--storage-pool",
        kind.pool,
    ];
    cluster.linstor(&place)?;
    cluster.wait_up_to_date(&resource, 2, SYNC_LIMIT)?;
    in_use(cluster, kind, nodes[0])?;
    growth::check(cluster, &resource)?;
    cluster.wait_until("the volume to be unused", Duration::from_secs(10), || {
        Ok(cluster
            .replicas(&resource)?
            .iter()
            .all(|replica| !replica.in_use))
    })?;
    cluster.linstor(&["resource-definition", "delete", &resource])?;
    for node in &nodes {
        nothing_left(cluster, *node, kind)?;
        let name = node.to_string();
        cluster.linstor(&["storage-pool", "delete", &name, kind.pool])?;
    }
    Ok(())
}

/// A mounted volume without DRBD is not deleted and its data is what it was; once it is unmounted it is deleted.
fn in_use(cluster: &Cluster, kind: &Kind, node: Node) -> Result<()> {
    let (resource, name) = (format!("plain-on-{}", kind.pool), node.to_string());
    let on = |words: &[&str]| cluster.lab.exec_ok(node, words);
    cluster.linstor(&[
        "resource-definition",
        "create",
        "--layer-list",
        "storage",
        &resource,
    ])?;
    cluster.linstor(&["volume-definition", "create", &resource, "20M"])?;
    let create = [
        "resource",
        "create",
        &name,
        &resource,
        "--storage-pool",
        kind.pool,
    ];
    cluster.linstor(&create)?;
    let mut device = None;
    cluster.wait_until("the volume's device", NODE_LIMIT, || {
        let mut found = cluster.replicas(&resource)?.into_iter();
        device = found.next().and_then(|replica| replica.device);
        Ok(device.is_some())
    })?;
    let device = device.unwrap_or_default();
    let (mount, data) = (format!("/mnt/{resource}"), format!("/mnt/{resource}/data"));
    on(&["mkfs.ext4", "-q", &device])?;
    on(&["mkdir", "-p", &mount])?;
    on(&["mount", &device, &mount])?;
    let of = format!("of={data}");
    on(&[
        "dd",
        "if=/dev/urandom",
        &of,
        "bs=1M",
        "count=4",
        "conv=fsync",
        "status=none",
    ])?;
    let before = on(&["sha256sum", &data])?;
    let refused = cluster.try_linstor(&["resource-definition", "delete", &resource])?;
    let said = &refused.text;
    ensure!(
        said.contains("is still in use on node") && said.contains(&mount),
        "a mounted volume is deleted, or the reason is not given: {said}"
    );
    on(&["sysctl", "-q", "vm.drop_caches=3"])?;
    let after = on(&["sha256sum", &data])?;
    ensure!(before == after, "a refused deletion changed the data");
    on(&["umount", &mount])?;
    // The deletion goes on by itself, and may have come to its end.
    cluster.try_linstor(&["resource-definition", "delete", &resource])?;
    cluster.wait_until("the unmounted volume to be deleted", NODE_LIMIT, || {
        Ok(cluster.replicas(&resource)?.is_empty())
    })
}

fn nothing_left(cluster: &Cluster, node: Node, kind: &Kind) -> Result<()> {
    let (command, stays) = kind.list;
    let text = cluster.lab.exec_ok(node, command)?;
    let left: Vec<_> = text
        .split_whitespace()
        .filter(|name| !stays.contains(name))
        .collect();
    ensure!(left.is_empty(), "{node} still has {left:?}");
    let loops = cluster.lab.exec_ok(node, &["losetup", "-a"])?;
    ensure!(
        loops.trim().is_empty(),
        "{node} still has loop devices: {loops}"
    );
    Ok(())
}
