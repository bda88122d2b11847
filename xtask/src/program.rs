//! Programs of this machine that run beside a test.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A program that ends with this.
pub struct Program(Child);

impl Program {
    /// Starts a command, whose output goes where the command says.
    pub fn start(command: &mut Command) -> Result<Program> {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("start {:?}", command.get_program()))?;
        Ok(Program(child))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something listens at an address of the calling thread's network, for that long at most.
pub fn wait_for(address: &str, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(begun.elapsed() < limit, "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
