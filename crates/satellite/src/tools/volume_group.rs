//! Making volume groups: `pvcreate`, `vgcreate`, and `lvcreate` of a thin pool, each with a way back.

use linstor_host::Cmd;

use super::lvm::{NO_DRBD, filter, report};
use crate::failure::Result;
use crate::machine::Machine;

/// Whether there is a volume group of this name on any device.
pub async fn exists(machine: &Machine, vg: &str) -> Result<bool> {
    let cmd = report("vgs", "vg_name", NO_DRBD);
    let listed = machine.run(cmd).await?.stdout;
    Ok(listed.lines().any(|line| line.trim() == vg))
}

/// The volume group that a device is a physical volume of.
pub async fn of_device(machine: &Machine, device: &str) -> Result<Option<String>> {
    let cmd = report("pvs", "pv_name,vg_name", NO_DRBD).arg(device);
    let output = machine.try_run(cmd).await?;
    // It fails for a device that is no physical volume.
    let line = output.stdout.lines().next().unwrap_or_default();
    let vg = line.trim().split_once(';').map_or("", |(_, vg)| vg.trim());
    Ok((output.success() && !vg.is_empty()).then(|| vg.to_owned()))
}

/// A volume group that is being made: everything but its own devices is hidden from LVM.
pub struct NewGroup<'a> {
    machine: &'a Machine,
    vg: &'a str,
    devices: &'a [String],
    filter: String,
}

impl<'a> NewGroup<'a> {
    /// Of these devices.
    pub fn of(machine: &'a Machine, vg: &'a str, devices: &'a [String]) -> Self {
        NewGroup {
            machine,
            vg,
            devices,
            filter: filter(devices.iter().map(String::as_str)),
        }
    }

    /// Makes the devices physical volumes.
    pub async fn make_devices(&self, arguments: &[String]) -> Result<()> {
        let cmd = self.cmd("pvcreate").args(arguments.iter().cloned());
        self.run(cmd.args(self.devices.iter().cloned())).await
    }

    /// Takes back [`NewGroup::make_devices`].
    pub async fn remove_devices(&self) -> Result<()> {
        let cmd = self.cmd("pvremove");
        self.run(cmd.args(self.devices.iter().cloned())).await
    }

    /// Makes the volume group of the physical volumes.
    pub async fn make_group(&self, arguments: &[String]) -> Result<()> {
        let cmd = self.cmd("vgcreate").args(arguments.iter().cloned());
        let cmd = cmd.arg(self.vg).args(self.devices.iter().cloned());
        self.run(cmd).await
    }

    /// Takes back [`NewGroup::make_group`]. LVM refuses it while there are volumes.
    pub async fn remove_group(&self) -> Result<()> {
        self.run(self.cmd("vgremove").arg(self.vg)).await
    }

    /// Makes a thin pool in the group, of all its space or as the arguments have it.
    pub async fn make_thin_pool(
        &self,
        name: &str,
        of_all: bool,
        arguments: &[String],
    ) -> Result<()> {
        let mut cmd = self.cmd("lvcreate").args(["-y", "--type", "thin-pool"]);
        if of_all {
            cmd = cmd.args(["--extents", "100%FREE"]);
        }
        let cmd = cmd.args(arguments.iter().cloned());
        self.run(cmd.args(["--name", name, self.vg])).await
    }

    fn cmd(&self, program: &'static str) -> Cmd {
        Cmd::new(program).args(["--config", self.filter.as_str()])
    }

    async fn run(&self, cmd: Cmd) -> Result<()> {
        self.machine.run(cmd).await.map(drop)
    }
}
