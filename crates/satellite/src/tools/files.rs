//! Files as volumes: `fallocate`, `truncate`, `df`.

use std::time::Duration;

use linstor_host::{Cmd, Deadline};

use crate::failure::Result;
use crate::machine::Machine;
use crate::tools::error::ErrorKind;

/// Pre-allocation can mean writing zeros, so only a standstill ends it.
const ALLOCATE_STALL: Duration = Duration::from_secs(45);

/// Makes a file at least this long with every block allocated.
pub async fn allocate(machine: &Machine, file: &str, size_kib: u64) -> Result<()> {
    let cmd = Cmd::new("fallocate")
        .args(["-x", "-l"])
        .arg(format!("{size_kib}KiB"))
        .arg(file)
        .deadline(Deadline::stall(ALLOCATE_STALL));
    machine.run(cmd).await.map(drop)
}

/// Makes a file this long with a hole at its end.
pub async fn extend(machine: &Machine, file: &str, size_kib: u64) -> Result<()> {
    let cmd = Cmd::new("truncate")
        .arg("-s")
        .arg(format!("{size_kib}KiB"))
        .arg(file);
    machine.run(cmd).await.map(drop)
}

/// Total and free KiB of the file system that a directory is on; `None` if there is no such directory.
pub async fn space(machine: &Machine, directory: &str) -> Result<Option<(u64, u64)>> {
    let cmd = Cmd::new("df").args(["-B", "1", "--output=size,avail", directory]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(parse_space(&output.ok()?.stdout))
}

fn parse_space(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().nth(1)?;
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    Some((numbers.next()?.ok()? / 1024, numbers.next()?.ok()? / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What df prints.
    #[test]
    fn numbers_are_read() {
        let text = "   1B-blocks       Avail\n 25210912768 24119009280\n";
        assert_eq!(parse_space(text), Some((24_620_032, 23_553_720)));
        assert_eq!(parse_space("x\n"), None);
    }
}
