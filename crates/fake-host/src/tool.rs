//! The result of faked tools, and their random numbers.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::args::Missing;

/// The output of a faked tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolOutput {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl ToolOutput {
    /// Success without output.
    pub(crate) fn nothing() -> ToolOutput {
        ToolOutput::default()
    }

    pub(crate) fn out(stdout: impl Into<String>) -> ToolOutput {
        ToolOutput {
            stdout: stdout.into().into_bytes(),
            ..ToolOutput::default()
        }
    }

    pub(crate) fn bytes(stdout: Vec<u8>) -> ToolOutput {
        ToolOutput {
            stdout,
            ..ToolOutput::default()
        }
    }

    pub(crate) fn err(code: i32, stderr: impl Into<String>) -> ToolOutput {
        ToolOutput {
            code,
            stderr: stderr.into(),
            ..ToolOutput::default()
        }
    }
}

/// Why a faked tool did not succeed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The real tool would have failed with this output.
    Failed(ToolOutput),
    /// The fake does not implement this use of the tool.
    Missing(Missing),
    /// The real tool would wait; run it again later.
    Wait,
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Stop {
        Stop::Missing(missing)
    }
}

/// Fails with an exit code and a message on standard error.
pub(crate) fn fail<T>(code: i32, stderr: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(ToolOutput::err(code, stderr)))
}

/// Fails because the fake does not implement this use of the tool.
pub(crate) fn missing<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Missing(Missing::new(what)))
}

/// The result of a faked tool.
pub(crate) type ToolResult = Result<ToolOutput, Stop>;

/// The only source of random numbers of a fake cluster.
#[derive(Debug)]
pub(crate) struct Rng(SmallRng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(SmallRng::seed_from_u64(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An identifier in LVM's form.
    pub(crate) fn lvm_uuid(&mut self) -> String {
        const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let groups = [6, 4, 4, 4, 4, 4, 6];
        let mut parts = Vec::new();
        for length in groups {
            let letter = |n: u64| char::from(LETTERS[(n % LETTERS.len() as u64) as usize]);
            parts.push((0..length).map(|_| letter(self.next())).collect::<String>());
        }
        parts.join("-")
    }
}
