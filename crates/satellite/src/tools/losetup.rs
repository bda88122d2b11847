//! Loop devices.

use std::collections::BTreeMap;

use linstor_host::Cmd;

use crate::failure::Result;
use crate::machine::Machine;

/// All loop devices: backing file to device.
pub async fn list(machine: &Machine) -> Result<BTreeMap<String, String>> {
    let cmd = Cmd::new("losetup").args(["-l", "-n", "--raw", "-O", "NAME,BACK-FILE"]);
    Ok(parse(&machine.run(cmd).await?.stdout))
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .map(|(device, file)| (file.trim().to_owned(), device.to_owned()))
        .collect()
}

/// Puts a loop device on a file.
pub async fn attach(machine: &Machine, file: &str) -> Result<String> {
    let cmd = Cmd::new("losetup").args(["-f", "--show", file]);
    Ok(machine.run(cmd).await?.stdout.trim().to_owned())
}

/// Makes a loop device see the new size of its file.
pub async fn refresh(machine: &Machine, device: &str) -> Result<()> {
    let cmd = Cmd::new("losetup").args(["-c", device]);
    machine.run(cmd).await.map(drop)
}

/// Removes a loop device.
pub async fn detach(machine: &Machine, device: &str) -> Result<()> {
    let cmd = Cmd::new("losetup").args(["-d", device]);
    machine.run(cmd).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two devices, one of a file that was removed.
    #[test]
    fn devices_are_read() {
        let text = "/dev/loop1 /srv/pool/b_00000.img\n/dev/loop0 /srv/pool/a_00000.img (deleted)\n";
        let list = parse(text);
        assert_eq!(list["/srv/pool/b_00000.img"], "/dev/loop1");
        assert!(!list.contains_key("/srv/pool/a_00000.img"));
    }
}
