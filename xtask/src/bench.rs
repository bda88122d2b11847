//! `cargo xtask bench`: builds everything in release mode and measures it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cluster::Binaries;
use crate::lab::LabConfig;
use crate::{overhead, packages};

/// Measures controller and satellite with simulated satellites over the real protocol.
#[derive(clap::Args)]
pub struct Args {
    /// Write the figures as JSON as well: a list of name, value, unit, goal, met, relative_to.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Number of resources at the end.
    #[arg(long, default_value_t = 50_000)]
    resources: usize,
    /// Number of simulated satellites.
    #[arg(long, default_value_t = 100)]
    satellites: usize,
    /// Measure only these parts, for example `view`; an unknown one prints the list of parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Instead, measure in the lab, on real kernels, which part of a spawn is neither a tool nor the kernel.
    #[arg(long)]
    lab: bool,
    /// For the lab: a User Mode Linux kernel instead of the package's.
    #[arg(long, requires = "lab")]
    kernel: Option<PathBuf>,
    /// For the lab: folder of modules for the kernel, for example one with DRBD 9; can be repeated.
    #[arg(long, requires = "lab")]
    modules: Vec<PathBuf>,
    /// For the lab: folder with the three programs, instead of building them.
    #[arg(long, requires = "lab")]
    binaries: Option<PathBuf>,
    /// For the lab: install missing Debian packages without asking.
    #[arg(long, requires = "lab")]
    yes: bool,
}

/// Runs it.
pub fn run(args: Args) -> Result<()> {
    if args.lab {
        return run_in_lab(args);
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--quiet"]);
    for package in ["linstor-controller", "linstor-satellite", "linstor-bench"] {
        build.args(["--package", package]);
    }
    ensure!(
        build.status().context("start cargo")?.success(),
        "the programs do not build"
    );
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
    let mut bench = Command::new(release.join("linstor-bench"));
    bench
        .arg("--controller")
        .arg(release.join("linstor-controller"));
    bench
        .arg("--satellite")
        .arg(release.join("linstor-satellite"));
    bench.arg("--resources").arg(args.resources.to_string());
    bench.arg("--satellites").arg(args.satellites.to_string());
    if !args.only.is_empty() {
        bench.arg("--only").arg(args.only.join(","));
    }
    if let Some(path) = &args.json {
        bench.arg("--json").arg(path);
    }
    let status = bench.status().context("start the benchmark")?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}

fn run_in_lab(args: Args) -> Result<()> {
    packages::ensure(&crate::lab::packages(), args.yes)?;
    let binaries = Binaries::get(args.binaries.as_deref())?;
    let config = LabConfig {
        name: "bench".into(),
        kernel: args.kernel,
        modules: args.modules,
        replace: true,
        owned: true,
        ..LabConfig::default()
    };
    let figures = overhead::measure(config, binaries)?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}
