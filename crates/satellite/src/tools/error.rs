//! Programs that fail, and why: the one place that reads their messages.

use linstor_host::Output;

/// A program that did not do what it was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolError {
    /// How it ended.
    pub exit: Exit,
    /// The command, its exit code and what it printed.
    pub output: Output,
    /// Why it failed.
    pub kind: ErrorKind,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Exited,
    /// It exceeded its time and was ended.
    TimedOut,
}

/// Why a program failed, as far as the satellite acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The pool, volume group or file system is full.
    NoSpace,
    /// The device is open.
    InUse,
    /// The object of the command does not exist.
    NotFound,
    /// What should be a directory is a file.
    NoDirectory,
    /// The file system cannot share blocks between files.
    NoReflink,
    /// A configuration file cannot be parsed.
    Syntax,
    /// drbdadm did not wait for the end of a program that it started.
    Slow,
    /// DRBD's kernel module has a bitmap of a disk that is gone, and attaches no other one.
    StaleBitmap,
    /// DRBD's kernel module refused; its number for the reason (`drbd.h`: positive are `ERR_*`, negative `SS_*`).
    Drbd(i32),
    /// Any other reason.
    Other,
}

/// Messages of programs that run with `LC_ALL=C.UTF-8`, in lower case. LVM, ZFS, coreutils and drbdadm have one exit
/// code for all their failures.
const MESSAGES: [(&[&str], &str, ErrorKind); 17] = [
    (LVM, "insufficient free space", ErrorKind::NoSpace),
    (LVM, "not enough free space", ErrorKind::NoSpace),
    (LVM, "in use", ErrorKind::InUse),
    (LVM, "is used by another device", ErrorKind::InUse),
    (&["zfs"], "out of space", ErrorKind::NoSpace),
    (&["zfs"], "dataset is busy", ErrorKind::InUse),
    (&["zfs"], "dataset does not exist", ErrorKind::NotFound),
    (&["zfs", "zpool"], "no such pool", ErrorKind::NotFound),
    (&["df"], "no such file", ErrorKind::NotFound),
    (&["df"], "not a directory", ErrorKind::NoDirectory),
    (&["drbdadm"], "parse error", ErrorKind::Syntax),
    (&["cryptsetup"], "in use", ErrorKind::InUse),
    (&["drbdsetup"], "unknown connection", ErrorKind::NotFound),
    (&["drbdadm"], "already has a bitmap", ErrorKind::StaleBitmap),
    (&["drbdadm"], "did not terminate within", ErrorKind::Slow),
    // errno(3), whichever program prints it.
    (&[], "no space left", ErrorKind::NoSpace),
    (&["cp"], "failed to clone", ErrorKind::NoReflink),
];
const LVM: &[&str] = &["lvcreate", "lvresize", "lvremove", "lvchange"];

impl ErrorKind {
    /// Why a command failed; `None` if it succeeded.
    pub fn of(output: &Output) -> Option<ErrorKind> {
        if output.success() {
            return None;
        }
        let program = program(output);
        let text = output.stderr.to_ascii_lowercase();
        let mut messages = MESSAGES.iter();
        let known = messages.find(|(programs, message, _)| {
            (programs.is_empty() || programs.contains(&program)) && text.contains(message)
        });
        Some(match known {
            Some((_, _, kind)) => *kind,
            None => drbd_error(&output.stderr).map_or(ErrorKind::Other, ErrorKind::Drbd),
        })
    }
}

/// The number in `Failure: (131) ...` and `State change failed: (-12) ...`, as drbdsetup prints what the kernel
/// answered.
fn drbd_error(stderr: &str) -> Option<i32> {
    let failed = ["Failure: (", "State change failed: ("];
    let mut rest = failed.iter().filter_map(|text| stderr.split_once(text));
    rest.next()?.1.split_once(')')?.0.parse().ok()
}

impl ToolError {
    /// Of a command that failed.
    pub fn new(exit: Exit, output: Output) -> Self {
        let kind = ErrorKind::of(&output).unwrap_or(ErrorKind::Other);
        ToolError { exit, output, kind }
    }
}

/// The program of a command that ended.
pub fn program(output: &Output) -> &str {
    output.cmd.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of the real programs.
    #[test]
    fn kinds() {
        let cases = [
            (
                "lvcreate",
                "  Volume group \"vg0\" has insufficient free space (12 extents): 25 required.\n",
                ErrorKind::NoSpace,
            ),
            (
                "lvremove -f vg/u",
                "  Logical volume vg/u is used by another device.\n",
                ErrorKind::InUse,
            ),
            (
                "lvchange -an vg/u",
                "  Logical volume vg/u in use.\n",
                ErrorKind::InUse,
            ),
            (
                "zfs destroy tank/u",
                "cannot destroy 'tank/u': dataset is busy\n",
                ErrorKind::InUse,
            ),
            (
                "zfs create -V 1G tank/u",
                "cannot create 'tank/u': out of space\n",
                ErrorKind::NoSpace,
            ),
            (
                "zfs list tank",
                "cannot open 'tank': dataset does not exist\n",
                ErrorKind::NotFound,
            ),
            (
                "fallocate -x -l 1KiB f",
                "fallocate: fallocate failed: No space left on device\n",
                ErrorKind::NoSpace,
            ),
            (
                "df f",
                "df: f: No such file or directory\n",
                ErrorKind::NotFound,
            ),
            (
                "drbdadm adjust r",
                "r.res:3: Parse error: 'resource' expected\n",
                ErrorKind::Syntax,
            ),
            (
                "drbdadm adjust r",
                "Command 'drbdsetup attach 1000 /dev/a /dev/a internal' did not terminate within 5 seconds\n",
                ErrorKind::Slow,
            ),
            (
                "drbdadm resize r/0",
                "1000: Failure: (131) Need one Primary node to resize.\n",
                ErrorKind::Drbd(131),
            ),
            (
                "drbdadm adjust r",
                "1000: Failure: (162) Invalid configuration request\nadditional info from kernel:\nalready has a bitmap, this should not happen\n",
                ErrorKind::StaleBitmap,
            ),
            (
                "drbdsetup del-peer r 2",
                "r: Failure: (162) Invalid configuration request\nadditional info from kernel:\nunknown connection\n",
                ErrorKind::NotFound,
            ),
            (
                "drbdsetup down r",
                "r: State change failed: (-12) Device is held open by someone\n",
                ErrorKind::Drbd(-12),
            ),
            (
                "cryptsetup close Linstor-Crypt-r_00000",
                "Device Linstor-Crypt-r_00000 is still in use.\n",
                ErrorKind::InUse,
            ),
            (
                "cp --reflink=always a b",
                "cp: failed to clone 'b' from 'a': Operation not supported\n",
                ErrorKind::NoReflink,
            ),
            (
                "cp --reflink=always a b",
                "cp: failed to clone 'b' from 'a': No space left on device\n",
                ErrorKind::NoSpace,
            ),
            ("losetup", "nothing known\n", ErrorKind::Other),
            // Another program's messages are not LVM's.
            ("mkfs.ext4", "/dev/drbd1000 is in use\n", ErrorKind::Other),
        ];
        for (cmd, stderr, kind) in cases {
            let output = Output {
                cmd: cmd.into(),
                code: 5,
                stdout: String::new(),
                stderr: stderr.into(),
            };
            assert_eq!(ErrorKind::of(&output), Some(kind), "{stderr}");
        }
        assert_eq!(ErrorKind::of(&Output::default()), None);
    }
}
