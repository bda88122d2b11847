//! One line per check, and a last line with the counts.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// What a check fails with that finds that it cannot run here; the reason.
#[derive(Debug)]
pub struct Skip(pub &'static str);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skip {}

/// Counts of passed, failed and skipped checks.
#[derive(Default)]
pub struct Report {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Report {
    /// Runs one check and prints its result. One that fails with [`Skip`] is counted as skipped.
    pub fn check(&mut self, what: &str, check: impl FnOnce() -> Result<()>) -> bool {
        let start = Instant::now();
        let outcome = check();
        let seconds = start.elapsed().as_secs_f32();
        if let Err(error) = &outcome
            && let Some(Skip(why)) = error.downcast_ref()
        {
            self.skip(what, why);
            return true;
        }
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
