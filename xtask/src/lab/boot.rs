//! Booting a guest until its agent answers.
//!
//! Rarely a guest's kernel loops right after its start and never prints a line. Such a guest is started again, a
//! limited number of times; a guest that printed something and does not boot is an error.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A machine that can be switched on.
pub trait Guest {
    /// Starts its kernel.
    fn switch_on(&self) -> Result<()>;
    /// Kills its kernel, whatever its state.
    fn switch_off(&self) -> Result<()>;
    /// Whether its kernel runs.
    fn has_power(&self) -> bool;
    /// Whether its agent answers; an error if another program does.
    fn answers(&self) -> Result<bool>;
    /// The console output since the last start.
    fn console(&self) -> String;
}

/// Time limits of a boot.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a start to the agent's answer.
    pub boot: Duration,
    /// From a start to the first byte on the console.
    pub silence: Duration,
    /// Maximum number of starts of a guest whose console is empty.
    pub starts: u32,
    /// Between two checks.
    pub poll: Duration,
}

impl Limits {
    /// For real guests. The kernel prints its first line within a second; a loaded machine needs longer.
    pub const LAB: Limits = Limits {
        boot: Duration::from_secs(120),
        silence: Duration::from_secs(20),
        starts: 3,
        poll: Duration::from_millis(100),
    };
}

/// Boots a guest and waits until its agent answers; `name` is for messages.
pub fn boot(guest: &dyn Guest, name: &str, limits: Limits) -> Result<()> {
    for start in 1..=limits.starts {
        guest.switch_on()?;
        if wait(guest, name, limits)? == End::Answers {
            return Ok(());
        }
        guest.switch_off()?;
        let again = if start < limits.starts {
            "; starting it again"
        } else {
            ""
        };
        eprintln!(
            "{name}: nothing on the console for {:?} after start {start} of {}{again}",
            limits.silence, limits.starts
        );
    }
    bail!(
        "{name} was started {} times and printed nothing on its console within {:?} each time",
        limits.starts,
        limits.silence
    )
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Answers,
    Silent,
}

fn wait(guest: &dyn Guest, name: &str, limits: Limits) -> Result<End> {
    let start = Instant::now();
    loop {
        if guest.answers()? {
            return Ok(End::Answers);
        }
        let console = guest.console();
        if !guest.has_power() {
            bail!(
                "{name} stopped during boot; console output:\n{}",
                tail(&console)
            );
        }
        if console.is_empty() && start.elapsed() > limits.silence {
            return Ok(End::Silent);
        }
        if start.elapsed() > limits.boot {
            bail!(
                "{name} does not answer; console output:\n{}",
                tail(&console)
            );
        }
        thread::sleep(limits.poll);
    }
}

/// The last lines of a console.
fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LIMITS: Limits = Limits {
        boot: Duration::from_millis(300),
        silence: Duration::from_millis(50),
        starts: 3,
        poll: Duration::from_millis(1),
    };

    /// A guest whose first starts print nothing.
    #[derive(Default)]
    struct Fake {
        silent_starts: u32,
        prints: &'static str,
        never_answers: bool,
        dies: bool,
        starts: Cell<u32>,
        power: Cell<bool>,
    }

    impl Fake {
        fn spins(&self) -> bool {
            self.starts.get() <= self.silent_starts
        }
    }

    impl Guest for Fake {
        fn switch_on(&self) -> Result<()> {
            assert!(!self.power.replace(true), "it was on already");
            self.starts.set(self.starts.get() + 1);
            Ok(())
        }
        fn switch_off(&self) -> Result<()> {
            self.power.set(false);
            Ok(())
        }
        fn has_power(&self) -> bool {
            self.power.get() && !self.dies
        }
        fn answers(&self) -> Result<bool> {
            Ok(!self.spins() && !self.never_answers)
        }
        fn console(&self) -> String {
            if self.spins() {
                String::new()
            } else {
                self.prints.to_owned()
            }
        }
    }

    /// A guest with an empty console is started again, and the next start succeeds.
    #[test]
    fn a_silent_guest_is_started_again() {
        let guest = Fake {
            silent_starts: 2,
            ..Fake::default()
        };
        boot(&guest, "node1", LIMITS).unwrap();
        assert_eq!((guest.starts.get(), guest.power.get()), (3, true));
    }

    /// A guest whose console is empty after the last start is an error, and is switched off.
    #[test]
    fn starts_are_bounded() {
        let guest = Fake {
            silent_starts: 100,
            ..Fake::default()
        };
        let start = Instant::now();
        let error = boot(&guest, "node1", LIMITS).unwrap_err().to_string();
        assert!(error.contains("started 3 times"), "{error}");
        assert_eq!((guest.starts.get(), guest.power.get()), (3, false));
        assert!(start.elapsed() < LIMITS.silence * 3 + Duration::from_secs(1));
    }

    /// A guest that prints and does not boot, or stops, is an error with its console output, and is not started again.
    #[test]
    fn a_guest_that_prints_is_not_started_again() {
        let hangs = Fake {
            prints: "Kernel panic",
            never_answers: true,
            ..Fake::default()
        };
        let dies = Fake {
            prints: "Kernel panic",
            never_answers: true,
            dies: true,
            ..Fake::default()
        };
        for guest in [hangs, dies] {
            let error = boot(&guest, "node1", LIMITS).unwrap_err().to_string();
            assert!(error.contains("Kernel panic"), "{error}");
            assert_eq!(guest.starts.get(), 1);
        }
    }
}
