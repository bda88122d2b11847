//! Ids of processes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::Model;

/// Identifies a process: the generation of the commit that began it, and, when that began several, which of them.
/// Never given out twice, as no generation is. Written `41` or `41-2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessId {
    generation: u64,
    index: u32,
}

impl ProcessId {
    /// The next one of this generation.
    pub(crate) fn next(model: &Model, generation: u64) -> Self {
        let ids = ProcessId::of_generation(generation);
        let last = model.processes.range(ids).next_back();
        ProcessId {
            generation,
            index: last.map_or(0, |(id, _)| id.index + 1),
        }
    }

    const fn nth(generation: u64, index: u32) -> Self {
        ProcessId { generation, index }
    }

    const fn of_generation(generation: u64) -> std::ops::RangeInclusive<Self> {
        ProcessId::nth(generation, 0)..=ProcessId::nth(generation, u32::MAX)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => write!(f, "{}", self.generation),
            index => write!(f, "{}-{}", self.generation, index + 1),
        }
    }
}

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not a number, or two numbers joined by '-'")]
pub struct NotAnId;

impl FromStr for ProcessId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (generation, index) = match text.split_once('-') {
            None => (text, 1),
            Some((generation, index)) if digits(index) => {
                let index: u32 = index.parse().map_err(|_| NotAnId)?;
                (
                    generation,
                    if index > 1 {
                        index
                    } else {
                        return Err(NotAnId);
                    },
                )
            }
            Some(_) => return Err(NotAnId),
        };
        if !digits(generation) {
            return Err(NotAnId);
        }
        let generation = generation.parse().map_err(|_| NotAnId)?;
        Ok(ProcessId::nth(generation, index - 1))
    }
}

impl TryFrom<String> for ProcessId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<ProcessId> for String {
    fn from(id: ProcessId) -> String {
        id.to_string()
    }
}
