//! The state of the machine for a person who looks for an error: what programs show, logs, and the resource files without
//! their secrets. Nothing is changed.

use std::path::Path;
use std::time::Duration;

use linstor_host::{Cmd, Deadline};
use linstor_wire::question::{FILES_BYTES_MAX, File};

use crate::shared::Shared;

/// How long a program may take that shows the state of the machine.
const SHOW_LIMIT: Duration = Duration::from_secs(15);
/// How much of one file is reported, in bytes: its end, which has the newest lines of a log.
const FILE_BYTES_MAX: usize = 128 * 1024;
/// Lines of a log that are asked for.
const LOG_LINES: &str = "2000";

/// Programs that show the state of the machine, with the names of their files.
#[rustfmt::skip]
const SHOWN: &[(&str, &str, &[&str])] = &[
    ("drbd-status", "drbdsetup", &["status", "--verbose", "--statistics"]),
    ("drbd-events2", "drbdsetup", &["events2", "--now"]),
    ("drbdadm-version", "drbdadm", &["--version"]),
    ("modinfo", "modinfo", &["drbd"]),
    ("lvmconfig", "lvmconfig", &["--typeconfig", "diff"]),
    ("pvs", "pvs", &[]),
    ("vgs", "vgs", &["-o", "+vg_tags"]),
    ("lvs", "lvs", &["-a", "-o", "+lv_tags"]),
    ("zfs-list", "zfs", &["list", "-t", "all"]),
    ("zpool-list", "zpool", &["list"]),
    ("zpool-status", "zpool", &["status"]),
    ("lsblk", "lsblk", &["--output-all"]),
    ("lsblk.json", "lsblk", &["--json"]),
    ("losetup", "losetup", &["--list"]),
    ("ip-a", "ip", &["address"]),
    ("dmesg", "dmesg", &[]),
    ("uptime", "uptime", &[]),
];

/// Files that show the state of the machine.
const READ: &[(&str, &str)] = &[
    ("proc-drbd", "/proc/drbd"),
    ("mounts", "/proc/mounts"),
    ("release", "/etc/os-release"),
];

/// What a person needs to see who looks for an error. What cannot be had is there under its name with `.failed`.
pub async fn files(shared: &Shared, since: u64) -> Vec<File> {
    let shown = SHOWN.iter().map(|(name, program, args)| {
        let cmd = Cmd::new(program).args(args.iter().copied());
        show(shared, name, cmd)
    });
    let since = format!("@{since}");
    let log = |name, choice: &str| {
        let args = [
            choice,
            "--since",
            &since,
            "--lines",
            LOG_LINES,
            "--no-pager",
        ];
        show(shared, name, Cmd::new("journalctl").args(args))
    };
    let logs = [
        log("journalctl", "--unit=linstor-satellite"),
        log("journalctl-kernel-log", "--dmesg"),
    ];
    let shown = futures::future::join_all(shown.chain(logs)).await;
    let mut files = vec![File {
        name: "linstorInfo".to_owned(),
        text: about(shared),
    }];
    files.extend(shown);
    for (name, path) in READ {
        files.push(read(shared, (*name).to_owned(), Path::new(path)).await);
    }
    let directory = &shared.options.res_directory;
    for name in shared
        .machine
        .host()
        .list_dir(directory)
        .await
        .unwrap_or_default()
    {
        if name.ends_with(".res") {
            files.push(read(shared, name.clone(), &directory.join(&name)).await);
        }
    }
    let mut left = FILES_BYTES_MAX;
    for file in &mut files {
        if file.text.len() > left {
            file.name.push_str(".failed");
            file.text = "The report is full.".to_owned();
        }
        left = left.saturating_sub(file.text.len());
    }
    files
}

fn about(shared: &Shared) -> String {
    let state = shared.state();
    let identity = state.identity.as_ref();
    let node = identity.map_or("none", |identity| identity.node_name.as_str());
    format!(
        "linstor-satellite {}\nnode: {node}\nresources: {}\n{:#?}\n",
        env!("CARGO_PKG_VERSION"),
        state.resources().count(),
        state.info,
    )
}

async fn show(shared: &Shared, name: &str, cmd: Cmd) -> File {
    let cmd = cmd.deadline(Deadline::run(SHOW_LIMIT));
    match shared.machine.try_run(cmd).await {
        Ok(output) if output.success() => File {
            name: name.to_owned(),
            text: end_of(&output.stdout),
        },
        Ok(output) => File {
            name: format!("{name}.failed"),
            text: end_of(&format!("{}{}", output.stdout, output.stderr)),
        },
        Err(failure) => File {
            name: format!("{name}.failed"),
            text: failure.to_string(),
        },
    }
}

async fn read(shared: &Shared, name: String, path: &Path) -> File {
    match shared.machine.host().read(path).await {
        Ok(bytes) => File {
            name,
            text: end_of(&without_secrets(&String::from_utf8_lossy(&bytes))),
        },
        Err(error) => File {
            name: format!("{name}.failed"),
            text: error.to_string(),
        },
    }
}

/// The text without the values of `shared-secret`, DRBD's only option that is one.
fn without_secrets(text: &str) -> String {
    let line = |line: &str| match line.split_once("shared-secret") {
        Some((before, _)) => format!("{before}shared-secret \"***\";\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// At most the last [`FILE_BYTES_MAX`] bytes of a text.
pub fn end_of(text: &str) -> String {
    let mut begin = text.len().saturating_sub(FILE_BYTES_MAX);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    text[begin..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secrets of resource files are in no report, wherever they stand.
    #[test]
    fn secrets_are_left_out() {
        let text = "net {\n    cram-hmac-alg sha1;\n    shared-secret \"abc\";\n}\n";
        let shown = without_secrets(text);
        assert_eq!(shown, text.replace("abc", "***"));
        let one_line = without_secrets("net { protocol C; shared-secret \"a b\"; }");
        assert!(!one_line.contains("a b"), "{one_line}");
    }

    /// A long text is cut in front, between two characters.
    #[test]
    fn the_end_of_a_text_is_reported() {
        let text = format!("ä{}", "x".repeat(FILE_BYTES_MAX - 1));
        assert_eq!(end_of(&text), "x".repeat(FILE_BYTES_MAX - 1));
        assert_eq!(end_of("short"), "short");
    }
}
