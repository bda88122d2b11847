//! Why a command fails, and its exit code.

use std::fmt;

/// Exit codes of LINSTOR's command line. (It also defines 11, "no connection to a satellite", and never uses it.)
pub mod exit {
    /// Success.
    pub const OK: u8 = 0;
    /// A failure without a code of its own.
    pub const UNKNOWN_ERROR: u8 = 1;
    /// The command line is invalid.
    pub const USAGE: u8 = 2;
    /// The object does not exist, in commands that search a list of the controller for it.
    pub const OBJECT_NOT_FOUND: u8 = 3;
    /// The controller answered with an error.
    pub const API_ERROR: u8 = 10;
    /// No controller could be reached.
    pub const CONNECTION_ERROR: u8 = 20;
    /// The controller did not answer in time.
    pub const CONNECTION_TIMEOUT: u8 = 21;
    /// The controller's answer cannot be parsed.
    pub const UNEXPECTED_REPLY: u8 = 22;
}

/// Why a command fails: a message for people and an exit code for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Printed on standard error.
    pub message: String,
    /// One of the codes in [`exit`].
    pub exit: u8,
}

impl Failure {
    /// The command line is invalid.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::with(exit::USAGE, message)
    }

    /// The object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Failure::with(exit::OBJECT_NOT_FOUND, message)
    }

    /// The controller's answer cannot be parsed.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Failure::with(exit::UNEXPECTED_REPLY, message)
    }

    /// Any other failure.
    pub fn with(exit: u8, message: impl Into<String>) -> Self {
        Failure {
            message: message.into(),
            exit,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // The reader closed the pipe (`linstor resource list | head`): nothing to report.
        let message = match error.kind() {
            std::io::ErrorKind::BrokenPipe => String::new(),
            _ => error.to_string(),
        };
        Failure::with(exit::UNKNOWN_ERROR, message)
    }
}
