//! What to run, for how long, and what came of it.

use std::fmt;
use std::time::Duration;

/// Longest run of a command without a limit of its own.
const LIMIT_DEFAULT: Duration = Duration::from_secs(45);
/// How long a command may take to heed SIGTERM.
const TERM_WAIT_DEFAULT: Duration = Duration::from_secs(15);
/// How long the kernel may take to act on SIGKILL.
const KILL_WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// How often I/O counters are read.
const IO_POLL_DEFAULT: Duration = Duration::from_secs(2);
/// Bytes kept of each output stream; far above what the tools print for 50,000 volumes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes kept of one line of a stream; an events2 line has some hundreds.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A command: a program's bare name and its arguments, never a shell line.
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
    /// The program is a bare name: where programs live is the host's business.
    pub fn new(program: &'static str) -> Self {
        assert!(
            !program.is_empty() && !program.contains('/'),
            "a bare program name: {program:?}"
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

    /// Gives the program something to read; without, its standard input is empty.
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

    /// Sets how many bytes of each output stream are accepted.
    #[must_use]
    pub fn output_bytes_max(mut self, bytes: usize) -> Self {
        self.output_bytes_max = bytes;
        self
    }

    /// Sets how long one line of a streamed command may be.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.line_bytes_max = bytes;
        self
    }

    /// The program's bare name.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// The arguments.
    pub fn arguments(&self) -> &[String] {
        &self.args
    }

    /// What the program reads.
    pub fn input(&self) -> Option<&Stdin> {
        self.stdin.as_ref()
    }

    /// How long it may run.
    pub fn time_limit(&self) -> Deadline {
        self.deadline
    }

    /// The accepted size of each output stream.
    pub fn output_limit(&self) -> usize {
        self.output_bytes_max
    }

    /// The accepted length of a streamed line.
    pub fn line_limit(&self) -> usize {
        self.line_bytes_max
    }
}

impl fmt::Display for Cmd {
    /// The command as one could type it. What it reads is not shown, as that may be a secret.
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

/// What a program reads from its standard input: often a passphrase, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Stdin(Vec<u8>);

impl Stdin {
    /// The bytes; only for the place that feeds them to the program.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How long a command may run, and how patiently it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Longest time: of the whole run, or without any I/O, as `watch` says.
    pub limit: Duration,
    /// What the limit is compared with.
    pub watch: Watch,
    /// How long the process group may take to heed SIGTERM.
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
        /// How often to look.
        poll: Duration,
    },
}

impl Deadline {
    /// The whole run may take this long.
    pub fn run(limit: Duration) -> Self {
        Deadline {
            limit,
            watch: Watch::Run,
            term_wait: TERM_WAIT_DEFAULT,
            kill_wait: KILL_WAIT_DEFAULT,
        }
    }

    /// The command may run as long as it goes on reading or writing, with pauses of at most `stall`.
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

/// What came of a command that ran to its end, well or not.
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

    /// Turns a non-zero exit code into an error that has everything the command said.
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
#[error("`{}` ended with exit code {}{}", output.cmd, output.code, Said(output))]
pub struct CommandFailed {
    /// Everything the command said.
    pub output: Box<Output>,
}

/// The part of an output that explains a failure, for one line of a message.
struct Said<'a>(&'a Output);

impl fmt::Display for Said<'_> {
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

/// The lines of a text as one clause, after a colon.
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

    /// A printed command can be pasted into a shell, and shows no secret.
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
