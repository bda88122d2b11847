//! `cargo xtask demo`: a replicated volume on real kernels, each command shown with its output.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cluster::{Binaries, Cluster};
use crate::lab::{Lab, LabConfig};
use crate::packages;
use crate::story;

/// Shows a replicated volume on real kernels that survives failures.
#[derive(clap::Args)]
pub struct Args {
    /// Install missing Debian packages without asking.
    #[arg(long)]
    yes: bool,
    /// A User Mode Linux kernel instead of the package's.
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// Folder of modules for the kernel, for example one with DRBD 9; can be repeated.
    #[arg(long)]
    modules: Vec<PathBuf>,
    /// Folder with the three programs, instead of building them.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Leave the guests running afterwards (`cargo xtask lab --name demo exec node1 -- ...`).
    #[arg(long)]
    keep: bool,
}

/// Runs it.
pub fn run(args: Args) -> Result<()> {
    packages::ensure(&crate::lab::packages(), args.yes)?;
    let mut times = Times::default();
    println!("Building the programs ...");
    let binaries = times.take("build", || Binaries::get(args.binaries.as_deref()))?;
    println!("Booting three Linux kernels ...");
    let config = LabConfig {
        name: "demo".into(),
        kernel: args.kernel,
        modules: args.modules,
        replace: true,
        owned: !args.keep,
        ..LabConfig::default()
    };
    let begin = Instant::now();
    let lab = times.take("boot three guests", || Lab::up(config))?;
    let mut cluster = times.take("start controller and satellites", || {
        Cluster::start(lab, binaries)
    })?;
    let result = story::run(&mut cluster, &mut times);
    if result.is_err() {
        eprintln!("{}", cluster.logs());
    }
    result.context("the demo failed")?;
    let total = begin.elapsed();
    if !args.keep {
        cluster.lab.down()?;
    }
    times.print();
    println!(
        "{:<58} {:>7.1} s",
        "the whole demo without building",
        total.as_secs_f64()
    );
    Ok(())
}

/// Durations of the steps.
#[derive(Debug, Default)]
pub struct Times(Vec<(String, Duration)>);

impl Times {
    /// Runs a step and records its duration.
    pub fn take<T>(&mut self, what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
        let begin = Instant::now();
        let result = action().with_context(|| what.to_owned());
        self.note(what, begin.elapsed());
        result
    }

    /// Records a duration.
    pub fn note(&mut self, what: &str, time: Duration) {
        self.0.push((what.to_owned(), time));
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("\n{:<58} {:>9}", "what", "took");
        println!("{}", "-".repeat(68));
        for (what, time) in &self.0 {
            println!("{what:<58} {:>7.1} s", time.as_secs_f64());
        }
        println!("{}", "-".repeat(68));
    }
}
