//! Resources that are up in DRBD and belong to no spec: their minors and ports cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::name::ResourceName;
use linstor_host::Cmd;
use linstor_wire::Key;
use linstor_wire::status::ForeignDrbd;

use super::status::DrbdResource;
use crate::failure::Result;
use crate::machine::Machine;
use crate::shared::Shared;

/// All of them; `None` while DRBD's state or the specs are not known.
pub fn all(shared: &Shared) -> Option<Vec<ForeignDrbd>> {
    let state = shared.state();
    if !state.loaded {
        return None;
    }
    let is_foreign = |name: &String| match ResourceName::parse(name) {
        Ok(name) => !state.objects.contains_key(&Key::Resource(name)),
        Err(_) => true,
    };
    shared.observed_drbd.read(|resources| {
        let foreign = resources.iter().filter(|(name, _)| is_foreign(name));
        foreign.map(|(name, found)| of(name, found)).collect()
    })
}

fn of(name: &str, found: &DrbdResource) -> ForeignDrbd {
    let connections = found.connections.values();
    ForeignDrbd {
        name: name.to_owned(),
        minors: found.devices.values().map(|device| device.minor).collect(),
        ports: connections
            .flat_map(|connection| &connection.ports)
            .copied()
            .collect(),
    }
}

/// Reports them, if they are others than those that were reported.
pub fn report(shared: &Shared) {
    let Some(found) = all(shared) else { return };
    let mut state = shared.state();
    if state.info.foreign_drbd != found {
        tracing::info!(?found, "resources in DRBD that belong to no spec");
        state.info.foreign_drbd = found;
        state.outbox.info();
        drop(state);
        shared.outgoing.notify_one();
    }
}

/// The resource in DRBD, other than this one, that has a minor or listens on a port.
pub fn holder(
    shared: &Shared,
    own: &ResourceName,
    uses: impl Fn(&ForeignDrbd) -> bool,
) -> Option<String> {
    let find = |resources: &BTreeMap<String, DrbdResource>| {
        let mut others = resources
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case(own.as_str()));
        let found = others.find(|(name, found)| uses(&of(name, found)));
        found.map(|(name, _)| name.clone())
    };
    shared.observed_drbd.read(find)?
}

/// What `drbdsetup show` has of a resource's own node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Backing devices of its volumes.
    pub disks: BTreeSet<String>,
    /// Ports that it listens on.
    pub ports: BTreeSet<u16>,
}

/// Asks DRBD what a resource is configured with.
pub async fn show(machine: &Machine, name: &str) -> Result<Shown> {
    let cmd = Cmd::new("drbdsetup").args(["show", name]);
    Ok(parse(&machine.run(cmd).await?.stdout))
}

fn parse(text: &str) -> Shown {
    let mut shown = Shown::default();
    let mut sections: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line == "}" {
            sections.pop();
            continue;
        }
        if let Some(section) = line.strip_suffix('{') {
            let name = section.split_whitespace().next().unwrap_or_default();
            sections.push(name.to_owned());
            continue;
        }
        let line = line
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_end_matches(';');
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_own = sections.iter().any(|section| section == "_this_host");
        match words[..] {
            ["disk", path] if is_own => {
                shown.disks.insert(path.trim_matches('"').to_owned());
            }
            ["_this_host", _, address] => shown.ports.extend(port(address)),
            ["address", _, address] if is_own => shown.ports.extend(port(address)),
            _ => {}
        }
    }
    shown
}

fn port(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As drbd-utils 9.22 prints it for DRBD 9 and for 8.4.
    #[test]
    fn the_output_of_show_is_read() {
        let nine = "resource \"web\" {\n    options {\n        quorum              majority;\n    }\n    _this_host {\n        \
            node-id\t\t\t0;\n        volume 0 {\n            device\t\t\tminor 1000;\n            disk\t\t\t\"/dev/vg/web_00000\";\n            \
            meta-disk\t\t\tinternal;\n            disk {\n                size            \t102400s; # bytes\n            }\n        }\n    }\n    \
            connection {\n        _peer_node_id 1;\n        path {\n            _this_host ipv4 10.0.0.1:7000;\n            \
            _remote_host ipv4 10.0.0.2:7001;\n        }\n    }\n}\n";
        let old = "resource web {\n    options {\n    }\n    net {\n    }\n    _remote_host {\n        address\t\t\tipv4 10.0.0.2:7001;\n    }\n    \
            _this_host {\n        address\t\t\tipv4 10.0.0.1:7000;\n        volume 0 {\n            device\t\t\tminor 1000;\n            \
            disk\t\t\t\"/dev/vg/web_00000\";\n            meta-disk\t\t\tinternal;\n        }\n    }\n}\n";
        let expected = Shown {
            disks: ["/dev/vg/web_00000".to_owned()].into(),
            ports: [7000].into(),
        };
        assert_eq!(parse(nine), expected);
        assert_eq!(parse(old), expected);
        let diskless = "resource x {\n    _this_host {\n        volume 0 {\n            device minor 1;\n            disk none;\n        }\n    }\n}\n";
        assert_eq!(parse(diskless).disks, ["none".to_owned()].into());
    }
}
