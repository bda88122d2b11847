//! The first process of a guest.
//!
//! Root is the host's root, read-only through hostfs, with a tmpfs overlay on top. These preserve
//! their contents over a power cut, in addition to the data disks: `/etc` and `/var/lib`, overlays of
//! the host's with their changes on the state disk (ext4, journaled), and inside them the
//! folders of [`FRESH`], which are empty at first, whatever the host has there. The lab's folder is
//! `/mnt`, shared by all guests and the host; the workspace is read-only at its own path, and
//! unlike the rest of the root shows programs that the host builds while the guest runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, pivot_root, sethostname};

use super::GUEST_SHARE;
use super::guest::STATE_DISK;
use super::node::{HOST_ADDRESS, Node};
use super::state::State;
use super::tool::{PATH, Tool};

/// Folders of the software under test, in which the host's contents must not be visible.
const FRESH: &[&str] = &[
    "etc/drbd.d",
    "etc/linstor",
    "var/lib/drbd",
    "var/lib/linstor",
    "var/lib/linstor.d",
];

/// Loaded at boot if the kernel has them. dm-crypt needs the first four, but cannot
/// request them in Debian's kernel.
const MODULES: &[&str] = &[
    "cbc",
    "aes_generic",
    "xts",
    "encrypted_keys",
    "dm-mod",
    "dm-thin-pool",
    "dm-crypt",
    "dm-snapshot",
    "loop",
    "drbd",
    "drbd_transport_tcp",
    "zfs",
];

/// Mount points used before the guest's root is complete.
const STAGE: &str = "/mnt";

/// Sets the guest up, starts the agent, and reaps orphans until the power is cut.
pub fn run() -> Result<ExitCode> {
    if !Pid::this().as_raw().eq(&1) {
        bail!("only a guest's kernel runs this");
    }
    if let Err(error) = boot() {
        eprintln!("lab init: {error:#}");
        // Standard error is the console; its output needs time to reach the log on the host.
        std::thread::sleep(Duration::from_millis(200));
        reboot(RebootMode::RB_POWER_OFF)?;
    }
    Ok(ExitCode::FAILURE)
}

fn boot() -> Result<()> {
    let variable = |name| std::env::var(name).with_context(|| format!("{name} is not set"));
    let node = Node::from(variable("LAB_NODE")?.parse::<u8>()?);
    let lab = PathBuf::from(variable("LAB_DIR")?);
    let name = lab
        .file_name()
        .context("the lab's folder has no name")?
        .to_string_lossy();
    // Paths inside the lab are the same here as on the host.
    let state: State = serde_json::from_slice(&fs::read(lab.join("lab.json"))?)
        .with_context(|| format!("read the state of lab {name}"))?;
    let root = build_root(&lab, &state)?;
    enter(&root)?;
    let first_boot = identify(&state, node)?;
    configure_network(node)?;
    load_modules(&state.release);
    start_udev()?;
    if !first_boot {
        activate_storage();
    }
    supervise()
}

fn build_root(lab: &Path, state: &State) -> Result<PathBuf> {
    mount_pseudo("proc", Path::new("/proc"))?;
    mount_pseudo("devtmpfs", Path::new("/dev"))?;
    let loaded = fs::read_to_string("/proc/filesystems")?.contains("\toverlay\n");
    if !loaded {
        let modules = lab.join("modules");
        Tool::new("modprobe")
            .args(["-d".as_ref(), modules.as_os_str(), "overlay".as_ref()])
            .run()?;
    }
    mount_pseudo("tmpfs", Path::new(STAGE))?;
    let stage = Path::new(STAGE);
    let (root, disk) = (stage.join("root"), stage.join("state"));
    fs::create_dir(&root)?;
    fs::create_dir(&disk)?;
    let device = format!("/dev/{STATE_DISK}");
    mount(
        Some(device.as_str()),
        &disk,
        Some("ext4"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mount the state disk")?;
    overlay(Path::new("/"), &stage.join("changes"), &root)?;
    for folder in ["etc", "var/lib"] {
        let changes = disk.join(folder.replace('/', "-"));
        overlay(&Path::new("/").join(folder), &changes, &root.join(folder))?;
    }
    for fresh in FRESH {
        let source = disk.join("fresh").join(fresh);
        fs::create_dir_all(&source)?;
        bind(&source, &root.join(fresh))?;
    }
    let tree = Path::new("lib/modules").join(&state.release);
    overlay(
        &lab.join("modules").join(&tree),
        &stage.join("module-changes"),
        &root.join(&tree),
    )?;
    for (kind, place) in PSEUDO {
        mount_pseudo(kind, &root.join(place))?;
    }
    for (kind, place) in PSEUDO_IF_KNOWN {
        // Not every kernel has these file systems, and nothing depends on them.
        let _ = mount_pseudo(kind, &root.join(place));
    }
    for folder in &state.live_folders {
        hostfs(folder, &root, folder, MsFlags::MS_RDONLY)?;
    }
    hostfs(lab, &root, Path::new(GUEST_SHARE), MsFlags::empty())?;
    Ok(root)
}

const PSEUDO: &[(&str, &str)] = &[
    ("proc", "proc"),
    ("sysfs", "sys"),
    ("devtmpfs", "dev"),
    ("devpts", "dev/pts"),
    ("tmpfs", "dev/shm"),
    ("tmpfs", "run"),
    ("tmpfs", "tmp"),
];

const PSEUDO_IF_KNOWN: &[(&str, &str)] = &[
    ("debugfs", "sys/kernel/debug"),
    ("configfs", "sys/kernel/config"),
    ("cgroup2", "sys/fs/cgroup"),
];

fn mount_pseudo(kind: &str, place: &Path) -> Result<()> {
    // The mount point is created if possible; in /sys it exists unless the kernel lacks the file system.
    let _ = fs::create_dir_all(place);
    match mount(
        Some(kind),
        place,
        Some(kind),
        MsFlags::empty(),
        None::<&str>,
    ) {
        // The kernel may be configured to mount /dev by itself.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("mount {kind} at {}", place.display())),
    }
}

/// Mounts an overlay of `lower` at `place`, with its changes stored under `changes`.
fn overlay(lower: &Path, changes: &Path, place: &Path) -> Result<()> {
    let (upper, work) = (changes.join("upper"), changes.join("work"));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder)?;
    }
    fs::create_dir_all(place)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    mount(
        Some("overlay"),
        place,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| format!("mount an overlay at {}", place.display()))
}

fn bind(source: &Path, place: &Path) -> Result<()> {
    fs::create_dir_all(place)?;
    mount(
        Some(source),
        place,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .with_context(|| format!("bind {}", place.display()))
}

/// Mounts a folder of the host at `place` of the new root.
fn hostfs(folder: &Path, root: &Path, place: &Path, flags: MsFlags) -> Result<()> {
    let place = root.join(place.strip_prefix("/")?);
    fs::create_dir_all(&place)?;
    mount(Some("none"), &place, Some("hostfs"), flags, Some(folder))
        .with_context(|| format!("mount hostfs at {}", place.display()))
}

/// Makes `root` the root of all processes, including kernel threads: programs that the kernel starts
/// (`modprobe`, DRBD's handlers) then run in the guest's root as well, which `chroot` does not achieve.
fn enter(root: &Path) -> Result<()> {
    chdir(root)?;
    pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("leave the old root")?;
    chdir("/")?;
    Ok(())
}

/// Sets the guest's host name and files; returns whether it boots for the first time.
fn identify(state: &State, node: Node) -> Result<bool> {
    // This process is single-threaded, and all processes it starts inherit the environment.
    sethostname(node.to_string())?;
    fs::write("/etc/hostname", format!("{node}\n"))?;
    let mut hosts =
        format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{HOST_ADDRESS} host\n");
    for peer in Node::first(state.config.nodes) {
        hosts.push_str(&format!("{} {peer}\n", peer.address()));
    }
    fs::write("/etc/hosts", hosts)?;
    fs::write(
        "/etc/machine-id",
        format!("{:032x}\n", 0x6c61_6200_u32 + u32::from(node.number())),
    )?;
    // ZFS identifies by it the host that a pool belongs to.
    fs::write("/etc/hostid", [node.number(), 0, 77, 10])?;
    for folder in ["/run/lock", "/run/drbd", "/var/log", "/root"] {
        fs::create_dir_all(folder)?;
    }
    let common = Path::new("/etc/drbd.d/global_common.conf");
    let first_boot = !common.exists();
    if first_boot {
        // Without it drbdadm asks about usage counting interactively.
        fs::write(common, "global { usage-count no; }\ncommon { }\n")?;
        let main = "include \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n";
        fs::write("/etc/drbd.conf", main)?;
    }
    Ok(first_boot)
}

fn configure_network(node: Node) -> Result<()> {
    let (address, host) = (node.address(), HOST_ADDRESS);
    let batch = format!(
        "link set lo up\naddr add {address}/24 dev vec0\nlink set vec0 up\n\
         route add default via {host}\n"
    );
    Tool::new("ip").args(["-batch", "-"]).input(batch).run()
}

fn load_modules(release: &str) {
    let index = Path::new("/lib/modules").join(release).join("modules.dep");
    let index = fs::read_to_string(index).unwrap_or_default();
    let known = |module: &&&str| {
        let (dash, underscore) = (module.replace('_', "-"), module.replace('-', "_"));
        index.lines().any(|line| {
            let path = line.split(':').next().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            let stem = file.split('.').next().unwrap_or_default();
            stem == dash || stem == underscore
        })
    };
    let modules: Vec<&&str> = MODULES.iter().filter(known).collect();
    if modules.is_empty() {
        return;
    }
    // A module that cannot be loaded affects only its users; the rest of the guest works.
    if let Err(error) = Tool::new("modprobe").arg("-a").args(modules).run() {
        eprintln!("lab init: {error:#}");
    }
}

/// Starts udev, which creates the device names of LVM, DRBD and ZFS.
fn start_udev() -> Result<()> {
    let places = [
        "/usr/lib/systemd/systemd-udevd",
        "/lib/systemd/systemd-udevd",
    ];
    let daemon = places.into_iter().find(|place| Path::new(place).exists());
    Tool::new(daemon.context("no systemd-udevd: install udev")?)
        .arg("--daemon")
        .run()?;
    let trigger = [
        "trigger",
        "--action=add",
        "--subsystem-match=block",
        "--subsystem-match=misc",
    ];
    Tool::new("udevadm").args(trigger).run()?;
    Tool::new("udevadm").args(["settle", "--timeout=30"]).run()
}

/// Does what the units of the lvm2 and ZFS packages do at boot.
fn activate_storage() {
    let pools = Path::new("/etc/zfs/zpool.cache");
    if pools.exists() && Path::new("/sys/module/zfs").exists() {
        let import = ["import", "-c", "/etc/zfs/zpool.cache", "-a", "-N"];
        report(Tool::new("zpool").args(import).run());
    }
    if super::requirements::has_program("vgchange") {
        report(Tool::new("vgchange").args(["-q", "-a", "ay"]).run());
    }
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        eprintln!("lab init: {error:#}");
    }
}

/// Restarts the agent whenever it ends, and reaps orphans.
fn supervise() -> Result<()> {
    let mut agent = start_agent()?;
    loop {
        match waitpid(None, None) {
            Ok(status) if status.pid() == Some(Pid::from_raw(agent.id().cast_signed())) => {
                eprintln!("lab init: the agent ended: {status:?}");
                std::thread::sleep(Duration::from_secs(1));
                agent = start_agent()?;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for processes"),
        }
    }
}

fn start_agent() -> Result<Child> {
    Command::new(Path::new(GUEST_SHARE).join("agent"))
        .arg("lab-agent")
        .env_clear()
        .envs([
            ("PATH", PATH),
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            ("TERM", "dumb"),
        ])
        .spawn()
        .context("start the agent")
}
