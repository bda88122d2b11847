//! The real machine: programs, files and devices.

use std::path::Path;
use std::time::{Duration, Instant};

use linstor_host::{
    Cmd, Deadline, DeviceUse, Host, LineStream, Place, PortState, RealHost, RunError, StreamEvent,
    Watch,
};

pub(crate) fn sh(script: &str) -> Cmd {
    Cmd::new("sh").args(["-c", script])
}

fn impatient(limit_ms: u64) -> Deadline {
    Deadline {
        limit: Duration::from_millis(limit_ms),
        watch: Watch::Run,
        term_wait: Duration::from_millis(300),
        kill_wait: Duration::from_secs(5),
    }
}

/// Exit code and both outputs are data; only `Output::ok` turns a non-zero exit code into an error.
#[tokio::test]
async fn a_failed_command_is_data() {
    let output = RealHost
        .run(sh("echo out; echo err >&2; exit 7"))
        .await
        .unwrap();
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    assert!(
        output
            .ok()
            .unwrap_err()
            .to_string()
            .ends_with("ended with exit code 7: err")
    );
}

/// Programs do not inherit this process's environment.
#[tokio::test]
async fn the_environment_is_cleared() {
    let output = RealHost.run(Cmd::new("env")).await.unwrap();
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";
    assert_eq!(lines, ["LC_ALL=C.UTF-8", path]);
}

/// A program that is not installed is another error than one that fails.
#[tokio::test]
async fn a_missing_program_is_named() {
    let error = RealHost.run(Cmd::new("no-such-program")).await.unwrap_err();
    assert!(matches!(&error, RunError::NotFound { program, .. } if program == "no-such-program"));
    assert!(error.to_string().contains("/usr/sbin"), "{error}");
}

/// A program's output need not be UTF-8, and its input may be longer than a pipe's buffer.
#[tokio::test]
async fn bytes_and_long_input() {
    let output = RealHost.run(sh(r"printf '\377a'")).await.unwrap();
    assert_eq!(output.stdout, "\u{fffd}a");
    let input = vec![b'x'; 300_000];
    let output = RealHost.run(Cmd::new("cat").stdin(input)).await.unwrap();
    assert_eq!(output.stdout.len(), 300_000);
    let ignored = RealHost
        .run(Cmd::new("true").stdin(vec![b'x'; 300_000]))
        .await
        .unwrap();
    assert!(ignored.success());
}

/// A program with endless output is killed.
#[tokio::test]
async fn huge_output_is_cut_off() {
    let started = Instant::now();
    let cmd = Cmd::new("yes").output_bytes_max(100_000);
    let error = RealHost.run(cmd).await.unwrap_err();
    assert!(
        matches!(
            error,
            RunError::OutputTooLarge {
                bytes_max: 100_000,
                ..
            }
        ),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// A timeout kills the whole process group, including processes that ignore SIGTERM, and preserves the output.
#[tokio::test]
async fn a_timeout_kills_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = format!(
        "trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo $! $$ > {}; echo output; wait",
        file.display()
    );
    let error = RealHost
        .run(sh(&script).deadline(impatient(500)))
        .await
        .unwrap_err();
    let RunError::TimedOut {
        output,
        outlived_kill,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((output.stdout.as_str(), outlived_kill), ("output\n", false));
    tokio::time::sleep(Duration::from_millis(200)).await;
    for pid in std::fs::read_to_string(file).unwrap().split_whitespace() {
        assert!(!runs(pid), "{pid} still runs");
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z')
    })
}

/// Dropping the future kills the command.
#[tokio::test]
async fn a_dropped_run_kills_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("echo $$ > {}; sleep 60 & wait", file.display());
    let run = tokio::time::timeout(Duration::from_millis(500), RealHost.run(sh(&script)));
    assert!(run.await.is_err());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!runs(std::fs::read_to_string(file).unwrap().trim()));
}

/// With a deadline by I/O, a command that reads or writes continues, and one that does not is killed.
#[tokio::test]
async fn a_stall_is_no_progress() {
    let deadline = Deadline {
        watch: Watch::Io {
            poll: Duration::from_millis(100),
        },
        ..impatient(500)
    };
    let busy = sh("i=0; while [ $i -lt 15 ]; do echo x; sleep 0.1; i=$((i+1)); done");
    assert!(
        RealHost
            .run(busy.deadline(deadline))
            .await
            .unwrap()
            .success()
    );
    let error = RealHost
        .run(sh("sleep 60").deadline(deadline))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RunError::TimedOut {
                why: "it made no progress",
                ..
            }
        ),
        "{error}"
    );
}

/// A daemon that holds the pipes open does not delay the result, and is not killed.
#[tokio::test]
async fn a_daemon_is_left_alone() {
    let started = Instant::now();
    let output = RealHost.run(sh("sleep 2 & echo $!")).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(1500));
    assert!(runs(output.stdout.trim()));
}

/// A command that a foreign signal killed is an error, not an exit code.
#[tokio::test]
async fn killed_by_somebody_else() {
    let error = RealHost.run(sh("kill -9 $$")).await.unwrap_err();
    assert!(
        matches!(error, RunError::Killed { signal: 9, .. }),
        "{error}"
    );
}

/// A file is the same one through a symbolic link, and a hole in it is not allocated.
#[tokio::test]
async fn usage_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::File::create(&file)
        .and_then(|sparse| sparse.set_len(1 << 20))
        .unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let usage = RealHost.file_usage(&link).await.unwrap().unwrap();
    assert_eq!(Some(usage), RealHost.file_usage(&file).await.unwrap());
    assert_eq!(usage.size_bytes, 1 << 20);
    assert!(usage.allocated_bytes < 1 << 20, "{usage:?}");
    let absent = RealHost.file_usage(&dir.path().join("absent")).await;
    assert_eq!(absent.unwrap(), None);
}

async fn all(stream: &mut LineStream) -> Vec<StreamEvent> {
    let mut found = Vec::new();
    while let Some(event) = stream.next().await {
        found.push(event);
    }
    found
}

/// Lines are streamed one by one, and the end is reported.
#[tokio::test]
async fn a_stream_of_lines() {
    let cmd = sh("echo one; echo problem >&2; sleep 0.1; printf two; exit 3");
    let mut stream = RealHost.stream(cmd).await.unwrap();
    let found = all(&mut stream).await;
    assert!(
        found.contains(&StreamEvent::ErrorLine("problem".into())),
        "{found:?}"
    );
    let lines: Vec<_> = found
        .iter()
        .filter(|e| !matches!(e, StreamEvent::ErrorLine(_)))
        .collect();
    assert_eq!(
        lines,
        [
            &StreamEvent::Line("one".into()),
            &StreamEvent::Line("two".into()),
            &StreamEvent::Ended(Some(3))
        ]
    );
}

/// A line without end exceeds the limit instead of filling the memory.
#[tokio::test]
async fn a_stream_with_a_long_line() {
    let cmd = sh("head -c 1000000 /dev/zero; sleep 60").line_bytes_max(1000);
    let mut stream = RealHost.stream(cmd).await.unwrap();
    assert_eq!(stream.next().await, Some(StreamEvent::LineTooLong));
}

/// Dropping a stream kills its program.
#[tokio::test]
async fn a_dropped_stream_kills() {
    let mut stream = RealHost
        .stream(sh("echo $$; sleep 60 & wait"))
        .await
        .unwrap();
    let Some(StreamEvent::Line(pid)) = stream.next().await else {
        panic!("no line")
    };
    assert!(runs(&pid));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!runs(&pid));
}

/// Files are replaced as a whole, with the requested mode, and no temporary file remains.
#[tokio::test]
async fn files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("a/b");
    RealHost.create_dir_all(&sub).await.unwrap();
    let file = sub.join("f.res");
    RealHost.write_atomic(&file, b"old", 0o644).await.unwrap();
    RealHost.write_atomic(&file, b"new", 0o600).await.unwrap();
    assert_eq!(RealHost.read(&file).await.unwrap(), b"new");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(RealHost.list_dir(&sub).await.unwrap(), ["f.res"]);
    let other = sub.join("g.res");
    RealHost.rename(&file, &other).await.unwrap();
    assert!(RealHost.read(&file).await.unwrap_err().is_not_found());
    assert!(RealHost.remove_file(&other).await.unwrap());
    assert!(!RealHost.remove_file(&other).await.unwrap());
    let nowhere = RealHost
        .write_atomic(&dir.path().join("x/y"), b"", 0o600)
        .await
        .unwrap_err();
    assert!(nowhere.is_not_found() && nowhere.to_string().starts_with("write /"));
}

/// Parts of a file are read and zeroed from both ends.
#[tokio::test]
async fn parts_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk");
    std::fs::write(&file, [1_u8; 10_000]).unwrap();
    RealHost
        .zero(&file, Place::FromStart(0), 100)
        .await
        .unwrap();
    RealHost
        .zero(&file, Place::FromEnd(100), 4096)
        .await
        .unwrap();
    let start = RealHost
        .read_at(&file, Place::FromStart(99), 2)
        .await
        .unwrap();
    let end = RealHost
        .read_at(&file, Place::FromEnd(101), 4096)
        .await
        .unwrap();
    assert_eq!((start, end.len(), end[0], end[1]), (vec![0, 1], 101, 1, 0));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 10_000);
    assert_eq!(RealHost.block_device_size(&file).await.unwrap(), None);
    let missing = dir.path().join("none");
    assert_eq!(RealHost.block_device_size(&missing).await.unwrap(), None);
    let waited = RealHost
        .wait_for_device(&missing, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(waited.source.kind(), std::io::ErrorKind::TimedOut);
    let unmapped = RealHost.mapped_device_size("linstor-none").await;
    assert_eq!(unmapped.unwrap(), None);
}

/// A loop device on a file, detached when dropped. `None` if this process may not create one.
struct Loop(String);

impl Loop {
    fn on(file: &Path) -> Option<Loop> {
        let mut losetup = std::process::Command::new("losetup");
        let output = losetup.args(["-f", "--show"]).arg(file).output().ok()?;
        let device = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        output.status.success().then_some(Loop(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let mut losetup = std::process::Command::new("losetup");
        let _detached = losetup.args(["-d", &self.0]).status();
    }
}

/// A device with another device on top is claimed, and that device is named; a device that is only open is not claimed;
/// for a mounted one the mount point is reported.
#[tokio::test]
async fn users_of_devices() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk");
    std::fs::write(&file, vec![0_u8; 4 << 20]).unwrap();
    let Some(device) = Loop::on(&file) else {
        eprintln!("skipped: no loop devices for this user");
        return;
    };
    let path = Path::new(&device.0);
    let free = RealHost.device_use(path).await.unwrap();
    assert_eq!(free, DeviceUse::Free);
    let open = std::fs::File::open(path).unwrap();
    let opened = RealHost.device_use(path).await.unwrap();
    assert_eq!(opened, DeviceUse::Free);
    drop(open);
    let mkfs = Cmd::new("mkfs.ext4").args(["-q", device.0.as_str()]);
    RealHost.run(mkfs).await.unwrap().ok().unwrap();
    let on = dir.path().join("mnt");
    std::fs::create_dir(&on).unwrap();
    let mount = Cmd::new("mount").args([path, &on].map(|p| p.to_string_lossy().into_owned()));
    if RealHost.run(mount).await.unwrap().success() {
        let mounted = RealHost.device_use(path).await.unwrap();
        let umount = Cmd::new("umount").arg(on.to_string_lossy());
        RealHost.run(umount).await.unwrap().ok().unwrap();
        let on = on.to_string_lossy().into_owned();
        assert_eq!(mounted, DeviceUse::Mounted { on });
    }
    let gone = RealHost.device_use(Path::new("/dev/no-such")).await;
    assert_eq!(gone.unwrap(), DeviceUse::Free);
}

/// A port in use is detected, and the process that uses it is found.
#[tokio::test]
async fn ports() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    match RealHost.test_bind(port).await.unwrap() {
        PortState::Busy {
            holder: Some(holder),
        } => {
            assert!(
                holder.contains(&format!("pid {}", std::process::id())),
                "{holder}"
            );
        }
        other => panic!("{other:?}"),
    }
    drop(listener);
    assert_eq!(RealHost.test_bind(port).await.unwrap(), PortState::Free);
}

/// The host name is read.
#[test]
fn uname() {
    let name = RealHost.uname();
    assert!(!name.node.is_empty() && !name.release.is_empty());
    assert!(Path::new("/proc").exists());
    assert_ne!(RealHost.random_u64(), RealHost.random_u64());
}
