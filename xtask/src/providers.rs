//! Every storage provider on a real kernel: volumes are created, replicated, used, resized and deleted without remains.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::growth;
use crate::lab::Node;

const SYNC_LIMIT: Duration = Duration::from_secs(90);
const NODE_LIMIT: Duration = Duration::from_secs(75);

/// A storage provider, and how a node gets a pool of it.
pub struct Kind {
    /// Its subcommand of `linstor storage-pool create`.
    pub subcommand: &'static str,
    /// Name of the pool.
    pub pool: &'static str,
    /// Its backing storage on a node.
    pub location: &'static str,
    /// Commands that create it, once per node.
    setup: &'static [&'static [&'static str]],
    /// Command that lists its content, one name per line, and the names that are not LINSTOR's.
    list: (&'static [&'static str], &'static [&'static str]),
}

/// The providers that Debian's kernel supports; they use the first disk.
pub const LINUX: &[Kind] = &[
    Kind {
        subcommand: "lvm",
        pool: "thick",
        location: "vgthick",
        setup: &[
            &["pvcreate", "-q", "/dev/ubda"],
            &["vgcreate", "-q", "vgthick", "/dev/ubda"],
        ],
        list: (&["lvs", "--noheadings", "-o", "lv_name", "vgthick"], &[]),
    },
    Kind {
        subcommand: "lvmthin",
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
        subcommand: "file",
        pool: "files",
        location: "/var/lib/linstor-pools/files",
        setup: &[&["mkdir", "-p", "/var/lib/linstor-pools/files"]],
        list: (
            &["ls", "-A", "/var/lib/linstor-pools/files"],
            &[".linstor-directory"],
        ),
    },
    Kind {
        subcommand: "filethin",
        pool: "sparse",
        location: "/var/lib/linstor-pools/sparse",
        setup: &[&["mkdir", "-p", "/var/lib/linstor-pools/sparse"]],
        list: (
            &["ls", "-A", "/var/lib/linstor-pools/sparse"],
            &[".linstor-directory"],
        ),
    },
];

/// The providers that need ZFS in the kernel; they use the third disk.
pub const ZFS: &[Kind] = &[
    Kind {
        subcommand: "zfs",
        pool: "zthick",
        location: "tank",
        setup: &[&["zpool", "create", "-f", "tank", "/dev/ubdc"]],
        list: (&["zfs", "list", "-H", "-o", "name", "-t", "volume"], &[]),
    },
    Kind {
        subcommand: "zfsthin",
        pool: "zthin",
        location: "tank",
        setup: &[],
        list: (&["zfs", "list", "-H", "-o", "name", "-t", "volume"], &[]),
    },
];

/// Creates the nodes of a new cluster.
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
    /// Creates the backing storage of the pool on a node, unless it exists.
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

/// Creates, uses, resizes and deletes a replicated volume in pools of this provider.
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
            kind.subcommand,
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

/// A mounted volume without DRBD is not deleted and its data is unchanged; once it is unmounted it is deleted.
fn in_use(cluster: &Cluster, kind: &Kind, node: Node) -> Result<()> {
    let (resource, name) = (format!("plain-on-{}", kind.pool), node.to_string());
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
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
    let answer = &refused.text;
    ensure!(
        answer.contains("is still in use on node") && answer.contains(&mount),
        "a mounted volume is deleted, or the answer has no reason: {answer}"
    );
    on(&["sysctl", "-q", "vm.drop_caches=3"])?;
    let after = on(&["sha256sum", &data])?;
    ensure!(before == after, "a refused deletion changed the data");
    on(&["umount", &mount])?;
    // The deletion is retried by itself, and may be complete already.
    cluster.try_linstor(&["resource-definition", "delete", &resource])?;
    cluster.wait_until("the unmounted volume to be deleted", NODE_LIMIT, || {
        Ok(cluster.replicas(&resource)?.is_empty())
    })
}

fn nothing_left(cluster: &Cluster, node: Node, kind: &Kind) -> Result<()> {
    let (command, foreign) = kind.list;
    let text = cluster.lab.exec_ok(node, command)?;
    let left: Vec<_> = text
        .split_whitespace()
        .filter(|name| !foreign.contains(name))
        .collect();
    ensure!(left.is_empty(), "{node} still has {left:?}");
    let loops = cluster.lab.exec_ok(node, &["losetup", "-a"])?;
    ensure!(
        loops.trim().is_empty(),
        "{node} still has loop devices: {loops}"
    );
    Ok(())
}
