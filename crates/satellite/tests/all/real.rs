//! FILE pools on the real machine. Needs loop devices, which only root has; skipped elsewhere.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use linstor_host::RealHost;
use linstor_satellite::check::PoolPlace;
use linstor_satellite::machine::Machine;
use linstor_satellite::observation::Observations;
use linstor_satellite::providers::{self, Owner, Storage, Wanted};
use linstor_wire::spec::Props;
use uuid::Uuid;

const OWNER: Owner = Owner {
    cluster: Uuid::from_u128(0xc1),
    resource: Uuid::from_u128(0xd1),
};

/// Loop devices whose file is in this directory.
fn loops(directory: &Path) -> Vec<String> {
    let output = Command::new("losetup").args(["-a"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let directory = directory.to_string_lossy().into_owned();
    let found = text.lines().filter(|l| l.contains(&directory));
    let device = |l: &str| l.split(':').next().unwrap().to_owned();
    found.map(device).collect()
}

fn may_use_loop_devices() -> bool {
    let id = Command::new("id").arg("-u").output();
    let probe = Command::new("losetup").arg("-f").output();
    id.is_ok_and(|output| output.stdout == b"0\n") && probe.is_ok_and(|o| o.status.success())
}

/// A pool in a directory that is a symbolic link: one loop device for many passes, which grows. While a process has it
/// open it is not removed, and the file is there with its data; afterwards nothing is left.
#[tokio::test]
async fn a_file_in_a_linked_directory() {
    if !may_use_loop_devices() {
        eprintln!("skipped: no loop devices for this user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let machine = Machine::new(Arc::new(RealHost));
    // Every pass observes anew.
    let observations = Observations::new(Duration::ZERO);
    let storage = Storage {
        machine: &machine,
        observations: &observations,
    };
    let place = PoolPlace::File {
        directory: link.to_string_lossy().into_owned(),
        sparse: true,
    };
    let props = Props::new();
    let wanted = |size_kib| Wanted {
        name: "r_00000",
        size_kib,
        owner: OWNER,
        props: &props,
        is_new: false,
        source: None,
    };
    let mut path = String::new();
    for size_kib in [4096, 4096, 8192, 8192] {
        let found = providers::ensure(storage, &place, &wanted(size_kib)).await;
        let found = found.unwrap();
        assert_eq!(loops(&real), [found.path.as_str()]);
        let bytes = std::fs::read(&found.path).unwrap().len() as u64;
        assert_eq!(bytes, size_kib * 1024);
        path = found.path;
    }
    let file = real.join("r_00000.img");
    let mut content = vec![0_u8; 8 << 20];
    content[4096] = 7;
    std::fs::write(&path, &content).unwrap();
    let opened = std::fs::File::open(&path).unwrap();
    let refused = providers::destroy(storage, &place, "r_00000", OWNER).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), linstor_api::code::FAIL_IN_USE, "{refused}");
    opened.sync_all().unwrap();
    assert!(std::fs::read(&file).unwrap() == content, "data is lost");
    drop(opened);
    let destroyed = providers::destroy(storage, &place, "r_00000", OWNER).await;
    destroyed.unwrap();
    assert_eq!(loops(&real), [""; 0]);
    assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0);
}
