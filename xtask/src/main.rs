//! Developer tasks: `cargo xtask help` lists them.

mod bench;
mod cluster;
mod contrib;
mod copied;
mod demo;
mod fake_vs_lab;
mod faults;
mod growth;
mod lab;
mod metadata;
mod overhead;
mod packages;
mod program;
mod providers;
mod python;
mod python_calls;
mod python_https;
mod report;
mod s3_stores;
mod shared_pool;
mod sizes;
mod speed;
mod story;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// Developer tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
enum Task {
    /// Shows a replicated volume on real kernels that survives failures.
    Demo(demo::Args),
    /// Runs all tests; CI runs this.
    Test(test::Args),
    /// Measures the real programs.
    Bench(bench::Args),
    /// Checks rules that the compiler does not: pure crates, file sizes, where programs are started.
    Tidy,
    /// Real Linux guests in a private network, on any machine, without virtualisation.
    Lab(lab::cli::Args),
    /// The first process of a guest's PID namespace on the host; started by `lab up`.
    #[command(hide = true)]
    LabPower {
        /// End at the end of standard input.
        #[arg(long)]
        tied: bool,
        /// The kernel and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// The first process of a guest; started by its kernel.
    #[command(hide = true)]
    LabInit,
    /// The command server inside a guest; started by `lab-init`.
    #[command(hide = true)]
    LabAgent,
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Demo(args) => demo::run(args).map(|()| ExitCode::SUCCESS),
        Task::Test(args) => test::run(args),
        Task::Bench(args) => bench::run(args).map(|()| ExitCode::SUCCESS),
        Task::Tidy => tidy::check().map(|()| ExitCode::SUCCESS),
        Task::Lab(args) => lab::cli::run(args),
        Task::LabPower { tied, command } => lab::guest::power(tied, &command),
        Task::LabInit => lab::init::run(),
        Task::LabAgent => lab::agent::run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
