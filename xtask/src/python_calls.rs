//! Every call of the Python client from PyPI, against a controller and two satellites as processes of this machine, with pools in
//! files. Needs root for the satellites' loop devices and host names.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Binaries;
use crate::program::{Program, wait_for};
use crate::python;

const CONTROLLER: &str = "127.0.83.1:3370";
/// Where it serves HTTPS once authentication is switched on.
const CONTROLLER_SECURE: &str = "127.0.83.1:3371";
/// Names, and addresses of the satellites.
const NODES: [(&str, &str); 2] = [("alpha", "127.0.83.11"), ("bravo", "127.0.83.12")];
const SATELLITE_PORT: u16 = 3366;
/// How long a program may need until it listens.
pub const START_MAX: Duration = Duration::from_secs(30);

/// Starts the programs, runs the script and removes what it left.
pub fn run(binaries: &Binaries) -> Result<()> {
    let python = python::environment().context("install the Python client")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/every_call.py");
    let directory = PathBuf::from(format!(
        "/var/tmp/linstor-python-calls-{}",
        std::process::id()
    ));
    std::fs::create_dir_all(&directory)?;
    let result = calls(binaries, &python, &script, &directory);
    match &result {
        Ok(()) => std::fs::remove_dir_all(&directory)?,
        Err(_) => println!("logs and files are in {}", directory.display()),
    }
    result
}

fn calls(binaries: &Binaries, python: &Path, script: &Path, directory: &Path) -> Result<()> {
    let at = |name: &str| directory.join(name);
    let mut programs = vec![start(
        Command::new(binaries.path("linstor-controller"))
            .arg("--controller-directory")
            .arg(directory)
            .args(["--rest-bind", CONTROLLER, "-c", "/nonexistent"])
            .args(["--rest-bind-secure", CONTROLLER_SECURE]),
        &at("controller.log"),
    )?];
    let mut nodes = Vec::new();
    for (name, address) in NODES {
        let pools = at(&format!("{name}-pools"));
        std::fs::create_dir_all(&pools)?;
        // The name of the host is the node's: the node of another name is another machine.
        let named = "hostname \"$0\" && exec \"$@\"";
        programs.push(start(
            Command::new("unshare")
                .args(["--uts", "sh", "-c", named, name])
                .arg(binaries.path("linstor-satellite"))
                .args([
                    "--bind-address",
                    address,
                    "--port",
                    &SATELLITE_PORT.to_string(),
                ])
                .arg("--state-directory")
                .arg(at(&format!("{name}-state")))
                .arg("--res-directory")
                .arg(at(&format!("{name}-res")))
                .arg("--allow-ext-files")
                .arg(at(&format!("{}-pools", NODES[0].0)))
                .args(["-c", "/nonexistent"]),
            &at(&format!("{name}.log")),
        )?);
        nodes.push(format!(
            "{name}={address}:{SATELLITE_PORT}:{}",
            pools.display()
        ));
    }
    wait_for(CONTROLLER, START_MAX)?;
    for (_, address) in NODES {
        wait_for(&format!("{address}:{SATELLITE_PORT}"), START_MAX)?;
    }
    let status = Command::new(python)
        .arg(script)
        .arg(format!("http://{CONTROLLER}"))
        .args(nodes)
        .status()?;
    ensure!(
        status.success(),
        "tests/python/every_call.py ended with {status}"
    );
    Ok(())
}

/// Starts a program that writes its log to a file.
pub fn start(command: &mut Command, log: &Path) -> Result<Program> {
    command
        .env("RUST_LOG", "warn")
        .stderr(File::create(log)?)
        .stdout(Stdio::null());
    Program::start(command)
}
