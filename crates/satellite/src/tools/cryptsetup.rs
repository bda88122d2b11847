//! `cryptsetup`: LUKS headers and open devices. Keys are lines of its standard input, and nowhere else.

use std::time::Duration;

use linstor_host::{Cmd, Deadline, Output};
use linstor_wire::Secret;

use crate::failure::Result;
use crate::machine::Machine;

/// Deriving a key takes seconds of CPU, more while others do the same, and no I/O that could be watched.
const LIMIT: Duration = Duration::from_secs(300);
/// Memory for the derivation of a key, in KiB: more would be missing on small nodes that open many volumes at once.
const PBKDF_MEMORY_KIB: &str = "262144";
/// The exit code for a key that opens no key slot.
const WRONG_KEY: i32 = 2;

/// Options of `luksFormat` that the satellite sets itself, that contradict those, or that name another device or key.
pub const FORMAT_RESERVED: &[&str] = &[
    "--type",
    "-M",
    "--align-payload",
    "--header",
    "--key-file",
    "-d",
    "--master-key-file",
    "--volume-key-file",
    "--test-passphrase",
    "--keyfile-size",
    "-l",
    "--keyfile-offset",
];
/// The same of `open`.
pub const OPEN_RESERVED: &[&str] = &[
    "--type",
    "-M",
    "--header",
    "--key-file",
    "-d",
    "--master-key-file",
    "--volume-key-file",
    "--test-passphrase",
    "--offset",
    "-o",
    "--size",
    "-b",
    "--device-size",
    "--skip",
    "-p",
    "--token-only",
    "--allow-discards",
    "--keyfile-size",
    "-l",
    "--keyfile-offset",
];

/// A header to be written.
pub struct NewHeader<'a> {
    /// Where the data begins, in KiB.
    pub header_kib: u64,
    /// The key has 256 random bits.
    pub generated: bool,
    /// Further options.
    pub options: &'a [String],
}

/// The command for the version, by which a node is found to have the program.
pub fn version() -> Cmd {
    Cmd::new("cryptsetup").arg("--version")
}

/// Whether a device has a LUKS header.
pub async fn is_luks(machine: &Machine, device: &str) -> Result<bool> {
    let cmd = Cmd::new("cryptsetup").args(["isLuks", device]);
    Ok(machine.try_run(cmd).await?.success())
}

/// Writes a new header. What was on the device is lost.
pub async fn format(
    machine: &Machine,
    device: &str,
    header: &NewHeader<'_>,
    key: &Secret,
) -> Result<()> {
    let given = |names: &[&str]| {
        let mut words = header.options.iter();
        words.any(|word| names.contains(&word.split('=').next().unwrap_or_default()))
    };
    let mut cmd = Cmd::new("cryptsetup").args(["-q", "luksFormat", "--type", "luks2"]);
    if !given(&["--offset", "-o"]) {
        // Otherwise it would follow the optimal I/O size of the device, which is another one on each node.
        cmd = cmd.arg("--offset").arg((header.header_kib * 2).to_string());
    }
    if !given(&[
        "--pbkdf",
        "--pbkdf-memory",
        "--pbkdf-force-iterations",
        "--iter-time",
        "-i",
    ]) {
        cmd = match header.generated {
            true => cmd.args(["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]),
            false => cmd.args(["--pbkdf-memory", PBKDF_MEMORY_KIB]),
        };
    }
    let cmd = cmd.args(header.options).arg(device);
    machine.run(keyed(cmd, &[key])).await.map(drop)
}

/// Opens a device under a name; `false` if the key is not that of its header.
pub async fn open(
    machine: &Machine,
    device: &str,
    name: &str,
    allow_discards: bool,
    options: &[String],
    key: &Secret,
) -> Result<bool> {
    let mut cmd = Cmd::new("cryptsetup").args(["open", "--tries", "1"]);
    if allow_discards {
        cmd = cmd.arg("--allow-discards");
    }
    let cmd = cmd.args(options).args([device, name]);
    right_key(machine.try_run(keyed(cmd, &[key])).await?)
}

/// Whether a key is that of the header of a device.
pub async fn has_key(machine: &Machine, device: &str, key: &Secret) -> Result<bool> {
    let cmd = Cmd::new("cryptsetup").args(["open", "--test-passphrase", "--tries", "1", device]);
    right_key(machine.try_run(keyed(cmd, &[key])).await?)
}

/// Replaces the key of the header of a device; `false` if the former one is not its key.
pub async fn change_key(
    machine: &Machine,
    device: &str,
    former: &Secret,
    new: &Secret,
) -> Result<bool> {
    let cmd = Cmd::new("cryptsetup").args(["-q", "luksChangeKey", device]);
    right_key(machine.try_run(keyed(cmd, &[former, new])).await?)
}

/// Lets an open device have all of the device below; `false` if the key is not that of the header.
pub async fn resize(machine: &Machine, name: &str, key: &Secret) -> Result<bool> {
    let cmd = Cmd::new("cryptsetup").args(["resize", name]);
    right_key(machine.try_run(keyed(cmd, &[key])).await?)
}

/// Closes an open device.
pub async fn close(machine: &Machine, name: &str) -> Result<()> {
    let cmd = Cmd::new("cryptsetup").args(["close", name]);
    machine.run(cmd).await.map(drop)
}

fn keyed(cmd: Cmd, keys: &[&Secret]) -> Cmd {
    let lines: Vec<u8> = keys
        .iter()
        .flat_map(|key| key.reveal().bytes().chain([b'\n']))
        .collect();
    cmd.stdin(lines).deadline(Deadline::run(LIMIT))
}

fn right_key(output: Output) -> Result<bool> {
    match output.code {
        WRONG_KEY => Ok(false),
        _ => Ok(output.ok().map(|_| true)?),
    }
}
