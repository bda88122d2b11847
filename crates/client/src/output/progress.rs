//! The progress of what a command waits for, on a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

use crate::interrupt::{self, Waiting};

/// Width of a bar in characters.
const BAR_CHARS: usize = 30;

/// One line on standard error, written again and again; nothing if that is not a terminal.
pub struct Progress {
    label: String,
    begin: Instant,
    terminal: bool,
    _waiting: Waiting,
}

impl Progress {
    /// The label says what goes on; `goes_on` is printed if the user interrupts the command.
    pub fn begin(label: String, goes_on: String) -> Progress {
        Progress {
            label,
            begin: Instant::now(),
            terminal: stderr().is_terminal(),
            _waiting: interrupt::waiting(goes_on),
        }
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> u64 {
        self.begin.elapsed().as_secs()
    }

    /// Shows how much is done, if that is known.
    pub fn show(&mut self, percent: Option<f64>) {
        if self.terminal {
            let line = line(&self.label, percent, self.seconds());
            // There is nobody to report a failure to.
            let _ = write!(stderr(), "\r{line}\x1b[K").and_then(|()| stderr().flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(label: &str, percent: Option<f64>, seconds: u64) -> String {
    let time = format!("{}:{:02}", seconds / 60, seconds % 60);
    match percent {
        Some(percent) => {
            let percent = percent.clamp(0.0, 100.0);
            let full = (percent / 100.0 * BAR_CHARS as f64) as usize;
            let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR_CHARS - full));
            format!("{label} [{bar}] {percent:.0}% {time}")
        }
        None => format!(
            "{label} {} {time}",
            ['|', '/', '-', '\\'][(seconds % 4) as usize]
        ),
    }
}

#[cfg(test)]
mod tests {
    /// A bar where it is known how much is done, otherwise a sign of life.
    #[test]
    fn lines() {
        let half = super::line("Sync", Some(50.0), 61);
        assert_eq!(half, "Sync [###############---------------] 50% 1:01");
        assert!(super::line("Sync", Some(200.0), 0).contains("100%"));
        assert_eq!(super::line("Sync", None, 5), "Sync / 0:05");
    }
}
