//! A guest as a process of the host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::kernel::DEFAULT_IMAGE;
use super::netns::Netns;
use super::node::Node;
use super::state::{LabDir, State};
use super::tool::{PATH, Tool};

/// The disk with the changes of `/etc` and `/var/lib`; the last possible one, so that the data disks
/// have the first names.
pub const STATE_DISK: &str = "ubdp";
const STATE_DISK_INDEX: u8 = 15;
/// The disk that all guests have, if they have one: `/dev/ubdo`.
const SHARED_DISK_INDEX: u8 = 14;
const SHARED_DISK_FILE: &str = "shared.img";
/// Data disks per guest.
pub const DISKS_MAX: u8 = SHARED_DISK_INDEX;
const STATE_DISK_BYTES: u64 = 512 << 20;

/// Separates the boots in a guest's console file.
const POWER_ON: &str = "--- power on";

/// Limit for a killed guest to exit: the kernel clears its memory first.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);

/// A process, identified by its id and start time, since ids are reused.
#[derive(Debug, Serialize, Deserialize)]
struct Process {
    pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    start_ticks: u64,
}

/// Creates a guest's folder and empty disks.
pub fn create_disks(dir: &LabDir, state: &State, node: Node) -> Result<()> {
    let folder = dir.node(node);
    fs::create_dir_all(&folder)?;
    for disk in 0..state.config.disks {
        let image = File::create(folder.join(disk_file(disk)))?;
        image.set_len(state.config.disk_bytes)?;
    }
    if state.config.shared_disk {
        let shared = dir.root().join(SHARED_DISK_FILE);
        let shared = File::options().create(true).append(true).open(shared)?;
        shared.set_len(state.config.disk_bytes)?;
    }
    let image = folder.join("state.img");
    File::create(&image)?.set_len(STATE_DISK_BYTES)?;
    // A small journal: the image has little data, and should be a sparse file.
    let options = [
        "-q",
        "-F",
        "-J",
        "size=16",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1",
    ];
    Tool::new("mkfs.ext4").args(options).args([&image]).run()
}

fn disk_file(disk: u8) -> String {
    format!("disk{}.img", char::from(b'a' + disk))
}

/// Starts a guest. It is killed when the other end of `tie` is closed, which happens
/// at the latest when the program that holds it ends.
pub fn start(dir: &LabDir, state: &State, node: Node, tie: Option<&PipeReader>) -> Result<()> {
    let folder = dir.node(node);
    // A management socket left by a power cut would be mistaken for a running guest.
    let _ = fs::remove_dir_all(folder.join("um"));
    let mut console = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.console(node))?;
    writeln!(console, "{POWER_ON}")?;
    let mut command = kernel_command(dir, state, node, tie.is_some());
    command.current_dir(&folder).env_clear().env("PATH", PATH);
    if !memory_folder_fits(u64::from(state.config.memory_mib) << 20) {
        command.env("TMPDIR", &folder);
    }
    command
        .stdout(console.try_clone()?)
        .stderr(console)
        .stdin(match tie {
            Some(tie) => Stdio::from(tie.try_clone()?),
            None => Stdio::null(),
        });
    // Not in the terminal's process group: an interrupt is for the program, not for guests.
    command.process_group(0);
    let child = Netns::named(&state.netns).enter(|| -> Result<_> {
        // All processes of a guest are in a PID namespace: when its first one ends, for whatever
        // reason, the host kills the others.
        unshare(CloneFlags::CLONE_NEWPID).context("a new PID namespace")?;
        command
            .spawn()
            .with_context(|| format!("run {:?}", command.get_program()))
    })??;
    let pid = child.id().cast_signed();
    let start_ticks = start_ticks(pid).context("the guest's kernel ended at once")?;
    let process = serde_json::to_vec(&Process { pid, start_ticks })?;
    Ok(fs::write(folder.join("process.json"), process)?)
}

fn kernel_command(dir: &LabDir, state: &State, node: Node, tied: bool) -> Command {
    let mut command = Command::new(dir.agent());
    command.arg("lab-power").args(tied.then_some("--tied"));
    command.arg(
        state
            .config
            .kernel
            .as_deref()
            .unwrap_or(DEFAULT_IMAGE.as_ref()),
    );
    command.arg(format!("mem={}M", state.config.memory_mib));
    command.args([
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        "quiet",
    ]);
    // Relative paths: the lengths of socket names and of the command line are limited.
    command.args([
        "uml_dir=.",
        "umid=um",
        "pty.legacy_count=0",
        "con=null",
        "con0=fd:0,fd:1",
    ]);
    for disk in 0..state.config.disks {
        command.arg(format!("ubd{disk}={}", disk_file(disk)));
    }
    if state.config.shared_disk {
        // 'c': several kernels use the file, which is therefore not locked.
        let file = dir.root().join(SHARED_DISK_FILE);
        command.arg(format!("ubd{SHARED_DISK_INDEX}c={}", file.display()));
    }
    command.arg(format!("ubd{STATE_DISK_INDEX}=state.img"));
    let (tap, mac) = (node.tap(), node.mac());
    command.arg(format!(
        "vec0:transport=tap,ifname={tap},depth=64,gro=1,mac={mac}"
    ));
    command.arg(format!("LAB_NODE={}", node.number()));
    command.arg(format!("LAB_DIR={}", dir.root().display()));
    command.arg(format!("init={}", dir.agent().display()));
    // An argument that the kernel does not know is passed to the first process.
    command.arg("lab-init");
    command
}

/// The first process of a guest's PID namespace: it runs exactly as long as the guest's kernel.
///
/// The kernel cannot be that process, because the first process of a namespace survives `abort`, which is
/// how a kernel that panicked ends.
pub fn power(tied: bool, command: &[String]) -> Result<ExitCode> {
    if tied {
        thread::spawn(|| {
            // Nothing is ever written: this returns when the last holder of the other end has closed it.
            let _ = io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
    }
    // A panic would leave a core file as large as the guest's memory.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (image, arguments) = command.split_first().context("no kernel to run")?;
    let kernel = Command::new(image)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn();
    let kernel = Pid::from_raw(
        kernel
            .with_context(|| format!("run {image}"))?
            .id()
            .cast_signed(),
    );
    loop {
        match waitpid(None, None) {
            Ok(status) if status.pid() == Some(kernel) => break,
            // Orphaned processes of the kernel.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for the kernel"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the folder for a guest's memory has enough space and is not mounted noexec.
fn memory_folder_fits(bytes: u64) -> bool {
    statvfs("/dev/shm").is_ok_and(|shm| {
        let free = shm.blocks_available() * shm.fragment_size();
        !shm.flags().contains(FsFlags::ST_NOEXEC) && free > bytes + bytes / 8
    })
}

/// Whether the guest has power.
pub fn is_running(dir: &LabDir, node: Node) -> bool {
    running(&dir.node(node)).is_some()
}

/// The process id of its kernel, if it has power.
pub fn pid(dir: &LabDir, node: Node) -> Option<i32> {
    running(&dir.node(node)).map(|process| process.pid)
}

fn running(folder: &Path) -> Option<Process> {
    let text = fs::read(folder.join("process.json")).ok()?;
    let process: Process = serde_json::from_slice(&text).ok()?;
    // Only if this program started it, it has to be reaped.
    let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
    (start_ticks(process.pid) == Some(process.start_ticks)).then_some(process)
}

/// The start time of the process; `None` if it does not exist or is a zombie.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Cuts the power: no guest code runs any more when this returns.
pub fn kill_power(dir: &LabDir, node: Node) -> Result<()> {
    let folder = dir.node(node);
    let start = Instant::now();
    while let Some(process) = running(&folder) {
        match kill(Pid::from_raw(process.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("kill {node}")),
        }
        if start.elapsed() > KILL_TIMEOUT {
            bail!(
                "{node} (process {}) still exists after SIGKILL",
                process.pid
            );
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The console output since the guest was last started.
pub fn console_since_start(dir: &LabDir, node: Node) -> String {
    let text = fs::read(dir.console(node)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let start = text.rfind(POWER_ON).map_or(0, |at| at + POWER_ON.len());
    text[start..].trim_start().to_owned()
}
