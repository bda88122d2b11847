//! Why a command fails, and the exit code that scripts see.

use std::fmt;

/// Exit codes, as LINSTOR's command line has them. (It also knows 11, "no connection to a satellite", and never uses it.)
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// Something that has no code of its own.
    pub const UNKNOWN_ERROR: u8 = 1;
    /// The command line makes no sense.
    pub const USAGE: u8 = 2;
    /// The object does not exist (where the command line itself looks for it).
    pub const OBJECT_NOT_FOUND: u8 = 3;
    /// The controller answered with an error.
    pub const API_ERROR: u8 = 10;
    /// No controller could be reached.
    pub const CONNECTION_ERROR: u8 = 20;
    /// The controller did not answer in time.
    pub const CONNECTION_TIMEOUT: u8 = 21;
    /// The controller answered something that is no answer.
    pub const UNEXPECTED_REPLY: u8 = 22;
}

/// Why a command fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the person is told on standard error.
    pub message: String,
    /// What the script is told (see [`exit`]).
    pub exit: u8,
}

impl Failure {
    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::with(exit::USAGE, message)
    }

    /// The object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Failure::with(exit::OBJECT_NOT_FOUND, message)
    }

    /// The controller answered something that is no answer.
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
        // A reader that went away (`linstor resource list | head`) is no news.
        let message = match error.kind() {
            std::io::ErrorKind::BrokenPipe => String::new(),
            _ => error.to_string(),
        };
        Failure::with(exit::UNKNOWN_ERROR, message)
    }
}
