//! `cargo xtask bench`: builds everything in release mode and measures it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

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
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
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
