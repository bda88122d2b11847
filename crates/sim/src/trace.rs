//! The trace: all events of a run, in order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A list of lines with their simulated times. Clones share it.
#[derive(Debug, Clone)]
pub struct Trace {
    started: Instant,
    lines: Arc<Mutex<Vec<String>>>,
    loud: bool,
}

impl Trace {
    /// An empty trace whose clock starts now. A loud one is printed while it grows.
    pub fn new(loud: bool) -> Self {
        Trace {
            started: Instant::now(),
            lines: Arc::default(),
            loud,
        }
    }

    /// Adds a line.
    pub fn add(&self, line: impl fmt::Display) {
        let line = format!("{:>9.3} {line}", self.started.elapsed().as_secs_f64());
        if self.loud {
            println!("{line}");
        }
        self.lock().push(line);
    }

    /// All lines up to now.
    pub fn lines(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
