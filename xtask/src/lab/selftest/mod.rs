//! `cargo xtask lab selftest`: tests of all functions of the lab.

mod storage;

pub use storage::zfs_pool;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::report::Report;

use super::netns::Netns;
use super::protocol::AGENT_PORT;
use super::state::LabDir;
use super::{Exec, GUEST_SHARE, Lab, LabConfig, Node};

/// Limit for three guests to boot on a small machine.
const UP_LIMIT: Duration = Duration::from_secs(60);

/// Limit of the overhead of an `exec`.
const LATENCY_LIMIT: Duration = Duration::from_millis(100);

/// Runs all checks in labs called `name` and `name`-b.
pub fn run(
    name: &str,
    kernel: Option<PathBuf>,
    modules: Vec<PathBuf>,
    report: &mut Report,
) -> Result<()> {
    // The default lab may be in use.
    let name = if name == "default" { "selftest" } else { name };
    let config = LabConfig {
        name: name.to_owned(),
        disks: 2,
        disk_bytes: 1 << 30,
        kernel,
        modules,
        replace: true,
        owned: true,
        ..LabConfig::default()
    };
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mut started = None;
    report.check("three nodes come up", || {
        let start = Instant::now();
        started = Some(Lab::up(config.clone())?);
        let took = start.elapsed();
        ensure!(took < UP_LIMIT, "{took:.1?} is too long");
        Ok(())
    });
    if let Some(lab) = started {
        commands(report, &lab);
        report.check(
            "a cut stops one link in both directions, and no other",
            || cables(&lab),
        );
        report.check("commands run on a node without links", || cut_off(&lab));
        storage::run(report, &lab);
        report.check("after a power cut, synced data is preserved", || {
            power(&lab)
        });
        report.check("two labs run at the same time", || {
            second_lab(&lab, &config)
        });
        report.check("a lab whose processes were all killed starts again", || {
            killed_lab_starts_again(&lab, &config)
        });
        report.check(
            "a program killed in the middle of `up` is cleaned up after",
            || killed_up_is_cleaned(&config),
        );
        report.check("guests in the foreground end with their program", || {
            owned_lab_ends(&config)
        });
        report.check("nothing is left after `down`", || {
            lab.down()?;
            leftovers(name, &mounts)
        });
    }
    Ok(())
}

fn commands(report: &mut Report, lab: &Lab) {
    report.check("arguments, streams, input and exit codes are exact", || {
        exact(lab)
    });
    report.check("commands start promptly", || latency(lab));
    report.check("commands run at the same time on one node", || {
        side_by_side(lab)
    });
    report.check("megabytes pass in both directions", || bulk(lab));
    report.check("a command that takes too long is killed", || times_out(lab));
    report.check("a command is killed when its caller is killed", || {
        caller_goes(lab)
    });
    report.check(
        "a detached command continues and does not block its caller",
        || detached(lab),
    );
    report.check(
        "the log of a spawned command is visible on the host",
        || spawned(lab),
    );
    report.check("nodes know each other by name", || names(lab));
    report.check("the lab's folder is shared", || shared(lab));
}

fn exact(lab: &Lab) -> Result<()> {
    let odd = ["a b", "it's \"q\"", "line\nbreak", "$HOME `id` \\", "", "ü"];
    let mut argv = vec!["printf", "[%s]"];
    argv.extend(odd);
    let stdout = lab.exec_ok(1, &argv)?;
    let wanted: String = odd.iter().map(|arg| format!("[{arg}]")).collect();
    ensure!(stdout == wanted, "{stdout:?}");
    let output = lab.exec(1, &["sh", "-c", "echo out; echo err >&2; exit 7"])?;
    ensure!(output.status.code() == Some(7), "{:?}", output.status);
    ensure!(
        output.stdout == b"out\n" && output.stderr == b"err\n",
        "{output:?}"
    );
    let killed = lab.exec(1, &["sh", "-c", "kill -9 $$"])?;
    ensure!(
        killed.status.to_string().contains("signal: 9"),
        "{:?}",
        killed.status
    );
    let exec = Exec::new(&["sh", "-c", "cat; echo $X; pwd"]);
    let exec = exec.stdin(&b"in\n"[..]).env("X", "y").cwd("/proc");
    ensure!(lab.run_ok(1, exec)? == "in\ny\n/proc\n");
    ensure!(lab.exec(1, &["no-such-program"]).is_err());
    ensure!(lab.exec(9, &["true"]).is_err());
    Ok(())
}

fn latency(lab: &Lab) -> Result<()> {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        lab.exec_ok(1, &["true"])?;
        best = best.min(start.elapsed());
    }
    // The minimum is the overhead of the lab; the other values depend on the load of the machine.
    ensure!(best < LATENCY_LIMIT, "at best it took {best:?}");
    Ok(())
}

fn side_by_side(lab: &Lab) -> Result<()> {
    let start = Instant::now();
    thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|number| {
                let expected = number.to_string();
                let argv = [
                    "sh".to_owned(),
                    "-c".into(),
                    "sleep 1; echo $0".into(),
                    expected.clone(),
                ];
                scope.spawn(move || Ok((lab.exec_ok(1, &argv)?, expected)))
            })
            .collect();
        for run in runs {
            let (stdout, expected) = run.join().unwrap_or_else(|_| bail!("a thread panicked"))?;
            ensure!(
                stdout.trim() == expected,
                "{stdout:?} instead of {expected}"
            );
        }
        Ok(())
    })?;
    ensure!(
        start.elapsed() < Duration::from_secs(5),
        "one after the other"
    );
    Ok(())
}

fn bulk(lab: &Lab) -> Result<()> {
    let block: Vec<u8> = (0..8 << 20)
        .map(|index: u32| (index ^ (index >> 9)) as u8)
        .collect();
    let output = lab.run(
        1,
        Exec::new(&["cat"]).stdin(std::io::Cursor::new(block.clone())),
    )?;
    ensure!(
        output.stdout == block,
        "{} bytes came back",
        output.stdout.len()
    );
    // A command that stops reading does not block the caller.
    lab.run_ok(1, Exec::new(&["true"]).stdin(std::io::Cursor::new(block)))?;
    Ok(())
}

fn times_out(lab: &Lab) -> Result<()> {
    let exec = Exec::new(&["sleep", "7101"]).timeout(Duration::from_secs(1));
    let Err(error) = lab.run(1, exec) else {
        bail!("the command was not killed")
    };
    ensure!(format!("{error:#}").contains("timeout"), "{error:#}");
    until(|| Ok(!runs(lab, 1, "sleep 7101")?))
}

fn caller_goes(lab: &Lab) -> Result<()> {
    let name = lab.config().name.clone();
    let mut caller = Command::new(std::env::current_exe()?);
    caller.args([
        "lab", "--name", &name, "exec", "node1", "--", "sleep", "7102",
    ]);
    let mut caller = caller.stdin(Stdio::null()).spawn()?;
    let started = until(|| runs(lab, 1, "sleep 7102"));
    caller.kill()?;
    caller.wait()?;
    started.context("the command was not started")?;
    until(|| Ok(!runs(lab, 1, "sleep 7102")?))
}

fn detached(lab: &Lab) -> Result<()> {
    let start = Instant::now();
    // Even while they hold the caller's streams open.
    let stdout = lab.exec_ok(
        1,
        &["sh", "-c", "nohup sleep 7103 & setsid sleep 7104 & echo x"],
    )?;
    ensure!(
        stdout == "x\n" && start.elapsed() < Duration::from_secs(2),
        "{stdout:?}"
    );
    // The shell may have ended before its children have executed their programs.
    until(|| Ok(runs(lab, 1, "sleep 7103")? && runs(lab, 1, "sleep 7104")?))
        .context("the detached commands were killed")?;
    lab.exec_ok(1, &["pkill", "-f", "sleep 710[34]"])?;
    Ok(())
}

fn spawned(lab: &Lab) -> Result<()> {
    let script = "echo begin; echo problem >&2; exec sleep 7105";
    let background = lab.spawn(2, "selftest", Exec::new(&["sh", "-c", script]))?;
    let log = || fs::read_to_string(background.log()).unwrap_or_default();
    until(|| Ok(log().contains("begin") && log().contains("problem")))?;
    ensure!(lab.poll(&background)?.is_none(), "it ended");
    lab.signal(&background, Signal::SIGTERM)?;
    let status = lab.wait(&background, Duration::from_secs(5))?;
    ensure!(status.to_string().contains("signal: 15"), "{status}");
    lab.signal(&background, Signal::SIGTERM)
        .context("signal a command that has ended")?;
    Ok(())
}

fn names(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        ensure!(lab.exec_ok(node, &["hostname"])?.trim() == node.to_string());
        let hosts = lab.exec_ok(node, &["getent", "hosts", "node2"])?;
        ensure!(hosts.starts_with("10.77.0.2 "), "{hosts}");
        for peer in lab.nodes() {
            ensure!(reaches(lab, node, peer)?, "{node} does not reach {peer}");
        }
    }
    Ok(())
}

fn shared(lab: &Lab) -> Result<()> {
    let guest_path = format!("{GUEST_SHARE}/shared");
    fs::write(lab.share().join("shared"), "from the host")?;
    ensure!(lab.exec_ok(1, &["cat", &guest_path])? == "from the host");
    lab.run_ok(
        2,
        Exec::new(&["tee", &guest_path]).stdin(&b"from node2"[..]),
    )?;
    ensure!(fs::read(lab.share().join("shared"))? == b"from node2");
    ensure!(lab.exec_ok(1, &["cat", &guest_path])? == "from node2");
    Ok(())
}

fn cables(lab: &Lab) -> Result<()> {
    lab.cut(1, 2)?;
    ensure!(lab.cuts()?.len() == 1);
    for (from, to, passes) in [(1, 2, false), (2, 1, false), (1, 3, true), (3, 2, true)] {
        ensure!(
            reaches(lab, from.into(), to.into())? == passes,
            "node{from} to node{to}"
        );
    }
    lab.heal(1, 2)?;
    ensure!(
        reaches(lab, 1.into(), 2.into())?,
        "the restored link does not work"
    );
    Ok(())
}

fn cut_off(lab: &Lab) -> Result<()> {
    lab.cut_off(3)?;
    for (from, to, passes) in [(1, 3, false), (3, 2, false), (1, 2, true)] {
        ensure!(
            reaches(lab, from.into(), to.into())? == passes,
            "node{from} to node{to}"
        );
    }
    lab.heal_node(3)?;
    ensure!(
        reaches(lab, 3.into(), 1.into())?,
        "the restored link does not work"
    );
    lab.cut_off(1)?;
    lab.heal_all()?;
    ensure!(lab.cuts()?.is_empty() && reaches(lab, 1.into(), 2.into())?);
    Ok(())
}

fn power(lab: &Lab) -> Result<()> {
    let preserved = [
        "/var/lib/linstor/a",
        "/var/lib/linstor.d/a",
        "/etc/linstor/a",
        "/var/lib/a",
    ];
    for path in preserved {
        lab.write_file(3, path, "synced")?;
    }
    lab.exec_ok(3, &["touch", "/root/lost", "/run/lost"])?;
    lab.cut(1, 3)?;
    lab.kill(3)?;
    ensure!(!lab.has_power(3) && lab.exec(3, &["true"]).is_err() && lab.has_power(1));
    lab.boot(3)?;
    for path in preserved {
        ensure!(
            lab.exec_ok(3, &["cat", path])? == "synced",
            "{path} is lost"
        );
    }
    for path in ["/root/lost", "/run/lost"] {
        ensure!(
            !lab.exec(3, &["test", "-e", path])?.status.success(),
            "{path} is still there"
        );
    }
    ensure!(
        !reaches(lab, 1.into(), 3.into())?,
        "the link was restored by the power cut"
    );
    lab.heal_all()?;
    ensure!(reaches(lab, 1.into(), 3.into())?);
    Ok(())
}

fn second_lab(lab: &Lab, config: &LabConfig) -> Result<()> {
    let other = Lab::up(LabConfig {
        nodes: 1,
        disks: 0,
        ..second(config)
    })?;
    other.exec_ok(1, &["touch", "/root/other"])?;
    ensure!(
        !lab.exec(1, &["test", "-e", "/root/other"])?
            .status
            .success(),
        "both labs have the same name"
    );
    ensure!(
        !reaches(&other, 1.into(), 2.into())?,
        "both labs have the same network"
    );
    let folder = other.share().to_owned();
    other.down()?;
    ensure!(!folder.exists(), "{} is left", folder.display());
    lab.exec_ok(1, &["true"])
        .context("removing the second lab affected the first")?;
    Ok(())
}

/// The same configuration under another name.
fn second(config: &LabConfig) -> LabConfig {
    LabConfig {
        name: format!("{}-b", config.name),
        ..config.clone()
    }
}

fn killed_lab_starts_again(lab: &Lab, config: &LabConfig) -> Result<()> {
    for node in lab.nodes() {
        let pid = super::guest::pid(&lab.dir, node).context("no power before the test")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL)?;
    }
    until(|| Ok(lab.nodes().into_iter().all(|node| !lab.has_power(node))))?;
    // Without `replace`: no running lab is replaced.
    let again = Lab::up(LabConfig {
        replace: false,
        owned: false,
        ..config.clone()
    })?;
    again.exec_ok(3, &["true"])?;
    Ok(())
}

fn killed_up_is_cleaned(config: &LabConfig) -> Result<()> {
    let config = LabConfig {
        nodes: 1,
        replace: false,
        ..second(config)
    };
    let dir = LabDir::of(&config.name)?;
    let mut program = up_program(&config, &["--nodes", "2"])?;
    let begun = until(|| Ok(super::guest::is_running(&dir, Node::from(1))));
    program.kill()?;
    program.wait()?;
    begun.context("no guest was started")?;
    let lab = Lab::up(config)?;
    lab.exec_ok(1, &["true"])?;
    lab.down()
}

fn owned_lab_ends(config: &LabConfig) -> Result<()> {
    let config = second(config);
    let dir = LabDir::of(&config.name)?;
    let mut program = up_program(&config, &["--nodes", "1", "--foreground"])?;
    let ready = || {
        Ok(dir
            .load()
            .is_ok_and(|state| state.is_some_and(|state| state.ready)))
    };
    let begun = until(ready);
    program.kill()?;
    program.wait()?;
    begun.context("the lab did not start")?;
    until(|| Ok(!super::guest::is_running(&dir, Node::from(1))))?;
    Lab::down_named(&config.name)
}

/// Starts `cargo xtask lab up` as a program of its own.
fn up_program(config: &LabConfig, options: &[&str]) -> Result<Child> {
    let mut program = Command::new(std::env::current_exe()?);
    program
        .args(["lab", "--name", &config.name, "up"])
        .args(options);
    if let Some(kernel) = &config.kernel {
        program.arg("--kernel").arg(kernel);
    }
    for folder in &config.modules {
        program.arg("--modules").arg(folder);
    }
    Ok(program.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

fn leftovers(name: &str, mounts_before: &str) -> Result<()> {
    for name in [name.to_owned(), format!("{name}-b")] {
        let dir = LabDir::of(&name)?;
        ensure!(!dir.root().exists(), "{} is left", dir.root().display());
        ensure!(
            !Netns::named(&dir.netns_name()).exists(),
            "the network namespace is left"
        );
        let ours = processes_naming(dir.root())?;
        ensure!(ours.is_empty(), "processes {ours:?} are left");
    }
    // Network namespaces are mounts as well; they were checked by name.
    let strip = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.contains("netns"))
            .map(str::to_owned)
            .collect()
    };
    ensure!(
        strip(&fs::read_to_string("/proc/mounts")?) == strip(mounts_before),
        "mounts changed"
    );
    Ok(())
}

fn processes_naming(folder: &Path) -> Result<Vec<String>> {
    let needle = format!("LAB_DIR={}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        if line
            .split(|byte| *byte == 0)
            .any(|part| part == needle.as_bytes())
        {
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    Ok(found)
}

/// Whether packets pass: connects to the agent of `to`, because `ping` is not installed everywhere.
fn reaches(lab: &Lab, from: Node, to: Node) -> Result<bool> {
    let script = "exec 3<>/dev/tcp/$0/$1";
    let (address, port) = (to.address().to_string(), AGENT_PORT.to_string());
    let output = lab.exec(
        from,
        &["timeout", "2", "bash", "-c", script, &address, &port],
    )?;
    Ok(output.status.success())
}

fn runs(lab: &Lab, node: u8, pattern: &str) -> Result<bool> {
    Ok(lab.exec(node, &["pgrep", "-xf", pattern])?.status.success())
}

/// Polls a condition until it is true.
fn until(mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        ensure!(
            start.elapsed() < Duration::from_secs(20),
            "the condition did not become true in time"
        );
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
