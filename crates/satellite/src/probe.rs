//! What the node is able to do: programs, kernel modules, versions. A missing tool is an answer, never a failure.

use std::path::Path;

use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind};
use linstor_host::Cmd;
use linstor_wire::status::{DrbdInfo, NodeInfo};

use crate::machine::Machine;
use crate::tools::{cryptsetup, losetup, lvm};

/// Has the version of the loaded module.
const PROC_DRBD: &str = "/proc/drbd";
/// Has the names of the distribution.
const OS_RELEASE: &str = "/etc/os-release";
/// Longest name of a distribution that is reported, in characters.
const OS_CHARS_MAX: usize = 200;

/// What needs no tool, and so no probe.
pub fn basics(machine: &Machine) -> NodeInfo {
    let uname = machine.host().uname();
    NodeInfo {
        uname: uname.node,
        kernel: uname.release,
        layers: vec![LayerKind::Storage],
        providers: vec![ProviderKind::Diskless],
        ..NodeInfo::default()
    }
}

/// Probes everything.
pub async fn probe(machine: &Machine) -> NodeInfo {
    let mut info = basics(machine);
    let os = machine.host().read(Path::new(OS_RELEASE)).await;
    info.os = os
        .map(|text| os_name(&String::from_utf8_lossy(&text)))
        .unwrap_or_default();
    let (drbd, ()) = tokio::join!(probe_drbd(machine), probe_providers(machine, &mut info));
    match why_missing(machine, cryptsetup::version()).await {
        None => info.layers.insert(0, LayerKind::Luks),
        Some(why) => {
            info.unsupported_layers.insert(LayerKind::Luks, vec![why]);
        }
    }
    match drbd {
        Ok(drbd) => {
            info.layers.insert(0, LayerKind::Drbd);
            info.drbd = Some(drbd);
        }
        Err(why) => {
            info.unsupported_layers.insert(LayerKind::Drbd, vec![why]);
        }
    }
    for layer in [
        LayerKind::Nvme,
        LayerKind::Writecache,
        LayerKind::Cache,
        LayerKind::Bcache,
    ] {
        let why = "This version of the satellite does not support this layer.".to_owned();
        info.unsupported_layers.insert(layer, vec![why]);
    }
    info
}

/// The distribution's name for people.
fn os_name(release: &str) -> String {
    let mut lines = release.lines();
    let name = lines.find_map(|line| line.trim().strip_prefix("PRETTY_NAME="));
    let name = name.unwrap_or_default().trim_matches(['"', '\'']);
    name.chars()
        .filter(|c| !c.is_control())
        .take(OS_CHARS_MAX)
        .collect()
}

async fn probe_drbd(machine: &Machine) -> Result<DrbdInfo, String> {
    let utils = utils_version(machine).await?;
    let module = match module_version(machine).await {
        Some(version) => version,
        None => {
            let loaded = machine.try_run(Cmd::new("modprobe").arg("drbd")).await;
            let why = match loaded {
                Ok(output) if output.success() => {
                    "'modprobe drbd' succeeded, but /proc/drbd does not exist.".into()
                }
                Ok(output) => crate::failure::printed(&output),
                Err(failure) => failure.to_string(),
            };
            let version = module_version(machine).await;
            version.ok_or(format!("Kernel module 'drbd' is not loaded. {why}"))?
        }
    };
    Ok(DrbdInfo {
        kind: if module.starts_with("8.") {
            DrbdKind::Drbd84
        } else {
            DrbdKind::Drbd9
        },
        version: module,
        utils,
    })
}

/// Version of drbd-utils.
async fn utils_version(machine: &Machine) -> Result<String, String> {
    let cmd = Cmd::new("drbdadm").arg("--version");
    let output = machine.try_run(cmd).await.map_err(|f| f.to_string())?;
    parse_utils(&output.stdout)
        .ok_or_else(|| "'drbdadm --version' printed no version of drbd-utils.".to_owned())
}

fn parse_utils(text: &str) -> Option<String> {
    let value = |key: &str| {
        let prefix = format!("{key}=");
        text.lines()
            .find_map(|l| l.trim().strip_prefix(prefix.as_str()).map(str::to_owned))
    };
    value("DRBDADM_VERSION").or_else(|| {
        let code = value("DRBDADM_VERSION_CODE")?;
        let code = u32::from_str_radix(code.trim_start_matches("0x"), 16).ok()?;
        Some(format!(
            "{}.{}.{}",
            code >> 16,
            code >> 8 & 0xff,
            code & 0xff
        ))
    })
}

/// Version of the loaded module.
pub async fn module_version(machine: &Machine) -> Option<String> {
    let text = machine.host().read(Path::new(PROC_DRBD)).await.ok()?;
    parse_module(&String::from_utf8_lossy(&text))
}

fn parse_module(text: &str) -> Option<String> {
    let line = text.lines().find_map(|l| l.strip_prefix("version:"))?;
    let version = line.split_whitespace().next()?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| version.to_owned())
}

async fn probe_providers(machine: &Machine, info: &mut NodeInfo) {
    let (lvm, zfs, loops) = tokio::join!(
        why_missing(machine, lvm::probe()),
        why_missing(machine, Cmd::new("zfs").arg("version")),
        losetup::list(machine),
    );
    let loops = loops.err().map(|failure| failure.message().to_owned());
    let needs = [
        (ProviderKind::Lvm, &lvm),
        (ProviderKind::LvmThin, &lvm),
        (ProviderKind::Zfs, &zfs),
        (ProviderKind::ZfsThin, &zfs),
        (ProviderKind::File, &loops),
        (ProviderKind::FileThin, &loops),
    ];
    for (kind, why) in needs {
        match why {
            None => info.providers.push(kind),
            Some(why) => {
                info.unsupported_providers.insert(kind, vec![why.clone()]);
            }
        }
    }
    for kind in ProviderKind::ALL {
        if !info.providers.contains(kind) && !info.unsupported_providers.contains_key(kind) {
            let why = "This version of the satellite does not support this provider.".to_owned();
            info.unsupported_providers.insert(*kind, vec![why]);
        }
    }
}

/// Why a tool cannot be used, if it cannot.
async fn why_missing(machine: &Machine, cmd: Cmd) -> Option<String> {
    match machine.try_run(cmd).await {
        Ok(output) if output.success() => None,
        Ok(output) => Some(crate::failure::printed(&output)),
        Err(failure) => Some(failure.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both kinds of the module, and its absence.
    #[test]
    fn module_versions_are_read() {
        let nine = "version: 9.2.18 (api:2/proto:118-124)\nGIT-hash: 2d9ac1f\n";
        assert_eq!(parse_module(nine).as_deref(), Some("9.2.18"));
        let old = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 059B1B470318F053F5077D5 \n";
        assert_eq!(parse_module(old).as_deref(), Some("8.4.11"));
        assert_eq!(parse_module(""), None);
    }

    /// What drbdadm prints.
    #[test]
    fn utils_version_is_read() {
        let text = "DRBDADM_BUILDTAG=x\nDRBDADM_API_VERSION=2\nDRBD_KERNEL_VERSION_CODE=0x090212\n\
                    DRBDADM_VERSION_CODE=0x091600\nDRBDADM_VERSION=9.22.0\n";
        assert_eq!(parse_utils(text).as_deref(), Some("9.22.0"));
        assert_eq!(
            parse_utils("DRBDADM_VERSION_CODE=0x091600\n").as_deref(),
            Some("9.22.0")
        );
    }
}
