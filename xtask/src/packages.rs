//! Debian packages that tasks need, and their installation.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::contrib::Contrib;

/// Packages of the Python client's test, in addition to [`crate::lab::packages`].
pub const PYTHON: &[&str] = &["python3", "python3-venv"];

/// Packages of the test with certificates, in addition to [`PYTHON`].
pub const OPENSSL: &[&str] = &["openssl"];

/// Packages of the ZFS tests, in addition to [`crate::lab::packages`]; in Debian's section contrib.
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

/// Installs missing packages: prints them, and asks for confirmation unless `yes`.
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
            "no package was installed; install them with: apt-get install {}",
            missing.join(" ")
        );
    }
    apt(&["update", "-qq"])?;
    // Removed when this function returns, even with an error.
    let _contrib = if all_available(&missing)? {
        None
    } else {
        let contrib = Contrib::add()?;
        apt(&["update", "-qq"])?;
        Some(contrib)
    };
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&missing);
    apt(&args)
}

/// Whether all of these packages are in apt's sources.
fn all_available(packages: &[&str]) -> Result<bool> {
    for package in packages {
        let output = Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C.UTF-8")
            .output()
            .context("start apt-cache")?;
        let policy = String::from_utf8_lossy(&output.stdout);
        let candidate = policy
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "));
        if candidate.is_none_or(|version| version == "(none)") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn agreed() -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(
            "standard input is not a terminal, so no confirmation is possible; give --yes to install them"
        );
    }
    print!("Install them with apt-get now? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn apt(args: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!(
            "apt-get {} failed ({status}); packages are installed as root",
            args.join(" ")
        );
    }
    Ok(())
}
