//! `linstor dm-migrate`: a script of commands that takes over the resources of drbdmanage.

use std::fmt::Write as _;
use std::io::{BufRead, Write, stderr, stdin};

use serde_json::{Map, Value as Json};

use super::rows::text;
use crate::action::Action;
use crate::define::{Command, own, value};
use crate::failure::{Failure, exit};

pub const DM_MIGRATE: Command = own(
    "dm-migrate",
    "Write a script that takes over the resources of drbdmanage",
    &[
        value(
            "control-volume",
            "File with the control volume of drbdmanage, JSON",
        ),
        value("script", "File that the script is written to"),
    ],
    |given| {
        let (from, to) = (
            given.need("control-volume").to_owned(),
            given.need("script").to_owned(),
        );
        let run = move |_, screen: &mut crate::action::Screen<'_>| {
            let in_file = |name: &str, error: &dyn std::fmt::Display| {
                Failure::with(exit::UNKNOWN_ERROR, format!("{name}: {error}"))
            };
            let volume = std::fs::read_to_string(&from).map_err(|error| in_file(&from, &error))?;
            let volume: Json =
                serde_json::from_str(&volume).map_err(|error| in_file(&from, &error))?;
            let script = script(&volume, &mut ask)?;
            std::fs::write(&to, script).map_err(|error| in_file(&to, &error))?;
            screen.line(&format!("Successfully wrote {to}"))
        };
        Ok(Action::Program(Box::new(run)))
    },
);

/// What the script begins with.
const HEADER: &str = "\
#!/bin/sh
# Takes over resources of drbdmanage. Before it runs:
#  - all resources of drbdmanage are healthy, and the database of the LINSTOR controller is empty
#  - on all nodes: drbdmanage shutdown -qc
#  - on all nodes: mv /etc/drbd.d/drbdctrl.res /etc/drbd.d/drbdctrl.res.dis
#  - on all nodes: mv /etc/drbd.d/drbdmanage-resources.res /etc/drbd.d/drbdmanage-resources.res.dis
# Snapshots are not taken over.
LS_CONTROLLERS=localhost
export LS_CONTROLLERS
echo 'Read this script, then remove this line.'; exit 1

";
/// The state of an assignment that is diskless.
const DISKLESS: u64 = 7;
/// Namespaces of DRBD's options among the properties of drbdmanage.
const OPTIONS: [&str; 4] = ["/dso/disko/", "/dso/neto/", "/dso/peerdisko/", "/dso/reso/"];

/// Asks a question, with the answers that are possible (all if there are none) and the one that an empty line means.
type Ask<'a> = &'a mut dyn FnMut(&str, &[&str], &str) -> Result<String, Failure>;

fn ask(question: &str, choices: &[&str], default: &str) -> Result<String, Failure> {
    loop {
        let mut line = String::new();
        let of = if choices.is_empty() {
            String::new()
        } else {
            format!(" ({})", choices.join(", "))
        };
        write!(stderr(), "{question}{of} [{default}]: ")?;
        if stdin().lock().read_line(&mut line)? == 0 {
            return Err(Failure::usage(
                "the input ended before all questions were answered",
            ));
        }
        let answer = if line.trim().is_empty() {
            default
        } else {
            line.trim()
        };
        if !answer.is_empty() && (choices.is_empty() || choices.contains(&answer)) {
            return Ok(answer.to_owned());
        }
    }
}

fn script(volume: &Json, ask: Ask<'_>) -> Result<String, Failure> {
    let mut out = HEADER.to_owned();
    let mut line = |words: &[&str]| {
        let quoted: Vec<String> = words
            .iter()
            .map(|word| crate::request::shell_quote(word))
            .collect();
        let _ = writeln!(out, "linstor {}", quoted.join(" "));
    };
    let empty = Map::new();
    let members = |key: &str| volume[key].as_object().unwrap_or(&empty);
    let mut kind = "Combined".to_owned();
    for (node, of) in members("nodes") {
        let question = format!("Type of node {node}");
        kind = ask(
            &question,
            &["Controller", "Combined", "Satellite", "Auxiliary"],
            &kind,
        )?;
        line(&[
            "node",
            "create",
            "--node-type",
            &kind,
            node,
            &text(of, "_addr"),
        ]);
    }
    let pool = ask("Name of the storage pool in LINSTOR", &[], "drbdpool")?;
    let (mut driver, mut backing) = ("lvm".to_owned(), "drbdpool".to_owned());
    for node in members("nodes").keys() {
        let question = format!("Storage of node {node}");
        driver = ask(
            &question,
            &["none", "lvm", "lvmthin", "zfs", "zfsthin"],
            &driver,
        )?;
        if driver == "none" {
            continue;
        }
        backing = ask(
            &format!("Volume group, VG/POOL or zpool on node {node}"),
            &[],
            &backing,
        )?;
        line(&["storage-pool", "create", &driver, node, &pool, &backing]);
    }
    for (resource, of) in members("res") {
        line(&[
            "resource-definition",
            "create",
            "--port",
            &text(of, "_port"),
            resource,
        ]);
        for (key, value) in of["props"].as_object().unwrap_or(&empty) {
            if let Some(option) = OPTIONS.iter().find_map(|prefix| key.strip_prefix(prefix)) {
                let value = value.as_str().unwrap_or_default();
                line(&[
                    "resource-definition",
                    "drbd-options",
                    &format!("--{option}"),
                    value,
                    resource,
                ]);
            }
        }
        let mut volumes: Vec<(u16, &Json)> = Vec::new();
        for (number, of) in of["volumes"].as_object().unwrap_or(&empty) {
            volumes.push((number.parse().unwrap_or_default(), of));
        }
        volumes.sort_by_key(|(number, _)| *number);
        for (number, of) in volumes {
            let shown = number.to_string();
            let size = format!("{}K", text(of, "_size_kiB"));
            let minor = text(of, "minor");
            line(&[
                "volume-definition",
                "create",
                "--vlmnr",
                &shown,
                "--minor",
                &minor,
                resource,
                &size,
            ]);
            let device = format!("{resource}_{number:02}");
            line(&[
                "volume-definition",
                "set-property",
                resource,
                &shown,
                "OverrideVlmId",
                &device,
            ]);
            if let Some(generation) = of["props"]["current-gi"].as_str() {
                let generation = format!("{generation:0>16}");
                line(&[
                    "volume-definition",
                    "set-property",
                    resource,
                    &shown,
                    "DrbdCurrentGi",
                    &generation,
                ]);
            }
        }
        // The first resource of a definition needs a disk.
        let placed = members("assg").iter().filter_map(|(place, of)| {
            let (node, name) = place.split_once(':')?;
            (name == resource).then_some((
                of["_tstate"].as_u64() == Some(DISKLESS),
                node,
                text(of, "_node_id"),
            ))
        });
        let mut placed: Vec<(bool, &str, String)> = placed.collect();
        placed.sort();
        for (diskless, node, id) in placed {
            match diskless {
                true => line(&[
                    "resource",
                    "create",
                    "--node-id",
                    &id,
                    "--diskless",
                    node,
                    resource,
                ]),
                false => line(&[
                    "resource",
                    "create",
                    "--node-id",
                    &id,
                    "--storage-pool",
                    &pool,
                    node,
                    resource,
                ]),
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// Nodes, pools and resources become commands; what begins with a diskless replica begins with another one.
    #[test]
    fn resources_become_commands() {
        let volume = serde_json::json!({
            "nodes": {"a": {"_addr": "10.0.0.1"}, "b": {"_addr": "10.0.0.2"}},
            "res": {"web": {
                "_port": 7000,
                "props": {"/dso/neto/protocol": "C", "other": "x"},
                "volumes": {"0": {"_size_kiB": 1024, "minor": 100, "props": {"current-gi": "ABC"}}},
            }},
            "assg": {"a:web": {"_node_id": 0, "_tstate": 7}, "b:web": {"_node_id": 1, "_tstate": 3}},
        });
        let text = script(&volume, &mut |_, _, default| Ok(default.to_owned())).unwrap();
        expect![[r#"
            linstor node create --node-type Combined a 10.0.0.1
            linstor node create --node-type Combined b 10.0.0.2
            linstor storage-pool create lvm a drbdpool drbdpool
            linstor storage-pool create lvm b drbdpool drbdpool
            linstor resource-definition create --port 7000 web
            linstor resource-definition drbd-options --protocol C web
            linstor volume-definition create --vlmnr 0 --minor 100 web 1024K
            linstor volume-definition set-property web 0 OverrideVlmId web_00
            linstor volume-definition set-property web 0 DrbdCurrentGi 0000000000000ABC
            linstor resource create --node-id 1 --storage-pool drbdpool b web
            linstor resource create --node-id 0 --diskless a web
        "#]]
        .assert_eq(text.strip_prefix(HEADER).unwrap());
    }
}
