//! A small cluster for scenarios.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use linstor_fake_host::{DrbdKind, FakeCluster, FakeHost};
use linstor_host::{Cmd, Host, Output};

/// The day-0 generation id.
pub const DAY0: &str = "DA00DA00DA00DA00";
const SIZE_KIB: u64 = 102_400;

/// A node's part in a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    First,
    LikeDay0,
    FullSync,
    Diskless,
}

pub struct Lab {
    pub cluster: FakeCluster,
    pub kind: DrbdKind,
    pub options: &'static str,
}

impl Lab {
    /// Nodes `n1`, `n2`, … with a volume group `vg` and a thin pool `vg/thin` each.
    pub fn new(nodes: usize, kind: DrbdKind) -> Lab {
        let cluster = FakeCluster::new(7);
        for i in 1..=nodes {
            let node = format!("n{i}");
            cluster.add_host(&node, kind);
            cluster.add_volume_group(&node, "vg", 1024 * 1024);
            cluster.add_thin_pool(&node, "vg", "thin", 512 * 1024);
        }
        Lab {
            cluster,
            kind,
            options: "",
        }
    }

    pub fn with_quorum(nodes: usize) -> Lab {
        let options = "options { quorum majority; on-no-quorum io-error; }";
        Lab {
            options,
            ..Lab::new(nodes, DrbdKind::V9)
        }
    }

    pub fn host(&self, node: usize) -> FakeHost {
        self.cluster.host(&format!("n{node}"))
    }

    /// Runs a command line and returns its output, whatever the exit code.
    pub async fn try_run(&self, node: usize, line: &str) -> Output {
        self.host(node).run(cmd(line)).await.unwrap()
    }

    /// Runs a command line that must succeed.
    pub async fn run(&self, node: usize, line: &str) -> String {
        self.try_run(node, line).await.ok().unwrap().stdout
    }

    /// Writes the file of resource `r` for one node.
    pub async fn write_file(&self, node: usize, parts: &[Part]) {
        let text = match self.kind {
            DrbdKind::V9 => self.file_9(node, parts),
            DrbdKind::V84 => self.file_84(node, parts.len()),
        };
        let host = self.host(node);
        host.create_dir_all(Path::new("/var/lib/linstor.d"))
            .await
            .unwrap();
        let path = Path::new("/var/lib/linstor.d/r.res");
        host.write_atomic(path, text.as_bytes(), 0o600)
            .await
            .unwrap();
    }

    fn file_9(&self, node: usize, parts: &[Part]) -> String {
        let mut text = format!(
            "resource \"r\"\n{{\n{} net {{ cram-hmac-alg sha1; shared-secret \"s\"; }}\n",
            self.options
        );
        for (i, part) in parts.iter().enumerate() {
            let disk = match part {
                Part::Diskless => "none",
                _ if i + 1 == node => "/dev/vg/r_00000",
                _ => "/dev/drbd/this/is/not/used",
            };
            let n = i + 1;
            writeln!(
                text,
                "on \"n{n}\" {{ volume 0 {{ disk {disk}; disk {{ discard-zeroes-if-aligned yes; }} \
                 meta-disk internal; device minor 1000; }} node-id {i}; }}"
            )
            .unwrap();
        }
        for (i, part) in parts.iter().enumerate().filter(|(i, _)| i + 1 != node) {
            if *part == Part::Diskless && parts[node - 1] == Part::Diskless {
                continue;
            }
            let n = i + 1;
            writeln!(
                text,
                "connection {{ host \"n{node}\" address ipv4 10.77.0.{node}:7000; \
                 host \"n{n}\" address ipv4 10.77.0.{n}:7000; }}"
            )
            .unwrap();
        }
        text + "}\n"
    }

    fn file_84(&self, node: usize, nodes: usize) -> String {
        let mut text = String::from(
            "resource \"r\" { net { protocol C; cram-hmac-alg sha1; shared-secret \"s\"; }\n",
        );
        for n in 1..=nodes {
            let disk = if n == node {
                "/dev/vg/r_00000"
            } else {
                "/dev/drbd/this/is/not/used"
            };
            writeln!(
                text,
                "on \"n{n}\" {{ address ipv4 10.77.0.{n}:7000; volume 0 {{ disk {disk}; \
                 meta-disk internal; device minor 1000; }} }}"
            )
            .unwrap();
        }
        text + "}\n"
    }

    /// Creates volume and metadata for a part, and brings the resource up.
    pub async fn deploy(&self, node: usize, parts: &[Part]) {
        self.write_file(node, parts).await;
        let part = parts[node - 1];
        if part != Part::Diskless {
            let line =
                format!("lvcreate -y --virtualsize {SIZE_KIB}k vg --thinpool thin --name r_00000");
            self.run(node, &line).await;
            self.create_metadata(node, part).await;
        }
        self.adjust(node).await;
    }

    pub async fn create_metadata(&self, node: usize, part: Part) {
        self.create_metadata_on("/dev/vg/r_00000", node, part).await;
    }

    pub async fn create_metadata_on(&self, device: &str, node: usize, part: Part) {
        let (format, peers, slots) = match self.kind {
            DrbdKind::V9 => ("v09", "7", 32),
            DrbdKind::V84 => ("v08", "", 1),
        };
        let meta = format!("1000 {format} {device} internal");
        self.run(
            node,
            format!("drbdmeta --force {meta} create-md {peers}").trim(),
        )
        .await;
        let fresh = 0x1000_u64 * node as u64 + 0x1111_0000;
        let gi = match part {
            Part::First => format!("{fresh:016X}:{DAY0}:0:0:1:1:"),
            Part::LikeDay0 => format!("{DAY0}:0:0:0:1:0:"),
            Part::FullSync | Part::Diskless => return,
        };
        for slot in 0..slots {
            self.run(
                node,
                &format!("drbdmeta --force --node-id {slot} {meta} set-gi {gi}"),
            )
            .await;
        }
    }

    pub async fn adjust(&self, node: usize) {
        self.run(node, "drbdadm -c /var/lib/linstor.d/r.res adjust r")
            .await;
    }

    /// Deploys on all nodes and waits until no event is pending.
    pub async fn deploy_all(&self, parts: &[Part]) {
        for node in 1..=parts.len() {
            self.deploy(node, parts).await;
        }
        self.settle().await;
    }

    pub async fn settle(&self) {
        assert!(
            self.cluster.quiesce(Duration::from_secs(600)).await,
            "events are still pending"
        );
    }

    pub fn disk(&self, node: usize) -> String {
        self.cluster
            .drbd(&format!("n{node}"), "r", 0)
            .map_or("-".into(), |state| state.disk)
    }

    /// `connection/replication/peer disk` of a connection.
    pub fn link(&self, node: usize, peer: usize) -> String {
        let state = self.cluster.drbd(&format!("n{node}"), "r", 0).unwrap();
        let name = if self.kind == DrbdKind::V84 {
            "peer".to_owned()
        } else {
            format!("n{peer}")
        };
        match state.peers.get(&name) {
            Some((link, repl, disk)) => format!("{link}/{repl}/{disk}"),
            None => "none".to_owned(),
        }
    }

    pub fn write(&self, node: usize, block: u64, value: u64) {
        let node = format!("n{node}");
        self.cluster.write(&node, "r", 0, block, value).unwrap();
    }

    pub fn open(&self, node: usize) {
        self.cluster.open(&format!("n{node}"), "r", 0).unwrap();
    }

    pub fn close(&self, node: usize) {
        self.cluster.close(&format!("n{node}"), "r", 0);
    }

    /// A block as stored on a node's disk.
    pub fn peek(&self, node: usize, block: u64) -> u64 {
        self.cluster
            .peek(&format!("n{node}"), "/dev/vg/r_00000", block)
            .unwrap()
    }

    pub async fn reboot(&self, node: usize) {
        self.cluster.boot(&format!("n{node}"));
        self.adjust(node).await;
        self.settle().await;
    }
}

/// A command from a line that is split at spaces.
pub fn cmd(line: &str) -> Cmd {
    let mut args = line.split(' ');
    let program = args.next().unwrap().to_owned();
    Cmd::new(program.leak()).args(args)
}
