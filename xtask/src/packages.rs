//! Debian packages that tasks need, and how they get there.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What the Python client's test needs beside [`crate::lab::packages`].
pub const PYTHON: &[&str] = &["python3", "python3-venv"];

/// What the ZFS part of the lab needs beside [`crate::lab::packages`]; in Debian's section contrib.
pub const ZFS: &[&str] = &["zfsutils-linux"];

/// Packages that are not installed.
fn missing(packages: &[&'static str]) -> Vec<&'static str> {
    let installed = |package: &str| {
        let output = Command::new("dpkg-query")
            .args(["-W", "-f", "${db:Status-Status}", package])
            .output();
        output.is_ok_and(|output| output.status.success() && output.stdout == b"installed")
    };
    packages
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect()
}

/// Installs what is missing: says what, and asks first unless `yes`.
pub fn ensure(packages: &[&'static str], yes: bool) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    println!(
        "These Debian packages are needed and not installed: {}",
        missing.join(" ")
    );
    if !yes && !agreed()? {
        bail!(
            "nothing was installed; do it yourself with: apt-get install {}",
            missing.join(" ")
        );
    }
    apt(&["update", "-qq"])?;
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(&missing);
    apt(&words)
}

fn agreed() -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on; say --yes to install them");
    }
    print!("Install them with apt-get now? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn apt(words: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!(
            "apt-get {} failed ({status}); packages are installed as root",
            words.join(" ")
        );
    }
    Ok(())
}
