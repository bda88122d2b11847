//! Failures of a step, in the form that a caller of LINSTOR is shown: message, cause, details, correction.

use std::collections::BTreeMap;
use std::fmt;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_host::{CommandFailed, FileError, Output, RunError};

use crate::tools::error::{ErrorKind, Exit, ToolError, program};

/// How much of what a program printed is part of a reply, in bytes.
const PRINTED_BYTES_MAX: usize = 2000;

/// A step towards a spec did not succeed: a [`Reply`] to be, and the program that failed, if one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    ret_code: i64,
    message: String,
    cause: Option<String>,
    details: Option<String>,
    correction: Option<String>,
    objects: BTreeMap<String, String>,
    tool: Option<ToolError>,
}

/// What comes of a step.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with a code of [`linstor_api::code`] and a sentence for a person.
    pub fn new(ret_code: i64, message: impl Into<String>) -> Self {
        Failure(Box::new(Parts {
            ret_code,
            message: message.into(),
            cause: None,
            details: None,
            correction: None,
            objects: BTreeMap::new(),
            tool: None,
        }))
    }

    /// With the reason.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// With more about it.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.0.details = Some(details.into());
        self
    }

    /// With what the person can do.
    #[must_use]
    pub fn correction(mut self, correction: impl Into<String>) -> Self {
        self.0.correction = Some(correction.into());
        self
    }

    /// With a reference to an object that it is about.
    #[must_use]
    pub fn about(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.objects.insert(key.to_owned(), value.into());
        self
    }

    /// The same failure under a sentence that names the step; the sentence so far becomes part of the cause.
    #[must_use]
    pub fn context(mut self, ret_code: i64, message: impl Into<String>) -> Self {
        let reason = std::mem::replace(&mut self.0.message, message.into());
        self.0.cause = Some(match self.0.cause.take() {
            Some(cause) => format!("{reason} {cause}"),
            None => reason,
        });
        self.0.ret_code = ret_code;
        self
    }

    /// As [`Failure::context`], with the code that it has.
    #[must_use]
    pub fn under(self, message: impl Into<String>) -> Self {
        let ret_code = self.0.ret_code;
        self.context(ret_code, message)
    }

    /// The code.
    pub fn code(&self) -> i64 {
        self.0.ret_code
    }

    /// Whether it is an error, not only a warning.
    pub fn is_error(&self) -> bool {
        linstor_api::code::is_error(self.0.ret_code)
    }

    /// The sentence without its cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Why the program failed whose failure this is.
    pub fn kind(&self) -> ErrorKind {
        let tool = self.0.tool.as_ref();
        tool.map_or(ErrorKind::Other, |tool| tool.kind)
    }

    /// The form in which the controller passes it on. The program's streams are not part of it.
    pub fn reply(&self) -> Reply {
        let parts = &*self.0;
        let mut reply = Reply::new(parts.ret_code, parts.message.clone());
        reply.cause.clone_from(&parts.cause);
        reply.details.clone_from(&parts.details);
        reply.correction.clone_from(&parts.correction);
        reply.obj_refs = parts.objects.clone().into_iter().collect();
        reply
    }

    fn with_tool(mut self, tool: ToolError) -> Self {
        if tool.kind == ErrorKind::InUse {
            self.0.ret_code = code::FAIL_IN_USE;
        }
        self.0.tool = Some(tool);
        self
    }
}

impl fmt::Display for Failure {
    /// One line for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(cause) = &self.0.cause {
            write!(f, " Cause: {cause}")?;
        }
        if let Some(details) = &self.0.details {
            write!(f, " Details: {details}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        Failure(Box::new(Parts {
            ret_code: reply.ret_code,
            message: reply.message,
            cause: reply.cause,
            details: reply.details,
            correction: reply.correction,
            objects: reply.obj_refs.into_iter().collect(),
            tool: None,
        }))
    }
}

impl From<CommandFailed> for Failure {
    fn from(failed: CommandFailed) -> Self {
        let output = *failed.output;
        let (program, exit_code) = (program(&output), output.code);
        Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("Program '{program}' failed with exit code {exit_code}."),
        )
        .cause(printed(&output))
        .details(format!("Command: {}", output.cmd))
        .with_tool(ToolError::new(Exit::Exited, output))
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::NotFound { program, .. } => Failure::new(
                code::FAIL_UNKNOWN_ERROR,
                format!("Program '{program}' is not installed on this node."),
            )
            .correction(format!(
                "Install the package that contains '{program}' on this node."
            )),
            RunError::TimedOut {
                after,
                why,
                output,
                outlived_kill,
            } => {
                let stuck = if outlived_kill {
                    " It could not be killed, which means that it waits for a device in the kernel."
                } else {
                    ""
                };
                Failure::new(
                    code::FAIL_UNKNOWN_ERROR,
                    format!(
                        "Program '{}' was ended after {:.0} s: {why}.",
                        program(&output),
                        after.as_secs_f64()
                    ),
                )
                .cause(format!("{}{stuck}", printed(&output)))
                .details(format!("Command: {}", output.cmd))
                .with_tool(ToolError::new(Exit::TimedOut, *output))
            }
            other => Failure::new(code::FAIL_UNKNOWN_ERROR, format!("{}.", chain(&other))),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("Cannot {}.", chain(&error)),
        )
    }
}

/// What a command of drbdadm that fails shows with the secret after it.
const SECRET_OPTION: &str = "--shared-secret=";

/// What a program printed, on one line, bounded, and without secrets.
pub fn printed(output: &Output) -> String {
    let text = if output.stderr.trim().is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if !line.is_empty() {
            line.push_str("; ");
        }
        line.push_str(part);
    }
    if line.is_empty() {
        line.push_str("The program printed nothing.");
    }
    bounded(&without_secrets(&line), PRINTED_BYTES_MAX)
}

/// drbdadm quotes a secret where the shell would need it, so that a quoted one may hold blanks.
fn without_secrets(text: &str) -> String {
    let mut parts = text.split(SECRET_OPTION);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = match part.chars().next() {
            Some(quote @ ('\'' | '"')) => part[1..].find(quote).map_or(part.len(), |at| at + 2),
            _ => part.find(char::is_whitespace).unwrap_or(part.len()),
        };
        masked.push_str(SECRET_OPTION);
        masked.push_str("***");
        masked.push_str(&part[end..]);
    }
    masked
}

/// The beginning of a text, cut at a character.
pub fn bounded(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

/// An error and its sources, on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secrets are masked however they are quoted, and nothing else is.
    #[test]
    fn secrets_are_masked() {
        let masked = |text: &str| without_secrets(text);
        assert_eq!(
            masked("connect r --shared-secret=abc/+= --timeout=5"),
            "connect r --shared-secret=*** --timeout=5"
        );
        assert_eq!(
            masked("a --shared-secret='a b' c; d --shared-secret=x"),
            "a --shared-secret=*** c; d --shared-secret=***"
        );
        assert_eq!(masked("--shared-secret='cut"), "--shared-secret=***");
        assert_eq!(masked("nothing\u{e4}"), "nothing\u{e4}");
    }

    /// A failed command: which program, what it printed, and how to repeat it.
    #[test]
    fn a_failed_command_is_reported_in_full() {
        let output = Output {
            cmd: "lvs vg0".into(),
            code: 5,
            stdout: String::new(),
            stderr: "  Volume group \"vg0\" not found\n".into(),
        };
        let reply = Failure::from(output.ok().unwrap_err())
            .context(
                code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
                "Storage pool 'p' cannot be used.",
            )
            .reply();
        assert_eq!(reply.message, "Storage pool 'p' cannot be used.");
        assert_eq!(
            reply.cause.as_deref(),
            Some("Program 'lvs' failed with exit code 5. Volume group \"vg0\" not found")
        );
        assert_eq!(reply.details.as_deref(), Some("Command: lvs vg0"));
    }
}
