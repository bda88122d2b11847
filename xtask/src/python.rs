//! Runs the Python client from PyPI against a cluster in the lab.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Exec;
use crate::story::{Drbd, drbd_kind};

/// The version that the test was written for.
const PACKAGE: &str = "python-linstor==1.29.1";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A virtual environment with the client; created once.
pub fn environment() -> Result<PathBuf> {
    let directory = root().join("target/python");
    std::fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    let run = |program: &Path, args: &[&str]| -> Result<()> {
        let status = Command::new(program).args(args).status()?;
        ensure!(
            status.success(),
            "{} {} ended with {status}",
            program.display(),
            args.join(" ")
        );
        Ok(())
    };
    let python = directory.join("bin/python");
    let installed = directory.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == PACKAGE) {
        return Ok(python);
    }
    let system = if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    };
    run(
        Path::new(system),
        &["-m", "venv", &directory.display().to_string()],
    )?;
    run(
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            PACKAGE,
        ],
    )?;
    std::fs::write(installed, PACKAGE)?;
    Ok(python)
}

/// Runs the high-level demo on the controller's node.
pub fn high_level(cluster: &Cluster) -> Result<()> {
    let python = environment().context("install the Python client")?;
    let script = root().join("tests/python/high_level.py").canonicalize()?;
    let mut argv = vec![
        python.display().to_string(),
        script.display().to_string(),
        "linstor://127.0.0.1".to_owned(),
    ];
    argv.extend(cluster.lab.nodes().iter().map(ToString::to_string));
    if drbd_kind(cluster)? == Drbd::V84 {
        argv.push("--no-diskless".to_owned());
    }
    let exec = Exec::new(&argv).timeout(Duration::from_secs(240));
    let text = cluster.lab.run_ok(cluster.controller_node(), exec)?;
    print!("{text}");
    Ok(())
}
