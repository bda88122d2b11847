//! Figures of the real programs: the controller binary with simulated satellites over the real protocol.
//!
//! `cargo xtask bench` builds everything in release mode and runs this. Every figure is printed with its goal and with what
//! it is relative to, measured in the same run: an fdatasync of this disk, a memory copy of the same bytes.
//!
//! Reading order: [`scenario`] (what is measured), [`satellites`], [`restart`], [`daemon`], [`rest`], [`figure`].

mod daemon;
mod figure;
mod placement;
mod reference;
mod rest;
mod restart;
mod satellites;
mod scenario;

use std::path::PathBuf;

use clap::Parser;

/// Measures the controller and the satellite.
#[derive(Debug, Parser)]
struct Args {
    /// The controller binary.
    #[arg(long)]
    controller: PathBuf,
    /// The satellite binary.
    #[arg(long)]
    satellite: PathBuf,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many resources there are at the end of the largest scenario.
    #[arg(long, default_value_t = 50_000)]
    resources: usize,
    /// How many simulated satellites.
    #[arg(long, default_value_t = 100)]
    satellites: usize,
    /// Measure only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<scenario::Part>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let settings = scenario::Settings {
        only: args.only,
        satellites: args.satellites,
        resources: args.resources,
    };
    let figures = runtime.block_on(scenario::run(&args.controller, &args.satellite, &settings))?;
    figure::print_table(&figures);
    if let Some(path) = args.json {
        std::fs::write(&path, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}
