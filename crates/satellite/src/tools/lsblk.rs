//! Block devices as `lsblk` lists them.

use std::collections::BTreeMap;

use linstor_host::Cmd;

use crate::failure::Result;
use crate::machine::Machine;

const COLUMNS: &str = "NAME,PKNAME,SIZE,ROTA,TYPE,RO,LOG-SEC,MOUNTPOINT,MODEL,SERIAL,WWN,MAJ:MIN";

/// A block device, below one of the devices that it lies on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its path.
    pub path: String,
    /// The device that it lies on; empty for none.
    pub parent: String,
    /// Its size.
    pub size_bytes: u64,
    /// It is a rotating disk.
    pub rotational: bool,
    /// `disk`, `part`, `lvm`, `mpath`, `raid1`, ...
    pub kind: String,
    /// It cannot be written.
    pub read_only: bool,
    /// Size of its logical sectors.
    pub sector_bytes: u64,
    /// Where it is mounted, or `[SWAP]`; empty if it is not.
    pub mounted_on: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// World wide name.
    pub wwn: String,
    /// Major device number.
    pub major: u32,
}

/// All block devices, or some and what lies on them. A device on several others may have a row for each.
pub async fn list<'a>(
    machine: &Machine,
    devices: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Row>> {
    let cmd = Cmd::new("lsblk").args(["-P", "-b", "-p", "-o", COLUMNS]);
    let output = machine.run(cmd.args(devices)).await?;
    Ok(output.stdout.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Row> {
    let cells = pairs(line);
    let text = |key: &str| cells.get(key).map_or("", |value| value.trim()).to_owned();
    let number = |key: &str| cells.get(key)?.trim().parse::<u64>().ok();
    let path = text("NAME");
    if !path.starts_with("/dev/") {
        return None;
    }
    // The key has been written in two ways.
    let major = ["MAJ:MIN", "MAJ_MIN"].iter().find_map(|key| {
        let (major, _) = cells.get(*key)?.split_once(':')?;
        major.trim().parse().ok()
    });
    Some(Row {
        path,
        parent: text("PKNAME"),
        size_bytes: number("SIZE")?,
        rotational: text("ROTA") == "1",
        kind: text("TYPE"),
        read_only: text("RO") == "1",
        sector_bytes: number("LOG-SEC").or(number("LOG_SEC")).unwrap_or(0),
        mounted_on: text("MOUNTPOINT"),
        model: text("MODEL"),
        serial: text("SERIAL"),
        wwn: text("WWN"),
        major: major.unwrap_or(0),
    })
}

/// `KEY="value"` pairs, in whose values unusual bytes are written as `\x20`.
fn pairs(line: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = line.trim();
    while let Some((key, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        pairs.insert(key.trim().to_owned(), unescaped(value));
        rest = after;
    }
    pairs
}

fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.strip_prefix(b"x").and_then(|hex| hex.get(..2));
        let escaped = escaped
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
            .filter(|_| *first == b'\\');
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What util-linux 2.38 prints for a disk, and what 2.37 does for the device number.
    #[test]
    fn rows_are_read() {
        let line = r#"NAME="/dev/sdb" PKNAME="" SIZE="1099511627776" ROTA="1" TYPE="disk" RO="0" LOG-SEC="512" MOUNTPOINT="" MODEL="Some\x20Disk\x22" SERIAL="S1" WWN="0x5000c500" MAJ:MIN="8:16""#;
        let row = parse(line).unwrap();
        assert_eq!(
            (row.path.as_str(), row.model.as_str()),
            ("/dev/sdb", "Some Disk\"")
        );
        assert_eq!(
            (row.major, row.size_bytes, row.sector_bytes),
            (8, 1 << 40, 512)
        );
        assert!(row.rotational && !row.read_only);
        let line = r#"NAME="/dev/drbd1000" SIZE="5" TYPE="disk" MAJ_MIN="147:1000""#;
        assert_eq!(parse(line).unwrap().major, 147);
        assert_eq!(parse(r#"NAME="x" SIZE="5""#), None);
    }

    proptest::proptest! {
        /// Whatever lsblk prints, nothing panics.
        #[test]
        fn never_panics(line in ".{0,100}") {
            let _ = (parse(&line), unescaped(&line));
        }
    }
}
