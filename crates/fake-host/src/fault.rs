//! Faults that tests inject into commands.

use std::time::Duration;

/// A fault: node, command and effect. It is injected once, unless [`Fault::times`] sets a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The node; any node if empty.
    pub node: String,
    /// Which commands match.
    pub matches: Match,
    /// Number of matching commands before the first one with the fault.
    pub skip: u32,
    /// Number of matching commands with the fault.
    pub times: u32,
    /// The effect on the command.
    pub effect: Effect,
}

/// Which commands a fault matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// All commands and requests.
    Any,
    /// Those that change something, including writes of files.
    Mutating,
    /// Those whose command line contains this text.
    Contains(String),
}

/// The effect of a fault on a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails with this exit code and changes nothing.
    FailsBefore(i32),
    /// It does its work, and fails with this exit code nevertheless.
    FailsAfter(i32),
    /// It does nothing, prints nothing, and its exit code is 0 nevertheless.
    Lies,
    /// It does nothing until its deadline.
    Hangs,
    /// It takes longer by this time.
    Slow(Duration),
    /// The machine crashes before the command has changed anything.
    CrashBefore,
    /// The machine crashes after the command has done its work, before the caller gets the result.
    CrashAfter,
}

impl Fault {
    /// The next command on a node that changes something.
    pub fn next_change(node: &str, effect: Effect) -> Fault {
        Fault {
            node: node.to_owned(),
            matches: Match::Mutating,
            skip: 0,
            times: 1,
            effect,
        }
    }

    /// The next command on a node whose line contains a text.
    pub fn next_with(node: &str, text: &str, effect: Effect) -> Fault {
        let matches = Match::Contains(text.to_owned());
        Fault {
            node: node.to_owned(),
            matches,
            skip: 0,
            times: 1,
            effect,
        }
    }

    /// Sets the number of matching commands before the first one with the fault.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Fault {
        self.skip = skip;
        self
    }

    /// Sets the number of consecutive matching commands with the fault.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = times;
        self
    }
}

/// A fault and the numbers of matching commands so far: without and with its effect.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) fault: Fault,
    pub(crate) passed: u32,
    pub(crate) struck: u32,
}

impl Armed {
    pub(crate) fn is_spent(&self) -> bool {
        self.struck >= self.fault.times
    }

    /// Counts a command; returns the effect on it, if any.
    pub(crate) fn strike(&mut self, node: &str, text: &str, mutating: bool) -> Option<Effect> {
        if self.is_spent() || !(self.fault.node.is_empty() || self.fault.node == node) {
            return None;
        }
        let counts = match &self.fault.matches {
            Match::Any => true,
            Match::Mutating => mutating,
            Match::Contains(part) => text.contains(part.as_str()),
        };
        if !counts {
            return None;
        }
        if self.passed < self.fault.skip {
            self.passed += 1;
            return None;
        }
        self.struck += 1;
        Some(self.fault.effect)
    }
}
