//! Fake machines print what the real tools printed in the lab; `cargo xtask test --only fake-vs-lab` records that.

use std::fs;
use std::path::Path;
use std::time::Duration;

use linstor_fake_host::{DrbdKind, FakeCluster};
use linstor_host::{Cmd, Host};
use linstor_transcript::{Answer, Machines, differences, play};

struct Fake {
    cluster: FakeCluster,
    runtime: tokio::runtime::Runtime,
}

impl Fake {
    /// Two machines with six empty disks of 2 GiB each, as the lab's guests have.
    fn new(kind: DrbdKind) -> Fake {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let cluster = runtime.block_on(async { FakeCluster::new(1) });
        for node in ["node1", "node2"] {
            runtime.block_on(async { cluster.add_host(node, kind) });
            for disk in ["a", "b", "c", "d", "e", "f"].map(|letter| format!("/dev/ubd{letter}")) {
                cluster.add_disk(node, &disk, 2 << 20);
            }
            cluster.use_zfs_2_1(node);
        }
        Fake { cluster, runtime }
    }
}

impl Machines for Fake {
    fn run(&mut self, node: &str, argv: &[String]) -> Result<Answer, String> {
        let (program, args) = argv.split_first().ok_or("no program")?;
        let cmd = Cmd::new(program.clone().leak()).args(args);
        let _entered = self.runtime.enter();
        let host = self.cluster.host(node);
        let run = host.run(cmd);
        // A command that the fake does not implement is a difference.
        let output = self
            .runtime
            .block_on(run)
            .unwrap_or_else(|error| linstor_host::Output {
                code: -1,
                stderr: error.to_string(),
                ..linstor_host::Output::default()
            });
        Ok(Answer {
            code: output.code,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    fn mkdir(&mut self, node: &str, path: &str) -> Result<(), String> {
        let _entered = self.runtime.enter();
        self.cluster.add_mount(node, path, 1 << 20);
        self.cluster.without_reflinks(node, path);
        Ok(())
    }

    fn write(&mut self, node: &str, path: &str, text: &str) -> Result<(), String> {
        let host = self.cluster.host(node);
        let path = Path::new(path);
        let write = async {
            host.create_dir_all(path.parent().unwrap_or(path)).await?;
            host.write_atomic(path, text.as_bytes(), 0o600).await
        };
        self.runtime
            .block_on(write)
            .map_err(|error| error.to_string())
    }

    fn pause(&mut self) {
        self.runtime
            .block_on(async { tokio::time::sleep(Duration::from_millis(500)).await });
    }
}

fn check(kernel: &str, kind: DrbdKind) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("transcripts")
        .join(kernel);
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let recorded = fs::read_to_string(&path).unwrap();
        match play(&recorded, &mut Fake::new(kind)) {
            Ok(played) => wrong.extend(differences(&recorded, &played)),
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    assert!(
        wrong.is_empty(),
        "recorded in the lab, and on the fake:\n{}",
        wrong.join("\n")
    );
}

/// LVM, files, signatures, DRBD 8.4.
#[test]
fn debian() {
    check("debian", DrbdKind::V84);
}

/// DRBD 9.
#[test]
fn drbd9() {
    check("drbd9", DrbdKind::V9);
}

/// ZFS.
#[test]
fn zfs() {
    check("zfs", DrbdKind::V84);
}
