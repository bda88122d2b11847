//! What the node is able to do: programs, kernel modules, versions. A missing tool is an answer, never a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use linstor_api::drbd_option::{self, DrbdOption, Section};
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
/// Has the algorithms of the kernel's crypto interface.
const PROC_CRYPTO: &str = "/proc/crypto";
/// The commands of drbdsetup that between them have all options, each with the section that drbdadm reads them in.
const OPTION_COMMANDS: [(&str, &str); 4] = [
    ("resource-options", "options"),
    ("new-peer", "net"),
    ("disk-options", "disk"),
    ("peer-device-options", "disk"),
];

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

/// Probes everything. What cannot be asked for now is as it was before.
pub async fn probe(machine: &Machine, before: &NodeInfo) -> NodeInfo {
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
            let unknown = unknown_options(machine).await;
            info.unknown_drbd_options =
                unknown.unwrap_or_else(|| before.unknown_drbd_options.clone());
            info.digests = digests(machine).await;
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

/// Options that drbd-utils do not have, as `section/name`; none when they cannot be asked.
pub async fn unknown_options(machine: &Machine) -> Option<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for (command, section) in OPTION_COMMANDS {
        let cmd = Cmd::new("drbdsetup").args(["xml-help", command]);
        let output = machine.try_run(cmd).await.ok()?;
        let names = parse_options(&output.stdout);
        if !output.success() || names.is_empty() {
            return None;
        }
        known.extend(names.iter().map(|name| format!("{section}/{name}")));
    }
    let all = drbd_option::ALL.iter();
    let all = all.filter(|option| option.section != Section::Handlers);
    let names = all.map(DrbdOption::in_file);
    Some(names.filter(|name| !known.contains(name)).collect())
}

/// The names of options in what `drbdsetup xml-help` prints.
fn parse_options(text: &str) -> BTreeSet<&str> {
    let options = text.split("<option name=\"").skip(1);
    options
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

/// The kernel's digest algorithms with their priorities.
async fn digests(machine: &Machine) -> BTreeMap<String, u32> {
    let text = machine.host().read(Path::new(PROC_CRYPTO)).await;
    let text = text.unwrap_or_default();
    parse_digests(&String::from_utf8_lossy(&text))
}

fn parse_digests(text: &str) -> BTreeMap<String, u32> {
    let mut digests = BTreeMap::new();
    for block in text.split("\n\n") {
        let value = |wanted: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = lines.find(|(key, _)| key.trim() == wanted)?;
            Some(value.trim())
        };
        let priority = value("priority").and_then(|number| number.parse::<u32>().ok());
        if let (Some(name), Some("shash"), Some(priority)) =
            (value("name"), value("type"), priority)
        {
            let highest = digests.entry(name.to_owned()).or_insert(priority);
            *highest = priority.max(*highest);
        }
    }
    digests
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

    /// Options and digests in the form of the real tools and kernel.
    #[test]
    fn options_and_digests_are_read() {
        let help = "<command name=\"new-peer\">\n\t<option name=\"transport\" type=\"string\">\n\
                    \t</option>\n\t<option name=\"tls\" type=\"boolean\">\n</command>\n";
        assert_eq!(parse_options(help), BTreeSet::from(["tls", "transport"]));
        let crypto = "name         : crc32c\ndriver       : crc32c-generic\npriority     : 100\n\
                      type         : shash\n\nname         : crc32c\npriority     : 200\n\
                      type         : shash\n\nname         : aes\npriority     : 100\ntype         : cipher\n";
        assert_eq!(
            parse_digests(crypto),
            BTreeMap::from([("crc32c".to_owned(), 200)])
        );
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
