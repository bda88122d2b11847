//! What every faked tool returns, and the dice they share.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::args::Missing;

/// What a faked tool said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Said {
    /// Success without a word.
    pub(crate) fn nothing() -> Said {
        Said::default()
    }

    pub(crate) fn out(stdout: impl Into<String>) -> Said {
        Said {
            stdout: stdout.into().into_bytes(),
            ..Said::default()
        }
    }

    pub(crate) fn bytes(stdout: Vec<u8>) -> Said {
        Said {
            stdout,
            ..Said::default()
        }
    }

    pub(crate) fn err(code: i32, stderr: impl Into<String>) -> Said {
        Said {
            code,
            stderr: stderr.into(),
            ..Said::default()
        }
    }
}

/// Why a faked tool stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The real tool would have failed like this.
    Failed(Said),
    /// The fake cannot tell what the real tool would have done.
    Missing(Missing),
    /// The real tool would wait here; ask again later.
    Wait,
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Stop {
        Stop::Missing(missing)
    }
}

/// Stops with an exit code and an error message.
pub(crate) fn fail<T>(code: i32, stderr: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(Said::err(code, stderr)))
}

/// Stops because the fake does not know.
pub(crate) fn missing<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Missing(Missing::new(what)))
}

/// What a faked tool ends with.
pub(crate) type Tool = Result<Said, Stop>;

/// The only source of randomness of a fake cluster.
#[derive(Debug)]
pub(crate) struct Dice(SmallRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(SmallRng::seed_from_u64(seed))
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
