//! A command with its deadline and limits, and its output.

use std::fmt;
use std::time::Duration;

/// Default limit of a command's run time.
const LIMIT_DEFAULT: Duration = Duration::from_secs(45);
/// Time for a command to end after SIGTERM.
const TERM_WAIT_DEFAULT: Duration = Duration::from_secs(15);
/// Time for the kernel to end a process group after SIGKILL.
const KILL_WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// Interval at which I/O counters are read.
const IO_POLL_DEFAULT: Duration = Duration::from_secs(2);
/// Largest accepted output stream in bytes; far above what the tools print for 50,000 volumes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest accepted line of a stream in bytes; a line of `drbdsetup events2` has some hundreds.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A command: the name of a program without a path, and its arguments; never a shell line.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: &'static str,
    args: Vec<String>,
    stdin: Option<Stdin>,
    deadline: Deadline,
    output_bytes_max: usize,
    line_bytes_max: usize,
}

impl Cmd {
    /// A command without arguments, with the default deadline.
    ///
    /// The program is given without a path: the host searches its own list of directories.
    pub fn new(program: &'static str) -> Self {
        assert!(
            !program.is_empty() && !program.contains('/'),
            "the program has a path: {program:?}"
        );
        Cmd {
            program,
            args: Vec::new(),
            stdin: None,
            deadline: Deadline::default(),
            output_bytes_max: OUTPUT_BYTES_MAX,
            line_bytes_max: LINE_BYTES_MAX,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the standard input; it is empty by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(Stdin(bytes.into()));
        self
    }

    /// Sets how long the command may run.
    #[must_use]
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the largest accepted output stream, in bytes.
    #[must_use]
    pub fn output_bytes_max(mut self, bytes: usize) -> Self {
        self.output_bytes_max = bytes;
        self
    }

    /// Sets the longest accepted line of a streamed command, in bytes.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.line_bytes_max = bytes;
        self
    }

    /// The program, without a path.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// The arguments.
    pub fn arguments(&self) -> &[String] {
        &self.args
    }

    /// The standard input, if any.
    pub fn input(&self) -> Option<&Stdin> {
        self.stdin.as_ref()
    }

    /// When and how the command is ended.
    pub fn time_limit(&self) -> Deadline {
        self.deadline
    }

    /// The largest accepted output stream, in bytes.
    pub fn output_limit(&self) -> usize {
        self.output_bytes_max
    }

    /// The longest accepted line of a stream, in bytes.
    pub fn line_limit(&self) -> usize {
        self.line_bytes_max
    }
}

impl fmt::Display for Cmd {
    /// The command quoted for a shell. Its standard input is not printed, as it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        for arg in &self.args {
            f.write_str(" ")?;
            write_quoted(f, arg)?;
        }
        Ok(())
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, arg: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return f.write_str(arg);
    }
    write!(f, "'{}'", arg.replace('\'', r"'\''"))
}

/// The standard input of a program: often a passphrase, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stdin(Vec<u8>);

impl Stdin {
    /// The bytes; only for implementations of [`crate::Host`], which write them to the program.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How long a command may run, and how it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Longest time: of the whole run or without I/O, see `watch`.
    pub limit: Duration,
    /// What `limit` is compared with.
    pub watch: Watch,
    /// Time between SIGTERM and SIGKILL to the process group.
    pub term_wait: Duration,
    /// How long to wait for the end of the process group after SIGKILL.
    pub kill_wait: Duration,
}

/// What a command's limit is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// The time since the start.
    Run,
    /// The time since the process group last read or wrote anything: for commands whose work grows with the
    /// size of a device, where any fixed limit is wrong for some size.
    Io {
        /// Interval at which the I/O counters are read.
        poll: Duration,
    },
}

impl Deadline {
    /// Limits the whole run.
    pub fn run(limit: Duration) -> Self {
        Deadline {
            limit,
            watch: Watch::Run,
            term_wait: TERM_WAIT_DEFAULT,
            kill_wait: KILL_WAIT_DEFAULT,
        }
    }

    /// Limits the time without I/O: the command may run as long as it reads or writes at least once in `stall`.
    pub fn stall(stall: Duration) -> Self {
        Deadline {
            watch: Watch::Io {
                poll: IO_POLL_DEFAULT,
            },
            ..Deadline::run(stall)
        }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Deadline::run(LIMIT_DEFAULT)
    }
}

/// The output of a command that ended by itself, successfully or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The command as [`Cmd`] prints it.
    pub cmd: String,
    /// Exit code.
    pub code: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code is zero.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Turns a non-zero exit code into an error with the whole output.
    pub fn ok(self) -> Result<Output, CommandFailed> {
        if self.success() {
            Ok(self)
        } else {
            Err(CommandFailed {
                output: Box::new(self),
            })
        }
    }
}

/// A command that ended with a non-zero exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` ended with exit code {}{}", output.cmd, output.code, Reason(output))]
pub struct CommandFailed {
    /// The command's output.
    pub output: Box<Output>,
}

/// Standard error or, if it is empty, standard output: the reason of a failure, on one line.
struct Reason<'a>(&'a Output);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stderr = self.0.stderr.trim();
        let text = if stderr.is_empty() {
            &self.0.stdout
        } else {
            stderr
        };
        write_reason(f, text)
    }
}

/// Writes the lines of a text as one line, separated by semicolons, after a colon.
pub(crate) fn write_reason(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    for (i, line) in lines.enumerate() {
        f.write_str(if i == 0 { ": " } else { "; " })?;
        f.write_str(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A printed command can be pasted into a shell, and contains no secret.
    #[test]
    fn display_quotes_and_hides_stdin() {
        let cmd = Cmd::new("cryptsetup")
            .args(["open", "/dev/a b", "it's", ""])
            .stdin("passphrase");
        assert_eq!(cmd.to_string(), r"cryptsetup open '/dev/a b' 'it'\''s' ''");
        assert!(!format!("{cmd:?}").contains("passphrase"));
    }

    /// The error of a failed command names command, code and reason in one line.
    #[test]
    fn failed_command_is_one_line() {
        let output = Output {
            cmd: "lvs vg".into(),
            code: 5,
            stdout: String::new(),
            stderr: "  Volume group \"vg\" not found\n  Cannot process volume group vg\n".into(),
        };
        assert_eq!(
            output.ok().unwrap_err().to_string(),
            "`lvs vg` ended with exit code 5: Volume group \"vg\" not found; Cannot process volume group vg"
        );
    }
}
