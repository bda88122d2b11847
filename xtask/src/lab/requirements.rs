//! The requirements of a lab on the host; all missing ones are reported at once.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Result, bail};

use super::kernel::DEFAULT_IMAGE;
use super::tool::PATH;

/// Programs that are needed to boot guests, and their packages.
const NEEDED: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("mkfs.ext4", "e2fsprogs"),
    ("udevadm", "udev"),
];

/// Programs that the software under test runs in guests.
const USEFUL: &[(&str, &str)] = &[
    ("lvm", "lvm2"),
    ("thin_check", "thin-provisioning-tools"),
    ("drbdadm", "drbd-utils"),
    ("cryptsetup", "cryptsetup-bin"),
    ("dmsetup", "dmsetup"),
    ("mkfs.xfs", "xfsprogs"),
    ("fio", "fio"),
];

/// The package of [`DEFAULT_IMAGE`].
const KERNEL: &str = "user-mode-linux";

/// Debian's and Ubuntu's packages of a lab and of what its guests run.
pub fn packages() -> Vec<&'static str> {
    let programs = NEEDED.iter().chain(USEFUL).map(|(_, package)| *package);
    let all: BTreeSet<&str> = programs.chain([KERNEL]).collect();
    all.into_iter().collect()
}

/// Fails with instructions if a requirement is missing.
pub fn check(kernel: Option<&Path>) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        let program = std::env::current_exe()?;
        bail!(
            "the lab makes network devices, so it needs root: sudo {} lab",
            program.display()
        );
    }
    let mut packages = missing(NEEDED);
    if kernel.is_none() && !Path::new(DEFAULT_IMAGE).exists() {
        packages.insert(KERNEL);
    }
    if !packages.is_empty() {
        packages.extend(missing(USEFUL));
        bail!("packages are missing; run:\n  {}", install_line(&packages));
    }
    if let Err(error) = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        bail!("/dev/net/tun: {error}; `modprobe tun`, or give the container that device");
    }
    Ok(())
}

/// A line about the storage programs that guests lack, if any.
pub fn advice() -> Option<String> {
    let packages = missing(USEFUL);
    (!packages.is_empty()).then(|| {
        format!(
            "guests lack some storage tools; run: {}",
            install_line(&packages)
        )
    })
}

/// Whether a program is installed on the host, and so in every guest.
pub fn has_program(name: &str) -> bool {
    PATH.split(':')
        .any(|folder| Path::new(folder).join(name).exists())
}

fn missing(table: &[(&str, &'static str)]) -> BTreeSet<&'static str> {
    table
        .iter()
        .filter(|(program, _)| !has_program(program))
        .map(|(_, package)| *package)
        .collect()
}

fn install_line(packages: &BTreeSet<&str>) -> String {
    let list: Vec<&str> = packages.iter().copied().collect();
    format!("apt-get install --no-install-recommends {}", list.join(" "))
}
