//! One line per check, and a last line with the counts.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// Counts of passed, failed and skipped checks.
#[derive(Default)]
pub struct Report {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Report {
    /// Runs one check and prints its result.
    pub fn check(&mut self, what: &str, check: impl FnOnce() -> Result<()>) -> bool {
        let start = Instant::now();
        let outcome = check();
        let seconds = start.elapsed().as_secs_f32();
        match &outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok    {what} ({seconds:.1} s)");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAIL  {what} ({seconds:.1} s): {error:#}");
            }
        }
        outcome.is_ok()
    }

    /// Counts a check that cannot run on this machine.
    pub fn skip(&mut self, what: &str, why: &str) {
        self.skipped += 1;
        println!("skip  {what}: {why}");
    }

    /// Prints the counts.
    pub fn finish(self) -> ExitCode {
        let Report {
            passed,
            failed,
            skipped,
        } = self;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
