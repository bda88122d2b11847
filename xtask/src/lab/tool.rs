//! Programs the lab runs on the host and in a guest's first process.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Folders of administrators' programs: a user's PATH often lacks the `sbin` folders.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One run of an external program; its arguments are passed unchanged, without a shell.
pub struct Tool {
    command: Command,
    input: Vec<u8>,
}

impl Tool {
    /// Prepares `program`.
    pub fn new(program: impl AsRef<OsStr>) -> Tool {
        let mut command = Command::new(program);
        command
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        Tool {
            command,
            input: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Tool {
        self.command.args(arguments);
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Tool {
        self.command.arg(argument);
        self
    }

    /// Sets standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Tool {
        self.input = input.into();
        self.command.stdin(Stdio::piped());
        self
    }

    /// Runs it; a failure is an error with the standard error.
    pub fn run(self) -> Result<()> {
        self.output().map(|_| ())
    }

    /// Runs it and returns its standard output.
    pub fn output(mut self) -> Result<String> {
        let shown = format!("{:?}", self.command).replace('"', "");
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run `{shown}`"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // The inputs are far smaller than a pipe's buffer, so this cannot block on the output.
            stdin
                .write_all(&self.input)
                .with_context(|| format!("write to `{shown}`"))?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{shown}`: {}: {}", output.status, stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
