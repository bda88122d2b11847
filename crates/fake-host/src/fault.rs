//! Faults that tests inject into commands.

use std::time::Duration;

/// What goes wrong, where and when. Fires once, unless `times` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// On which node; on any if empty.
    pub node: String,
    /// Which commands count.
    pub matches: Match,
    /// How many of those run well before.
    pub skip: u32,
    /// How many of those it then befalls.
    pub times: u32,
    /// What happens.
    pub effect: Effect,
}

/// Which commands a fault counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// All.
    Any,
    /// Those that are meant to change something, including writes of files.
    Mutating,
    /// Those whose command line contains this.
    Contains(String),
}

/// What a fault does to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails with this exit code and has done nothing.
    FailsBefore(i32),
    /// It has done its work and fails with this exit code all the same.
    FailsAfter(i32),
    /// It does nothing until its deadline.
    Hangs,
    /// It takes this much longer.
    Slow(Duration),
    /// The machine crashes before it has done anything.
    CrashBefore,
    /// The machine crashes when it has done its work, before anybody hears of it.
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

    /// Lets so many matching commands pass first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Fault {
        self.skip = skip;
        self
    }

    /// Strikes so many times in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = times;
        self
    }
}

/// A fault, and how much of it is left.
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

    /// Counts a command; returns what happens to it.
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
